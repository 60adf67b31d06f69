"""Checks of packed recordings by `clipmill manifest check`."""
