"""Runs on the cluster: starts the driver of a run as `clipmill submit` described it.

    python -m pipeline.verbs.cluster.job

The description is the file `clipmill-job.json` in the working folder of the job. It has what the entry point
and the metadata of a job must not show, because everybody who sees the cluster's dashboard reads them.
"""

import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

JOB_FILE = "clipmill-job.json"


@dataclass(frozen=True)
class Job:
    """A run that a cluster starts.

    Attributes:
        recipe: Path of the recipe in the working folder of the job.
        arguments: What follows the recipe on the command line of `clipmill run`.
        command: The command as messages and the record print it, without credentials.
        environment: Variables for the driver and all workers.
        code: Files of the modules that a YAML recipe names, by module, as paths in the working folder.
    """

    recipe: str
    arguments: list[str]
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    code: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write the description into the folder that becomes the working folder of the job."""
        file = folder / JOB_FILE
        file.touch(mode=0o600)
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")


def read_job(folder: Path) -> Job:
    """The description in a working folder."""
    return Job(**json.loads((folder / JOB_FILE).read_text(encoding="utf-8")))


def set_environment() -> None:
    """Set the variables of the job in this process. Ray calls this in each worker before its first task."""
    os.environ.update(read_job(Path()).environment)


def main() -> int:
    from pipeline.cli import main as run_command

    set_environment()
    job = read_job(Path())
    with tempfile.TemporaryDirectory() as folder:
        recipe = _with_code(job, Path(folder)) if job.code else job.recipe
        return run_command(["run", recipe, *job.arguments, "--ray-address", "auto"], job.command)


def _with_code(job: Job, folder: Path) -> str:
    """The YAML recipe with the places that its modules have on this machine, as a new file."""
    content: dict[str, Any] = yaml.safe_load(Path(job.recipe).read_text(encoding="utf-8"))
    content["code"] = {name: str(Path(file).resolve()) for name, file in job.code.items()}
    copy = folder / Path(job.recipe).name
    copy.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return str(copy)


if __name__ == "__main__":
    sys.exit(main())
