"""Learning rates follow their schedule, and the EMA has the requested width."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from training.errors import SettingError
from training.loop.ema import EMA, NoEMA, build_ema, sigma_rel_to_gamma
from training.loop.lr_schedule import lr_schedule
from training.networks.config import MODEL_CONFIGS, VideoDiTConfig
from training.recipes.export import export
from training.recipes.world import train


def test_warmup_then_constant() -> None:
    lr = lr_schedule(1.0, warmup_steps=3)
    assert [lr(s) for s in (0, 1, 2, 3, 99)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_a_cosine_ends_at_its_minimum() -> None:
    lr = lr_schedule(2.0, warmup_steps=2, decay="cosine", total_steps=12, min_lr_share=0.1)
    assert lr(2) == 2.0
    assert lr(7) == pytest.approx(1.1)
    assert lr(12) == lr(50) == pytest.approx(0.2)


def test_a_linear_decay_ends_at_zero() -> None:
    lr = lr_schedule(2.0, decay="linear", total_steps=4)
    assert [lr(step) for step in range(5)] == [2.0, 1.5, 1.0, 0.5, 0.0]


@pytest.mark.parametrize(
    "arguments", [{"decay": "exponential"}, {"decay": "cosine", "warmup_steps": 5, "total_steps": 5}]
)
def test_an_impossible_schedule_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        lr_schedule(1.0, **arguments)  # type: ignore[arg-type]


def test_the_ema_weights_steps_by_a_power() -> None:
    """Against the profile: after n steps, step i has the weight (i^(g+1) - (i-1)^(g+1)) / n^(g+1)."""
    model = nn.Linear(1, 1, bias=False)
    ema = EMA(model, 0.1)
    power = sigma_rel_to_gamma(0.1) + 1
    values = [0.3, -1.0, 2.0, 5.0, -4.0]
    for step, value in enumerate(values, 1):
        nn.init.constant_(model.weight, value)
        ema.update(step)
    shares = [(i**power - (i - 1) ** power) / len(values) ** power for i in range(1, len(values) + 1)]
    expected = sum(share * value for share, value in zip(shares, values, strict=True))
    torch.testing.assert_close(float(ema.weights["weight"]), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("sigma_rel", "gamma"), [(0.05, 16.97), (0.10, 6.94)])
def test_gamma_equals_the_published_values(sigma_rel: float, gamma: float) -> None:
    assert sigma_rel_to_gamma(sigma_rel) == pytest.approx(gamma, abs=0.005)


def test_a_fixed_ema_warms_up_to_its_decay() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.0)
    ema, expected = build_ema(model, "fixed", decay=0.5), 0.0
    for step, decay in ((1, 2 / 11), (2, 3 / 12), (3, 4 / 13), (20, 0.5)):
        nn.init.constant_(model.weight, float(step))
        ema.update(step)
        expected = decay * expected + (1 - decay) * step
    assert float(ema.weights["weight"]) == pytest.approx(expected, rel=1e-6)


def test_without_ema_the_average_is_the_weights() -> None:
    model = nn.Linear(1, 1, bias=False)
    ema = build_ema(model, "none")
    nn.init.constant_(model.weight, 3.0)
    ema.update(1)
    assert float(ema.weights["weight"]) == 3
    with pytest.raises(SettingError, match="no ema 'half'"):
        build_ema(model, "half")


@pytest.mark.slow
def test_without_ema_a_checkpoint_has_the_weights_once(
    make_shard: Callable[..., tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And checkpoints that have them twice, of older versions, are read."""
    network = VideoDiTConfig(num_attention_heads=2, attention_head_dim=24, num_layers=2)
    monkeypatch.setitem(MODEL_CONFIGS, "tiny", network)
    settings: dict[str, Any] = {"batch_size": 1, "num_threads": 1, "quiet": True, "text_encoder": "none"}
    settings |= {"data": [make_shard("a/000000", ["c0"], shape=(16, 1, 4, 4))], "ema": "none"}
    small, large = tmp_path / "small", tmp_path / "large"
    trained = train({**settings, "steps": 1}, small)
    with monkeypatch.context() as older:
        older.setattr(NoEMA, "state_dict", lambda self: dict(self.weights))
        train({**settings, "steps": 1}, large)
    record = large / "checkpoints/step-00000001/record.json"
    values = json.loads(record.read_text())
    assert values.pop("parts") == ["ema", "model", "optimizers"]
    record.write_text(json.dumps(values))
    sizes = [sum(f.stat().st_size for f in place.glob("checkpoints/*/*.distcp")) for place in (small, large)]
    assert sizes[1] - sizes[0] >= 4 * trained.parameters
    assert sizes[0] < 1.5 * 3 * 4 * trained.parameters  # weights, two moments, and headers of small tensors
    model = trained.model.read_bytes()
    for place in (small, large):
        assert export(place, tmp_path / "out").path.read_bytes() == model
        again = train({**settings, "steps": 2}, place)
    assert again.model.read_bytes() == (small / "model.safetensors").read_bytes() != model
    averaged = train({**settings, "steps": 3, "ema": "power"}, small)  # it begins at the weights
    assert averaged.steps == 3
