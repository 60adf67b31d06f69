"""What the events of a run cost its driver, in microseconds per part, beside a driver without listeners.

    python -m benchmarks.events [--parts 20000] [--turns 5]

Both sides report the same parts, in turns; each turn writes once per 1,000 parts, as a driver does at 1 ms a
part. The median over the turns is printed.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

from manifests.stores.folder import FolderStore
from manifests.table import RowCounts
from pipeline.events.emitter import Emitter
from pipeline.events.writer import EventWriter

_BATCH = 1000
_STEP = SimpleNamespace(name="measure_light", folder="measure_light-0123456789-0123456789")
_RESULT = SimpleNamespace(seconds=0.0123456, bytes_written=6429)
_COUNTS = RowCounts(
    rows_in=16, passed=15, dropped=0, rejected=1, rows_out=15, rejects="rejects/part-0.parquet"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", type=int, default=20_000)
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    without, written = [], []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.turns):
            without.append(_per_part_us(Emitter(), None, args.parts))
            writer = EventWriter(FolderStore(folder), f"runs/{turn}")
            emitter = Emitter()
            emitter.listeners.append(writer.add)
            written.append(_per_part_us(emitter, writer, args.parts))
        size = Path(folder, "runs/0/events.jsonl").stat().st_size / args.parts
    cost = statistics.median(written) - statistics.median(without)
    print(f"without  {statistics.median(without):6.2f} us per part")
    print(f"written  {statistics.median(written):6.2f} us per part, {size:.0f} bytes")
    print(f"events   {cost:6.2f} us per part: {cost / 10:.2f} % of a driver at 1 ms per part")


def _per_part_us(emitter: Emitter, writer: EventWriter | None, parts: int) -> float:
    """CPU time; every tenth part has rejected rows, which makes a second event."""
    good = RowCounts(rows_in=16, passed=16, rows_out=16)
    started = time.process_time()
    for part in range(parts):
        emitter.part_finished(_STEP, part, good if part % 10 else _COUNTS, _RESULT)
        if writer and part % _BATCH == _BATCH - 1:
            writer.write()
    return (time.process_time() - started) / parts * 1e6


if __name__ == "__main__":
    main()
