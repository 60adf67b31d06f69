"""Finds out from the structure of a file whether it is whole; its header can announce more than it holds.

Headers overstate: edit lists hide frames, fragments from the middle of a stream keep its header, a film that
was cut out of a recording keeps its times, and AVI counts frames that repeat the one before them. If every
element of the file ends inside the file, then nothing was cut off.
"""

from typing import TYPE_CHECKING, Any

from stages.media.errors import UnreadableFile
from stages.media.files import open_uri
from stages.media.packets.clock import RESTARTING
from stages.media.timecode import format_time

if TYPE_CHECKING:
    import av
    from av import VideoStream

_EBML_HEADER, _SEGMENT = 0x1A45DFA3, 0x18538067
_CLUSTER, _BLOCK_GROUP = 0x1F43B675, 0xA0
_PARENTS = {_SEGMENT, _CLUSTER, _BLOCK_GROUP}
_ELEMENTS = _PARENTS | {
    # EBML header, SeekHead, Info, Tracks, Cues, Chapters, Tags, Attachments
    _EBML_HEADER, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1043A770, 0x1254C367, 0x1941A469,
    # in clusters and in block groups: Timestamp, Position, PrevSize, SimpleBlock, Block, BlockDuration,
    # ReferenceBlock, ReferencePriority, CodecState, DiscardPadding, BlockAdditions, Slices, SilentTracks
    0xE7, 0xA7, 0xAB, 0xA3, 0xA1, 0x9B, 0xFB, 0xFA, 0xA4, 0x75A2, 0x75A1, 0x8E, 0x5854,
    # anywhere: Void, CRC-32
    0xEC, 0xBF,
}  # fmt: skip
MAX_ELEMENTS = 100_000


def check_complete(
    uri: str, container: "av.container.InputContainer", stream: "VideoStream", packets: int, end_s: float
) -> None:
    """Check that nothing is cut off, after the last packet was read.

    Args:
        uri: Path or URL of the file.
        container: The open container.
        stream: Its video stream.
        packets: Number of packets of the stream that were read.
        end_s: End of the last packet of any stream in seconds.

    Raises:
        UnreadableFile: More than a tenth of what the header announces is missing, and the structure of the
            file does not show that it is whole.
    """
    if container.format.name in RESTARTING:  # their duration is an estimate
        return
    end_s -= (container.start_time or 0) / 1e6
    header_s, header_frames = (container.duration or 0) / 1e6, stream.frames or 0
    lacks_frames = packets < 0.9 * header_frames - 3
    if (lacks_frames or end_s < 0.9 * header_s - 1) and not is_whole(uri, container, stream):
        raise UnreadableFile(
            f"the file is cut short: it has {packets} of {header_frames} frames"
            if lacks_frames
            else f"the file is cut short: it ends at {format_time(end_s)} of {format_time(header_s)}"
        )


def is_whole(uri: str, container: "av.container.InputContainer", stream: "VideoStream") -> bool:
    """Return whether no part of the file is cut off, by its structure; False if that is unknown.

    Call it after the last packet: the index of a fragmented mp4 is complete then.
    """
    name, size_bytes = container.format.name, container.size
    if "mp4" in name:
        entries = list(stream.index_entries)
        return bool(entries) and all(entry.pos + entry.size <= size_bytes for entry in entries)
    with open_uri(uri) as file:
        if "matroska" in name:
            return _matroska_end(file, size_bytes) == size_bytes
        return name == "avi" and _riff_end(file, size_bytes) == size_bytes


def _matroska_end(file: Any, size_bytes: int) -> int:
    """Return the end of the last segment that begins in the file, or -1 if it is unknown or damaged."""
    end = 0
    while end < size_bytes:
        element = read_element(file, end)
        if element is None or element[2] is None or element[0] not in (_EBML_HEADER, _SEGMENT, 0xEC):
            return -1
        end = element[1] + element[2]
    return end


def _riff_end(file: Any, size_bytes: int) -> int:
    """Return the end of the last RIFF chunk that begins in the file, or -1 if something else follows."""
    end = 0
    while end + 8 <= size_bytes:
        file.seek(end)
        head = file.read(8)
        length = int.from_bytes(head[4:], "little")
        if head[:4] not in (b"RIFF", b"JUNK") or not length:
            return -1
        end += 8 + length + length % 2
    return min(end, size_bytes) if end <= size_bytes + 1 else end


def read_element(file: Any, at: int) -> tuple[int, int, int | None] | None:
    """Return id, position of the content and length of the EBML element at a position; None if there is none.

    The length is None if the element does not state it.
    """
    file.seek(at)
    head = file.read(12)
    id_bytes = 9 - head[0].bit_length() if head else 9
    if id_bytes > 4 or len(head) <= id_bytes or not head[id_bytes]:
        return None
    length_bytes = 9 - head[id_bytes].bit_length()
    field = head[id_bytes : id_bytes + length_bytes]
    if len(field) < length_bytes:
        return None
    limit = 1 << 7 * length_bytes
    length = int.from_bytes(field, "big") % limit
    unknown = length == limit - 1
    return int.from_bytes(head[:id_bytes], "big"), at + id_bytes + length_bytes, None if unknown else length


def are_elements(file: Any, start: int, end: int) -> bool:
    """Return whether the bytes from `start` to `end` are elements of Matroska without blocks in between.

    Args:
        file: The file.
        start: End of the content of a block.
        end: A position in the block after it: of its element or of its content.
    """
    at = start
    for _ in range(MAX_ELEMENTS):
        if at >= end:
            return at == end
        element = read_element(file, at)
        if element is None or element[0] not in _ELEMENTS:
            return False
        kind, content, length = element
        if kind in (0xA3, 0xA1) and (content <= end < content + (length or 0)):
            return True
        if length is None and kind not in _PARENTS:
            return False
        at = content if kind in _PARENTS else content + (length or 0)
    return True
