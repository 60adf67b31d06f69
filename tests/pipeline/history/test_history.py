"""The record, the accounts, the life of a row and its replay, on the store of a toy run."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import counting
import pytest
from counting import Spell
from toys import Quiet, Split, Square

from manifests import Row, column
from manifests.identity import id_of
from manifests.stores.folder import FolderStore
from manifests.table import RowCounts, part_name, read_part, read_row_counts, write_part
from pipeline import Source
from pipeline.cli import main
from pipeline.dag import Dag
from pipeline.engine.replay import dag_of_run, replay
from pipeline.errors import PipelineError, RowCountMismatch
from pipeline.executors.inline import Inline
from pipeline.history.explain import life_of
from pipeline.history.find import find
from pipeline.history.funnel import funnel_of
from pipeline.history.run_history import Past, read_past
from pipeline.recipes.request import RunRequest
from pipeline.run import carry_out

RECIPE = counting.__file__


class File(Row):
    id: str = column("made from the path")
    path: str = column("where it is")


class Files(Source[File]):
    def rows(self) -> Iterator[File]:
        for path in ("/store/a/film.mp4", "/store/b/film.mp4", "/store/b/old_film.mp4"):
            yield File(id=id_of(path), path=path)


def ran(store: Path, dag: Dag | None = None) -> Past:
    dag = dag or counting.counting(bad=5, nameless=3, worse=11)
    carry_out(dag, str(store), executor=Inline(), watch=Quiet(), asked=RunRequest(RECIPE, {}, str(store)))
    return read_past(FolderStore(store))


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    return ran(tmp_path_factory.mktemp("store"))


def ids(past: Past) -> dict[int, str]:
    """The id of each number."""
    step = past["numbers"]
    parts = [read_part(past.store, f"{step.folder}/{part_name(n)}") for n in past.row_counts("numbers")]
    return {row["n"]: row["id"] for part in parts for row in part.to_pylist()}


def test_a_row_that_two_steps_refuse_is_counted_once(tmp_path: Path) -> None:
    funnel = funnel_of(ran(tmp_path))
    numbers = next(account for account in funnel.accounts if account.base == "numbers")
    lines = {line.step: line for line in funnel.lines}
    assert (lines["square"].rejected, lines["spell"].rejected) == (5, 7)  # 0 and 15 by both
    assert numbers.rejected == {"square": 5, "spell": 5, "too_small": 1}
    assert numbers.dropped == {"too_small": 3}  # 1, 2, 4
    assert numbers.kept == 6 == lines["too_small"].passed
    assert numbers.rows == 20 == numbers.kept + 3 + 11


def test_a_row_that_is_lost_is_noticed(tmp_path: Path) -> None:
    past = ran(tmp_path)
    step = past["split"]
    manifest = tmp_path / step.folder / "manifest.json"
    said = json.loads(manifest.read_text())
    with_rows = next(part for part in said["parts"] if part["row_counts"]["passed"])
    with_rows["row_counts"]["passed"] -= 1
    manifest.write_text(json.dumps(said))
    with pytest.raises(RowCountMismatch, match="on the way to split, but 5 are there"):
        funnel_of(read_past(past.store))


@pytest.mark.parametrize(
    ("n", "verdict"),
    [
        (5, "rejected by square: 5 is a multiple of 5"),
        (6, "rejected by spell: 6 has no name"),
        (15, "rejected by square: 15 is a multiple of 5"),
        (7, "rejected by too_small: half missing: 'half >= 4.0' cannot be said"),
        (4, "dropped by too_small: too small (half=2; kept is half >= 4.0)"),
        (13, "kept to the end"),
    ],
)
def test_the_life_of_a_row(n: int, verdict: str, past: Past) -> None:
    life = life_of(past, find(past, ids(past)[n]))
    assert life.verdict == verdict
    assert life.events[0].values["n"] == (n, "")
    measured = {name: value for event in life.events for name, value in event.values.items()}
    assert ("square" in measured) == (n % 5 > 0)
    if n == 13:
        assert measured["half"] == (6.5, "1")
        ((step, children),) = life.children.items()
        assert step == "split"
        assert [verdict for _, verdict in children] == ["kept to the end"]


def test_the_failure_of_a_stage_says_which_line(past: Past) -> None:
    life = life_of(past, find(past, ids(past)[11]))
    assert re.match(r"rejected by square: ValueError: this number is worse \(.*toys.py:\d+ in", life.verdict)


def test_a_child_knows_its_parent_and_its_group(past: Past) -> None:
    parent = life_of(past, find(past, ids(past)[13]))
    ((child, _),) = parent.children["split"]
    life = life_of(past, find(past, child))
    assert life.parent
    assert life.parent.found == parent.found
    fates = [event.step for event in life.events]
    assert fates == ["split", "sum", "learn"]
    assert str(life.events[1].values["members"][0]["path"]).endswith(".txt")


def test_rows_are_found_by_the_beginning_of_their_id(past: Past) -> None:
    whole = ids(past)[13]
    assert find(past, whole[:8]).id == whole
    with pytest.raises(PipelineError, match="no row is named 'zzzz'"):
        find(past, "zzzz")
    with pytest.raises(PipelineError, match="no row is named"):
        find(past, whole, "split")  # it is not one of the pieces


class NoRuns(FolderStore):
    """A store in which no run is recorded."""

    def names(self, folder: str = "") -> list[str]:
        return [] if folder == "runs" else super().names(folder)


def test_files_are_found_by_the_end_of_their_path(tmp_path: Path) -> None:
    dag = Dag("files")
    dag.save(dag.read(Files()), "files")
    past = ran(tmp_path, dag)
    assert find(past, "a/film.mp4").id == find(past, "/store/a/film.mp4").id
    assert find(past, "old_film.mp4").id == find(past, "d_film.mp4").id
    with pytest.raises(PipelineError, match="is not one row but 2"):
        find(past, "film.mp4")


def test_without_a_record_the_tables_tell(past: Past, tmp_path: Path) -> None:
    tables = read_past(NoRuns(past.store.url))
    assert tables.run == ""
    life = life_of(tables, find(tables, ids(past)[4]))
    assert "too small (half=2;" in life.verdict
    with pytest.raises(PipelineError, match="nothing was ever run"):
        read_past(FolderStore(tmp_path))


@pytest.mark.parametrize("n", [5, 11, 13, 15])
def test_a_replay_gives_the_stored_answer_and_touches_nothing(n: int, past: Past) -> None:
    before = sorted(past.store.walk())
    dag = counting.counting(bad=5, nameless=3, worse=11)
    found = replay(past, dag, "square", ids(past)[n])
    assert found.equal, found
    assert bool(found.given) == (n == 13)
    assert sorted(past.store.walk()) == before


def test_children_rules_and_surveys_are_replayed(past: Past) -> None:
    dag = counting.counting(bad=5, nameless=3, worse=11)
    assert replay(past, dag, "split", ids(past)[13]).equal
    assert replay(past, dag, "too_small", ids(past)[4]).said == "too small"
    assert replay(past, dag, "too_small", ids(past)[7]).equal
    ((child, _),) = life_of(past, find(past, ids(past)[13])).children["split"]
    summed = replay(past, dag, "sum", child)
    assert summed.equal
    assert summed.given[0]["total"] > 0


def test_a_replay_shows_what_a_changed_stage_would_say(past: Past) -> None:
    dag = counting.counting(bad=13, nameless=3, worse=11)
    found = replay(past, dag, "square", ids(past)[13])
    assert not found.equal
    assert found.said == "13 is a multiple of 13"
    assert found.stored[0]["square"] == 169


@pytest.mark.parametrize(
    ("step", "n", "said"),
    [
        ("squre", 13, "did you mean 'square'"),
        ("numbers", 13, "is a source"),
        ("learn", 13, "is a model"),
        ("split", 4, "did not come to split: it was dropped by too_small"),
    ],
)
def test_what_cannot_be_replayed_says_why(step: str, n: int, said: str, past: Past) -> None:
    with pytest.raises(PipelineError) as told:
        replay(past, counting.counting(), step, ids(past)[n])
    assert said in str(told.value)


def test_the_command_replays_with_a_recipe(past: Past, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["replay", "square", "--row", ids(past)[11], f"store={past.store.url}"]
    knobs = ["--recipe", RECIPE, "--knob", "bad=5", "--knob", "worse=11"]
    assert main([*words, *knobs]) == 0
    assert "equal to what is stored" in capsys.readouterr().out
    with pytest.raises(ValueError, match="worse"):
        main([*words, *knobs, "--debug"])
    assert main(words) == 2  # the toys lie outside `stages`, so the record alone may not name them
    assert "--recipe" in capsys.readouterr().err


def test_the_record_holds_no_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("A_VARIABLE", "from-the-environment")
    words = ["run", RECIPE, f"store={tmp_path}", "--inline", "--quiet", "count=3", "least=0"]
    assert main([*words, "token=s3://me:hush@host/a?X-Signature=quiet"]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    for file in run.iterdir():
        for secret in ("hush", "from-the-environment", "X-Signature"):
            assert secret not in file.read_text(), file.name
    asked = json.loads((run / "asked.json").read_text())
    assert asked["knobs"] == {"count": "3", "least": "0", "token": "***"}
    assert asked["packages"]["pyarrow"]


def test_the_recorded_recipe_is_the_dag(past: Past) -> None:
    text = past.store.read(f"runs/{past.run}/recipe.yaml").decode()
    from pipeline.recipes.yaml_text import from_yaml, to_yaml

    dag = counting.counting(bad=5, nameless=3, worse=11)
    assert text == to_yaml(dag)
    assert list(from_yaml(text, packages=("toys", "counting")).nodes) == list(dag.nodes)
    with pytest.raises(PipelineError, match="recorded recipe cannot be read"):
        dag_of_run(past)


def test_sums_and_ids_agree_on_the_fates(tmp_path: Path) -> None:
    """Steps in a line are counted by sums; a branch beside them, by ids; the line's figures stay."""
    line = Dag("line")
    rows = line.read(*[counting.Numbers(count=20)], rows_per_part=4).annotate(Square(bad=5))
    kept = rows.keep("half >= 4", because="too small")
    line.save(kept.expand(Split()), "pieces")
    alone = funnel_of(ran(tmp_path, line)).accounts[0]
    branch = Dag("branch")
    source = branch.read(counting.Numbers(count=20), rows_per_part=4)
    kept = source.annotate(Square(bad=5), Spell()).keep("half >= 4", because="too small")
    branch.save(kept.expand(Split()), "pieces")
    beside = funnel_of(ran(tmp_path, branch)).accounts[0]
    assert (alone.kept, alone.dropped, alone.rejected) == (beside.kept, beside.dropped, beside.rejected)
    assert alone.rejected == {"square": 4, "too_small": 1}


def test_a_store_whose_part_lost_a_row_says_so(tmp_path: Path) -> None:
    past = ran(tmp_path)
    row = find(past, ids(past)[13])
    name = f"{past['square'].folder}/{part_name(row.part)}"
    part, row_counts = read_part(past.store, name), read_row_counts(past.store, name)
    past.store.remove(name)
    write_part(past.store, name, part.slice(0, 0), RowCounts(**vars(row_counts)))
    assert life_of(past, row).verdict.startswith("lost by square")
