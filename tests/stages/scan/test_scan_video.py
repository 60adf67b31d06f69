"""The scan: independent of threads and batch, exact times, upright stills, truncated videos rejected."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from manifests import ClipmillError
from pipeline import Reject
from stages.media.decoding.video import frames
from stages.media.signals import THUMBNAIL_COLUMNS, read_signals
from stages.media.strip import decode_still, read_strip
from stages.scan.scan_video import METERS, ListedVideo, ScannedVideo, ScanVideo

Draw = Callable[..., Iterator[np.ndarray]]
Scan = Callable[..., ScannedVideo]


def test_the_result_does_not_depend_on_threads_or_batch(film: Callable[..., Path], moving: Draw) -> None:
    paths = [film(moving(seed, 40, step=(2, 1)), f"{seed}.mp4") for seed in (1, 2)]
    rows = [ListedVideo(uri=str(path)) for path in paths]
    alone = [next(iter(ScanVideo().annotate([row]))) for row in rows]
    assert list(ScanVideo(threads=3).annotate(rows)) == alone
    assert "threads" in ScanVideo.execution_settings


def test_every_frame_has_a_row(film: Callable[..., Path], scan: Scan, moving: Draw) -> None:
    path = film(moving(1, 50, step=(2, 0)), fps=25)
    scanned = scan(path)
    stored = read_signals(scanned.signals, ["pts", "time_s", "delta_lum", "light_mean"])
    assert stored["pts"].tolist() == [f.pts for f in frames(str(path))]
    np.testing.assert_allclose(stored["time_s"], np.arange(50) / 25)
    assert stored["delta_lum"][0] == 0
    assert (stored["delta_lum"][1:] > 0).all()
    assert (scanned.scanned_frames, scanned.scanned_s, scanned.variable_rate) == (50, 2.0, False)
    assert scanned.scanned_end_pts == 50 * 512


def test_times_start_at_the_first_frame(footage: Path, scan: Scan) -> None:
    scanned = scan(footage / "odd/psd__delayed_start.mp4")
    stored = read_signals(scanned.signals, ["pts", "time_s"])
    assert (stored["pts"][0], stored["time_s"][0]) == (13760, 0)
    assert scanned.scanned_s == pytest.approx(0.96)


@pytest.mark.parametrize(
    ("name", "varies"),
    [
        ("natural/psd__goldeneye-vfr-drop3.mp4", True),
        ("odd/imageio__realshort.mp4", False),
        ("odd/torchcodec__av1_video.mkv", False),
    ],
)
def test_variable_frame_rates_are_detected(footage: Path, scan: Scan, name: str, varies: bool) -> None:
    assert scan(footage / name, meters=()).variable_rate is varies


def test_stills_are_the_frames_at_their_times(film: Callable[..., Path], scan: Scan, moving: Draw) -> None:
    drawn = list(moving(1, 60, size=(96, 160), step=(3, 0)))
    scanned = scan(film(drawn, fps=24, crf=10), still_px=80)
    stills = read_strip(scanned)
    assert [still.time_s for still in stills] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert scanned.strip_offsets[0] == 0
    for still in stills:
        frame = drawn[round(still.time_s * 24)]
        small = frame.reshape(48, 2, 80, 2, 3).mean((1, 3))
        assert decode_still(still).shape == (48, 80, 3)
        assert np.abs(decode_still(still) - small).mean() < 8
    assert [s.time_s for s in read_strip(scanned, 0.5, 1.5)] == [0.5, 1.0]
    assert [s.time_s for s in read_strip(scanned, max_stills=2)] == [0.5, 1.5]
    assert read_strip(scanned, 0.6, 0.9) == []


def test_stills_are_upright_and_have_square_pixels(footage: Path, scan: Scan) -> None:
    for name, shape in (
        ("odd/decord__video_90.mov", (448, 252)),
        ("natural/psd__issue-195-aspect-ratio.mp4", (252, 448)),
    ):
        first = read_strip(scan(footage / name, meters=()))[0]
        assert decode_still(first).shape[:2] == shape


def test_a_truncated_video_is_rejected_and_leaves_no_files(
    tmp_path: Path, drafts: Path, film: Callable[..., Path], scan: Scan, moving: Draw
) -> None:
    whole = film(moving(1, 60, step=(2, 0)), keyint=10)
    half = tmp_path / "half.mp4"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    rows = [ListedVideo(uri=str(half)), ListedVideo(uri=str(tmp_path / "gone.mp4"))]
    answers = list(ScanVideo().annotate(rows))
    assert all(isinstance(answer, Reject) for answer in answers)
    assert "decoding failed after 0:0" in str(answers[0])
    assert list(drafts.iterdir()) == []


def test_meters_are_selected_by_name(film: Callable[..., Path], scan: Scan, moving: Draw) -> None:
    path = film(moving(1, 5))
    signals = scan(path, meters=("light", "stages.scan.meters.borders:Borders")).signals
    assert len(read_signals(signals, ["light_mean", "border_top"])) == 2
    with pytest.raises(KeyError, match="add the meter"):
        read_signals(signals, ["motion"])
    with pytest.raises(ClipmillError, match="no meter 'lihgt'"):
        scan(path, meters=("lihgt",))


def test_every_meter_of_the_package_runs_and_describes_its_columns(
    film: Callable[..., Path], scan: Scan, moving: Draw
) -> None:
    import stages.scan.meters as folder

    names = {p.stem for p in Path(next(iter(folder.__path__))).glob("*.py")} - {"__init__"}
    optional = {"motion_vectors", "hash", "histogram"}
    assert names - optional == set(METERS)
    import pyarrow.parquet as pq

    moves = film(moving(1, 30, step=(1, 0)))
    with scan(moves, meters=(*METERS, *sorted(optional))).signals.local() as path:
        table = pq.read_table(path)
    assert table.num_rows == 30
    for field in table.schema:
        assert b"[" in field.metadata[b"meaning"], f"{field.name} has no unit"
        if field.name not in THUMBNAIL_COLUMNS:
            assert np.isfinite(table.column(field.name).to_numpy()).any()
