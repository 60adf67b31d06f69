"""clipmill submit: start the driver of a run on a Ray cluster, and leave it there."""

import os
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline.errors import RecipeError
from pipeline.recipes.redaction import redact_argument, redact_urls
from pipeline.recipes.request import RunRequest, add_recipe_arguments, parse_request
from pipeline.verbs.run import DEFAULT_ROW_TIMEOUT_S, add_run_options, max_error_share

_SHARED = "add --shared-folders if all machines of the cluster mount it at the same path"
_FILE = "file://"
_FLAGS = ("force", "retry_errors", "accept_code", "strict", "debug")


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser(
        "submit",
        description="Start a run on a Ray cluster and return. The driver runs there, as a job of Ray, so "
        "your laptop may be closed. The recipe, its own stages and this version of clipmill go with it.",
        epilog="example:\n  clipmill submit stages/recipes/curate.py footage=s3://films store=s3://out \\\n"
        "    --address http://head:8265 --follow",
    )
    add_recipe_arguments(parser)
    parser.add_argument(
        "--address",
        metavar="URL",
        help="dashboard of the cluster, for example http://head:8265 (default: RAY_API_SERVER_ADDRESS)",
    )
    parser.add_argument("--follow", action="store_true", help="print the log of the job until it ends")
    parser.add_argument("--job-id", metavar="ID", help="id of the job (default: the recipe and the time)")
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME",
        help="pass this environment variable to the driver and the workers; it is not shown in the dashboard",
    )
    parser.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="PATH",
        help="a file or folder that the run needs, such as a list of videos; it travels with the job",
    )
    parser.add_argument(
        "--shared-folders",
        action="store_true",
        help="folders in this command are mounted by all machines of the cluster at the same path",
    )
    add_run_options(parser)
    parser.set_defaults(func=submit)


def submit(args: Namespace) -> int:
    from pipeline.executors.on_ray.jobs import Jobs

    request = parse_request(args, args.command_line)
    if request.ray_address:
        raise RecipeError(
            "ray_address is an option of clipmill run",
            remedy="name the dashboard of the cluster instead: --address http://HEAD:8265",
        )
    request.dag()  # wrong knobs fail here, and not on the cluster
    places = _places(request, args)
    environment = _environment(args.env)
    job_id = args.job_id or _job_id(request)
    jobs = Jobs(args.address)
    with tempfile.TemporaryDirectory() as folder:
        _describe(Path(folder), request, args, places, environment)
        jobs.submit(job_id, Path(folder), _metadata(request), has_environment=bool(environment))
    store = redact_urls(places["store"])
    print(f"job     {job_id}\nstore   {store}")
    print(f"log     ray job logs {job_id} --follow --address {jobs.address}")
    print(f"stop    ray job stop {job_id} --address {jobs.address}")
    print(f"status  clipmill status {store}")
    return jobs.follow(job_id) if args.follow else 0


def _describe(
    folder: Path, request: RunRequest, args: Namespace, places: dict[str, str], environment: dict[str, str]
) -> None:
    """Fill the working folder of the job."""
    from pipeline.verbs.cluster.job import Job
    from pipeline.verbs.cluster.working_folder import fill_working_folder

    recipe, code = fill_working_folder(folder, request.recipe, args.include)
    arguments = [f"{name}={value}" for name, value in places.items()]
    arguments += [f"--{flag.replace('_', '-')}" for flag in _FLAGS if getattr(args, flag)]
    share = max_error_share(args, request)
    arguments += ["--max-error-share", str(share)] if share < 1 else []
    arguments += ["--workers", str(args.workers)] if args.workers else []
    arguments += (
        ["--row-timeout", f"{args.row_timeout:g}"] if args.row_timeout != DEFAULT_ROW_TIMEOUT_S else []
    )
    command = [redact_argument(argument) for argument in args.command_line]
    Job(recipe, arguments, command, environment, code).write(folder)


def _places(request: RunRequest, args: Namespace) -> dict[str, str]:
    """The knobs and the store as the cluster reads them; paths in shared folders are absolute.

    Raises:
        RecipeError: a path is on this machine only.
    """
    if not _is_url(request.store) and not args.shared_folders:
        raise RecipeError(
            f"the store {request.store} is a folder of this machine, which the cluster does not see",
            remedy=f"use a URL such as store=s3://bucket/folder, or {_SHARED}",
        )
    included = {_path(path) for path in args.include}
    texts = {knob.name for knob in request.loaded_recipe.knobs if knob.value_type is str}
    found = {}
    for name, value in request.knobs.items():
        pieces = value.split(",") if name in texts else []
        local = [piece for piece in pieces if piece and not _is_url(piece) and Path(_path(piece)).exists()]
        outside = [piece for piece in local if _path(piece) not in included]
        if outside and not args.shared_folders:
            raise RecipeError(
                f"knob {name}: {outside[0]} is on this machine, and the cluster does not see it",
                remedy=f"use a URL, {_SHARED}, or let it travel with --include {outside[0]}",
            )
        found[name] = ",".join(_place(piece, local, included) for piece in pieces) if local else value
    store = request.store if _is_url(request.store) else _path(request.store)
    return {**found, "store": store}


def _place(piece: str, local: Sequence[str], included: set[str]) -> str:
    from pipeline.verbs.cluster.working_folder import inside_name

    if piece not in local:
        return piece
    path = _path(piece)
    return inside_name(path) if path in included else path


def _is_url(text: str) -> bool:
    return "://" in text and not text.startswith(_FILE)


def _path(text: str) -> str:
    """The absolute path of a path or a file:// URL."""
    return os.path.abspath(text.removeprefix(_FILE))


def _environment(names: Sequence[str]) -> dict[str, str]:
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise RecipeError(
            f"the environment variable {missing[0]} is not set",
            remedy=f"set it here, or remove --env {missing[0]}",
        )
    return {name: os.environ[name] for name in names}


def _job_id(request: RunRequest) -> str:
    from pipeline.history.record import new_run

    return f"clipmill-{Path(request.recipe).stem}-{new_run()}"


def _metadata(request: RunRequest) -> dict[str, str]:
    """What the dashboard shows of the job."""
    version = metadata.version("clipmill")
    return {
        "recipe": Path(request.recipe).name,
        "store": redact_urls(request.store),
        "clipmill_version": version,
    }
