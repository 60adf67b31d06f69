"""clipmill demo: draw the films with their truth; with --run, carry the whole recipe through and score it."""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser("demo", help="draw the demo's films and their truth, and run all of it")
    parser.add_argument("folder", metavar="DIR", type=Path, help="where the films are drawn")
    parser.add_argument("--run", metavar="STORE", help="run the demo recipe on them into this store")
    parser.add_argument("--seed", type=int, default=7, help="of the drawing; the same gives the same bytes")
    parser.add_argument("--films", nargs="*", metavar="NAME", help="only these films")
    parser.add_argument("--processes", type=int, default=2, help="that draw at once")
    parser.add_argument("--inline", action="store_true", help="in this process, without Ray")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="cores to use; 0: all")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(act=demonstrate)


def demonstrate(args: Namespace) -> int:
    from stages.footage.draw import draw, names

    known = names()
    wrong = [name for name in args.films or () if name not in known]
    if wrong:
        from manifests.wording import listed, nearest
        from pipeline.errors import RecipeError

        raise RecipeError(
            f"no film is named {wrong[0]!r}; there are {listed(known, 20)}",
            remedy=f"did you mean {nearest(wrong[0], known)!r}?",
        )
    films = draw(args.folder, seed=args.seed, films=args.films or None, processes=args.processes)
    print(f"{len(films)} films and their truth are in {args.folder}")
    return _run(args) if args.run else 0


def _run(args: Namespace) -> int:
    from pipeline.executor import Executor
    from pipeline.history.run_history import read_past
    from pipeline.progress.progress import watching
    from pipeline.recipes.request import RunRequest
    from pipeline.run import carry_out
    from stages.recipes.accuracy import accuracy, told
    from stages.recipes.demo import demo

    executor: Executor
    if args.inline:
        from pipeline.executors.inline import Inline

        executor = Inline()
    else:
        from pipeline.executors.on_ray import OnRay

        executor = OnRay(workers=args.workers)
    dag, knobs = demo(footage=str(args.folder)), {"footage": str(args.folder)}
    asked = RunRequest("stages/recipes/demo.py", knobs, args.run, words=args.words_typed)
    with watching() as watch:
        outcome = carry_out(dag, args.run, executor=executor, watch=watch, asked=asked)
    past = read_past(_store(args.run), outcome.run)
    print(f"\n{outcome.funnel.table()}\n\naccuracy against the truth in {args.folder}")
    print(told(accuracy(past, args.folder)))
    print()
    for name, path in (("report", outcome.report), *_results(args.run, past)):
        print(f"{name:11}{path}")
    return outcome.exit_code


def _store(url: str) -> Any:
    from manifests.stores import open_store

    return open_store(url)


def _results(url: str, past: Any) -> Iterator[tuple[str, str]]:
    """Where the shards, the latents, the checkpoint and the sampled video are."""
    from manifests.table import part_name, read_part

    for step, folder in (("pack_shards", "shards"), ("pack_latents", "latents")):
        yield folder, f"{url}/{past[step].folder}/{folder}"
    for step, column, name in (("train_world", "model", "checkpoint"), ("sample_video", "video", "video")):
        rows = read_part(past.store, f"{past[step].folder}/{part_name(0)}", [column]).to_pylist()
        yield from ((name, f"{url}/{row[column]['path']}") for row in rows)
