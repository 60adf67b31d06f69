"""A DAG as YAML and back: the same value, for the record of a run and for those who write no Python.

    dag: curate
    knobs:                          # optional; null: must be given
      footage: null
      stillness: 0.4
    steps:
      list_videos:
        stage: ListVideos           # or stages.ingest.list_videos:ListVideos
        with: {root: "${footage}"}
        rows_per_part: 16
      hardly_moves:
        from: measure_motion        # one step, or a list: rows that came through all of them
        keep: motion_mean > ${stillness}
        because: hardly moves
    save:
      clips: hardly_moves

A value that is one `${knob}` gets the knob's own type; `$${` stands for `${`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, get_type_hints

import yaml

from manifests.errors import ClipmillError
from manifests.wording import listed, nearest
from pipeline.dag import Dag, Keep, Node, Rows, usual_needs
from pipeline.errors import RecipeError
from pipeline.needs import Needs
from pipeline.recipes.discovery import known_stages as known_stages
from pipeline.recipes.discovery import required_of, settings_of, stage_at
from pipeline.recipes.json_schema import json_schema as json_schema
from pipeline.recipes.references import escaped, filled
from pipeline.recipes.request import hidden
from pipeline.recipes.yaml_positions import Dumper, Item, marked
from pipeline.stage import Placed, Source, Stage

PACKAGES = ("stages",)  # the packages whose stages YAML may name
_TOP = ("dag", "knobs", "steps", "save")
_STAGE = ("from", "stage", "with", "needs", "rows_per_part")
_KEEP = ("from", "keep", "because", "needs")
_KNOB = (str, int, float, bool, type(None))


def to_yaml(dag: Dag, *, hide: bool = False) -> str:
    """Steps in order, then outputs. Reading it back gives an equal DAG with equal keys.

    With `hide`, as it is recorded: without the values of settings that a stage keeps `hidden`.
    """
    steps = {name: _step_text(node, hide) for name, node in dag.nodes.items()}
    save = {name: _names_text(rows.heads) for name, rows in dag.outputs.items()}
    text = {"dag": escaped(dag.name), "steps": steps, "save": save}
    return yaml.dump(text, Dumper=_Writer, sort_keys=False, width=110, allow_unicode=True)


def knobs_in(text: str, where: str) -> dict[str, Any]:
    """The knobs that a YAML recipe declares, with their defaults; None for those to be given.

    Raises:
        RecipeError: the text is not YAML, or a default is not a plain value.
    """
    top = marked(text, where).mapping("a recipe", _TOP, ("dag", "steps"))
    if "knobs" not in top:
        return {}
    for name, item in top["knobs"].mapping("knobs").items():
        if not name.isidentifier():
            top["knobs"].keys()[name].fail(f"{name!r} cannot be the name of a knob")
        if type(item.value) not in _KNOB:
            item.fail(f"the default of knob {name} is one value: text, a number, true or false, or null")
    found: dict[str, Any] = top["knobs"].plain()
    return found


def from_yaml(
    text: str,
    where: str = "the text",
    knobs: Mapping[str, Any] | None = None,
    packages: Sequence[str] = PACKAGES,
) -> Dag:
    """Read a DAG; everything is checked as in Python.

    Args:
        where: the name of the file, for errors.
        knobs: values for `${…}`; those not named here keep their defaults.
        packages: the packages whose stages may be named; no other code can be reached.

    Raises:
        RecipeError: a key, a setting, a step or a stage is unknown or of another type, steps form a
            circle, or the text is not YAML. It names the line, and the nearest known name.
        ClipmillError: the DAG cannot work; the line stands under `where`.
    """
    turned = {**knobs_in(text, where), **(knobs or {})}
    lacking = [name for name, value in turned.items() if value is None]
    if lacking:
        raise RecipeError(f"knob {lacking[0]} is not given", where=where, remedy=f"add {lacking[0]}=…")
    top = {key: filled(item, turned) for key, item in marked(text, where).mapping("a recipe", _TOP).items()}
    dag = Dag(top["dag"].read(str, "dag"))
    steps = top["steps"].mapping("steps")
    _check_order(steps, top["steps"].keys())
    for name, step in steps.items():
        try:
            _add(dag, name, step, packages)
        except RecipeError:
            raise
        except ClipmillError as error:
            raise _placed(error, top["steps"].keys()[name]) from error
    for name, item in top["save"].mapping("save").items() if "save" in top else ():
        heads = _names(item, dag.nodes, "output")
        if not heads:
            item.fail(f"output {name} names no step")
        try:
            dag.save(_rows(dag, heads), name)
        except ClipmillError as error:
            raise _placed(error, item) from error
    return dag


def _add(dag: Dag, name: str, step: Item, packages: Sequence[str]) -> None:
    keys = step.mapping(f"step {name}")
    if not {"stage", "keep"} & set(keys):
        step.mapping(f"step {name}", (*_STAGE, *_KEEP))
        step.fail(f"step {name} says neither `stage` nor `keep`")
    inputs = tuple(dag.views[i] for i in _from(keys, dag.nodes))
    if "keep" in keys:
        step.mapping(f"rule {name}", _KEEP, ("from", "because"))
        rule = Keep(keys["keep"].read(str, "keep"), keys["because"].read(str, "because"))
        dag.add(rule, inputs, name=name, needs=_needs(keys, usual_needs(rule)))
        return
    stage = _stage(keys, step, name, packages)
    allowed = [key for key in _STAGE if key != ("from" if isinstance(stage, Source) else "rows_per_part")]
    step.mapping(f"step {name}", allowed)
    needs = _needs(keys, stage.needs)
    if not isinstance(stage, Source):
        dag.add(stage, inputs, name=name, needs=needs)
    elif "rows_per_part" in keys:
        size = keys["rows_per_part"].read(int, "rows_per_part")
        dag.read(Placed(stage, needs, name), rows_per_part=size)
    else:
        dag.read(Placed(stage, needs, name))


def _stage(keys: Mapping[str, Item], step: Item, name: str, packages: Sequence[str]) -> Stage[Any, Any]:
    try:
        kind = stage_at(keys["stage"].read(str, "stage"), packages)
    except RecipeError as error:
        if error.where:
            raise
        keys["stage"].fail(error.what, error.remedy)
    settings = settings_of(kind)
    given = {}
    if "with" in keys:
        if not settings:
            keys["with"].fail(f"{kind.__name__} has no settings")
        given = keys["with"].mapping(f"the settings of {kind.__name__}", settings)
    lacking = [n for n in required_of(kind) if n not in given]
    if lacking:
        step.fail(
            f"{kind.__name__} needs {listed(lacking)}", f"add `with: {{{lacking[0]}: …}}` to step {name}"
        )
    values = {n: item.read(settings[n], f"setting {n} of {kind.__name__}") for n, item in given.items()}
    try:
        return kind(**values)
    except (ValueError, TypeError) as error:
        keys.get("with", step).fail(f"{kind.__name__} does not take these settings: {error}")


def _needs(keys: Mapping[str, Item], usual: Needs) -> Needs:
    if "needs" not in keys:
        return usual
    kinds = get_type_hints(Needs)
    given = keys["needs"].mapping("needs", kinds)
    try:
        return replace(usual, **{n: item.read(kinds[n], n) for n, item in given.items()})
    except ValueError as error:
        keys["needs"].fail(str(error))


def _check_order(steps: Mapping[str, Item], places: Mapping[str, Item]) -> None:
    """Every step reads earlier ones only.

    Raises:
        RecipeError: a step is unknown, comes later, or there is a circle; it names the circle.
    """
    before = {name: _from(step.mapping(f"step {name}"), steps) for name, step in steps.items()}
    for name in steps:
        circle = _circle(before, name)
        if circle:
            places[name].fail(
                f"the steps form a circle: {' → '.join(circle)}", "let one of them read another"
            )
    seen: set[str] = set()
    for name, inputs in before.items():
        for late in inputs:
            if late not in seen:
                places[name].fail(f"step {name} reads {late}, which comes later", f"move {late} above {name}")
        seen.add(name)


def _circle(before: Mapping[str, Sequence[str]], start: str) -> list[str]:
    """The shortest way from a step back to itself, or []."""
    ways, seen = [[start]], set[str]()
    for way in ways:
        for name in before[way[-1]]:
            if name == start:
                return [*way, start][::-1]
            if name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []


def _from(keys: Mapping[str, Item], known: Mapping[str, object]) -> tuple[str, ...]:
    return _names(keys["from"], known, "`from`") if "from" in keys else ()


def _names(item: Item, known: Mapping[str, object], what: str) -> tuple[str, ...]:
    """The step names in a value: one, or a list."""
    parts = item.value if isinstance(item.value, list) else [item]
    for part in parts:
        name = part.read(str, what)
        if name not in known:
            hint = nearest(name, known)
            remedy = f"did you mean {hint!r}? " if hint else ""
            part.fail(f"there is no step {name!r}", f"{remedy}the steps: {listed(known)}")
    return tuple(part.value for part in parts)


def _rows(dag: Dag, heads: Sequence[str]) -> Rows:
    first, *others = (dag.views[name] for name in heads)
    return first.join(*others) if others else first


def _placed(error: ClipmillError, item: Item) -> ClipmillError:
    """The same error, with the line of the text."""
    line = f"in {item.file}, line {item.line}"
    where = f"{error.where}\n{' ' * 10}{line}" if error.where else item.where()
    return type(error)(error.what, where=where, remedy=error.remedy)


class _Flow(dict[str, Any]):
    """A mapping written on one line."""


class _Writer(Dumper):
    """Lists and `_Flow` mappings on one line."""


_Writer.add_representer(_Flow, lambda w, v: w.represent_mapping("tag:yaml.org,2002:map", v, flow_style=True))
for _kind in (list, tuple):
    _Writer.add_representer(
        _kind, lambda w, v: w.represent_sequence("tag:yaml.org,2002:seq", v, flow_style=True)
    )


def _step_text(node: Node, hide: bool) -> dict[str, Any]:
    step: dict[str, Any] = {"from": _names_text(node.inputs)} if node.inputs else {}
    usual = usual_needs(node.work)
    other = {f.name: getattr(node.needs, f.name) for f in fields(Needs)}
    needs = {"needs": _Flow({k: v for k, v in other.items() if v != getattr(usual, k)})}
    if isinstance(node.work, Keep):
        step |= {"keep": escaped(node.work.where), "because": escaped(node.work.because)}
    else:
        kind = type(node.work)
        settings = escaped(node.work.settings())
        for name in node.work.hidden & settings.keys() if hide else ():
            settings[name] = hidden(settings[name])
        step["stage"] = f"{kind.__module__}:{kind.__qualname__}"
        step |= {"with": settings} if settings else {}
        step |= {"rows_per_part": node.rows_per_part} if node.rows_per_part else {}
    return step | (needs if needs["needs"] else {})


def _names_text(names: Sequence[str]) -> str | list[str]:
    return names[0] if len(names) == 1 else list(names)
