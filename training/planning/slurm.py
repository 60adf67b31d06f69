"""Writes a script for Slurm that runs a training with torchrun on several nodes and resumes it."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from training.errors import SettingError

BODY = """
set -euo pipefail
{setup}
# The nodes meet on the first one; a port that depends on the job keeps jobs on one node apart.
nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
endpoint="${{nodes%%$'\\n'*}}:$((29500 + SLURM_JOB_ID % 1000))"

# Slurm sends SIGUSR1 to all processes before the time limit, and SIGTERM at a preemption. The trainer saves a
# checkpoint and ends; torchrun ignores both signals and waits for it.
code=0
srun --ntasks-per-node=1 --kill-on-bad-exit=1 bash -c 'trap "" USR1 TERM; exec "$@"' node \\
    torchrun --nnodes="$SLURM_NNODES" --nproc-per-node={processes} \\
    --rdzv-id="$SLURM_JOB_ID" --rdzv-backend=c10d --rdzv-endpoint="$endpoint" \\
    --signals-to-handle=SIGINT,SIGHUP,SIGQUIT \\
    -m {command} || code=$?

# Slurm queues preempted jobs again by itself. After SIGUSR1 the job does it, and resumes.
if grep -qs SIGUSR1 {stopped}; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


@dataclass(frozen=True, kw_only=True)
class SlurmJob:
    """What Slurm has to know about a training.

    Attributes:
        nodes: Nodes.
        gpus_per_node: GPUs per node, and processes per node; 0 runs one process per node on the CPU.
        cpus_per_task: CPU cores per node; 0 leaves it to Slurm.
        time: Time limit, such as 24:00:00 or 2-00:00:00; "" leaves it to Slurm.
        partition: Partition; "" leaves it to Slurm.
        account: Account; "" leaves it to Slurm.
        job_name: Name of the job.
        signal_seconds: Seconds before the time limit at which the trainer is asked to stop. It must be more
            than a step and a checkpoint take.
        setup: Shell commands that run first, such as the activation of an environment.
    """

    nodes: int = 1
    gpus_per_node: int = 8
    cpus_per_task: int = 0
    time: str = ""
    partition: str = ""
    account: str = ""
    job_name: str = "clipmill-train"
    signal_seconds: int = 300
    setup: str = ""


def slurm_script(job: SlurmJob, data: Sequence[str], out: str, options: Sequence[str] = ()) -> str:
    """The text of a script for sbatch.

    Args:
        job: The resources.
        data: Each `--data` of the command train.
        out: `--out` of the command train, on a file system that all nodes share.
        options: Its other arguments.

    Raises:
        SettingError: A value for Slurm has characters that it cannot have.
    """
    places = [part for place in data for part in ("--data", place)]
    values = {
        "job-name": job.job_name,
        "nodes": job.nodes,
        "ntasks-per-node": 1,
        "gpus-per-node": job.gpus_per_node,
        "cpus-per-task": job.cpus_per_task,
        "time": job.time,
        "partition": job.partition,
        "account": job.account,
        "signal": f"USR1@{job.signal_seconds}",
        "open-mode": "append",
    }
    for name, value in values.items():
        if not re.fullmatch(r"[\w.:@,+-]*", str(value)):
            raise SettingError(
                f"--{name} is {value!r}", remedy="use letters, digits and the characters . : @ , + - _"
            )
    lines = [f"#SBATCH --{name}={value}" for name, value in values.items() if value]
    body = BODY.format(
        setup=job.setup,
        processes=job.gpus_per_node or 1,
        command=shlex.join(["training", "train", *places, "--out", out, *options]),
        stopped=shlex.quote(f"{out.rstrip('/')}/stopped"),
    )
    return "\n".join(["#!/bin/bash", *lines, "#SBATCH --requeue"]) + "\n" + body.lstrip("\n")
