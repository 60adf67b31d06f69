"""A clip is shown as its stored file, as a member of a shard, or cut out of its source; and as its stills."""

import io
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageSequence

from manifests import Artifact, ClipmillError
from manifests.stores.folder import FolderStore
from stages.media.decoding.video import frames
from stages.media.encoding.arrays import write_mp4
from stages.media.strip import encode_jpeg
from stages.shards.cut_clip import KeptClip
from stages.shards.viewers.clip_file import write_clip
from stages.shards.viewers.contact_sheet import write_sheet
from stages.shards.viewers.preview import write_preview

STAGE = "stages.shards.cut_clip:CutClip"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    images = (np.full((72, 128, 3), 4 * number, np.uint8) for number in range(40))
    write_mp4(path, images, 25, preset="ultrafast")
    return path


def table_of(row: KeptClip | None = None, **columns: object) -> pa.Table:
    return pa.table({name: [value] for name, value in {**(asdict(row) if row else {}), **columns}.items()})


def stored(data: bytes, suffix: str, store: FolderStore) -> dict[str, object]:
    artifact = Artifact.of(data, suffix).save(store, "table")
    return {"path": artifact.path, "size_bytes": artifact.size_bytes, "sha256": artifact.sha256}


def test_a_dropped_clip_is_cut_with_the_recorded_settings(
    film: Path, tmp_path: Path, row_of: Callable[..., KeptClip]
) -> None:
    row = table_of(row_of(film, 10, 30))
    small, half = tmp_path / "small.mp4", tmp_path / "half.mp4"
    write_clip(row, FolderStore(tmp_path), small, {STAGE: {"crf": 51, "removed_setting": 1}})
    write_clip(row, FolderStore(tmp_path), half, {STAGE: {"fps": 12.5}})
    pixels = [frame.pixels().mean() for frame in frames(str(small))]
    assert len(pixels) == 20
    assert pixels[0] < pixels[-1]
    assert len(list(frames(str(half)))) == 10


def test_a_stored_clip_is_copied(tmp_path: Path) -> None:
    store, out = FolderStore(tmp_path / "store"), tmp_path / "out.mp4"
    write_clip(table_of(clip=stored(b"the clip", ".mp4", store)), store, out, {})
    assert out.read_bytes() == b"the clip"
    index = io.BytesIO()
    members = {"a.mp4": b"one", "b.mp4": b"line", "c.jpg": b"image", "d.left.mp4": b"l", "d.right.mp4": b"r"}
    sizes = [len(member) for member in members.values()]
    offsets = [sum(sizes[:place]) for place in range(len(sizes))]
    keys = [name[0] for name in members]
    columns = {"key": keys, "member": list(members), "offset": offsets, "size": sizes}
    pq.write_table(pa.table(columns), index)
    files = {"shard": stored(b"".join(members.values()), ".tar", store)}
    files |= {"shard_index": stored(index.getvalue(), ".parquet", store)}
    gone = {"path": "table/gone.mp4", "size_bytes": 1, "sha256": ""}
    for named, member in (
        ({"shard_key": "b"}, "b.mp4"),
        ({"shard_key": "c"}, "c.jpg"),
        ({"shard_key": "d", "shard_member": "d.right.mp4"}, "d.right.mp4"),
    ):
        write_clip(table_of(clip=gone, **named, **files), store, out, {})
        assert out.read_bytes() == members[member]


@pytest.mark.parametrize("change", ["missing", "changed"])
def test_a_source_that_is_gone_or_changed_is_not_shown(
    change: str, film: Path, tmp_path: Path, row_of: Callable[..., KeptClip]
) -> None:
    row = row_of(film, 10, 30)
    moved = (
        table_of(row, uri=str(tmp_path / "none.mp4")) if change == "missing" else table_of(row, size_bytes=9)
    )
    out = tmp_path / "out.mp4"
    with pytest.raises(
        ClipmillError, match=r"cannot be cut out of its source: the source (is missing|has changed)"
    ):
        write_clip(moved, FolderStore(tmp_path), out, {})
    assert not out.exists()


def test_a_whole_video_is_no_clip(tmp_path: Path) -> None:
    with pytest.raises(ClipmillError, match="this row is no clip"):
        write_clip(table_of(uri="a.mp4"), FolderStore(tmp_path), tmp_path / "out.mp4", {})


@pytest.fixture(scope="module")
def strip(tmp_path_factory: pytest.TempPathFactory) -> tuple[FolderStore, dict[str, object]]:
    """Ten stills, one per second; still k has the gray level 20 k."""
    store = FolderStore(tmp_path_factory.mktemp("store"))
    jpegs = [encode_jpeg(np.full((40, 60, 3), 20 * k, np.uint8), 90) for k in range(10)]
    offsets = [sum(map(len, jpegs[:k])) for k in range(10)]
    times = [float(k) for k in range(10)]
    columns = {"strip": stored(b"".join(jpegs), ".jpegs", store), "strip_times_s": times}
    return store, {**columns, "strip_offsets": offsets}


@pytest.mark.parametrize(
    ("span", "levels", "columns"),
    [
        ({"start_s": 2.0, "end_s": 6.0}, [40, 60, 80, 100], 2),
        ({}, [20 * k for k in range(10)], 4),
        ({"start_s": 6.1, "end_s": 6.5}, [120], 1),  # no still is in the span: the nearest one
    ],
)
def test_a_contact_sheet_holds_the_stills_of_the_span(
    span: dict[str, float], levels: list[int], columns: int, strip: tuple[FolderStore, dict[str, object]],
    tmp_path: Path,
) -> None:  # fmt: skip
    store, values = strip
    write_sheet(table_of(**values, **span), store, tmp_path / "sheet.png", {})
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    assert sheet.shape == (-(-len(levels) // columns) * 62 + 4, columns * 64 + 4, 3)
    for place, level in enumerate(levels):
        top, left = place // columns * 62 + 4, place % columns * 64 + 4
        assert abs(float(sheet[top : top + 40, left : left + 60].mean()) - level) < 2
        assert sheet[top + 40 : top + 58, left : left + 60].max() > 150  # its time


def test_a_preview_is_stored_or_made_of_the_stills(
    strip: tuple[FolderStore, dict[str, object]], tmp_path: Path
) -> None:
    store, values = strip
    out = tmp_path / "out.webp"
    write_preview(table_of(**values, start_s=2.0, end_s=6.0), store, out, {})
    with Image.open(out) as image:
        levels = [np.asarray(frame.convert("L")).mean() for frame in ImageSequence.Iterator(image)]
    assert levels == pytest.approx([40, 60, 80, 100], abs=6)
    write_preview(table_of(**values, preview=stored(b"a preview", ".webp", store)), store, out, {})
    assert out.read_bytes() == b"a preview"


def test_without_stills_the_reason_is_named(
    strip: tuple[FolderStore, dict[str, object]], tmp_path: Path
) -> None:
    gone = {"path": "table/gone.jpegs", "size_bytes": 1, "sha256": ""}
    rows = [table_of(uri="a.mp4"), table_of(**strip[1] | {"strip": gone})]
    for row, message in zip(rows, ("no stills of this row", "the stored stills are missing"), strict=True):
        with pytest.raises(ClipmillError, match=message):
            write_sheet(row, strip[0], tmp_path / "sheet.png", {})
