"""Sample the held-out episodes from their first frame and an instruction: the right one, and a wrong one.

python sample.py MODEL FILMS OUT

writes OUT/right/NAME.mp4 and OUT/wrong/NAME.mp4 for each film of the split "validation" of FILMS/list.csv.
The films are as long as those. Each chunk begins with the last frames of the chunk before it.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import torch

from training.evaluation.world.films import read_film
from training.model import ModelInfo, load_model
from training.recipes.rollout import Frames, roll_out
from training.recipes.sampling import SamplingRequest, sample, write_video
from training.world_model import WorldModel


def sample_films(
    model: tuple[WorldModel, ModelInfo], first: Frames, prompts: list[str], num_frames: int, steps: int
) -> Frames:
    """Films, uint8 [b t h w 3], that begin with first frames [b 1 h w 3] and follow prompts."""
    odds = model[1].training["conditional_frames"]
    context = max(number for number, share in enumerate(odds) if share)  # the latents have one frame each

    def sample_chunk(number: int, start: int, shown: Frames | None) -> Frames:
        request = SamplingRequest(
            prompt=prompts, guidance_scale=1.0, num_inference_steps=steps, seed=number, sampler="euler"
        )
        given = torch.from_numpy(np.ascontiguousarray(first if shown is None else shown))
        return sample(model, request, given=given).videos

    return roll_out(sample_chunk, num_frames, context)


def main() -> None:
    """Sample the films that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("model", "films", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--num-inference-steps", type=int, default=1, help="1 predicts the mean (1)")
    args = parser.parse_args()
    with (args.films / "list.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "validation"]
    truth = [read_film(args.films / row["uri"]) for row in rows]
    right, rng = [row["caption"] for row in rows], np.random.default_rng(0)
    wrong = [str(rng.choice(sorted({*right} - {caption}))) for caption in right]
    first, (frames, fps) = np.stack([film[:1] for film, _ in truth]), truth[0]
    model = load_model(args.model)
    for folder, prompts in (("right", right), ("wrong", wrong)):
        (args.out / folder).mkdir(parents=True, exist_ok=True)
        films = sample_films(model, first, prompts, len(frames), args.num_inference_steps)
        for film, row in zip(films, rows, strict=True):
            write_video(film, fps, args.out / folder / row["uri"])


if __name__ == "__main__":
    main()
