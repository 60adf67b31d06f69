"""python -m stages.shots.learning VIDEO ... : make films from single-shot videos and drawn worlds, and learn.

The films' measures are kept in a folder, and used again where they are there. DECISIONS.md says from
which videos the bundled weights came.
"""

import argparse
from dataclasses import fields
from pathlib import Path

import numpy as np

from stages.shots.learning.film import film
from stages.shots.learning.sources import animated, filmed, painted
from stages.shots.learning.teach import Example, example, teach
from stages.shots.network import WEIGHTS

DRAWN = 40  # worlds, and as many animations


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", nargs="*", type=Path, help="each of one shot")
    parser.add_argument("--keep", type=Path, required=True, help="folder for the films' measures")
    parser.add_argument("--films", type=int, default=600)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--channels", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    asked = parser.parse_args()
    asked.keep.mkdir(parents=True, exist_ok=True)
    missing = [n for n in range(asked.films) if not (asked.keep / f"{n:05}.npz").exists()]
    if missing:
        rng = np.random.default_rng(asked.seed)
        clips = list(filmed(asked.videos))
        sources = [*clips, *painted(rng, 40), *animated(rng, 40)]
        chances = np.array([3.0] * len(clips) + [1.0] * 40 + [1.0] * 40)
        print(
            f"{len(clips)} clips, 40 painted worlds, 40 animations; {len(missing)} films to make", flush=True
        )
        for number in missing:
            own = np.random.default_rng([asked.seed, number])
            cast = [sources[k] for k in own.choice(len(sources), 12, p=chances / chances.sum())]
            made, names = example(film(own, cast), own)
            stored = {f.name: getattr(made, f.name) for f in fields(made)}
            np.savez(asked.keep / f"{number:05}.npz", names=names, **stored)
    examples, names = [], []
    for number in range(asked.films):
        with np.load(asked.keep / f"{number:05}.npz") as stored:
            names = stored["names"].tolist()
            examples.append(Example(**{f.name: stored[f.name] for f in fields(Example)}))
    teach(examples, names, asked.out, steps=asked.steps, channels=asked.channels, seed=asked.seed)
    print(f"learned from {sum(len(e.cut) for e in examples)} frames of {len(examples)} films: {asked.out}")


if __name__ == "__main__":
    main()
