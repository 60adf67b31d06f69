"""Per-frame conditions of clips: actions and camera poses, as a network takes them."""
