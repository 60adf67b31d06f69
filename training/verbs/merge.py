"""The command merge."""

import argparse
from pathlib import Path

from manifests import Range


def add_merge_verb(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command. It sets `func`, a function of the parsed arguments that returns the exit code."""
    merge = verbs.add_parser(
        "merge",
        help="average the weights of several models of one network",
        epilog="example:\n  clipmill merge --models /data/a /data/b --weights 0.7 0.3 --out /data/merged\n"
        "  clipmill merge --models /data/a /data/b --method ties --base /data/base --out /data/merged",
    )
    merge.add_argument(
        "--models", required=True, nargs="+", type=Path, help="folders or files of at least two models"
    )
    merge.add_argument("--out", required=True, type=Path, help="folder to write")
    merge.add_argument(
        "--weights",
        nargs="+",
        default=[],
        type=Range(0).argument(float),
        help="weight of each model; their sum is scaled to 1; by default equal",
    )
    merge.add_argument(
        "--method",
        choices=("soup", "ties", "dare"),
        default="soup",
        help="soup: the weighted mean; ties, dare: means of the differences to --base (%(default)s)",
    )
    merge.add_argument("--base", type=Path, help="model that all of them started from, for ties and dare")
    merge.add_argument(
        "--density",
        type=Range(0, 1, above=0).argument(float),
        default=0.5,
        help="share of the differences that ties and dare keep (%(default)s)",
    )
    merge.add_argument(
        "--scale",
        type=Range(0).argument(float),
        default=1.0,
        help="factor of the merged difference of ties and dare (%(default)s)",
    )
    merge.add_argument("--seed", type=Range(0).argument(), default=0, help="seed of dare (%(default)s)")
    merge.set_defaults(func=_merge)


def _merge(args: argparse.Namespace) -> int:
    from training.recipes.post_training.merge import MergeRequest, merge

    request = MergeRequest(
        models=args.models,
        weights=args.weights,
        method=args.method,
        base=args.base,
        density=args.density,
        scale=args.scale,
        seed=args.seed,
    )
    print(merge(request, args.out))
    return 0
