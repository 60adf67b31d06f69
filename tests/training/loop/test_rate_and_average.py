"""Rates follow their shape; averages have the width that was asked for."""

import pytest
import torch
from torch import nn

from training.loop.ema import EMA, power_of
from training.loop.lr_schedule import rates


def test_a_rate_warms_up_and_stays() -> None:
    rate = rates(1.0, warmup=3)
    assert [rate(s) for s in (0, 1, 2, 3, 99)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_a_cosine_falls_to_its_floor() -> None:
    rate = rates(2.0, warmup=2, shape="cosine", until=12, floor_share=0.1)
    assert rate(2) == 2.0
    assert rate(7) == pytest.approx(1.1)
    assert rate(12) == rate(50) == pytest.approx(0.2)


@pytest.mark.parametrize("wrong", [{"shape": "linear"}, {"shape": "cosine", "warmup": 5, "until": 5}])
def test_a_rate_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        rates(1.0, **wrong)  # type: ignore[arg-type]


def test_an_average_weighs_steps_by_a_power() -> None:
    """Against the profile itself: after n steps, step i weighs i^(g+1) - (i-1)^(g+1) over n^(g+1)."""
    model = nn.Linear(1, 1, bias=False)
    average = EMA(model, 0.1)
    power = power_of(0.1) + 1
    seen = [0.3, -1.0, 2.0, 5.0, -4.0]
    for step, value in enumerate(seen, 1):
        nn.init.constant_(model.weight, value)
        average.after_step(step)
    shares = [(i**power - (i - 1) ** power) / len(seen) ** power for i in range(1, len(seen) + 1)]
    wanted = sum(share * value for share, value in zip(shares, seen, strict=True))
    torch.testing.assert_close(float(average.weights["weight"]), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("width", "power"), [(0.05, 16.97), (0.10, 6.94)])
def test_powers_are_those_that_were_published(width: float, power: float) -> None:
    assert power_of(width) == pytest.approx(power, abs=0.005)
