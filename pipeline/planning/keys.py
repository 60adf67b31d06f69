"""The keys of a node. Equal content keys mean equal columns for a row; equal run keys, equal tables.

content  what decides the columns a row gets: the stage, its version and settings, its weights, the
         columns it adds, and the content of those it reads. Not which rules stood before it.
run      what decides which rows are there as well: the content, and the run keys of all inputs.

A column whose value follows from the row's id (`column(…, by_id=True)`) adds only its name to the
content of those who read it: it is the same whoever found the row. So a changed shot threshold makes other
clips, but whatever was measured on a clip that is found again stays valid. The ids of a source are
made from content, so its columns follow from the id whatever its settings select.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from manifests.identity import digest_of
from manifests.predicate import names_in
from manifests.schema import schema_of
from pipeline.dag import Dag, Keep, Node, Work
from pipeline.errors import PlanError
from pipeline.recipes.discovery import settings_of
from pipeline.recipes.values import Misfit, fit, is_plain
from pipeline.stage import Compare, Launch, Source, Stage, Survey

SHORT = 10  # hex digits of a key in a folder's name; the whole key stands in the manifest


@dataclass(frozen=True)
class Keys:
    run: str
    content: str

    def folder(self, name: str) -> str:
        """The name of the node's folder, which carries both keys."""
        return f"{name}-{self.run[:SHORT]}-{self.content[:SHORT]}"


def keys_of(dag: Dag, retried: Collection[str] = ()) -> dict[str, Keys]:
    """The keys of every node, in the DAG's order.

    Args:
        retried: run keys of tables that were given up, because a stage failed on some of their rows, for
            another with the same content.

    Raises:
        PlanError: a step reads one that comes later, which is to say that there is a circle.
    """
    found: dict[str, Keys] = {}
    for name, node in dag.nodes.items():
        late = [i for i in node.inputs if i not in found]
        if late:
            raise PlanError(f"step {name!r} reads {', '.join(late)}, which depends on it: a circle")
        keys = _keys(dag, node, found)
        while keys.run in retried:
            keys = Keys(digest_of("again", keys.run), keys.content)
        found[name] = keys
    return found


def reads_of(dag: Dag, node: Node) -> tuple[str, ...]:
    """The columns a node reads: of those that it may do without, the ones at hand."""
    if isinstance(node.work, Keep):
        return tuple(dict.fromkeys(names_in(node.work.where)))
    if isinstance(node.work, Source):
        return ()
    reads = node.work.reads
    lacking = reads.optional_names() - set(dag.columns_at(node.name)) if reads.optional_names() else ()
    return tuple(name for name in reads.names() if name not in lacking)


def made_by(node: Node, digest: str = "") -> dict[str, Any]:
    """What made a node's table, as plain values for its manifest."""
    if isinstance(node.work, Keep):
        return {"keep": node.work.where, "because": node.work.because}
    kind = type(node.work)
    return {
        "stage": f"{kind.__module__}:{kind.__qualname__}",
        "version": kind.version,
        "settings": hashed_settings(node.work),
        "digest": digest,
    }


def hashed_settings(stage: Stage[Any, Any]) -> dict[str, Any]:
    """The settings that decide the result, as their declared types: 1 for a float is 1.0.

    Raises:
        PlanError: a setting is not of its declared type.
    """
    kinds, found = settings_of(type(stage)), {}
    for name, value in stage.settings().items():
        if name not in stage.place:
            try:
                found[name] = fit(value, kinds[name]) if is_plain(kinds[name]) else value
            except Misfit as misfit:
                raise PlanError(f"setting {name} of {type(stage).__name__}: {misfit}") from None
    return found


def _keys(dag: Dag, node: Node, found: Mapping[str, Keys]) -> Keys:
    inputs = sorted(found[i].run for i in node.inputs)
    if isinstance(node.work, Source):
        kind = type(node.work)
        name = f"{kind.__module__}:{kind.__qualname__}"
        content = digest_of("source", name, kind.version, _adds(node.work))
        settings = hashed_settings(node.work)
        return Keys(digest_of(content, settings, node.work.digest(), node.rows_per_part), content)
    columns = {} if not node.inputs else _columns(dag, node, found)
    digest = node.work.digest() if isinstance(node.work, Stage) else ""
    what = made_by(node, digest)
    if isinstance(node.work, Survey | Compare | Launch):
        what = {**what, "rows": inputs}
    content = digest_of("node", what, columns, _adds(node.work))
    return Keys(digest_of(content, inputs), content)


def _columns(dag: Dag, node: Node, found: Mapping[str, Keys]) -> dict[str, str]:
    """What the content of each column read is made of."""
    authors = dag.columns_at(node.name)
    return {
        name: "by id" if authors[name].by_id else found[authors[name].node].content
        for name in reads_of(dag, node)
    }


def _adds(work: Work) -> list[str]:
    """The columns a node adds, with their types: a stage that adds another column makes another table."""
    if isinstance(work, Keep):
        return []
    keys = work.adds.key_names()
    return [f"{f.name} {f.type} {f.nullable} {f.name in keys}" for f in schema_of(work.adds)]
