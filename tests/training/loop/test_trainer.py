"""The loop gives the same losses at any layout of ranks, and the same bits after any resume."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

OnRanks = Callable[..., str]
Runs = tuple[Path, dict[str, Any]]
TOY = Path(__file__).with_name("toy_ranks.py")


@pytest.fixture(scope="module")
def runs(on_ranks: OnRanks, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """On one rank: eight steps in one go; four, and then the rest; three, then a poisoned step."""
    at = tmp_path_factory.mktemp("runs")
    steps = {"whole": "whole:8:1:1:-1", "half": "half:4:1:1:-1", "copied": "copied:4:1:1:-1"}
    more = {"rest": "half:8:1:1:-1", "few": "few:3:1:1:-1", "poisoned": "few:8:1:1:5"}
    asked = steps | more
    said = json.loads(on_ranks(1, TOY, *(f"{at}/{scenario}" for scenario in asked.values())))
    return at, dict(zip(asked, said, strict=True))


def weights(folder: Path) -> list[dict[str, torch.Tensor]]:
    return torch.load(folder / "weights.pt", weights_only=True)


def test_a_resumed_training_is_the_same_to_the_bit(runs: Runs) -> None:
    at, said = runs
    assert said["half"]["losses"] + said["rest"]["losses"] == said["whole"]["losses"]
    for got, wanted in zip(weights(at / "half"), weights(at / "whole"), strict=True):
        assert got.keys() == wanted.keys()
        assert all(torch.equal(got[name], wanted[name]) for name in wanted)
    assert sorted(p.name for p in (at / "half").glob("step-*")) == ["step-00000006", "step-00000008"]


def test_a_training_goes_on_with_other_ranks(on_ranks: OnRanks, runs: Runs, tmp_path: Path) -> None:
    at, said = runs
    shutil.copytree(at / "copied", tmp_path, dirs_exist_ok=True)
    (rest,) = json.loads(on_ranks(2, TOY, f"{tmp_path}:8:1:2:-1"))
    assert rest["losses"] == pytest.approx(said["whole"]["losses"][4:], rel=1e-5)
    for got, wanted in zip(weights(tmp_path), weights(at / "whole"), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_replicas_of_shards_give_the_same_losses(on_ranks: OnRanks, runs: Runs, tmp_path: Path) -> None:
    (four,) = json.loads(on_ranks(4, TOY, f"{tmp_path}:8:2:1:-1"))
    assert four["losses"] == pytest.approx(runs[1]["whole"]["losses"], rel=1e-5)


def test_a_loss_that_is_no_number_stops_the_training(runs: Runs) -> None:
    at, said = runs
    assert "at step 5 the loss is nan" in said["poisoned"]["error"]
    assert "sample-5-3" in said["poisoned"]["error"]
    assert (at / "few" / "latest").read_text() == "step-00000003"
