"""`manifest check` validates shards: it reports missing, extra, damaged and replaced samples."""

import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from manifests import Artifact, Row, column
from manifests.stores.folder import FolderStore
from pipeline import Annotate, Dag
from pipeline.cli import main
from pipeline.executor import Observer
from pipeline.executors.inline import Inline
from pipeline.planning.plan import build_plan
from stages.ingest.list_videos import ListVideos
from stages.media.tar import Member, index_bytes, write_tar
from stages.shards.cut_clip import CutClip
from stages.shards.pack_shards import PackShards
from stages.shards.sample import read_index
from stages.shards.validate import decode_size


class ListedVideo(Row):
    uri: str


class VideoSpan(Row):
    variable_rate: bool = column("always false")
    start_pts: int = column("first pts of the video")
    end_pts: int = column("end of the last frame")
    start_frame: int = column("always 0")
    end_frame: int = column("number of frames")
    start_s: float = column("always 0", unit="s")
    end_s: float = column("always 1", unit="s")
    caption: str = column("the number of frames in words")


class SelectWholeVideo(Annotate[ListedVideo, VideoSpan]):
    """Adds the span of the whole video, as the scan would find it."""

    def annotate(self, rows: list[ListedVideo]) -> Iterator[VideoSpan]:
        from stages.media.decoding.video import open_video

        for row in rows:
            with open_video(row.uri) as video:
                pts = [frame.pts for frame in video.frames()]
            step = pts[1] - pts[0]
            yield VideoSpan(
                variable_rate=False, start_pts=pts[0], end_pts=pts[-1] + step, start_frame=0,
                end_frame=len(pts), start_s=0.0, end_s=1.0, caption=f"film of {len(pts)}",
            )  # fmt: skip


class _NoObserver:
    """Observes nothing."""

    def observe(self, schedule: object) -> None: ...


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with five packed clips, once with one tar for all members and once with separate tars."""
    from stages.media.encoding.arrays import write_mp4

    root = tmp_path_factory.mktemp("intact")
    (root / "films").mkdir()
    for k in range(5):
        images = (np.full((48, 64, 3), 40 * k + t, np.uint8) for t in range(8 + k))
        write_mp4(root / "films" / f"{k}.mp4", images, 25, preset="ultrafast")
    for separate_tars in (False, True):
        dag = Dag("packing")
        rows = dag.read(ListVideos(root=str(root / "films")), rows_per_part=2)
        cut = rows.annotate(SelectWholeVideo()).annotate(CutClip(preset="ultrafast"))
        dag.save(cut.survey(PackShards(separate_tars=separate_tars)), "shards")
        observer: Observer = _NoObserver()
        Inline().run(build_plan(dag, FolderStore(root / "store"), "r"), observer)
    return root / "store"


@pytest.fixture
def store(intact: Path, tmp_path: Path) -> Path:
    """A copy of the store for tests that damage it."""
    shutil.copytree(intact, tmp_path / "store")
    return tmp_path / "store"


Check = Callable[..., tuple[int, str]]


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Check:
    """check(store, *args) -> the exit code and the faults, one per line."""

    def run(store: Path, *args: str) -> tuple[int, str]:
        code = main(["manifest", "check", str(store), "--json", *args])
        faults = json.loads(capsys.readouterr().out)["faults"]
        return code, "\n".join(fault["what"] for fault in faults)

    return run


def _tar(store: Path, extension: str = "") -> Path:
    """The tar with all members, or the one with the members of one extension."""
    return next(
        p
        for p in sorted(store.rglob("*.tar"))
        if p.parent.name == extension or (not extension and len(p.parent.name) > 4)
    )


def _members(tar: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(tar) as opened:
        return [(info.name, opened.extractfile(info).read()) for info in opened]  # type: ignore[union-attr]


def _write(tar: Path, members: list[tuple[str, bytes]], index: bool = True) -> None:
    """Replace a tar, and with `index` also write the matching index."""
    written: list[Member] = write_tar(tar, members)
    if index:
        tar.with_suffix(".parquet").write_bytes(index_bytes(written, {}))


def test_intact_shards_are_valid(intact: Path, check: Check) -> None:
    assert check(intact) == (0, "")
    assert check(intact, "--quick") == (0, "")
    folder = next(p for p in intact.glob("pack_shards-*"))
    assert check(folder) == (0, "")


def test_a_missing_sample_and_one_without_a_row(store: Path, check: Check) -> None:
    members = _members(_tar(store))
    missing = members[0][0].partition(".")[0]
    changed = [(name.replace(missing, "extra"), content) for name, content in members]
    _write(_tar(store), changed)
    for args in ((), ("--quick",)):
        code, faults = check(store, *args)
        assert code == 1
        assert f"the clip {missing} is missing from the shard that its row names" in faults
        assert "a shard holds the clip extra, which has no row" in faults


def test_a_missing_member(store: Path, check: Check) -> None:
    _write(_tar(store), _members(_tar(store))[:-1])
    assert "has the members mp4, json, not mp4, json, txt" in check(store, "--quick")[1]


def test_a_damaged_index_and_one_with_wrong_offsets(
    store: Path, intact: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = _tar(store).with_suffix(".parquet")
    index.write_bytes(index.read_bytes()[::-1])
    assert "the index of a shard is not the file that was stored" in check(store, "--quick")[1]

    def shifted(index: Artifact) -> list[Member]:
        return [member._replace(offset=member.offset + 512) for member in read_index(index)]

    monkeypatch.setattr("stages.shards.validate.read_index", shifted)
    assert "the index of a shard does not match the members of the shard" in check(intact, "--quick")[1]


def test_a_video_of_another_length_and_one_that_does_not_decode(store: Path, check: Check) -> None:
    tar = _tar(store)
    members = _members(tar)
    videos = [place for place, (name, _) in enumerate(members) if name.endswith(".mp4")]
    one, other = (members[videos[k]] for k in (0, 1))
    members[videos[0]] = (one[0], other[1])  # the video of another clip
    members[videos[1]] = (other[0], other[1][:300] + bytes(len(other[1]) - 300))
    _write(tar, members)
    assert check(store, "--quick")[0] == 1  # the sizes differ from those in the index
    faults = check(store)[1]
    assert "its video is not the clip that was cut" in faults
    assert "frames of 64 x 48 px, not" in faults
    assert "its video cannot be decoded" in faults
    assert "the digest of a shard is not the one that was stored" in faults


def test_the_text_of_another_clip(store: Path, check: Check) -> None:
    tar = _tar(store)
    members = dict(_members(tar))
    texts = sorted(name for name in members if name.endswith(".txt"))
    members[texts[0]], members[texts[1]] = members[texts[1]], members[texts[0]]
    _write(tar, list(members.items()))
    assert check(store)[1].count("its text is not the caption in its json") == 2


def test_a_truncated_tar(store: Path, check: Check) -> None:
    tar = _tar(store, "mp4")
    tar.write_bytes(tar.read_bytes()[:700])
    code, faults = check(store, "--quick")
    assert code == 1
    assert "a shard cannot be read" in faults or "is missing from the shard" in faults


def test_other_tables_are_checked_without_a_stage(intact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = next(p for p in intact.glob("list_videos-*"))
    assert main(["manifest", "check", str(folder)]) == 0
    assert "valid: no faults" in capsys.readouterr().out


def test_a_member_of_a_shard_opens_no_other_file(
    film: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(film(np.zeros((3, 48, 64, 3), np.uint8), "a.mp4").parent)
    assert decode_size(Path("a.mp4").read_bytes())[0] > 0
    with pytest.raises(ValueError, match="Invalid"):
        decode_size(b"ffconcat version 1.0\nfile a.mp4\n")
