"""From films on S3 and HTTP servers to shards, through a list with signed URLs, as from a folder."""

import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from file_server import serve
from toys import Quiet

from manifests import Row, column
from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part
from pipeline import Annotate, Dag
from pipeline.executors.inline import Inline
from pipeline.planning.plan import Plan, build_plan
from stages.ingest.list_videos import ListVideos
from stages.ingest.probe_video import ProbeVideo
from stages.media.encoding.arrays import write_mp4
from stages.media.remote import errors
from stages.scan.scan_video import ScanVideo
from stages.shards.cut_clip import CutClip
from stages.shards.pack_shards import PackShards
from stages.shots.find_shots import FindShots
from stages.shots.score_boundaries import ScoreBoundaries

SECRET = "X-Amz-Signature=s3cret"


class Shot(Row):
    uri: str


class Caption(Row):
    caption: str = column("the same for every clip")


class WriteCaption(Annotate[Shot, Caption]):
    """Gives every clip the same caption."""

    def annotate(self, rows: Sequence[Shot]) -> Iterator[Caption]:
        yield from (Caption(caption="a pan") for _ in rows)


def run(root: str, store: Path) -> Plan:
    """Run a short recipe from listed videos to shards."""
    dag = Dag("short")
    listed = dag.read(ListVideos(root=root, allow_private_urls=True))
    rows = listed.annotate(ProbeVideo()).annotate(ScanVideo())
    shots = rows.annotate(ScoreBoundaries()).expand(FindShots()).keep("kind == 'shot'", because="transition")
    cut = shots.annotate(WriteCaption()).annotate(CutClip(preset="ultrafast"))
    dag.save(cut.survey(PackShards(bucket_frames=(1,))), "shards")
    plan = build_plan(dag, FolderStore(store), "r")
    assert Inline().run(plan, Quiet()).is_finished
    return plan


def values_of(plan: Plan, step: str, name: str) -> list[object]:
    """The values of a column, in a fixed order; of an artifact its digest."""
    store, folder = plan.store, plan[step].folder
    tables = [read_part(store, f"{folder}/{part_name(n)}", [name]) for n in parts_of(store, folder)]
    values = [value for table in tables for value in table.column(name).to_pylist()]
    return sorted((v["sha256"] if isinstance(v, dict) else v for v in values), key=str)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three small films of one shot each."""
    folder = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(0)
    for name in "abc":
        texture = np.kron(rng.integers(0, 255, (12, 32, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
        write_mp4(
            folder / f"{name}.mp4", (texture[:, k : k + 128] for k in range(24)), 12, preset="ultrafast"
        )
    return folder


@pytest.fixture
def s3_films(films: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a bucket with the films."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1", "NO_PROXY": host,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    bucket = f"films-{uuid.uuid4().hex[:8]}"
    s3fs.S3FileSystem().mkdir(bucket)
    for film in films.iterdir():
        s3fs.S3FileSystem().put(str(film), f"{bucket}/in/{film.name}")
    yield f"s3://{bucket}/in"
    server.stop()


def test_a_list_of_remote_films_becomes_the_same_clips(
    films: Path, s3_films: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "_FIRST_WAIT_S", 0.0)
    expected = run(str(films), tmp_path / "local")
    files = {f"/{name}.mp4": (films / f"{name}.mp4").read_bytes() for name in "bc"}
    with (
        serve(files, token=SECRET, statuses=[503], resets=2) as signed,
        serve(files, has_ranges=False) as plain,
    ):
        lines = [
            f"{s3_films}/a.mp4", f"{signed.url}/b.mp4?{SECRET}", f"{plain.url}/c.mp4",
            f"{plain.url}/gone.mp4", f"{signed.url}/c.mp4?wrong=s3cret", f"{plain.url}/c.mp4",
        ]  # fmt: skip
        (tmp_path / "list.txt").write_text("\n".join(lines))
        found = run(str(tmp_path / "list.txt"), tmp_path / "store")
        assert sum(not span for path, span in plain.requests if path == "/c.mp4") == 1, "downloaded twice"
    for step, name in (("cut_clip", "id"), ("cut_clip", "clip"), ("pack_shards", "shard_key")):
        assert values_of(found, step, name) == values_of(expected, step, name)
    assert len(set(values_of(found, "find_shots", "parent"))) == 3, "a film has no clip"
    reasons = "\n".join(
        row["reason"]
        for name in found.store.walk(f"{found['probe_video'].folder}/rejects")
        for row in read_part(found.store, name).to_pylist()
    )
    for part in ("gone.mp4 does not exist: HTTP 404", "refuses", "HTTP 403", "listed twice: line 3"):
        assert part in reasons
    stored = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert b"s3cret" not in stored
