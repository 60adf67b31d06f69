"""The description of a submitted run: the file `clipmill-job.json` in the working folder of its job.

It has what the entry point and the metadata of a job must not show, because everybody who sees the dashboard
of the cluster reads them.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

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
