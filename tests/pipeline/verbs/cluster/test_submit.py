"""A run as a job on a real Ray with a dashboard and a token; the store is on S3."""

import importlib.util
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.events.event import differences

ROOT = Path(__file__).parents[4]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("aiohttp_cors") is None, reason="ray[default] is not installed"
    ),
]
RECIPE = '''"""Squares."""
from own.toys import Numbers, Square
from pipeline import Dag


def squares(count: int = 12, crash_on: int = -1, token: str = "", wait_s: float = 0.0) -> Dag:
    """Square numbers.

    Args:
        count: How many.
        crash_on: The number that kills its process.
        token: A secret.
        wait_s: Seconds for each number.
    """
    dag = Dag("squares")
    numbers = dag.read(Numbers(count=count), rows_per_part=4)
    squared = numbers.annotate(Square(bad=5, fail_on=3, crash_on=crash_on, wait_s=wait_s))
    dag.save(squared.keep("square > 10", because="small"), "x")
    return dag
'''
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def free_port() -> int:
    """A port outside the range from which the system takes ports: Ray binds some of them much later."""
    for port in random.sample(range(20_000, 32_000), 100):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user: the token of the cluster, and credentials of the store."""
    server = pytest.importorskip("moto.server")
    running = server.ThreadedMotoServer(port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text("0123456789abcdef0123456789abcdef")
    keys = ("AWS_", "RAY_", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(keys)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ray = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0"}
    return {**kept, **ray, "PATH": path, "PYTHONPATH": str(ROOT), "S3": f"http://{host}:{port}"}


@pytest.fixture(scope="module")
def head(environment: dict[str, str]) -> Iterator[tuple[str, int]]:
    """The address of a dashboard, and the port of the metrics; the node has no credentials of the store."""
    ports = {name: free_port() for name in ("dashboard", "metrics-export", "dashboard-agent-listen")}
    with tempfile.TemporaryDirectory(prefix="ray", dir=Path.home()) as folder:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--port=0"]
        command += [f"--{name}-port={port}" for name, port in ports.items()]
        command += [f"--ray-client-server-port={free_port()}", "--num-cpus=2", f"--temp-dir={folder}"]
        command += ["--min-worker-port=0", "--max-worker-port=0", f"--object-store-memory={128 << 20}"]
        outside = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
        with Path(folder, "out.txt").open("w") as out:
            process = subprocess.Popen(command, env=outside, stdout=out, stderr=out, start_new_session=True)
            try:
                url = f"http://127.0.0.1:{ports['dashboard']}"
                _wait_for(url, environment, process)
                yield url, ports["metrics-export"]
            finally:
                process.terminate()
                process.wait(60)


def _wait_for(url: str, environment: dict[str, str], process: "subprocess.Popen[bytes]") -> None:
    for _ in range(240):  # a busy machine starts a dashboard slowly
        with suppress(OSError):
            get(f"{url}/api/jobs/", environment)
            return
        assert process.poll() is None, "the head has ended"
        time.sleep(1)
    pytest.fail("the dashboard did not start")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mine")
    (folder / "own").mkdir()
    (folder / "own/__init__.py").write_text('"""Own stages."""\n')
    (folder / "own/toys.py").write_text((ROOT / "tests/toys/toys.py").read_text())
    (folder / "squares.py").write_text(RECIPE)
    return folder / "squares.py"


@pytest.fixture
def clipmill(environment: dict[str, str], tmp_path: Path) -> Run:
    """Runs the command as a user on a laptop."""
    variables = {
        **environment,
        "AWS_ENDPOINT_URL": environment["S3"],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-store",
        "AWS_DEFAULT_REGION": "us-east-1",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "pipeline.cli", *words]
        return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=240)

    made = "import s3fs; s3fs.S3FileSystem().mkdir('clips')"
    subprocess.run([sys.executable, "-c", made], env=variables, capture_output=True)
    return run


ENV = [
    *("--env", "AWS_ENDPOINT_URL", "--env", "AWS_ACCESS_KEY_ID"),
    *("--env", "AWS_SECRET_ACCESS_KEY", "--env", "AWS_DEFAULT_REGION"),
]


def get(url: str, environment: dict[str, str]) -> str:
    token = Path(environment["RAY_AUTH_TOKEN_PATH"]).read_text()
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.read().decode())


@pytest.mark.timeout(900)
def test_a_submitted_run_is_followed_from_elsewhere_and_measured(
    clipmill: Run, head: tuple[str, int], recipe: Path, environment: dict[str, str]
) -> None:
    address, metrics_port = head
    words = [str(recipe), "count=18", "token=hush-hush", "crash_on=9", "store=s3://clips/a"]
    done = clipmill("submit", *words, "--address", address, *ENV, "--follow")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "small done: " in done.stdout

    jobs = get(f"{address}/api/jobs/", environment)
    assert json.loads(jobs)[0]["metadata"]["recipe"] == "squares.py"
    shown = jobs + done.stdout + done.stderr
    assert not [secret for secret in ("hush-hush", "a-secret-of-the-store") if secret in shown]

    status = json.loads(clipmill("status", "s3://clips/a", "--json").stdout)
    assert [*status["runs"].values()] == ["done"]
    lines = {line["step"]: line for line in status["steps"]}
    assert (lines["square"]["errors"], lines["numbers"]["rows_out"]) == (2, 18)
    assert "small done: " in clipmill("log", "s3://clips/a").stdout
    assert clipmill("report", "s3://clips/a").stdout.strip().endswith("report.html")
    _check_events(clipmill, lines)
    _check_metrics(get(f"http://127.0.0.1:{metrics_port}/metrics", environment), lines)


def _check_events(clipmill: Run, lines: dict[str, dict[str, int]]) -> None:
    """The events agree with the funnel, and name the worker that died."""
    events = [json.loads(line) for line in clipmill("log", "s3://clips/a", "--events").stdout.splitlines()]
    assert [wrong for event in events for wrong in differences(event)] == []
    parts = [e for e in events if e["event"] == "part_finished"]
    for step in ("square", "small"):
        assert sum(e["rows_in"] for e in parts if e["step"] == step) == lines[step]["rows_in"]
    assert [e["deaths"] for e in events if e["event"] == "worker_died"] == [1, 2]
    assert len([e for e in events if e["event"] == "node_joined"]) == 1


def _check_metrics(text: str, lines: dict[str, dict[str, int]]) -> None:
    """The metrics that Ray exports agree with the funnel."""
    samples = (line.rpartition(" ") for line in text.splitlines() if line.startswith("ray_clipmill_"))
    values = {name: float(number) for name, _, number in samples}

    def value(name: str, *labels: str) -> float:
        names = [n for n in values if n.startswith(f"{name}{{") and all(label in n for label in labels)]
        return sum(values[n] for n in names)

    rows = "ray_clipmill_rows_total"
    for outcome in ("passed", "dropped", "rejected", "errors"):
        for step in ("square", "small"):
            found = value(rows, f'step="{step}"', f'outcome="{outcome}"', 'dag="squares"')
            assert found == lines[step][outcome], (step, outcome)
    assert value(rows, 'step="numbers"') == 18
    assert value("ray_clipmill_parts_total", 'step="square"') == 5
    assert value("ray_clipmill_part_seconds_count", 'step="square"') == 5
    assert value("ray_clipmill_worker_deaths_total", 'step="square"') == 2
    assert value("ray_clipmill_written_bytes_total", 'step="square"') > 1000
    assert value("ray_clipmill_seconds_total", 'step="square"') > 0
    assert value("ray_clipmill_queued_tasks", 'step="square"') == 0
    assert value("ray_clipmill_remaining_parts", 'step="square"') == 0


@pytest.mark.timeout(600)
def test_a_job_goes_on_alone_and_a_failed_one_gives_its_exit_code(
    clipmill: Run, head: tuple[str, int], recipe: Path
) -> None:
    where = ["--address", head[0], *ENV]
    started = clipmill("submit", str(recipe), "wait_s=0.3", "store=s3://clips/b", *where, "--job-id", "alone")
    assert started.returncode == 0
    assert "job     alone" in started.stdout
    again = clipmill("submit", str(recipe), "store=s3://clips/b", *where, "--job-id", "alone")
    assert again.returncode == 1
    assert "already" in again.stderr
    for _ in range(60):
        status = clipmill("status", "s3://clips/b", "--json")
        if status.returncode == 0 and "done" in json.loads(status.stdout)["runs"].values():
            break
        time.sleep(1)
    assert "done" in json.loads(status.stdout)["runs"].values()
    strict = clipmill("submit", str(recipe), "store=s3://clips/c", *where, "--strict", "--follow")
    assert strict.returncode == 1
    assert "--strict allows none" in strict.stdout
