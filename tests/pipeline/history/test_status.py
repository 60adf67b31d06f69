"""The status of a run that goes on says what each node did; it is read from the store alone."""

from pathlib import Path

import pytest
from toys import Quiet, toy_dag

from manifests.stores import open_store
from pipeline import run
from pipeline.engine.schedule import Schedule
from pipeline.engine.task import NodeWork
from pipeline.executors.inline import Inline
from pipeline.history.status import Status, status_of
from pipeline.recipes.request import RunRequest


class Asks(Quiet):
    """Asks for the status while a run goes on whose tasks ran on two nodes."""

    def __init__(self, url: str) -> None:
        self.url, self.found = url, list[Status]()

    def observe(self, schedule: object) -> None:
        assert isinstance(schedule, Schedule)
        schedule.nodes["host-1"] = NodeWork(cpus=3, workers=2, tasks=1234567, busy_s=4.25)
        schedule.nodes["host-2"] = NodeWork(cpus=0.5)
        self.found.append(status_of(open_store(self.url)))


def test_a_run_that_goes_on_shows_the_work_of_its_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_LOG_S", 0.0)
    url = str(tmp_path)
    asks = Asks(url)
    run.run_dag(toy_dag(), url, executor=Inline(), observer=asks, request=RunRequest("toy.py", {}, url))
    status = asks.found[-1]
    assert [*status.runs.values()] == ["running"]
    lines = [line.split() for line in status.text().splitlines()]
    assert ["host-1", "3", "2", "1,234,567", "4.2"] in lines
    assert ["host-2", "0.5", "0", "0", "0.0"] in lines
    old = Status("s", "r", (), None, {}, {"host": {"tasks": 2, "busy_s": 1.0}})
    assert ["host", "?", "?", "2", "1.0"] in [line.split() for line in old.text().splitlines()]
