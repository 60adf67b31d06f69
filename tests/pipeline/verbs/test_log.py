"""clipmill log: the log and the events of a run, also of one that goes on."""

import json
import threading
from pathlib import Path

import pytest
from toys import Quiet, toy_dag

from manifests.stores.folder import FolderStore
from pipeline.cli import main
from pipeline.engine.lease import Lease
from pipeline.executors.inline import Inline
from pipeline.history.record import RUNNING
from pipeline.recipes.request import RunRequest
from pipeline.run import run_dag


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log") / "s"
    request = RunRequest("r.py", {}, str(folder))
    run_dag(toy_dag(), str(folder), executor=Inline(), observer=Quiet(), request=request)
    return folder


def test_the_log_and_the_events_of_the_last_run(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", f"store={store}"]) == 0
    assert capsys.readouterr().out == next(store.glob("runs/*/log.txt")).read_text()
    assert main(["log", str(store), "--events"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (events[0]["event"], events[-1]["event"]) == ("run_started", "run_ended")


def test_an_unknown_run_or_store_is_an_error(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", str(store), "2020"]) == 2
    assert "there is no run '2020' in this store" in capsys.readouterr().err
    assert main(["log", str(store / "other")]) == 2
    assert "the store does not exist" in capsys.readouterr().err


def test_following_ends_with_the_run(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened = FolderStore(store)
    (run,) = opened.names("runs")
    timings = opened.read(f"runs/{run}/timings.json")
    opened.replace(f"runs/{run}/timings.json", json.dumps({"state": RUNNING}).encode())
    with Lease(opened, run):
        follower = threading.Thread(target=main, args=(["log", str(store), "--follow"],))
        follower.start()
        opened.append(f"runs/{run}/log.txt", b"a late line\n")
    opened.replace(f"runs/{run}/timings.json", timings)
    follower.join(timeout=60)
    assert not follower.is_alive()
    assert capsys.readouterr().out.endswith("a late line\n")
