"""Computes keys of nodes: equal content keys mean equal columns per row, equal run keys mean equal tables.

content  Determines the columns of a row: the stage, its version and settings, its weights, the columns it
         adds, and the content keys of the columns it reads. Independent of the rules before the node.
run      Also determines which rows exist: the content key and the run keys of all inputs.

A column whose value is determined by the id of its row (`column(…, by_id=True)`) contributes only its name to
the content keys of its readers, because its value is the same for every stage that finds the row. A changed
shot threshold therefore creates other clips, but measurements of a clip that is found again stay valid. The
ids of a source are derived from content, so its columns are determined by the id for all of its settings,
except those for which it returns a digest of their values (`Source.column_digests`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from manifests.identity import digest_of
from manifests.row import Row
from manifests.schema import schema_of
from pipeline.dag import Dag, Node, Work
from pipeline.errors import PlanError
from pipeline.grouped import is_made_again
from pipeline.recipes.discovery import setting_types
from pipeline.recipes.values import ValueMismatch, convert_value, is_plain
from pipeline.rule import Keep
from pipeline.stage import Compare, Launch, Source, Stage, Survey

SHORT = 10  # hex digits of a key in a folder name; the manifest holds the full key


@dataclass(frozen=True)
class Keys:
    """The keys of a node, as hex digests, and the digest of its stage.

    Attributes:
        columns: Content keys of single columns, where they differ from that of the node.
    """

    run: str
    content: str
    digest: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)

    def folder(self, name: str) -> str:
        """Return the name of the node's folder, which contains both keys."""
        return f"{name}-{self.run[:SHORT]}-{self.content[:SHORT]}"


def compute_keys(dag: Dag, retried: Collection[str] = ()) -> dict[str, Keys]:
    """Return the keys of every node, in the order of the DAG.

    Args:
        dag: The DAG.
        retried: Run keys of tables that are replaced by another table with the same content key, because a
            stage failed on some of their rows.

    Raises:
        PlanError: A step reads a later step, so the steps form a cycle.
    """
    found: dict[str, Keys] = {}
    for name, node in dag.nodes.items():
        late = [i for i in node.inputs if i not in found]
        if late:
            raise PlanError(
                f"step {name!r} reads {', '.join(late)}, which depends on it: the steps form a cycle"
            )
        keys = _keys_of_node(dag, node, found)
        while keys.run in retried:
            keys = replace(keys, run=digest_of("again", keys.run))
        found[name] = keys
    return found


def columns_read(dag: Dag, node: Node) -> tuple[str, ...]:
    """Return the columns that a node reads; optional columns only if an earlier step adds them."""
    if isinstance(node.work, Keep):
        return node.work.columns
    if isinstance(node.work, Source):
        return ()
    reads = node.work.reads
    missing = reads.optional_names() - set(dag.available_columns(node.name)) if reads.optional_names() else ()
    return tuple(name for name in reads.names() if name not in missing)


def made_by(node: Node, digest: str = "") -> dict[str, Any]:
    """Return the provenance of a node's table, as plain values for its manifest."""
    if isinstance(node.work, Keep):
        rule = {"keep": node.work.where, "because": node.work.because}
        return rule | ({"across": node.work.across, "when": node.work.when} if node.work.across else {})
    stage_class = type(node.work)
    return {
        "stage": f"{stage_class.__module__}:{stage_class.__qualname__}",
        "version": stage_class.version,
        "settings": hashed_settings(node.work),
        "digest": digest,
    }


def hashed_settings(stage: Stage[Any, Any]) -> dict[str, Any]:
    """Return the settings that determine the result, as their declared types: 1 for a float becomes 1.0.

    Raises:
        PlanError: A setting does not have its declared type, or is out of its range.
    """
    types, found = setting_types(type(stage)), {}
    for name, value in stage.settings().items():
        try:
            converted = convert_value(value, types[name]) if is_plain(types[name]) else value
        except ValueMismatch as mismatch:
            raise PlanError(f"setting {name} of {type(stage).__name__}: {mismatch}") from None
        if name not in stage.execution_settings:
            found[name] = converted
    return found


def _keys_of_node(dag: Dag, node: Node, found: Mapping[str, Keys]) -> Keys:
    inputs = sorted(found[i].run for i in node.inputs)
    if isinstance(node.work, Source):
        stage_class = type(node.work)
        name = f"{stage_class.__module__}:{stage_class.__qualname__}"
        content = digest_of("source", name, stage_class.version, _described(node.work.adds))
        settings = hashed_settings(node.work)
        digest = node.work.digest()
        run = digest_of(content, settings, digest, node.rows_per_part)
        by_id = digest_of("source", name, stage_class.version, _described(stage_class.adds))
        columns_of = dict.fromkeys(stage_class.adds.names(), by_id) | dict(node.work.column_digests())
        return Keys(run, content, digest, columns_of)
    columns = {} if not node.inputs else _columns(dag, node, found)
    digest = node.work.digest() if isinstance(node.work, Stage) else ""
    provenance = made_by(node, digest)
    if isinstance(node.work, Survey | Compare | Launch) or is_made_again(node.work):
        provenance = {**provenance, "rows": inputs}
    content = digest_of("node", provenance, columns, _adds(node.work))
    return Keys(digest_of(content, inputs), content, digest)


def _columns(dag: Dag, node: Node, found: Mapping[str, Keys]) -> dict[str, str]:
    """Return the content key of each column that a node reads, or "by id"."""
    origins = dag.available_columns(node.name)
    return {
        name: "by id" if origins[name].by_id else _column_key(name, found[origins[name].node])
        for name in columns_read(dag, node)
    }


def _column_key(name: str, keys: Keys) -> str:
    return keys.columns.get(name, keys.content)


def _adds(work: Work) -> list[str]:
    """Describe the columns that a node adds, because other columns make another table."""
    if isinstance(work, Keep):
        return []
    return _described(work.adds)


def _described(adds: type[Row]) -> list[str]:
    keys = adds.key_names()
    return [f"{f.name} {f.type} {f.nullable} {f.name in keys}" for f in schema_of(adds)]
