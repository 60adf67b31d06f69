"""From drawn films to shards and latents: resumed, with a changed threshold, in another folder, on Ray."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from format_examples import example

from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part
from pipeline.cli import main
from pipeline.engine.schedule import Schedule
from pipeline.executors.inline import Inline
from pipeline.planning.plan import Plan, build_plan
from stages.footage.draw import draw
from stages.recipes.curate import Curation
from stages.recipes.latents import Encoding, latents

RECIPE = str(Path(__file__).parents[2] / "stages" / "recipes" / "latents.py")
FILMS = ("brief", "variable_rate", "rotated", "truncated", "empty", "not_a_video")
KNOBS = ("videos_per_part=2", "latent_px=64", "latent_fps=8", "latent_video_frames=9", "shard_mb=1")


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("footage")
    draw(folder, films=FILMS)
    return folder


@pytest.fixture(scope="module")
def store(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the recipe has run inline, once."""
    folder = tmp_path_factory.mktemp("store")
    assert run(footage, folder, "--inline") == 0
    return folder


@pytest.fixture(scope="module")
def expected(store: Path) -> dict[str, bytes]:
    """The shards of the inline run, before other tests change the store."""
    return packed(store)


def run(footage: Path, store: Path, *words: str) -> int:
    return main(["run", RECIPE, f"footage={footage}", f"store={store}", *KNOBS, *words])


def packed(store: Path) -> dict[str, bytes]:
    """Every shard of clips and of latents with its index, by name."""
    found = (p for p in store.glob("pack_*/*/**/*") if p.suffix in (".tar", ".parquet"))
    named = {"/".join(p.relative_to(store).parts[1:]): p for p in found}
    return {n: p.read_bytes() for n, p in named.items() if n.split("/")[0] in ("shards", "latents")}


def last(store: Path, name: str) -> dict[str, Any]:
    newest = sorted((store / "runs").iterdir())[-1]
    found: dict[str, Any] = json.loads((newest / name).read_text())
    return found


def test_bad_files_are_rejected_and_the_others_are_packed(
    store: Path, expected: dict[str, bytes], footage: Path
) -> None:
    funnel = {line["step"]: line for line in last(store, "funnel.json")["steps"]}
    assert funnel["list_videos"]["rows_out"] == len(FILMS)
    assert funnel["probe_video"]["rejected"] == 3
    assert funnel["too_short"]["dropped"] == 1  # the brief shot
    assert funnel["shaky"]["dropped"] == 1  # filmed with an unsteady hand
    assert funnel["cut_clip"]["passed"] == 3
    windows = funnel["pack_latents"]["passed"]
    assert windows == funnel["encode_latents"]["passed"] > 2 * 3
    assert packed(store) == expected
    assert run(footage, store, "--inline", "--strict") == 1
    assert main(["manifest", "check", str(store)]) == 0


def test_the_examples_of_the_format_page_return_the_clips(store: Path) -> None:
    clips = duckdb.sql(example("sql", 0, store)).fetchall()
    assert [source for source, *_ in clips] == ["brief.mp4", "rotated.mp4", "variable_rate.mp4"]
    assert all(start < end and motion > 0 for _, start, end, motion in clips)
    [(source, _, rule, value)] = duckdb.sql(example("sql", 1, store)).fetchall()
    assert (source, rule, value.partition("=")[0]) == ("brief.mp4", "too short", "duration_s")
    reasons = {reason for _, reason, _ in duckdb.sql(example("sql", 2, store)).fetchall()}
    assert "the file is empty" in reasons
    assert pandas_clips(store) == clips


def pandas_clips(store: Path) -> list[tuple[Any, ...]]:
    """The clips that the pandas example prints."""
    names: dict[str, Any] = {}
    exec(example("python", 1, store), names)
    clips = names["clips"].sort_values(["source", "start_s"])
    return list(clips[["source", "start_s", "end_s", "motion_mean"]].itertuples(index=False, name=None))


@pytest.mark.filterwarnings("ignore:unclosed file", "ignore:Exception ignored in.*FileIO")
def test_plain_webdataset_reads_the_shards(store: Path) -> None:
    import webdataset

    tars = sorted(str(p) for p in store.glob("pack_shards-*/shards/**/*.tar"))
    seen = list(webdataset.WebDataset(tars, shardshuffle=False, empty_check=False))
    assert len(seen) == 3
    for sample in seen:
        metadata = json.loads(sample["json"])
        assert metadata["id"] == sample["__key__"]
        assert sample["txt"].decode() == metadata["caption"]
        assert sample["mp4"][4:8] == b"ftyp"


@pytest.mark.slow
def test_ray_with_two_workers_and_another_path_give_the_same_bytes(
    expected: dict[str, bytes], footage: Path, tmp_path: Path
) -> None:
    assert run(footage, tmp_path / "elsewhere" / "store", "--workers", "2") == 0
    assert packed(tmp_path / "elsewhere" / "store") == expected
    assert len(expected) >= 4


def test_a_changed_threshold_decodes_nothing(
    store: Path, footage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans = sorted(store.glob("scan_video-*"))
    words = [RECIPE, f"footage={footage}", f"store={store}", *KNOBS, "min_duration_s=2.6"]
    capsys.readouterr()
    assert main(["plan", *words]) == 0
    output = capsys.readouterr().out
    assert "too_short" in output
    assert main(["run", *words, "--inline"]) == 0
    rows = last(store, "timings.json")["rows"]
    assert sorted(store.glob("scan_video-*")) == scans
    assert [name for name, effort in rows.items() if effort["processed"]] == []
    assert rows["cut_clip"]["reused"] == 1
    funnel = {line["step"]: line for line in last(store, "funnel.json")["steps"]}
    assert funnel["pack_latents"]["passed"] == rows["encode_latents"]["reused"] > 1
    assert len(pandas_clips(store)) == 1, "the example reads only the tables of the last run"


@pytest.mark.slow
def test_a_driver_killed_at_any_time_is_resumed_to_the_same_bytes(
    expected: dict[str, bytes], footage: Path, tmp_path: Path
) -> None:
    words = ["run", RECIPE, f"footage={footage}", f"store={tmp_path / 's'}", *KNOBS, "--inline", "--quiet"]
    for file in ("scan_video-*/part-*", "encode_latents-*/part-*", "pack_latents-*/settled/*"):
        driver = subprocess.Popen([sys.executable, "-m", "pipeline.cli", *words], cwd=Path(RECIPE).parents[2])
        while driver.poll() is None and not list((tmp_path / "s").glob(file)):
            time.sleep(0.01)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    assert run(footage, tmp_path / "s", "--inline") == 0
    assert packed(tmp_path / "s") == expected


class DeleteFilm:
    """Deletes a film as soon as it is listed."""

    def __init__(self, film: Path) -> None:
        self.film = film

    def observe(self, schedule: Schedule) -> None:
        if schedule.steps["list_videos"].done:
            self.film.unlink(missing_ok=True)


def test_a_deleted_film_is_rejected_with_a_reason(footage: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for name in ("brief.mp4", "rotated.mp4"):
        os.link(footage / name, films / name)
    dag = latents(
        footage=str(films),
        curation=Curation(videos_per_part=1),
        encoding=Encoding(latent_px=64, latent_fps=8.0, latent_video_frames=9),
    )
    plan = build_plan(dag, FolderStore(tmp_path / "s"), "r")
    schedule = Inline().run(plan, DeleteFilm(films / "rotated.mp4"))
    assert schedule.is_finished
    reasons = [row["reason"] for row in _rejects(plan, "probe_video")]
    assert len(reasons) == 1
    assert "does not exist" in reasons[0]
    assert schedule.steps["cut_clip"].row_counts.passed == 1
    assert schedule.steps["pack_latents"].row_counts.passed == 2


def _rejects(plan: Plan, step: str) -> Iterator[dict[str, Any]]:
    for name in plan.store.walk(f"{plan[step].folder}/rejects"):
        yield from read_part(plan.store, name).to_pylist()


def test_the_report_names_every_rejected_film(store: Path) -> None:
    page = sorted((store / "runs").iterdir())[0] / "report.html"
    text = page.read_text()
    for name in ("truncated.mp4", "empty.mp4", "not_a_video.mp4"):
        assert name in text
    folder = next(store.glob("probe_video-*")).name
    assert len(parts_of(FolderStore(store), folder)) == 3
    assert read_part(FolderStore(store), f"{folder}/{part_name(0)}").num_rows
