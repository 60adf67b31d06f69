"""Shards of videos and images are encoded; what cannot be read has a reason, and the rest goes on."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from manifests import Artifact
from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part
from pipeline import Reject
from pipeline.cli import main
from stages.latents.read_samples import ListedShard, ReadSamples, ShardSample
from stages.media.tar import write_tar
from training.data.find_shards import find_shards, find_splits
from training.data.order import SampleIndex
from training.data.shards import LatentShards

MakeClip = Callable[..., Artifact]
RECIPE = str(Path(__file__).parents[3] / "stages" / "recipes" / "encode_shards.py")


def image(mode: str, format_: str, size: tuple[int, int] = (51, 77)) -> bytes:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], len(mode)), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels, mode).save(file, format_)
    return file.getvalue()


@pytest.fixture
def shard(tmp_path: Path, make_clip: MakeClip) -> Path:
    """A tar with two videos, three images, and samples that cannot be read."""
    whole = make_clip(30, 12).read()
    members = {
        "whole.mp4": whole,
        "whole.txt": b"a bar moves",
        "short.mp4": make_clip(3, 12, seed=1).read(),
        "short.json": json.dumps({"caption": "too short", "split": "train"}).encode(),
        "rgb.jpg": image("RGB", "JPEG"),
        "rgb.json": json.dumps({"text": "noise", "start_s": 2.0}).encode(),
        "alpha.png": image("RGBA", "PNG"),
        "broken.mp4": b"\0" * 3000,
        "broken.txt": b"?",
        "json.mp4": whole,
        "json.json": b"{",
        "bad.png": b"not an image",
        "lonely.txt": b"no video",
    }
    path = tmp_path / "shards" / "a.tar"
    path.parent.mkdir()
    write_tar(path, members.items())
    return path


def read(path: Path) -> dict[str, ShardSample]:
    rows = ReadSamples().expand(ListedShard(uri=str(path), source="a.tar"))
    return {row.shard_key: row for row in rows}


def test_each_sample_is_found_or_has_a_reason(shard: Path) -> None:
    rows = read(shard)
    facts = {
        key: (row.clip_frames, row.clip_duration_s, row.caption)
        for key, row in rows.items()
        if not row.sample_error
    }
    assert facts == {
        "whole": (30, 2.5, "a bar moves"),
        "short": (3, 0.25, "too short"),
        "rgb": (1, 1.0, "noise"),
        "alpha": (1, 1.0, ""),
    }
    errors = {key: row.sample_error for key, row in rows.items() if row.sample_error}
    assert errors.keys() == {"broken", "json", "bad", "lonely"}
    assert errors["lonely"] == "it has no video or image, but .txt"
    assert errors["bad"].startswith("bad.png: the image cannot be decoded")
    assert errors["broken"].startswith("broken.mp4: ")
    with shard.open("rb") as file:
        file.seek(rows["whole"].media_offset)
        assert file.read(rows["whole"].media_bytes)[4:8] == b"ftyp"


def test_the_intact_samples_of_a_damaged_tar_are_read(shard: Path, tmp_path: Path) -> None:
    data = shard.read_bytes()
    with tarfile.open(shard) as tar:
        offset = tar.getmember("alpha.png").offset
    cut = tmp_path / "cut.tar"
    for damaged in (data[: offset + 700], data[:offset] + b"x" * 512 + data[offset + 512 :]):
        cut.write_bytes(damaged)
        rows = read(cut)
        assert {"whole", "short", "rgb"} <= {key for key, row in rows.items() if not row.sample_error}
        assert any("damaged or cut off after" in row.sample_error for row in rows.values())
    cut.write_bytes(b"not a tar" * 1000)
    with pytest.raises(Reject, match="damaged or cut off after 0 samples"):
        read(cut)
    with pytest.raises(Reject, match="no such file"):
        list(ReadSamples().expand(ListedShard(uri="a", source="a", list_error="no such file")))


def test_shards_are_encoded_for_the_trainer(shard: Path, tokenizer: str, tmp_path: Path) -> None:
    held_out = shard.parent / "shards-validation" / "b.tar"
    held_out.parent.mkdir()
    held_out.write_bytes(shard.read_bytes())
    words = [f"shards={shard.parent}", f"store={tmp_path / 's'}", f"tokenizer={tokenizer}", "latent_px=64"]
    code = main(["run", RECIPE, *words, "latent_video_frames=17", "--inline", "--quiet"])
    assert code == 0
    assert main(["manifest", "check", str(tmp_path / "s")]) == 0
    store = FolderStore(tmp_path / "s")
    names = {name.rsplit("-", 2)[0]: name for name in store.names("")}
    dropped = [
        row
        for name in ("the_sample_cannot_be_read", "remainder_too_short_for_a_window")
        for number in parts_of(store, names[name])
        for row in read_part(store, f"{names[name]}/{part_name(number)}").to_pylist()
    ]
    assert len(dropped) == 2 * (4 + 1)
    train, validation = find_splits(str(tmp_path / "s"))
    assert train
    assert validation
    shards = LatentShards(find_shards(str(tmp_path / "s"), "train"))
    # 30 frames are windows of 17 and 13; the images are 3:4, in buckets of 64 x 80 px
    assert shards.shapes == ((6, 1, 10, 8), (6, 4, 8, 14), (6, 5, 8, 14))
    samples = [
        shards.read(bucket, SampleIndex(0, n))
        for bucket, [count] in enumerate(shards.counts)
        for n in range(count)
    ]
    assert sorted(sample.caption for sample in samples) == ["", "a bar moves", "a bar moves", "noise"]
    assert all(bool(torch.isfinite(sample.latents).all()) for sample in samples)
