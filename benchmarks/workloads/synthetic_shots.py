"""A recipe that finds shots in videos whose candidate boundaries have random scores."""

import random
from collections.abc import Iterator

from manifests import Artifact, Row, column
from pipeline import Dag, Source
from stages.shots.find_shots import FindShots

BOUNDARIES, DISTANCE = 40, 100  # candidate boundaries of a video; frames between two of them


class ScoredVideo(Row):
    id: str = column("derived from its number")
    signals: Artifact = column("per-frame signals; empty, because no rule reads them")
    scanned_frames: int = column("number of frames")
    scanned_end_pts: int = column("first tick after the last frame")
    time_base_num: int = column("numerator of the time base")
    time_base_den: int = column("denominator of the time base")
    video_width_px: int = column("always 640", unit="px")
    video_height_px: int = column("always 360", unit="px")
    first_pts: int = column("pts of the first frame")
    boundary_starts: tuple[int, ...] = column("frames of the cuts, at equal distances")
    boundary_ends: tuple[int, ...] = column("equal to boundary_starts")
    boundary_start_pts: tuple[int, ...] = column("times of the cuts in ticks, at 25 frames per second")
    boundary_end_pts: tuple[int, ...] = column("equal to boundary_start_pts")
    boundary_kinds: tuple[str, ...] = column("always cut")
    boundary_scores: tuple[float, ...] = column("uniform random scores from 0.45 to 1", unit="0..1")


class RandomVideos(Source[ScoredVideo]):
    count: int

    def rows(self) -> Iterator[ScoredVideo]:
        rng, signals = random.Random(0), Artifact.of(b"", ".parquet")
        cuts = tuple(range(DISTANCE, (BOUNDARIES + 1) * DISTANCE, DISTANCE))
        frames = (BOUNDARIES + 2) * DISTANCE
        for number in range(self.count):
            yield ScoredVideo(
                id=f"{number:020x}",
                signals=signals,
                scanned_frames=frames,
                scanned_end_pts=frames,
                time_base_num=1,
                time_base_den=25,
                video_width_px=640,
                video_height_px=360,
                first_pts=0,
                boundary_starts=cuts,
                boundary_ends=cuts,
                boundary_start_pts=cuts,
                boundary_end_pts=cuts,
                boundary_kinds=("cut",) * BOUNDARIES,
                boundary_scores=tuple(round(rng.uniform(0.45, 1), 3) for _ in cuts),
            )


def synthetic_shots(
    videos: int = 25_000, videos_per_part: int = 125, min_cut_score: float = 0.5, min_duration_s: float = 2.0
) -> Dag:
    """The shots of random videos; short shots are dropped as in `curate`."""
    dag = Dag("synthetic_shots")
    rows = dag.read(RandomVideos(count=videos), rows_per_part=videos_per_part).expand(
        FindShots(min_cut_score=min_cut_score)
    )
    rows = rows.keep("kind == 'shot'", because="transition")
    dag.save(rows.keep(f"duration_s >= {min_duration_s}", because="too short"), "shots")
    return dag
