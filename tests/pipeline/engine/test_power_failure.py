"""A power failure between two commits: the next run makes files again that were not synced."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from toys import Numbers, Quiet, Square

from manifests import Artifact, Row, column
from manifests.stores.folder import FolderStore
from pipeline import Dag, Expand
from pipeline.engine.schedule import Schedule
from pipeline.executors.inline import Inline
from pipeline.planning.plan import build_plan


class Text(Row):
    text: Artifact


class Letter(Row):
    letter: Artifact = column("five times the letter")


class Letters(Expand[Text, Letter]):
    def expand(self, row: Text) -> Iterator[Letter]:
        for letter in row.text.read().decode():
            yield Letter(letter=Artifact.of(letter.encode() * 5, ".txt"))


class PowerFails(FolderStore):
    """Loses the power before the files of a part are synced: one is gone, one is empty, others are whole."""

    def __init__(self, root: Path, syncs: int) -> None:
        super().__init__(root)
        self.syncs = syncs
        self.unsafe: list[str] = []

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        created = super().create(name, data, durable=durable)
        self.unsafe += [name] if created and not durable else []
        return created

    def persist(self, names: Sequence[str]) -> None:
        assert {*self.unsafe} <= {*names}
        if self.syncs == 0:
            gone, empty, *_ = self.unsafe
            (self.root / gone).unlink()
            (self.root / empty).write_bytes(b"")
            raise KeyboardInterrupt
        self.syncs -= 1
        self.unsafe.clear()
        super().persist(names)


def run(store: FolderStore) -> Schedule:
    dag = Dag("d")
    rows = dag.read(Numbers(count=6), rows_per_part=3).annotate(Square())
    dag.save(rows, "squares")
    dag.save(rows.expand(Letters()), "letters")
    return Inline().run(build_plan(dag, store, "run"), Quiet())


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.*") if path.is_file()}


@pytest.mark.parametrize("syncs", range(4))
def test_files_that_were_not_synced_are_made_again(syncs: int, tmp_path: Path) -> None:
    run(FolderStore(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run(PowerFails(tmp_path / "cut", syncs))
    schedule = run(FolderStore(tmp_path / "cut"))
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")
    resumed = sum(step.work.resumed for step in schedule.steps.values())
    assert 1 <= resumed < 3  # rows with complete files are not made again
