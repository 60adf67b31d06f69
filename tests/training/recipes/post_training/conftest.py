"""A small model that was trained for two steps, with text and given frames."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from training.networks.config import MODEL_CONFIGS
from training.recipes.world import train
from training.tokenizers import tokenizer_digest

MakeShard = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def common(make_module_shard: MakeShard) -> dict[str, Any]:
    """Settings of every training."""
    made = {"tokenizer_digest": tokenizer_digest("small")}
    clips = ["clip0", "clip1", "clip2", "clip3"]
    return {
        "data": [make_module_shard("a/000000", clips, shape=(16, 2, 4, 4), **made)],
        "batch_size": 2,
        "warmup_steps": 0,
        "checkpoint_interval": 1,
        "num_threads": 1,
        "quiet": True,
    }


@pytest.fixture(scope="module")
def teacher(common: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model. Tests do not change it."""
    own = {"conditional_frames": (0.5, 0.5), "flow_shift": 3.0, "lr": 0.01, "steps": 2}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODEL_CONFIGS, "tiny", replace(MODEL_CONFIGS["tiny"], num_layers=1))
        return train({**common, **own}, tmp_path_factory.mktemp("teacher")).model.parent
