"""python -m stages.shots.training VIDEO … : train the boundary network on films made of single-shot videos.

The training films are also made of rendered worlds and motion graphics. The features of the films are kept in
a folder and reused. stages/DECISIONS.md describes the films of the bundled weights.
"""

import argparse
from dataclasses import fields
from pathlib import Path

import numpy as np

from stages.shots.network import WEIGHTS
from stages.shots.training.sources import filmed_sources, graphics_sources, rendered_sources
from stages.shots.training.synthetic_film import synthesize_film
from stages.shots.training.train import Example, make_example, train

RENDERED = 40  # number of rendered worlds, and of motion graphics


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", nargs="*", type=Path, help="videos of one shot each")
    parser.add_argument("--keep", type=Path, required=True, help="folder for the features of the films")
    parser.add_argument("--films", type=int, default=600, help="number of training films")
    parser.add_argument("--steps", type=int, default=2000, help="optimization steps")
    parser.add_argument("--channels", type=int, default=40, help="width of the network")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random choices")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="file of the trained weights")
    args = parser.parse_args()
    args.keep.mkdir(parents=True, exist_ok=True)
    missing = [n for n in range(args.films) if not (args.keep / f"{n:05}.npz").exists()]
    if missing:
        rng = np.random.default_rng(args.seed)
        clips = list(filmed_sources(args.videos))
        sources = [*clips, *rendered_sources(rng, RENDERED), *graphics_sources(rng, RENDERED)]
        weights = np.array([3.0] * len(clips) + [1.0] * RENDERED + [1.0] * RENDERED)
        print(
            f"{len(clips)} clips, {RENDERED} rendered worlds, {RENDERED} motion graphics;"
            f" {len(missing)} films to make",
            flush=True,
        )
        for number in missing:
            film_rng = np.random.default_rng([args.seed, number])
            chosen = film_rng.choice(len(sources), 12, p=weights / weights.sum())
            film = synthesize_film(film_rng, [sources[k] for k in chosen])
            example, names = make_example(film, film_rng)
            arrays = {f.name: getattr(example, f.name) for f in fields(example)}
            np.savez(args.keep / f"{number:05}.npz", names=names, **arrays)
    examples, names = [], []
    for number in range(args.films):
        with np.load(args.keep / f"{number:05}.npz") as stored:
            names = stored["names"].tolist()
            examples.append(Example(**{f.name: stored[f.name] for f in fields(Example)}))
    train(examples, names, args.out, steps=args.steps, channels=args.channels, seed=args.seed)
    frames = sum(len(example.cut) for example in examples)
    print(f"trained on {frames} frames of {len(examples)} films: {args.out}")


if __name__ == "__main__":
    main()
