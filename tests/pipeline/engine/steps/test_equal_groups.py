"""An equal group of an earlier survey is not settled again: its columns are copied and its files linked."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from toys import N, Numbers, Quiet

from manifests import Artifact, ManifestError, Row, column
from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part
from pipeline import Dag, Reject, Survey
from pipeline.executors.inline import Inline
from pipeline.planning.plan import Plan, build_plan


class NumberWithId(N):
    id: str


class Packed(Row):
    tens: str = column("the tens")
    file: Artifact = column("all numbers of these tens")


class PackTens(Survey[NumberWithId, Packed]):
    """Packs the numbers with equal tens; logs each group that it settles. Rejects `bad`."""

    log: str
    bad: int = -1
    reuses: bool = True
    execution_settings = frozenset({"log", "reuses"})

    def fit(self, sample: Sequence[NumberWithId], totals: object) -> bytes:
        return str(totals).encode()

    def assign(self, rows: Sequence[NumberWithId], fitted: bytes) -> Iterable[str]:
        return [f"tens{row.n // 10}" for row in rows]

    def settle(self, group: str, rows: Sequence[NumberWithId], fitted: bytes) -> Iterator[Packed | Reject]:
        with open(self.log, "a") as log:
            log.write(f"{group} ")
        text = " ".join(str(row.n) for row in rows).encode()
        packed = Packed(tens=group, file=Artifact.of(text, ".txt", name=f"packs/{group}.txt"))
        for row in rows:
            yield Reject("bad") if row.n == self.bad else packed

    def group_inputs(self, group: str, fitted: bytes) -> bytes | None:
        return b"" if self.reuses else None


def pack(tmp_path: Path, count: int, part: int = 4, **settings: object) -> tuple[Plan, str]:
    """The plan, and the groups that the run settled."""
    log = tmp_path / "log"
    log.write_text("")
    dag = Dag("pack")
    rows = dag.read(Numbers(count=count), rows_per_part=part)
    dag.save(rows.survey(PackTens(log=str(log), **settings)), "packed")
    plan = build_plan(dag, FolderStore(tmp_path / "store"), f"run of {count}")
    Inline().run(plan, Quiet())
    return plan, " ".join(sorted(log.read_text().split()))


def packed_rows(plan: Plan) -> dict[str, tuple[str, str]]:
    """The tens and the content of the file of each row."""
    folder = plan["pack_tens"].folder
    parts = [read_part(plan.store, f"{folder}/{part_name(n)}") for n in parts_of(plan.store, folder)]
    rows = [row for part in parts for row in part.to_pylist()]
    assert all(row["file"]["path"].startswith(f"{folder}/packs/") for row in rows)
    return {row["id"]: (row["tens"], plan.store.read(row["file"]["path"]).decode()) for row in rows}


def test_only_a_group_with_a_new_row_is_settled_and_the_other_files_are_linked(tmp_path: Path) -> None:
    first, settled = pack(tmp_path, 25)
    assert settled == "tens0 tens1 tens2"
    second, settled = pack(tmp_path, 26, part=6)
    assert settled == "tens2"
    (tmp_path / "fresh").mkdir()
    fresh, _ = pack(tmp_path / "fresh", 26, part=6)
    folder = second["pack_tens"].folder
    for name in fresh.store.walk(folder):
        assert second.store.read(name) == fresh.store.read(name), name  # as if nothing was reused
    old, new = first["pack_tens"].folder, folder
    store = tmp_path / "store"
    for group, is_linked in (("tens0", True), ("tens1", True), ("tens2", False)):
        files = [store / table / "packs" / f"{group}.txt" for table in (old, new)]
        assert files[0].samefile(files[1]) is is_linked
    before = packed_rows(second)
    first.store.remove_folder(old)
    assert packed_rows(second) == before


@pytest.mark.parametrize("change", ["a missing file", "rejected rows", "another setting", "no reuse"])
def test_a_group_is_settled_again_where_it_must_be(tmp_path: Path, change: str) -> None:
    settings = {"bad": 3} if change == "rejected rows" else {}
    first, _ = pack(tmp_path, 12, **settings)
    if change == "a missing file":
        first.store.remove(f"{first['pack_tens'].folder}/packs/tens0.txt")
    later = {"another setting": {"bad": 11}, "no reuse": {"reuses": False}}.get(change, settings)
    second, settled = pack(tmp_path, 13, **later)
    assert settled == "tens0 tens1"
    assert len(packed_rows(second)) == (13 if not later else 12 if "bad" in later else 13)


@pytest.mark.parametrize("is_equal", [True, False])
def test_an_existing_file_counts_only_with_the_same_content(is_equal: bool, tmp_path: Path) -> None:
    """A stopped run can leave a file under the new name."""
    first, _ = pack(tmp_path, 20)
    (tmp_path / "fresh").mkdir()
    new = pack(tmp_path / "fresh", 21)[0]["pack_tens"].folder
    content = first.store.read(f"{first['pack_tens'].folder}/packs/tens0.txt")
    first.store.create(f"{new}/packs/tens0.txt", content if is_equal else b"x" * len(content))
    if is_equal:
        assert pack(tmp_path, 21)[1] == "tens2"
    else:
        with pytest.raises(ManifestError, match="two different files"):
            pack(tmp_path, 21)


def test_a_later_run_uses_the_newest_equal_group(tmp_path: Path) -> None:
    for count, expected in ((12, "tens0 tens1"), (25, "tens1 tens2"), (12, ""), (13, "tens1")):
        assert pack(tmp_path, count)[1] == expected, count
