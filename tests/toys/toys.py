"""Toy stages for the tests of the engine: numbers that are squared, split, grouped and summed."""

import json
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from manifests import Artifact, Row, column, make_row
from manifests.identity import id_of
from pipeline import Annotate, Compare, Dag, Expand, Launch, Needs, Reject, Source, Survey


class Number(Row):
    id: str = column("made from the number")
    n: int = column("the number")


class Numbers(Source[Number]):
    """0 … count-1."""

    count: int = 10

    def rows(self) -> Iterator[Number]:
        for n in range(self.count):
            yield Number(id=id_of(n), n=n)


class N(Row):
    n: int


class Squared(Row):
    square: int = column("the number times itself")
    half: float | None = column("half of the number; missing for 7", unit="1")
    text: Artifact = column("the number in digits")


class Square(Annotate[N, Squared]):
    """Rejects multiples of `bad`, raises on `fail_on`, and kills its process on `crash_on`."""

    bad: int = 0
    fail_on: int = -1
    crash_on: int = -1
    wait_s: float = 0.0
    count_in: str = ""  # a file to which each processed row adds a line
    hold_from: int = -1  # numbers from here on wait until the file `hold_until` exists, for at most 60 s
    hold_until: str = ""
    execution_settings = frozenset({"wait_s", "count_in", "hold_from", "hold_until"})
    needs = Needs(batch=2)

    def annotate(self, rows: Sequence[N]) -> Iterator[Squared | Reject]:
        for row in rows:
            time.sleep(self.wait_s)
            if self.hold_until and row.n >= self.hold_from:
                self._hold()
            if self.count_in:
                with open(self.count_in, "a") as file:
                    file.write(f"{row.n}\n")
            if row.n == self.crash_on:
                os.kill(os.getpid(), signal.SIGKILL)
            if row.n == self.fail_on:
                raise ValueError("this number\nfails")
            if self.bad and row.n % self.bad == 0:
                yield Reject(f"{row.n} is a multiple of {self.bad}")
                continue
            half = None if row.n == 7 else row.n / 2
            yield Squared(square=row.n**2, half=half, text=Artifact.of(str(row.n).encode(), ".txt"))

    def _hold(self) -> None:
        ends_s = time.monotonic() + 60
        while not os.path.exists(self.hold_until) and time.monotonic() < ends_s:
            time.sleep(0.01)


class Piece(Row):
    start: int = column("first", key=True)
    length: int = column("how many", key=True)


class Split(Expand[N, Piece]):
    """Makes n % 4 pieces of `length`."""

    length: int = 2

    def expand(self, row: N) -> Iterator[Piece]:
        for i in range(row.n % 4):
            yield Piece(start=i * self.length, length=self.length)


class PieceOfSquare(Row):
    id: str
    square: int
    start: int


class Summed(Row):
    total: int = column("sum over the group")
    members: Artifact = column("the ids of the group")
    rank: int = column("position in the group")


class Sum(Survey[PieceOfSquare, Summed]):
    """Groups squares by their remainder; the divisor comes from `fit`."""

    groups: int = 3
    sample = 4

    def tally(self, rows: Sequence[PieceOfSquare]) -> Mapping[str, int]:
        return {"rows": len(rows), "squares": sum(r.square for r in rows)}

    def fit(self, sample: Sequence[PieceOfSquare], totals: Mapping[str, int]) -> bytes:
        return f"{self.groups} {totals['rows']} {len(sample)}".encode()

    def assign(self, rows: Sequence[PieceOfSquare], fitted: bytes) -> Iterable[str]:
        groups = int(fitted.split()[0])
        return [f"g{row.square % groups}" for row in rows]

    def settle(self, group: str, rows: Sequence[PieceOfSquare], fitted: bytes) -> Iterable[Summed | Reject]:
        members = Artifact.of("\n".join(r.id for r in rows).encode(), ".txt", name=f"groups/{group}.txt")
        for rank, row in enumerate(rows):
            if row.square == 9 and row.start == 0:
                yield Reject("nine is rejected")
            else:
                yield Summed(total=sum(r.square for r in rows), members=members, rank=rank)


class Mated(Row):
    mates: tuple[int, ...] = column("other squares with the same remainder by 2 or by 3, ascending")
    first: bool = column("whether the row is in no group, like the first number")
    count: int = column("number of mates")


class Mate(Compare[PieceOfSquare, Mated]):
    """Each row is in a group by its remainder by 2 and in one by 3, except rows whose square is 0."""

    max_mates: int = 1000
    sample = 3

    def fit(self, sample: pa.Table, rows: int) -> bytes:
        return f"{sample.num_rows} {rows}".encode()

    def assign(self, rows: pa.Table, fitted: bytes) -> pa.Table:
        members = rows.filter(pc.not_equal(rows["square"], 0)).select(["id", "square"])
        squares = members["square"].to_pylist()
        return pa.concat_tables(
            members.append_column("group", pa.array([f"by{d}-{s % d}" for s in squares], pa.string()))
            for d in (2, 3)
        )

    def settle(self, group: str, members: pa.Table, fitted: bytes) -> pa.Table:
        rows = members.to_pylist()
        assert [m["id"] for m in rows] == sorted(m["id"] for m in rows)
        pairs = [(m["id"], o["square"]) for m in rows for o in rows if m["square"] != o["square"]]
        return pa.table({"id": [p[0] for p in pairs], "mate": pa.array([p[1] for p in pairs], pa.int64())})

    def conclude(self, rows: pa.Table, findings: pa.Table | None, fitted: bytes) -> pa.Table:
        found: dict[str, set[int]] = {}
        for finding in findings.to_pylist() if findings else ():
            found.setdefault(finding["id"], set()).add(finding["mate"])
        mates = [sorted(found.get(row, set()))[: self.max_mates] for row in rows["id"].to_pylist()]
        first = [square == 0 for square in rows["square"].to_pylist()]
        count = [len(squares) for squares in mates]
        return pa.table({"mates": pa.array(mates, pa.list_(pa.int64())), "first": first, "count": count})


class Total(Row):
    total: int


class Model(Row):
    weight: int = column("the trained value")
    ranks: int = column("number of ranks")


class Learn(Launch[Total, Model]):
    """Sums the totals on every rank."""

    def run(self, rows: Iterator[Total], work: Path) -> Model:
        (work / os.environ["RANK"]).write_text("here")
        return Model(weight=sum(r.total for r in rows), ranks=int(os.environ["WORLD_SIZE"]))


class Nothing(Row):
    nothing: int = column("nothing")


class Unopenable(Annotate[N, Nothing]):
    """Its weights are missing."""

    @cached_property
    def weights(self) -> bytes:
        raise FileNotFoundError("no such weights")

    def annotate(self, rows: Sequence[N]) -> Iterator[Nothing]:
        for _ in rows:
            yield Nothing(nothing=len(self.weights))


class Quiet:
    """An observer that does nothing."""

    def observe(self, schedule: object) -> None:
        return None


def toy_dag(
    *, count: int = 20, min_half: float = 4, length: int = 2, ranks: int = 0, **square: object
) -> Dag:
    """Numbers, squared, filtered, split, summed over groups, and passed to a launch of `ranks` ranks."""
    dag = Dag("toy")
    squares = dag.read(Numbers(count=count), rows_per_part=3).annotate(Square(**square))
    large = squares.keep(f"half >= {min_half}", because="too small")
    summed = large.expand(Split(length=length)).survey(Sum())
    dag.save(summed, "pieces")
    if ranks:
        dag.save(summed.launch(Learn().on(ranks=ranks)), "model")
    return dag


class Powers(Row):
    is_even: bool = column("whether the number is even")


class RaiseToPowers(Annotate[N, Powers]):
    """Adds a column for each exponent: `power_2`, `power_3` …"""

    exponents: tuple[int, ...] = ()

    def added_columns(self) -> type[Row]:
        columns = {f"power_{e}": (int | None, column(f"power of {e}; missing for 0")) for e in self.exponents}
        return make_row("RaisedNumber", columns, base=Powers)

    def annotate(self, rows: Sequence[N]) -> Iterator[Powers]:
        for row in rows:
            powers = {f"power_{e}": row.n**e if row.n else None for e in self.exponents}
            yield self.adds(is_even=row.n % 2 == 0, **powers)


class Weight(Row):
    weight: int = column("nothing")


class Uneven(Launch[Number, Weight]):
    """Rank 1 fails, or no rank does; the other ranks never end."""

    ranks_in: str
    fails: bool

    def run(self, rows: Iterator[Number], work: Path) -> Weight:
        Path(self.ranks_in, str(os.getpid())).touch()
        if self.fails and os.environ["RANK"] == "1":
            raise ValueError("rank 1 fails")
        time.sleep(3600)
        return Weight(weight=0)


class Place(Row):
    pid: int = column("the process that made the row")


class Placed(Annotate[N, Place]):
    """Each worker writes its node and its GPUs to `folder`; a call waits until `workers` of them are open."""

    folder: str
    workers: int = 1
    wait_s: float = 0.0
    execution_settings = frozenset({"folder", "workers", "wait_s"})

    def open(self) -> None:
        import ray

        context = ray.get_runtime_context()
        found = {
            "node": context.get_node_id(),
            "gpus": context.get_accelerator_ids()["GPU"],
            "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
        }
        new = Path(self.folder) / f"{os.getpid()}.new"
        new.write_text(json.dumps(found))
        new.rename(new.with_suffix(".json"))

    def annotate(self, rows: Sequence[N]) -> Iterator[Place]:
        ends_s = time.monotonic() + 100
        while len(list(Path(self.folder).glob("*.json"))) < self.workers and time.monotonic() < ends_s:
            time.sleep(0.05)
        time.sleep(self.wait_s)
        yield from (Place(pid=os.getpid()) for _ in rows)
