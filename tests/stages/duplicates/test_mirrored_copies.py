"""Mirror images: their descriptors and signatures follow from those of the clips; the search finds them."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pyarrow as pa
import pytest
from run_comparison import run_comparison

from stages.duplicates.cells import load_cells
from stages.duplicates.copies import copy_similarity, mirror, signature_of
from stages.duplicates.descriptor import KIND, descriptor_of, mirrored
from stages.duplicates.find_duplicates import FindDuplicates
from stages.duplicates.search_pairs import SearchPairs

Clips = Callable[..., pa.Table]
LIMIT = FindDuplicates.max_copy_similarity


def _frames(seed: int, count: int = 48, pan: int = 1) -> list[np.ndarray]:
    """A camera that pans over a texture, and a disc that crosses it: uint8 RGB [54 96 3] each."""
    rng = np.random.default_rng(seed)
    parts = [weight * cv2.resize(rng.normal(size=(n, 2 * n, 3)), (200, 100)) for n, weight in
             ((4, 1.0), (12, 0.7), (30, 0.4))]  # fmt: skip
    world = np.clip(127 + 45 * np.sum(parts, axis=0), 0, 255).astype(np.uint8)
    frames, height = [], rng.integers(12, 42)
    for k in range(count):
        image = world[20:74, pan * k : pan * k + 96].copy()
        frames.append(cv2.circle(image, (10 + 3 * k // 2, int(height)), 6, (250, 240, 20), -1))
    return frames


def _flipped(frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [np.ascontiguousarray(frame[:, ::-1]) for frame in frames]


def _descriptor(frames: Sequence[np.ndarray]) -> np.ndarray:
    third = len(frames) // 3
    return descriptor_of([frames[third * k + 2 : third * (k + 1) : 5] for k in range(3)])


def _signature(frames: Sequence[np.ndarray], fps: float = 24.0) -> bytes:
    luma = [
        cv2.resize(f.mean(axis=2).astype(np.uint8), (32, 18), interpolation=cv2.INTER_AREA) for f in frames
    ]
    return signature_of(np.stack(luma), np.arange(len(luma)) / fps, 0.0, len(luma) / fps)


def test_the_descriptor_and_the_signature_of_a_mirror_image_are_computed_without_its_frames() -> None:
    frames = _frames(1)
    descriptor, flipped = _descriptor(frames), _descriptor(_flipped(frames))
    assert descriptor @ flipped < 0.5
    assert mirrored(descriptor[None])[0] @ flipped > 0.999
    np.testing.assert_array_equal(mirrored(mirrored(descriptor[None]))[0], descriptor)
    one, other = (
        np.frombuffer(s, np.int8) for s in (mirror(_signature(frames)), _signature(_flipped(frames)))
    )
    assert np.abs(one[4:].astype(int) - other[4:]).max() <= 2
    assert mirror(b"") == b""


def _decided(films: dict[str, list[np.ndarray]], clips: Clips) -> dict[str, dict[str, object]]:
    vectors = [_descriptor(frames) for frames in films.values()]
    signatures = [_signature(frames) for frames in films.values()]
    quality = -np.arange(len(films))
    table = clips(vectors, list(films), frame_signature=signatures, embedding_kind=KIND, sharpness=quality)
    rows = run_comparison(FindDuplicates(), run_comparison(SearchPairs(), table)).to_pylist()
    return {row["id"]: {n: row[f"duplicate_{n}"] for n in ("of", "kind", "mirrored")} for row in rows}


def test_mirrored_copies_are_duplicates_and_the_row_says_so(clips: Clips) -> None:
    film = _frames(1)
    smaller = [cv2.GaussianBlur(f[2:52, 4:94], (3, 3), 0) for f in film]
    films = {"film": film, "copy": film[4:], "mirrored": _flipped(film), "edited": _flipped(smaller)}
    films |= {"other": _flipped(_frames(2)), "another moment": _flipped(_frames(1, 100)[52:])}
    decided = _decided(films, clips)
    nothing = {"of": None, "kind": None, "mirrored": None}
    assert decided.pop("film") == decided.pop("other") == decided.pop("another moment") == nothing
    assert {row["of"] for row in decided.values()} == {"film"}
    assert {name: row["mirrored"] for name, row in decided.items()} == {
        "copy": False, "mirrored": True, "edited": True,
    }  # fmt: skip


def test_a_mirrored_copy_that_a_model_finds_is_a_copy(clips: Clips) -> None:
    """The vectors of models hardly depend on left and right: here they are equal."""
    film = _frames(1)
    signatures = [_signature(film), _signature(_flipped(film)), _signature(_frames(2))]
    table = clips(np.ones((3, 8)), "abc", frame_signature=signatures, embedding_kind="towers")
    rows = run_comparison(FindDuplicates(), run_comparison(SearchPairs(), table)).to_pylist()
    assert [(row["duplicate_of"], row["duplicate_mirrored"]) for row in rows] == [
        (None, None), ("a", True), (None, None),
    ]  # fmt: skip


@pytest.mark.parametrize("group_rows", [100_000, 400])
def test_the_search_finds_all_mirrored_pairs_in_all_cells(group_rows: int, clips: Clips) -> None:
    rng = np.random.default_rng(3)
    size, count, pairs = len(_descriptor(_frames(1))), 600, 80
    vectors = rng.normal(size=(12, size))[rng.integers(0, 12, count)] * 1.2 + rng.normal(size=(count, size))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    noise = rng.normal(size=(pairs, size)) * 0.3 / np.sqrt(size)
    copies = mirrored(vectors[:pairs]) + noise
    names = [f"{n:04d}" for n in range(count)] + [f"{n:04d}-mirrored" for n in range(pairs)]
    stage = SearchPairs(min_similarity=0.9, group_rows=group_rows)
    table = clips(np.concatenate([vectors, copies]), names, embedding_kind=KIND)
    assert len(load_cells(stage.fit(table, len(table))).centroids) > 5 * (group_rows < 1000)
    rows = {row["id"]: row for row in run_comparison(stage, table).to_pylist()}
    assert [rows[name]["similar_ids"] for name in names[:pairs]] == [[name] for name in names[count:]]
    assert [rows[name]["similar_ids"] for name in names[count:]] == [[name] for name in names[:pairs]]
    for name, copy, original in zip(names, copies, vectors, strict=False):
        cosine = mirrored(copy[None])[0] @ original / np.linalg.norm(copy)
        assert rows[name]["similarities"] == [pytest.approx(cosine, abs=2e-6)]
    assert all(not rows[name]["similar_ids"] for name in names[pairs:count])


def test_another_moment_of_a_symmetric_scene_is_no_mirrored_copy() -> None:
    """The picture is its own mirror image; only the motion differs."""
    half = _frames(5, 1)[0][:, :48]
    scene = np.concatenate([half, half[:, ::-1]], axis=1)

    def moved(seed: int) -> list[np.ndarray]:
        places = np.cumsum(np.random.default_rng(seed).normal(0, 3, (48, 2)), axis=0) % (96, 54)
        return [cv2.circle(scene.copy(), (int(x), int(y)), 8, (0, 0, 0), -1) for x, y in places]

    one, other = _signature(moved(1)), _signature(moved(2))
    assert copy_similarity(one, other) < LIMIT
    assert copy_similarity(one, mirror(other)) < LIMIT
