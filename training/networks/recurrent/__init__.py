"""A recurrent convolutional network, which predicts frame after frame."""
