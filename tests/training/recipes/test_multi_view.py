"""A training on the views of several cameras, from a model of one; its evaluation, resume and sampling."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from training.cli import main
from training.conditions.plucker import relative_poses
from training.conditions.rig import move_rig
from training.data.batches import collate
from training.data.order import SampleIndex
from training.data.shards import LatentShards
from training.diffusion.views import split_views
from training.errors import LatentMismatchError, LayoutError, SettingError, TrainingError
from training.evaluation.evaluate import evaluate
from training.model import load_model, read_model_info
from training.networks.config import VideoDiTConfig
from training.objectives.denoising import Denoising
from training.recipes.choose_network import choose_network
from training.recipes.config import TrainingConfig
from training.recipes.export import export
from training.recipes.objective import build_objective
from training.recipes.sampling import SamplingRequest, sample
from training.recipes.world import train
from training.settings.views import parse_view_neighbors
from training.tokenizers import tokenizer_digest

MakeShard = Callable[..., tuple[str, str]]
Pairs = list[tuple[str, str]]
VIEWS = ("front", "left", "rear")
CONDITIONS: dict[str, Any] = {
    "rate": 12.0,
    "camera_pose": {"unit": "m"},
    "trajectory": {"points": 4, "step_s": 0.1, "unit": "m", "frame": "car"},
}
SHORT: dict[str, Any] = {
    "batch_size": 2,
    "warmup_steps": 1,
    "checkpoint_interval": 1,
    "num_threads": 1,
    "quiet": True,
    "ema": "none",
}


def make_data(make: MakeShard, name: str, **changes: Any) -> Pairs:
    metadata = {"tokenizer_digest": tokenizer_digest("small"), **changes}
    return [make(f"{name}/000000", [f"{name}{n}" for n in range(5)], **metadata)]


@pytest.fixture(scope="module")
def data(make_module_shard: MakeShard) -> Pairs:
    return make_data(make_module_shard, "a", views=list(VIEWS), conditions=CONDITIONS)


@pytest.fixture(scope="module")
def base(make_module_shard: MakeShard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = {**SHORT, "data": make_data(make_module_shard, "single"), "steps": 2, "lr": 3e-3}
    settings["conditional_frames"] = (0.5, 0.5)
    return train(settings, tmp_path_factory.mktemp("base")).model.parent


@pytest.fixture(scope="module")
def trained(base: Path, data: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three cameras from a model of one."""
    work = tmp_path_factory.mktemp("trained")
    settings = {**SHORT, "data": data, "validation_data": data, "lr": 1e-3, "init_from": str(base)}
    settings |= {"views": "front,left,rear", "view_neighbors": "front:left", "view_dropout": 0.5}
    settings |= {"conditions": "camera,trajectory", "condition_lr_scale": 5.0, "validation_max_clips": 2}
    return train({**settings, "steps": 3}, work).model.parent


def test_a_batch_has_the_latents_captions_and_rays_of_each_view(data: Pairs) -> None:
    shards = LatentShards(data, views=VIEWS)
    shards.read_conditions(("camera", "trajectory"), trajectory_scale=2.0)
    samples = [shards.read(0, SampleIndex(0, n)) for n in range(2)]
    batch = collate(samples, [0, 1])
    assert batch.latents.shape == (2, 16, 9, 4, 6)
    assert batch.captions[:3] == tuple(f"{view} of {samples[0].id}" for view in VIEWS)
    known = batch.conditioning
    assert known.camera is not None
    assert known.trajectory is not None
    assert known.view_indices is not None
    assert known.view_indices.tolist() == [[0, 1, 2]] * 2
    stored = shards.read_frame_conditions(0, SampleIndex(0, 0))
    assert torch.allclose(known.trajectory[0] * 2, stored[0]["trajectory"].flatten())
    center = known.camera[0, :3].mean((2, 3))  # the mean direction of each latent frame of each view
    assert torch.nn.functional.normalize(center[:, [0, 3, 6]], dim=0).T.tolist() == pytest.approx(
        torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 0, -1]]), abs=1e-4
    )
    single = LatentShards(data, views=("left",))
    single.read_conditions(("camera",))
    alone = single.read(0, SampleIndex(0, 0))
    assert alone.caption == batch.captions[1]
    assert torch.equal(alone.latents.float(), split_views(batch.latents, 3)[1])
    assert float(alone.conditions["camera"][2].mean()) > 0.5  # alone, it is its own first camera


@pytest.mark.slow
def test_the_first_step_is_that_of_the_base_model_on_each_view(
    base: Path, data: Pairs, tmp_path: Path
) -> None:
    settings = {**SHORT, "data": data, "init_from": str(base), "lr": 1e-12, "weight_decay": 0.0, "steps": 1}
    settings |= {"views": "front,left,rear", "conditions": "camera,trajectory"}
    train(settings, tmp_path)
    (before, _), (model, info) = load_model(base), load_model(tmp_path)
    assert isinstance(info.network, VideoDiTConfig)
    assert info.network.view_neighbors == (("front", "left"), ("front", "rear"), ("left", "rear"))
    shards = LatentShards(data, views=VIEWS)
    shards.read_conditions(("camera", "trajectory"), trajectory_scale=10.0)
    known = collate([shards.read(0, SampleIndex(0, 0))], [0]).conditioning
    x, t = torch.randn(1, 16, 9, 4, 6, generator=torch.Generator().manual_seed(0)), torch.tensor([0.3])
    with torch.inference_mode():
        plain = replace(known, camera=None, trajectory=None, view_indices=None)
        expected = before.network(split_views(x, 3), t.expand(3), plain.map(lambda each: each.expand(3)))
        assert torch.allclose(split_views(model.network(x, t, known), 3), expected, atol=1e-5)
    assert train({**settings, "steps": 2}, tmp_path).steps == 2  # it resumes


def test_the_model_file_and_the_validation_know_the_cameras(trained: Path, data: Pairs) -> None:
    info = read_model_info(trained)
    assert isinstance(info.network, VideoDiTConfig)
    assert (info.network.views, info.network.view_neighbors) == (VIEWS, (("front", "left"),))
    assert info.network.trajectory_dim == 12
    assert list(info.latent_shapes) == [(16, 3, 4, 6)]  # of one view
    rig = info.conditions["rig"]
    assert rig["left"]["pose"][:4] == pytest.approx([0, 0, 1, 0], abs=1e-5)
    assert rig["rear"]["intrinsics"] == pytest.approx([1 / 3, 1 / 2, 1 / 2, 1 / 2])
    moved = move_rig(relative_poses(torch.eye(3, 4).repeat(2, 1, 1)), rig["rear"])
    assert moved[1, :, :3].diag().tolist() == [-1, 1, -1]
    lines = [json.loads(line) for line in (trained / "validation.jsonl").read_text().splitlines()]
    result = evaluate(trained, data, max_clips=2, num_threads=1)
    assert lines[-1]["loss_by_condition"] == pytest.approx(result.loss_by_condition)
    assert list(result.loss_by_condition) == ["right", "shuffled", "none", "other cameras", "views alone"]
    assert len(set(result.loss_by_condition.values())) == 5
    assert "views alone" in " ".join(result.details())


def test_neighbors_are_found_in_the_rig(data: Pairs) -> None:
    settings = {**SHORT, "data": data, "steps": 1, "views": "front,left,rear", "view_neighbors": "auto"}
    config = TrainingConfig(**settings, conditions="camera")
    shards = LatentShards(data, views=VIEWS)
    with pytest.raises(SettingError, match="the poses of the cameras are not read"):
        choose_network(config, shards, None)
    shards.read_conditions(("camera",))
    pairs = [("front", "left"), ("left", "rear")]  # 90 degrees apart, with fields of view of 113 degrees
    network, _ = choose_network(config, shards, None)
    assert isinstance(network, VideoDiTConfig)
    assert list(network.view_neighbors) == pairs
    network, _ = choose_network(replace(config, min_view_overlap=0.5), shards, None)
    assert isinstance(network, VideoDiTConfig)
    assert network.view_neighbors == ()


def test_steps_train_on_some_views_as_many_in_each_clip(trained: Path, data: Pairs) -> None:
    model, _ = load_model(trained)
    shards = LatentShards(data, views=VIEWS)
    batch = collate([shards.read(0, SampleIndex(0, n)) for n in range(4)], range(4))
    config = TrainingConfig(data=data, views="front,left,rear", view_dropout=1.0, text_dropout=0.5)
    objective = build_objective(config, model, model.text_encoder)
    assert isinstance(objective, Denoising)
    seen = [objective._drop_views(batch, step) for step in range(6)]
    assert {each.latents.shape[2] for each in seen} == {3, 6}
    for each in seen:
        indices = each.conditioning.view_indices
        assert indices is not None
        names = [VIEWS[n] for n in indices.flatten().tolist()]
        assert [caption.split()[0] for caption in each.captions] == names
    whole = seen[3].conditioning.view_indices
    assert whole is not None
    assert len(set(map(tuple, whole.tolist()))) > 1
    losses = [float(objective(batch, step).total) for step in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    part = collate([shards.read(0, SampleIndex(0, n)) for n in range(2, 4)], range(2, 4))
    alone = objective._drop_views(part, 3).conditioning.view_indices
    assert alone is not None
    assert torch.equal(alone, whole[2:])  # the views of a clip do not depend on its batch


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"views": "front,top,rear"}, "no view 'top'"),
        ({"views": "left,front,rear"}, "the model of init_from has the cameras front, left, rear, not left"),
        ({"views": "front"}, "has the cameras front, left, rear, not front"),
        ({"views": "front,front"}, "a camera twice"),
        ({"view_neighbors": "front:top"}, "view_neighbors names 'top', which is none of the views"),
        ({"view_neighbors": "front"}, "'front' is not CAMERA:CAMERA"),
        ({"preview_interval": 1, "preview_prompts": "x"}, "no previews of several cameras"),
        ({"init_from": "", "model": "unet3d-tiny"}, "a UNet3D cannot denoise the views of several cameras"),
    ],
)
def test_wrong_views_are_refused(
    trained: Path, data: Pairs, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    settings = {**SHORT, "data": data, "init_from": str(trained), "views": "front,left,rear", **changes}
    settings |= {"steps": 4} | ({"conditions": "camera,trajectory"} if settings["init_from"] else {})
    if "UNet" in message:
        settings["conditions"] = ""
    with pytest.raises(TrainingError, match=message):
        train({name: value for name, value in settings.items() if value != ""}, tmp_path)


def test_clips_of_one_camera_and_exports_are_refused(
    trained: Path, make_shard: MakeShard, tmp_path: Path
) -> None:
    single = make_data(make_shard, "single", conditions=CONDITIONS)
    with pytest.raises(LatentMismatchError, match="the clips have no view 'front'"):
        evaluate(trained, single)
    with pytest.raises(SettingError, match="that reads camera and trajectory and several views"):
        export(trained, tmp_path / "diffusers", "diffusers")


def test_neighbors_are_pairs_of_cameras() -> None:
    assert parse_view_neighbors("left:front+rear,front:left", VIEWS) == (("front", "left"), ("left", "rear"))
    assert parse_view_neighbors("", VIEWS) == (("front", "left"), ("front", "rear"), ("left", "rear"))
    assert parse_view_neighbors("none", VIEWS) == ()
    with pytest.raises(SettingError, match="its own neighbor"):
        parse_view_neighbors("left:left", VIEWS)


def test_views_are_sampled_in_any_order_with_their_prompts_and_cameras(trained: Path, tmp_path: Path) -> None:
    common: dict[str, Any] = {"num_inference_steps": 1, "num_threads": 1, "guidance_scale": 1.0}
    request = SamplingRequest(prompt=["a", "b", "c"], **common)
    videos = sample(trained, request).videos
    assert videos.shape == (3, 9, 32, 48, 3)
    pair = sample(trained, replace(request, prompt=["c", "a"] * 2, views=("rear", "front"))).videos
    assert pair.shape[0] == 4
    assert (pair[0] != pair[2]).any()
    forward = replace(request, camera_trajectory="forward", camera_speed=5.0, num_frames=10)
    assert sample(trained, forward).videos.shape == (3, 10, 32, 48, 3)  # in two chunks
    poses = torch.eye(3, 4).repeat(9, 1, 1)
    write_cameras(tmp_path / "drive", dict.fromkeys(VIEWS, poses))
    np.save(tmp_path / "ahead.npy", np.ones((4, 3)))
    (tmp_path / "out").mkdir()
    Image.fromarray(np.full((32, 48, 3), 90, np.uint8)).save(tmp_path / "a.png")
    command = [
        "sample",
        "--model",
        str(trained),
        "--out",
        str(tmp_path / "out/drive.mp4"),
        "--prompt",
        "a",
        "b",
    ]
    command += ["--views", "left", "front", "--image", *[str(tmp_path / "a.png")] * 2, "--num-samples", "2"]
    command += ["--num-inference-steps", "1", "--trajectory", str(tmp_path / "ahead.npy")]
    assert main([*command, "--camera-trajectory", str(tmp_path / "drive")]) == 0
    written = sorted(str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*.mp4"))
    assert written == [f"drive-{n}/{view}.mp4" for n in range(2) for view in ("front", "left")]


def write_cameras(folder: Path, cameras: dict[str, torch.Tensor]) -> None:
    folder.mkdir()
    spec = {"rate": 12.0, "camera_intrinsics": {"width": 48, "height": 32}}
    for name, poses in cameras.items():
        table = pa.table(
            {
                "camera_pose": poses.flatten(1).tolist(),
                "camera_intrinsics": [[24.0, 24, 24, 16]] * len(poses),
            }
        ).replace_schema_metadata({"clipmill.conditions": json.dumps(spec)})
        pq.write_table(table, folder / f"{name}.conditions.parquet")


def test_wrong_requests_are_refused(trained: Path, base: Path, tmp_path: Path) -> None:
    request = SamplingRequest(prompt=["", ""], views=("front", "left"), num_threads=1)
    np.save(tmp_path / "ahead.npy", np.ones((5, 3)))
    write_cameras(tmp_path / "drive", {"left": torch.eye(3, 4).repeat(9, 1, 1)})
    for changes, message in (
        ({"views": ("front", "top")}, "the model has no camera 'top'; its cameras: front, left, rear"),
        ({"views": ("front", "front")}, "a camera twice"),
        ({"prompt": [""] * 3}, "there are 3 prompts for clips of 2 views"),
        ({"image": "a.png"}, "image and video begin a clip of one camera"),
        ({"images": ["a.png"]}, "there are 1 images for 2 views"),
        ({"camera_trajectory": "forward", "camera_fov": 60.0}, "camera_fov is that of one camera"),
        ({"camera_trajectory": str(tmp_path / "drive")}, "the file cannot be read"),
        ({"trajectory": str(tmp_path / "ahead.npy")}, r"the trajectory \(5, 3\) is not \[4 3\]"),
    ):
        with pytest.raises(SettingError, match=message):
            sample(trained, replace(request, **changes))
    with pytest.raises(SettingError, match="the model has no camera 'front'; its cameras: one, unnamed"):
        sample(base, request)
    with pytest.raises(LayoutError, match="cannot share the tokens of a clip of several cameras"):
        sample(trained, request, context_group=object())  # type: ignore[arg-type]
    out = ["--out", str(tmp_path / "a.mp4"), "--num-inference-steps", "1"]
    assert main(["sample", "--model", str(trained), *out, "--prompt", "a", "b"]) == 2
    assert main(["sample", "--model", str(base), *out, "--prompt", "a", "b"]) == 2
