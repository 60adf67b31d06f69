"""The script for Slurm is valid, quotes its values, and runs, stops and resumes a training on two nodes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from training.cli import main
from training.errors import SettingError
from training.planning.slurm import SlurmJob, slurm_script

MakeShard = Callable[..., tuple[str, str]]

# Each "node" runs the task of a step with its own torchrun.
SRUN = """#!/bin/bash
while [[ "$1" == --* ]]; do shift; done
trap 'kill -USR1 "${pids[@]}" 2>/dev/null' USR1
pids=()
for node in 0 1; do SLURM_NODEID=$node "$@" & pids+=($!); done
code=0
for pid in "${pids[@]}"; do
    while kill -0 "$pid" 2>/dev/null; do wait "$pid"; last=$?; done
    [[ $last == 0 ]] || code=$last
done
exit $code
"""
SCONTROL = """#!/bin/bash
if [[ $1 == show ]]; then printf '127.0.0.1\\n127.0.0.1\\n'; else echo "$@" >> "$CALLS"; fi
"""


def test_the_script_is_valid_and_quotes_its_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["slurm-script", "--nodes", "2", "--time", "24:00:00", "--setup", "source venv/bin/activate"]
    places = ["--data", "/my $data", "--data", "/b", "--stages", "s.yaml"]
    assert main([*command, *places, "--out", "/o'ut", "steps=9"]) == 0
    script = capsys.readouterr().out
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    lines = script.splitlines()
    assert lines[0] == "#!/bin/bash"
    assert {"#SBATCH --nodes=2", "#SBATCH --time=24:00:00", "#SBATCH --requeue"} <= set(lines)
    assert "#SBATCH --signal=USR1@300" in lines
    assert "source venv/bin/activate" in lines
    assert not any(line.startswith("#SBATCH --account") for line in lines)
    assert """--data '/my $data' --data /b --out '/o'"'"'ut' --stages s.yaml steps=9 || code=$?""" in script
    with pytest.raises(SettingError, match="--partition is"):
        slurm_script(SlurmJob(partition="gpu\n#SBATCH --exclusive"), ["data"], "out")
    assert main([*command, "--data", "d", "--out", "o", "stpes=9"]) == 2
    assert "did you mean steps?" in capsys.readouterr().err


@pytest.mark.slow
def test_a_job_stops_at_a_signal_and_resumes(make_shard: MakeShard, tmp_path: Path) -> None:
    shard = make_shard("a/000000", [f"clip{n}" for n in range(4)], shape=(16, 1, 4, 4))
    out, tools, calls = tmp_path / "out", tmp_path / "tools", tmp_path / "calls"
    tools.mkdir()
    torchrun = f'#!/bin/bash\nexec {sys.executable} -m torch.distributed.run "$@"\n'
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("torchrun", torchrun)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "CALLS": str(calls)}
    slurm = {"SLURM_JOB_ID": "417", "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "node[0-1]"}
    environment |= {**slurm, "OMP_NUM_THREADS": "1"}

    def start(steps: int) -> "subprocess.Popen[bytes]":
        knobs = [f"steps={steps}", "batch_size=2", "num_threads=1", "quiet=true", "checkpoint_interval=9999"]
        script = slurm_script(
            SlurmJob(nodes=2, gpus_per_node=0), [str(Path(shard[0]).parents[1])], str(out), knobs
        )
        return subprocess.Popen(["bash", "-c", script], env=environment, start_new_session=True)

    job = start(100_000)
    curve = out / "curve.jsonl"
    while not (curve.exists() and len(curve.read_text().splitlines()) > 2):
        assert job.poll() is None
        time.sleep(0.2)
    for pid in _trainers(job.pid):
        os.kill(pid, signal.SIGUSR1)
    assert job.wait(120) == 0
    assert calls.read_text() == "requeue 417\n"
    step = int((out / "checkpoints" / "latest").read_text().removeprefix("step-"))
    assert step == json.loads(curve.read_text().splitlines()[-1])["step"]
    assert not (out / "model.safetensors").exists()
    assert start(step + 1).wait(120) == 0
    assert (out / "model.safetensors").exists()
    assert calls.read_text() == "requeue 417\n"  # not again


def _trainers(job: int) -> list[int]:
    """The Python processes of a job, torchrun included: Slurm signals all processes of a step."""
    processes = psutil.Process(job).children(recursive=True)
    return [process.pid for process in processes if process.name().startswith("python")]
