"""The shots of many videos at once are those of one after the other, to the last bit."""

import random
from itertools import groupby
from typing import Any

import pyarrow as pa

from manifests import Artifact
from manifests.schema import record_of, rows_of, schema_of, table_of
from stages.shots.find_shots import FindShots, Scored

KINDS = ("cut", "cut", "cut", "dissolve", "fade", "wipe")
BASES = ((1, 25), (1001, 30000), (1, 90000), (1, 12800), (3, 7))


def video(rng: random.Random, **given: Any) -> dict[str, Any]:
    """A video whose places lie anywhere: in each other, one after the other, at the ends."""
    frames = rng.choice((1, 2, 30, 400, 3000))
    num, den = rng.choice(BASES)
    step, first = max(1, den // (num * rng.choice((12, 25, 60)))), rng.choice((0, 0, -700, 10**6, 126_000))
    places = set()
    for _ in range(rng.choice((0, 1, 2, 5, 40))):
        kind, start = rng.choice(KINDS), rng.randrange(frames + 1)
        end = start if kind == "cut" else min(frames, start + rng.randrange(3, 40))
        if kind == "cut" or end > start:
            places.add((start, end, kind, rng.choice((0.3, 0.5, 0.5, 0.7, round(rng.random(), 3)))))
    starts, ends, kinds, scores = zip(*sorted(places), strict=True) if places else ((),) * 4
    return {
        "signals": Artifact("no/such.parquet", 0, "0" * 64),
        "scanned_frames": frames,
        "scanned_end_pts": first + frames * step,
        "time_base_num": num,
        "time_base_den": den,
        "first_pts": first,
        "boundary_starts": starts,
        "boundary_ends": ends,
        "boundary_start_pts": tuple(first + at * step for at in starts),
        "boundary_end_pts": tuple(first + at * step for at in ends),
        "boundary_kinds": kinds,
        "boundary_scores": scores,
        **given,
    }


def at_once(stage: FindShots, table: pa.Table) -> dict[int, list[dict[str, Any]]]:
    told = stage.expand_many(table).to_pylist()
    return {row: [{**shot} for shot in shots] for row, shots in groupby(told, lambda shot: shot.pop("row"))}


def test_they_are_the_same() -> None:
    rng = random.Random(3)
    table = table_of([video(rng) for _ in range(1500)], schema_of(Scored))
    for stage in (
        FindShots(max_duration_s=0),
        FindShots(min_cut_score=0.3, min_transition_score=0.6, max_duration_s=0),
        FindShots(min_cut_score=1.01, max_duration_s=0),
    ):
        told = at_once(stage, table)
        one_by_one = [[record_of(shot) for shot in stage.expand(row)] for row in rows_of(table, Scored)]
        assert [told[row] for row in range(table.num_rows)] == one_by_one


def test_a_part_of_a_table_is_told_as_the_whole() -> None:
    rng = random.Random(4)
    table = table_of([video(rng) for _ in range(60)], schema_of(Scored))
    stage, some = FindShots(max_duration_s=0), [3, 8, 9, 40]
    whole = at_once(stage, table)
    assert at_once(stage, table.take(some)) == {at: whole[row] for at, row in enumerate(some)}
    assert at_once(stage, table.slice(10, 7)) == {at: whole[10 + at] for at in range(7)}
    assert at_once(stage, table.slice(0, 0)) == {}


def test_a_video_with_a_shot_to_be_split_is_left_to_be_asked() -> None:
    rng = random.Random(5)
    cut = {"boundary_starts": (50,), "boundary_ends": (50,), "boundary_start_pts": (50,)}
    cut |= {"boundary_end_pts": (50,), "boundary_kinds": ("cut",), "boundary_scores": (1.0,)}
    film = {"time_base_num": 1, "time_base_den": 1, "first_pts": 0, **cut}
    ends = (100, 110, 111, 160)
    films = [video(rng, scanned_frames=end, scanned_end_pts=end, **film) for end in ends]
    table = table_of(films, schema_of(Scored))
    assert sorted(at_once(FindShots(max_duration_s=60.0), table)) == [
        0
    ]  # 60 s is so near that it is reckoned exactly
    assert sorted(at_once(FindShots(max_duration_s=60.5), table)) == [0, 1]
    assert sorted(at_once(FindShots(max_duration_s=0), table)) == [0, 1, 2, 3]


def test_times_that_no_float_holds_are_left_to_be_asked() -> None:
    far = video(
        random.Random(6), first_pts=2**60, scanned_end_pts=2**60 + 5, time_base_num=1, scanned_frames=5
    )
    far |= {name: () for name in far if name.startswith("boundary_")}
    long = far | {"first_pts": 0, "scanned_end_pts": 2**55}
    told = at_once(FindShots(max_duration_s=0), table_of([far, long], schema_of(Scored)))
    assert [shot["start_pts"] for shot in told[0]] == [2**60]  # times from its start are small
    assert 1 not in told
