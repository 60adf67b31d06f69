"""Writes unusual but valid videos in any codec and container of PyAV, to test the decoder and the scan."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

# Containers, each with a codec and pixel format: one for every demuxer that is allowed.
CODECS_BY_FILE = {
    "a.mp4": ("libx264", "yuv420p"),
    "b.mov": ("prores_ks", "yuv422p10le"),
    "c.mkv": ("libx265", "yuv420p"),
    "d.webm": ("libvpx-vp9", "yuv420p"),
    "e.avi": ("mjpeg", "yuvj420p"),
    "f.gif": ("gif", "rgb8"),
    "g.apng": ("apng", "rgba"),
    "h.ts": ("mpeg2video", "yuv420p"),
    "i.mpg": ("mpeg1video", "yuv420p"),
    "j.flv": ("flv", "yuv420p"),
    "k.asf": ("wmv2", "yuv420p"),
    "l.mxf": ("mpeg2video", "yuv422p"),
    "m.nut": ("ffv1", "yuv420p"),
    "n.y4m": ("wrapped_avframe", "yuv420p"),
    "o.h264": ("libx264", "yuv420p"),
    "p.hevc": ("libx265", "yuv420p"),
    "q.ivf": ("libvpx", "yuv420p"),
    "r.m4v": ("mpeg4", "yuv420p"),
    "s.obu": ("libsvtav1", "yuv420p"),
    "t.3gp": ("mpeg4", "yuv420p"),
    "u.rm": ("rv20", "yuv420p"),
    "v.mp4": ("libsvtav1", "yuv420p"),
    "w.mov": ("qtrle", "rgb24"),
    "x.avi": ("huffyuv", "yuv422p"),
}


def write_video(
    path: Path,
    images: Iterable[np.ndarray],
    codec: str = "libx264",
    layout: str = "yuv420p",
    *,
    rate: int = 25,
    options: Mapping[str, str] = {},
    times: Sequence[int] | None = None,
    aspect: Fraction | None = None,
    streams: int = 1,
    extra: Sequence[str] = (),
    interlaced: bool = False,
    full_range: bool = False,
) -> None:
    """Write RGB images uint8 [h w 3], one per 1 / `rate` s, or at `times` in units of 1 / `rate` s.

    Args:
        streams: Number of video streams with these images; all but the first are upside down.
        extra: Streams before the video: "aac" (silence), "words" (subtitles), "klv" (data) and "font" (an
            attached file).
    """
    import av
    from av.video.reformatter import ColorRange

    frames = list(images)
    with av.open(f"file:{path}", "w") as container:
        extras = [_EXTRA[name](container, len(frames) / rate) for name in extra]
        videos: list[Any] = [
            container.add_stream(codec, rate=rate, options=dict(options)) for _ in range(streams)
        ]
        for stream in videos:
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = layout
            stream.codec_context.thread_count = 1
            if aspect is not None:
                stream.sample_aspect_ratio = aspect
                stream.codec_context.sample_aspect_ratio = aspect
            if full_range:
                stream.codec_context.color_range = ColorRange.JPEG
        for packets in extras:
            for packet in packets:
                container.mux(packet)
        for number, image in enumerate(frames):
            for index, stream in enumerate(videos):
                pixels = np.ascontiguousarray(image[::-1] if index else image)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                wide = "full" if full_range else None
                frame = frame.reformat(format=layout, dst_color_range=2 if wide else None)
                frame.pts = number if times is None else times[number]
                frame.time_base = Fraction(1, rate)
                container.mux(stream.encode(frame))
        for stream in videos:
            container.mux(stream.encode(None))


def with_display_matrix(mp4: bytes, a: int, b: int, c: int, d: int) -> bytes:
    """The mp4 (one stream) with another display matrix: pixel (x, y) is displayed at (ax + cy, bx + dy)."""
    matrix = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
    at = mp4.index(b"tkhd") + 44
    return mp4[:at] + b"".join(value.to_bytes(4, "big", signed=True) for value in matrix) + mp4[at + 36 :]


# Each function adds its stream now, and yields its packets when all streams exist.
def _silence(container: Any, length_s: float) -> Iterator[Any]:
    import av

    stream = container.add_stream("aac", rate=16000)

    def packets() -> Iterator[Any]:
        for number in range(round(length_s * 16000 / 1024)):
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = 16000, number * 1024, Fraction(1, 16000)
            yield stream.encode(sound)
        yield stream.encode(None)

    return packets()


def _words(container: Any, length_s: float) -> Iterator[Any]:
    import av

    source = av.open(BytesIO(b"1\n00:00:00,100 --> 00:00:00,400\nWords.\n"), format="srt")
    stream = container.add_stream_from_template(source.streams[0])

    def packets() -> Iterator[Any]:
        for packet in source.demux():
            if packet.size:
                packet.stream = stream
                yield packet

    return packets()


def _data(container: Any, length_s: float) -> Iterator[Any]:
    import av

    packet = av.Packet(bytes(40))
    packet.stream = container.add_data_stream("klv")
    packet.pts = packet.dts = 0
    packet.time_base = Fraction(1, 1000)
    return iter([packet])


def _font(container: Any, length_s: float) -> Iterator[Any]:
    container.add_attachment("font.ttf", "application/x-truetype-font", bytes(100))
    return iter([])


_EXTRA = {"aac": _silence, "words": _words, "klv": _data, "font": _font}
