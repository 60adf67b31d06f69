"""Checks that the source of a clip, and the frames found in it, are those that were listed and scanned."""

from typing import Protocol

from manifests import Artifact
from pipeline import Reject
from stages.media.decoding.frame import Frame
from stages.media.decoding.frame_fingerprint import (
    FINGERPRINT_COLUMNS,
    fingerprint_frame,
    fingerprints_match,
)
from stages.media.fingerprint import fingerprint
from stages.media.signals import read_signals


class SourceRow(Protocol):
    """A row of a clip: its source as it was listed, and its frames as they were scanned."""

    @property
    def uri(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def content_sha256(self) -> str: ...
    @property
    def start_frame(self) -> int: ...
    @property
    def end_frame(self) -> int: ...
    @property
    def signals(self) -> Artifact | None: ...


class OtherFrames(Reject):
    """The frames of a span are not those that the scan found there."""


def check_source(row: SourceRow) -> None:
    """Check before decoding that a source is the one that was listed.

    Raises:
        Reject: It is missing or has changed.
    """
    try:
        size, content = fingerprint(row.uri)
    except FileNotFoundError as error:
        raise Reject("the source is missing") from error
    if size != row.size_bytes:
        raise Reject(f"the source has changed: it has {size} bytes, and {row.size_bytes} when it was listed")
    if content != row.content_sha256:
        raise Reject("the source has changed: its content differs from when it was listed")


def check_frame_count(frames: int, row: SourceRow) -> None:
    """Check the number of frames of a span.

    Raises:
        OtherFrames: The scan found another number.
    """
    if frames != (scanned := row.end_frame - row.start_frame):
        raise OtherFrames(f"the source has {frames} frames in this span, and had {scanned} during the scan")


def check_frame(frame: Frame, row: SourceRow, number: int) -> None:
    """Compare a frame with the fingerprint that the scan stored for frame `number` of the video.

    Raises:
        OtherFrames: They differ.
    """
    if row.signals is None:
        return
    columns = read_signals(row.signals, FINGERPRINT_COLUMNS, number, number + 1)
    scanned = tuple(float(values[0]) for values in columns.values())
    if not fingerprints_match(fingerprint_frame(frame.raw), scanned):
        place = "first" if number == row.start_frame else "last"
        raise OtherFrames(
            f"the {place} frame of the span is not the scanned one, also if the source is decoded from its "
            "start: scan the source again"
        )
