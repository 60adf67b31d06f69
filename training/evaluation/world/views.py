"""Consistency between the views of recordings of several cameras: calibrated cross-view Sampson error."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from training.evaluation.video_frames import VideoError
from training.evaluation.world.conditions import Conditions, read_conditions
from training.evaluation.world.films import Pair, read_film, read_generated
from training.evaluation.world.measure import MODEL, TRUTH, WRONG, Column, Measured
from training.evaluation.world.table import Table
from training.metrics.world.consistency import MIN_MATCHES, fitted_error, mean_of_pairs
from training.metrics.world.epipolar import (
    MIN_BASELINE,
    Array,
    fundamental_matrix,
    homography_error,
    intrinsics_matrix,
    relative_pose,
    sampson_error,
)
from training.metrics.world.matches import Features, Frames, detect_features, match_features

MAX_FRAMES = 8  # of a recording that are matched, evenly spaced
NAME, MAIN, INDEPENDENT = "cross-view", "crossview_px", "views of two recordings"
_COLUMNS = (
    Column(MAIN, "cross-view px", ".3f", "lower", "Sampson error between views with overlap, known cameras"),
    Column(
        "crossview_fitted_px",
        "fitted px",
        ".3f",
        "",
        "the published form: a matrix fitted for each two views",
    ),
    Column("crossview_matches", "matches", ".0f", "", "SIFT matches of two views, over all frames"),
)


@dataclass(frozen=True)
class View:
    """A camera of a recording: its frames that are matched, and its conditions."""

    frames: Frames
    features: Sequence[Features]
    conditions: Conditions


def evaluate_views(
    pairs: Sequence[Pair], further: Mapping[str, Mapping[str, Path]], failed: dict[str, str]
) -> Table:
    """The table of all recordings: films RECORDING/CAMERA.mp4 with cameras in one frame of the world.

    Rows: the model, further ones, the ground truth, the model with the cameras of its views permuted (wrong
    condition), and views of this recording matched with those of another one.

    Args:
        pairs: All pairs.
        further: Films of further rows, such as other models, by the names of the pairs. A recording counts if
            it has those of all cameras.
        failed: Why recordings are not measured, by name; added to.
    """
    table = Table(NAME, _COLUMNS, MAIN, "recordings")
    table.notes = {"max_frames": MAX_FRAMES, "min_matches": MIN_MATCHES, "overlap": "of the fields of view"}
    recordings: dict[str, list[Pair]] = {}
    for pair in pairs:
        recordings.setdefault(pair.name.rpartition("/")[0], []).append(pair)
    before: dict[str, View] = {}
    for name, cameras in sorted(recordings.items()):
        if len(cameras) < 2 or not name:
            table.missing[name or "."] = "it is no recording: a folder with films of two cameras or more"
            continue
        try:
            read = _read(cameras, further)
        except VideoError as error:
            failed[f"{name}, between views"] = str(error)
            continue
        rows = {row: _measure(views, views, views) for row, views in read.items()}
        generated = read[MODEL]
        rows[WRONG] = _measure(generated, generated, _permuted(generated))
        if {*before} >= {*generated}:
            rows[INDEPENDENT] = _measure(generated, before, generated)
        for row, measured in rows.items():
            table.add(row, name, [measured])
        before = generated
    return table


def _read(cameras: Sequence[Pair], further: Mapping[str, Mapping[str, Path]]) -> dict[str, dict[str, View]]:
    """The views of a recording by row and camera: generated (the first seed), further ones, the reference."""
    found: dict[str, dict[str, View]] = {}
    for pair in cameras:
        reference, rate = read_film(pair.reference)
        size = (reference.shape[1], reference.shape[2])
        conditions = read_conditions(pair.reference, len(reference), rate, size)
        if conditions.poses is None or conditions.intrinsics is None:
            raise VideoError("it has no camera_pose with camera_intrinsics", where=str(pair.reference))
        others = {row: paths[pair.name] for row, paths in further.items() if pair.name in paths}
        films = {
            row: read_generated(path, size, rate)
            for row, path in ({MODEL: pair.generated[0]} | others).items()
        }
        films[TRUTH] = reference
        count = min(map(len, films.values()))
        chosen = np.unique(np.linspace(0, count - 1, min(count, MAX_FRAMES)).round().astype(int))
        cut = Conditions(conditions.poses[chosen], conditions.intrinsics[chosen])
        for row, film in films.items():
            features = [detect_features(frame) for frame in film[chosen]]
            found.setdefault(row, {})[pair.name.rpartition("/")[2]] = View(film[chosen], features, cut)
    if len({len(view.frames) for view in found[TRUTH].values()}) > 1:
        raise VideoError(
            "its cameras have films of different lengths", where=str(cameras[0].reference.parent)
        )
    return {row: views for row, views in found.items() if len(views) == len(cameras)}


def _permuted(views: Mapping[str, View]) -> dict[str, View]:
    """The views with the cameras of the next view."""
    names = sorted(views)
    following = dict(zip(names, names[1:] + names[:1], strict=True))
    return {
        name: View(views[name].frames, views[name].features, views[following[name]].conditions)
        for name in names
    }


def _measure(first: Mapping[str, View], second: Mapping[str, View], cameras: Mapping[str, View]) -> Measured:
    """Errors over the pairs of views with overlap: features of `first` and `second`, cameras of `cameras`."""
    calibrated, fitted, counts = [], [], []
    for a, b in _overlapping(first):
        x0, x1, errors = [], [], []
        pairs = zip(first[a].features, second[b].features, strict=False)
        for number, (features0, features1) in enumerate(pairs):
            points0, points1 = match_features(features0, features1)
            x0.append(points0)
            x1.append(points1)
            if len(points0):
                errors.append(_errors(cameras[a].conditions, cameras[b].conditions, number, points0, points1))
        all0, all1 = np.concatenate(x0), np.concatenate(x1)
        counts.append(float(len(all0)))
        enough = len(all0) >= MIN_MATCHES
        calibrated.append(float(np.median(np.concatenate(errors))) if enough else math.nan)
        fitted.append(fitted_error(all0, all1) if enough else math.nan)
    if not counts:
        return Measured({}, {}, "no two views overlap")
    few = sum(count < MIN_MATCHES for count in counts)
    why = f"{few} of {len(counts)} pairs of views have fewer than {MIN_MATCHES} matches" if few else ""
    values = {
        MAIN: mean_of_pairs(calibrated),
        "crossview_fitted_px": mean_of_pairs(fitted),
        "crossview_matches": float(np.mean(counts)),
    }
    return Measured(values, {}, why)


def _errors(first: Conditions, second: Conditions, number: int, x0: Array, x1: Array) -> Array:
    """Errors of the matches of two views at one time, in px."""
    pose0, k0 = _camera(first, number)
    pose1, k1 = _camera(second, number)
    if np.linalg.norm(relative_pose(pose0, pose1)[1]) < MIN_BASELINE:
        return homography_error(pose0, k0, pose1, k1, x0, x1)
    return sampson_error(fundamental_matrix(pose0, k0, pose1, k1), x0, x1)


def _camera(conditions: Conditions, number: int) -> tuple[Array, Array]:
    assert conditions.poses is not None
    assert conditions.intrinsics is not None
    return conditions.poses[number], intrinsics_matrix(conditions.intrinsics[number])


def _overlapping(views: Mapping[str, View]) -> Iterator[tuple[str, str]]:
    """Pairs of views whose optical axes are closer than the sum of half their horizontal fields of view."""
    for a, b in combinations(sorted(views), 2):
        axes, halves = [], []
        for view in (views[a], views[b]):
            pose, k = _camera(view.conditions, 0)
            axes.append(pose[:, 2])
            halves.append(math.degrees(math.atan(view.frames.shape[2] / 2 / k[0, 0])))
        angle = math.degrees(math.acos(float(np.clip(axes[0] @ axes[1], -1, 1))))
        if angle < sum(halves):
            yield a, b
