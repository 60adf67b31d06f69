"""Shots of videos with known boundaries, from the scan to the rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manifests import ClipmillError
from stages.footage.draw import draw
from stages.footage.score import score_boundaries
from stages.footage.truth import read_truth
from stages.ingest.probe_video import Header, ProbeVideo, Video
from stages.scan.scan_video import ScannedVideo as Scan
from stages.shots import score_boundaries as scoring
from stages.shots.find_shots import FindShots, ScoredVideo
from stages.shots.score_boundaries import BoundaryScores, ScannedVideo, ScoreBoundaries
from stages.shots.shot import Shot


def score(scanned: Scan, **settings: Any) -> BoundaryScores:
    row = ScannedVideo(
        signals=scanned.signals,
        scanned_frames=scanned.scanned_frames,
        scanned_end_pts=scanned.scanned_end_pts,
    )
    [scored] = ScoreBoundaries(**settings).annotate([row])
    assert isinstance(scored, BoundaryScores)
    return scored


def shots(path: Path, scanned: Scan, scored: BoundaryScores, **settings: Any) -> list[Shot]:
    [header] = ProbeVideo().annotate([Video(uri=str(path))])
    assert isinstance(header, Header)
    row = ScoredVideo(
        signals=scanned.signals,
        scanned_frames=scanned.scanned_frames,
        scanned_end_pts=scanned.scanned_end_pts,
        time_base_num=header.time_base_num,
        time_base_den=header.time_base_den,
        video_width_px=header.video_width_px,
        video_height_px=header.video_height_px,
        **{name: getattr(scored, name) for name in BoundaryScores.__annotations__},
    )
    return list(FindShots(**settings).expand(row))


def boundary_frames(rows: list[Shot]) -> list[int]:
    """Return the first frames of new shots, and the middles of transitions."""
    transitions = [(s.start_frame, s.end_frame) for s in rows if s.kind != "shot"]
    ends = {end for _, end in transitions}
    cuts = [s.start_frame for s in rows if s.start_frame and s.kind == "shot" and s.start_frame not in ends]
    return sorted([*cuts, *((a + b) // 2 for a, b in transitions)])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw(folder, seed=7, films=["cuts", "gradual"], processes=1)
    return folder


@pytest.mark.parametrize("detector", ["fast", "exact"])
def test_synthetic_videos_are_split_at_their_boundaries(
    drawn: Path, scan: Callable[..., Scan], detector: str
) -> None:
    truth = read_truth(drawn)
    cuts = {}
    for name in truth:
        scanned = scan(drawn / name)
        cuts[name] = boundary_frames(
            shots(drawn / name, scanned, score(scanned, detector=detector), max_duration_s=0.0)
        )
    result = score_boundaries(truth, cuts)
    assert result["found"] == result["planted"]
    assert result["false_alarms"] == 0
    assert result["mistaken"]["flash"]["taken"] == 0


@pytest.mark.slow
def test_transnet_alone_finds_the_cuts(drawn: Path, scan: Callable[..., Scan]) -> None:
    scanned = scan(drawn / "cuts.mp4")
    rows = shots(drawn / "cuts.mp4", scanned, score(scanned, detector="transnet"))
    assert boundary_frames(rows) == [cut.frame for cut in read_truth(drawn)["cuts.mp4"].cuts]


def test_transitions_have_their_spans_and_kinds(drawn: Path, scan: Callable[..., Scan]) -> None:
    [truth] = [t for t in read_truth(drawn).values() if t.graduals]
    scanned = scan(drawn / truth.video)
    rows = [s for s in shots(drawn / truth.video, scanned, score(scanned)) if s.kind != "shot"]
    assert [s.kind for s in rows] == [g.kind.split("_")[0] for g in truth.graduals]
    for row, span in zip(rows, truth.graduals, strict=True):
        assert abs(row.start_frame - span.start) <= 4
        assert abs(row.end_frame - span.end) <= 4


def test_scores_do_not_depend_on_the_chunks(
    drawn: Path, scan: Callable[..., Scan], monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned = scan(drawn / "cuts.mp4")
    whole = score(scanned)
    monkeypatch.setattr(scoring, "CHUNK", 97)
    assert score(scanned) == whole


def test_a_threshold_needs_only_the_row(drawn: Path, scan: Callable[..., Scan]) -> None:
    path = drawn / "cuts.mp4"
    scanned = scan(path)
    scored = score(scanned)
    scanned.signals.file.unlink()  # type: ignore[union-attr]
    assert len(shots(path, scanned, scored)) == 5
    assert len(shots(path, scanned, scored, min_cut_score=1.01, min_transition_score=1.01)) == 1


def test_an_unknown_detector_suggests_the_nearest() -> None:
    with pytest.raises(ClipmillError, match="fats") as error:
        ScoreBoundaries(detector="fats")
    assert "'fast'" in error.value.remedy
