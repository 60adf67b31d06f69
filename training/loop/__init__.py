"""The loop: batches in, steps out; its rates, its averages, its checkpoints."""
