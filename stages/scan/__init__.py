"""The scan: one decode of each video, which stores every per-frame signal and a strip of stills."""
