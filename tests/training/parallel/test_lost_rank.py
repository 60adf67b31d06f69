"""A rank that is killed or stopped ends the training with one message; a rank that is slow does not."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

MakeShard = Callable[..., tuple[str, str]]
OnRanks = Callable[..., str]

HANG_S = 150  # no rank may run on for longer
KNOBS = ["model=tiny", "batch_size=6", "checkpoint_interval=5", "num_threads=1", "train_timeout_seconds=10"]


def start(data: Path, out: Path, ranks: int, steps: int) -> "subprocess.Popen[str]":
    """Start a training whose ranks wait for each other for 10 s, and whose rest torchrun ends within 5 s."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    command += ["-m", "training", "train", "--data", str(data), "--out", str(out)]
    return subprocess.Popen(
        [*command, *KNOBS, f"steps={steps}", "quiet=true"],
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "5"},
    )


def find_rank(process: "subprocess.Popen[str]", rank: int) -> int:
    """The process id of a rank."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        if f"RANK={rank}" in Path(f"/proc/{child}/environ").read_text().split("\0"):
            return int(child)
    raise AssertionError(f"no rank {rank} among {children}")


def is_running(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(("sent", "ranks"), [(signal.SIGKILL, 3), (signal.SIGSTOP, 2)])
def test_a_lost_rank_ends_all_with_one_message(
    sent: signal.Signals, ranks: int, rank: int, make_shard: MakeShard, tmp_path: Path
) -> None:
    make_shard("a/000000", [f"clip{n}" for n in range(6)])
    out, latest = tmp_path / "out", tmp_path / "out" / "checkpoints" / "latest"
    process = start(tmp_path / "shards", out, ranks, 100_000)
    pids: list[int] = []
    try:
        deadline = time.monotonic() + HANG_S
        while not latest.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        pids = [find_rank(process, each) for each in range(ranks)]
        os.kill(pids[rank], sent)
        printed, _ = process.communicate(timeout=HANG_S)
        assert not any(map(is_running, pids))
    finally:
        for pid in filter(is_running, [*pids, process.pid]):
            os.kill(pid, signal.SIGKILL)
    assert process.returncode == 1
    assert printed.count("another rank ended, or does not answer") == 1, printed
    assert printed.count("Run again to resume from the last checkpoint") == 1
    assert printed.count("Traceback") == 1, printed  # of torchrun itself

    step = int(latest.read_text().removeprefix("step-"))
    before = (out / "curve.jsonl").read_text().splitlines()
    resumed = start(tmp_path / "shards", out, ranks, step + 2)
    printed, _ = resumed.communicate(timeout=HANG_S)
    assert f"{step + 2} steps" in printed
    after = (out / "curve.jsonl").read_text().splitlines()
    assert after[:step] == before[:step]  # with the same times, so these steps were not taken again
    assert len(after) == step + 2


@pytest.mark.slow
def test_ranks_wait_where_one_may_take_long(on_ranks: OnRanks, make_shard: MakeShard, tmp_path: Path) -> None:
    shards = [make_shard("a/000000", ["clip0", "clip1"]), make_shard("b/000000", ["c0", "c1"], (16, 1, 4, 6))]
    script = Path(__file__).with_name("waiting_ranks.py")
    printed = on_ranks(2, script, tmp_path / "work", json.dumps(shards))
    assert printed == "trained True\nan ordinary step is not so long\n"
