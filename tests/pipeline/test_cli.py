"""The command: what it prints, what it leaves behind, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import counting
import pytest

from pipeline.cli import VERBS, main

RECIPE = counting.__file__
# a shell starts what it puts in the background with SIGINT ignored, and children inherit that
ARMED = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
START = ARMED + "import sys; from pipeline.cli import main; sys.exit(main())"


def files(store: Path) -> set[str]:
    return {p.relative_to(store).as_posix() for p in store.rglob("*")}


def run(store: Path, *words: str) -> int:
    return main(["run", RECIPE, f"store={store}", "--inline", *words])


def child(*words: str, **options: object) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([sys.executable, "-c", START, *words], env=env, text=True, **pipes)  # type: ignore


def test_help_names_every_verb_and_imports_nothing_heavy() -> None:
    heavy = "{'pyarrow', 'numpy', 'yaml', 'rich', 'ray', 'torch', 'av'} & set(sys.modules)"
    code = f"import sys; from pipeline.cli import main; main(['--help']); assert not {heavy}, {heavy}"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert all(f"\n    {verb} " in done.stdout for verb in VERBS)


def test_a_run_prints_its_funnel_and_leaves_its_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "bad=5", "--quiet") == 0
    assert "set aside" in capsys.readouterr().err
    assert run(tmp_path, "bad=5") == 0
    said = capsys.readouterr()
    assert "numbers: 20 rows = 10 kept + 5 dropped by too_small" in said.out
    assert "1 rejected by too_small" in said.out
    (first, second) = sorted((tmp_path / "runs").iterdir())
    names = {
        "recipe.yaml",
        "asked.json",
        "plan.json",
        "funnel.json",
        "timings.json",
        "log.txt",
        "report.html",
    }
    assert {p.name for p in first.iterdir()} == {p.name for p in second.iterdir()} == names
    worked = json.loads((second / "timings.json").read_text())["rows"]
    assert not worked  # everything stood


def test_rows_set_aside_are_a_warning_and_with_strict_a_failure(tmp_path: Path) -> None:
    assert run(tmp_path, "least=0") == 0
    assert run(tmp_path, "least=0", "--strict") == 1  # 7 has no half
    assert run(tmp_path / "few", "count=5", "--strict") == 0


def test_the_plan_writes_nothing_and_foresees_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", RECIPE, f"store={tmp_path / 'new'}"]) == 0
    assert not (tmp_path / "new").exists()
    run(tmp_path, "--quiet")
    before = files(tmp_path)
    capsys.readouterr()
    assert main(["plan", RECIPE, f"store={tmp_path}"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main(["plan", RECIPE, f"store={tmp_path}", "least=6", "--json"]) == 0
    ahead = {step["step"]: step for step in json.loads(capsys.readouterr().out)}
    assert files(tmp_path) == before
    assert {name for name, step in ahead.items() if step["whole"]} == {"numbers", "square", "spell"}
    assert ahead["sum"]["barrier"]
    run(tmp_path, "least=6", "--quiet")
    timings = json.loads((max((tmp_path / "runs").iterdir()) / "timings.json").read_text())
    did = timings["rows"]["split"]
    foreseen = ahead["split"]
    assert (foreseen["rows"], foreseen["rows_reused"]) == (did["worked"] + did["reused"], did["reused"])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["rum"], 2, "'run'"),
        (["run", RECIPE, "--inlin", "store=x"], 2, "'--inline'"),
        (["run", RECIPE], 2, "store=DIR"),
        (["run", "nowhere.py", "store=x"], 2, "nowhere.py"),
        (["run", RECIPE, "store=x", "leats=3"], 2, "'least'"),
        (["run", RECIPE, "store=x", "least=much"], 2, "'much' is not a number"),
        (["plan", RECIPE, "store=x", "bad"], 2, "is not a knob"),
        (["status", "nowhere"], 1, "nothing was ever run"),
        (["why", "abcdef"], 2, "store=DIR"),
        (["why", "abcdef", "sotre=x"], 2, "store=DIR"),
    ],
)
def test_wrong_words_are_told_on_one_screen_before_anything_runs(
    words: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == code
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert said in told
    assert "Traceback" not in told
    assert len(told.splitlines()) < 20
    assert not files(tmp_path)


def test_a_newer_store_and_a_held_store_are_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, "--quiet")
    (tmp_path / "store.json").write_text('{"format": 99}')
    assert run(tmp_path) == 1
    assert "format 99" in capsys.readouterr().err
    assert main(["plan", RECIPE, f"store={tmp_path}"]) == 1
    (tmp_path / "store.json").write_text('{"format": 1}')
    holder = {"run": "other", "host": "elsewhere", "pid": 1, "beat": time.time(), "started": 0}
    (tmp_path / "lease.json").write_text(json.dumps(holder))
    capsys.readouterr()
    assert run(tmp_path) == 1
    assert "held by run other (process 1 on elsewhere)" in capsys.readouterr().err
    assert main(["status", str(tmp_path)]) == 0
    assert "by run other" in capsys.readouterr().out
    assert run(tmp_path, "least=5", "--force") == 0


def test_a_failing_stage_is_told_without_traceback_unless_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(counting.Learn, "run", lambda *_: 1 / 0)
    assert run(tmp_path) == 1
    told = capsys.readouterr().err
    assert "step learn failed at learn launch: ZeroDivisionError" in told
    assert "Traceback" not in told
    assert main(["status", str(tmp_path)]) == 0
    assert "failed" in capsys.readouterr().out
    with pytest.raises(Exception, match="step learn failed"):
        run(tmp_path, "--debug")


def test_a_defect_is_called_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("pipeline.verbs.yaml.asked", lambda *_, **__: 1 / 0)
    assert main(["text", RECIPE]) == 1
    assert "this is a defect" in capsys.readouterr().err


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on_and_can(way: signal.Signals, tmp_path: Path) -> None:
    words = ("run", RECIPE, f"store={tmp_path}", "--inline", "wait_s=0.3")
    going = child(*words)
    while not list(tmp_path.glob("square-*/part-000000.parquet")):
        assert going.poll() is None
        time.sleep(0.05)
    going.send_signal(way)
    out, err = going.communicate(timeout=60)
    assert going.returncode == 130, err
    assert f"go on with: clipmill run {RECIPE}" in err
    assert "Traceback" not in out + err
    assert not (tmp_path / "lease.json").exists()
    assert '"stopped"' in next(tmp_path.glob("runs/*/timings.json")).read_text()
    assert run(tmp_path, "--quiet") == 0  # wait_s says where, not what
    resumed = json.loads((max((tmp_path / "runs").iterdir()) / "timings.json").read_text())["rows"]["square"]
    assert resumed["worked"] <= 17


def test_a_reader_that_goes_away_is_no_failure(tmp_path: Path) -> None:
    run(tmp_path, "--quiet")
    reading, writing = os.pipe()
    os.close(reading)
    going = child("status", str(tmp_path), stdout=writing)
    os.close(writing)
    _, err = going.communicate(timeout=60)
    assert err == ""
    assert going.returncode == 141


def test_progress_and_outcome_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--json") == 0
    *progress, outcome = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert progress[-1]["event"] == "progress"
    assert progress[-1]["steps"]["square"] | {"rows_per_s": 0} == {
        "parts": 7, "done": 7, "whole": True, "busy": 0, "paused": "", "ready": 0, "rows_in": 20,
        "passed": 20, "dropped": 0, "rejected": 0, "rows_out": 20, "rows_per_s": 0,
    }  # fmt: skip
    assert outcome["exit_code"] == 0
    assert Path(outcome["report"]).is_file()


def test_text_and_drawing_of_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["text", RECIPE, "least=9"]) == 0
    assert "keep: half >= 9.0" in capsys.readouterr().out
    assert main(["text", RECIPE, "--schema"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert main(["draw", RECIPE]) == 0
    assert "too_small" in capsys.readouterr().out


def test_help_after_a_recipe_tells_its_knobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "few.py"
    recipe.write_text(
        "from pipeline import Dag\n\n\n"
        "def few(count: int, least: float = 0.5) -> Dag:\n"
        '    """Few rows.\n\n    Args:\n        count: of rows.\n'
        '        least: what is\n            kept.\n    """\n'
    )
    assert main(["run", str(recipe), "--help"]) == 0
    said = [line.strip() for line in capsys.readouterr().out.partition("knobs of few:")[2].splitlines()]
    assert [" ".join(line.split()) for line in said if line] == ["count of rows.", "least=0.5 what is kept."]
