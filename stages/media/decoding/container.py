"""Opens video containers and reports files that are not videos in terms that a user understands."""

import errno
import mmap
import os
from typing import TYPE_CHECKING, Any

from stages.media.decoding.limits import MAX_PIXELS, check_frame_size
from stages.media.errors import UnreadableFile
from stages.media.files import check_regular, open_uri
from stages.media.image_format import HEAD_BYTES, IMAGE_FORMATS, image_format
from stages.media.uri import local_path, name_ending

if TYPE_CHECKING:
    import av

# Playlists of other files (hls, concat, dash, image2) are not opened: a text file named .mp4 must not make a
# worker read the files that it lists.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,apng,mpeg,mpegts,mpegvideo,m4v,h264,hevc,av1,obu,ivf,"
    "flv,live_flv,asf,ogg,mxf,nut,rm,dv,wtv,yuv4mpegpipe"
)
_MEDIA = ",".join([_CONTAINERS, *IMAGE_FORMATS.values()])

_TEST_ALLOCATION_BYTES = 1 << 26


def open_options(formats: str = _MEDIA, *, is_path: bool) -> dict[str, str]:
    """Return the options of `av.open` with which the content of a file opens nothing else.

    Args:
        formats: FFmpeg's names of the formats that the file may have; by default those of videos and images.
        is_path: Whether `av.open` gets a path, and no file object.
    """
    return {
        "format_whitelist": formats,
        "protocol_whitelist": "file" if is_path else "none",
        "max_pixels": str(MAX_PIXELS),
    }


def open_container(uri: str) -> tuple["av.container.InputContainer", Any]:
    """Open a container, and return it with the file object below it, or None for a local file.

    Raises:
        UnreadableFile: The file does not exist or is not a video.
    """
    import av

    path, remote_file = local_path(uri), None
    try:
        if path is not None:
            status = os.stat(path)
            check_regular(status)
            if status.st_size == 0:
                raise UnreadableFile("the file is empty")
        else:
            remote_file = open_uri(uri)
        form = _image_format(uri, remote_file)
        options = open_options(form or _CONTAINERS, is_path=remote_file is None)
        source = f"file:{path}" if remote_file is None else remote_file
        opened = av.open(source, format=form, options=options, metadata_errors="replace")
        return opened, remote_file
    except BaseException as error:
        head = b""
        if isinstance(error, av.error.FFmpegError) and not isinstance(
            error, FileNotFoundError | PermissionError
        ):
            raise_machine_error(error)
            with remote_file or open_uri(uri) as file:
                file.seek(0)
                head = file.read(1 << 16)
        elif remote_file is not None:
            remote_file.close()
        reject = _reject(error, head)
        if reject is None:
            raise
        raise reject from error


def _image_format(uri: str, remote_file: Any) -> str | None:
    """Return the format of a file that is named like an image, or None."""
    ending = name_ending(uri)
    if ending not in IMAGE_FORMATS:
        return None
    if remote_file is not None:
        head = remote_file.read(HEAD_BYTES)
        remote_file.seek(0)
        return image_format(ending, head)
    with open_uri(uri) as file:
        return image_format(ending, file.read(HEAD_BYTES))


def _reject(error: BaseException, head: bytes) -> UnreadableFile | None:
    """Return the reject for an error of opening a file with these first bytes; None if it is not at fault."""
    import av

    if isinstance(error, FileNotFoundError):
        return UnreadableFile("the file does not exist")
    if isinstance(error, PermissionError):
        return UnreadableFile("the file cannot be read: permission denied")
    if isinstance(error, OSError) and error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG):
        return UnreadableFile(f"the file cannot be opened: {error.strerror}")
    return UnreadableFile(_open_failure(head)) if isinstance(error, av.error.FFmpegError) else None


def raise_machine_error(error: Exception) -> None:
    """Raise the error again if the machine is at fault; other FFmpeg errors are about the file.

    A damaged length field also causes an out-of-memory error. The machine is at fault only if a small
    allocation fails as well.

    Raises:
        UnreadableFile: A part of the file claims an absurd length.
    """
    number = getattr(error, "errno", 0)
    if number in (errno.EMFILE, errno.ENFILE) or (number == errno.ENOMEM and not _has_memory()):
        raise error
    if number == errno.ENOMEM:
        raise UnreadableFile(
            "damaged: a part of the file claims to be larger than the memory of this machine"
        ) from error


def _has_memory() -> bool:
    try:
        mmap.mmap(-1, _TEST_ALLOCATION_BYTES).close()
    except OSError:
        return False
    return True


def _open_failure(head: bytes) -> str:
    """Explain from the first bytes of a file why it did not open."""
    if not head:
        return "the file is empty"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        return "the file is cut short or damaged: an mp4 or mov without its index (moov)"
    if not any(byte < 9 for byte in head[:4096]):
        return "not a video: the file holds text"
    return "not a video, or damaged at its beginning: unknown container format"


def main_video_stream(container: "av.container.InputContainer") -> "av.VideoStream":
    """Return the first video stream that is not a cover image.

    Raises:
        UnreadableFile: There is no such stream, no decoder for it, or its header has values beyond the
            limits.
    """
    from av.stream import Disposition

    streams = container.streams.video
    candidates = [s for s in streams if not s.disposition & Disposition.attached_pic]
    if not candidates:
        kinds = sorted({s.type for s in container.streams})
        description = (
            "only a cover image" if streams else f"only {', '.join(kinds)}" if kinds else "no streams"
        )
        raise UnreadableFile(f"no video stream: {description}")
    first = candidates[0]
    if first.codec_context is None:
        raise UnreadableFile("no decoder for its video codec")
    check_frame_size(first)
    first.codec_context.options = {
        "max_pixels": str(MAX_PIXELS)
    }  # also for a frame that is larger than the header says
    return first
