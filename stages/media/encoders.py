"""The encoders by the names that users give them, and what a quality and a preset mean to each."""

import tempfile
from collections.abc import Collection
from fractions import Fraction

from manifests import ClipmillError
from stages.media.mp4 import Coding, write_frames

# x264's macroblock tree reads memory that it has not written, for some widths (360 px is one): such clips had
# other bytes from run to run.
REPEATABLE = "mbtree=0"

VIDEO = ("x264", "nvenc")
AUDIO = ("none", "aac", "opus", "copy")
PRESETS = {  # of x264, with the nearest one of NVENC
    "ultrafast": "p1", "superfast": "p1", "veryfast": "p2", "faster": "p3", "fast": "p3", "medium": "p4",
    "slow": "p5", "slower": "p6", "veryslow": "p7",
}  # fmt: skip


def one_of(value: str, known: Collection[str], what: str) -> None:
    """
    Raises:
        ClipmillError: `value` is none of the known ones.
    """
    if value not in known:
        raise ClipmillError(f"there is no {what} {value!r}", remedy=f"choose one of {', '.join(known)}")


def coding_of(encoder: str, crf: int, preset: str, threads: int) -> Coding:
    """How to set FFmpeg for one of `VIDEO`.

    Raises:
        ClipmillError: the build or the machine has no such encoder.
    """
    if encoder == "x264":
        options = {"crf": str(crf), "preset": preset, "x264-params": REPEATABLE, "a53cc": "0"}
        return Coding("libx264", options, threads)
    options = {"rc": "vbr", "cq": str(crf), "b": "0", "preset": PRESETS[preset]}
    coding = Coding("h264_nvenc", options, threads)
    _try(coding)
    return coding


def _try(coding: Coding) -> None:
    """Encode one black picture, so that a machine without the encoder says so before the first clip."""
    import av

    picture = av.VideoFrame(256, 256, "yuv420p")
    picture.pts = 0
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        write_frames(file.name, [picture], Fraction(25), Fraction(1, 25), coding)
