"""Callbacks: the loss curve in a file, and progress lines on the screen."""
