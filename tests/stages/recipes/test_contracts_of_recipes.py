"""Contracts between the steps of a recipe: minimum lengths agree from shots to tokenizer, and splits hold."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part
from pipeline import Keep
from pipeline.cli import main
from pipeline.errors import RecipeError
from stages.latents.split_windows import SplitWindows
from stages.recipes.curate import Curation, curate
from stages.recipes.filters import Filters
from stages.recipes.latents import Encoding, latents
from stages.recipes.world import world
from stages.shards.bucket import min_seconds
from stages.shards.pack_shards import PackShards

RULE = "shorter_than_any_bucket"
LOAD = """
import json, sys, datasets
found = datasets.load_dataset(sys.argv[1], streaming=True)
binary = datasets.Value("binary")
keys = {split: sorted(r["__key__"] for r in rows.cast_column("mp4", binary)) for split, rows in found.items()}
print(json.dumps(keys))
"""


def test_the_tokenizer_sets_the_minimum_length_of_a_clip() -> None:
    dag = latents(footage="x", encoding=Encoding(latent_fps=8.0))
    pack, split = dag.nodes["pack_shards"].work, dag.nodes["split_windows"].work
    assert isinstance(pack, PackShards)
    assert isinstance(split, SplitWindows)
    assert pack.bucket_frames[0] == 1 + split.stride == 5
    assert pack.fps == split.fps == 8.0
    assert dag.nodes[RULE].work == Keep(f"duration_s > {min_seconds(5, 8.0)}", "shorter than any bucket")
    order = list(dag.nodes)
    assert order.index(RULE) < order.index("measure_light") < order.index("describe_clip")


def test_min_frames_can_exceed_the_minimum_of_the_tokenizer() -> None:
    dag = latents(footage="x", filters=Filters(min_frames=40), encoding=Encoding(latent_video_frames=65))
    pack = dag.nodes["pack_shards"].work
    assert isinstance(pack, PackShards)
    assert pack.bucket_frames == (40, 65, 129, 257)
    assert RULE not in curate(footage="x").nodes


def test_too_few_latent_frames_are_an_error_before_anything_runs() -> None:
    with pytest.raises(RecipeError, match="latent_video_frames is 4") as caught:
        latents(footage="x", encoding=Encoding(latent_video_frames=4))
    assert "5 or more" in caught.value.remedy


def test_the_training_gets_the_held_out_clips_with_their_split() -> None:
    dag = world(footage="x", curation=Curation(validation_share=0.1))
    order = list(dag.nodes)
    assert order.index("find_duplicates") < order.index("split_clips") < order.index("copy_of_another_clip")
    assert dag.nodes["train_world"].inputs == ("pack_latents",)
    assert "split_clips" not in world(footage="x").nodes


def _rows(store: FolderStore, step: str) -> list[dict[str, object]]:
    [folder] = [name for name in store.names("") if name.rsplit("-", 2)[0] == step]
    parts = [read_part(store, f"{folder}/{part_name(n)}") for n in parts_of(store, folder)]
    return [row for part in parts for row in part.to_pylist()]


@pytest.mark.slow
def test_shots_too_short_for_a_bucket_are_dropped_and_each_video_is_in_one_split(
    tmp_path: Path,
    film: Callable[..., Path],
    moving: Callable[..., Iterator[np.ndarray]],
) -> None:
    for k in range(5):
        frames = 60 if k == 4 else 120
        film(moving(k + 1, frames, step=(1, 0.5), size=(120, 200)), f"films/{k}.mp4")
    film(moving(1, 120, step=(1, 0.5), size=(120, 200)), "films/encoded again.mp4", crf=32)
    shutil.copy(tmp_path / "films/1.mp4", tmp_path / "films/copied.mp4")
    recipe = Path(curate.__code__.co_filename)
    words = [f"footage={tmp_path}/films", f"store={tmp_path}/store", "videos_per_part=2"]
    knobs = ["min_frames=97", "validation_share=0.5"]
    assert main(["run", str(recipe), *words, *knobs, "--inline", "--quiet"]) == 0
    store = FolderStore(tmp_path / "store")
    assert len(_rows(store, RULE)) == 1
    packed = _rows(store, "pack_shards")
    sides = _rows(store, "split_clips")
    assert (len(packed), len(sides)) == (4, 6)
    linked = [
        sorted(row["id"] for row in sides if row["split_by"] == by) for by in {r["split_by"] for r in sides}
    ]
    pairs = [
        sorted((row["id"], row["duplicate_of"]))
        for row in _rows(store, "find_duplicates")
        if row["duplicate"]
    ]
    assert sorted(ids for ids in linked if len(ids) == 2) == sorted(pairs)
    assert len(pairs) == 2
    side_of = {row["id"]: row["split"] for row in sides}
    assert set(side_of.values()) == {"train", "validation"}
    for row in packed:
        inside = str(row["shard"]["path"]).split("/")[1]  # type: ignore[index]
        assert inside == ("shards" if side_of[row["id"]] == "train" else "shards-validation")
    assert main(["manifest", "check", str(tmp_path / "store")]) == 0
    [folder] = (tmp_path / "store").glob("pack_shards-*")
    assert _as_datasets_reads(folder, tmp_path) == {
        side: sorted(str(row["id"]) for row in packed if side_of[row["id"]] == side)
        for side in ("train", "validation")
    }


def _as_datasets_reads(folder: Path, tmp_path: Path) -> dict[str, list[str]]:
    """The keys of each split, as Hugging Face's loader finds them by the card."""
    pytest.importorskip("datasets", reason="the package datasets is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD, str(folder)],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found
