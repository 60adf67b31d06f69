"""Trains a video tokenizer: from arrays of frames or videos to a file of weights."""
