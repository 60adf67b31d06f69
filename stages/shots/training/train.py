"""Supervised training of the boundary network on films with known boundaries."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.scan.meter import FrameView, load_meter
from stages.shots.features import compute_features
from stages.shots.network import KINDS
from stages.shots.training.synthetic_film import SyntheticFilm

DILATIONS = (1, 2, 4, 8, 16, 1)  # of the convolutions, in frames
LENGTH, BATCH = 256, 12  # frames of a training window; windows of a batch

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Example:
    """A film as input and targets of the network; all arrays have one row per frame.

    Attributes:
        features: float16 [n features].
        cut: 1 at the first frame after a cut, else 0.
        mixed: 1 within a transition, else 0.
        kind: Index in KINDS within a transition, else -1.
        weight: Weight of the frame in the loss.
    """

    features: npt.NDArray[np.float16]
    cut: Floats
    mixed: Floats
    kind: npt.NDArray[np.int64]
    weight: Floats


class _ArrayFrame:
    """A frame in memory that `FrameView` can read like a decoded frame."""

    orientation = 0

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels = pixels

    def pixels_view(self, layout: str, **_: Any) -> np.ndarray:
        return self._pixels


def make_example(film: SyntheticFilm, rng: np.random.Generator) -> tuple[Example, list[str]]:
    """Encode, decode and measure a film as in a scan; return the example and the feature names."""
    meters = [load_meter("content"), load_meter("repeats")]
    change, thumbs = [], []
    for number, image in enumerate(_compress(film.frames, rng)):
        size = image.shape[1], image.shape[0]
        view = FrameView(_ArrayFrame(image), number / 25, 0.04, size)  # type: ignore[arg-type]
        change.append([*meters[0].update(view), meters[1].update(view)[0]])
        thumbs.append(view.thumb)
    luma, chroma = (np.stack(cells) for cells in zip(*thumbs, strict=True))
    features, names = compute_features(luma, chroma, np.array(change, np.float32))
    frames = len(film.frames)
    cut, mixed, weight = np.zeros((3, frames), np.float32)
    kind, weight = np.full(frames, -1), weight + 1
    cut[film.cuts] = 1
    for start, end, name in film.transitions:
        mixed[start:end], kind[start:end] = 1, KINDS.index(name)
        weight[max(0, start - 1) : start + 1] *= 0.5
        weight[end - 1 : end + 1] *= 0.5
    for start, end in film.ignored:
        weight[max(0, start) : end] = 0
    return Example(features.astype(np.float16), cut, mixed, kind, weight), names


def _compress(frames: Sequence[np.ndarray], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the frames after encoding with x264 at a random quality."""
    import av

    height, width = (side // 2 * 2 for side in frames[0].shape[:2])
    buffer = BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        is_mpeg4 = rng.random() < 0.2
        stream = output.add_stream("mpeg4" if is_mpeg4 else "libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        quality = {"flags": "+qscale", "global_quality": str(118 * int(rng.integers(2, 18)))}
        if not is_mpeg4:
            quality = {"crf": str(int(rng.integers(14, 44))), "preset": "veryfast"}
        stream.options = {**quality, "g": str(int(rng.choice([12, 25, 50, 250]))), "threads": "1"}
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), format="bgr24")
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer, "r") as coded:
        coded.streams.video[0].thread_type = "NONE"
        for frame in coded.decode(video=0):
            yield frame.to_ndarray(format="bgr24")


def train(
    examples: Sequence[Example], names: Sequence[str], out: Path, *, steps: int, channels: int, seed: int
) -> float:
    """Train the network, write its averaged weights as safetensors, and return the smoothed loss.

    The features of each window are scaled and shifted at random, and many are dropped out, so that the
    network does not rely on the exact values of the training films.

    Args:
        names: Names of the features, stored with the weights.
        steps: Number of optimization steps.
        channels: Width of the network.
    """
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    sample = np.concatenate([example.features[::7].astype(np.float32) for example in examples])
    mean, spread = sample.mean(0), sample.std(0) + 0.02
    network = _build(len(names), channels)
    average = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.05)
    smoothed = float("nan")
    for step in range(steps):
        warmup, decay = min(1, step / 100), 0.505 + 0.495 * np.cos(np.pi * step / steps)
        optimizer.param_groups[0]["lr"] = 2e-3 * warmup * decay
        batch = _batch(examples, mean, spread, rng)
        loss = _loss(network(torch.from_numpy(batch[0])), *map(torch.from_numpy, batch[1:]))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        smoothed = loss.item() if step == 0 else 0.98 * smoothed + 0.02 * loss.item()
        with torch.no_grad():
            for name, value in network.state_dict().items():
                average[name].lerp_(value, 0.005)
        if step % 250 == 249:
            print(f"step {step + 1:5} of {steps}: loss {smoothed:.4f}", flush=True)
    weights = {**average, "mean": torch.from_numpy(mean), "spread": torch.from_numpy(spread)}
    metadata = {"dilations": " ".join(map(str, DILATIONS)), "measures": ",".join(names)}
    save_file({name: value[None].contiguous() for name, value in weights.items()}, out, metadata)
    return smoothed


def _batch(
    examples: Sequence[Example], mean: Floats, spread: Floats, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Draw windows of films: features [b n f], cut, mixed, kind, weight [b n]; padding has weight 0."""
    rows = []
    for _ in range(BATCH):
        example = examples[int(rng.integers(len(examples)))]
        start = int(rng.integers(0, max(1, len(example.cut) - LENGTH)))
        span = slice(start, start + LENGTH)
        x = (example.features[span].astype(np.float32) - mean) / spread
        x = x * np.exp(rng.normal(0, 0.15, x.shape[1])) + rng.normal(0, 0.15, x.shape[1])
        short = LENGTH - len(x)
        rows.append(
            [
                np.pad(x.astype(np.float32), ((0, short), (0, 0))),
                *(np.pad(values[span], (0, short)) for values in (example.cut, example.mixed)),
                np.pad(example.kind[span], (0, short), constant_values=-1),
                np.pad(example.weight[span], (0, short)),
            ]
        )
    return tuple(np.stack(values) for values in zip(*rows, strict=True))


def _build(features: int, channels: int) -> Any:
    """Build the network of `network.py` as a torch module with the same parameter names."""
    import torch
    from torch.nn import functional

    class TrainableNetwork(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module("in", torch.nn.Linear(features, channels))
            for number, dilation in enumerate(DILATIONS):
                block = torch.nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)
                block.add_module("mix", torch.nn.Linear(channels, channels))
                self.add_module(str(number), block)
            self.add_module("out", torch.nn.Linear(channels, 2 + len(KINDS)))

        def forward(self, x: torch.Tensor) -> torch.Tensor:  # [b n f] -> [b n 5]
            parts = dict(self.named_children())
            x = functional.gelu(parts["in"](functional.dropout(x, 0.35, self.training)), approximate="tanh")
            for number in range(len(DILATIONS)):
                block = parts[str(number)]
                convolved = functional.gelu(block(x.transpose(1, 2)).transpose(1, 2), approximate="tanh")
                x = x + block.mix(convolved)  # type: ignore[operator]
            logits: torch.Tensor = parts["out"](x)
            return logits

    return TrainableNetwork()


def _loss(logits: Any, cut: Any, mixed: Any, kind: Any, weight: Any) -> Any:
    """Sum of cross entropies. A cut found one frame off counts a fifth, a missed cut three times."""
    import torch
    from torch.nn import functional

    entropy = functional.binary_cross_entropy_with_logits
    cuts = entropy(logits[..., 0], cut, reduction="none", pos_weight=torch.tensor(3.0))
    next_to_cut = (functional.max_pool1d(cut[:, None], 3, 1, 1)[:, 0] > 0) & (cut == 0)
    transitions = entropy(logits[..., 1], mixed, reduction="none")
    total = ((4 * torch.where(next_to_cut, 0.2 * cuts, cuts) + transitions) * weight).mean()
    known = kind >= 0
    kinds = functional.cross_entropy(logits[..., 2:][known], kind[known]) if known.any() else 0
    return total + 0.1 * kinds
