"""The drawn films: equal bytes for an equal seed, and pixels that agree with the truth beside them."""

import hashlib
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from stages.footage.draw import draw, names
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


def lumas(path: Path) -> np.ndarray:
    """All frames' luma at half size, [frames h w] int16."""
    with av.open(str(path)) as file:
        frames = [
            frame.to_ndarray(format="gray")[::2, ::2].astype(np.int16) for frame in file.decode(video=0)
        ]
    return np.stack(frames)


def edges(path: Path) -> np.ndarray:
    """How sharp each frame is: the variance of its luma's Laplacian."""
    with av.open(str(path)) as file:
        return np.array(
            [cv2.Laplacian(f.to_ndarray(format="gray"), cv2.CV_32F).var() for f in file.decode(video=0)]
        )


def changes(pictures: np.ndarray) -> np.ndarray:
    """Mean absolute difference of each frame to the one before it; the first is 0."""
    return np.array([0.0, *(np.abs(b - a).mean() for a, b in pairwise(pictures))])


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_same_seed_same_bytes_and_another_seed_other_bytes(tmp_path: Path) -> None:
    first, again = draw(tmp_path / "1", films=["rotated"]), draw(tmp_path / "2", films=["rotated"])
    other = draw(tmp_path / "3", films=["rotated"], seed=8)
    assert digest(first[0]) == digest(again[0]) != digest(other[0])
    assert digest(first[0].with_suffix(".json")) == digest(again[0].with_suffix(".json"))


def test_an_unknown_film_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'cut'; there are .*cuts.*truncated"):
        draw(tmp_path, films=["cut"])


def test_the_set_holds_all_that_the_demo_promises() -> None:
    truths = [film.truth() for film in FILMS.values()]
    shots = [shot for truth in truths for shot in truth.shots]
    seconds = sum(truth.frames / Fraction(truth.fps) for truth in truths)
    assert 120 <= seconds <= 240
    assert len(names()) == len(FILMS) + 3
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


def test_cuts_stand_where_the_truth_says_and_the_flash_is_none(drawn: Drawn) -> None:
    path, truth = drawn("cuts")
    pictures = lumas(path)
    assert len(pictures) == truth.frames == truth.shots[-1].end
    change = changes(pictures)
    [flash] = truth.negatives
    for cut in truth.cuts:
        beside = [change[cut.frame + d] for d in (-3, -2, -1, 1, 2, 3)]
        assert change[cut.frame] > 2.5 * max(beside)
    assert pictures[flash.start].mean() > pictures[flash.start - 1].mean() + 60
    assert np.abs(pictures[flash.end + 1] - pictures[flash.start - 1]).mean() < 15


def test_shots_move_are_sharp_and_lit(drawn: Drawn) -> None:
    path, truth = drawn("cuts")
    pictures = lumas(path)
    for shot in truth.shots:
        inside = pictures[shot.start : shot.end]
        assert 40 < inside.mean() < 220
        assert np.median(changes(inside)[1:]) > 1.0
        assert np.median(edges(path)[shot.start : shot.end]) > 40


def test_graduals_mix_from_their_first_frame_to_their_last(drawn: Drawn) -> None:
    path, truth = drawn("gradual")
    pictures = lumas(path)
    assert path.name == "Übergänge – été.mp4"
    assert len(pictures) == truth.frames
    dissolve, black, white = truth.graduals
    middle = (dissolve.start + dissolve.end) // 2
    blend = (pictures[dissolve.start - 1] + pictures[dissolve.end]) / 2
    assert (
        np.abs(pictures[middle] - blend).mean()
        < 0.5 * np.abs(pictures[middle] - pictures[dissolve.end]).mean()
    )
    assert min(picture.mean() for picture in pictures[black.start : black.end]) < 3
    assert max(picture.mean() for picture in pictures[white.start : white.end]) > 250
    for span in truth.graduals:
        assert changes(pictures)[span.start : span.end].max() < 30


def test_defects_show_in_the_pixels(drawn: Drawn) -> None:
    path, truth = drawn("quality")
    pictures = lumas(path)
    assert len(pictures) == truth.frames
    seen, sharp = set(), edges(path)
    for defect in [defect for shot in truth.shots for defect in shot.defects]:
        shown = pictures[defect.start : defect.end]
        seen.add(defect.kind)
        if defect.kind in ("still", "frozen"):
            assert np.median(changes(shown)) < 0.2
            assert changes(shown).max() < 3  # a key frame's coding noise
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
    before = pictures[frozen.start : frozen.defects[0].start]
    assert changes(before)[1:].mean() > 1.0


def test_a_line_of_speech_is_burnt_in_while_the_truth_says(drawn: Drawn) -> None:
    path, truth = drawn("words")
    pictures = lumas(path)
    assert path.name == "<b>&.mp4"
    for line in [defect for defect in truth.shots[0].defects if defect.kind == "subtitles"]:
        with_line, without = pictures[line.start][150:168], pictures[line.start - 1][150:168]
        assert (with_line > 220).mean() > (without > 220).mean() + 0.01
        assert (pictures[line.end - 1][150:168] > 220).mean() > (
            pictures[line.end][150:168] > 220
        ).mean() + 0.01


def test_the_rotated_film_is_stored_lying_and_shown_upright(drawn: Drawn) -> None:
    path, truth = drawn("rotated")
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0))
        assert (frame.width, frame.height) == truth.size[::-1] == (640, 360)
        assert frame.rotation % 360 == 270  # counter-clockwise turns that show it upright
        shown = np.rot90(frame.to_ndarray(format="gray"), frame.rotation // 90).astype(int)
    assert truth.rotation_deg == 90
    floor, wall = shown[-60:], shown[60:120]
    # The floor's boards run across: along a row the floor changes less than down a column.
    assert np.abs(np.diff(floor, axis=1)).mean() < np.abs(np.diff(floor, axis=0)).mean()
    assert shown.shape == (640, 360)
    assert wall.mean() > 60


def test_frame_times_vary_where_the_truth_says(drawn: Drawn) -> None:
    path, truth = drawn("variable_rate")
    with av.open(str(path)) as file:
        times = [float(frame.pts * frame.time_base) for frame in file.decode(video=0)]
    assert truth.variable_rate
    assert np.allclose(np.subtract(times, times[0]), truth.times_s, atol=1e-4)
    gaps = np.diff(times)
    assert gaps.max() > 2.5 * np.median(gaps)
    assert len(set(np.round(gaps, 4))) >= 4


def test_rates_sizes_and_sound_are_as_the_truth_says(drawn: Drawn) -> None:
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
        heard = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    assert len(heard) / 48_000 == pytest.approx(truth.frames / 30, abs=0.05)
    assert 0.01 < np.abs(heard).mean() < 0.5


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
def test_the_whole_set_side_by_side_equals_films_drawn_alone(tmp_path: Path, drawn: Drawn) -> None:
    paths = draw(tmp_path, processes=2)
    assert len(paths) == len(names())
    alone = ("rotated", "brief", "words", "sound", "variable_rate", "truncated")
    for name, path in zip(names(), paths, strict=True):
        if name in alone:
            assert digest(path) == digest(drawn(name)[0])
    truths = read_truth(tmp_path)
    assert set(truths) == {path.name for path in paths}
    for path in paths:
        if truths[path.name].reject is None:
            with av.open(str(path)) as file:
                assert sum(1 for _ in file.decode(video=0)) == truths[path.name].frames


@pytest.mark.slow
def test_twins_show_the_same_at_another_size(drawn: Drawn) -> None:
    (small_path, small), (large_path, large) = drawn("twin_small"), drawn("twin_large")
    assert small.shots[0].duplicate_of == (large.video, 0)
    shot = large.shots[0]
    with av.open(str(large_path)) as file:
        frames = [frame.to_ndarray(format="gray") for frame in file.decode(video=0)][shot.start : shot.end]
    with av.open(str(small_path)) as file:
        twins = [frame.to_ndarray(format="gray") for frame in file.decode(video=0)]
    assert len(frames) == len(twins)
    for one, twin in zip(frames[::10], twins[::10], strict=True):
        assert one.shape == (720, 1280)
        shrunk = cv2.resize(one, (640, 360), interpolation=cv2.INTER_AREA).astype(int)
        assert np.abs(shrunk - twin).mean() < 8
    assert small_path.stat().st_size * 4 < large_path.stat().st_size
