"""The dataset card: counts, licenses, provenance and funnel, from tables only, and always the same."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from toys import Quiet

from manifests import Artifact, Row, column
from manifests.catalog import tables_of
from manifests.identity import id_of
from manifests.stores.folder import FolderStore
from manifests.verbs.validation import check
from pipeline import Annotate, Dag, Expand, Source, Survey
from pipeline.executors.inline import Inline
from pipeline.recipes.request import RunRequest
from pipeline.run import run_dag


class Film(Row):
    id: str = column("made from the name")
    source: str = column("its name")
    license: str = column("under which it may be used")


class Films(Source[Film]):
    """Six films, of two licenses."""

    def rows(self) -> Iterator[Film]:
        for k in range(6):
            yield Film(
                id=id_of("film", k), source=f"<b>{k}|.mp4", license="CC-BY-4.0" if k % 3 else "CC0-1.0"
            )


class Named(Row):
    source: str


class Clip(Row):
    place: int = column("which of the film's clips", key=True)


class Cut(Expand[Named, Clip]):
    """Two clips of each film."""

    def expand(self, row: Named) -> Iterator[Clip]:
        yield from (Clip(place=k) for k in range(2))


class ConfiguredStage(Row):
    place: int


class Measured(Row):
    clip_duration_s: float = column("length", unit="s")
    split: str = column("side")


class Measure(Annotate[ConfiguredStage, Measured]):
    """Half an hour each; the second is for validation."""

    def annotate(self, rows: Sequence[ConfiguredStage]) -> Iterator[Measured]:
        for row in rows:
            yield Measured(clip_duration_s=1800.0, split="validation" if row.place else "train")


class Sided(Row):
    id: str
    split: str


class Packed(Row):
    bucket: str = column("bucket")
    shard: Artifact = column("tar")
    shard_index: Artifact = column("index")
    shard_key: str = column("key")


class Pack(Survey[Sided, Packed]):
    """One file for each side."""

    def assign(self, rows: Sequence[Sided], fitted: bytes) -> Iterator[str]:
        yield from (row.split for row in rows)

    def settle(self, group: str, rows: Sequence[Sided], fitted: bytes) -> Iterator[Packed]:
        data = hashlib.sha256("".join(row.id for row in rows).encode()).digest() * 1000
        shard, index = Artifact.of(data, ".tar", name=f"{group}/0.tar"), Artifact.of(b"", ".parquet")
        for row in rows:
            yield Packed(bucket="720p", shard=shard, shard_index=index, shard_key=row.id)


def _card(store: Path, per_part: int) -> str:
    dag = Dag("films")
    clips = dag.read(Films(), rows_per_part=per_part).expand(Cut()).annotate(Measure())
    kept = clips.keep("source != '<b>5|.mp4'", because="not | wanted")
    dag.save(kept.survey(Pack()), "shards")
    request = RunRequest("films.py", {}, str(store))
    result = run_dag(dag, str(store), executor=Inline(), observer=Quiet(), request=request)
    assert result.warnings == ()
    [card] = store.glob("pack-*/README.md")
    return card.read_text()


def test_the_card_describes_content_and_origin(tmp_path: Path) -> None:
    card = _card(tmp_path, 2)
    head, body = card.removeprefix("---\n").split("---\n", 1)
    files = yaml.safe_load(head)["configs"][0]["data_files"]
    assert [(f["split"], f["path"]) for f in files] == [
        ("train", "shards/**/*.tar"), ("validation", "shards-validation/**/*.tar"),
    ]  # fmt: skip
    assert "10 clips of 5.00 h from 5 videos, in 2 shards" in body
    assert "| train | 720p | 5 | 2.50 | 1 | 0.0 |" in body
    assert "| CC-BY-4.0 | 6 |" in body
    assert "| CC0-1.0 | 4 |" in body
    assert "| not_wanted | 12 | 2 | 0 | 0 | 10 | not \\| wanted: keep source != '&lt;b>5\\|.mp4' |" in body
    assert "Films" in body
    assert str(tmp_path) not in card


def test_the_card_is_the_same_in_any_folder_and_parts(tmp_path: Path) -> None:
    first = _card(tmp_path / "a", 2)
    assert _card(tmp_path / "a", 2) == first
    assert _card(tmp_path / "b", 2) == first


def test_manifest_check_knows_the_card(tmp_path: Path) -> None:
    _card(tmp_path, 3)
    store = FolderStore(tmp_path)
    result = check(store, tables_of(store))
    assert not result.faults
    assert not [note for note in result.notes if "README" in note]
