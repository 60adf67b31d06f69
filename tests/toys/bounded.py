"""Probes and scans files in a process of its own, bounded in memory and time, whose death is noticed."""

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
from stages.scan.scan_video import METERS, Listed, Scanned, ScanVideo

_START_S = 120


@dataclass(frozen=True)
class Outcome:
    """How a file ended: "result", "reject", "error" (another exception), "death" (by a signal) or "hang"."""

    kind: str
    said: str
    cpu_s: float = 0.0
    peak_mb: float = 0.0  # resident, of the whole process, while it worked on the file


class Bounded:
    """A worker that takes one file after the other, and is started anew when it died or was ended.

    Args:
        folder: where drafts go; it is empty again after each file.
        more_mb: address space beyond what it takes once everything is imported.
        wall_s: after so long without an answer a file hangs.
        meters: of the scan.
    """

    def __init__(
        self, folder: Path, more_mb: int = 1024, wall_s: float = 100, meters: Sequence[str] = METERS
    ) -> None:
        self.wall_s = wall_s
        self._command = [sys.executable, __file__, str(folder), str(more_mb), *meters]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Bounded":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._end()

    def ask(self, path: Path) -> Outcome:
        """What becomes of a file."""
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
            return Outcome(**json.loads(line))
        if line is None:
            self._end()
            return Outcome("hang", f"no answer in {self.wall_s} s")
        code = self._process.wait()
        self._end()
        return Outcome("death", signal.Signals(-code).name if code < 0 else f"exit {code}")

    def _line(self, wall_s: float) -> bytes | None:
        """The next line; empty where the worker is gone, None where it says nothing for so long."""
        assert self._process
        assert self._process.stdout
        ready, _, _ = select.select([self._process.stdout], [], [], wall_s)
        return self._process.stdout.readline() if ready else None

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _work(folder: str, more_mb: int, meters: tuple[str, ...]) -> None:
    """The worker: a path per line in, an outcome per line out."""
    tempfile.tempdir = folder
    cv2.setNumThreads(1)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + (more_mb << 20),) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.process_time()
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        try:
            kind, said = _outcome(line.rstrip("\n"), meters)
        except Exception:
            kind, said = "error", traceback.format_exc()
        peak_mb = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
        told = {"kind": kind, "said": said, "cpu_s": time.process_time() - start, "peak_mb": peak_mb}
        print(json.dumps(told), flush=True)


def _outcome(uri: str, meters: tuple[str, ...]) -> tuple[str, str]:
    [header] = ProbeVideo().annotate([Video(uri=uri)])
    [scanned] = ScanVideo(meters=meters).annotate([Listed(uri=uri)])
    if isinstance(scanned, Scanned):
        for artifact in (scanned.signals, scanned.strip):
            with artifact.local() as file:
                file.unlink()
    for answer in (header, scanned):
        if isinstance(answer, Reject):
            return "reject", str(answer)
    return "result", f"{scanned.scanned_frames} frames, {scanned.scanned_s:.6g} s, {header}"


if __name__ == "__main__":
    _work(sys.argv[1], int(sys.argv[2]), tuple(sys.argv[3:]))
