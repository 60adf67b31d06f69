"""Sample held-out rooms from their first frame, with their own camera and with that of another room.

python sample.py MODEL FILMS OUT

writes OUT/truth/NAME.mp4, OUT/right/NAME.mp4 and OUT/shuffled/NAME.mp4 for films of the split "validation" of
FILMS/list.csv, enlarged for the features of `evaluate world`. OUT/truth has their cameras too.
"""

import argparse
import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import torch

from training.conditions.condition_files import read_camera
from training.conditions.plucker import fit_intrinsics
from training.evaluation.world.films import read_film
from training.model import load_model
from training.recipes.rollout import Frames
from training.recipes.sampling import SamplingRequest, sample, write_video

SIDECAR = ".conditions.parquet"


def resize(film: Frames, side: int) -> Frames:
    """Square frames, uint8 [t h w 3], of another size."""
    method = cv2.INTER_AREA if side < film.shape[1] else cv2.INTER_CUBIC
    return np.stack([cv2.resize(frame, (side, side), interpolation=method) for frame in film])


def main() -> None:
    """Sample the films that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("model", "films", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--frames", type=int, default=9, help="frames of a film (9)")
    parser.add_argument("--rooms", type=int, default=24, help="greatest number of rooms (24)")
    parser.add_argument(
        "--size", type=int, default=64, help="width and height of the model's frames in px (64)"
    )
    parser.add_argument("--saved-size", type=int, default=256, help="those of the films in px (256)")
    args = parser.parse_args()
    with (args.films / "list.csv").open(encoding="utf-8") as file:
        names = [row["uri"] for row in csv.DictReader(file) if row["split"] == "validation"][: args.rooms]
    read = [read_film(args.films / name) for name in names]
    fps, height = read[0][1], read[0][0].shape[1]
    truth = np.stack([resize(film[: args.frames], args.size) for film, _ in read])
    cameras = [read_camera((args.films / name).with_suffix(SIDECAR), fps, (height, height)) for name in names]
    poses = torch.stack([pose[: args.frames] for pose, _ in cameras])
    intrinsics = torch.stack([each[: args.frames] for _, each in cameras])
    intrinsics = fit_intrinsics(intrinsics, (height, height), (args.size, args.size))
    films, model = {"truth": truth}, load_model(args.model)
    request = SamplingRequest(
        prompt=[""] * len(names), num_inference_steps=1, sampler="euler", guidance_scale=1.0
    )
    given = torch.from_numpy(truth[:, :1].copy())
    for folder, shift in (("right", 0), ("shuffled", 3)):  # the room three numbers later has another motion
        known = {"camera_pose": poses.roll(-shift, 0), "camera_intrinsics": intrinsics}
        films[folder] = sample(model, request, conditions=known, given=given).videos
    for folder, made in films.items():
        (args.out / folder).mkdir(parents=True, exist_ok=True)
        for film, name in zip(made, names, strict=True):
            write_video(resize(film, args.saved_size), fps, args.out / folder / name)
    for name in names:
        sidecar = Path(name).with_suffix(SIDECAR)
        shutil.copyfile(args.films / sidecar, args.out / "truth" / sidecar)


if __name__ == "__main__":
    main()
