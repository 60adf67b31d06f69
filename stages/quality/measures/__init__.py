"""Computations behind the quality stages: camera path, overlays, repeated frames, vectors of stills."""
