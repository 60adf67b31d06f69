"""The loop gives the same losses on any number of ranks, and the same bits after a resume."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from training.loop.optimization_step import OptimizationStep
from training.loop.trainer import Trainer

OnRanks = Callable[..., str]
Runs = tuple[Path, dict[str, Any]]
TOY = Path(__file__).with_name("toy_ranks.py")


@pytest.fixture(scope="module")
def runs(on_ranks: OnRanks, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """On one rank: eight steps at a time; four, then the others; three, then a NaN; one is killed."""
    folder = tmp_path_factory.mktemp("runs")
    killed = f"{folder}/killed:8:1:1:-1"
    on_ranks(1, TOY, killed, "kill=unfinished-00000006/.metadata", exit_code=-signal.SIGKILL)
    assert (folder / "killed" / "latest").read_text() == "step-00000003"
    assert (folder / "killed" / "unfinished-00000006" / "__0_0.distcp").exists()
    steps = {"whole": "whole:8:1:1:-1", "half": "half:4:1:1:-1", "copied": "copied:4:1:1:-1"}
    more = {"rest": "half:8:1:1:-1", "few": "few:3:1:1:-1", "nan": "few:8:1:1:5"}
    more |= {"skip": "skip:8:1:1:5:1", "lr": "lr:4:1:1:-1", "half lr": "lr:8:1:1:-1:0:0.5"}
    more |= {"killed": "killed:8:1:1:-1"}
    scenarios = steps | more
    results = json.loads(on_ranks(1, TOY, *(f"{folder}/{each}" for each in scenarios.values())))
    return folder, dict(zip(scenarios, results, strict=True))


def weights(folder: Path) -> list[dict[str, torch.Tensor]]:
    return torch.load(folder / "weights.pt", weights_only=True)


def test_a_resumed_training_gives_the_same_bits(runs: Runs) -> None:
    folder, results = runs
    assert results["half"]["losses"] + results["rest"]["losses"] == results["whole"]["losses"]
    for got, expected in zip(weights(folder / "half"), weights(folder / "whole"), strict=True):
        assert got.keys() == expected.keys()
        assert all(torch.equal(got[name], expected[name]) for name in expected)
    assert sorted(p.name for p in (folder / "half").glob("step-*")) == ["step-00000006", "step-00000008"]


def test_a_training_resumes_on_another_number_of_ranks(on_ranks: OnRanks, runs: Runs, tmp_path: Path) -> None:
    folder, results = runs
    shutil.copytree(folder / "copied", tmp_path, dirs_exist_ok=True)
    (rest,) = json.loads(on_ranks(2, TOY, f"{tmp_path}:8:1:2:-1"))
    assert rest["losses"] == pytest.approx(results["whole"]["losses"][4:], rel=1e-5)
    for got, expected in zip(weights(tmp_path), weights(folder / "whole"), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_a_training_killed_while_it_writes_a_checkpoint_resumes_from_the_one_before(runs: Runs) -> None:
    folder, results = runs
    assert results["killed"]["losses"] == results["whole"]["losses"][3:]
    assert not list((folder / "killed").glob("unfinished-*"))


@pytest.mark.slow
def test_replicas_of_shards_give_the_same_losses(on_ranks: OnRanks, runs: Runs, tmp_path: Path) -> None:
    (four,) = json.loads(on_ranks(4, TOY, f"{tmp_path}:8:2:1:-1"))
    assert four["losses"] == pytest.approx(runs[1]["whole"]["losses"], rel=1e-5)


def test_a_nan_loss_stops_the_training(runs: Runs) -> None:
    folder, results = runs
    assert "at step 5 the loss or the gradient is not finite" in results["nan"]["error"]
    assert "sample-5-3" in results["nan"]["error"]
    assert "goes on from its checkpoint of step 3" in results["nan"]["error"]
    assert (folder / "few" / "latest").read_text() == "step-00000003"


def test_a_diverged_training_goes_on_after_skipped_steps(runs: Runs) -> None:
    """A skipped step changes no weight, and the steps after it are those of the other batches."""
    folder, results = runs
    assert results["skip"]["skipped"] == [6]
    assert len(results["skip"]["losses"]) == 7
    assert results["skip"]["losses"][:5] == results["whole"]["losses"][:5]
    assert all(torch.isfinite(w).all() for w in weights(folder / "skip")[0].values())
    # The checkpoint of the skipped step 6 is that of step 7: the weights may have diverged already.
    assert sorted(each.name for each in (folder / "skip").glob("step-*")) == [
        "step-00000007",
        "step-00000008",
    ]


def test_a_training_resumes_with_another_lr_and_records_it(runs: Runs) -> None:
    folder, results = runs
    assert results["half lr"]["changes"] == {"lr": [1.0, 0.5]}
    assert results["half lr"]["losses"][0] == results["whole"]["losses"][4]  # before the first changed step
    assert results["half lr"]["losses"][1] != results["whole"]["losses"][5]
    record = json.loads((folder / "lr" / "step-00000008" / "record.json").read_text())
    assert record["history"] == [
        {"step": 0, "settings": {"lr": 1.0}},
        {"step": 4, "settings": {"lr": 0.5}},
    ]


def test_two_optimization_steps_have_their_own_metrics(runs: Runs) -> None:
    metrics = runs[1]["whole"]["metrics"]
    assert {"loss", "grad_norm", "lr", "size", "second/loss", "second/grad_norm", "second/lr"} <= set(metrics)
    assert "second/loss" in metrics
    with pytest.raises(ValueError, match="different names"):
        Trainer(torch.nn.Linear(1, 1), [OptimizationStep(None, None, None)] * 2, None, None, None, None)  # type: ignore[arg-type]
