"""New clips are compared with the clips of earlier releases, by the embeddings in their stores."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import Quiet

from manifests import Row, Vector, column
from manifests.identity import id_of
from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part
from pipeline import Dag, Source
from pipeline.executors.inline import Inline
from pipeline.history.run_history import read_history
from pipeline.planning.keys import compute_keys
from pipeline.recipes.request import RunRequest
from pipeline.run import run_dag
from stages.duplicates.errors import CannotCompare
from stages.duplicates.find_duplicates import FindDuplicates
from stages.duplicates.released import read_release
from stages.duplicates.search_pairs import SearchPairs


class Clip(Row):
    id: str = column("derived from its direction")
    embedding: Vector = column("a direction", unit="1")
    embedding_kind: str = column("kind of the embedding")
    frame_signature: bytes = column("none")
    stills_sha256: str = column("same as the id")
    width_px: int = column("width", unit="px")
    height_px: int = column("height", unit="px")
    sharpness: float = column("higher for later clips", unit="1/px")
    start_s: float = column("start", unit="s")
    end_s: float = column("end", unit="s")


class Directions(Source[Clip]):
    """Unit vectors in a plane.

    Attributes:
        degrees: Angle of each vector, in degrees.
        kind: Kind of the embeddings.
    """

    degrees: tuple[float, ...]
    kind: str = "degrees"

    def rows(self) -> Iterator[Clip]:
        for number, degrees in enumerate(self.degrees):
            name, turn = id_of(degrees), np.radians(degrees)
            yield Clip(
                id=name,
                embedding=Vector("f", [np.cos(turn), np.sin(turn)]),
                embedding_kind=self.kind,
                frame_signature=b"",
                stills_sha256=name,
                width_px=640,
                height_px=360,
                sharpness=0.1 * number,
                start_s=0.0,
                end_s=2.0,
            )


def release(
    store: Path, *degrees: float, kind: str = "degrees", **settings: Any
) -> dict[float, dict[str, Any]]:
    """Run a recipe that releases what is no duplicate; the row of each direction after `FindDuplicates`."""
    dag = Dag("release")
    rows = dag.read(Directions(degrees=degrees, kind=kind), rows_per_part=2)
    found = rows.survey(SearchPairs(**settings)).survey(
        FindDuplicates(duplicates="semantic", max_semantic_similarity=0.98)
    )  # 11.48 degrees
    dag.save(found.keep("not duplicate", because="duplicate"), "clips")
    request = RunRequest("release.py", {}, str(store))
    run_dag(dag, str(store), executor=Inline(), observer=Quiet(), request=request)
    plan = read_history(FolderStore(store))
    names = {id_of(value): value for value in degrees}
    folder = plan["find_duplicates"].folder
    parts = (read_part(plan.store, f"{folder}/{part_name(n)}") for n in parts_of(plan.store, folder))
    return {names[row["id"]]: row for part in parts for row in part.to_pylist()}


def test_a_released_clip_is_better_than_a_new_one(tmp_path: Path) -> None:
    release(tmp_path / "one", 0.0, 8.0, 90.0)  # 8 is sharper than 0, which is dropped
    first = read_release(str(tmp_path / "one")).name
    new = release(tmp_path / "two", 2.0, 17.0, 30.0, 35.0, released_stores=(str(tmp_path / "one"),))
    found = {d: (row["duplicate_release"], row["duplicate_of"]) for d, row in new.items() if row["duplicate"]}
    assert found == {2.0: (first, id_of(8.0)), 17.0: (first, id_of(8.0)), 30.0: (None, id_of(35.0))}
    assert new[2.0]["duplicate_similarity"] == pytest.approx(np.cos(np.radians(6)), abs=1e-6)


def test_of_several_releases_the_most_similar_clip_is_named(tmp_path: Path) -> None:
    release(tmp_path / "one", 0.0)
    release(tmp_path / "two", 5.0, 60.0)
    both = (str(tmp_path / "one"), str(tmp_path / "two"))
    new = release(tmp_path / "three", 3.0, 61.0, 120.0, released_stores=both)
    found = {d: row["duplicate_of"] for d, row in new.items()}
    assert found == {3.0: id_of(5.0), 61.0: id_of(60.0), 120.0: None}


def test_the_same_footage_again_is_all_duplicates(tmp_path: Path) -> None:
    release(tmp_path / "one", 0.0, 40.0)
    again = release(tmp_path / "two", 0.0, 40.0, 80.0, released_stores=(str(tmp_path / "one"),))
    assert {d: row["duplicate_similarity"] for d, row in again.items()} == {0.0: 1.0, 40.0: 1.0, 80.0: None}


def test_the_key_depends_on_what_was_released_and_not_on_where(tmp_path: Path) -> None:
    release(tmp_path / "one", 0.0, 40.0)
    (tmp_path / "one").rename(tmp_path / "moved")
    stages = [SearchPairs(released_stores=(str(tmp_path / "moved"),)), SearchPairs()]
    keys = []
    for stage in stages:
        dag = Dag("d")
        dag.save(dag.read(Directions(degrees=(1.0,))).survey(stage), "x")
        keys.append(compute_keys(dag)["search_pairs"].content)
    assert keys[0] != keys[1]
    elsewhere = SearchPairs(released_stores=(str(tmp_path / "moved"),)).digest()
    (tmp_path / "moved").rename(tmp_path / "one")
    assert SearchPairs(released_stores=(str(tmp_path / "one"),)).digest() == elsewhere


def test_embeddings_of_another_kind_are_an_error(tmp_path: Path) -> None:
    release(tmp_path / "one", 0.0, kind="old")
    with pytest.raises(CannotCompare, match="degrees, old"):
        release(tmp_path / "two", 0.0, released_stores=(str(tmp_path / "one"),))


def test_a_store_without_a_release_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CannotCompare, match="no finished run"):
        read_release(str(FolderStore(tmp_path).url)).read(0)
