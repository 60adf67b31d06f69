"""Trying: what a changed knob would do to the rows of a finished run, from what stands. Nothing is written.

The run's tables say what became of each row. The recipe with the changed knob is looked at part by
part: rules are decided in memory, and stages that work from the store alone are asked in this
process, and so are comparisons of few rows. A row of which a dearer stage would have to be asked first is
open.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.store import Store
from manifests.table import RowCounts, part_name, read_part
from pipeline.dag import Keep
from pipeline.engine.steps import compare
from pipeline.errors import PipelineError
from pipeline.history.record import DONE, read_json
from pipeline.history.run_history import Past, read_past, runs_of
from pipeline.planning.plan import Plan, Step, plan_of
from pipeline.preview.borderline import Before, Border, Fate, border_of, shown_columns
from pipeline.preview.decisions import Sight
from pipeline.preview.forecast import Ahead, foresee
from pipeline.recipes.recipe import load_recipe, turn
from pipeline.recipes.request import HIDDEN, RunRequest
from pipeline.stage import Compare

KEPT, ABSENT = ("kept", ""), ("absent", "")
_PAIR = 1 << 16  # more than there are fates


@dataclass
class Tried:
    """One table of rows, before and after.

    Attributes:
        moves: how many rows had one fate and have another, or the same. A fate is ("kept", ""),
            ("dropped" or "rejected", step), ("open", the step to be run first), ("absent", ""), or ("kept",
            step): no rule is left to decide, but that step is to be run, and it may reject the row.
        lacking: rows before it would have to be expanded first, so that not all of its rows are known.
    """

    base: str
    moves: Counter[tuple[Fate, Fate]] = field(default_factory=Counter)
    borders: list[Border] = field(default_factory=list)
    lacking: bool = False

    def sums(self, side: int) -> Counter[Fate]:
        """Rows of each fate: before (0) or after (1)."""
        found: Counter[Fate] = Counter()
        for fates, count in self.moves.items():
            if fates[side] != ABSENT:
                found[fates[side]] += count
        return found

    def moved(self) -> list[tuple[tuple[Fate, Fate], int]]:
        """The moves from one fate to another, the largest first; who is kept, and is still, does not move."""
        moves = self.moves.most_common()
        return [((one, two), n) for (one, two), n in moves if one != two and {one[0], two[0]} != {"kept"}]


@dataclass
class Trial:
    """What was tried.

    Attributes:
        run: the run it is compared with.
        knobs: the changed knobs with their values before and now.
        tables: the tables of rows in which something may change.
        aheads: what a run would do, as `plan` says.
    """

    run: str
    knobs: Mapping[str, tuple[Any, Any]]
    tables: list[Tried]
    aheads: list[Ahead]


def try_out(store: Store, asked: RunRequest, run: str = "", examples: int = 3) -> Trial:
    """Look at what the knobs of `asked` would change in the newest finished run of its recipe.

    Knobs that are not named are as that run had them.

    Raises:
        PipelineError: there is no finished run of the recipe whose source lists the same rows.
    """
    past, plan, knobs = _compared(store, asked, run)
    look = _Look(plan, past, examples)
    aheads = foresee(plan, look)
    return Trial(past.run, knobs, list(look.tables.values()), aheads)


def _compared(store: Store, asked: RunRequest, run: str) -> tuple[Past, Plan, dict[str, tuple[Any, Any]]]:
    """The run to compare with, the plan to try, and the knobs in which they differ."""
    recipe = load_recipe(asked.recipe)
    name = Path(asked.recipe).name
    for candidate in [run] if run else reversed(runs_of(store)):
        said = read_json(store, candidate, "asked.json")
        done = read_json(store, candidate, "timings.json").get("state") == DONE
        if not done or Path(str(said.get("recipe", ""))).name != name:
            continue
        had = {k: v for k, v in said["knobs"].items() if k in recipe.names() and v != HIDDEN}
        plan = plan_of(turn(recipe, {**had, **asked.knobs}), store, "try")
        past = read_past(store, candidate)
        if all(step.name in past.steps and past[step.name].folder == step.folder for step in _sources(plan)):
            values = {k: (k.read(had[k.name]) if k.name in had else k.default) for k in recipe.knobs}
            turned = {k: (old, k.read(asked.knobs.get(k.name, old))) for k, old in values.items()}
            return past, plan, {k.name: pair for k, pair in turned.items() if pair[0] != pair[1]}
    raise PipelineError(
        f"no finished run of {name} over the same rows is there to compare with",
        where=store.url,
        remedy="run it first: clipmill run; where its source lists other rows by now, run that",
    )


def _sources(plan: Plan) -> list[Step]:
    return [step for step in plan if step.kind == "source"]


class _Look:
    """Looks at each part number, and counts what becomes of its rows."""

    def __init__(self, plan: Plan, past: Past, examples: int) -> None:
        self.plan, self.past, self.examples = plan, past, examples
        self.fates: list[Fate] = [KEPT, ABSENT]
        self.also = frozenset(shown_columns(plan))
        self.row_counts: dict[str, dict[int, RowCounts]] = {
            step.name: past.row_counts(step.name) for step in past
        }
        self.small = frozenset(step.name for step in plan if self._is_small(step))
        self.compared: dict[str, list[pa.Table] | None] = {}
        self.tables = {
            base.name: Tried(base.name, borders=self._borders(base))
            for base in plan
            if base.base == base.name and base.kind != "model" and base.name in past.steps and self._new(base)
        }

    def __call__(self, root: str, number: int) -> Sight:
        sight = self._sight(number)
        for name, tried in self.tables.items():
            if self.plan[name].root == root and number in self.row_counts[name]:
                self._compare(sight, self.plan[name], tried)
        return sight

    def _sight(self, number: int) -> Sight:
        return Sight(
            self.plan, number, True, self.also, self._known, compared=self._comparison, small=self.small
        )

    def _is_small(self, step: Step) -> bool:
        """Whether it is a comparison that was quickly done in the run."""
        work, row_counts = step.node.work, self.row_counts.get(step.name, {}).values()
        return isinstance(work, Compare) and 0 < sum(of.rows_in for of in row_counts) <= work.quick_rows

    def _comparison(self, step: Step, number: int) -> pa.Table | None:
        """What a comparison says of a part, from the rows of all parts; None where these are not known."""
        if step.name not in self.compared:
            self.compared[step.name] = None
            inputs = [self._sight(part).input(step) for part in sorted(self.row_counts[step.root])]
            known = [rows for rows in inputs if rows is not None]
            count, stage = sum(rows.num_rows for rows in known), step.stage
            assert isinstance(stage, Compare)
            if len(known) == len(inputs) and (stage.from_store or count <= stage.quick_rows):
                self.compared[step.name] = compare.in_memory(step, known)
        found = self.compared[step.name]
        return None if found is None else found[number]

    def _works_on(self, base: Step) -> list[Step]:
        """The steps that rows of `base` come to, in order."""
        return [s for s in self.plan if s.node.inputs and self.plan[s.node.inputs[0]].base == base.name]

    def _new(self, base: Step) -> bool:
        """Whether a step that its rows go through differs from the run's, so that they may fare otherwise."""
        steps = [base, *(step for step in self._works_on(base) if step.kind != "model")]
        had = {base.name, *(step.name for step in self.past.works_on(base.name) if step.kind != "model")}
        changed = any(s.folder != self.past[s.name].folder for s in steps if s.name in had)
        return changed or had != {step.name for step in steps}

    def _borders(self, base: Step) -> list[Border]:
        """The rules that are not as they were."""
        found = []
        for step in self._works_on(base):
            was = self.past[step.name].rule if step.name in self.past.steps else ""
            if isinstance(step.node.work, Keep) and step.node.work.where != was:
                found.append(border_of(step, step.node.work.where, was))
        return found

    def _compare(self, sight: Sight, base: Step, tried: Tried) -> None:
        before = self._before(base, sight.number)
        ids, codes = self._after(sight, base)
        tried.lacking = tried.lacking or sight.left(base).kept.lacking
        if ids.equals(before.ids):
            pairs = [pc.add(pc.multiply(before.codes, _PAIR), codes)]
        else:
            absent = self._code(("open", base.name) if sight.left(base).kept.lacking else ABSENT)
            were = pc.fill_null(before.codes.take(pc.index_in(ids, value_set=before.ids)), self._code(ABSENT))
            gone = before.codes.filter(pc.invert(pc.is_in(before.ids, value_set=ids)))
            pairs = [pc.add(pc.multiply(were, _PAIR), codes), pc.add(pc.multiply(gone, _PAIR), absent)]
        for pair in pc.value_counts(pa.chunked_array(pairs, pa.int64())).to_pylist():
            one, two = divmod(pair["values"], _PAIR)
            tried.moves[self.fates[one], self.fates[two]] += pair["counts"]
        for border in tried.borders:
            border.look(sight, self.plan[border.step], self.examples, before)

    def _before(self, base: Step, number: int) -> Before:
        """What became of the rows of a part in the run."""
        past = self.past
        ids = read_part(past.store, f"{past[base.name].folder}/{part_name(number)}", ["id"])["id"]
        gone: list[tuple[Fate, pa.Array]] = []
        for step in past.works_on(base.name):
            row_counts = self.row_counts[step.name].get(number, RowCounts())
            if step.kind != "model" and (row_counts.dropped or row_counts.rejected):
                dropped, rejected = past.gone(step.name, number, row_counts)
                gone += [(("dropped", step.name), pa.array(dropped, pa.string()))]
                gone += [(("rejected", step.name), pa.array(rejected, pa.string()))]
        whole = ids.combine_chunks()
        return Before(whole, self._coded(whole, gone), self.fates)

    def _after(self, sight: Sight, base: Step) -> tuple[pa.Array, pa.Array]:
        """The rows of a part as they would be, and what would become of them.

        One that is open and that a later rule takes out anyway is taken out, though the open step may
        come to refuse it first.
        """
        gone: list[tuple[Fate, pa.Array]] = []
        unknown: list[tuple[Fate, pa.Array]] = []
        steps = self._works_on(base)
        rules = [at for at, step in enumerate(steps) if step.kind == "drops"]
        for at, step in enumerate(steps):
            if step.kind != "model":
                left = sight.left(step)
                gone += [(("dropped", step.name), left.dropped), (("rejected", step.name), left.rejected)]
                fate = "open" if step.kind == "children" or at <= max(rules, default=-1) else "kept"
                unknown += [((fate, step.name), left.open)]
        ids = sight.left(base).kept.ids
        return ids, self._coded(ids, [*gone, *unknown])

    def _coded(self, ids: pa.Array, gone: Sequence[tuple[Fate, pa.Array]]) -> pa.Array:
        """The fate of each row as a number: the first that names it."""
        codes = pa.repeat(pa.scalar(0, pa.int64()), len(ids))
        for fate, some in gone:
            if len(some):
                hit = pc.and_(pc.equal(codes, 0), pc.is_in(ids, value_set=some))
                codes = pc.if_else(hit, self._code(fate), codes)
        return codes

    def _code(self, fate: Fate) -> int:
        if fate not in self.fates:
            self.fates.append(fate)
        return self.fates.index(fate)

    def _known(self, step: Step, number: int) -> tuple[pa.Array, pa.Array]:
        """The rows that a stage with the same content refused in the run, and those it let pass."""
        nothing = pa.array([], pa.string())
        if step.name not in self.past.steps or self.past[step.name].keys["content"] != step.keys.content:
            return nothing, nothing
        row_counts = self.row_counts[step.name].get(number, RowCounts())
        refused = pa.array(self.past.gone(step.name, number, row_counts)[1], pa.string())
        if step.kind != "children":
            return refused, nothing
        before = self._before(self.plan[step.parents], number)
        return refused, before.ids.filter(pc.equal(before.codes, 0))
