"""The command that computes the statistics of latents."""

import argparse
import json
from pathlib import Path

from manifests import Range


def add_statistics_verb(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `latent-statistics`."""
    statistics = verbs.add_parser(
        "latent-statistics",
        help="compute mean and standard deviation of latents, of images and of videos",
        epilog="example:\n  clipmill latent-statistics --data /data/latents --out statistics.json",
    )
    statistics.add_argument(
        "--data", required=True, action="append", help="shards, of one or several data sets, as for train"
    )
    statistics.add_argument("--out", required=True, type=Path, help="JSON file to write")
    statistics.add_argument(
        "--max-clips", type=Range(1).argument(), default=1000, help="maximum number per shape (%(default)s)"
    )
    statistics.set_defaults(func=_latent_statistics)


def _latent_statistics(args: argparse.Namespace) -> int:
    from training.data.find_shards import find_datasets
    from training.data.latent_statistics import compute_statistics
    from training.data.shards import LatentShards

    shards = LatentShards(find_datasets(args.data)[0], mixed_fps=True)
    statistics = compute_statistics(shards, args.max_clips)
    args.out.write_text(json.dumps(statistics, indent=1) + "\n")
    print(args.out)
    return 0
