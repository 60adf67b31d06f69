"""The encoders by their names in settings, and what quality and preset mean for each of them."""

import tempfile
from collections.abc import Collection
from fractions import Fraction

from manifests import ClipmillError
from stages.media.encoding.mp4 import EncoderSettings, write_frames

# The macroblock tree of x264 reads uninitialized memory for some frame widths (for example 360 px), so
# that the bytes of such clips differed from run to run.
DETERMINISTIC_X264 = "mbtree=0"

VIDEO_ENCODERS = ("x264", "x265", "nvenc")
AUDIO_CODECS = ("none", "aac", "opus", "copy")
PRESETS = {  # preset of x264: closest preset of NVENC
    "ultrafast": "p1", "superfast": "p1", "veryfast": "p2", "faster": "p3", "fast": "p3", "medium": "p4",
    "slow": "p5", "slower": "p6", "veryslow": "p7",
}  # fmt: skip


def check_choice(value: str, known: Collection[str], what: str) -> None:
    """Check that a setting has one of the known values.

    Raises:
        ClipmillError: The value is unknown.
    """
    if value not in known:
        raise ClipmillError(f"there is no {what} {value!r}", remedy=f"choose one of {', '.join(known)}")


def encoder_settings(encoder: str, crf: int, preset: str, threads: int) -> EncoderSettings:
    """Return the FFmpeg settings of one of `VIDEO_ENCODERS`.

    Raises:
        ClipmillError: This machine or this build of FFmpeg does not have the encoder.
    """
    if encoder == "x264":
        options = {"crf": str(crf), "preset": preset, "x264-params": DETERMINISTIC_X264, "a53cc": "0"}
        return EncoderSettings("libx264", options, threads)
    if encoder == "x265":
        return EncoderSettings("libx265", _x265_options(crf, preset, threads), threads, codec_tag="hvc1")
    options = {"rc": "vbr", "cq": str(crf), "b": "0", "preset": PRESETS[preset]}
    settings = EncoderSettings("h264_nvenc", options, threads)
    _check_available(settings)
    return settings


def hdr_encoder_settings(encoder: str, crf: int, preset: str, threads: int) -> EncoderSettings:
    """Return the FFmpeg settings for 10-bit HEVC (Main 10), by x265 or NVENC.

    Raises:
        ClipmillError: This machine or this build of FFmpeg does not have the encoder.
    """
    if encoder in ("x264", "x265"):
        options = _x265_options(crf, preset, threads)
        return EncoderSettings("libx265", options, threads, pix_fmt="yuv420p10le", codec_tag="hvc1")
    options = {"rc": "vbr", "cq": str(crf), "b": "0", "preset": PRESETS[preset], "profile": "main10"}
    settings = EncoderSettings("hevc_nvenc", options, threads, pix_fmt="p010le", codec_tag="hvc1")
    _check_available(settings)
    return settings


def _x265_options(crf: int, preset: str, threads: int) -> dict[str, str]:
    lossless = ":lossless=1" if crf == 0 else ""
    params = f"pools={threads}:frame-threads=1:log-level=error:info=0{lossless}"
    return {"crf": str(crf), "preset": preset, "x265-params": params, "a53cc": "0"}


def without_reordering(settings: EncoderSettings) -> EncoderSettings:
    """The settings without B-frames: an mp4 file cannot store the durations of reordered frames."""
    return settings._replace(options={**settings.options, "bf": "0"})


def _check_available(settings: EncoderSettings) -> None:
    """Encode one black frame, so that a missing encoder is reported before the first clip."""
    import av

    frame = av.VideoFrame(256, 256, "yuv420p")
    frame.pts = 0
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        write_frames(file.name, [frame], Fraction(25), Fraction(1, 25), settings)
