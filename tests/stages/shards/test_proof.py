"""`manifest check` proves shards: what is missing, strange, damaged or of another length is named."""

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
from pipeline.executor import Watch
from pipeline.executors.inline import Inline
from pipeline.planning.plan import plan_of
from stages.ingest.list_videos import ListVideos
from stages.media.tar import Member, index_bytes, write_tar
from stages.shards.cut_clip import CutClip
from stages.shards.pack_shards import PackShards
from stages.shards.sample import read_index


class Nothing(Row):
    uri: str


class Described(Row):
    variable_rate: bool = column("no")
    start_pts: int = column("0")
    end_pts: int = column("all")
    start_frame: int = column("0")
    end_frame: int = column("all")
    start_s: float = column("0", unit="s")
    end_s: float = column("all", unit="s")
    caption: str = column("some words")


class Describe(Annotate[Nothing, Described]):
    """Each film whole, as the scan would find it."""

    def annotate(self, rows: list[Nothing]) -> Iterator[Described]:
        from stages.media.decode import open_video

        for row in rows:
            with open_video(row.uri) as video:
                pts = [frame.pts for frame in video.frames()]
            step = pts[1] - pts[0]
            yield Described(
                variable_rate=False, start_pts=pts[0], end_pts=pts[-1] + step, start_frame=0,
                end_frame=len(pts), start_s=0.0, end_s=1.0, caption=f"film of {len(pts)}",
            )  # fmt: skip


class _Blind:
    """Looks at nothing."""

    def look(self, schedule: object) -> None: ...


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with five packed clips, in one tar together and in tars apart."""
    from stages.media.encode import write_mp4

    root = tmp_path_factory.mktemp("made")
    (root / "films").mkdir()
    for k in range(5):
        pictures = (np.full((48, 64, 3), 40 * k + t, np.uint8) for t in range(8 + k))
        write_mp4(root / "films" / f"{k}.mp4", pictures, 25, preset="ultrafast")
    for apart in (False, True):
        dag = Dag("packing")
        rows = dag.read(ListVideos(root=str(root / "films")), rows_per_part=2)
        cut = rows.annotate(Describe()).annotate(CutClip(preset="ultrafast"))
        dag.save(cut.survey(PackShards(apart=apart)), "shards")
        watch: Watch = _Blind()
        Inline().run(plan_of(dag, FolderStore(root / "store"), "r"), watch)
    return root / "store"


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    shutil.copytree(made, tmp_path / "store")
    return tmp_path / "store"


Check = Callable[..., tuple[int, str]]


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Check:
    def run(store: Path, *words: str) -> tuple[int, str]:
        code = main(["manifest", "check", str(store), "--json", *words])
        faults = json.loads(capsys.readouterr().out)["faults"]
        return code, "\n".join(fault["what"] for fault in faults)

    return run


def _tar(store: Path, kind: str = "") -> Path:
    """The one tar of all, or of one kind."""
    return next(
        p
        for p in sorted(store.rglob("*.tar"))
        if p.parent.name == kind or (not kind and len(p.parent.name) > 4)
    )


def _members(tar: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(tar) as opened:
        return [(info.name, opened.extractfile(info).read()) for info in opened]  # type: ignore[union-attr]


def _write(tar: Path, members: list[tuple[str, bytes]], index: bool = True) -> None:
    """Put another tar, and the index that is right for it, in the place of one."""
    written: list[Member] = write_tar(tar, members)
    if index:
        tar.with_suffix(".parquet").write_bytes(index_bytes(written, {}))


def test_sound_shards_are_proven_and_quickly_too(made: Path, check: Check) -> None:
    assert check(made) == (0, "")
    assert check(made, "--quick") == (0, "")
    folder = next(p for p in made.glob("pack_shards-*"))
    assert check(folder) == (0, "")


def test_a_sample_that_is_missing_and_one_that_nobody_packed(store: Path, check: Check) -> None:
    members = _members(_tar(store))
    lost = members[0][0].partition(".")[0]
    strange = [(name.replace(lost, "stranger"), content) for name, content in members]
    _write(_tar(store), strange)
    for words in ((), ("--quick",)):
        code, said = check(store, *words)
        assert code == 1
        assert f"the clip {lost} is not in the shard that its row names" in said
        assert "a shard holds stranger, which no row has put there" in said


def test_a_member_that_is_missing(store: Path, check: Check) -> None:
    _write(_tar(store), _members(_tar(store))[:-1])
    assert "there are mp4, json, not mp4, json, txt" in check(store, "--quick")[1]


def test_an_index_that_is_another_or_points_elsewhere(
    store: Path, made: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = _tar(store).with_suffix(".parquet")
    index.write_bytes(index.read_bytes()[::-1])
    assert "the index of a shard is not what was stored" in check(store, "--quick")[1]

    def shifted(index: Artifact) -> list[Member]:
        return [member._replace(offset=member.offset + 512) for member in read_index(index)]

    monkeypatch.setattr("stages.shards.proof.read_index", shifted)
    assert "the index of a shard does not say what lies in it" in check(made, "--quick")[1]


def test_a_clip_of_another_length_and_a_clip_that_does_not_decode(store: Path, check: Check) -> None:
    tar = _tar(store)
    members = _members(tar)
    films = [place for place, (name, _) in enumerate(members) if name.endswith(".mp4")]
    one, other = (members[films[k]] for k in (0, 1))
    members[films[0]] = (one[0], other[1])  # a film of another clip
    members[films[1]] = (other[0], other[1][:300] + bytes(len(other[1]) - 300))
    _write(tar, members)
    assert check(store, "--quick")[0] == 1  # the sizes differ from those that the rows tell
    said = check(store)[1]
    assert "its clip is not the one that was cut" in said
    assert "frames of 64 x 48 px, not" in said
    assert "its clip cannot be decoded" in said
    assert "another digest than was stored" in said


def test_words_of_another_clip(store: Path, check: Check) -> None:
    tar = _tar(store)
    members = dict(_members(tar))
    texts = sorted(name for name in members if name.endswith(".txt"))
    members[texts[0]], members[texts[1]] = members[texts[1]], members[texts[0]]
    _write(tar, list(members.items()))
    assert check(store)[1].count("its text is not the caption in its json") == 2


def test_a_tar_that_is_cut_short(store: Path, check: Check) -> None:
    tar = _tar(store, "mp4")
    tar.write_bytes(tar.read_bytes()[:700])
    code, said = check(store, "--quick")
    assert code == 1
    assert "a shard cannot be read" in said or "is not in the shard" in said


def test_what_else_is_checked_needs_no_stage(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = next(p for p in made.glob("list_videos-*"))
    assert main(["manifest", "check", str(folder)]) == 0
    assert "sound" in capsys.readouterr().out
