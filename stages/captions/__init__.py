"""Captions: text that describes a clip, with a record of the model and the prompt that made it."""
