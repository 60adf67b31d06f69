"""From simulated arms to a model: the recipe keeps the actions, and a training reads them."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from manifests import ClipmillError
from pipeline.cli import main
from stages.conditions.sidecar import read_conditions, sidecar_uri
from stages.simulation.rendering import load_mujoco
from training.model import load_model
from training.recipes.world import train


@pytest.mark.slow
def test_a_model_is_trained_on_the_actions_of_an_arm(tmp_path: Path) -> None:
    try:
        load_mujoco()
    except ClipmillError as error:
        pytest.skip(f"nothing can be drawn here: {error}")
    films = tmp_path / "films"
    command = ["simulate", "arm", "--scenes", "4", "--frames", "6", "--fps", "6", "--size", "32"]
    assert main([*command, "--validation-share", "0", "--out", str(films)]) == 0
    knobs = (f"footage={films / 'list.csv'}", f"store={tmp_path / 'store'}", "tokenizer=pixels-4")
    windows = ("latent_px=32", "latent_fps=6", "latent_video_frames=6", "min_window_frames=6")
    command = ["run", "stages/recipes/simulation.py", *knobs, *windows, "conditions=action", "--inline"]
    assert main(command) == 0
    [shard] = (tmp_path / "store").glob("pack_latents-*/latents/**/*.tar")
    found = 0
    with tarfile.open(shard) as tar:
        for name in (name for name in tar.getnames() if name.endswith(".json")):
            source = json.load(tar.extractfile(name))["source"]  # type: ignore[arg-type]
            packed = tar.extractfile(name.replace(".json", ".conditions.safetensors"))
            sidecar = read_conditions(sidecar_uri(str(films / source)) or "")
            actions = load(packed.read())["action"]  # type: ignore[union-attr]
            np.testing.assert_allclose(actions, sidecar.columns["action"][:5], atol=1e-6)
            found += 1
    assert found == 4
    settings = {
        "data": [(str(shard), str(shard.with_suffix(".parquet")))],
        "model": "unet3d-nano",
        "conditions": "action",
        "text_dropout": 0.0,
        "batch_size": 2,
        "lr": 2e-3,
        "warmup_steps": 0,
        "steps": 3,
        "ema": "none",
        "num_threads": 1,
        "quiet": True,
    }
    train(settings, tmp_path / "model")
    _, info = load_model(tmp_path / "model")
    action = info.conditions["action"]
    assert action["names"] == ["tip_velocity_x", "tip_velocity_y", "tip_velocity_z"]
    assert action["units"] == ["0.4 m/s"] * 3
    assert info.conditions["rate"] == 6
    assert max(action["std"]) > 0.1
