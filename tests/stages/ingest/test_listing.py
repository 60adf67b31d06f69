"""Tests of listed folders: nothing disappears, whatever kind of file, name or permission."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from toys import Quiet

from manifests import ClipmillError
from manifests.stores.folder import FolderStore
from pipeline import Dag, Reject
from pipeline.executors.inline import Inline
from pipeline.planning.plan import Plan, build_plan
from pipeline.preview.costs import costs_of
from pipeline.preview.forecast import forecast
from pipeline.recipes.request import RunRequest
from pipeline.run import run_dag
from pipeline.verbs.plan import _summary
from stages.ingest.list_videos import ListVideos, Video
from stages.ingest.listing import VIDEO_EXTENSIONS
from stages.ingest.probe_video import ProbeVideo
from stages.media.errors import UnreadableFile
from stages.media.files import open_uri


def _rows(root: Path, **settings: object) -> dict[str, Video]:
    return {row.source: row for row in ListVideos(root=str(root), **settings).rows()}  # type: ignore[arg-type]


def _notes(root: Path, **settings: object) -> str:
    stage = ListVideos(root=str(root), **settings)  # type: ignore[arg-type]
    stage.digest()
    return "\n".join(stage.notes())


def test_files_with_other_endings_are_counted(tmp_path: Path) -> None:
    names = [
        "a.mp4",
        *(f"{k}.txt" for k in range(5)),
        "b.jpg",
        "c.JPG",
        "none",
        "d.x",
        "e.y",
        ".hidden",
        ".dir/f.mp4",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert _notes(tmp_path) == (
        "10 files left out because of the ending (.txt 5, .jpg 2, none 1, .x 1 and 1 more); "
        "`extensions` lists the endings of videos\n2 hidden files and folders left out"
    )
    assert list(_rows(tmp_path, extensions=("mp4", ".JPG", "Txt"))) == sorted(
        ["a.mp4", *(f"{k}.txt" for k in range(5)), "b.jpg", "c.JPG"]
    )
    assert len(_rows(tmp_path, extensions=("*",))) == 11
    assert _notes(tmp_path, extensions=("*",), limit=2).splitlines()[-1] == "9 videos left out by the limit"


@pytest.mark.parametrize("ending", [".m2v", ".f4v", ".rm", ".divx", ".M2TS", ".ogm", ".mk3d", ".y4m"])
def test_less_common_endings_are_listed(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"a{ending}").touch()
    assert list(_rows(tmp_path)) == [f"a{ending}"]


def test_the_endings_are_sorted_and_in_lower_case() -> None:
    assert sorted({e.lower() for e in VIDEO_EXTENSIONS}) == sorted(VIDEO_EXTENSIONS)
    assert all(e.startswith(".") for e in VIDEO_EXTENSIONS)


def test_special_files_are_rejected_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.mp4")
    os.mkfifo(tmp_path / "fifo.txt")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "gone.mp4").symlink_to("nowhere")
    (tmp_path / "empty.mp4").touch()
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.getcwd()
        os.chdir(tmp_path)  # the path of a socket is short
        bound.bind("socket.mp4")
        os.chdir(here)
        rows = _rows(tmp_path)
    reasons = {source: row.list_error for source, row in rows.items()}
    assert reasons == {
        "empty.mp4": "",
        "fifo.mp4": "this is a FIFO, not a file",
        "gone.mp4": "the file does not exist",
        "loop.mp4": "the file cannot be read: Too many levels of symbolic links",
        "socket.mp4": "this is a socket, not a file",
        "zero.mp4": "this is a device, not a file",
    }
    assert len({row.id for row in rows.values()}) == len(rows)
    answers = list(ProbeVideo().annotate(list(rows.values())))
    assert all(isinstance(answer, Reject) for answer in answers)
    assert [str(a) for a in answers] == [reason or "the file is empty" for reason in reasons.values()]
    with pytest.raises(UnreadableFile, match="FIFO"):
        open_uri(str(tmp_path / "fifo.mp4"))


@pytest.fixture
def not_root() -> Iterator[None]:
    """Permissions do not hold for root."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    yield
    if is_root:
        os.seteuid(0)


def test_folders_and_files_without_permission_are_rejected(not_root: None) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        root = Path(folder)
        for name in ("closed/a.mp4", "listed/b.mp4", "open/c.mp4"):
            (root / name).parent.mkdir()
            (root / name).write_bytes(b"c")
        (root / "open/d.mp4").write_bytes(b"d")
        (root / "open/d.mp4").chmod(0)
        (root / "closed").chmod(0)
        (root / "listed").chmod(0o400)
        try:
            reasons = {source: row.list_error for source, row in _rows(root).items()}
        finally:
            (root / "closed").chmod(0o700)
            (root / "listed").chmod(0o700)
    assert reasons == {
        "closed/": "the folder cannot be read: Permission denied",
        "listed/b.mp4": "the file cannot be read: Permission denied",
        "open/c.mp4": "",
        "open/d.mp4": "the file cannot be read: Permission denied",
    }


def test_a_store_inside_the_footage_is_noted(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"film")
    (tmp_path / "store" / "cut_clip-1").mkdir(parents=True)
    (tmp_path / "store" / "store.json").write_text("{}")
    (tmp_path / "store" / "cut_clip-1" / "clip.mp4").write_bytes(b"clip")
    assert list(_rows(tmp_path)) == ["film.mp4"]
    assert _notes(tmp_path) == f"the store {tmp_path / 'store'} is left out"


@pytest.mark.parametrize("root", ["", "  "])
def test_empty_footage_is_an_error(root: str) -> None:
    with pytest.raises(ClipmillError, match="footage is empty") as caught:
        ListVideos(root=root)
    assert caught.value.remedy


def test_a_root_that_is_no_file_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    os.mkfifo(tmp_path / "a.txt")
    for root in (tmp_path / "a.mp4", tmp_path / "a.txt", "/dev/null"):
        with pytest.raises(ClipmillError, match="not a file"):
            ListVideos(root=str(root)).digest()


def test_a_file_is_listed_whatever_its_ending(tmp_path: Path) -> None:
    (tmp_path / "film.bin").write_bytes(b"film")
    assert list(_rows(tmp_path / "film.bin")) == ["film.bin"]


def test_plans_and_runs_record_what_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    for name in ("a.mp4", "b.txt"):
        (tmp_path / "films" / name).touch()
    dag = Dag("short")
    dag.save(dag.read(ListVideos(root=str(tmp_path / "films"))), "videos")
    result = run_dag(
        dag, str(tmp_path / "s"), executor=Inline(), observer=Quiet(), request=RunRequest("x", {}, "s")
    )
    [note] = result.notes
    assert note.startswith("list_videos: 1 file left out because of the ending (.txt 1)")
    [folder] = (tmp_path / "s/runs").iterdir()
    for name in ("log.txt", "plan.json", "report.html"):
        assert "1 file left out because of the ending" in (folder / name).read_text()
    assert note in "\n".join(printed_plan(build_plan(dag, FolderStore(tmp_path / "s"))))


def printed_plan(plan: Plan) -> list[str]:
    """The lines that `clipmill plan` prints below the table of steps."""
    steps = forecast(plan)
    return _summary(steps, costs_of(plan, steps), "s")
