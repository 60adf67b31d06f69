"""Spans: however a video is split, its rows and files equal those of one pass, byte for byte."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from toys import Quiet

from manifests import Artifact, Row, column
from manifests.identity import id_of
from manifests.stores.folder import FolderStore
from manifests.table import part_name, read_part
from pipeline import Dag, Reject, Source
from pipeline.executors.on_ray import OnRay
from pipeline.executors.on_ray.cluster import cluster
from pipeline.planning.plan import build_plan
from stages.media.signals import ROWS_PER_GROUP, SignalsWriter, read_signals, read_thumbnails
from stages.scan.scan_video import METERS, ListedVideo, ScannedVideo, ScanVideo
from stages.scan.spans import SpanScan, spans_match

Draw = Callable[..., Iterator[np.ndarray]]
TICKS = Fraction(1, 12800)


def encode(path: Path, images: Any, pts: Any, codec: str = "libx264", **options: str) -> Path:
    """Encode a video whose frames have these times, in ticks of 1/12800 s."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options={"preset": "veryfast", **options})
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", TICKS
        stream.codec_context.thread_count = 1
        for image, time in zip(images, pts, strict=True):
            if not stream.codec_context.is_open:
                stream.height, stream.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = int(time), TICKS
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def scan_spans(path: Path, span_s: float = 1.0, **settings: Any) -> list[SpanScan]:
    """Return the results of the spans of a video."""
    stage, row = ScanVideo(span_s=span_s, **settings), ListedVideo(uri=str(path))
    return [stage.work(row, piece) for piece in stage.split(row)]


def scan(path: Path, span_s: float, **settings: Any) -> ScannedVideo | str:
    """Scan a video; return its columns, or the reason why it is rejected."""
    [answer] = ScanVideo(span_s=span_s, **settings).annotate([ListedVideo(uri=str(path))])
    return answer if isinstance(answer, ScannedVideo) else str(answer)


def count_spans(path: Path, span_s: float = 1.0) -> int:
    """Count the spans of a scan; 1 if they do not match. Fails if the result differs from one pass."""
    assert scan(path, span_s) == scan(path, 0)
    spans = scan_spans(path, span_s, meters=())
    return len(spans) if spans_match(spans) else 1


EVEN = np.arange(120) * 512
RNG = np.random.default_rng(3)


@pytest.mark.parametrize(
    ("name", "pts", "options"),
    [
        ("b-frames.mp4", EVEN, {"g": "20", "bf": "3"}),
        ("open.mkv", EVEN, {"g": "20", "bf": "3", "x264-params": "open-gop=1:scenecut=0"}),
        ("open.mp4", EVEN, {"g": "20", "bf": "3", "x264-params": "open-gop=1:scenecut=0"}),
        ("one-key-frame.mp4", EVEN, {"g": "999"}),
        ("all-key-frames.mov", EVEN, {"g": "1"}),
        ("late.mp4", EVEN + 71_000, {"g": "15"}),
        ("uneven.mp4", np.cumsum(RNG.integers(200, 1500, 120)), {"g": "15"}),
        ("slow.mp4", np.arange(21) * 12_800 * 3 // 2, {"g": "1"}),
        ("gaps.mkv", np.cumsum(RNG.choice([512, 512, 512, 512, 20_000], 60)), {"g": "12"}),
    ],
)
def test_synthetic_videos(tmp_path: Path, moving: Draw, name: str, pts: Any, options: dict[str, str]) -> None:
    path = encode(tmp_path / name, moving(1, len(pts), step=(2, 1)), pts, **options)
    pieces = count_spans(path)
    assert pieces == pytest.approx((pts[-1] - pts[0]) / 12_800, abs=2), "the video was not split"


@pytest.mark.parametrize(
    ("codec", "name", "options"),
    [
        ("libvpx-vp9", "a.webm", {"deadline": "realtime", "cpu-used": "8"}),
        (
            "libvpx",
            "a.webm",
            {"deadline": "good", "cpu-used": "5", "auto-alt-ref": "1", "lag-in-frames": "16"},
        ),
        ("libsvtav1", "a.mkv", {"preset": "12"}),
        ("libx265", "a.mp4", {"x265-params": "log-level=error:open-gop=1"}),
        ("mpeg4", "a.mp4", {"bf": "2"}),
    ],
)
def test_other_codecs(tmp_path: Path, moving: Draw, codec: str, name: str, options: dict[str, str]) -> None:
    path = encode(tmp_path / name, moving(1, 100, step=(2, 1)), EVEN[:100], codec, g="15", **options)
    assert count_spans(path) == 4


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.ts", {"g": "15"}), ("a.flv", {"g": "15"}), ("a.mp4", {"g": "15", "x264-params": "intra-refresh=1"})],
    ids=["no index", "no index either", "no key frames"],
)
def test_videos_that_cannot_be_searched_by_time_are_one_span(
    tmp_path: Path, moving: Draw, name: str, options: dict[str, str]
) -> None:
    path = encode(tmp_path / name, moving(1, 100, step=(2, 1)), EVEN[:100], **options)
    assert count_spans(path) == 1


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("folder", ["odd", "natural", "single"])
def test_real_videos(footage: Path, folder: str) -> None:
    films = sorted(f for f in (footage / folder).iterdir() if f.suffix != ".json")
    broken = {"decord__corrupted.mp4"}
    assert all("decoding failed" in str(scan(film, 1.0)) for film in films if film.name in broken)
    pieces = {film.name: count_spans(film) for film in films if film.name not in broken}
    assert all(count == 1 for name, count in pieces.items() if name.endswith((".avi", ".gif")))
    assert sum(count > 1 for count in pieces.values()) >= len(films) // 3


def test_the_result_does_not_depend_on_threads(tmp_path: Path, moving: Draw) -> None:
    path = encode(tmp_path / "a.mp4", moving(1, 120, step=(2, 1)), EVEN, g="20", bf="3")
    assert scan(path, 1.0, threads=3) == scan(path, 0)


def test_a_truncated_video_is_rejected_for_the_same_reason(tmp_path: Path, moving: Draw) -> None:
    whole = encode(tmp_path / "a.mp4", moving(1, 120, step=(2, 0)), EVEN, g="15", movflags="faststart")
    mkv = encode(tmp_path / "a.mkv", moving(1, 120, step=(2, 0)), EVEN, g="15")
    reasons = []
    for path in (whole, mkv):
        for share in (0.3, 0.6, 0.85):
            half = path.with_stem(f"half{share}")
            half.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
            reasons.append(scan(half, 1.0))
            assert reasons[-1] == scan(half, 0)
    assert any("cut short" in str(reason) for reason in reasons)


def test_damaged_bytes_give_the_same_result(tmp_path: Path, moving: Draw) -> None:
    for number, name in enumerate(("a.mkv", "a.mp4") * 4):
        path = encode(tmp_path / name, moving(1, 80, size=(48, 80), step=(2, 0)), EVEN[:80], g="15")
        data, rng = bytearray(path.read_bytes()), np.random.default_rng(number)
        for place in rng.integers(len(data) // 10, len(data), 5):
            data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        assert scan(path, 1.0) == scan(path, 0)


def test_missing_or_changed_spans_are_detected(tmp_path: Path, moving: Draw) -> None:
    path = encode(tmp_path / "a.mp4", moving(1, 120, step=(2, 1)), EVEN, g="20")
    row, stage, expected = ListedVideo(uri=str(path)), ScanVideo(span_s=1.0), scan(path, 0)
    spans = scan_spans(path)
    assert spans_match(spans)
    assert stage.join(row, spans) == expected
    again = encode(tmp_path / "b.mp4", moving(2, 120, step=(2, 1)), EVEN, g="20")
    for wrong in (
        [*spans[:2], *spans[3:]],
        [spans[0], spans[1], spans[1], *spans[2:]],
        [*spans[:3], *scan_spans(again)[3:]],
        [*spans[:4], SpanScan()],
    ):
        assert not spans_match(wrong)
        assert stage.join(row, wrong) == expected


def test_the_first_error_counts_if_all_spans_before_it_match(tmp_path: Path, moving: Draw) -> None:
    path = encode(tmp_path / "a.mp4", moving(1, 120, step=(2, 1)), EVEN, g="20")
    first, second, third, *rest = scan_spans(path, meters=())
    with pytest.raises(Reject, match="broken here"):
        spans_match([first, replace(second, error="broken here"), replace(third, error="and there"), *rest])
    assert not spans_match([first, replace(second, previous_frame="", error="not reached"), third, *rest])


def test_a_video_with_few_key_frames_is_not_decoded_for_each_span(
    tmp_path: Path, moving: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode(tmp_path / "a.mp4", moving(1, 120, step=(2, 1)), EVEN, g="999")
    assert count_spans(path) == 5
    monkeypatch.setattr("stages.scan.spans.MAX_DETOUR_S", 1.5)
    assert count_spans(path) == 1
    assert [bool(span.last_frame) for span in scan_spans(path)] == [True, True, True, True, False]


def test_row_groups_equal_those_of_one_pass(
    tmp_path: Path, moving: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.media.signals.ROWS_PER_GROUP", 32)
    path = encode(tmp_path / "a.mp4", moving(1, 120, step=(2, 1)), EVEN, g="20")
    assert count_spans(path) == 5
    answer = scan(path, 1.0)
    assert isinstance(answer, ScannedVideo)
    assert read_signals(answer.signals, ["pts"])["pts"].tolist() == EVEN.tolist()
    assert read_thumbnails(answer.signals)[0].shape[0] == 120


def test_copied_signals_equal_appended_frames(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(2 * ROWS_PER_GROUP + 7, 2)).astype(np.float32)
    values[5] = np.nan
    meanings = dict.fromkeys("ab", "of a test [1]")
    one, two, joined = (tmp_path / name for name in ("one", "two", "joined"))
    for file, rows in ((one, values[:5000]), (two, values[5000:])):
        with SignalsWriter(file, meanings) as writer:
            for k, row in enumerate(rows):
                writer.append(k, k / 3, row)
    with SignalsWriter(joined, meanings) as writer:
        writer.copy(one)
        writer.copy(two)
    with SignalsWriter(tmp_path / "whole", meanings) as writer:
        for k, row in enumerate(values):
            k -= 5000 * (k >= 5000)
            writer.append(k, k / 3, row)
    assert joined.read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_still_is_the_first_frame_at_or_after_its_time(tmp_path: Path, moving: Draw) -> None:
    times_s = [0, 0.2, 0.49, 0.51, 0.7, 1.0, 1.4, 4.1, 4.2, 4.3, 4.5, 4.6, 5.2]
    path = encode(tmp_path / "a.mp4", moving(1, 13), [round(t * 12_800) for t in times_s], g="2")
    answer = scan(path, 0)
    assert isinstance(answer, ScannedVideo)
    assert answer.strip_times_s == pytest.approx((0, 0.51, 1.0, 4.1, 4.5, 5.2), abs=1e-4)
    assert count_spans(path) > 1


class VideoRow(Row):
    id: str = column("made from the path")
    uri: str = column("path")


class OneVideo(Source[VideoRow]):
    uri: str

    def rows(self) -> Iterator[VideoRow]:
        yield VideoRow(id=id_of(self.uri), uri=self.uri)


@pytest.mark.slow
def test_one_long_video_is_scanned_by_two_processes(tmp_path: Path, moving: Draw) -> None:
    path = encode(
        tmp_path / "a.mp4", moving(1, 900, size=(144, 256), step=(0.3, 0.2)), np.arange(900) * 512, g="50"
    )
    dag = Dag("films")
    dag.save(
        dag.read(OneVideo(uri=str(path))).annotate(
            ScanVideo(span_s=3, meters=(*METERS, "processes:Process"))
        ),
        "films",
    )
    plan = build_plan(dag, FolderStore(tmp_path / "store"), "r")
    with cluster(None, 2):
        assert OnRay(workers=2).run(plan, Quiet()).is_finished
    [row] = read_part(plan.store, f"{plan['scan_video'].folder}/{part_name(0)}").to_pylist()
    signals = Artifact(**row["signals"]).bind(plan.store)
    process = read_signals(signals, ["process"])["process"]
    assert len(process) == 900
    assert len(set(process.tolist())) == 2
    expected = scan(path, 0)
    assert isinstance(expected, ScannedVideo)
    assert Artifact(**row["strip"]).sha256 == expected.strip.sha256
    for name in ("pts", "time_s", "motion", "delta_lum", "sharpness", "change_max"):
        split, whole = (read_signals(file, [name])[name] for file in (signals, expected.signals))
        np.testing.assert_array_equal(split, whole)
