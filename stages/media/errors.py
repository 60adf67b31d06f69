"""Errors about media files that cannot be read: the row is at fault, and the message is for the user."""

from pipeline import Reject


class UnreadableFile(Reject):
    """The file cannot be read as a video. It is a `Reject`, so stages do not need to catch it."""


class NotSeekable(UnreadableFile):
    """The video cannot be searched by time; it can only be read from its beginning, if at all."""
