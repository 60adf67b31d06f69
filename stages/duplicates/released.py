"""What an earlier store shipped: the vectors of the clips that came through the newest finished run there."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from manifests import Store
from manifests.catalogue import RUNS
from manifests.manifest import read_manifest
from manifests.stores import open_store
from manifests.table import part_name, parts_of, read_part, read_row_counts
from stages.duplicates.errors import CannotCompare

if TYPE_CHECKING:
    import pyarrow as pa

_READ = ("embedding", "embedding_kind", "pictures_sha256")


@dataclass(frozen=True)
class Shipped:
    """A release: a run, with the folders of its tables by step.

    Attributes:
        name: of the run, which is the release.
        steps: the run's steps as `plan.json` has them, by name.
        heads: the steps that a clip came through last.
        embedded: the step that adds the vectors.
    """

    store: Store
    name: str
    steps: dict[str, Any]
    heads: tuple[str, ...]
    embedded: str

    @cached_property
    def parts(self) -> list[int]:
        return parts_of(self.store, self._folder(self.embedded))

    @cached_property
    def digest(self) -> str:
        """Of what was shipped and its vectors: of the manifests of their tables."""
        seen = hashlib.sha256(self.name.encode())
        for step in (self.embedded, *self.heads):
            manifest = read_manifest(self.store, self._folder(step))
            seen.update(json.dumps([part.sha256 for part in manifest.parts] if manifest else []).encode())
        return seen.hexdigest()

    @cached_property
    def rows(self) -> int:
        """How many clips were embedded, which is at least as many as were shipped."""
        manifest = read_manifest(self.store, self._folder(self.embedded))
        return manifest.books.rows_out if manifest else 0

    def read(self, number: int) -> "pa.Table":
        """The shipped clips of a part. Their ids are the release's name, a space, and their ids there."""
        import pyarrow.compute as pc

        rows = read_part(self.store, f"{self._folder(self.embedded)}/{part_name(number)}", ["id", *_READ])
        for head in self.heads:
            rows = self._through(rows, head, number)
        named = pc.binary_join_element_wise(self.name, rows["id"], " ")
        return rows.select(_READ).append_column("id", named)

    def _through(self, rows: "pa.Table", step: str, number: int) -> "pa.Table":
        """The rows that came through a step and those before it."""
        import pyarrow as pa
        import pyarrow.compute as pc

        name = f"{self._folder(step)}/{part_name(number)}"
        own = read_part(self.store, name, ["id"])["id"].combine_chunks()
        if self.steps[step]["kind"] != "drops":
            return rows.filter(pc.is_in(rows["id"], value_set=own))
        aside = read_row_counts(self.store, name).rejects
        if aside:
            more = read_part(self.store, f"{self._folder(step)}/{aside}", ["id"])["id"].combine_chunks()
            own = pa.concat_arrays([own, more])
        left = rows.filter(pc.invert(pc.is_in(rows["id"], value_set=own)))
        for before in self.steps[step]["inputs"]:
            left = self._through(left, before, number)
        return left

    def _folder(self, step: str) -> str:
        return str(self.steps[step]["folder"])


def shipped_from(url: str) -> Shipped:
    """The newest finished run of a store.

    Raises:
        CannotCompare: there is none, or it embedded no clips.
    """
    store = open_store(url)
    for run in sorted(store.names(RUNS), reverse=True):
        if _json(store, f"{RUNS}/{run}/timings.json").get("state") != "done":
            continue
        plan = _json(store, f"{RUNS}/{run}/plan.json")
        steps = {step["name"]: step for step in plan["steps"]}
        made = [s for s in plan["steps"] if {c["name"] for c in s["columns"]} >= set(_READ)]
        heads = [h for h in plan["outputs"].values() if made and steps[h[0]]["base"] == made[-1]["base"]]
        if heads:
            return Shipped(store, run, steps, tuple(heads[0]), made[-1]["name"])
    raise CannotCompare(
        "no finished run of this store has shipped clips with vectors",
        where=store.url,
        remedy="name the store of an earlier run whose recipe embeds its clips as this one does",
    )


def _json(store: Store, name: str) -> Any:
    try:
        return json.loads(store.read(name))
    except FileNotFoundError:
        return {}
