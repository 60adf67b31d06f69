"""Evaluates tokenizers on a folder of videos: a table, JSON, and pictures beside their reconstruction."""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.errors import TrainingError
from training.evaluation.tokenizer_quality import TokenizerQuality, VideoQuality, measure_video
from training.evaluation.video_frames import find_videos, read_frames, split_frames
from training.metrics.fvd import MIN_FRAMES, VideoFeatures
from training.metrics.lpips import LPIPS
from training.tensors import Video
from training.tokenizer import Tokenizer
from training.tokenizers import load_tokenizer

MAIN_SHORT_SIDE = 360  # px, of the figures that the JSON has first


@dataclass(frozen=True)
class TokenizerReport:
    """The quality of each tokenizer at each resolution, on the same frames.

    Attributes:
        qualities: By tokenizer, then by resolution.
        failed: Why videos were not measured, by name.
        settings: What was measured, as JSON values.
    """

    qualities: Sequence[TokenizerQuality]
    settings: dict[str, Any]
    failed: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The table, and the videos that were not measured."""
        summaries = [quality.summary() for quality in self.qualities]
        rows = [[text(values) for text in _COLUMNS.values()] for values in summaries]
        columns = [
            (title, [row[number] for row in rows])
            for number, title in enumerate(_COLUMNS)
            if any(row[number] for row in rows)
        ]
        widths = [max(map(len, [title, *cells])) for title, cells in columns]
        table = [[title for title, _ in columns], *zip(*(cells for _, cells in columns), strict=True)]
        lines = ["  ".join(cell.rjust(n) for cell, n in zip(row, widths, strict=True)) for row in table]
        counted = f"{summaries[0]['videos_measured']} videos, {summaries[0]['frames_measured']} frames"
        extractor = self.settings["lpips_extractor"]
        lines += [f"LPIPS: {extractor}"] if extractor else []
        extractor = self.settings["fvd_extractor"]
        lines += [f"FVD: {extractor}"] if extractor else []
        return [counted, *lines, *(f"not measured: {name}: {why}" for name, why in self.failed.items())]

    def to_json(self) -> dict[str, Any]:
        """All figures. "continuous" and "discrete" are those of the first tokenizer of each kind, at 360 px
        of the short side, if that was measured.
        """
        values: dict[str, Any] = {}
        for quality in sorted(self.qualities, key=lambda each: each.short_side != MAIN_SHORT_SIDE):
            kind = "discrete" if quality.measured.codebook_size else "continuous"
            values.setdefault(kind, quality.summary())
        results = [
            {**each.summary(), "videos": {name: asdict(video) for name, video in each.videos.items()}}
            for each in self.qualities
        ]
        return values | {"results": results, "failed": self.failed, "settings": self.settings}


def _number(name: str, form: str) -> Callable[[dict[str, Any]], str]:
    return lambda values: format(values[name], form) if name in values else ""


_COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "tokenizer": lambda values: Path(values["tokenizer"]).name,
    "short side px": _number("short_side_px", "d"),
    "PSNR dB": _number("psnr_db", ".2f"),
    "SSIM": _number("ssim", ".3f"),
    "LPIPS": _number("lpips", ".3f"),
    "FVD": _number("fvd", ".2f"),
    "encode frames/s": _number("encode_frames_per_s", ".1f"),
    "decode frames/s": _number("decode_frames_per_s", ".1f"),
    "parameters": _number("parameters", ",d"),
    "stride": lambda values: "x".join(map(str, values["stride"])),
    "compression": lambda values: format(
        values["compression"], ".0f" if values["compression"] >= 10 else ".2g"
    ),
    "codes used": _number("code_usage", ".1%"),
    "perplexity": _number("code_perplexity", ".0f"),
}


def evaluate_tokenizers(
    place: Path,
    tokenizers: Sequence[str],
    short_sides: Sequence[int],
    *,
    decoders: Mapping[str, Tokenizer] | None = None,
    max_frames: int = 49,
    pictures: Path | None = None,
    lpips: LPIPS | None = None,
    video_features: VideoFeatures | None = None,
    device: torch.device | str = "cpu",
) -> TokenizerReport:
    """Measure tokenizers on all videos of a folder.

    All tokenizers get the same frames: the first 1 + k * s, cut to multiples of the least common multiple of
    their strides. A video that cannot be read is named, and the others are measured.

    Args:
        place: Folder of videos, images and .npy arrays of frames; or one file.
        tokenizers: Names or paths.
        short_sides: Short sides in px that larger frames are scaled to.
        decoders: Diffusion decoders by name, measured in the same way.
        max_frames: Maximum number of frames of a video; 0 for all.
        pictures: Folder for a PNG per video: a frame, and beside it each tokenizer's reconstruction.
        lpips: Computes LPIPS; None leaves it out.
        video_features: Computes the features of FVD, of all videos of 10 frames or more; None leaves it out.
        device: Where to compute.

    Raises:
        SettingError: The folder has no videos.
        CheckpointError: A tokenizer cannot be loaded.
        TrainingError: No video could be measured.
    """
    videos = find_videos(place)
    loaded = {name: _load(name, device) for name in tokenizers} | dict(decoders or {})
    qualities = [TokenizerQuality(name, side, loaded[name]) for name in loaded for side in short_sides]
    settings = {
        "max_frames": max_frames,
        "device": str(device),
        "num_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "lpips_extractor": lpips.extractor if lpips else None,
        "fvd_extractor": video_features.extractor if video_features else None,
    }
    report = TokenizerReport(qualities, settings)
    measure = partial(
        _measure_file,
        qualities,
        max_frames=max_frames,
        device=device,
        lpips=lpips,
        video_features=video_features,
    )
    _measure_all(report, videos, measure, pictures, (max_frames or 49) // 2)
    if len(report.failed) == len(videos):
        remedy = "see the messages above, one per video"
        raise TrainingError("no video could be measured", where=str(place), remedy=remedy)
    return report


def _measure_all(
    report: TokenizerReport,
    videos: Mapping[str, Path],
    measure: Callable[..., list[tuple[VideoQuality, Tensor]]],
    pictures: Path | None,
    pictured_frame: int,
) -> None:
    """Add each video to a report. One that cannot be measured is named."""
    for name, file in videos.items():
        picture = _Picture(pictured_frame)
        try:
            measured = measure(file, picture=picture)
        except (TrainingError, ValueError) as error:
            report.failed[name] = str(error)
            print(f"not measured: {name}: {error}", file=sys.stderr, flush=True)
            continue
        for quality, (video, counts) in zip(report.qualities, measured, strict=True):
            quality.add(name, video, counts)
        if pictures is not None:
            picture.write(pictures, name)


def _load(name: str, device: torch.device | str) -> Tokenizer:
    tokenizer = load_tokenizer(name)
    return tokenizer.to(device) if isinstance(tokenizer, nn.Module) else tokenizer


def _measure_file(
    qualities: Sequence[TokenizerQuality],
    file: Path,
    *,
    max_frames: int,
    device: torch.device | str,
    lpips: LPIPS | None,
    video_features: VideoFeatures | None,
    picture: "_Picture",
) -> list[tuple[VideoQuality, Tensor]]:
    """`measure_video` of one file with each tokenizer at each resolution, on the same frames."""
    measured = []
    strides = [quality.measured.stride for quality in qualities]
    time, height, width = (math.lcm(*sizes) for sizes in zip(*strides, strict=True))
    for quality in qualities:
        frames = read_frames(file, quality.short_side, (height, width))
        parts = split_frames(frames, time, max_frames)
        picture.start(quality)
        seen: list[tuple[Video, Video]] = []

        def see(original: Video, part: Video, seen: list[tuple[Video, Video]] = seen) -> None:
            picture.see(original, part)
            if video_features is not None:
                seen.append((original, part))

        measured.append(measure_video(quality.measured, parts, device=device, lpips=lpips, on_part=see))
        if video_features is not None and sum(part.shape[2] for part, _ in seen) >= MIN_FRAMES:
            original, reconstruction = (torch.cat(each, 2) for each in zip(*seen, strict=True))
            quality.features.append((video_features(original), video_features(reconstruction)))
    return measured


class _Picture:
    """One frame of a video beside its reconstructions, one picture per resolution.

    Args:
        number: The frame, or the last one of a shorter video.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._images: dict[int, list[Tensor]] = {}
        self._seen, self._side = 0, 0

    def start(self, quality: TokenizerQuality) -> None:
        """Begin the reconstruction of another tokenizer."""
        self._seen, self._side = 0, quality.short_side
        images = self._images.setdefault(self._side, [torch.empty(0)])
        images.append(torch.empty(0))

    def see(self, original: Video, reconstruction: Video) -> None:
        """Keep the frame if these parts have it, or are before it."""
        place = min(self.number - self._seen, original.shape[2] - 1)
        if place >= 0:
            images = self._images[self._side]
            images[0], images[-1] = original[0, :, place].cpu(), reconstruction[0, :, place].cpu()
        self._seen += original.shape[2]

    def write(self, folder: Path, name: str) -> None:
        """Write the PNGs."""
        import av

        folder.mkdir(parents=True, exist_ok=True)
        for side, images in self._images.items():
            pixels = ((torch.cat(images, 2) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0)
            file = folder / f"{name.replace('/', '__')}.{side}.png"
            with av.open(str(file), "w", format="image2", options={"update": "1"}) as container:
                stream = container.add_stream("png", rate=1)
                stream.height, stream.width, stream.pix_fmt = *pixels.shape[:2], "rgb24"
                frame = av.VideoFrame.from_ndarray(pixels.contiguous().numpy(), format="rgb24")
                container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
