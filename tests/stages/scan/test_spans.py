"""Spans: however a video is shared out, its rows and files are those of one pass, byte for byte."""

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
from pipeline.planning.plan import plan_of
from stages.media.signals import ROWS, SignalsWriter, read_signals, read_thumbs
from stages.scan.scan_video import METERS, Listed, Scanned, ScanVideo
from stages.scan.spans import Seen, agree

Draw = Callable[..., Iterator[np.ndarray]]
TICKS = Fraction(1, 12800)


def encoded(path: Path, pictures: Any, pts: Any, codec: str = "libx264", **options: str) -> Path:
    """A film whose frames have these times, in ticks of 1/12800 s."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options={"preset": "veryfast", **options})
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", TICKS
        stream.codec_context.thread_count = 1
        for picture, time in zip(pictures, pts, strict=True):
            if not stream.codec_context.is_open:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = int(time), TICKS
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def seen_of(path: Path, span_s: float = 1.0, **settings: Any) -> list[Seen]:
    """What the pieces of a film give."""
    stage, row = ScanVideo(span_s=span_s, **settings), Listed(uri=str(path))
    return [stage.work(row, piece) for piece in stage.split(row)]


def told(path: Path, span_s: float, **settings: Any) -> Scanned | str:
    """What a scan says, or why it says nothing."""
    [answer] = ScanVideo(span_s=span_s, **settings).annotate([Listed(uri=str(path))])
    return answer if isinstance(answer, Scanned) else str(answer)


def shared(path: Path, span_s: float = 1.0) -> int:
    """In how many pieces a film was scanned; 1 as well, where they do not fit. Fails if that shows."""
    assert told(path, span_s) == told(path, 0)
    seen = seen_of(path, span_s, meters=())
    return len(seen) if agree(seen) else 1


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
def test_drawn_films(tmp_path: Path, moving: Draw, name: str, pts: Any, options: dict[str, str]) -> None:
    path = encoded(tmp_path / name, moving(1, len(pts), step=(2, 1)), pts, **options)
    pieces = shared(path)
    assert pieces == pytest.approx((pts[-1] - pts[0]) / 12_800, abs=2), "the film was not shared out"


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
def test_films_of_other_codecs(
    tmp_path: Path, moving: Draw, codec: str, name: str, options: dict[str, str]
) -> None:
    path = encoded(tmp_path / name, moving(1, 100, step=(2, 1)), EVEN[:100], codec, g="15", **options)
    assert shared(path) == 4


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.ts", {"g": "15"}), ("a.flv", {"g": "15"}), ("a.mp4", {"g": "15", "x264-params": "intra-refresh=1"})],
    ids=["no index", "no index either", "no key frames"],
)
def test_films_that_are_not_found_by_time_are_one_piece(
    tmp_path: Path, moving: Draw, name: str, options: dict[str, str]
) -> None:
    path = encoded(tmp_path / name, moving(1, 100, step=(2, 1)), EVEN[:100], **options)
    assert shared(path) == 1


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["odd", "natural", "single"])
def test_real_films(footage: Path, folder: str) -> None:
    films = sorted(f for f in (footage / folder).iterdir() if f.suffix != ".json")
    broken = {"decord__corrupted.mp4"}
    assert all("decoding failed" in str(told(film, 1.0)) for film in films if film.name in broken)
    pieces = {film.name: shared(film) for film in films if film.name not in broken}
    assert all(count == 1 for name, count in pieces.items() if name.endswith((".avi", ".gif")))
    assert sum(count > 1 for count in pieces.values()) >= len(films) // 3


def test_threads_do_not_show(tmp_path: Path, moving: Draw) -> None:
    path = encoded(tmp_path / "a.mp4", moving(1, 120, step=(2, 1)), EVEN, g="20", bf="3")
    assert told(path, 1.0, threads=3) == told(path, 0)


def test_half_a_film_is_rejected_for_the_same_reason(tmp_path: Path, moving: Draw) -> None:
    whole = encoded(tmp_path / "a.mp4", moving(1, 120, step=(2, 0)), EVEN, g="15", movflags="faststart")
    mkv = encoded(tmp_path / "a.mkv", moving(1, 120, step=(2, 0)), EVEN, g="15")
    reasons = []
    for path in (whole, mkv):
        for share in (0.3, 0.6, 0.85):
            half = path.with_stem(f"half{share}")
            half.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
            reasons.append(told(half, 1.0))
            assert reasons[-1] == told(half, 0)
    assert any("cut short" in str(reason) for reason in reasons)


def test_flipped_bytes_change_nothing_about_that(tmp_path: Path, moving: Draw) -> None:
    for number, name in enumerate(("a.mkv", "a.mp4") * 4):
        path = encoded(tmp_path / name, moving(1, 80, size=(48, 80), step=(2, 0)), EVEN[:80], g="15")
        data, rng = bytearray(path.read_bytes()), np.random.default_rng(number)
        for place in rng.integers(len(data) // 10, len(data), 5):
            data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        assert told(path, 1.0) == told(path, 0)


def test_a_span_that_is_missing_or_other_than_it_was_is_noticed(tmp_path: Path, moving: Draw) -> None:
    path = encoded(tmp_path / "a.mp4", moving(1, 120, step=(2, 1)), EVEN, g="20")
    row, stage, wanted = Listed(uri=str(path)), ScanVideo(span_s=1.0), told(path, 0)
    seen = seen_of(path)
    assert agree(seen)
    assert stage.join(row, seen) == wanted
    again = encoded(tmp_path / "b.mp4", moving(2, 120, step=(2, 1)), EVEN, g="20")
    for wrong in (
        [*seen[:2], *seen[3:]],
        [seen[0], seen[1], seen[1], *seen[2:]],
        [*seen[:3], *seen_of(again)[3:]],
        [*seen[:4], Seen()],
    ):
        assert not agree(wrong)
        assert stage.join(row, wrong) == wanted


def test_the_first_reason_counts_where_all_before_it_agree(tmp_path: Path, moving: Draw) -> None:
    path = encoded(tmp_path / "a.mp4", moving(1, 120, step=(2, 1)), EVEN, g="20")
    first, second, third, *rest = seen_of(path, meters=())
    with pytest.raises(Reject, match="broken here"):
        agree([first, replace(second, refusal="broken here"), replace(third, refusal="and there"), *rest])
    assert not agree([first, replace(second, before="", refusal="not reached"), third, *rest])


def test_a_film_with_few_key_frames_is_not_decoded_again_for_each_span(
    tmp_path: Path, moving: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encoded(tmp_path / "a.mp4", moving(1, 120, step=(2, 1)), EVEN, g="999")
    assert shared(path) == 5
    monkeypatch.setattr("stages.scan.spans.FAR_S", 1.5)
    assert shared(path) == 1
    assert [bool(seen.after) for seen in seen_of(path)] == [True, True, True, True, False]


def test_row_groups_are_those_of_one_pass(
    tmp_path: Path, moving: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.media.signals.ROWS", 32)
    path = encoded(tmp_path / "a.mp4", moving(1, 120, step=(2, 1)), EVEN, g="20")
    assert shared(path) == 5
    answer = told(path, 1.0)
    assert isinstance(answer, Scanned)
    assert read_signals(answer.signals, ["pts"])["pts"].tolist() == EVEN.tolist()
    assert read_thumbs(answer.signals)[0].shape[0] == 120


def test_files_of_signals_are_copied_as_if_frames_were_appended(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(2 * ROWS + 7, 2)).astype(np.float32)
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
    path = encoded(tmp_path / "a.mp4", moving(1, 13), [round(t * 12_800) for t in times_s], g="2")
    answer = told(path, 0)
    assert isinstance(answer, Scanned)
    assert answer.strip_times_s == pytest.approx((0, 0.51, 1.0, 4.1, 4.5, 5.2), abs=1e-4)
    assert shared(path) > 1


class Film(Row):
    id: str = column("made from the path")
    uri: str = column("path")


class One(Source[Film]):
    uri: str

    def rows(self) -> Iterator[Film]:
        yield Film(id=id_of(self.uri), uri=self.uri)


@pytest.mark.slow
def test_one_long_film_is_scanned_by_two_processes(tmp_path: Path, moving: Draw) -> None:
    path = encoded(
        tmp_path / "a.mp4", moving(1, 900, size=(144, 256), step=(0.3, 0.2)), np.arange(900) * 512, g="50"
    )
    dag = Dag("films")
    dag.save(
        dag.read(One(uri=str(path))).annotate(ScanVideo(span_s=3, meters=(*METERS, "processes:Process"))),
        "films",
    )
    plan = plan_of(dag, FolderStore(tmp_path / "store"), "r")
    with cluster(None, 2):
        assert OnRay(workers=2).run(plan, Quiet()).finished
    [row] = read_part(plan.store, f"{plan['scan_video'].folder}/{part_name(0)}").to_pylist()
    signals = Artifact(**row["signals"]).bound(plan.store)
    process = read_signals(signals, ["process"])["process"]
    assert len(process) == 900
    assert len(set(process.tolist())) == 2
    wanted = told(path, 0)
    assert isinstance(wanted, Scanned)
    assert Artifact(**row["strip"]).sha256 == wanted.strip.sha256
    for name in ("pts", "time_s", "motion", "delta_lum", "sharpness", "change_max"):
        ours, theirs = (read_signals(file, [name])[name] for file in (signals, wanted.signals))
        np.testing.assert_array_equal(ours, theirs)
