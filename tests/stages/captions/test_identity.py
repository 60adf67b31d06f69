"""Every caption stands on its own clip: films that bear numbers, and a server that reads them out of order.

A peer shipped five releases in which batches in flight put captions on wrong videos. Here the whole way is
gone: films, scan, shots, captions in batches, while the endpoint fails, hangs up, stalls and limits; then
captions are compared with their clips' pixels.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from chat_server import Asked, ChatServer, Reply, said
from numbered import film_of, read, words
from toys import Quiet

from manifests.identity import order_of
from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part, read_row_counts
from pipeline import Dag
from pipeline.executor import Executor
from pipeline.executors.inline import Inline
from pipeline.executors.on_ray import OnRay
from pipeline.executors.on_ray.cluster import cluster
from pipeline.planning.plan import Plan, plan_of
from stages.captions.caption_clip import CaptionClip
from stages.ingest.list_videos import ListVideos
from stages.ingest.probe_video import ProbeVideo
from stages.media.decode import open_video
from stages.media.encode import write_mp4
from stages.scan.scan_video import ScanVideo
from stages.shots.find_shots import FindShots
from stages.shots.score_boundaries import ScoreBoundaries

FILMS, EACH, FRAMES = 3, 8, 10  # films, numbers in each, frames of a number


def unreliable(asked: Asked) -> Reply:
    """Read the pictures; but fail in each way now and then, and take any time for it."""
    if not asked.jpegs:
        return said("Yes.")
    after_s = order_of(str(asked.number)) / 2**64 * 0.08
    bad = {
        2: Reply(status=500, after_s=after_s),
        5: Reply(drop=True, after_s=after_s),
        7: Reply(b"what?", after_s=after_s),
        9: Reply(status=429, headers={"Retry-After": "0.02"}),
        11: Reply(stall_s=1.0),
    }
    if asked.number % 13 in bad:
        return bad[asked.number % 13]
    seen = [read(picture) for picture in asked.pictures]
    return said(" then ".join(dict.fromkeys(seen)), after_s=after_s)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films of numbers, none of which comes twice."""
    folder = tmp_path_factory.mktemp("films")
    for film in range(FILMS):
        numbers = [film * EACH + 37 * k % 512 for k in range(1, EACH + 1)]
        write_mp4(folder / f"{film}.mp4", film_of(numbers, FRAMES), 10, crf=12, preset="ultrafast")
    return folder


def dag_of(films: Path, url: str) -> Dag:
    dag = Dag("identity")
    videos = (
        dag.read(ListVideos(root=str(films)), rows_per_part=2).annotate(ProbeVideo()).annotate(ScanVideo())
    )
    clips = videos.annotate(ScoreBoundaries()).expand(FindShots(max_duration_s=0))
    asks = CaptionClip(
        model="toy", endpoint=url, at_once=7, tries=9, timeout_s=0.5, window_frames=6, window_least=4
    )
    dag.save(clips.annotate(asks.on(batch=5, workers=2)), "captions")
    return dag


def rows(plan: Plan, step: str) -> Iterator[dict[str, object]]:
    folder = plan[step].folder
    for number in parts_of(plan.store, folder):
        name = f"{folder}/{part_name(number)}"
        assert read_row_counts(plan.store, name).rejected == 0
        yield from read_part(plan.store, name).to_pylist()


def in_the_source(clip: dict[str, object], uri: str) -> list[str]:
    """What stands in each frame of a clip."""
    with open_video(uri) as video:
        return [read(frame.pixels()) for frame in video.frames(clip["start_pts"], clip["end_pts"])]


@pytest.mark.parametrize(
    "executor", [Inline(), pytest.param(OnRay(workers=2), marks=pytest.mark.slow)], ids=["inline", "ray"]
)
def test_every_caption_stands_on_its_own_clip(
    executor: Executor, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.captions.endpoint._FIRST_S", 0.02)  # in this process; workers take their time
    with ChatServer(unreliable) as server:
        plan = plan_of(dag_of(films, server.url), FolderStore(tmp_path / "s"), "r")
        if isinstance(executor, OnRay):
            with cluster(None, 2):
                executor.run(plan, Quiet())
        else:
            executor.run(plan, Quiet())
    uris = {row["id"]: str(row["uri"]) for row in rows(plan, "list_videos")}
    captions = {row["id"]: row for row in rows(plan, "caption_clip")}
    clips = list(rows(plan, "find_shots"))
    assert len(clips) == len(captions) == FILMS * EACH
    said_of = Counter()
    for clip in clips:
        seen, told = in_the_source(clip, uris[clip["parent"]]), captions[clip["id"]]
        first = clip["start_frame"]
        for start, end, text in zip(
            told["window_starts"], told["window_ends"], told["window_captions"], strict=True
        ):
            assert text == " then ".join(dict.fromkeys(seen[start - first : end - first]))
        assert told["caption"] == " ".join(told["window_captions"])
        assert len(told["window_captions"]) == 2
        said_of[told["window_captions"][0]] += 1
    assert set(said_of.values()) == {1}
    assert len(server.seen) > 2 * FILMS * EACH  # it failed, and was asked again
    assert server.most_at_once > 2


def test_the_films_can_be_read_and_a_wrong_number_is_seen() -> None:
    for number in (0, 1, 511, 682, 1023):
        [picture] = film_of([number], 1)
        assert read(picture) == words(number)
    assert read(next(film_of([5], 1))) != words(4)
