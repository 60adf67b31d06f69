"""From films whose cuts are known to the weights of the network, by plain supervised learning."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from stages.scan.meter import View, meter_named
from stages.shots.evidence import evidence
from stages.shots.learning.film import Made
from stages.shots.network import KINDS

DILATIONS = (1, 2, 4, 8, 16, 1)
LENGTH, BATCH = 256, 12  # frames of one example; examples of one step


@dataclass(frozen=True)
class Example:
    """A film as the network sees it, and what it should say; all arrays have one row per frame."""

    measures: np.ndarray  # float16 [n measures]
    cut: np.ndarray  # 1 at the first frame after a cut
    mixed: np.ndarray  # 1 within a transition
    kind: np.ndarray  # its number in KINDS, else -1
    weight: np.ndarray  # how much the frame counts


class _Picture:
    """A frame of a film that was never a file, as a meter's view wants it."""

    turns = 0

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels = pixels

    def borrowed(self, layout: str, **_: Any) -> np.ndarray:
        return self._pixels


def example(made: Made, rng: np.random.Generator) -> tuple[Example, list[str]]:
    """The film encoded, decoded and measured as the scan and the scorer do it; and the measures' names."""
    meters = [meter_named("content"), meter_named("repeats")]
    change, thumbs = [], []
    for number, picture in enumerate(_coded(made.frames, rng)):
        size = picture.shape[1], picture.shape[0]
        view = View(_Picture(picture), number / 25, 0.04, size)  # type: ignore[arg-type]
        change.append([*meters[0].update(view), meters[1].update(view)[0]])
        thumbs.append(view.thumb)
    luma, chroma = (np.stack(cells) for cells in zip(*thumbs, strict=True))
    measures, names = evidence(luma, chroma, np.array(change, np.float32))
    frames = len(made.frames)
    cut, mixed, weight = np.zeros((3, frames), np.float32)
    kind, weight = np.full(frames, -1), weight + 1
    cut[made.cuts] = 1
    for start, end, name in made.transitions:
        mixed[start:end], kind[start:end] = 1, KINDS.index(name)
        weight[max(0, start - 1) : start + 1] *= 0.5
        weight[end - 1 : end + 1] *= 0.5
    for start, end in made.unsure:
        weight[max(0, start) : end] = 0
    return Example(measures.astype(np.float16), cut, mixed, kind, weight), names


def _coded(frames: Sequence[np.ndarray], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The frames after x264, at some quality from good to bad."""
    import av

    height, width = (side // 2 * 2 for side in frames[0].shape[:2])
    buffer = BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {
            "crf": str(int(rng.integers(14, 38))),
            "preset": "veryfast",
            "g": str(int(rng.choice([12, 25, 50, 250]))),
            "threads": "1",
        }
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:height, :width]), format="bgr24")
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer) as coded:
        coded.streams.video[0].thread_type = "NONE"
        for frame in coded.decode(video=0):
            yield frame.to_ndarray(format="bgr24")


def teach(
    examples: Sequence[Example], names: Sequence[str], out: Path, *, steps: int, channels: int, seed: int
) -> float:
    """Learn, write the averaged weights as safetensors, and return the last loss.

    Measures are scaled and shifted at random, each film its own way, and many are left out: what is
    learned must not hang on the exact numbers of the films that it was learned from.
    """
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    sample = np.concatenate([e.measures[::7].astype(np.float32) for e in examples])
    mean, spread = sample.mean(0), sample.std(0) + 0.02
    network = _build(len(names), channels)
    average = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.05)
    loss = float("nan")
    for step in range(steps):
        warm, left = min(1, step / 100), 0.505 + 0.495 * np.cos(np.pi * step / steps)
        optimizer.param_groups[0]["lr"] = 2e-3 * warm * left
        batch = _batch(examples, mean, spread, rng)
        told = _loss(network(torch.from_numpy(batch[0])), *map(torch.from_numpy, batch[1:]))
        optimizer.zero_grad()
        told.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        loss = told.item() if step == 0 else 0.98 * loss + 0.02 * told.item()
        with torch.no_grad():
            for name, value in network.state_dict().items():
                average[name].lerp_(value, 0.005)
        if step % 250 == 249:
            print(f"step {step + 1:5} of {steps}: loss {loss:.4f}", flush=True)
    weights = {**average, "mean": torch.from_numpy(mean), "spread": torch.from_numpy(spread)}
    told_of = {"dilations": " ".join(map(str, DILATIONS)), "measures": ",".join(names)}
    save_file({name: value.contiguous() for name, value in weights.items()}, out, told_of)
    return loss


def _batch(
    examples: Sequence[Example], mean: np.ndarray, spread: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Spans of films: measures [b n m], cut, mixed, kind, weight [b n]; beyond an end nothing counts."""
    rows = []
    for _ in range(BATCH):
        film = examples[rng.integers(len(examples))]
        start = int(rng.integers(0, max(1, len(film.cut) - LENGTH)))
        span = slice(start, start + LENGTH)
        x = (film.measures[span].astype(np.float32) - mean) / spread
        x = x * np.exp(rng.normal(0, 0.15, x.shape[1])) + rng.normal(0, 0.15, x.shape[1])
        short = LENGTH - len(x)
        rows.append(
            [
                np.pad(x.astype(np.float32), ((0, short), (0, 0))),
                *(np.pad(values[span], (0, short)) for values in (film.cut, film.mixed)),
                np.pad(film.kind[span], (0, short), constant_values=-1),
                np.pad(film.weight[span], (0, short)),
            ]
        )
    return tuple(np.stack(values) for values in zip(*rows, strict=True))


def _build(measures: int, channels: int) -> Any:
    """The network of `network.py`, as something that learns; its parameters have the same names."""
    import torch
    from torch.nn import functional

    class Learner(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module("in", torch.nn.Linear(measures, channels))
            for number, dilation in enumerate(DILATIONS):
                block = torch.nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)
                block.add_module("mix", torch.nn.Linear(channels, channels))
                self.add_module(str(number), block)
            self.add_module("out", torch.nn.Linear(channels, 2 + len(KINDS)))

        def forward(self, x: torch.Tensor) -> torch.Tensor:  # [b n m] -> [b n 5]
            parts = dict(self.named_children())
            x = functional.gelu(parts["in"](functional.dropout(x, 0.35, self.training)), approximate="tanh")
            for number in range(len(DILATIONS)):
                block = parts[str(number)]
                heard = functional.gelu(block(x.transpose(1, 2)).transpose(1, 2), approximate="tanh")
                x = x + block.mix(heard)  # type: ignore[operator]
            made: torch.Tensor = parts["out"](x)
            return made

    return Learner()


def _loss(said: Any, cut: Any, mixed: Any, kind: Any, weight: Any) -> Any:
    """Cross entropies; a cut said one frame off counts a fifth, a missed one three times."""
    import torch
    from torch.nn import functional

    entropy = functional.binary_cross_entropy_with_logits
    cuts = entropy(said[..., 0], cut, reduction="none", pos_weight=torch.tensor(3.0))
    beside = (functional.max_pool1d(cut[:, None], 3, 1, 1)[:, 0] > 0) & (cut == 0)
    mixtures = entropy(said[..., 1], mixed, reduction="none")
    total = ((4 * torch.where(beside, 0.2 * cuts, cuts) + mixtures) * weight).mean()
    known = kind >= 0
    kinds = functional.cross_entropy(said[..., 2:][known], kind[known]) if known.any() else 0
    return total + 0.1 * kinds
