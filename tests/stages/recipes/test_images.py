"""Tests of images beside videos: listed apart, measured, deduplicated, packed, and encoded as one frame."""

import tarfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from chat_server import ChatServer, completion
from toys import Quiet

from manifests import ClipmillError
from manifests.stores.folder import FolderStore
from manifests.table import part_name, read_part
from pipeline import Dag
from pipeline.executors.inline import Inline
from pipeline.planning.keys import compute_keys
from pipeline.planning.plan import Plan, build_plan
from stages.ingest.list_videos import ListVideos
from stages.recipes.captions import DEFAULT_CAPTIONS, Captions
from stages.recipes.curate import DEFAULT_CURATION, curate
from stages.recipes.filters import DEFAULT_FILTERS
from stages.recipes.footage import Footage
from stages.recipes.images import save_image_latents, save_images
from stages.recipes.latents import Encoding
from stages.recipes.world import world
from stages.shards.pack_shards import PackShards

IMAGES = Footage(images=True)


def _draw(path: Path, seed: int, height: int = 96, width: int = 128) -> None:
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), rng.integers(60, 200, 3), np.uint8)
    for _ in range(30):
        color = tuple(int(x) for x in rng.integers(0, 255, 3))
        start, end = ((int(x), int(y)) for x, y in rng.integers(0, (width, height), (2, 2)))
        cv2.rectangle(image, start, end, color, -1)
    cv2.imwrite(str(path), image)


def _footage(root: Path) -> str:
    (root / "mixed").mkdir()
    for seed, name in enumerate(("a.jpg", "b.png", "c.webp")):
        _draw(root / "mixed" / name, seed)
    (root / "mixed/copy.jpg").write_bytes((root / "mixed/a.jpg").read_bytes())
    cv2.imwrite(str(root / "mixed/dark.png"), np.full((96, 128, 3), 5, np.uint8))
    (root / "mixed/film.mp4").write_bytes(b"a film, which another source lists")
    return str(root / "mixed")


def _run(root: Path, encoding: Encoding | None = None, captions: Captions = DEFAULT_CAPTIONS) -> Plan:
    dag = Dag("images")
    images = save_images(dag, _footage(root), IMAGES, DEFAULT_FILTERS, captions, DEFAULT_CURATION)
    if encoding:
        save_image_latents(dag, images, encoding, 1)
    made = build_plan(dag, FolderStore(root / "store"), "r")
    assert Inline().run(made, Quiet()).is_finished
    return made


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return _run(tmp_path_factory.mktemp("images"))


def _rows(plan: Plan, step: str) -> list[dict[str, object]]:
    return list(read_part(plan.store, f"{plan[step].folder}/{part_name(0)}").to_pylist())


def test_images_are_packed_in_a_bucket_of_their_own_and_duplicates_are_dropped(plan: Plan) -> None:
    assert len(_rows(plan, "list_videos_of_images")) == 5
    assert len(_rows(plan, "image_too_dark")) == 1
    assert len(_rows(plan, "duplicate_image")) == 1
    packed = _rows(plan, "pack_shards_of_images")
    assert {row["bucket"] for row in packed} == {"small_4x3_image"}
    (shard,) = {row["shard"]["path"] for row in packed}  # type: ignore[index]
    with plan.store.local(shard) as path, tarfile.open(path) as tar:
        names = tar.getnames()
    assert sorted(name.partition(".")[2] for name in names) == sorted(
        ["jpg", "json", "txt", "png", "json", "txt", "webp", "json", "txt"]
    )


def test_captions_do_not_mention_motion(plan: Plan) -> None:
    captions = [str(row["caption"]) for row in _rows(plan, "describe_clip_of_images")]
    assert all("landscape image" in caption and "camera" not in caption for caption in captions)


def test_a_model_captions_each_image(tmp_path: Path) -> None:
    with ChatServer(lambda request: completion(f"A picture of {len(request.images)} image.")) as server:
        captions = Captions(caption_model="toy", caption_endpoint=server.url)
        plan = _run(tmp_path, captions=captions)
    rows = _rows(plan, "caption_images")
    assert [row["caption"] for row in rows] == ["A picture of 1 image."] * 3
    assert len(server.requests) == 3
    assert len(_rows(plan, "pack_shards_of_images")) == 3


@pytest.mark.slow
def test_images_become_latents_of_one_frame(tmp_path: Path) -> None:
    plan = _run(tmp_path, Encoding(latent_px=32))
    encoded = _rows(plan, "encode_latents_of_images")
    assert len(encoded) == 3
    assert {row["latent_frames"] for row in encoded} == {1}
    buckets = [str(row["latents_bucket"]) for row in _rows(plan, "pack_latents_of_images")]
    assert {bucket.split("x")[1] for bucket in buckets} == {"1"}


def test_a_training_on_videos_refuses_images() -> None:
    with pytest.raises(ClipmillError, match="trains on clips of videos only"):
        world("films", inputs=IMAGES)


def test_images_change_nothing_about_videos(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"a film")
    _draw(tmp_path / "a.jpg", 0)
    without, with_images = curate(str(tmp_path)), curate(str(tmp_path), inputs=IMAGES)
    assert set(with_images.outputs) == {"shards", "images"}
    assert set(without.outputs) == {"shards"}
    before, after = compute_keys(without), compute_keys(with_images)
    assert before["scan_video"].content == after["scan_video"].content
    listed = ListVideos(root=str(tmp_path), media="videos")
    assert [row.source for row in listed.rows()] == ["a.mp4"]
    listed.digest()
    assert listed.notes() == ()


def test_the_knobs_of_buckets_hold_for_images(tmp_path: Path) -> None:
    _draw(tmp_path / "a.jpg", 0)
    curation = replace(DEFAULT_CURATION, resolutions=(512,), aspect_ratios=("1:1",), aspect_tolerance=0.5)
    pack = curate(str(tmp_path), curation=curation, inputs=IMAGES).nodes["pack_shards_of_images"].work
    assert isinstance(pack, PackShards)
    assert (pack.resolutions, pack.aspect_ratios, pack.aspect_tolerance) == ((512,), ("1:1",), 0.5)


def test_footage_of_images_alone_is_no_error(tmp_path: Path) -> None:
    _draw(tmp_path / "a.jpg", 0)
    listing = tmp_path / "list.txt"
    listing.write_text("a.jpg\n")
    assert [row.source for row in ListVideos(root=str(listing), media="images").rows()] == ["a.jpg"]
    assert list(ListVideos(root=str(listing), media="videos").rows()) == []
    films = tmp_path / "films"
    films.mkdir()
    _draw(films / "b.jpg", 1)
    assert [row.source for row in ListVideos(root=str(films), media="images").rows()] == ["b.jpg"]
    assert list(ListVideos(root=str(films), media="videos").rows()) == []
    with pytest.raises(ClipmillError, match="no videos"):
        ListVideos(root=str(films)).digest()
