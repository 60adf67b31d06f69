"""A recipe of a million measured clips: rows as `curate` has them, with numbers that are drawn."""

from collections.abc import Iterator, Sequence

from manifests import Row, column
from pipeline import Annotate, Dag, Source


class Clip(Row):
    id: str = column("made from its number")
    source: str = column("path of the file it is said to come from")
    start_s: float = column("start", unit="s", by_id=True)
    end_s: float = column("end", unit="s", by_id=True)
    duration_s: float = column("length", unit="s", by_id=True)


class DrawnClips(Source[Clip]):
    """Its table is written by the benchmark."""

    count: int

    def rows(self) -> Iterator[Clip]:
        raise NotImplementedError("the benchmark writes this table")


class Span(Row):
    start_s: float
    end_s: float


class Light(Row):
    light_mean: float = column("mean luma", unit="0..1")
    light_spread: float = column("spread of luma", unit="0..1")
    light_swing: float = column("range of the frames' luma", unit="0..1")
    dark_share: float = column("share clipped to black", unit="0..1")
    bright_share: float = column("share clipped to white", unit="0..1")


class Sharpness(Row):
    sharpness_median: float = column("steepness of edges", unit="1/px")
    sharpness_low: float = column("the same, lowest tenth", unit="1/px")


class Motion(Row):
    motion_mean: float = column("mean length of the flow", unit="px/frame")
    motion_p95: float | None = column("95th percentile; missing for clips of one frame", unit="px/frame")
    still_share: float = column("share of time without motion", unit="0..1")


class Frame(Row):
    border_share: float = column("share under black borders", unit="0..1")
    frozen_share: float = column("share of repeated frames", unit="0..1")


class _Drawn:
    def annotate(self, rows: Sequence[Span]) -> Iterator[Row]:
        raise NotImplementedError("the benchmark writes this table")


class DrawLight(_Drawn, Annotate[Span, Light]):
    """Its table is written by the benchmark."""


class DrawSharpness(_Drawn, Annotate[Span, Sharpness]):
    """Its table is written by the benchmark."""


class DrawMotion(_Drawn, Annotate[Span, Motion]):
    """Its table is written by the benchmark."""


class DrawFrame(_Drawn, Annotate[Span, Frame]):
    """Its table is written by the benchmark."""


def measured(
    clips: int = 1_000_000,
    clips_per_part: int = 4_000,
    darkest: float = 0.06,
    softest: float = 0.1,
    frozen: float = 0.9,
    stillest: float = 0.9,
    borders: float = 0.9,
) -> Dag:
    """The rules of `curate` over clips that were measured."""
    dag = Dag("measured")
    rows = dag.read(DrawnClips(count=clips), rows_per_part=clips_per_part)
    rows = rows.annotate(DrawLight(), DrawSharpness(), DrawMotion(), DrawFrame())
    good = (
        rows.keep(f"light_mean > {darkest}", because="too dark")
        .keep(f"sharpness_median > {softest}", because="blurred")
        .keep(f"frozen_share < {frozen}", because="frozen")
        .keep(f"still_share < {stillest}", because="hardly moves")
        .keep(f"border_share < {borders}", because="letterboxed")
    )
    dag.save(good, "clips")
    return dag
