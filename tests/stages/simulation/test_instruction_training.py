"""From simulated instructions to a model: the captions reach it, and it is given nothing else but a frame."""

import csv
import json
import tarfile
from pathlib import Path

import pytest
import torch

from pipeline.cli import main
from stages.simulation.instruction import InstructionEpisodes, instruct
from stages.simulation.write_films import write_films
from training.evaluation.world.films import read_film
from training.model import load_model
from training.recipes.sampling import SamplingRequest, sample
from training.recipes.world import train

pytest.importorskip("pymunk", reason="the extra `simulation` is not installed")


@pytest.mark.slow
def test_a_model_is_trained_on_the_captions_and_without_actions(tmp_path: Path) -> None:
    listed = write_films(tmp_path / "films", InstructionEpisodes(fps=6.0, frames=6, size=32), 4)
    with listed.open(encoding="utf-8") as file:
        captions = {row["uri"]: row["caption"] for row in csv.DictReader(file)}
    knobs = (f"footage={listed}", f"store={tmp_path / 'store'}", "tokenizer=pixels-4", "latent_px=32")
    windows = ("latent_fps=6", "latent_video_frames=6", "min_window_frames=6", "--inline")
    assert main(["run", "stages/recipes/simulation.py", *knobs, *windows]) == 0
    [shard] = (tmp_path / "store").glob("pack_latents-*/latents/**/*.tar")
    found = {}
    with tarfile.open(shard) as tar:
        names = tar.getnames()
        for name in (name for name in names if name.endswith(".json")):
            sample_json = json.load(tar.extractfile(name))  # type: ignore[arg-type]
            text = tar.extractfile(name.replace(".json", ".txt"))
            found[sample_json["source"]] = text.read().decode()  # type: ignore[union-attr]
    assert found == captions
    assert not any("conditions" in name for name in names)
    settings = {
        "data": [(str(shard), str(shard.with_suffix(".parquet")))],
        "model": "unet3d-nano",
        "given_residual": True,
        "text_dropout": 0.0,
        "conditional_frames": (0.0, 1.0),
        "condition_timestep": 0.001,
        "high_noise_share": 1.0,
        "batch_size": 2,
        "lr": 2e-3,
        "warmup_steps": 0,
        "steps": 3,
        "ema": "none",
        "num_threads": 1,
        "quiet": True,
    }
    train(settings, tmp_path / "model")
    world, info = load_model(tmp_path / "model")
    assert not info.conditions
    given = torch.from_numpy(read_film(tmp_path / "films" / next(iter(captions)))[0])[None, :1]
    videos = []
    for edge in ("left", "right", "left"):
        request = SamplingRequest(prompt=[instruct(edge)], guidance_scale=1.0, num_inference_steps=1)
        videos.append(torch.from_numpy(sample((world, info), request, given=given).videos))
    assert videos[0][:, :1].equal(given)
    assert videos[0].equal(videos[2])
    assert not videos[0].equal(videos[1])  # from the same noise, the text makes the difference
