"""On a full disk no partial file is used as a complete one, and existing files stay."""

import errno
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stages.shards.cut_clip import KeptClip

OnSmallDisk = Callable[[str], str]

PACK = """
import os, pathlib, sys, tempfile
from manifests import Artifact
from manifests.stores.folder import FolderStore
from stages.shards.pack_shards import CaptionedClip, PackShards
disk = pathlib.Path(sys.argv[1])
(disk / "drafts").mkdir(); tempfile.tempdir = str(disk / "drafts")
store = FolderStore(disk / "store")
def clip(n, size):
    return CaptionedClip(id=f"c{n}", source="s", start_s=0.0, end_s=2.0, caption="x", clip_audio="",
        clip=Artifact.of(bytes([n]) * size, ".mp4"), clip_width_px=640, clip_height_px=360,
        clip_frames=50, clip_fps=25.0, clip_duration_s=2.0)
def pack(number, rows):
    stage = PackShards()
    fitted = stage.fit(rows, stage.tally(rows))
    [*packed] = stage.settle(f"360p_16x9_33-64f-{number:06d}", rows, fitted)
    return packed[0].shard.save(store, "p"), packed[0].shard_index.save(store, "p")
tar, index = pack(0, [clip(1, 100_000)])
try:
    pack(1, [clip(n, 400_000) for n in range(2, 6)])
except OSError as error:
    print(error.errno)
assert sorted(store.walk()) == sorted([tar.path, index.path]), list(store.walk())
assert os.listdir(disk / "drafts") == [], os.listdir(disk / "drafts")
assert tar.read()[512:1024] == bytes([1]) * 512
"""

CUT = """
import os, pathlib, sys, tempfile
from stages.shards.cut_clip import CutClip, KeptClip
disk, row = pathlib.Path(sys.argv[1]), KeptClip(**columns)
tempfile.tempdir = str(disk)
(disk / "ballast").write_bytes(bytes(900_000))
try:
    print(list(CutClip(crf=0, preset="ultrafast", copy_packets=copied).annotate([row])))
except OSError as error:
    print(error.errno)
assert os.listdir(disk) == ["ballast"], os.listdir(disk)
"""


@pytest.fixture
def on_small_disk(tmp_path: Path) -> OnSmallDisk:
    """Run a program whose first argument is a folder with 1 MiB of space; returns what it printed."""

    def run(script: str, *args: str) -> str:
        (tmp_path / "small").mkdir(exist_ok=True)
        mount = f"mount -t tmpfs -o size=1m tmpfs {tmp_path}/small"
        probe = subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, check=False)
        if probe.returncode:
            pytest.skip("this machine does not allow users to mount a small file system")
        command = f'{mount} && exec "$0" "$@"'
        program = [sys.executable, "-c", script, f"{tmp_path}/small", *args]
        result = subprocess.run(
            ["unshare", "-rm", "sh", "-c", command, *program], capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    return run


def test_a_shard_is_complete_or_missing(on_small_disk: OnSmallDisk) -> None:
    assert on_small_disk(PACK) == str(errno.ENOSPC)


@pytest.mark.parametrize("copy", [False, True])
def test_a_clip_is_complete_or_missing(
    on_small_disk: OnSmallDisk,
    film: Callable[..., Path],
    moving: Callable[..., Iterator[np.ndarray]],
    row_of: Callable[..., KeptClip],
    copy: bool,
) -> None:
    source = film(moving(1, 40, size=(240, 320), step=(3, 1)), crf=0)
    row = row_of(source, 0, 40)
    columns = {name: getattr(row, name) for name in KeptClip.names()}
    script = f"columns, copied = {columns!r}, {copy}\n{CUT}"
    assert on_small_disk(script) == str(errno.ENOSPC)
