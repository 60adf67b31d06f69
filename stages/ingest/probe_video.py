"""Reads the header and the first frame of each video, and rejects what is not one."""

from collections.abc import Iterator, Sequence

from manifests import Row, column
from pipeline import Annotate, Reject
from stages.media.decode import Video as Opened
from stages.media.decode import open_video
from stages.media.errors import Unreadable
from stages.media.orientation import MIRRORED
from stages.media.timecode import seconds_of


class Video(Row):
    uri: str


class Header(Row):
    container: str = column("name of the container format")
    codec: str = column("name of the video codec")
    width_px: int = column("width as shown: after rotation and sample aspect ratio", unit="px")
    height_px: int = column("height as shown", unit="px")
    coded_width_px: int = column("width as coded", unit="px")
    coded_height_px: int = column("height as coded", unit="px")
    rotation_deg: int = column(
        "clockwise turn, of 0, 90, 180, 270, that puts the coded picture upright", unit="deg"
    )
    mirrored: bool = column("the coded picture is mirrored, left for right, before it is turned")
    fps: float = column("average frame rate by the header", unit="1/s")
    video_duration_s: float | None = column("length by the header, where it says one", unit="s")
    has_audio: bool = column("an audio stream is there")
    time_base_num: int = column("numerator of the time base, the length in seconds of one tick of a pts")
    time_base_den: int = column("denominator of the time base")


class ProbeVideo(Annotate[Video, Header]):
    """The header of the first video stream that is not a cover picture.

    Rejected, each with its reason: a file that is gone, empty, not a video, cut short, without a
    video stream, or whose first frame does not decode.
    """

    def annotate(self, rows: Sequence[Video]) -> Iterator[Header | Reject]:
        for row in rows:
            try:
                with open_video(row.uri) as video:
                    yield _header(video)
            except Reject as reject:
                yield reject


def _header(video: Opened) -> Header:
    first = next(video.frames(), None)
    if first is None:
        raise Unreadable("the video stream holds no frames")
    width_px, height_px = video.shown_size(first.turns)
    stream, container = video.stream, video.container
    if stream.duration:
        duration_s: float | None = seconds_of(stream.duration, video.time_base)
    else:
        duration_s = container.duration / 1e6 if container.duration else None
    return Header(
        container=container.format.name.split(",")[0],
        codec=stream.codec_context.codec.canonical_name,
        width_px=width_px,
        height_px=height_px,
        coded_width_px=video.coded_width_px,
        coded_height_px=video.coded_height_px,
        rotation_deg=-90 * first.turns % 360,
        mirrored=first.turns >= MIRRORED,
        fps=float(video.fps),
        video_duration_s=duration_s,
        has_audio=bool(container.streams.audio),
        time_base_num=video.time_base.numerator,
        time_base_den=video.time_base.denominator,
    )
