"""Opening containers: what is no video is told in words that a user understands."""

import errno
import mmap
import os
from typing import TYPE_CHECKING, Any

from stages.media.bounds import MOST_PX, check_size
from stages.media.errors import Unreadable
from stages.media.uri import local_path, open_uri

if TYPE_CHECKING:
    import av

# Files that are playlists of other files (hls, concat, dash, image2) are not opened: a text file named
# .mp4 must not make a worker read whatever its author names.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,apng,mpeg,mpegts,mpegvideo,m4v,h264,hevc,av1,obu,ivf,"
    "flv,live_flv,asf,ogg,mxf,nut,rm,dv,wtv,yuv4mpegpipe"
)

_SOME_BYTES = 1 << 26


def open_container(uri: str) -> tuple["av.container.InputContainer", Any]:
    """The opened container, and the file object beneath it where the file is not of this machine.

    Raises:
        Unreadable: nothing is there, or it is no video.
    """
    import av

    path, opened = local_path(uri), None
    try:
        if path is not None:
            if os.path.isfile(path) and os.path.getsize(path) == 0:
                raise Unreadable("the file is empty")
        else:
            opened = open_uri(uri)
        named = opened or f"file:{path}"
        options = {"format_whitelist": _CONTAINERS, "max_pixels": str(MOST_PX)}
        return av.open(named, options=options, metadata_errors="replace"), opened
    except FileNotFoundError as error:
        raise Unreadable("the file is gone") from error
    except PermissionError as error:
        raise Unreadable("the file may not be read: permission denied") from error
    except IsADirectoryError as error:
        raise Unreadable("this is a folder, not a file") from error
    except av.error.FFmpegError as error:
        raise_if_ours(error)
        with open_uri(uri) as again:
            raise Unreadable(_why_not(again.read(1 << 16))) from error


def raise_if_ours(error: Exception) -> None:
    """Raise what this machine lacks; all else that FFmpeg says is about the file.

    A damaged length reads as a want of memory, too: it is one where some more memory is not to be had either.

    Raises:
        Unreadable: a part of the file claims an absurd length.
    """
    number = getattr(error, "errno", 0)
    if number in (errno.EMFILE, errno.ENFILE) or (number == errno.ENOMEM and not _has_memory()):
        raise error
    if number == errno.ENOMEM:
        raise Unreadable("damaged: a part of the file claims to be larger than all memory") from error


def _has_memory() -> bool:
    try:
        mmap.mmap(-1, _SOME_BYTES).close()
    except OSError:
        return False
    return True


def _why_not(head: bytes) -> str:
    """Why a file that begins with `head` did not open, as far as its first bytes tell."""
    if not head:
        return "the file is empty"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        return "the file is cut short or damaged: an mp4 or mov without its index (moov)"
    if not any(byte < 9 for byte in head[:4096]):
        return "not a video: the file holds text"
    return "not a video, or damaged at its beginning: no known container format"


def shown_stream(container: "av.container.InputContainer") -> "av.VideoStream":
    """The first video stream that is not a cover picture.

    Raises:
        Unreadable: there is none, no decoder for it, or its header is absurd.
    """
    from av.stream import Disposition

    streams = container.streams.video
    shown = [s for s in streams if not s.disposition & Disposition.attached_pic]
    if not shown:
        kinds = sorted({s.type for s in container.streams})
        found = (
            "only a cover picture" if streams else f"only {', '.join(kinds)}" if kinds else "nothing in it"
        )
        raise Unreadable(f"no video stream: {found}")
    first = shown[0]
    if first.codec_context is None:
        raise Unreadable("no decoder for its video codec")
    check_size(first)
    first.codec_context.options = {"max_pixels": str(MOST_PX)}  # of a picture larger than the header says
    return first
