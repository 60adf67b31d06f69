"""Starts the driver of a run on a cluster, in the working folder that `clipmill submit` filled.

python -m pipeline.submitted
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from pipeline.cli import main as run_command
from pipeline.verbs.cluster.job import Job, read_job, set_environment


def main() -> int:
    set_environment()
    job = read_job(Path())
    with tempfile.TemporaryDirectory() as folder:
        recipe = recipe_with_code(job, Path(folder)) if job.code else job.recipe
        return run_command(["run", recipe, *job.arguments, "--ray-address", "auto"], job.command)


def recipe_with_code(job: Job, folder: Path) -> str:
    """The YAML recipe with the places that its modules have on this machine, as a new file."""
    content: dict[str, Any] = yaml.safe_load(Path(job.recipe).read_text(encoding="utf-8"))
    content["code"] = {name: str(Path(file).resolve()) for name, file in job.code.items()}
    copy = folder / Path(job.recipe).name
    copy.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return str(copy)


if __name__ == "__main__":
    sys.exit(main())
