"""The rows that a source would list now, for a forecast: nothing is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from manifests.errors import ClipmillError
from manifests.schema import ARTIFACT, record_of, table_of
from manifests.store import Store
from manifests.table import part_name, parts_of, read_part
from pipeline.planning.part_sizes import split_into_parts
from pipeline.planning.plan import Step
from pipeline.preview.decisions import PartDecisions, StepInput, StepOutcome
from pipeline.stage import Source


@dataclass
class ListedPart(PartDecisions):
    """Decisions for a part whose source is listed, but not written.

    Attributes:
        listed: The rows of this part by the name of their source.
    """

    listed: Mapping[str, pa.Table] = field(default_factory=dict)

    def _compute_outcome(self, step: Step) -> StepOutcome:
        if step.name in self.listed:
            return StepOutcome(StepInput(self.listed[step.name].column("id").combine_chunks()))
        return super()._compute_outcome(step)

    def _known_rows(self, step: Step) -> pa.Table | None:
        if step.name in self.listed:
            columns = [name for name in step.schema.names if name in self._needed_columns(step)]
            return self.listed[step.name].select(columns)
        return super()._known_rows(step)


def list_parts(step: Step) -> list[pa.Table] | None:
    """The parts that a source would write now; None if they are known only when it runs.

    Raises:
        ClipmillError: the source cannot list its rows.
    """
    stage = step.node.work
    if not isinstance(stage, Source) or any(kind == ARTIFACT for kind in step.schema.types):
        return None
    parts = []
    try:
        for rows in split_into_parts(stage.rows(), step.node.rows_per_part):
            parts.append(table_of([record_of(row) for row in rows], step.schema))
    except ClipmillError:
        raise
    except Exception:  # the run reports it, with its place in the stage
        return None
    return parts


def ids_listed_before(store: Store, step: Step) -> set[str]:
    """The ids in all tables that a source of this name wrote in a store."""
    folders = [name for name in store.names() if name.startswith(f"{step.name}-")]
    return {
        row
        for folder in folders
        for number in parts_of(store, folder)
        for row in read_part(store, f"{folder}/{part_name(number)}", ["id"]).column("id").to_pylist()
    }
