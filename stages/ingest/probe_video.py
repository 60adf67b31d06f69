"""Reads the header and the first frame of each video, and rejects files that are not videos."""

from collections.abc import Iterator, Sequence

from manifests import Row, column
from pipeline import Annotate, Reject
from stages.media.decoding.color import bit_depth, color_tags, is_hdr
from stages.media.decoding.orientation import MIRRORED
from stages.media.decoding.video import Video as OpenVideo
from stages.media.decoding.video import open_video
from stages.media.errors import UnreadableFile
from stages.media.timecode import ticks_to_seconds


class Video(Row):
    uri: str
    list_error: str = ""


class Header(Row):
    container: str = column("name of the container format")
    codec: str = column("name of the video codec")
    video_width_px: int = column(
        "display width of the first frame: after the crop of the container, pixel aspect and rotation",
        unit="px",
    )
    video_height_px: int = column(
        "display height of the first frame: after the crop of the container, pixel aspect and rotation",
        unit="px",
    )
    coded_width_px: int = column("width of the coded frame, before the container's crop", unit="px")
    coded_height_px: int = column("height of the coded frame, before the container's crop", unit="px")
    rotation_deg: int = column(
        "clockwise rotation that puts the coded frame upright: 0, 90, 180 or 270", unit="deg"
    )
    mirrored: bool = column("whether the coded frame is mirrored left to right before it is rotated")
    bit_depth: int = column("bits per sample of the first component", unit="bits")
    color_transfer: str = column(
        "transfer function, as in ffprobe: bt709, smpte2084 (PQ), arib-std-b67 (HLG) … or unknown"
    )
    color_primaries: str = column("primaries, as in ffprobe: bt709, bt2020, smpte432 (P3) … or unknown")
    color_space: str = column("YCbCr matrix, as in ffprobe: bt709, smpte170m, bt2020nc … or unknown")
    color_range: str = column("range of the samples, as in ffprobe: tv (16 to 235), pc (0 to 255) or unknown")
    is_hdr: bool = column("whether the transfer function is PQ or HLG")
    fps: float = column("average frame rate in the header", unit="1/s")
    video_duration_s: float | None = column(
        "duration in the header; missing if the header has none", unit="s"
    )
    has_audio: bool = column("whether the file has an audio stream")
    time_base_num: int = column("numerator of the time base, which is the length of one pts tick in seconds")
    time_base_den: int = column("denominator of the time base")


class ProbeVideo(Annotate[Video, Header]):
    """Reads the header of the first video stream that is not a cover image.

    Rejects a file that does not exist, is empty, is not a video, is cut short, has no video stream, or whose
    first frame cannot be decoded. Each rejection names its reason.
    """

    version = 2

    def annotate(self, rows: Sequence[Video]) -> Iterator[Header | Reject]:
        for row in rows:
            try:
                if row.list_error:
                    raise Reject(row.list_error)
                with open_video(row.uri) as video:
                    yield _header(video)
            except Reject as reject:
                yield reject


def _header(video: OpenVideo) -> Header:
    first = next(video.frames(), None)
    if first is None:
        raise UnreadableFile("the video stream has no frames")
    width_px, height_px = first.display_size
    stream, container = video.stream, video.container
    if stream.duration:
        duration_s: float | None = ticks_to_seconds(stream.duration, video.time_base)
    else:
        duration_s = container.duration / 1e6 if container.duration else None
    return Header(
        container=container.format.name.split(",")[0],
        codec=stream.codec_context.codec.canonical_name,
        video_width_px=width_px,
        video_height_px=height_px,
        coded_width_px=video.coded_width_px,
        coded_height_px=video.coded_height_px,
        rotation_deg=-90 * first.orientation % 360,
        mirrored=first.orientation >= MIRRORED,
        bit_depth=bit_depth(first.raw),
        **color_tags(first.raw)._asdict(),
        is_hdr=is_hdr(first.raw),
        fps=float(video.fps),
        video_duration_s=duration_s,
        has_audio=bool(container.streams.audio),
        time_base_num=video.time_base.numerator,
        time_base_den=video.time_base.denominator,
    )
