"""The command slurm-script."""

import argparse
from dataclasses import fields

from manifests import Range


def add_slurm_verb(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command. It sets `func`, a function of the parsed arguments that returns the exit code."""
    slurm = verbs.add_parser(
        "slurm-script",
        help="print a script for sbatch that runs a training on several nodes",
        epilog="example:\n  clipmill slurm-script --nodes 4 --data /data/latents --out /data/training"
        " > train.sbatch",
    )
    slurm.add_argument("--data", required=True, action="append", help="as for train")
    slurm.add_argument("--validation-data", default="", help="as for train")
    slurm.add_argument("--stages", default="", help="as for train")
    slurm.add_argument("--out", required=True, help="as for train; all nodes must share it")
    slurm.add_argument("knobs", nargs="*", metavar="KNOB=VALUE", help="as for train")
    for name, least, default, text in (
        ("nodes", 1, 1, "nodes"),
        ("gpus-per-node", 0, 8, "GPUs per node; 0: one process per node on the CPU"),
        ("cpus-per-task", 0, 0, "CPU cores per node; 0: left to Slurm"),
        ("signal-seconds", 1, 300, "seconds before the time limit at which the training saves and ends"),
    ):
        slurm.add_argument(
            f"--{name}", type=Range(least).argument(), default=default, help=f"{text} (%(default)s)"
        )
    for name, default_text, text in (
        ("time", "", "time limit, such as 24:00:00"),
        ("partition", "", "partition"),
        ("account", "", "account"),
        ("job-name", "clipmill-train", "name of the job (%(default)s)"),
        ("setup", "", "shell commands that run first, such as: source venv/bin/activate"),
    ):
        slurm.add_argument(f"--{name}", default=default_text, help=text)
    slurm.set_defaults(func=_print_script)


def _print_script(args: argparse.Namespace) -> int:
    from training.planning.slurm import SlurmJob, slurm_script
    from training.verbs.knobs import parse_knobs

    parse_knobs(args.knobs)  # a wrong one is refused here, and not after hours in the queue
    validation = ["--validation-data", args.validation_data] if args.validation_data else []
    stages = ["--stages", args.stages] if args.stages else []
    job = SlurmJob(**{field.name: getattr(args, field.name) for field in fields(SlurmJob)})
    print(slurm_script(job, args.data, args.out, [*validation, *stages, *args.knobs]), end="")
    return 0
