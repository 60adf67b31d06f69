"""The predicted peak memory is that of real trainings."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.planning.plan import plan_training
from training.recipes.config import TrainingSettings

MakeShard = Callable[..., tuple[str, str]]
SHAPE = (16, 5, 32, 32)
# Freed memory returns to the system at once, so the resident memory is what tensors use.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_ARENA_MAX": "1"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("activation_checkpointing", ["none", "selective", "full"])
def test_the_predicted_peak_is_within_a_tenth_of_the_measured_one(
    activation_checkpointing: str, make_shard: MakeShard, tmp_path: Path
) -> None:
    # The copy for an asynchronous checkpoint is planned apart, as CPU memory, and has a test of its own.
    common = {"batch_size": 2, "num_threads": 1, "precision": "fp32", "async_checkpoint": False}
    settings: dict[str, Any] = {
        **common,
        "model": "small",
        "steps": 2,
        "activation_checkpointing": activation_checkpointing,
    }
    small = {**common, "quiet": True, "steps": 1, "data": [make_shard("small/000000", ["x0", "x1"])]}
    large = {**settings, "quiet": True, "data": [make_shard("large/000000", ["c0", "c1", "c2"], shape=SHAPE)]}
    command = [sys.executable, str(Path(__file__).with_name("measured_training.py"))]
    command += [json.dumps(small), json.dumps(large), str(tmp_path)]
    ran = subprocess.run(
        command, env=os.environ | ALLOCATOR, check=True, capture_output=True, text=True, timeout=250
    )
    plan = plan_training(TrainingSettings(**settings), SHAPE, text_tokens=4)
    measured = int(ran.stdout.split()[-1])
    print(f"{activation_checkpointing}: measured {measured / plan.peak:.3f} of the prediction")
    assert measured == pytest.approx(plan.peak, rel=0.1)
