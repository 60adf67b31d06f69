"""An autoregressive world model: the network and its text encoder, and the model file."""
