"""The words that can follow on a command line: paths, recipes, knobs and values, runs, steps, rows, columns.

Each function takes the first characters of the word and the words of the whole line, and yields whole words.
Only local stores are read, because a shell waits for the answer.
"""

import re
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import RecipeError

if TYPE_CHECKING:
    from pipeline.history.run_history import RunHistory
    from pipeline.recipes.recipe import Knob

_RECIPE = (".py", ".yaml", ".yml")
_MAX_ROWS = 50  # ids and paths that are offered
_IN_BRACKETS = re.compile(r"\s*\([^()]*\)")


def paths(prefix: str, line: list[str]) -> Iterator[str]:
    """Files and folders; a folder ends with a slash."""
    yield from _paths(prefix, None)


def folders(prefix: str, line: list[str]) -> Iterator[str]:
    """Folders, as the value of `--store`, or after `store=`."""
    for start in ("store=",) if prefix.startswith("store=") else ("",):
        yield from (start + path for path in _paths(prefix.removeprefix(start), ()))


def recipes(prefix: str, line: list[str]) -> Iterator[str]:
    """Recipe files; for `clipmill recipes` the names of the listed recipes, or files after a slash."""
    if "recipes" in line[1:2] and "/" not in prefix:
        from pipeline.recipes.catalog import list_recipes

        yield from (name for name, _, _ in list_recipes())
        return
    yield from _paths(prefix, _RECIPE)


def assignments(prefix: str, line: list[str]) -> Iterator[str]:
    """`store=` and the knobs of the recipe in the line as `name=`; after the =, the values of the knob."""
    name, equals, value = prefix.partition("=")
    knobs = _knobs(line)
    if not equals:
        used = {word.partition("=")[0] for word in line}
        yield from (f"{known}=" for known in ("store", *knobs) if known not in used)
    elif name == "store":
        yield from folders(prefix, line)
    elif name in knobs:
        values = list(_values(knobs[name]))
        yield from (f"{name}={each}" for each in values or _paths(value, None))


def runs(prefix: str, line: list[str]) -> Iterator[str]:
    """The runs of the store, newest first."""
    from pipeline.history.run_history import run_names

    yield from reversed(run_names(_history(line).store))


def steps(prefix: str, line: list[str]) -> Iterator[str]:
    """The steps of the last run."""
    yield from _history(line).steps


def tables(prefix: str, line: list[str]) -> Iterator[str]:
    """What `clipmill table --of` takes: clips, videos and the steps that make rows."""
    yield from ("clips", "videos")
    yield from (step.name for step in _history(line) if step.base == step.name)


def stages(prefix: str, line: list[str]) -> Iterator[str]:
    """The names of all stages."""
    from pipeline.recipes.catalog import list_stages

    yield from (entry.name for entry in list_stages())


def columns(prefix: str, line: list[str]) -> Iterator[str]:
    """The columns of the rows of `clipmill table`, after the last comma."""
    from manifests.runs.rows import RowReader

    of = line[line.index("--of") + 1 :][:1] if "--of" in line else []
    before, comma, _ = prefix.rpartition(",")
    yield from (f"{before}{comma}{name}" for name in RowReader(_history(line), *of).columns)


def rows(prefix: str, line: list[str]) -> Iterator[str]:
    """The sources and ids of the rows of the last run, at most 50."""
    yield from islice((row for row in _all_rows(line) if row.startswith(prefix)), _MAX_ROWS)


def _all_rows(line: list[str]) -> Iterator[str]:
    from manifests.runs.rows import RowReader

    history = _history(line)
    for step in history:
        if step.base != step.name:
            continue
        reader = RowReader(history, step.name)
        names = ("source", "id") if step.kind == "source" and "source" in reader.columns else ("id",)
        for number in reader.parts:
            table = reader.read(number, {name: reader.columns[name] for name in names})
            for name in names:
                yield from filter(None, table[name].to_pylist())


def _paths(prefix: str, endings: tuple[str, ...] | None) -> Iterator[str]:
    """Paths that begin with `prefix`: folders with a slash, and files with these endings (None: all)."""
    start = prefix[: prefix.rfind("/") + 1]
    for path in sorted(Path(start or ".").expanduser().iterdir()):
        if path.name.startswith(".") and not prefix[len(start) :].startswith("."):
            continue
        if path.is_dir():
            yield f"{start}{path.name}/"
        elif endings is None or path.suffix in endings:
            yield f"{start}{path.name}"


def _knobs(line: list[str]) -> "dict[str, Knob]":
    """The knobs of the recipe in the line, or of the verb `generate`; none if there is no recipe."""
    from pipeline.recipes.recipe import load_recipe

    if line[1:2] == ["generate"]:
        from pipeline.recipes.catalog import find_recipe

        return {knob.name: knob for knob in find_recipe("generate").knobs}
    path = next((word for word in line if word.endswith(_RECIPE) and "=" not in word), "")
    return {knob.name: knob for knob in load_recipe(path).knobs} if path else {}


def _values(knob: "Knob") -> Iterator[str]:
    """The values of a knob: those of its type, or those that its description lists."""
    schema = knob.schema()["anyOf"][0]
    if schema.get("type") == "boolean":
        yield from ("true", "false")
    elif "enum" in schema:
        yield from map(str, schema["enum"])
    elif knob.value_type is str:
        yield from _listed_values(knob)


def _listed_values(knob: "Knob") -> Iterator[str]:
    """The values in a description such as "Detector: fast, exact (slower) or transnet."."""
    listed = _IN_BRACKETS.sub("", knob.doc).partition(": ")[2].partition(".")[0]
    values = [word.strip() for word in re.split(r",| or ", listed)]
    if knob.default in values and all(value.isidentifier() for value in values):
        yield from values


def _history(line: list[str]) -> "RunHistory":
    """The last run of the store in the line: store=DIR, --store DIR, STORE, or else the working folder."""
    from manifests.format import open_checked_store
    from pipeline.history.run_history import read_history

    named = [word.removeprefix("store=") for word in line if word.startswith("store=")]
    after = [following for word, following in pairwise(line) if word == "--store"]
    given = [word for word in line[2:3] if Path(word, "store.json").is_file()]
    store = next(iter(named + after + given), ".")
    if not Path(store, "store.json").is_file():
        raise RecipeError("the line names no local store")
    return read_history(open_checked_store(store))
