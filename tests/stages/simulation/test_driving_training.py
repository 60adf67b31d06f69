"""From simulated drives to a model of several cameras: the recipe keeps rays, trajectories and captions."""

import csv
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
from training.evaluation.world.films import read_film
from training.model import read_model_info
from training.networks.config import VideoDiTConfig
from training.recipes.world import train

VIEWS = ("front", "left", "right")
# The knobs of README.md: they open the rules for real footage.
OPEN = (
    "duplicates=off",
    "validation_share=0.5",
    "min_cut_score=1",
    "min_transition_score=1",
    "min_duration_s=0",
    "min_sharpness=0",
    "max_noise=1000",
    "max_overexposed_share=1",
    "max_camera_jitter=1",
    "max_overlay_share=1",
    "max_flicker=1000",
)


@pytest.mark.slow
def test_a_model_of_three_cameras_is_trained_on_drives_with_traffic(tmp_path: Path) -> None:
    try:
        load_mujoco()
    except ClipmillError as error:
        pytest.skip(f"nothing can be drawn here: {error}")
    films, store, model = tmp_path / "street", tmp_path / "store", tmp_path / "model"
    command = ["simulate", "driving", "--scenes", "2", "--frames", "17", "--width", "112", "--height", "64"]
    assert main([*command, "--traffic", "8", "--out", str(films)]) == 0
    listed = films / "list.csv"
    with listed.open(encoding="utf-8") as file:
        captions = {row["uri"]: row["caption"] for row in csv.DictReader(file)}
    assert any("moving" in caption for caption in captions.values())
    latents = ("encode_latents=true", "conditions=camera,trajectory", "fps=12", "latent_px=64")
    recipe = ["run", "stages/recipes/recordings.py", f"footage={listed}", f"store={store}", "--inline"]
    assert main([*recipe, *OPEN, *latents, "latent_video_frames=17", "min_window_frames=17"]) == 0
    found = {}
    for shard in store.glob("pack_views-*/latents*/**/*.tar"):
        with tarfile.open(shard) as tar:
            members = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
        for key in (name.removesuffix(".json") for name in members if name.endswith(".json")):
            cameras = json.loads(members[f"{key}.json"])["cameras"]
            for view in VIEWS:
                found[cameras[view]["caption"]] = load(members[f"{key}.{view}.conditions.safetensors"])
    assert {*found} == {*captions.values()}
    for uri, caption in captions.items():
        truth = read_conditions(sidecar_uri(str(films / uri)) or "").columns
        np.testing.assert_allclose(
            found[caption]["camera_pose"].reshape(17, 12), truth["camera_pose"], atol=1e-5
        )
        np.testing.assert_allclose(found[caption]["trajectory"].flatten(), truth["trajectory"][0], atol=1e-4)
    settings = {
        "data": [(str(tar), str(tar.with_suffix(".parquet"))) for tar in store.glob("pack_views-*/**/*.tar")],
        "views": "front,left,right",
        "view_neighbors": "auto",
        "conditions": "camera,trajectory",
        "batch_size": 1,
        "steps": 2,
        "ema": "none",
        "num_threads": 1,
        "quiet": True,
    }
    train(settings, model)
    info = read_model_info(model)
    assert isinstance(info.network, VideoDiTConfig)
    assert info.network.view_neighbors == (("front", "left"), ("front", "right"))
    assert info.conditions["trajectory"]["points"] == 64
    assert info.conditions["rig"]["left"]["intrinsics"][0] == pytest.approx(0.5457, abs=0.005)
    drive = films / "drive_000000"
    made = tmp_path / "made"
    made.mkdir()
    options = ["--camera-trajectory", str(drive), "--trajectory", str(drive / "front.conditions.parquet")]
    options += ["--num-inference-steps", "1", "--sampler", "euler", "--prompt", "A street."]
    assert main(["sample", "--model", str(model), "--out", str(made / "drive_000000.mp4"), *options]) == 0
    frames, _ = read_film(made / "drive_000000" / "left.mp4")
    assert frames.shape == (17, 64, 112, 3)  # no frame is cropped, so `evaluate world` can compare them
    names = sorted(path.name for path in (made / "drive_000000").glob("*.mp4"))
    assert names == [f"{view}.mp4" for view in VIEWS]
