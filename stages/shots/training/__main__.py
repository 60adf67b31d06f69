"""python -m stages.shots.training VIDEO … : train the boundary network on films made of single-shot videos.

The training films are also made of rendered worlds, pans, motion graphics and still pictures. The videos
themselves are examples without a boundary. The features of all are kept in a folder and reused.
stages/DECISIONS.md describes the videos of the bundled weights.
"""

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from functools import partial
from pathlib import Path

import numpy as np

from stages.shots.network import WEIGHTS
from stages.shots.training.merge_networks import merge_networks
from stages.shots.training.real_examples import real_example
from stages.shots.training.sources import (
    Source,
    filmed_sources,
    graphics_sources,
    panning_sources,
    rendered_sources,
)
from stages.shots.training.synthetic_film import synthesize_film, synthesize_slide_show
from stages.shots.training.train import Example, make_example, train

RENDERED, PANS, GRAPHICS = 24, 30, 40  # number of sources
CLIP_WEIGHT = 3.0  # how much more often a film shows a video than another source
REPEATS = 3  # how often each real video is an example

_sources: list[Source] = []  # shared with the forked processes
_shares: list[float] = []  # how often a film shows each source
_examples: list[Example] = []


def main() -> None:
    import cv2
    import torch

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", nargs="*", type=Path, help="videos of one shot each")
    parser.add_argument("--keep", type=Path, required=True, help="folder for the features of the films")
    parser.add_argument("--films", type=int, default=294, help="number of training films")
    parser.add_argument("--slide-shows", type=int, default=60, help="number of films of still pictures")
    parser.add_argument(
        "--real", nargs="*", default=[], type=Path, help="films with a ground truth in NAME.json"
    )
    parser.add_argument("--steps", type=int, nargs="+", default=[2000] * 4, help="steps of each network")
    parser.add_argument("--channels", type=int, default=40, help="width of the network")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random choices")
    parser.add_argument("--processes", type=int, default=1, help="number of processes")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="file of the trained weights")
    args = parser.parse_args()
    cv2.setNumThreads(1)  # threads do not survive a fork
    torch.set_num_threads(1)
    args.keep.mkdir(parents=True, exist_ok=True)
    files = [args.keep / f"{number:05}.npz" for number in range(args.films)]
    files += [args.keep / f"slides {number:05}.npz" for number in range(args.slide_shows)]
    if not all(file.exists() for file in files):
        _draw_sources(args.videos, args.seed)
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(args.processes, fork) as pool:
        list(pool.map(partial(_make_film, seed=args.seed), files))
        real = list(pool.map(partial(_measure_video, keep=args.keep), [*args.videos, *args.real]))
    names = []
    for file in [*files, *sorted(file for file in real if file) * REPEATS]:
        with np.load(file) as stored:
            names = stored["names"].tolist()
            _examples.append(Example(**{f.name: stored[f.name] for f in fields(Example)}))
    parts = [args.keep / f"network {number}.safetensors" for number in range(len(args.steps))]
    seeds = range(args.seed, args.seed + len(parts))
    with ProcessPoolExecutor(args.processes, fork) as pool:
        list(pool.map(partial(_train, names=names, channels=args.channels), parts, args.steps, seeds))
    merge_networks(parts, args.out)
    frames = sum(len(example.cut) for example in _examples)
    print(f"trained on {frames} frames of {len(_examples)} films: {args.out}")


def _draw_sources(videos: list[Path], seed: int) -> None:
    """Read and draw the sources of all films."""
    rng = np.random.default_rng(seed)
    clips = list(filmed_sources(videos))
    _sources.extend([*clips, *panning_sources(rng, clips, PANS), *rendered_sources(rng, RENDERED)])
    _sources.extend(graphics_sources(rng, GRAPHICS))
    weights = np.where(np.arange(len(_sources)) < len(clips), CLIP_WEIGHT, 1.0)
    _shares.extend(weights / weights.sum())
    print(f"{len(clips)} clips of {len(_sources)} sources", flush=True)


def _make_film(file: Path, seed: int) -> None:
    """Make the film of a file, and write its example, unless the file exists."""
    if not file.exists():
        is_slides, number = file.stem.startswith("slides"), int(file.stem.split()[-1])
        rng = np.random.default_rng([seed, number, 1] if is_slides else [seed, number])
        chosen = rng.choice(len(_sources), 6 if is_slides else 10, p=_shares)
        synthesize = synthesize_slide_show if is_slides else synthesize_film
        _write(file, *make_example(synthesize(rng, [_sources[k] for k in chosen]), rng))


def _measure_video(path: Path, keep: Path) -> Path | None:
    """Write the example of a real video, unless the file exists; return the file, None for a reject."""
    file = keep / f"{path.parent.name} {path.name}.npz"
    if not file.exists():
        measured = real_example(path)
        if measured is None:
            return None
        _write(file, *measured)
    return file


def _write(file: Path, example: Example, names: list[str]) -> None:
    part = file.with_suffix(".part.npz")
    np.savez(part, names=names, **{f.name: getattr(example, f.name) for f in fields(example)})
    part.rename(file)


def _train(part: Path, steps: int, seed: int, *, names: list[str], channels: int) -> None:
    """Train one network on the examples."""
    train(_examples, names, part, steps=steps, channels=channels, seed=seed)


if __name__ == "__main__":
    main()
