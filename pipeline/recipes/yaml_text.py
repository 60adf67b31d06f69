"""Writes a DAG as YAML and reads it back: for run records, and for users who do not write Python.

    dag: curate
    knobs:                          # optional; null marks a required knob
      footage: null
      min_motion: 0.4
    steps:
      list_videos:
        stage: ListVideos           # or stages.ingest.list_videos:ListVideos
        with: {root: "${footage}"}
        rows_per_part: 16
      no_motion:
        from: measure_motion        # one step, or a list of steps: the rows that are in all of them
        keep: motion_mean > ${min_motion}
        because: no motion
    save:
      clips: no_motion

`code: {my_stages.measure: /home/me/my_stages/measure.py}` names the files of stages outside `stages`.
A value that is exactly one `${knob}` gets the type of the knob. Write `$${` for a literal `${`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, get_type_hints

import yaml

from manifests.errors import ClipmillError
from manifests.messages import closest_name, join_names
from pipeline.dag import Dag, Node, Rows, default_needs
from pipeline.errors import RecipeError
from pipeline.needs import Needs
from pipeline.recipes.discovery import find_stage, required_settings, setting_types
from pipeline.recipes.discovery import load_stages as load_stages
from pipeline.recipes.importing import import_stage_modules, module_files
from pipeline.recipes.json_schema import json_schema as json_schema
from pipeline.recipes.redaction import redact
from pipeline.recipes.references import escape_references, fill_references
from pipeline.recipes.yaml_positions import Dumper, Item, parse_yaml
from pipeline.rule import Keep
from pipeline.stage import ConfiguredStage, Source, Stage

PACKAGES = ("stages",)  # packages whose stages YAML can name
_RECIPE_KEYS = ("dag", "knobs", "code", "steps", "save")
_STAGE_KEYS = ("from", "stage", "with", "needs", "rows_per_part")
_RULE_KEYS = ("from", "keep", "because", "across", "when", "needs")
_RULE_FIELDS = {"keep": "where"}  # where they have other names than the keys
_KNOB_TYPES = (str, int, float, bool, type(None))


def to_yaml(dag: Dag, *, redact_secrets: bool = False) -> str:
    """Write the steps in order, then the outputs. `from_yaml` returns an equal DAG with equal keys.

    Args:
        dag: The DAG.
        redact_secrets: Replace the values of `secret_settings` by `***`, as in the record of a run.
    """
    steps = {name: _step_to_yaml(node, redact_secrets) for name, node in dag.nodes.items()}
    save = {name: _names_to_yaml(rows.heads) for name, rows in dag.outputs.items()}
    modules = {type(node.work).__module__ for node in dag.nodes.values() if isinstance(node.work, Stage)}
    files = module_files(name for name in modules if name.partition(".")[0] not in PACKAGES)
    code = {"code": escape_references(files)} if files else {}
    recipe = {"dag": escape_references(dag.name), **code, "steps": steps, "save": save}
    return yaml.dump(recipe, Dumper=_Writer, sort_keys=False, width=110, allow_unicode=True)


def read_knobs(text: str, where: str) -> dict[str, Any]:
    """Return the knobs of a YAML recipe with their defaults; the default of a required knob is None.

    Raises:
        RecipeError: The text is not YAML, or a default is not a single value.
    """
    top = parse_yaml(text, where).mapping("a recipe", _RECIPE_KEYS, ("dag", "steps"))
    if "knobs" not in top:
        return {}
    for name, item in top["knobs"].mapping("knobs").items():
        if not name.isidentifier():
            top["knobs"].keys()[name].fail(f"{name!r} cannot be the name of a knob")
        if type(item.value) not in _KNOB_TYPES:
            item.fail(f"the default of knob {name} must be one value: text, a number, true, false or null")
    found: dict[str, Any] = top["knobs"].plain()
    return found


def from_yaml(
    text: str,
    where: str = "the text",
    knobs: Mapping[str, Any] | None = None,
    packages: Sequence[str] = PACKAGES,
) -> Dag:
    """Read a DAG from YAML, with the same checks as for a DAG built in Python.

    Args:
        text: The YAML text.
        where: Name of the file, shown in errors.
        knobs: Values for `${…}`; other knobs keep their defaults.
        packages: Packages whose stages the text can name. It reaches only these, and the files in `code`.

    Raises:
        RecipeError: A key, setting, step or stage is unknown or has the wrong type, the steps form a cycle,
            or the text is not YAML. The error names the line and the closest known name.
        ClipmillError: The DAG is invalid. `where` names the line.
    """
    values = {**read_knobs(text, where), **(knobs or {})}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise RecipeError(f"knob {missing[0]} has no value", where=where, remedy=f"add {missing[0]}=…")
    top = {
        key: fill_references(item, values)
        for key, item in parse_yaml(text, where).mapping("a recipe", _RECIPE_KEYS).items()
    }
    packages = (*packages, *(import_stage_modules(top["code"]) if "code" in top else ()))
    dag = Dag(top["dag"].read(str, "dag"))
    steps = top["steps"].mapping("steps")
    _check_order(steps, top["steps"].keys())
    for name, step in steps.items():
        try:
            _add_step(dag, name, step, packages)
        except RecipeError:
            raise
        except ClipmillError as error:
            raise _with_line(error, top["steps"].keys()[name]) from error
    for name, item in top["save"].mapping("save").items() if "save" in top else ():
        heads = _names(item, dag.nodes, "output")
        if not heads:
            item.fail(f"output {name} has no step")
        try:
            dag.save(_rows(dag, heads), name)
        except ClipmillError as error:
            raise _with_line(error, item) from error
    return dag


def _add_step(dag: Dag, name: str, step: Item, packages: Sequence[str]) -> None:
    keys = step.mapping(f"step {name}")
    if not {"stage", "keep"} & set(keys):
        step.mapping(f"step {name}", (*_STAGE_KEYS, *_RULE_KEYS))
        step.fail(f"step {name} has neither `stage` nor `keep`")
    inputs = tuple(dag.views[i] for i in _from(keys, dag.nodes))
    if "keep" in keys:
        step.mapping(f"rule {name}", _RULE_KEYS, ("from", "because"))
        rule = Keep(**{_RULE_FIELDS.get(k, k): keys[k].read(str, k) for k in _RULE_KEYS[1:-1] if k in keys})
        dag.add(rule, inputs, name=name, needs=_needs(keys, default_needs(rule)))
        return
    stage = _stage(keys, step, name, packages)
    allowed = [
        key for key in _STAGE_KEYS if key != ("from" if isinstance(stage, Source) else "rows_per_part")
    ]
    step.mapping(f"step {name}", allowed)
    needs = _needs(keys, stage.needs)
    if not isinstance(stage, Source):
        dag.add(stage, inputs, name=name, needs=needs)
    elif "rows_per_part" in keys:
        size = keys["rows_per_part"].read(int, "rows_per_part")
        dag.read(ConfiguredStage(stage, needs, name), rows_per_part=size)
    else:
        dag.read(ConfiguredStage(stage, needs, name))


def _stage(keys: Mapping[str, Item], step: Item, name: str, packages: Sequence[str]) -> Stage[Any, Any]:
    try:
        stage_class = find_stage(keys["stage"].read(str, "stage"), packages)
    except RecipeError as error:
        if error.where:
            raise
        keys["stage"].fail(error.what, error.remedy)
    settings = setting_types(stage_class)
    items = {}
    if "with" in keys:
        if not settings:
            keys["with"].fail(f"{stage_class.__name__} has no settings")
        items = keys["with"].mapping(f"the settings of {stage_class.__name__}", settings)
    missing = [n for n in required_settings(stage_class) if n not in items]
    if missing:
        step.fail(
            f"{stage_class.__name__} requires {join_names(missing)}",
            f"add `with: {{{missing[0]}: …}}` to step {name}",
        )
    values = {
        n: item.read(settings[n], f"setting {n} of {stage_class.__name__}") for n, item in items.items()
    }
    try:
        return stage_class(**values)
    except (ValueError, TypeError) as error:
        keys.get("with", step).fail(f"{stage_class.__name__} rejects these settings: {error}")


def _needs(keys: Mapping[str, Item], defaults: Needs) -> Needs:
    if "needs" not in keys:
        return defaults
    types = get_type_hints(Needs, include_extras=True)
    items = keys["needs"].mapping("needs", types)
    try:
        return replace(defaults, **{n: item.read(types[n], n) for n, item in items.items()})
    except ValueError as error:
        keys["needs"].fail(str(error))


def _check_order(steps: Mapping[str, Item], keys: Mapping[str, Item]) -> None:
    """Check that every step reads earlier steps only.

    Raises:
        RecipeError: A step is unknown or comes later, or the steps form a cycle. The error names the cycle.
    """
    inputs_of = {name: _from(step.mapping(f"step {name}"), steps) for name, step in steps.items()}
    for name in steps:
        cycle = _shortest_cycle(inputs_of, name)
        if cycle:
            keys[name].fail(f"the steps form a cycle: {' → '.join(cycle)}", "change the input of one of them")
    seen: set[str] = set()
    for name, inputs in inputs_of.items():
        for late in inputs:
            if late not in seen:
                keys[name].fail(f"step {name} reads {late}, which comes later", f"move {late} above {name}")
        seen.add(name)


def _shortest_cycle(inputs_of: Mapping[str, Sequence[str]], start: str) -> list[str]:
    """Return the shortest path from a step back to itself, or an empty list."""
    paths, seen = [[start]], set[str]()
    for path in paths:
        for name in inputs_of[path[-1]]:
            if name == start:
                return [*path, start][::-1]
            if name not in seen:
                seen.add(name)
                paths.append([*path, name])
    return []


def _from(keys: Mapping[str, Item], known: Mapping[str, object]) -> tuple[str, ...]:
    return _names(keys["from"], known, "`from`") if "from" in keys else ()


def _names(item: Item, known: Mapping[str, object], what: str) -> tuple[str, ...]:
    """Return the step names in a value: one name or a list of names."""
    parts = item.value if isinstance(item.value, list) else [item]
    for part in parts:
        name = part.read(str, what)
        if name not in known:
            hint = closest_name(name, known)
            remedy = f"did you mean {hint!r}? " if hint else ""
            part.fail(f"there is no step {name!r}", f"{remedy}available steps: {join_names(known)}")
    return tuple(part.value for part in parts)


def _rows(dag: Dag, heads: Sequence[str]) -> Rows:
    first, *others = (dag.views[name] for name in heads)
    return first.join(*others) if others else first


def _with_line(error: ClipmillError, item: Item) -> ClipmillError:
    """Return the same error with the line of the YAML text added."""
    line = f"in {item.file}, line {item.line}"
    where = f"{error.where}\n{' ' * 10}{line}" if error.where else item.where()
    return type(error)(error.what, where=where, remedy=error.remedy)


class _Flow(dict[str, Any]):
    """A mapping that is written on one line."""


class _Writer(Dumper):
    """Writes lists and `_Flow` mappings on one line."""


_Writer.add_representer(_Flow, lambda w, v: w.represent_mapping("tag:yaml.org,2002:map", v, flow_style=True))
for _type in (list, tuple):
    _Writer.add_representer(
        _type, lambda w, v: w.represent_sequence("tag:yaml.org,2002:seq", v, flow_style=True)
    )


def _step_to_yaml(node: Node, redact_secrets: bool) -> dict[str, Any]:
    step: dict[str, Any] = {"from": _names_to_yaml(node.inputs)} if node.inputs else {}
    defaults = default_needs(node.work)
    needs_values = {f.name: getattr(node.needs, f.name) for f in fields(Needs)}
    needs = {"needs": _Flow({k: v for k, v in needs_values.items() if v != getattr(defaults, k)})}
    if isinstance(node.work, Keep):
        rule = {"keep": node.work.where, "because": node.work.because}
        rule |= {"across": node.work.across, "when": node.work.when} if node.work.across else {}
        step |= escape_references(rule)
    else:
        stage_class = type(node.work)
        settings = escape_references(node.work.settings())
        for name in node.work.secret_settings & settings.keys() if redact_secrets else ():
            settings[name] = redact(settings[name])
        step["stage"] = f"{stage_class.__module__}:{stage_class.__qualname__}"
        step |= {"with": settings} if settings else {}
        step |= {"rows_per_part": node.rows_per_part} if node.rows_per_part else {}
    return step | (needs if needs["needs"] else {})


def _names_to_yaml(names: Sequence[str]) -> str | list[str]:
    return names[0] if len(names) == 1 else list(names)
