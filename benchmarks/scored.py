"""A recipe of shots alone: videos with places where a shot may end, whose scores are drawn."""

import random
from collections.abc import Iterator

from manifests import Artifact, Row, column
from pipeline import Dag, Source
from stages.shots.find_shots import FindShots

PLACES, APART = 40, 100  # of a video; frames from one to the next


class Scored(Row):
    id: str = column("made from its number")
    signals: Artifact = column("per-frame signals: empty, as no rule reads them")
    scanned_frames: int = column("frames")
    scanned_end_pts: int = column("first tick after the last frame")
    time_base_num: int = column("time base")
    time_base_den: int = column("time base")
    first_pts: int = column("pts of the first frame")
    boundary_starts: tuple[int, ...] = column("cuts, evenly")
    boundary_ends: tuple[int, ...] = column("the same")
    boundary_start_pts: tuple[int, ...] = column("the same, as 25 frames a second")
    boundary_end_pts: tuple[int, ...] = column("the same")
    boundary_kinds: tuple[str, ...] = column("cut")
    boundary_scores: tuple[float, ...] = column("drawn evenly from 0.45 to 1", unit="0..1")


class DrawnVideos(Source[Scored]):
    count: int

    def rows(self) -> Iterator[Scored]:
        rng, signals = random.Random(0), Artifact.of(b"", ".parquet")
        places = tuple(range(APART, (PLACES + 1) * APART, APART))
        frames = (PLACES + 2) * APART
        for number in range(self.count):
            yield Scored(
                id=f"{number:020x}",
                signals=signals,
                scanned_frames=frames,
                scanned_end_pts=frames,
                time_base_num=1,
                time_base_den=25,
                first_pts=0,
                boundary_starts=places,
                boundary_ends=places,
                boundary_start_pts=places,
                boundary_end_pts=places,
                boundary_kinds=("cut",) * PLACES,
                boundary_scores=tuple(round(rng.uniform(0.45, 1), 3) for _ in places),
            )


def scored(
    videos: int = 25_000, videos_per_part: int = 125, cut: float = 0.5, min_duration_s: float = 2.0
) -> Dag:
    """The shots of videos, as `curate` finds and drops them."""
    dag = Dag("scored")
    rows = dag.read(DrawnVideos(count=videos), rows_per_part=videos_per_part).expand(
        FindShots(min_cut_score=cut)
    )
    rows = rows.keep("kind == 'shot'", because="transition")
    dag.save(rows.keep(f"duration_s >= {min_duration_s}", because="too short"), "shots")
    return dag
