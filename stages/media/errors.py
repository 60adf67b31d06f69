"""Footage that cannot be read: the row's fault, said in words that a user understands."""

from pipeline import Reject


class Unreadable(Reject):
    """The file cannot be read as a video, and the message says why. A stage lets it pass: it is a Reject."""


class Untimed(Unreadable):
    """No part of the video is found by time: it can be read from its beginning only, if at all."""
