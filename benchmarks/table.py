"""How many clips per second does `clipmill table` write, and how much memory does it need?

    python -m benchmarks.table --clips 100000

It writes a store with the tables of a curation: videos, clips, layers of measurements and rules. Then it
reads all clips with all columns, as CSV and as Parquet, in processes of their own.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests.format import STORE_FILE, format_text
from manifests.manifest import Manifest, columns_of, describe_part
from manifests.rows.drop import DropRow
from manifests.runs.clips import open_rows, read_clips
from manifests.runs.files import WRITERS
from manifests.runs.run_history import RunHistory, StepHistory
from manifests.schema import schema_of
from manifests.stores.folder import FolderStore
from manifests.table import RowCounts, part_name, write_part

VIDEOS, CLIPS = 16, 40  # videos per part, clips per video
LAYERS, COLUMNS, RULES = 12, 5, 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--store", type=Path, help="write the store here, or use the one that is here")
    parser.add_argument("--read", choices=tuple(WRITERS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read:
        _read(args.store, args.read)
        return
    with tempfile.TemporaryDirectory() as folder:
        store = args.store or Path(folder) / "store"
        if not store.exists():
            _write_store(store, -(-args.clips // (VIDEOS * CLIPS)))
        for form in ("csv", "parquet"):
            command = [sys.executable, "-m", "benchmarks.table", "--store", str(store), "--read", form]
            print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())


def _read(store: Path, form: str) -> None:
    started = time.perf_counter()
    reader = open_rows(store)
    opened_s = time.perf_counter() - started
    schema, parts = read_clips(reader)
    with tempfile.TemporaryFile() as file:
        rows = WRITERS[form](file, schema, parts)
        size_mb = file.tell() / 2**20
    seconds, cpu_s = time.perf_counter() - started, time.process_time()
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"format": form, "rows": rows, "columns": len(schema.names), "rows_per_s": round(rows / seconds)}
    more = {
        "seconds": round(seconds, 2),
        "cpu_s": round(cpu_s, 2),
        "opening_s": round(opened_s, 2),
        "size_mb": round(size_mb, 1),
    }
    print(json.dumps({**found, **more, "memory_mb": round(memory_mb)}))


class _Store:
    """Writes the tables of a synthetic run."""

    def __init__(self, root: Path) -> None:
        self.store = FolderStore(root)
        self.store.create(STORE_FILE, format_text())
        self.steps: dict[str, StepHistory] = {}
        self.parts = 0

    def add(self, name: str, kind: str, schema: pa.Schema, base: str, inputs: tuple[str, ...]) -> None:
        self.steps[name] = StepHistory(
            name=name, kind=kind, folder=name, base=base, root="videos", inputs=inputs,
            columns=columns_of(schema), keys={"run": name, "content": name},
            parents="videos" if kind == "children" else "",
        )  # fmt: skip

    def write(self, name: str, columns: list[Any], schema: pa.Schema, counts: RowCounts) -> None:
        table = pa.table(columns, schema=schema)
        write_part(self.store, f"{name}/{part_name(self.parts)}", table, counts, durable=False)

    def finish(self) -> None:
        for name, step in self.steps.items():
            parts = tuple(describe_part(self.store, name, n) for n in range(self.parts))
            manifest = Manifest(
                node=name, kind=step.kind, base="" if step.base == name else step.base, root="videos",
                keys=step.keys, made_by={}, inputs=step.inputs, columns=step.columns, parts=parts,
            )  # fmt: skip
            manifest.write_header(self.store, name)
            manifest.write(self.store, name)
        history = RunHistory(self.store, "2026-01-01", "curate", self.steps, {})
        self.store.create("runs/2026-01-01/plan.json", history.json_bytes())


def _schema(names: Iterable[str], kind: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field("id", pa.string()), *(pa.field(name, kind) for name in names)])


def _write_store(root: Path, parts: int) -> None:
    out = _Store(root)
    out.add("videos", "source", _SOURCE, "videos", ())
    out.add("clips", "children", _CLIPS, "clips", ("videos",))
    before = "clips"
    for name, schema in _LAYERS.items():
        out.add(name, "layer", schema, "clips", (before,))
        before = name
    for name in _RULES:
        out.add(name, "drops", schema_of(DropRow), name, (before,))
        before = name
    generator = random.Random(0)
    for number in range(parts):
        _write_part(out, number, generator)
        out.parts += 1
    out.finish()


def _write_part(out: _Store, number: int, generator: random.Random) -> None:
    videos = [f"{number:016x}{video:04x}" for video in range(VIDEOS)]
    paths = [f"films/{video}.mp4" for video in videos]
    out.write("videos", [videos, paths, paths], _SOURCE, RowCounts(rows_out=VIDEOS))
    clips = [f"{video[4:]}{clip:04x}" for video in videos for clip in range(CLIPS)]
    parents = [video for video in videos for _ in range(CLIPS)]
    starts = [float(clip) for _ in videos for clip in range(CLIPS)]
    counts = RowCounts(rows_in=VIDEOS, passed=VIDEOS, rows_out=len(clips))
    out.write("clips", [clips, parents, starts, [start + 1 for start in starts]], _CLIPS, counts)
    for name, schema in _LAYERS.items():
        scores = [[generator.random() for _ in clips] for _ in range(COLUMNS)]
        counts = RowCounts(rows_in=len(clips), passed=len(clips), rows_out=len(clips))
        out.write(name, [clips, *scores], schema, counts)
    for place, name in enumerate(_RULES):
        dropped = clips[:: 20 + place]
        texts = [[text] * len(dropped) for text in ("noisy", "noise < 1", "noise=2")]
        left = len(clips) - len(dropped)
        counts = RowCounts(rows_in=len(clips), passed=left, dropped=len(dropped), rows_out=len(dropped))
        out.write(name, [dropped, *texts], schema_of(DropRow), counts)
        gone = set(dropped)
        clips = [clip for clip in clips if clip not in gone]


_SOURCE = _schema(["uri", "source"], pa.string())
_CLIPS = pa.schema([*_schema(["parent"], pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64())])
_LAYERS = {
    f"layer_{k}": _schema([f"score_{k}_{c}" for c in range(COLUMNS)], pa.float64()) for k in range(LAYERS)
}
_RULES = [f"rule_{k}" for k in range(RULES)]


if __name__ == "__main__":
    main()
