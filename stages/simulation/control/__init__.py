"""Closed loops on the push task: its environment, the true simulator as a model, and the comparison."""
