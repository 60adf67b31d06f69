"""Probes and scans files in a process with limited memory and time, and reports if it dies."""

import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import cv2

from pipeline import Reject
from stages.ingest.probe_video import ProbeVideo, Video
from stages.scan.scan_video import METERS, ListedVideo, ScannedVideo, ScanVideo

_START_S = 120


@dataclass(frozen=True)
class FileOutcome:
    """The outcome of a file: "result", "reject", "error" (an exception), "death" (by a signal) or "hang"."""

    kind: str
    message: str
    cpu_s: float = 0.0
    peak_mb: float = 0.0  # resident memory of the whole process while it processed the file


class Bounded:
    """A worker that processes one file after another. It is restarted after it died or was killed.

    Args:
        folder: Folder for temporary files; it is empty again after each file.
        extra_mb: Address space in MiB in addition to what the process uses after its imports.
        wall_s: Seconds without a result after which a file counts as a hang.
        meters: Meters of the scan.
    """

    def __init__(
        self, folder: Path, extra_mb: int = 1024, wall_s: float = 100, meters: Sequence[str] = METERS
    ) -> None:
        self.wall_s = wall_s
        self._command = [sys.executable, __file__, str(folder), str(extra_mb), *meters]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Bounded":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._end()

    def process(self, path: Path) -> FileOutcome:
        """Probe and scan a file."""
        if self._process is None:
            roots = {"PYTHONPATH": ":".join(place for place in sys.path if place)}
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self._process = subprocess.Popen(self._command, env={**os.environ, **roots}, **pipes)
            assert self._line(_START_S) == b"ready\n"
        assert self._process.stdin
        self._process.stdin.write(f"{path}\n".encode())
        self._process.stdin.flush()
        line = self._line(self.wall_s)
        if line:
            return FileOutcome(**json.loads(line))
        if line is None:
            self._end()
            return FileOutcome("hang", f"no result in {self.wall_s} s")
        code = self._process.wait()
        self._end()
        return FileOutcome("death", signal.Signals(-code).name if code < 0 else f"exit {code}")

    def _line(self, wall_s: float) -> bytes | None:
        """The next line; empty if the worker has ended, None if it wrote nothing for `wall_s` seconds."""
        assert self._process
        assert self._process.stdout
        ready, _, _ = select.select([self._process.stdout], [], [], wall_s)
        return self._process.stdout.readline() if ready else None

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _work(folder: str, extra_mb: int, meters: tuple[str, ...]) -> None:
    """The worker: reads one path per line, and writes one outcome per line."""
    tempfile.tempdir = folder
    cv2.setNumThreads(1)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (extra_mb << 20),) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.process_time()
        Path("/proc/self/clear_refs").write_text("5")  # reset the peak
        try:
            kind, message = _outcome(line.rstrip("\n"), meters)
        except Exception:
            kind, message = "error", traceback.format_exc()
        peak_mb = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
        outcome = {"kind": kind, "message": message, "cpu_s": time.process_time() - start, "peak_mb": peak_mb}
        print(json.dumps(outcome), flush=True)


def _outcome(uri: str, meters: tuple[str, ...]) -> tuple[str, str]:
    [header] = ProbeVideo().annotate([Video(uri=uri)])
    [scanned] = ScanVideo(meters=meters).annotate([ListedVideo(uri=uri)])
    if isinstance(scanned, ScannedVideo):
        for artifact in (scanned.signals, scanned.strip):
            with artifact.local() as file:
                file.unlink()
    for answer in (header, scanned):
        if isinstance(answer, Reject):
            return "reject", str(answer)
    return "result", f"{scanned.scanned_frames} frames, {scanned.scanned_s:.6g} s, {header}"


if __name__ == "__main__":
    _work(sys.argv[1], int(sys.argv[2]), tuple(sys.argv[3:]))
