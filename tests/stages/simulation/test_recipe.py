"""From simulated rooms to latents: the recipe keeps all videos, with their captions, splits and poses."""

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
from stages.simulation.action import PushEpisodes
from stages.simulation.camera import CameraRooms
from stages.simulation.rendering import load_mujoco
from stages.simulation.write_films import write_films


@pytest.mark.slow
def test_latents_have_the_caption_the_split_and_the_poses_of_their_video(tmp_path: Path) -> None:
    try:
        load_mujoco()
    except ClipmillError as error:
        pytest.skip(f"nothing can be drawn here: {error}")
    films = tmp_path / "films"
    listed = write_films(
        films, CameraRooms(frames=9, width=64, height=64), 4, validation_share=0.25, processes=2
    )
    once = {path.name: path.read_bytes() for path in films.iterdir()}
    write_films(films, CameraRooms(frames=9, width=64, height=64), 4, validation_share=0.25)
    assert once == {path.name: path.read_bytes() for path in films.iterdir()}
    with listed.open(encoding="utf-8") as file:
        rows = {row["uri"]: row for row in csv.DictReader(file)}
    knobs = (f"footage={listed}", f"store={tmp_path / 'store'}", "conditions=camera", "latent_px=64")
    assert main(["run", "stages/recipes/simulation.py", *knobs, "latent_video_frames=9", "--inline"]) == 0
    found = set()
    for path in (tmp_path / "store").glob("pack_latents-*/latents*/**/*.tar"):
        with tarfile.open(path) as tar:
            members = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
        for name in (name for name in members if name.endswith(".json")):
            key, sample = name.removesuffix(".json"), json.loads(members[name])
            source = sample["source"]
            found.add(source)
            assert members[f"{key}.txt"].decode() == rows[source]["caption"]
            assert ("latents-validation" in str(path)) == (rows[source]["split"] == "validation")
            poses = load(members[f"{key}.conditions.safetensors"])["camera_pose"]
            sidecar = read_conditions(sidecar_uri(str(films / source)) or "")
            np.testing.assert_allclose(poses.reshape(9, 12), sidecar.columns["camera_pose"])
    assert found == {*rows}


def test_latents_of_pixels_are_the_frames_of_the_simulator(tmp_path: Path) -> None:
    pytest.importorskip("pymunk", reason="the extra `simulation` is not installed")
    episodes = PushEpisodes(frames=7, size=32)
    listed = write_films(tmp_path / "films", episodes, 2, validation_share=0, lossless=True)
    knobs = (f"footage={listed}", f"store={tmp_path / 'store'}", "conditions=action", "latent_px=32")
    frames = ("latent_video_frames=3", "min_window_frames=3", "tokenizer=pixels-4")
    assert main(["run", "stages/recipes/simulation.py", *knobs, *frames, "--inline"]) == 0
    clips = []
    for path in (tmp_path / "store").glob("pack_latents-*/latents*/**/*.tar"):
        with tarfile.open(path) as tar:
            members = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
        for name in (name for name in members if name.endswith(".json")):
            key, sample = name.removesuffix(".json"), json.loads(members[name])
            latents = load(members[f"{key}.safetensors"])["latents"].astype(np.float32)
            blocks = latents.reshape(3, 4, 4, 3, 8, 8).transpose(3, 4, 1, 5, 2, 0)
            pixels = ((blocks + 1) * 127.5).round().astype(np.uint8).reshape(3, 32, 32, 3)
            action = load(members[f"{key}.conditions.safetensors"])["action"]
            clips.append((sample["source"], pixels, action))
    assert len(clips) == 4
    for scene in range(2):
        film = episodes.simulate(scene)[0]
        windows = [(film.frames[i : i + 3], film.conditions["action"][i : i + 2]) for i in (0, 3)]
        made = [clip[1:] for clip in clips if clip[0] == f"{film.name}.mp4"]
        for frames_made, action_made in made:
            assert any(
                np.array_equal(frames_made, shown) and np.allclose(action_made, action, atol=1e-6)
                for shown, action in windows
            )
