"""Notices that the code of a stage changed since the results in the store were made, under the same version.

STORE/accepted_code/CONTENTKEY-DIGEST   an empty file: these results hold for this code too

The header of each table states the digest of the code that made its rows (`extra.code`). Rows of a layer or
of children can be copied from earlier tables with the same content key; the header has their codes as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from manifests.manifest import read_header
from pipeline.engine.steps.reuse import matching_tables
from pipeline.planning.plan import Plan, Step
from pipeline.planning.source_code import code_digest
from pipeline.stage import Stage

ACCEPTED = "accepted_code"  # folder of the store


@dataclass(frozen=True)
class ChangedCode:
    """A step whose stage has other code than the one that made its results.

    Attributes:
        step: Name of the step.
        stage: Name of the stage class.
        version: Its version, which the results have too.
        mark: Name of the file that accepts the code.
    """

    step: str
    stage: str
    version: int
    mark: str

    def __str__(self) -> str:
        return (
            f"the code of {self.stage} changed since results of {self.step} were made, and its version is "
            f"still {self.version}: raise the version to compute them again, or run with --accept-code "
            "to use them"
        )


def changed_code(plan: Plan, *, accept: bool = False) -> list[ChangedCode]:
    """The steps of a plan that would use results of other code. Reads the headers of tables, and no rows.

    Args:
        plan: The plan.
        accept: Record that the results hold for the code of today, and return no step.
    """
    accepted = set(plan.store.names(ACCEPTED))
    found = []
    for step in plan:
        if not isinstance(step.node.work, Stage):
            continue
        stage_class = type(step.node.work)
        now = code_digest(stage_class)
        mark = f"{step.keys.content}-{now[:20]}"
        if now and mark not in accepted and _recorded(plan, step) - {now}:
            name = stage_class.__name__
            found.append(ChangedCode(step.name, name, stage_class.version, f"{ACCEPTED}/{mark}"))
    for change in found if accept else ():
        plan.store.create(change.mark, b"")
    return [] if accept else found


def recorded_code(plan: Plan, step: Step) -> Mapping[str, Any]:
    """What the header of a new table states: the digests of the codes that make or made its rows."""
    if not isinstance(step.node.work, Stage):
        return {}
    now = code_digest(type(step.node.work))
    codes = _recorded(plan, step) | ({now} if now else set())
    return {"code": sorted(codes)} if codes else {}


def _recorded(plan: Plan, step: Step) -> set[str]:
    """The codes that made the rows of the step's table, and of the tables from which it copies rows."""
    copies = step.kind in ("layer", "children")
    folders = [step.folder, *(matching_tables(plan, step) if copies else ())]
    headers = [read_header(plan.store, folder) for folder in folders]
    return {code for header in headers if header for code in header.extra.get("code", ())}
