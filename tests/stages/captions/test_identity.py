"""Every caption belongs to its own clip, although a server answers out of order and with errors.

A similar tool shipped five releases in which concurrent batches put captions on wrong videos. This test runs
the whole path: films of numbers, scan, shots, captions in batches, while the endpoint fails, disconnects,
stalls and limits the rate. Then it compares captions with the pixels of their clips.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from chat_server import ChatServer, Reply, Request, completion
from numbered_frames import number_text, numbered_frames, read_number
from toys import Quiet

from manifests.identity import shuffle_key
from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part, read_row_counts
from pipeline import Dag
from pipeline.executor import Executor
from pipeline.executors.inline import Inline
from pipeline.executors.on_ray import OnRay
from pipeline.executors.on_ray.cluster import cluster
from pipeline.planning.plan import Plan, build_plan
from stages.captions.caption_clip import CaptionClip
from stages.ingest.list_videos import ListVideos
from stages.ingest.probe_video import ProbeVideo
from stages.media.decoding.video import open_video
from stages.media.encoding.arrays import write_mp4
from stages.scan.scan_video import ScanVideo
from stages.shots.find_shots import FindShots
from stages.shots.score_boundaries import ScoreBoundaries

FILMS, EACH, FRAMES = 3, 8, 10  # films, numbers in each, frames of a number


def unreliable(request: Request) -> Reply:
    """Answer with the text of the images after a random delay; sometimes fail in one of several ways."""
    if not request.jpegs:
        return completion("Yes.")
    delay_s = shuffle_key(str(request.number)) / 2**64 * 0.08
    bad = {
        2: Reply(status=500, delay_s=delay_s),
        5: Reply(disconnect=True, delay_s=delay_s),
        7: Reply(b"what?", delay_s=delay_s),
        9: Reply(status=429, headers={"Retry-After": "0.02"}),
        11: Reply(stall_s=1.0),
    }
    if request.number % 13 in bad:
        return bad[request.number % 13]
    texts = [read_number(image) for image in request.images]
    return completion(" then ".join(dict.fromkeys(texts)), delay_s=delay_s)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write films of numbers. No number appears twice."""
    folder = tmp_path_factory.mktemp("films")
    for film in range(FILMS):
        numbers = [film * EACH + 37 * k % 512 for k in range(1, EACH + 1)]
        write_mp4(folder / f"{film}.mp4", numbered_frames(numbers, FRAMES), 10, crf=12, preset="ultrafast")
    return folder


def dag_of(films: Path, url: str) -> Dag:
    dag = Dag("identity")
    videos = (
        dag.read(ListVideos(root=str(films)), rows_per_part=2).annotate(ProbeVideo()).annotate(ScanVideo())
    )
    clips = videos.annotate(ScoreBoundaries()).expand(FindShots(min_cut_score=0.2, max_duration_s=0))
    stage = CaptionClip(
        model="toy",
        endpoint=url,
        max_concurrent_requests=7,
        max_attempts=9,
        timeout_s=0.5,
        window_frames=6,
        min_window_frames=4,
    )
    dag.save(clips.annotate(stage.on(batch=5, workers=2)), "captions")
    return dag


def rows(plan: Plan, step: str) -> Iterator[dict[str, object]]:
    folder = plan[step].folder
    for number in parts_of(plan.store, folder):
        name = f"{folder}/{part_name(number)}"
        assert read_row_counts(plan.store, name).rejected == 0
        yield from read_part(plan.store, name).to_pylist()


def read_source(clip: dict[str, object], uri: str) -> list[str]:
    """Return the text of each frame of a clip."""
    with open_video(uri) as video:
        return [read_number(frame.pixels()) for frame in video.frames(clip["start_pts"], clip["end_pts"])]


@pytest.mark.parametrize(
    "executor", [Inline(), pytest.param(OnRay(workers=2), marks=pytest.mark.slow)], ids=["inline", "ray"]
)
def test_every_caption_belongs_to_its_own_clip(
    executor: Executor, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "stages.models.chat.endpoint._MIN_BACKOFF_S", 0.02
    )  # in this process only, not in workers of Ray
    with ChatServer(unreliable) as server:
        plan = build_plan(dag_of(films, server.url), FolderStore(tmp_path / "s"), "r")
        if isinstance(executor, OnRay):
            with cluster(None, 2):
                executor.run(plan, Quiet())
        else:
            executor.run(plan, Quiet())
    uris = {row["id"]: str(row["uri"]) for row in rows(plan, "list_videos")}
    captions = {row["id"]: row for row in rows(plan, "caption_clip")}
    clips = list(rows(plan, "find_shots"))
    assert len(clips) == len(captions) == FILMS * EACH
    counts = Counter()
    for clip in clips:
        texts, caption = read_source(clip, uris[clip["parent"]]), captions[clip["id"]]
        first = clip["start_frame"]
        for start, end, text in zip(
            caption["window_starts"], caption["window_ends"], caption["window_captions"], strict=True
        ):
            assert text == " then ".join(dict.fromkeys(texts[start - first : end - first]))
        assert caption["caption"] == " ".join(caption["window_captions"])
        assert len(caption["window_captions"]) == 2
        counts[caption["window_captions"][0]] += 1
    assert set(counts.values()) == {1}
    assert len(server.requests) > 2 * FILMS * EACH  # failed requests were sent again
    assert server.max_concurrent > 2


def test_numbers_are_read_from_images_and_wrong_ones_differ() -> None:
    for number in (0, 1, 511, 682, 1023):
        [picture] = numbered_frames([number], 1)
        assert read_number(picture) == number_text(number)
    assert read_number(next(numbered_frames([5], 1))) != number_text(4)
