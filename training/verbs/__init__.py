"""The commands of training that have their own file, and their arguments KNOB=VALUE."""
