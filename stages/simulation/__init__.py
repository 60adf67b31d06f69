"""Simulates videos whose truth is known: camera poses, actions, masks and captions, without any download."""
