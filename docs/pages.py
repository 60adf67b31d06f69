"""The pages of the documentation site: READMEs where they are, and reference pages generated from the code.

MkDocs calls the functions `on_…`. No text exists twice: a README is a page of the site under its own path, so
its links work in both places. The reference pages come from the code that prints `clipmill … --help`.
"""

import os
import posixpath
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pymdownx.slugs import slugify

if TYPE_CHECKING:
    from pipeline.recipes.catalog import StageInfo

ROOT = Path(__file__).parents[1]
PACKAGES = ("manifests", "pipeline", "training")
_LINK = re.compile(r"(?<!!)\[([^\]\n]*(?:\[[^\]\n]*\][^\]\n]*)*)\]\(([^)\s]+)\)")
_IGNORED = {"build", "demo", "tests", "node_modules"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Headings get the anchors that they have on GitHub, so that one link serves both."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slugify(case="lower")
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the READMEs and the generated pages."""
    for path in markdown_files():
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, content=path.read_text(encoding="utf-8")))
    sys.path.insert(0, str(ROOT))
    for name, text in reference_pages():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to source files at their reference page; MkDocs checks all links that remain."""
    return _LINK.sub(lambda link: _resolved(link[1], link[2], page.file.src_uri, files), markdown)


def markdown_files() -> Iterator[Path]:
    """The documents of the repository: README, DECISIONS and LOG files, and CONTRIBUTING."""
    for path in sorted(ROOT.rglob("*.md")):
        parts = path.relative_to(ROOT).parts
        if not any(part.startswith(".") or part in _IGNORED for part in parts):
            yield path


def reference_pages() -> Iterator[tuple[str, str]]:
    """Name and text of each generated page."""
    yield "commands", _commands()
    yield "recipes", _recipes()
    stages = _stage_infos()
    yield "stages", _stages(stages)
    yield "columns", _columns(stages)
    for package in PACKAGES:
        yield package, _api(package)


def _resolved(text: str, target: str, page: str, files: Files) -> str:
    """A link as Markdown: unchanged, to a reference page, or plain text if the site has no such page."""
    path, _, anchor = target.partition("#")
    if not path or ":" in path:
        return f"[{text}]({target})"
    wanted = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
    if files.get_file_from_path(wanted) or not (ROOT / wanted).exists():
        return f"[{text}]({target})"
    if files.get_file_from_path(f"{wanted}/README.md"):
        return f"[{text}]({path.rstrip('/')}/README.md{'#' * bool(anchor)}{anchor})"
    module = wanted.removesuffix(".py").replace("/", ".")
    if module in modules(module.partition(".")[0]):
        home = posixpath.relpath(f"reference/{module.partition('.')[0]}.md", posixpath.dirname(page) or ".")
        return f"[{text}]({home}#{module})"
    return text


def modules(package: str) -> list[str]:
    """The public modules of a package, whose docstrings become its reference page."""
    if package not in PACKAGES:
        return []
    names = (path.stem for path in sorted((ROOT / package).glob("*.py")) if not path.stem.startswith("_"))
    return [f"{package}.{name}" for name in names if name != "cli"]


def _api(package: str) -> str:
    return f"# {package}\n\n" + "".join(f"::: {module}\n\n" for module in modules(package))


def _commands() -> str:
    """The help of every command, as the command line prints it."""
    from pipeline.cli import VERBS

    lines = ["# Commands", "", "```text", _help(), "```", ""]
    for verb in VERBS:
        lines += [f"## clipmill {verb}", "", "```text", _help(verb), "```", ""]
    return "\n".join(lines)


def _help(*words: str) -> str:
    """What `clipmill WORDS --help` prints, 100 columns wide."""
    command = [sys.executable, "-m", "pipeline.cli", *words, "--help"]
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    return done.stdout.strip()


def _recipes() -> str:
    """The knobs of every recipe."""
    from pipeline.recipes.catalog import find_recipe, list_recipes
    from pipeline.recipes.values import type_name
    from pipeline.verbs.help_text import value_text

    lines = ["# Recipes and knobs", ""]
    for name, _, purpose in list_recipes():
        knobs = [
            (
                f"`{knob.name}`",
                type_name(knob.value_type),
                "required" if knob.required else _code(value_text(knob.default)),
                knob.description,
            )
            for knob in find_recipe(name).knobs
        ]
        lines += [f"## {name}", "", purpose, "", *_table(("knob", "type", "default", "meaning"), knobs), ""]
    return "\n".join(lines)


def _stage_infos() -> "dict[str, list[StageInfo]]":
    """All stages by subject."""
    from pipeline.recipes.catalog import describe_stages, list_stages

    infos: dict[str, list[StageInfo]] = {}
    for entry, info in zip(list_stages(), describe_stages(), strict=True):
        infos.setdefault(entry.subject, []).append(info)
    return infos


def _stages(stages: "dict[str, list[StageInfo]]") -> str:
    """Settings, columns and needs of every stage."""
    from pipeline.verbs.help_text import value_text

    lines = ["# Stages", ""]
    for subject, infos in stages.items():
        lines += [f"## {subject}", ""]
        for info in infos:
            settings = [
                (
                    f"`{setting.name}`",
                    setting.type,
                    "required" if setting.required else _code(value_text(setting.default)),
                    setting.description,
                )
                for setting in info.settings
            ]
            reads = ", ".join(f"`{column.name}`" for column in info.reads) or "nothing"
            adds = ", ".join(f"[`{column.name}`](columns.md#{column.name})" for column in info.adds)
            adds += "; its settings decide further columns" if info.adds_by_settings else ""
            needs = ", ".join(f"{name} {value_text(value)}" for name, value in info.needs.items())
            lines += [f"### {info.name}", "", f"{info.kind}, version {info.version}. {info.purpose}", ""]
            if settings:
                lines += [*_table(("setting", "type", "default", "meaning"), settings), ""]
            lines += [f"- Reads: {reads}.", f"- Adds: {adds}.", f"- Needs of one worker: {needs}.", ""]
    return "\n".join(lines)


def _columns(stages: "dict[str, list[StageInfo]]") -> str:
    """Every column with its type, unit, meaning and the stages that add it."""
    rows = {}
    for info in (info for infos in stages.values() for info in infos):
        for column in info.adds:
            authors = ", ".join(f"[{name}](stages.md#{name.lower()})" for name in column.added_by)
            anchor = f'<a id="{column.name}"></a>`{column.name}`'
            rows[column.name] = (anchor, column.type, column.unit, column.meaning, authors)
    header = ("column", "type", "unit", "meaning", "added by")
    return "\n".join(["# Columns", "", *_table(header, [rows[name] for name in sorted(rows)]), ""])


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in row) + " |"


def _code(text: str) -> str:
    return f"`{text}`" if text else "empty"
