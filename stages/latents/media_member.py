"""Media in a file of its own or in a tar: where the bytes are, and how to open them."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pipeline import Reject
from stages.media.decoding.container import open_options
from stages.media.decoding.frame import Frame
from stages.media.decoding.limits import check_frame_size
from stages.media.decoding.video import open_video
from stages.media.errors import UnreadableFile
from stages.media.files import open_uri
from stages.media.image_format import HEAD_BYTES, IMAGE_FORMATS, image_format

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".gif", ".apng")


class MediaLength(NamedTuple):
    """Number of frames, and duration in seconds; an image has one frame and lasts 1 s."""

    frames: int
    duration_s: Fraction


@contextmanager
def local_member(uri: str, offset: int, size: int, name: str) -> Iterator[Path]:
    """Yield a temporary file with `size` bytes of a file or URL from byte `offset` on, named like `name`."""
    with open_uri(uri) as file:
        file.seek(offset)
        data = file.read(size)
    with local_bytes(data, name) as path:
        yield path


@contextmanager
def local_bytes(data: bytes, name: str) -> Iterator[Path]:
    """Yield a temporary file with this content, named like `name`."""
    with tempfile.NamedTemporaryFile(prefix="clipmill-", suffix=PurePosixPath(name).suffix) as temporary:
        temporary.write(data)
        temporary.flush()
        yield Path(temporary.name)


def is_image(path: Path) -> bool:
    """Whether the name is that of an image."""
    return path.suffix.lower() in IMAGE_FORMATS


def read_image(path: Path) -> Frame:
    """Decode an image.

    Raises:
        UnreadableFile: It cannot be decoded.
    """
    import av

    try:
        with path.open("rb") as file:
            form = image_format(path.suffix.lower(), file.read(HEAD_BYTES))
        options = open_options(form, is_path=True)
        with av.open(f"file:{path}", format=form, options=options) as container:
            if container.streams.video[0].width:  # a damaged image has none, and is not decoded
                check_frame_size(container.streams.video[0])
            return Frame(pts=0, duration=1, orientation=0, raw=next(container.decode(video=0)))
    except (av.FFmpegError, StopIteration, IndexError) as error:
        raise UnreadableFile(f"the image cannot be decoded: {error}") from error


def measure_length(path: Path) -> MediaLength:
    """The length of a video by its packets, which are not decoded; of an image, after it is decoded.

    Raises:
        Reject: The file cannot be read, or has no frame.
    """
    if is_image(path):
        read_image(path)
        return MediaLength(1, Fraction(1))
    import av

    with open_video(str(path)) as video:
        try:
            packets = [
                (packet.pts, packet.duration or 0)
                for packet in video.container.demux(video.stream)
                if packet.pts is not None
            ]
        except av.FFmpegError as error:
            raise UnreadableFile(f"the video cannot be read: {error}") from error
        if not packets:
            raise Reject("the video has no frame")
        first, end = min(pts for pts, _ in packets), max(pts + duration for pts, duration in packets)
        return MediaLength(len(packets), (end - first) * video.time_base or Fraction(1))
