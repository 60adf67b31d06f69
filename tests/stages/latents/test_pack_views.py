"""Shards of recordings have the text and the conditions of each camera, as a training reads them."""

import json
from pathlib import Path

import torch
from safetensors.torch import save

from manifests import Artifact
from stages.latents.pack_views import EncodedView, PackedViews, PackViews
from training.data.batches import collate
from training.data.order import SampleIndex
from training.data.shards import LatentShards

PROVENANCE = {"tokenizer": "t", "tokenizer_digest": "d", "stride": [4, 8, 8], "dtype": "float16", "fps": 12.0}
TEXT = {"clipmill": json.dumps({"name": "t5", "embed_dim": 3})}
CONDITIONS = {
    "rate": 12.0,
    "camera_pose": {"unit": "m"},
    "trajectory": {"points": 2, "step_s": 0.1, "unit": "m", "frame": "car"},
}
CAMERAS = ("front", "left")


def view(number: int) -> EncodedView:
    """A view whose latents, text and position have the number of its camera."""
    pose = torch.eye(3, 4).repeat(9, 1, 1)
    pose[:, 0, 3] = number
    conditions = {
        "camera_pose": pose,
        "camera_intrinsics": torch.tensor([16.0, 16, 16, 16]).repeat(9, 1),
        "trajectory": torch.full((2, 3), 1.0 + number),
    }
    latents = {"latents": torch.full((4, 3, 4, 4), float(number)).half()}
    stated = {"clipmill": json.dumps(CONDITIONS)}
    return EncodedView(
        id=f"{number:016x}",
        recording="street",
        recording_cameras=CAMERAS,
        recording_clip="clip",
        camera_name=CAMERAS[number],
        camera_number=number,
        camera_calibration="{}",
        window_first_frame=0,
        window_frames=9,
        latents=Artifact.of(save(latents, {"clipmill": json.dumps(PROVENANCE)}), ".safetensors"),
        latent_channels=4,
        latent_frames=3,
        latent_height=4,
        latent_width=4,
        conditions=Artifact.of(save(conditions, stated), ".safetensors"),
        text_embeddings=Artifact.of(
            save({"text_embeddings": torch.full((2 + number, 3), 1.0 + number)}, TEXT), ".safetensors"
        ),
        caption=f"the {CAMERAS[number]} camera",
        source="a.mp4",
        start_s=0.0,
        end_s=1.0,
    )


def test_a_training_reads_what_belongs_to_each_camera(tmp_path: Path) -> None:
    rows, stage = [view(0), view(1)], PackViews()
    fitted = stage.fit([], stage.tally(rows))
    [group, _] = stage.assign(rows, fitted)
    packed = next(iter(stage.settle(group, rows, fitted)))
    assert isinstance(packed, PackedViews)
    tar, index = tmp_path / "0.tar", tmp_path / "0.parquet"
    tar.write_bytes(packed.latents_shard.read())
    index.write_bytes(packed.latents_index.read())
    shards = LatentShards([(str(tar), str(index))], views=("left", "front"))
    shards.read_text()
    shards.read_conditions(("camera", "trajectory"))
    batch = collate([shards.read(0, SampleIndex(0, 0))], [0])
    known = batch.conditioning
    assert batch.captions == ("the left camera", "the front camera")
    assert batch.latents[0, 0, :, 0, 0].tolist() == [1, 1, 1, 0, 0, 0]
    assert known.text_embeddings is not None
    assert known.text_embeddings[0, :, :, 0].tolist() == [[2, 2, 2], [1, 1, 0]]
    assert known.text_mask is not None
    assert known.text_mask.tolist() == [[[1, 1, 1], [1, 1, 0]]]
    assert known.camera is not None
    assert not known.camera[0, 3:, :3].any()  # left is the first camera here
    assert known.camera[0, 3:, 3:].any()
    assert known.trajectory is not None
    assert known.trajectory.tolist() == [[2.0] * 6]
    single = LatentShards([(str(tar), str(index))], views=("front",))
    single.read_text()
    [text] = single.read(0, SampleIndex(0, 0)).text_embeddings
    assert text.tolist() == [[1.0] * 3] * 2
