"""Shards hold each clip once, under its own key, with reproducible bytes, and any tar reader reads them."""

import hashlib
import io
import json
import random
import tarfile
from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset

from manifests import Artifact
from manifests.stores.folder import FolderStore
from pipeline import Reject
from stages.media.decoding.video import frames
from stages.media.encoding.arrays import write_mp4
from stages.media.tar import MAX_MEMBER_BYTES
from stages.shards.pack_shards import CaptionedClip, PackedSample, PackShards
from stages.shards.sample import read_samples

WILD = "a red ball\x00 rolls \u202eback\u202c 🏐\n" + "and on " * 15_000


def _clip(number: int, video: bytes | None = None, **values: Any) -> CaptionedClip:
    content = video or random.Random(number).randbytes(1000 + 37 * number)
    columns: dict[str, Any] = {
        "id": hashlib.sha256(str(number).encode()).hexdigest()[:20],
        "source": f"day {number % 3}/camera.mp4",
        "start_s": 2.0 * number,
        "end_s": 2.0 * number + 2,
        "caption": f"clip {number}",
        "caption_by": "test",
        "light_mean": 0.5,
        "sharpness": 0.1 * number,
        "motion_mean": 1.0,
        "object_motion": 0.5,
        "camera": "pan left",
        "clip": Artifact.of(content, ".mp4"),
        "clip_audio": "",
        "clip_width_px": 1280,
        "clip_height_px": 720,
        "clip_frames": 50,
        "clip_fps": 25.0,
        "clip_duration_s": 2.0,
    }
    return CaptionedClip(**(columns | values))


def _packed(
    stage: PackShards, rows: Sequence[CaptionedClip], parts: int, store: FolderStore
) -> dict[str, PackedSample | Reject]:
    """The results by id, computed in the phases of the engine, with the rows spread over `parts` parts."""
    split_rows = [rows[i::parts] for i in range(parts)]
    totals: dict[str, int] = {}
    for part in split_rows:
        for name, value in stage.tally(part).items():
            totals[name] = totals.get(name, 0) + value
    fitted = stage.fit([], totals)
    groups: dict[str, list[CaptionedClip]] = {}
    for part in split_rows:
        for row, group in zip(part, stage.assign(part, fitted), strict=True):
            groups.setdefault(group, []).append(row)
    results: dict[str, PackedSample | Reject] = {}
    for group, members in groups.items():
        members.sort(key=lambda row: row.id)
        stored: dict[int, Artifact] = {}
        for row, result in zip(members, stage.settle(group, members, fitted), strict=True):
            if isinstance(result, PackedSample):
                named = {name: getattr(result, name) for name in PackedSample.names()}
                files = {name: value for name, value in named.items() if isinstance(value, Artifact)}
                for artifact in files.values():
                    if id(artifact) not in stored:
                        stored[id(artifact)] = artifact.save(store, "pack")
                result = replace(result, **{name: stored[id(value)] for name, value in files.items()})
            results[row.id] = result
    return results


def _digests(store: FolderStore) -> dict[str, str]:
    return {name: hashlib.sha256(store.read(name)).hexdigest() for name in store.walk()}


def test_order_and_parts_and_place_do_not_matter(tmp_path: Path) -> None:
    rows = [_clip(i) for i in range(40)]
    one, two = FolderStore(tmp_path / "one"), FolderStore(tmp_path / "deeper" / "two")
    first = _packed(PackShards(shard_bytes=20_000), rows, 1, one)
    shuffled = random.Random(3).sample(rows, len(rows))
    second = _packed(PackShards(shard_bytes=20_000), shuffled, 3, two)
    assert first == second
    assert _digests(one) == _digests(two)
    assert len([name for name in _digests(one) if name.endswith(".tar")]) > 1


def test_each_clip_is_in_its_shard_with_its_own_caption(tmp_path: Path) -> None:
    rows = [_clip(i, caption=WILD if i == 5 else f"clip {i}") for i in range(20)]
    results = _packed(PackShards(shard_bytes=10_000), rows, 2, FolderStore(tmp_path))
    assert set(results) == {row.id for row in rows}
    shards = {a.shard.path: a for a in results.values() if isinstance(a, PackedSample)}
    found = {s.key: (path, s) for path, a in shards.items() for s in read_samples(a.shard, a.shard_index)}
    assert len(found) == len(rows)
    for row in rows:
        path, sample = found[row.id]
        result = results[row.id]
        assert isinstance(result, PackedSample)
        assert (result.shard.path, result.shard_key) == (path, row.id)
        assert sample.video == row.clip.read()
        assert sample.caption == sample.metadata["caption"] == row.caption.replace("\0", " ")
        assert sample.metadata["source"] == row.source
        assert str(tmp_path) not in json.dumps(sample.metadata)


def test_a_shard_mixes_sources(tmp_path: Path) -> None:
    rows = [_clip(i, source=f"{i // 20}.mp4") for i in range(60)]
    results = _packed(PackShards(), rows, 1, FolderStore(tmp_path))
    [shard] = {(a.shard, a.shard_index) for a in results.values() if isinstance(a, PackedSample)}
    sources = [sample.metadata["source"] for sample in read_samples(*shard)]
    assert len(set(sources[:15])) == 3


def test_tarfile_and_plain_webdataset_read_it(tmp_path: Path) -> None:
    video = io.BytesIO()
    write_mp4(video, (np.full((64, 64, 3), 20 * i, np.uint8) for i in range(10)), 25)
    rows = [_clip(0, video.getvalue()), _clip(1)]
    results = _packed(PackShards(), rows, 1, FolderStore(tmp_path))
    result = results[rows[0].id]
    assert isinstance(result, PackedSample)
    tar = tmp_path / result.shard.path
    with tarfile.open(tar) as opened:
        names = opened.getnames()
    assert names == pq.read_table(tmp_path / result.shard_index.path)["member"].to_pylist()
    assert sorted(names) == sorted(f"{row.id}{end}" for row in rows for end in (".mp4", ".json", ".txt"))
    with tar.open("rb") as stream:
        members = webdataset.tariterators.tar_file_expander([{"url": tar.name, "stream": stream}])
        samples = {s["__key__"]: s for s in webdataset.tariterators.group_by_keys(members)}
    assert set(samples) == set(results)
    (tmp_path / "read.mp4").write_bytes(samples[rows[0].id]["mp4"])
    assert len(list(frames(str(tmp_path / "read.mp4")))) == 10
    assert json.loads(samples[rows[1].id]["json"])["caption"] == samples[rows[1].id]["txt"].decode()


@pytest.mark.parametrize(
    ("values", "bucket"),
    [
        ({}, "720p_16x9_33-64f"),
        ({"clip_width_px": 608, "clip_height_px": 1080}, "480p_9x16_33-64f"),
        ({"clip_width_px": 1440, "clip_height_px": 1080}, "1080p_4x3_33-64f"),
        ({"clip_width_px": 100, "clip_height_px": 100}, "small_1x1_33-64f"),
        ({"clip_width_px": 3000, "clip_height_px": 400}, "360p_other_33-64f"),
        ({"clip_frames": 1}, "720p_16x9_1-32f"),
        (
            {"clip_frames": 33, "clip_fps": 25.0},
            "720p_16x9_1-32f",
        ),  # 1.32 s: 31.68 frames at 24 fps
        ({"clip_frames": 33, "clip_fps": 24.0}, "720p_16x9_33-64f"),
        ({"clip_frames": 33, "clip_fps": 24000 / 1001}, "720p_16x9_33-64f"),
        ({"clip_frames": 9000}, "720p_16x9_from257f"),
    ],
)
def test_buckets(tmp_path: Path, values: dict[str, Any], bucket: str) -> None:
    row = _clip(1, **values)
    result = _packed(PackShards(), [row], 1, FolderStore(tmp_path))[row.id]
    assert isinstance(result, PackedSample)
    assert (result.bucket, result.shard.path) == (bucket, f"pack/shards/{bucket}/000000.tar")


def test_a_clip_too_large_for_a_tar_is_rejected_and_the_rest_packed(tmp_path: Path) -> None:
    huge = _clip(0, clip=Artifact("huge.mp4", MAX_MEMBER_BYTES + 1, "0" * 64))
    results = _packed(
        PackShards(shard_bytes=2 * MAX_MEMBER_BYTES), [huge, _clip(1)], 1, FolderStore(tmp_path)
    )
    assert isinstance(results[huge.id], Reject)
    packed = results[_clip(1).id]
    assert isinstance(packed, PackedSample)
    assert [s.key for s in read_samples(packed.shard, packed.shard_index)] == [_clip(1).id]


def _sizes(store: FolderStore, end: str = ".tar") -> list[int]:
    return [store.size(name) for name in store.walk() if name.endswith(end)]


def test_shards_have_similar_sizes(tmp_path: Path) -> None:
    rng = random.Random(1)
    rows = [_clip(i, rng.randbytes(rng.randrange(500, 3000))) for i in range(1200)]
    total = sum(row.clip.size_bytes for row in rows)
    store = FolderStore(tmp_path)
    _packed(PackShards(shard_bytes=total // 12), rows, 3, store)
    clips = [
        sum(s["size"] for s in pq.read_table(tmp_path / name).to_pylist() if s["member"].endswith(".mp4"))
        for name in store.walk()
        if name.endswith(".parquet")
    ]
    assert sum(clips) == total
    assert len(clips) == 13
    assert max(clips) < 1.03 * total / 13
    assert min(clips) > 0.97 * total / 13


def test_clips_of_a_bucket_with_very_many_shards_are_assigned_at_random(tmp_path: Path) -> None:
    rows = [_clip(i) for i in range(900)]
    total = sum(row.clip.size_bytes for row in rows)
    stage = PackShards(shard_bytes=total // 299)
    fitted = stage.fit([], stage.tally(rows))
    assert json.loads(fitted)["shards"] == {"720p_16x9_33-64f": 300}
    groups = set(stage.assign(rows, fitted))
    assert 250 < len(groups) <= 300


def test_separate_tars_hold_the_same_keys_in_the_same_order(tmp_path: Path) -> None:
    rows = [_clip(i, embedding=array("f", [i, 0.5])) for i in range(12)]
    results = _packed(
        PackShards(separate_tars=True, include_embeddings=True, shard_bytes=6000),
        rows,
        2,
        FolderStore(tmp_path),
    )
    result = results[rows[0].id]
    assert isinstance(result, PackedSample)
    assert result.caption_shard is not None
    assert result.caption_shard.path == result.shard.path.replace("/mp4/", "/txt/")
    keys = []
    for extension, tar, index in (
        ("mp4", result.shard, result.shard_index),
        ("json", result.metadata_shard, result.metadata_index),
        ("txt", result.caption_shard, result.caption_index),
        ("npy", result.embedding_shard, result.embedding_index),
    ):
        assert tar is not None
        assert index is not None
        with tarfile.open(tmp_path / tar.path) as opened:
            names = opened.getnames()
        assert names == pq.read_table(tmp_path / index.path)["member"].to_pylist()
        assert {name.partition(".")[2] for name in names} == {extension}
        keys.append([name.partition(".")[0] for name in names])
    assert all(other == keys[0] for other in keys)
    with tarfile.open(tmp_path / str(result.embedding_shard and result.embedding_shard.path)) as opened:
        vector = np.load(io.BytesIO(opened.extractfile(f"{rows[0].id}.npy").read()))  # type: ignore[union-attr]
    assert vector.tolist() == [0.0, 0.5]


def test_embeddings_can_be_packed_with_the_other_members(tmp_path: Path) -> None:
    rows = [_clip(0, embedding=array("f", [1.0])), _clip(1)]
    results = _packed(PackShards(include_embeddings=True), rows, 1, FolderStore(tmp_path))
    packed, rejected = results[rows[0].id], results[rows[1].id]
    assert isinstance(packed, PackedSample)
    assert packed.embedding_shard is None
    extensions = [
        m.partition(".")[2] for m in pq.read_table(tmp_path / packed.shard_index.path)["member"].to_pylist()
    ]
    assert extensions == ["mp4", "json", "txt", "npy"]
    assert isinstance(rejected, Reject)
    assert "no embedding" in str(rejected)


def test_a_clip_shorter_than_the_first_bucket_is_rejected_with_its_length(tmp_path: Path) -> None:
    rows = [_clip(0, clip_frames=25), _clip(1)]
    results = _packed(PackShards(bucket_frames=(33, 65)), rows, 1, FolderStore(tmp_path))
    assert str(results[rows[0].id]) == (
        "the clip has 24 frames at 24 frames per second, and the first bucket begins at 33"
    )
    assert isinstance(results[rows[1].id], PackedSample)


def test_validation_clips_are_in_a_separate_folder(tmp_path: Path) -> None:
    rows = [_clip(i, split="validation" if i % 3 else "train") for i in range(9)]
    results = _packed(PackShards(), rows, 2, FolderStore(tmp_path))
    folders = {row.split: set() for row in rows}
    for row in rows:
        result = results[row.id]
        assert isinstance(result, PackedSample)
        assert result.bucket == "720p_16x9_33-64f"
        folders[row.split].add(result.shard.path)
    assert folders == {
        "train": {"pack/shards/720p_16x9_33-64f/000000.tar"},
        "validation": {"pack/shards-validation/720p_16x9_33-64f/000000.tar"},
    }


def test_the_json_has_all_measurements_and_nothing_else(tmp_path: Path) -> None:
    row = _clip(0, parent="v1", noise=1.25, flicker=None)
    result = _packed(PackShards(), [row], 1, FolderStore(tmp_path))[row.id]
    assert isinstance(result, PackedSample)
    [sample] = read_samples(result.shard, result.shard_index)
    values = [sample.metadata[name] for name in ("noise", "video", "split")]
    assert values == [1.25, "v1", "train"]
    assert "flicker" not in sample.metadata


NASTY = [
    "a b.mp4",
    "line\nbreak.mp4",
    'it\'s "so".mp4',
    "../../etc/passwd",
    "x/../../y.mp4",
    "\\xff.mp4",
    "é🏐.mp4",
]


def test_unusual_file_names_appear_only_in_the_json(tmp_path: Path) -> None:
    rows = [_clip(i, source=name) for i, name in enumerate(NASTY)]
    results = _packed(PackShards(), rows, 1, FolderStore(tmp_path / "store"))
    result = results[rows[0].id]
    assert isinstance(result, PackedSample)
    with tarfile.open(tmp_path / "store" / result.shard.path) as opened:
        assert {name.partition(".")[0] for name in opened.getnames()} == {row.id for row in rows}
    samples = read_samples(result.shard, result.shard_index)
    sources = {sample.key: sample.metadata["source"] for sample in samples}
    assert sources == {row.id: row.source for row in rows}
    assert {path.name for path in tmp_path.iterdir()} <= {"store", "drafts"}
