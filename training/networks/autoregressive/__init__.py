"""The transformer of autoregressive world models, over the ids of a discrete tokenizer."""
