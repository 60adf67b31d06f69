"""The json of a sample has a key for each measurement of the recipes, and equal types in all samples."""

import json
import math
from pathlib import Path
from typing import Any

from manifests import Artifact
from manifests.stores.folder import FolderStore
from pipeline import Reject
from pipeline.recipes.discovery import load_stages
from stages.recipes.curate import curate
from stages.shards.metadata import JSON_KEYS
from stages.shards.pack_shards import CaptionedClip, PackShards
from stages.shards.sample import read_samples


def test_every_measurement_of_the_recipes_is_in_the_metadata() -> None:
    columns = curate(footage="x").outputs["shards"].columns
    measured = {name for name, origin in columns.items() if origin.node.startswith("measure_")}
    assert len(measured) > 30
    assert measured <= set(CaptionedClip.names())


def _clip(number: int, **values: Any) -> CaptionedClip:
    columns: dict[str, Any] = {
        "id": f"clip{number:03d}", "source": "a.mp4", "start_s": 0, "end_s": 2, "caption": "a dog",
        "clip": Artifact.of(b"video" * (1 + number), ".mp4"), "clip_audio": "", "clip_width_px": 64,
        "clip_height_px": 48, "clip_frames": 50, "clip_fps": 25, "clip_duration_s": 2.0,
    }  # fmt: skip
    return CaptionedClip(**(columns | values))


def _jsons(folder: Path, parts: list[list[CaptionedClip]]) -> dict[str, dict[str, Any]]:
    """The json of each clip, packed into several tars by the phases of the engine."""
    stage, store = PackShards(shard_bytes=100), FolderStore(folder)
    totals: dict[str, int] = {}
    for part in parts:
        for name, count in stage.tally(part).items():
            totals[name] = totals.get(name, 0) + count
    fitted = stage.fit([], totals)
    groups: dict[str, list[CaptionedClip]] = {}
    for part in parts:
        for row, group in zip(part, stage.assign(part, fitted), strict=True):
            groups.setdefault(group, []).append(row)
    assert len(groups) > 1
    found = {}
    for group, members in groups.items():
        first = next(iter(stage.settle(group, members, fitted)))
        assert not isinstance(first, Reject)
        tar, index = (artifact.save(store, "p") for artifact in (first.shard, first.shard_index))
        for sample in read_samples(tar, index):
            found[sample.key] = sample.metadata
    return found


def test_every_sample_has_every_key_with_one_type(tmp_path: Path) -> None:
    """The license, a text, a float and an integer are known of some clips only, of none in the first part."""
    some = {"license": "CC BY 4.0", "camera": "pan left", "noise": 1, "start_pts": 7}
    parts = [[_clip(n) for n in range(8)], [_clip(n, **(some if n % 3 else {})) for n in range(8, 16)]]
    found = _jsons(tmp_path, parts)
    assert len(found) == 16
    types = {tuple((name, type(value)) for name, value in sample.items()) for sample in found.values()}
    assert len(types) == 1
    without, known = found["clip000"], found["clip010"]
    assert {name: known[name] for name in some} == some
    assert (without["license"], without["camera"], without["start_pts"]) == ("", "", -1)
    assert math.isnan(without["noise"])
    assert type(known["start_s"]) is type(known["fps"]) is type(known["noise"]) is float
    assert "flicker" not in known  # no clip has a value


def test_without_missing_values_the_json_is_standard(tmp_path: Path) -> None:
    found = _jsons(tmp_path, [[_clip(n, noise=0.5) for n in range(8)]])
    assert {sample["license"] for sample in found.values()} == {""}
    for sample in found.values():
        json.dumps(sample, allow_nan=False)


def test_columns_of_a_list_are_in_the_json_and_never_replace_another_value(tmp_path: Path) -> None:
    """A column of a list cannot have the name of a key of the json, so `frames` here stands for an error."""
    values = json.dumps({"license": "cc0", "take": 3, "frames": 1})
    found = _jsons(tmp_path, [[_clip(n, license="cc0", list_values=values) for n in range(8)]])
    assert {(s["license"], s["take"], s["frames"]) for s in found.values()} == {("cc0", 3, 50)}
    assert "list_values" not in found["clip000"]
    columns = {name for stage in load_stages(("stages",)).values() for name in stage.adds.names()}
    assert set(found["clip000"]) - {"take", "license"} <= JSON_KEYS | columns


def test_answers_and_events_are_nested_and_events_end_inside_the_file(tmp_path: Path) -> None:
    events = {"event_starts_s": (0, 0.5), "event_ends_s": (0.5, 2.01), "event_captions": ("a dog", "a\0cat")}
    clips = [_clip(n, answers='{"has_dog": "yes"}', **events) for n in range(8)]
    for sample in _jsons(tmp_path, [clips]).values():
        assert sample["answers"] == {"has_dog": "yes"}
        assert sample["events"] == [
            {"start_s": 0.0, "end_s": 0.5, "text": "a dog"},
            {"start_s": 0.5, "end_s": 2.0, "text": "a cat"},
        ]
        assert not {"event_starts_s", "event_ends_s", "event_captions"} & set(sample)
