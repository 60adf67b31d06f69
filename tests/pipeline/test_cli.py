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
LEAST = "Smallest half of a number that is kept."
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
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("    ")}
    assert listed >= set(VERBS)


def test_a_run_prints_its_funnel_and_leaves_its_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "bad=5", "--quiet") == 0
    assert "rows were rejected" in capsys.readouterr().err
    assert run(tmp_path, "bad=5") == 0
    printed = capsys.readouterr()
    assert "numbers: 20 rows = 10 kept + 5 dropped by too_small" in printed.out
    assert "1 rejected by too_small" in printed.out
    (first, second) = sorted((tmp_path / "runs").iterdir())
    names = {
        "recipe.yaml",
        "request.json",
        "plan.json",
        "funnel.json",
        "timings.json",
        "log.txt",
        "events.jsonl",
        "report.html",
    }
    assert {p.name for p in first.iterdir()} == {p.name for p in second.iterdir()} == names
    worked = json.loads((second / "timings.json").read_text())["rows"]
    assert not worked  # all tables existed


def test_rejected_rows_are_a_warning_and_with_strict_a_failure(tmp_path: Path) -> None:
    assert run(tmp_path, "min_half=0") == 0
    assert run(tmp_path, "min_half=0", "--strict") == 1  # 7 has no half
    assert run(tmp_path / "few", "count=5", "--strict") == 0


def test_plan_writes_nothing_and_predicts_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", RECIPE, f"store={tmp_path / 'new'}"]) == 0
    assert not (tmp_path / "new").exists()
    run(tmp_path, "--quiet")
    before = files(tmp_path)
    capsys.readouterr()
    assert main(["plan", RECIPE, f"store={tmp_path}"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main(["plan", RECIPE, f"store={tmp_path}", "min_half=6", "--json"]) == 0
    steps = {step["step"]: step for step in json.loads(capsys.readouterr().out)}
    assert files(tmp_path) == before
    assert {name for name, step in steps.items() if step["complete"]} == {"numbers", "square", "spell"}
    assert steps["sum"]["barrier"]
    run(tmp_path, "min_half=6", "--quiet")
    timings = json.loads((max((tmp_path / "runs").iterdir()) / "timings.json").read_text())
    done = timings["rows"]["split"]
    predicted = steps["split"]
    assert (predicted["rows"], predicted["rows_reused"]) == (
        done["processed"] + done["reused"],
        done["reused"],
    )


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["rum"], 2, "'run'"),
        (["run", RECIPE, "--inlin", "store=x"], 2, "'--inline'"),
        (["run", RECIPE], 2, "store=DIR"),
        (["run", "nowhere.py", "store=x"], 2, "nowhere.py"),
        (["run", RECIPE, "store=x", "min_hafl=3"], 2, "'min_half'"),
        (["run", RECIPE, "store=x", "min_half=much"], 2, "'much' is not a number"),
        (["plan", RECIPE, "store=x", "bad"], 2, "is not a knob"),
        (["status", "nowhere"], 2, "the store does not exist"),
        (["gc", "store=nowhere", "--keep", "1", "--delete"], 2, "the store does not exist"),
        (["explain", "abcdef"], 2, "store=DIR"),
        (["explain", "abcdef", "sotre=x"], 2, "store=DIR"),
    ],
)
def test_usage_errors_fit_on_one_screen_and_nothing_runs(
    words: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert "Traceback" not in error
    assert len(error.splitlines()) < 20
    assert not files(tmp_path)


def test_a_newer_store_and_a_held_store_are_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, "--quiet")
    head = (tmp_path / "store.json").read_text()
    (tmp_path / "store.json").write_text('{"format": 99}')
    assert run(tmp_path) == 1
    assert "format 99" in capsys.readouterr().err
    assert main(["plan", RECIPE, f"store={tmp_path}"]) == 1
    (tmp_path / "store.json").write_text(head)
    holder = {"run": "other", "host": "elsewhere", "pid": 1, "beat": time.time(), "started": 0}
    (tmp_path / "lease.json").write_text(json.dumps(holder))
    capsys.readouterr()
    assert run(tmp_path) == 1
    assert "held by run other (process 1 on elsewhere)" in capsys.readouterr().err
    assert main(["status", str(tmp_path)]) == 0
    assert "by run other" in capsys.readouterr().out
    assert run(tmp_path, "min_half=5", "--force") == 0


def test_a_failing_stage_is_reported_without_traceback_unless_debug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(counting.Learn, "run", lambda *_: 1 / 0)
    assert run(tmp_path) == 1
    error = capsys.readouterr().err
    assert "step learn failed at learn launch: ZeroDivisionError" in error
    assert "Traceback" not in error
    assert main(["status", str(tmp_path)]) == 0
    assert "failed" in capsys.readouterr().out
    with pytest.raises(Exception, match="step learn failed"):
        run(tmp_path, "--debug")


def test_an_unexpected_exception_is_reported_as_a_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.verbs.yaml.parse_request", lambda *_, **__: 1 / 0)
    assert main(["yaml", RECIPE]) == 1
    assert "this is a bug" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("way", "executor"),
    [
        (signal.SIGINT, "--inline"),
        (signal.SIGTERM, "--inline"),
        (signal.SIGHUP, "--inline"),
        (signal.SIGTERM, "--workers=2"),
    ],
)
def test_a_signal_to_the_process_group_stops_the_run_with_a_summary(
    way: signal.Signals, executor: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("run", RECIPE, f"store={tmp_path}", executor, "wait_s=0.3")
    going = child(*words, start_new_session=True)
    while not list(tmp_path.glob("square-*/.part-*/*.jsonl")):
        assert going.poll() is None
        time.sleep(0.05)
    os.killpg(going.pid, way)
    out, err = going.communicate(timeout=60)
    assert going.returncode == 128 + way, err
    assert "not finished" in out
    assert f"continue with: clipmill run {RECIPE}" in err
    assert "Traceback" not in out + err
    assert "SIGTERM received" not in err  # Ray's own handler, which aborts the process 3 s later
    assert not (tmp_path / "lease.json").exists()
    assert '"stopped"' in next(tmp_path.glob("runs/*/timings.json")).read_text()
    before = files(tmp_path)
    assert main(["plan", RECIPE, f"store={tmp_path}", "--json"]) == 0
    steps = {step["step"]: step for step in json.loads(capsys.readouterr().out)}
    assert files(tmp_path) == before
    assert run(tmp_path, "--quiet") == 0  # wait_s says where, not what
    resumed = json.loads((max((tmp_path / "runs").iterdir()) / "timings.json").read_text())["rows"]["square"]
    assert resumed["processed"] == steps["square"]["rows"] - steps["square"]["rows_resumed"] <= 20
    assert resumed["resumed"] == steps["square"]["rows_resumed"]


def test_a_signal_after_the_run_does_not_change_its_exit_code(tmp_path: Path) -> None:
    exits = ARMED + (
        "import atexit, os, signal, sys; from pipeline.cli import main\n"
        "class AtTheEnd:\n"
        "    def __del__(self): os.kill(os.getpid(), signal.SIGTERM)\n"
        "end = AtTheEnd(); atexit.register(os.kill, os.getpid(), signal.SIGHUP); sys.exit(main())"
    )
    command = [sys.executable, "-c", exits, "run", RECIPE, f"store={tmp_path}", "--inline"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert "numbers: 20 rows" in done.stdout
    assert done.returncode == 0, done.stderr


def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(tmp_path, "count=4", "--quiet") == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/store", "/sys/store"])
def test_a_store_that_cannot_be_a_folder_is_an_error_of_the_user(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("footage")
    store = tmp_path / place
    is_file = place.startswith("file")
    assert run(store) == (2 if is_file else 1)
    error = capsys.readouterr().err
    assert ("the store is a file" if is_file else "the store cannot be written") in error
    assert "where:" in error
    assert "bug" not in error
    assert (tmp_path / "file").read_text() == "footage"
    for verb in ("status", "plan", "try") if is_file else ():
        words = [verb, f"store={store}"] if verb == "status" else [verb, RECIPE, f"store={store}"]
        assert main(words) == 2
        assert "the store is a file" in capsys.readouterr().err


def test_an_error_of_the_machine_is_not_a_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "pipeline.verbs.yaml.parse_request", lambda *_, **__: Path("/nowhere/at/all").read_text()
    )
    assert main(["yaml", RECIPE]) == 1
    error = capsys.readouterr().err
    assert "No such file or directory" in error
    assert "/nowhere/at/all" in error
    assert "bug" not in error


def test_plan_with_retries_predicts_the_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, "fail_on=11", "--quiet")
    before = files(tmp_path)
    capsys.readouterr()
    assert main(["plan", RECIPE, f"store={tmp_path}", "fail_on=11"]) == 0
    output = capsys.readouterr().out
    assert "nothing to do" in output
    assert "rows on which a stage failed: square 1; a run with --retry-errors processes them again" in output
    assert main(["plan", RECIPE, f"store={tmp_path}", "fail_on=11", "--retry-errors", "--json"]) == 0
    steps = {step["step"]: step for step in json.loads(capsys.readouterr().out)}
    assert files(tmp_path) == before
    assert run(tmp_path, "fail_on=11", "--retry-errors", "--quiet") == 0
    timings = json.loads((max((tmp_path / "runs").iterdir()) / "timings.json").read_text())["rows"]
    assert steps["square"]["rows"] - steps["square"]["rows_reused"] == timings["square"]["processed"] == 1


def test_steps_are_reported_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path) == 0
    lines = capsys.readouterr().err.splitlines()
    done = [line.partition(" done: ")[0] for line in lines if " done: " in line]
    assert done == ["numbers", "square", "spell", "too_small", "split", "sum", "learn"]


def test_a_closed_output_pipe_is_not_a_failure(tmp_path: Path) -> None:
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
    assert progress[-1]["steps"]["square"] | {"rows_per_s": 0, "seconds": 0} == {
        "parts": 7, "parts_done": 7, "complete": True, "running_tasks": 0, "paused": "", "ready_tasks": 0,
        "rows_in": 20, "passed": 20, "dropped": 0, "rejected": 0, "errors": 0, "rows_out": 20,
        "rows_running": 0, "rows_per_s": 0, "seconds": 0, "text": "",
    }  # fmt: skip
    assert outcome["exit_code"] == 0
    assert Path(outcome["report"]).is_file()


def test_yaml_and_graph_of_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["yaml", RECIPE, "min_half=9"]) == 0
    assert "keep: half >= 9.0" in capsys.readouterr().out
    assert main(["yaml", RECIPE, "--schema"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert main(["graph", RECIPE]) == 0
    assert "too_small" in capsys.readouterr().out


def test_help_with_a_recipe_prints_its_knobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "few.py"
    recipe.write_text(
        "from pipeline import Dag\n\n\n"
        "def few(count: int, min_half: float = 0.5) -> Dag:\n"
        '    """Few rows.\n\n    Args:\n        count: of rows.\n'
        '        min_half: what is\n            kept.\n    """\n'
    )
    assert main(["run", str(recipe), "--help"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.partition("knobs of few:")[2].splitlines()]
    assert [" ".join(line.split()) for line in lines if line] == [
        "count of rows.",
        "min_half=0.5 what is kept.",
    ]


@pytest.mark.parametrize(
    ("old", "new"), [(["text", RECIPE], "yaml"), (["draw", RECIPE], "graph"), (["why", "--help"], "explain")]
)
def test_old_verbs_work_with_one_line_of_warning(
    old: list[str], new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([new, *old[1:]]) == 0
    expected = capsys.readouterr().out
    assert main(old) == 0
    printed = capsys.readouterr()
    assert printed.out == expected
    message = f"clipmill {old[0]} is now clipmill {new}; the old name goes away in the next release\n"
    assert printed.err == message
    assert main(["--help"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("    ")]
    assert new in listed
    assert old[0] not in listed


def test_the_schema_of_a_recipe_describes_its_knobs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["yaml", RECIPE, "--schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    min_half = schema["properties"]["knobs"]["properties"]["min_half"]
    assert min_half["description"] == LEAST
    assert min_half["default"] == 4.0
    assert "No description" in schema["properties"]["knobs"]["properties"]["bad"]["description"]


def test_the_report_prints_the_description_of_a_knob_that_was_set(tmp_path: Path) -> None:
    assert run(tmp_path, "min_half=5", "--quiet") == 0
    [page] = tmp_path.glob("runs/*/report.html")
    assert json.dumps({"text": "min_half=5", "description": LEAST}, separators=(",", ":")) in page.read_text()
    request = json.loads((page.parent / "request.json").read_text())
    assert request["knob_defaults"]["min_half"] == "4.0"  # so that the report knows the knob of a threshold
