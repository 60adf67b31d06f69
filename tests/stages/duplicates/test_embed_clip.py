"""Copies of a clip are similar whatever their size, bit rate and tint, and different scenes are not."""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations, islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from small_towers import save_towers

from manifests.stores.folder import FolderStore
from stages.duplicates.embed_clip import ClipEmbedding, EmbedClip, ScannedClip
from stages.duplicates.find_duplicates import FindDuplicates
from stages.media.decoding.video import open_video
from stages.media.encoding.arrays import write_mp4
from stages.media.strip import decode_still, read_strip
from stages.models.open_clip import OpenClipModel
from stages.scan.scan_video import ListedVideo, ScannedVideo, ScanVideo

Scan = Callable[..., ScannedClip]
THRESHOLD = FindDuplicates.max_semantic_similarity
COPIES = {"small": (0.4, 34, 1.0), "fine": (1.5, 12, 1.0), "tinted": (0.75, 24, 1.12)}  # scale, crf, gamma
REAL = ["sam2__04_coffee.mp4", "intel__walk.mkv", "mdnla__frog.mp4", "mdnla__pig.mp4"]


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    """scan(film, start_s, end_s) -> the clip of that span as EmbedClip reads it."""
    store = FolderStore(tmp_path / "store")

    def scan_clip(film: Path, start_s: float = 0.0, end_s: float = 3.0) -> ScannedClip:
        [row] = ScanVideo(meters=()).annotate([ListedVideo(uri=str(film))])
        assert isinstance(row, ScannedVideo), row
        return ScannedClip(
            signals=row.signals.save(store, "scan"),
            strip=row.strip.save(store, "scan"),
            strip_times_s=row.strip_times_s,
            strip_offsets=row.strip_offsets,
            start_s=start_s,
            end_s=end_s,
        )

    return scan_clip


def _embed(*rows: ScannedClip) -> np.ndarray:
    """The embeddings of the rows, float32 [n d]."""
    return np.stack([np.asarray(result.embedding) for result in EmbedClip().annotate(rows)])


def _scene(seed: int, count: int = 36) -> Iterator[np.ndarray]:
    """Frames [h w 3] of a soft color texture of several scales, with a camera that pans across it."""
    rng = np.random.default_rng(seed)
    wide = np.zeros((240, 480, 3))
    for cells, weight in ((4, 1.0), (9, 0.6), (30, 0.3)):
        wide += weight * cv2.resize(
            rng.normal(size=(cells, 2 * cells, 3)), (480, 240), interpolation=cv2.INTER_CUBIC
        )
    image = np.clip(127 + 55 * wide, 0, 255).astype(np.uint8)
    for number in range(count):
        yield image[20:200, 2 * number : 2 * number + 320]


def _copy(images: Iterable[np.ndarray], scale: float, gamma: float) -> Iterator[np.ndarray]:
    for image in images:
        tinted = 255 * (image / 255) ** (gamma, 1.0, 1 / gamma)
        size = (int(image.shape[1] * scale) // 2 * 2, int(image.shape[0] * scale) // 2 * 2)
        yield cv2.resize(tinted.astype(np.uint8), size, interpolation=cv2.INTER_AREA)


def test_drawn_copies_are_similar_and_other_scenes_are_not(tmp_path: Path, scan: Scan) -> None:
    clips: dict[tuple[int, str], ScannedClip] = {}
    for seed in range(3):
        for name, (scale, crf, gamma) in {"original": (1.0, 18, 1.0), **COPIES}.items():
            film = tmp_path / f"{seed}-{name}.mp4"
            write_mp4(film, _copy(_scene(seed), scale, gamma), 12, crf=crf, preset="ultrafast")
            clips[seed, name] = scan(film)
    vectors = dict(zip(clips, _embed(*clips.values()), strict=True))
    for (one, a), (other, b) in combinations(vectors.items(), 2):
        similarity = float(a @ b)
        assert (similarity > THRESHOLD) if one[0] == other[0] else (similarity < THRESHOLD - 0.2), (
            one,
            other,
        )


def test_real_copies_are_similar_and_other_scenes_are_not(tmp_path: Path, scan: Scan) -> None:
    root = Path(os.environ.get("CLIPMILL_FOOTAGE", Path(__file__).parents[4] / "shared" / "footage"))
    if not (root / "single").is_dir():
        pytest.skip(f"no real footage at {root}; set CLIPMILL_FOOTAGE")
    clips: dict[tuple[str, str], ScannedClip] = {}
    for name in REAL:
        with open_video(str(root / "single" / name)) as video:
            fps = video.fps
            images = [frame.pixels("rgb24", 480, 270) for frame in islice(video.frames(), round(2 * fps))]
        for copy, (scale, crf, gamma) in {"original": (1.0, 18, 1.0), **COPIES}.items():
            film = tmp_path / f"{name}-{copy}.mp4"
            write_mp4(film, _copy(images[::3], scale, gamma), fps / 3, crf=crf, preset="ultrafast")
            clips[name, copy] = scan(film, 0.0, 2.0)
    for name in ("odd/mdnie__flower.webm", "single/mdnie__flower.mp4"):
        clips["flower", name] = scan(root / name)
    for name in ("odd/cp1__0.mp4", "odd/cp1__1.mp4"):  # another take at the same place is not a copy
        clips[name, ""] = scan(root / name)
    vectors = dict(zip(clips, _embed(*clips.values()), strict=True))
    for (one, a), (other, b) in combinations(vectors.items(), 2):
        assert (float(a @ b) > THRESHOLD) == (one[0] == other[0]), (one, other, float(a @ b))


def test_embeddings_have_unit_length_also_for_blank_images(tmp_path: Path, scan: Scan) -> None:
    for value in (0, 128, 255):
        write_mp4(tmp_path / f"{value}.mp4", [np.full((64, 96, 3), value, np.uint8)] * 6, 6)
    blank = [scan(tmp_path / f"{value}.mp4", 0.0, 1.0) for value in (0, 128, 255)]
    assert np.linalg.norm(_embed(*blank), axis=1) == pytest.approx([1, 1, 1], abs=1e-6)


def test_other_rows_do_not_matter_and_a_span_without_stills_uses_the_nearest(
    tmp_path: Path, scan: Scan
) -> None:
    film = tmp_path / "a.mp4"
    write_mp4(film, [*_scene(1, 12), *_scene(2, 12)], 12)  # a still every 0.5 s; the scene changes at 1 s
    rows = [scan(film, 0.0, 1.0), scan(film, 1.0, 2.0), scan(film, 1.6, 1.7), scan(film, 0.1, 0.2)]
    together = _embed(*rows)
    assert np.array_equal(together, np.concatenate([_embed(row) for row in rows]))
    assert together[2] @ together[1] > THRESHOLD > together[2] @ together[0]
    assert together[3] @ together[0] > THRESHOLD > together[3] @ together[1]


def test_a_model_gives_the_mean_of_the_image_vectors(tmp_path: Path, scan: Scan) -> None:
    film = tmp_path / "a.mp4"
    write_mp4(film, [*_scene(1, 12), *_scene(2, 12)], 12)
    rows = [scan(film, 0.0, 2.0), scan(film, 0.0, 1.0), scan(film, 1.0, 2.0)]
    stage = EmbedClip(model=str(save_towers(tmp_path / "towers")), stills_per_third=2)
    results = [result for result in stage.annotate(rows) if isinstance(result, ClipEmbedding)]
    vectors = np.stack([np.asarray(result.embedding) for result in results])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-6)
    assert len({result.embedding_kind for result in results}) == 1
    images = OpenClipModel(stage.model).embed_images([decode_still(still) for still in read_strip(rows[0])])
    mean = images.mean(axis=0) / np.linalg.norm(images.mean(axis=0))
    assert vectors[0] == pytest.approx(mean, abs=1e-5)
    assert not np.array_equal(vectors[1], vectors[2])
    alone = [np.asarray(result.embedding) for row in rows for result in stage.annotate([row])]
    assert np.array_equal(np.stack(alone), vectors)


def test_the_kind_depends_on_the_model_and_the_number_of_stills(tmp_path: Path, scan: Scan) -> None:
    film = tmp_path / "a.mp4"
    write_mp4(film, _scene(1, 12), 12)
    row = scan(film, 0.0, 1.0)
    models = [str(save_towers(tmp_path / f"{seed}", seed=seed)) for seed in (0, 1)]
    stages = [
        EmbedClip(),
        *(EmbedClip(model=name) for name in models),
        EmbedClip(model=models[0], stills_per_third=2),
    ]
    kinds = [next(iter(stage.annotate([row]))).embedding_kind for stage in stages]
    assert len(set(kinds)) == 4
    assert EmbedClip(model=models[0]).digest() != EmbedClip(model=models[1]).digest()


def test_equal_stills_have_equal_digests_whatever_the_container(tmp_path: Path, scan: Scan) -> None:
    write_mp4(tmp_path / "a.mp4", _scene(1, 12), 12)
    write_mp4(tmp_path / "c.mp4", _scene(2, 12), 12)
    with av.open(str(tmp_path / "a.mp4")) as source, av.open(str(tmp_path / "b.mkv"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    names = ("a.mp4", "b.mkv", "c.mp4")
    results = EmbedClip().annotate([scan(tmp_path / name, 0.0, 1.0) for name in names])
    digests = [result.stills_sha256 for result in results]
    assert digests[0] == digests[1] != digests[2]


def test_a_video_without_stills_is_rejected(scan: Scan, tmp_path: Path) -> None:
    film = tmp_path / "a.mp4"
    write_mp4(film, _scene(1, 12), 12)
    row = scan(film, 0.0, 1.0)
    without = ScannedClip(
        signals=row.signals, strip=row.strip, strip_times_s=(), strip_offsets=(), start_s=0.0, end_s=1.0
    )
    rejected, embedded = EmbedClip().annotate([without, row])
    assert "no still" in str(rejected)
    assert isinstance(embedded, ClipEmbedding)
