"""The kinds of steps: one file each, saying how its tasks are done."""
