"""Reads the header and the first frame of each video, and rejects files that are not videos."""

from collections.abc import Iterator, Sequence

from manifests import Row, column
from pipeline import Annotate, Reject
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
    width_px: int = column("display width: after rotation and sample aspect ratio", unit="px")
    height_px: int = column("display height: after rotation and sample aspect ratio", unit="px")
    coded_width_px: int = column("width of the coded frame", unit="px")
    coded_height_px: int = column("height of the coded frame", unit="px")
    rotation_deg: int = column(
        "clockwise rotation that puts the coded frame upright: 0, 90, 180 or 270", unit="deg"
    )
    mirrored: bool = column("whether the coded frame is mirrored left to right before it is rotated")
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
    width_px, height_px = video.display_size(first.orientation)
    stream, container = video.stream, video.container
    if stream.duration:
        duration_s: float | None = ticks_to_seconds(stream.duration, video.time_base)
    else:
        duration_s = container.duration / 1e6 if container.duration else None
    return Header(
        container=container.format.name.split(",")[0],
        codec=stream.codec_context.codec.canonical_name,
        width_px=width_px,
        height_px=height_px,
        coded_width_px=video.coded_width_px,
        coded_height_px=video.coded_height_px,
        rotation_deg=-90 * first.orientation % 360,
        mirrored=first.orientation >= MIRRORED,
        fps=float(video.fps),
        video_duration_s=duration_s,
        has_audio=bool(container.streams.audio),
        time_base_num=video.time_base.numerator,
        time_base_den=video.time_base.denominator,
    )
