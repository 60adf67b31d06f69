"""Detects data that is missing within a file, whatever the container: lost packets, holes and smeared frames.

A decoder hides most losses: it repeats or smears what it has, and reports no error.
"""

from typing import TYPE_CHECKING, Any

from stages.media.errors import UnreadableFile
from stages.media.files import open_uri
from stages.media.packets.completeness import are_elements

if TYPE_CHECKING:
    import av
    from av import VideoStream

MIN_UNREAD_BYTES = 1024  # between two packets; less than this is the frame of the container
MIN_ZERO_BYTES = 256  # in a packet; entropy-coded data has no such run of zeros
_ENTROPY_CODED = {"h264", "hevc", "vp8", "vp9", "av1"}
_MARK_DISTANCE = 3  # packets between the mark of a demuxer and the place of the loss
_BLOCK_HEADER_BYTES = 4  # of a block of Matroska, before its content


class MissingData(UnreadableFile):
    """A part of the data of a video is missing."""


class DamageDetector:
    """Checks the packets and the frames of a video in the order of the file."""

    def __init__(self, uri: str, container: "av.container.InputContainer", stream: "VideoStream") -> None:
        self._uri, self._stream = uri, stream
        self._is_matroska = "matroska" in container.format.name
        self._is_entropy_coded = stream.codec_context.codec.canonical_name in _ENTROPY_CODED
        self._end, self._position = 0, -1  # of the content of the last block of any stream
        self._is_laced = False
        self._unread = False
        self._marked = 0  # packets until a mark of the demuxer counts
        self._has_key_frame = False

    def check_packet(self, packet: "av.Packet[Any]") -> str:
        """Return what is wrong before or in a packet of any stream; empty if nothing is."""
        if self._is_matroska and packet.pos is not None and packet.pos >= 0 and packet.size:
            self._unread = self._unread or self._has_unread_bytes(packet.pos)
            self._is_laced = packet.pos == self._position
            self._position = packet.pos
            self._end = max(self._end, packet.pos + _BLOCK_HEADER_BYTES + packet.size)
        if packet.stream is not self._stream or not packet.size:
            return ""
        if self._unread:
            return "a part of the file cannot be read"
        if self._is_entropy_coded and bytes(MIN_ZERO_BYTES) in _without_padding(bytes(packet)):
            return "a part of the file is zero"
        if packet.is_keyframe:  # the packets before it are the end of another recording, or are checked
            self._marked, self._has_key_frame = 0, True
        elif self._marked:
            self._marked -= 1
            if not self._marked:
                return "packets were lost"
        if packet.is_corrupt and self._has_key_frame and not self._marked and not packet.is_keyframe:
            self._marked = _MARK_DISTANCE
        return ""

    def start_recording(self) -> None:
        """Begin anew: the next packets are of another recording, and the one before may have been cut off."""
        self._marked, self._has_key_frame = 0, False

    def _has_unread_bytes(self, position: int) -> bool:
        if not self._end or self._is_laced or position - self._end < MIN_UNREAD_BYTES:
            return False
        with open_uri(self._uri) as file:
            return not are_elements(file, self._end, position)


def _without_padding(data: bytes) -> bytes:
    """Return a packet without the zeros that may follow units with start codes (H.264, HEVC, annex B)."""
    return data.rstrip(b"\0") if data.startswith((b"\0\0\1", b"\0\0\0\1")) else data
