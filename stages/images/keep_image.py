"""Makes a sample of each image: the file as it is, or an upright PNG."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from manifests import Artifact, Row, column
from pipeline import Annotate, Needs, Reject
from stages.media.decoding.video import open_video
from stages.media.errors import UnreadableFile
from stages.media.files import open_uri
from stages.media.fingerprint import fingerprint
from stages.media.image_format import image_ending

MAX_BYTES = 1 << 30  # of an image file
_TRAINED = (".jpg", ".png", ".webp")  # formats that trainers read


class KeptImage(Row):
    uri: str
    size_bytes: int
    content_sha256: str


class ImageFile(Row):
    clip: Artifact = column("the image: the file of the footage, or an upright PNG of 8 bits")
    clip_method: str = column(
        "copied, or encoded: turned upright, made of square pixels, or in a format that trainers do not read"
    )
    clip_audio: str = column("empty: an image has no audio")
    clip_width_px: int = column("width of the upright image", unit="px")
    clip_height_px: int = column("height of the upright image", unit="px")
    clip_frames: int = column("number of frames: 1")
    clip_fps: float = column("frames per second: 1", unit="1/s")
    clip_duration_s: float = column("duration: 1", unit="s")
    clip_size_bytes: int = column("size of the file", unit="bytes")


class _Image(NamedTuple):
    """The content of a file, its ending, and its upright size in pixels."""

    data: bytes
    ending: str
    width_px: int
    height_px: int
    method: str


class KeepImage(Annotate[KeptImage, ImageFile]):
    """Copies each JPEG, PNG and WebP that is upright and has square pixels, and writes others as upright PNG.

    The columns are those of a clip of one frame, so that images are packed and encoded as clips are.

    Rejected: a file that has changed since it was listed, or that has more than 1 GiB.
    """

    needs = Needs(cpus=1, memory_gb=1)

    def annotate(self, rows: Sequence[KeptImage]) -> Iterator[ImageFile | Reject]:
        for row in rows:
            try:
                yield _image_file(_read(row))
            except Reject as reason:
                yield reason


def _read(row: KeptImage) -> _Image:
    if row.size_bytes > MAX_BYTES:
        raise Reject(f"the image has {row.size_bytes:,} bytes; at most {MAX_BYTES:,} are read")
    if fingerprint(row.uri) != (row.size_bytes, row.content_sha256):
        raise Reject("the image has changed since it was listed: run the command again")
    with open_uri(row.uri) as file:
        data: bytes = file.read()
    with open_video(row.uri) as video:
        frame = next(video.frames(), None)
        if frame is None:
            raise UnreadableFile("the image has no picture")
        ending = image_ending(data)
        is_square = frame.display_size == (frame.raw.width, frame.raw.height)  # its pixels
        if ending in _TRAINED and not frame.orientation and is_square:
            return _Image(data, ending, *frame.display_size, "copied")
        import cv2

        pixels = frame.pixels("bgr24", *frame.display_size)
        height, width = pixels.shape[:2]
        return _Image(cv2.imencode(".png", pixels)[1].tobytes(), ".png", width, height, "encoded")


def _image_file(image: _Image) -> ImageFile:
    return ImageFile(
        clip=Artifact.of(image.data, image.ending),
        clip_method=image.method,
        clip_audio="",
        clip_width_px=image.width_px,
        clip_height_px=image.height_px,
        clip_frames=1,
        clip_fps=1.0,
        clip_duration_s=1.0,
        clip_size_bytes=len(image.data),
    )
