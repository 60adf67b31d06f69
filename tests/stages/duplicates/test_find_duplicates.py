"""Of clips that show the same the best is kept, and each of the others names a clip that is kept."""

from collections.abc import Sequence

import numpy as np
import pytest

from manifests import Vector
from stages.duplicates.find_duplicates import EmbeddedClip, FindDuplicates, Twinned


def _clip(name: str, vector: np.ndarray, **said: float) -> EmbeddedClip:
    unit = (vector / np.linalg.norm(vector)).astype(np.float32)
    given = {"width_px": 640, "height_px": 360, "sharpness_median": 0.5, "start_s": 0.0, "end_s": 4.0} | said
    return EmbeddedClip(id=name, embedding=Vector("f", unit.tobytes()), **given)  # type: ignore[arg-type]


def _found(stage: FindDuplicates, rows: Sequence[EmbeddedClip], parts: int = 1) -> dict[str, Twinned]:
    """The answers by id, reached as the engine does, with the rows dealt over `parts` parts."""
    sample = sorted(rows, key=lambda row: row.id)
    fitted = stage.fit(sample, {"rows": len(rows)})
    groups: dict[str, list[EmbeddedClip]] = {}
    for part in (rows[i::parts] for i in range(parts)):
        for row, group in zip(part, stage.assign(part, fitted), strict=True):
            groups.setdefault(group, []).append(row)
    answers: dict[str, Twinned] = {}
    for group, members in groups.items():
        members.sort(key=lambda row: row.id)
        answers |= {r.id: a for r, a in zip(members, stage.settle(group, members, fitted), strict=True)}
    assert len(answers) == len(rows)
    return answers


def _turned(degrees: float) -> np.ndarray:
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0])


@pytest.fixture
def crowd() -> list[EmbeddedClip]:
    """300 clips of 6 worlds, 40 of them copies of others at a similarity near 0.97, each of other quality."""
    rng = np.random.default_rng(5)
    worlds = 3 * rng.normal(size=(6, 64))
    originals = worlds[rng.integers(0, 6, 260)] + 3 * rng.normal(size=(260, 64))
    copied = rng.choice(260, 40, replace=False)
    noise = rng.normal(size=(40, 64))
    size = np.linalg.norm(originals[copied], axis=1, keepdims=True)
    copies = originals[copied] + 0.25 * noise / np.linalg.norm(noise, axis=1, keepdims=True) * size
    qualities = rng.random(300)
    vectors = np.concatenate([originals, copies])
    names = [f"{i:03d}" for i in range(260)] + [f"{i:03d}-copy" for i in copied]
    return [_clip(n, v, sharpness_median=q) for n, v, q in zip(names, vectors, qualities, strict=True)]


@pytest.mark.parametrize("group_rows", [5000, 60])
def test_planted_copies_are_found_and_nothing_else(crowd: list[EmbeddedClip], group_rows: int) -> None:
    answers = _found(FindDuplicates(group_rows=group_rows), crowd)
    sharpness = {row.id: row.sharpness_median for row in crowd}
    for row in crowd:
        if not row.id.endswith("-copy"):
            continue
        copy, original = row.id, row.id.removesuffix("-copy")
        worse, better = sorted((copy, original), key=lambda name: sharpness[name])
        assert answers[worse].duplicate
        assert answers[worse].twin == better
        assert not answers[better].duplicate
    assert sum(answer.duplicate for answer in answers.values()) == 40


def test_many_rows_are_split_into_groups(crowd: list[EmbeddedClip]) -> None:
    stage = FindDuplicates(group_rows=60)
    fitted = stage.fit(crowd, {"rows": len(crowd)})
    assert len(set(stage.assign(crowd, fitted))) > 1
    assert fitted == stage.fit(crowd, {"rows": len(crowd)})


@pytest.mark.parametrize("group_rows", [5000, 60])
def test_order_and_parts_do_not_matter(crowd: list[EmbeddedClip], group_rows: int) -> None:
    stage = FindDuplicates(group_rows=group_rows)
    shuffled = [crowd[i] for i in np.random.default_rng(1).permutation(len(crowd))]
    assert _found(stage, crowd) == _found(stage, shuffled, parts=7)


@pytest.mark.parametrize("order", ["abc", "bac", "cba"])
def test_in_a_chain_each_dropped_clip_has_a_kept_twin(order: str) -> None:
    """a and c are alike to b, but not to each other."""
    vectors = {"a": _turned(0), "b": _turned(20), "c": _turned(40)}
    rows = [_clip(n, vectors[n], sharpness_median=-i) for i, n in enumerate(order)]
    answers = _found(FindDuplicates(threshold=0.9), rows)
    dropped = {name for name, answer in answers.items() if answer.duplicate}
    assert dropped == ({"a", "c"} if order[0] == "b" else {"b"})
    assert all(answers[name].twin not in dropped for name in dropped)
    assert all(answers[name].twin is None for name in set(order) - dropped)


def test_nearest_is_told_also_below_the_threshold() -> None:
    rows = [_clip("a", _turned(0), sharpness_median=2), _clip("b", _turned(60), sharpness_median=1)]
    answers = _found(FindDuplicates(), rows)
    assert answers["a"] == Twinned(duplicate=False, twin=None, twin_similarity=None, nearest_similarity=None)
    assert answers["b"].nearest_similarity == pytest.approx(0.5)
    assert (answers["b"].duplicate, answers["b"].twin_similarity) == (False, None)


@pytest.mark.parametrize(
    "better",
    [
        {"width_px": 1280, "height_px": 720, "sharpness_median": 0.1, "end_s": 1.0},
        {"sharpness_median": 0.6, "end_s": 1.0},
        {"end_s": 5.0},
    ],
)
def test_pixels_then_sharpness_then_length_decide(better: dict[str, float]) -> None:
    rows = [_clip("a", _turned(0)), _clip("z", _turned(1), **better)]
    answers = _found(FindDuplicates(), rows)
    assert (answers["a"].twin, answers["z"].twin) == ("z", None)


def test_among_equals_the_id_decides() -> None:
    answers = _found(FindDuplicates(), [_clip(name, _turned(0)) for name in "cab"])
    assert [answers[name].twin for name in "abc"] == [None, "a", "a"]


def test_more_clips_than_are_compared_at_a_time() -> None:
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(600, 32))
    rows = [_clip(f"{i:04d}-{j}", v) for i, v in enumerate(vectors) for j in range(2)]
    answers = _found(FindDuplicates(), rows)
    assert {name: answers[name].twin for name in answers if name.endswith("1")} == {
        f"{i:04d}-1": f"{i:04d}-0" for i in range(600)
    }
