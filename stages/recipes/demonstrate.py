"""clipmill demo: generate films with ground truth; with --run, run a demo recipe on them and score it."""

import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manifests.column import Range

if TYPE_CHECKING:
    from pipeline.history.run_history import RunHistory

_DEMOS = {  # recipe of the model: its file, its step of training, and its step of sampling
    "world": ("demo.py", "train_world", "sample_video"),
    "autoregressive": ("demo_autoregressive.py", "train_autoregressive", "sample_autoregressive"),
}


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser(
        "demo",
        epilog="example:\n  clipmill demo demo/films --run demo/store\n"
        "  clipmill demo demo/films --run demo/store --recipe autoregressive",
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder for the generated films")
    parser.add_argument("--run", metavar="STORE", help="run the demo recipe on the films in this store")
    parser.add_argument(
        "--recipe",
        choices=tuple(_DEMOS),
        default="world",
        help="what is trained: world, a diffusion model (default), or autoregressive, a model of codes",
    )
    parser.add_argument(
        "--seed",
        type=Range(0).argument(),
        default=7,
        metavar="N",
        help="seed of the films (default 7); same seed, same bytes",
    )
    parser.add_argument("--films", nargs="*", metavar="NAME", help="generate only these films")
    parser.add_argument(
        "--processes",
        type=Range(1).argument(),
        default=2,
        metavar="N",
        help="films generated in parallel (default 2)",
    )
    parser.add_argument("--inline", action="store_true", help="run in this process, without Ray")
    parser.add_argument(
        "--workers",
        type=Range(0).argument(),
        default=0,
        metavar="N",
        help="CPU cores that Ray may use; 0 (default) uses all",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(func=demonstrate)


def demonstrate(args: Namespace) -> int:
    from stages.footage.draw import draw, film_names

    known = film_names()
    wrong = [name for name in args.films or () if name not in known]
    if wrong:
        from manifests.messages import closest_name, join_names
        from pipeline.errors import RecipeError

        hint = closest_name(wrong[0], known)
        raise RecipeError(
            f"there is no film {wrong[0]!r}",
            remedy=(f"did you mean {hint!r}? " if hint else "") + f"films: {join_names(known, 20)}",
        )
    films = draw(args.folder, seed=args.seed, films=args.films or None, processes=args.processes)
    print(f"{len(films)} films and their ground truth are in {args.folder}")
    return _run(args) if args.run else 0


def _run(args: Namespace) -> int:
    from manifests.stores import open_store
    from pipeline.executor import Executor
    from pipeline.history.run_history import read_history
    from pipeline.progress.display import progress_display
    from pipeline.progress.stopping import exit_code_of_stop, stopped_by_signals
    from pipeline.recipes.request import RunRequest, format_command
    from pipeline.run import run_dag
    from pipeline.verbs.run import print_result
    from stages.recipes.accuracy import format_scores, score_run

    executor: Executor
    if args.inline:
        from pipeline.executors.inline import Inline

        executor = Inline()
    else:
        from pipeline.executors.on_ray import OnRay

        executor = OnRay(workers=args.workers)
    recipe = str(Path(__file__).with_name(_DEMOS[args.recipe][0]))
    request = RunRequest(recipe, {"footage": str(args.folder)}, args.run, command=args.command_line)
    dag = request.dag()
    try:
        with progress_display() as display, stopped_by_signals(display) as observer:
            result = run_dag(dag, args.run, executor=executor, observer=observer, request=request)
    except KeyboardInterrupt:  # before the run began, or a second time while it stopped
        print(f"stopped; continue with: {format_command(args.command_line)}", file=sys.stderr)
        return exit_code_of_stop()
    print_result(result, args.command_line)
    if result.exit_code:
        return result.exit_code
    history = read_history(open_store(args.run), result.run)
    print(f"\naccuracy against the ground truth in {args.folder}")
    print(format_scores(score_run(history, args.folder)))
    print()
    print((_validation if args.recipe == "world" else _token_validation)(history) + "\n")
    for name, path in _results(args.run, history, *_DEMOS[args.recipe][1:]):
        print(f"{name:11}{path}")
    return 0


def _validation(history: "RunHistory") -> str:
    """How the trained model compares with the best linear prediction on the held-out clips."""
    row = _only_row(history, "train_world", ["validation_clips", "validation_loss", "validation_linear_loss"])
    loss, linear = row["validation_loss"], row["validation_linear_loss"]
    if loss is None:
        return "no clip was held out from the training"
    below = 1 - loss / linear
    side = "below" if below >= 0 else "above"
    return (
        f"loss of the model on {row['validation_clips']} held-out clips: {loss:.3f},"
        f" {abs(below):.1%} {side} the best linear prediction ({linear:.3f})"
    )


def _token_validation(history: "RunHistory") -> str:
    """How the trained model compares with two baselines on the held-out clips."""
    names = ("clips", "cross_entropy", "unigram", "copy", "accuracy", "bits_per_pixel")
    row = _only_row(history, "train_autoregressive", [f"validation_{name}" for name in names])
    clips, cross_entropy, unigram, copy, accuracy, bits = (row[f"validation_{name}"] for name in names)
    if cross_entropy is None:
        return "no clip was held out from the training"
    sides = ["below" if cross_entropy < baseline else "above" for baseline in (unigram, copy)]
    return (
        f"cross-entropy of the model on {clips} held-out clips: {cross_entropy:.3f} nats per token,"
        f" {sides[0]} the frequencies of the ids ({unigram:.3f}) and {sides[1]} a copy of the frame before"
        f" ({copy:.3f}); accuracy {accuracy:.1%}, {bits:.4f} bits per pixel"
    )


def _only_row(history: "RunHistory", step: str, columns: list[str]) -> dict[str, Any]:
    from manifests.table import part_name, read_part

    [row] = read_part(history.store, f"{history[step].folder}/{part_name(0)}", columns).to_pylist()
    return dict(row)


def _results(url: str, history: "RunHistory", train: str, sample: str) -> Iterator[tuple[str, str]]:
    """Paths of the shards, the latents, the checkpoint and the sampled video."""
    from manifests.table import part_name, read_part

    for step, folder in (("pack_shards", "shards"), ("pack_latents", "latents")):
        yield folder, f"{url}/{history[step].folder}/{folder}"
    for step, column, name in ((train, "model", "checkpoint"), (sample, "video", "video")):
        rows = read_part(history.store, f"{history[step].folder}/{part_name(0)}", [column]).to_pylist()
        yield from ((name, f"{url}/{row[column]['path']}") for row in rows)
