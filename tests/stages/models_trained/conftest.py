"""Packed latents or codes of short clips in which a square moves."""

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from manifests import Artifact
from manifests.stores import open_store
from stages.latents.encode_latents import ClipWindow, EncodedWindow, EncodeLatents
from stages.latents.pack_latents import EncodedWindow as Encoded
from stages.latents.pack_latents import PackLatents
from stages.media.encoding.arrays import write_mp4
from stages.models_trained.train_world import PackedLatents


def make_clip(number: int) -> Artifact:
    """One second in which a square of its own color moves."""
    images = []
    for frame in range(12):
        image = np.full((64, 96, 3), 40, np.uint8)
        image[20:40, 4 * frame : 4 * frame + 20] = (60 * number, 255 - 60 * number, 128)
        images.append(image)
    target = BytesIO()
    write_mp4(target, images, 12, preset="ultrafast")
    return Artifact.of(target.getvalue(), ".mp4")


def make_actions(number: int) -> dict[str, Any]:
    """The columns of `AddConditions` of a clip of 9 frames: its square moves by 4 px."""
    action = np.full((8, 2), (4.0, number), np.float32)
    spec = {"rate": 12.0, "action": {"names": ["dx", "dy"], "units": ["px", "px"], "frame": "image"}}
    data = save({"action": action}, metadata={"clipmill": json.dumps(spec)})
    return {
        "conditions": Artifact.of(data, ".safetensors"),
        "action_means": tuple(action.mean(0).tolist()),
        "action_mean_squares": tuple(np.square(action).mean(0).tolist()),
    }


@pytest.fixture(scope="module")
def pack_clips(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[PackedLatents]]:
    """pack_clips("small", 4) -> rows as the engine passes them on: one per clip, with stored shards."""

    def pack(
        tokenizer: str, count: int, split: str = "train", has_actions: bool = False
    ) -> list[PackedLatents]:
        store = open_store(str(tmp_path_factory.mktemp("store")))
        encode = EncodeLatents(tokenizer=tokenizer, short_side_px=64, aspect_ratios=())
        stage, rows = PackLatents(), []
        for number in range(count):
            clip = make_clip(number).save(store, "cut")
            window = ClipWindow(
                id=f"c{number}", clip=clip, window_first_frame=0, window_frames=9, window_fps=12.0
            )
            (row,) = encode.annotate([window])
            assert isinstance(row, EncodedWindow)
            added = {n: getattr(row, n) for n in row.names() if n not in ("tokenizer", "latent_precision")}
            columns = {"caption": f"square {number}", "source": "film.mp4", "start_s": 0.0, "end_s": 1.0}
            actions = make_actions(number) if has_actions else {}
            rows.append(Encoded(id=f"c{number}", **added, **columns, **actions))
        fitted = stage.fit([], stage.tally(rows))
        (group,) = set(stage.assign(rows, fitted))
        (shard,) = set(stage.settle(group, rows, fitted))
        saved = [a.save(store, "pack") for a in (shard.latents_shard, shard.latents_index)]
        return [PackedLatents(latents_shard=saved[0], latents_index=saved[1], split=split) for _ in rows]

    return pack
