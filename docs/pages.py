"""The pages of the documentation site: READMEs where they are, and reference pages generated from the code.

MkDocs calls the functions `on_…`. No text is kept twice: a README is a page of the site under its own path, so
its links work in both places, and the reference is printed by the same code as `clipmill … --help`.
"""

import posixpath
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pymdownx.slugs import slugify

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
    for package in PACKAGES:
        yield package, _api(package)


def _resolved(text: str, target: str, page: str, files: Files) -> str:
    """A link as Markdown: unchanged, to a reference page, or as plain text where the site has no such page."""
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
    command = [sys.executable, "-m", "pipeline.cli", *words, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=_plain_terminal())
    return done.stdout.strip()


def _plain_terminal() -> dict[str, Any]:
    import os

    return {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
