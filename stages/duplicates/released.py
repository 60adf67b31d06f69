"""Reads what an earlier store released: the embeddings of the output clips of its newest finished run."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from manifests import Store
from manifests.catalog import RUNS
from manifests.format import open_checked_store
from manifests.manifest import read_manifest
from manifests.table import part_name, parts_of, read_part, read_row_counts
from stages.duplicates.errors import CannotCompare

if TYPE_CHECKING:
    import pyarrow as pa

_COLUMNS = ("embedding", "embedding_kind", "frame_signature", "stills_sha256")


@dataclass(frozen=True)
class Release:
    """A release is a finished run of a store, with the folders of its tables by step.

    Attributes:
        store: the store of the run.
        name: name of the run, which is the name of the release.
        steps: the steps of the run by name, as `plan.json` has them.
        output_steps: the last steps that an output clip passed.
        embedding_step: name of the step that adds the embeddings.
    """

    store: Store
    name: str
    steps: dict[str, Any]
    output_steps: tuple[str, ...]
    embedding_step: str

    @cached_property
    def parts(self) -> list[int]:
        """Numbers of the parts with embeddings, in order."""
        return parts_of(self.store, self._folder(self.embedding_step))

    @cached_property
    def digest(self) -> str:
        """Digest of the released clips and their embeddings: SHA-256 over the manifests of their tables."""
        digest = hashlib.sha256(self.name.encode())
        for step in (self.embedding_step, *self.output_steps):
            manifest = read_manifest(self.store, self._folder(step))
            digest.update(json.dumps([part.sha256 for part in manifest.parts] if manifest else []).encode())
        return digest.hexdigest()

    @cached_property
    def rows(self) -> int:
        """Number of embedded clips: at least the number of released clips."""
        manifest = read_manifest(self.store, self._folder(self.embedding_step))
        return manifest.row_counts.rows_out if manifest else 0

    def read(self, number: int) -> "pa.Table":
        """The released clips of a part. An id is the release name, a space, and the id there."""
        import pyarrow.compute as pc

        name = f"{self._folder(self.embedding_step)}/{part_name(number)}"
        rows = read_part(self.store, name, ["id", *_COLUMNS])
        for step in self.output_steps:
            rows = self._passed(rows, step, number)
        ids = pc.binary_join_element_wise(self.name, rows["id"], " ")
        return rows.select(_COLUMNS).append_column("id", ids)

    def _passed(self, rows: "pa.Table", step: str, number: int) -> "pa.Table":
        """The rows that passed a step and all steps before it."""
        import pyarrow as pa
        import pyarrow.compute as pc

        folder = self._folder(step)
        name = f"{folder}/{part_name(number)}"
        ids = read_part(self.store, name, ["id"])["id"].combine_chunks()
        if self.steps[step]["kind"] != "drops":
            return rows.filter(pc.is_in(rows["id"], value_set=ids))
        rejects = read_row_counts(self.store, name).rejects
        if rejects:
            rejected = read_part(self.store, f"{folder}/{rejects}", ["id"])["id"].combine_chunks()
            ids = pa.concat_arrays([ids, rejected])
        kept = rows.filter(pc.invert(pc.is_in(rows["id"], value_set=ids)))
        for previous in self.steps[step]["inputs"]:
            kept = self._passed(kept, previous, number)
        return kept

    def _folder(self, step: str) -> str:
        return str(self.steps[step]["folder"])


def read_release(url: str) -> Release:
    """The newest finished run of a store.

    Args:
        url: a folder or URL of a store.

    Raises:
        CannotCompare: no run has finished, or none has output clips with embeddings.
        OlderFormat, NewerFormat: another version of clipmill wrote the store.
    """
    store = open_checked_store(url)
    for run in sorted(store.names(RUNS), reverse=True):
        if _read_json(store, f"{RUNS}/{run}/timings.json").get("state") != "done":
            continue
        plan = _read_json(store, f"{RUNS}/{run}/plan.json")
        steps = {step["name"]: step for step in plan["steps"]}
        embedding = [s for s in plan["steps"] if {c["name"] for c in s["columns"]} >= set(_COLUMNS)]
        outputs = [
            names
            for names in plan["outputs"].values()
            if embedding and steps[names[0]]["base"] == embedding[-1]["base"]
        ]
        if outputs:
            return Release(store, run, steps, tuple(outputs[0]), embedding[-1]["name"])
    raise CannotCompare(
        "no finished run of this store has output clips with embeddings",
        where=store.url,
        remedy="name the store of an earlier run whose recipe embeds its clips as this one does",
    )


def _read_json(store: Store, name: str) -> Any:
    """The content of a JSON file; {} if there is none."""
    try:
        return json.loads(store.read(name))
    except FileNotFoundError:
        return {}
