"""The vectorized shots of many videos equal those of one video after the other, to the last bit."""

import random
from itertools import groupby
from typing import Any

import pyarrow as pa

from manifests import Artifact
from manifests.schema import record_of, rows_of, schema_of, table_of
from stages.shots.find_shots import FindShots, ScoredVideo

KINDS = ("cut", "cut", "cut", "dissolve", "fade", "wipe")
BASES = ((1, 25), (1001, 30000), (1, 90000), (1, 12800), (3, 7))


def video(rng: random.Random, **columns: Any) -> dict[str, Any]:
    """Return a video with candidates anywhere: overlapping, one after the other, at the ends."""
    frames = rng.choice((1, 2, 30, 400, 3000))
    num, den = rng.choice(BASES)
    step, first = max(1, den // (num * rng.choice((12, 25, 60)))), rng.choice((0, 0, -700, 10**6, 126_000))
    candidates = set()
    for _ in range(rng.choice((0, 1, 2, 5, 40))):
        kind, start = rng.choice(KINDS), rng.randrange(frames + 1)
        end = start if kind == "cut" else min(frames, start + rng.randrange(3, 40))
        if kind == "cut" or end > start:
            candidates.add((start, end, kind, rng.choice((0.3, 0.5, 0.5, 0.7, round(rng.random(), 3)))))
    starts, ends, kinds, scores = zip(*sorted(candidates), strict=True) if candidates else ((),) * 4
    return {
        "signals": Artifact("no/such.parquet", 0, "0" * 64),
        "scanned_frames": frames,
        "scanned_end_pts": first + frames * step,
        "time_base_num": num,
        "time_base_den": den,
        "video_width_px": 640,
        "video_height_px": 360,
        "first_pts": first,
        "boundary_starts": starts,
        "boundary_ends": ends,
        "boundary_start_pts": tuple(first + at * step for at in starts),
        "boundary_end_pts": tuple(first + at * step for at in ends),
        "boundary_kinds": kinds,
        "boundary_scores": scores,
        "clock_jumps": (),
        "clock_jump_end_pts": (),
        "format_changes": (),
        "format_widths_px": (),
        "format_heights_px": (),
        **columns,
    }


def expand_many(stage: FindShots, table: pa.Table) -> dict[int, list[dict[str, Any]]]:
    shots = stage.expand_many(table).to_pylist()
    return {row: [{**shot} for shot in shots] for row, shots in groupby(shots, lambda shot: shot.pop("row"))}


def test_vectorized_shots_equal_expand() -> None:
    rng = random.Random(3)
    table = table_of([video(rng) for _ in range(1500)], schema_of(ScoredVideo))
    for stage in (
        FindShots(max_duration_s=0),
        FindShots(min_cut_score=0.3, min_transition_score=0.6, max_duration_s=0),
        FindShots(min_cut_score=1.01, max_duration_s=0),
    ):
        vectorized = expand_many(stage, table)
        one_by_one = [[record_of(shot) for shot in stage.expand(row)] for row in rows_of(table, ScoredVideo)]
        assert [vectorized[row] for row in range(table.num_rows)] == one_by_one


def test_a_slice_of_a_table_gives_the_same_rows() -> None:
    rng = random.Random(4)
    table = table_of([video(rng) for _ in range(60)], schema_of(ScoredVideo))
    stage, some = FindShots(max_duration_s=0), [3, 8, 9, 40]
    whole = expand_many(stage, table)
    assert expand_many(stage, table.take(some)) == {at: whole[row] for at, row in enumerate(some)}
    assert expand_many(stage, table.slice(10, 7)) == {at: whole[10 + at] for at in range(7)}
    assert expand_many(stage, table.slice(0, 0)) == {}


def test_videos_with_a_shot_to_split_are_left_to_expand() -> None:
    rng = random.Random(5)
    cut = {"boundary_starts": (50,), "boundary_ends": (50,), "boundary_start_pts": (50,)}
    cut |= {"boundary_end_pts": (50,), "boundary_kinds": ("cut",), "boundary_scores": (1.0,)}
    film = {"time_base_num": 1, "time_base_den": 1, "first_pts": 0, **cut}
    ends = (100, 110, 111, 160)
    films = [video(rng, scanned_frames=end, scanned_end_pts=end, **film) for end in ends]
    table = table_of(films, schema_of(ScoredVideo))
    assert sorted(expand_many(FindShots(max_duration_s=60.0), table)) == [
        0
    ]  # 60 s is so close that it needs exact integers
    assert sorted(expand_many(FindShots(max_duration_s=60.5), table)) == [0, 1]
    assert sorted(expand_many(FindShots(max_duration_s=0), table)) == [0, 1, 2, 3]
    films[2] |= {"clock_jumps": (50,), "clock_jump_end_pts": (45,)}
    films[3] |= {"format_changes": (50,), "format_widths_px": (320,), "format_heights_px": (240,)}
    table = table_of(films, schema_of(ScoredVideo))
    assert sorted(expand_many(FindShots(max_duration_s=0), table)) == [0, 1]


def test_times_that_are_not_exact_as_float_are_left_to_expand() -> None:
    far = video(
        random.Random(6), first_pts=2**60, scanned_end_pts=2**60 + 5, time_base_num=1, scanned_frames=5
    )
    far |= {name: () for name in far if name.startswith("boundary_")}
    long = far | {"first_pts": 0, "scanned_end_pts": 2**55}
    vectorized = expand_many(FindShots(max_duration_s=0), table_of([far, long], schema_of(ScoredVideo)))
    assert [shot["start_pts"] for shot in vectorized[0]] == [2**60]  # times from its start are small
    assert 1 not in vectorized
