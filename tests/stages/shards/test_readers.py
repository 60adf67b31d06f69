"""Other libraries read the shards: webdataset on several nodes and workers, and Hugging Face datasets."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from manifests import Artifact
from manifests.stores.folder import FolderStore
from stages.media.encoding.arrays import write_mp4
from stages.shards.pack_shards import CaptionedClip, PackShards

READ = """
import json, sys
import torch, webdataset
from torch.utils.data import DataLoader

class Shards(torch.utils.data.IterableDataset):
    def __init__(self, urls): self.urls = urls
    def __iter__(self):
        source = webdataset.DataPipeline(
            webdataset.SimpleShardList(self.urls), webdataset.split_by_node, webdataset.split_by_worker,
            webdataset.tarfile_to_samples(), webdataset.decode())
        for sample in source:
            yield sample["__key__"], sample["json"]["caption"], sample["txt"], len(sample["mp4"])

def main():
    rows = [tuple(r) for r in DataLoader(Shards(sys.argv[2:]), batch_size=None, num_workers=int(sys.argv[1]))]
    print(json.dumps(rows))

if __name__ == "__main__":
    main()
"""

STREAM = """
import json, sys, datasets
rows = datasets.load_dataset("webdataset", data_files={"train": sys.argv[2:]}, split="train",
    streaming=True, cache_dir=sys.argv[1])
rows = rows.cast_column("mp4", datasets.Value("binary"))
print(json.dumps([[row["__key__"], row["json"]["caption"], row["txt"], row["json"]["license"],
    row["json"]["noise"] > 0] for row in rows]))
"""


LICENSED = (3, 17)  # numbers of the clips with a license and a measured noise


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, str]]:
    """Eight tars, and the caption of each clip in them."""
    root = tmp_path_factory.mktemp("shards")
    write_mp4(root / "film.mp4", (np.full((48, 64, 3), 20 * k, np.uint8) for k in range(10)), 25)
    video = Artifact.of((root / "film.mp4").read_bytes(), ".mp4")
    rows = [
        CaptionedClip(
            id=f"clip{k:03d}", source=f"a b/{k}.mp4", start_s=0.0, end_s=0.4, caption=f"shows {k}",
            clip=video, clip_audio="", clip_width_px=64, clip_height_px=48, clip_frames=10, clip_fps=25.0,
            clip_duration_s=0.4, **({"license": "CC BY 4.0", "noise": 0.5} if k in LICENSED else {}),
        )
        for k in range(40)
    ]  # fmt: skip
    stage, store = PackShards(shard_bytes=5 * video.size_bytes), FolderStore(root / "store")
    fitted = stage.fit([], stage.tally(rows))
    groups: dict[str, list[CaptionedClip]] = {}
    for row, group in zip(rows, stage.assign(rows, fitted), strict=True):
        groups.setdefault(group, []).append(row)
    tars = []
    for group, members in groups.items():
        first = next(iter(stage.settle(group, members, fitted)))
        tars.append(first.shard.save(store, "p").path)
    assert len(tars) == 8
    return sorted(str(root / "store" / tar) for tar in tars), {row.id: row.caption for row in rows}


def _read(shards: Sequence[str], rank: int, world: int, workers: int) -> list[list[object]]:
    """The samples of one process of `world`, run in a process of its own as torchrun would start it."""
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ, str(workers), *shards],
        env={**os.environ, "RANK": str(rank), "WORLD_SIZE": str(world)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    samples: list[list[object]] = json.loads(process.stdout)
    return samples


def test_two_nodes_of_two_workers_read_each_clip_once(shards: tuple[list[str], dict[str, str]]) -> None:
    tars, captions = shards
    nodes = [_read(tars, rank, 2, 2) for rank in (0, 1)]
    assert all(nodes)
    keys = [str(key) for node in nodes for key, *_ in node]
    assert sorted(keys) == sorted(captions)
    for key, in_json, in_text, size in (row for node in nodes for row in node):
        assert in_json == in_text == captions[str(key)]
        assert int(str(size)) > 500


def test_hugging_face_datasets_reads_them(shards: tuple[list[str], dict[str, str]], tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="the package datasets is not installed")
    tars, captions = shards
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", STREAM, str(tmp_path / "cache"), *tars],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    rows = json.loads(process.stdout.splitlines()[-1])
    assert {row[0]: row[1] for row in rows} == captions
    assert all(row[1] == row[2] for row in rows)
    licensed = {f"clip{k:03d}" for k in LICENSED}
    assert not licensed & {row[0] for row in rows[:5]}  # the first samples decide the types
    assert {row[0] for row in rows if row[3] == "CC BY 4.0"} == licensed
    assert {row[0] for row in rows if row[4]} == licensed
