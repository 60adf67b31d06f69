"""The training loop, with learning-rate schedules, EMA and checkpoints."""
