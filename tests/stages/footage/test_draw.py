"""The same seed gives the same bytes, and the pixels of the films agree with their ground truth."""

import hashlib
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from stages.footage.draw import draw, film_names
from stages.footage.films import FILMS
from stages.footage.truth import Truth, read_truth

Drawn = Callable[[str], tuple[Path, Truth]]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    folder = tmp_path_factory.mktemp("footage")

    def one(name: str) -> tuple[Path, Truth]:
        [path] = draw(folder, films=[name]) if name not in made else [made[name]]
        made[name] = path
        return path, read_truth(folder)[path.name]

    made: dict[str, Path] = {}
    return one


@lru_cache(maxsize=2)
def lumas(path: Path) -> np.ndarray:
    """The luma of all frames at half size, int16 [frames h w]."""
    with av.open(str(path)) as file:
        frames = [
            frame.to_ndarray(format="gray")[::2, ::2].astype(np.int16) for frame in file.decode(video=0)
        ]
    return np.stack(frames)


@lru_cache(maxsize=2)
def edges(path: Path) -> np.ndarray:
    """The sharpness of each frame: the variance of the Laplacian of its luma."""
    with av.open(str(path)) as file:
        return np.array(
            [cv2.Laplacian(f.to_ndarray(format="gray"), cv2.CV_32F).var() for f in file.decode(video=0)]
        )


def changes(images: np.ndarray) -> np.ndarray:
    """The mean absolute difference of each frame from the previous one; 0 for the first."""
    return np.array([0.0, *(np.abs(b - a).mean() for a, b in pairwise(images))])


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_same_seed_same_bytes_and_another_seed_other_bytes(tmp_path: Path) -> None:
    first, again = draw(tmp_path / "1", films=["rotated"]), draw(tmp_path / "2", films=["rotated"])
    other = draw(tmp_path / "3", films=["rotated"], seed=8)
    assert digest(first[0]) == digest(again[0]) != digest(other[0])
    assert digest(first[0].with_suffix(".json")) == digest(again[0].with_suffix(".json"))


def test_an_unknown_film_is_an_error_that_lists_the_films(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'cut'; there are .*cuts.*truncated"):
        draw(tmp_path, films=["cut"])


def test_the_films_show_all_that_the_demo_needs() -> None:
    truths = [film.truth() for film in FILMS.values()]
    shots = [shot for truth in truths for shot in truth.shots]
    seconds = sum(truth.frames / Fraction(truth.fps) for truth in truths)
    assert 120 <= seconds <= 240
    assert len(film_names()) == len(FILMS) + 3
    assert {shot.motion for shot in shots} >= {"pan", "tilt", "zoom", "roll", "shake", "travel", "fixed"}
    assert {span.kind for truth in truths for span in truth.graduals} == {
        "dissolve",
        "fade_black",
        "fade_white",
    }
    assert {span.kind for truth in truths for span in truth.negatives} == {"flash", "overlay"}
    assert {defect.kind for shot in shots for defect in shot.defects} == {
        "still",
        "dark",
        "blurred",
        "frozen",
        "letterboxed",
        "subtitles",
        "logo",
        "shake",
    }
    assert sum(shot.good for shot in shots) > 0.6 * len(shots)
    assert any(" " in truth.video and not truth.video.isascii() for truth in truths)
    assert any("<" in truth.video and "&" in truth.video for truth in truths)
    assert {truth.size for truth in truths} >= {(640, 360), (854, 480), (1280, 720), (360, 640)}


def test_cuts_are_where_the_truth_says_and_the_flash_is_no_cut(drawn: Drawn) -> None:
    path, truth = drawn("cuts")
    images = lumas(path)
    assert len(images) == truth.frames == truth.shots[-1].end
    change = changes(images)
    [flash] = truth.negatives
    for cut in truth.cuts:
        beside = [change[cut.frame + d] for d in (-3, -2, -1, 1, 2, 3)]
        assert change[cut.frame] > 2.5 * max(beside)
    assert images[flash.start].mean() > images[flash.start - 1].mean() + 60
    assert np.abs(images[flash.end + 1] - images[flash.start - 1]).mean() < 15


def test_shots_are_moving_sharp_and_bright(drawn: Drawn) -> None:
    path, truth = drawn("cuts")
    images, sharp = lumas(path), edges(path)
    for shot in truth.shots:
        inside = images[shot.start : shot.end]
        assert 40 < inside.mean() < 220
        assert np.median(changes(inside)[1:]) > 1.0
        assert np.median(sharp[shot.start : shot.end]) > 40


def test_gradual_transitions_mix_from_their_first_frame_to_their_last(drawn: Drawn) -> None:
    path, truth = drawn("gradual")
    images = lumas(path)
    assert path.name == "Übergänge – été.mp4"
    assert len(images) == truth.frames
    dissolve, black, white = truth.graduals
    middle = (dissolve.start + dissolve.end) // 2
    blend = (images[dissolve.start - 1] + images[dissolve.end]) / 2
    assert np.abs(images[middle] - blend).mean() < 0.5 * np.abs(images[middle] - images[dissolve.end]).mean()
    assert min(image.mean() for image in images[black.start : black.end]) < 3
    assert max(image.mean() for image in images[white.start : white.end]) > 250
    change = changes(images)
    for span in truth.graduals:
        assert change[span.start : span.end].max() < 30


def test_defects_are_visible_in_the_pixels(drawn: Drawn) -> None:
    path, truth = drawn("quality")
    images = lumas(path)
    assert len(images) == truth.frames
    seen, sharp = set(), edges(path)
    for defect in [defect for shot in truth.shots for defect in shot.defects]:
        shown = images[defect.start : defect.end]
        seen.add(defect.kind)
        if defect.kind in ("still", "frozen"):
            assert np.median(changes(shown)) < 0.2
            assert changes(shown).max() < 3  # coding noise of a key frame
        if defect.kind == "dark":
            assert shown.mean() < 12
        if defect.kind == "blurred":
            assert sharp[defect.start : defect.end].max() < 12
        if defect.kind == "letterboxed":
            assert shown[:, :20].max() < 12
            assert shown[:, -20:].max() < 12
            assert shown[:, 30:-30].mean() > 60
    assert seen == {"still", "dark", "blurred", "letterboxed", "frozen"}
    frozen = truth.shots[-1]
    before = images[frozen.start : frozen.defects[0].start]
    assert changes(before)[1:].mean() > 1.0


def test_subtitles_are_visible_in_the_spans_of_the_truth(drawn: Drawn) -> None:
    path, truth = drawn("words")
    images = lumas(path)
    assert path.name == "<b>&.mp4"
    for line in [defect for defect in truth.shots[0].defects if defect.kind == "subtitles"]:
        with_line, without = images[line.start][150:168], images[line.start - 1][150:168]
        assert (with_line > 220).mean() > (without > 220).mean() + 0.01
        assert (images[line.end - 1][150:168] > 220).mean() > (images[line.end][150:168] > 220).mean() + 0.01


def test_the_rotated_film_is_stored_in_landscape_and_displayed_upright(drawn: Drawn) -> None:
    path, truth = drawn("rotated")
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0))
        assert (frame.width, frame.height) == truth.size[::-1] == (640, 360)
        assert frame.rotation % 360 == 270  # counterclockwise rotation at display
        shown = np.rot90(frame.to_ndarray(format="gray"), frame.rotation // 90).astype(int)
    assert truth.rotation_deg == 90
    floor, wall = shown[-60:], shown[60:120]
    # The boards of the floor are horizontal: the floor changes less along a row than along a column.
    assert np.abs(np.diff(floor, axis=1)).mean() < np.abs(np.diff(floor, axis=0)).mean()
    assert shown.shape == (640, 360)
    assert wall.mean() > 60


def test_frame_times_vary_as_the_truth_says(drawn: Drawn) -> None:
    path, truth = drawn("variable_rate")
    with av.open(str(path)) as file:
        times = [float(frame.pts * frame.time_base) for frame in file.decode(video=0)]
    assert truth.variable_rate
    assert np.allclose(np.subtract(times, times[0]), truth.times_s, atol=1e-4)
    gaps = np.diff(times)
    assert gaps.max() > 2.5 * np.median(gaps)
    assert len(set(np.round(gaps, 4))) >= 4


def test_rates_sizes_and_audio_are_as_the_truth_says(drawn: Drawn) -> None:
    for name in ("sound", "brief", "gradual"):
        path, truth = drawn(name)
        with av.open(str(path)) as file:
            stream = file.streams.video[0]
            assert abs(stream.average_rate - Fraction(truth.fps)) < Fraction(1, 100)
            assert (stream.width, stream.height) == truth.size
            assert bool(file.streams.audio) == truth.has_audio
            assert "creation_time" not in {**file.metadata, **stream.metadata}
    path, truth = drawn("sound")
    with av.open(str(path)) as file:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    assert len(samples) / 48_000 == pytest.approx(truth.frames / 30, abs=0.05)
    assert 0.01 < np.abs(samples).mean() < 0.5


def test_a_brief_shot_is_under_two_seconds(drawn: Drawn) -> None:
    _, truth = drawn("brief")
    brief = truth.shots[1]
    assert (brief.end - brief.start) / Fraction(truth.fps) < 2
    assert not brief.good


def test_bad_files_cannot_be_decoded(drawn: Drawn) -> None:
    for name in ("truncated", "empty", "not_a_video"):
        path, truth = drawn(name)
        assert truth.reject
        with pytest.raises(av.FFmpegError), av.open(str(path)) as file:
            list(file.decode(video=0))


@pytest.mark.slow
def test_films_drawn_in_parallel_equal_films_drawn_alone(tmp_path: Path, drawn: Drawn) -> None:
    paths = draw(tmp_path, processes=2)
    assert len(paths) == len(film_names())
    alone = ("rotated", "brief", "words", "sound", "variable_rate", "truncated")
    for name, path in zip(film_names(), paths, strict=True):
        if name in alone:
            assert digest(path) == digest(drawn(name)[0])
    truths = read_truth(tmp_path)
    assert set(truths) == {path.name for path in paths}
    for path in paths:
        if truths[path.name].reject is None:
            with av.open(str(path)) as file:
                assert sum(1 for _ in file.decode(video=0)) == truths[path.name].frames


@pytest.mark.slow
def test_the_duplicate_shows_the_same_shot_at_another_size(drawn: Drawn) -> None:
    (small_path, small), (large_path, large) = drawn("twin_small"), drawn("twin_large")
    assert small.shots[0].duplicate_of == (large.video, 0)
    shot = large.shots[0]
    with av.open(str(large_path)) as file:
        frames = [frame.to_ndarray(format="gray") for frame in file.decode(video=0)][shot.start : shot.end]
    with av.open(str(small_path)) as file:
        copies = [frame.to_ndarray(format="gray") for frame in file.decode(video=0)]
    assert len(frames) == len(copies)
    for one, copy in zip(frames[::10], copies[::10], strict=True):
        assert one.shape == (720, 1280)
        shrunk = cv2.resize(one, (640, 360), interpolation=cv2.INTER_AREA).astype(int)
        assert np.abs(shrunk - copy).mean() < 8
    assert small_path.stat().st_size * 4 < large_path.stat().st_size
