"""python -m stages.shots.training VIDEO … : train the boundary network on films made of single-shot videos.

The training films are also made of rendered worlds, pans and motion graphics. The features of the films are
kept in a folder and reused. The videos themselves are examples without a boundary. stages/DECISIONS.md
describes the videos of the bundled weights.
"""

import argparse
from dataclasses import fields
from pathlib import Path

import numpy as np

from stages.shots.network import WEIGHTS
from stages.shots.training.merge_networks import merge_networks
from stages.shots.training.real_examples import real_examples
from stages.shots.training.sources import (
    filmed_sources,
    graphics_sources,
    panning_sources,
    rendered_sources,
)
from stages.shots.training.synthetic_film import synthesize_film
from stages.shots.training.train import Example, make_example, train

RENDERED, PANS, GRAPHICS = 24, 30, 40  # number of sources
REPEATS = 3  # how often each real video is an example


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", nargs="*", type=Path, help="videos of one shot each")
    parser.add_argument("--keep", type=Path, required=True, help="folder for the features of the films")
    parser.add_argument("--films", type=int, default=295, help="number of training films")
    parser.add_argument(
        "--real", nargs="*", default=[], type=Path, help="films with a ground truth in NAME.json"
    )
    parser.add_argument("--steps", type=int, nargs="+", default=[800, 2000], help="steps of each network")
    parser.add_argument("--channels", type=int, default=40, help="width of the network")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random choices")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="file of the trained weights")
    args = parser.parse_args()
    args.keep.mkdir(parents=True, exist_ok=True)
    missing = [n for n in range(args.films) if not (args.keep / f"{n:05}.npz").exists()]
    if missing:
        rng = np.random.default_rng(args.seed)
        clips = list(filmed_sources(args.videos))
        pans, worlds = panning_sources(rng, clips, PANS), rendered_sources(rng, RENDERED)
        sources = [*clips, *pans, *worlds, *graphics_sources(rng, GRAPHICS)]
        weights = np.array([3.0] * len(clips) + [1.0] * (len(sources) - len(clips)))
        print(f"{len(clips)} clips of {len(sources)} sources; {len(missing)} films to make", flush=True)
        for number in missing:
            film_rng = np.random.default_rng([args.seed, number])
            chosen = film_rng.choice(len(sources), 10, p=weights / weights.sum())
            film = synthesize_film(film_rng, [sources[k] for k in chosen])
            example, names = make_example(film, film_rng)
            arrays = {f.name: getattr(example, f.name) for f in fields(example)}
            np.savez(args.keep / f"{number:05}.npz", names=names, **arrays)
    examples, names = [], []
    for number in range(args.films):
        with np.load(args.keep / f"{number:05}.npz") as stored:
            names = stored["names"].tolist()
            examples.append(Example(**{f.name: stored[f.name] for f in fields(Example)}))
    examples += [*real_examples([*args.videos, *args.real])] * REPEATS
    parts = [args.keep / f"network {number}.safetensors" for number in range(len(args.steps))]
    for number, (part, steps) in enumerate(zip(parts, args.steps, strict=True)):
        train(examples, names, part, steps=steps, channels=args.channels, seed=args.seed + number)
    merge_networks(parts, args.out)
    frames = sum(len(example.cut) for example in examples)
    print(f"trained on {frames} frames of {len(examples)} films: {args.out}")


if __name__ == "__main__":
    main()
