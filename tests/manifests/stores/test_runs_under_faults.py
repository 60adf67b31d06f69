"""Whole runs on S3 under faults: an outage of a minute, and answers that are lost or cut, change no table."""

import os
import subprocess
import sys
import time
from pathlib import Path

import counting
import pytest
from faulty_proxy import FaultyProxy
from toys import Quiet

from manifests.store import Store
from manifests.stores import open_store
from manifests.stores.folder import FolderStore
from pipeline.executors.inline import Inline
from pipeline.recipes.request import RunRequest
from pipeline.run import RunResult, run_dag

RECIPE = counting.__file__


def run(url: str, **knobs: int) -> RunResult:
    request = RunRequest(RECIPE, {}, url)
    return run_dag(counting.counting(**knobs), url, executor=Inline(), observer=Quiet(), request=request)


def tables(store: Store) -> dict[str, bytes]:
    names = [name for name in store.walk() if not name.startswith("runs/") and "." not in name.split("/")[0]]
    return {name: store.read(name) for name in names if name != "store.json"}


@pytest.mark.slow
def test_a_run_with_lost_answers_has_the_same_tables_and_holds_its_store(
    proxy: FaultyProxy, bucket: str, tmp_path: Path
) -> None:
    run(str(tmp_path / "folder"), count=6)
    counts = {"PUT": 0, "other": 0}

    def fault(method: str, path: str) -> str:
        """Half of the answers to writes are lost; one request in nine fails otherwise."""
        kind = method if method == "PUT" else "other"
        counts[kind] += 1
        if kind == "PUT" and counts[kind] % 2:
            return "lost"
        time.sleep(0.3 * (counts[kind] % 27 == 16))  # slow
        return {4: "503", 9: "500", 13: "truncated", 22: "reset"}.get(counts[kind] % 27, "")

    proxy.fault = fault
    result = run(f"{bucket}/store", count=6)
    proxy.fault = lambda method, path: ""
    assert result.exit_code == 0
    assert tables(open_store(f"{bucket}/store")) == tables(FolderStore(tmp_path / "folder"))
    assert not open_store(f"{bucket}/store").exists("lease.json")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", ["503", "refused", "hang"])
def test_an_outage_of_more_than_a_minute_ends_no_run(
    fault: str, proxy: FaultyProxy, bucket: str, tmp_path: Path
) -> None:
    """With Ray: the driver, its workers and its lease all wait."""
    options = ["wait_s=1", "count=24", "--workers=2"]
    command = [sys.executable, "-m", "pipeline.cli", "run", RECIPE, *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    store = f"{bucket}/store"
    with (tmp_path / "stderr").open("w") as err:
        process = subprocess.Popen([*command, f"store={store}"], env=environment, stderr=err, stdout=err)
    direct = open_store(store)
    while not any(name.startswith("square-") and "/part-" in name for name in direct.walk()):
        time.sleep(0.2)
        assert process.poll() is None, (tmp_path / "stderr").read_text()
    if fault == "refused":
        with proxy.refuses_connections():
            time.sleep(66)
    else:
        proxy.fault = lambda method, path: fault
        time.sleep(100 if fault == "hang" else 66)  # s3fs notices a server that is silent after 60 s
        proxy.fault = lambda method, path: ""
        proxy._released.set()
        time.sleep(1)
        proxy._released.clear()
    code, text = process.wait(), (tmp_path / "stderr").read_text()
    assert code == 0, text
    assert f"the store {store} does not answer since" in text
    assert f"the store {store} answers again after" in text
    run(str(tmp_path / "folder"), count=24)
    assert tables(direct) == tables(FolderStore(tmp_path / "folder"))
