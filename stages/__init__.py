"""The stages: one file each, saying which columns it reads and which it adds."""
