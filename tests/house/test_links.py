"""Links between documents: every relative link of a Markdown file leads to a file and to a heading."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from posixpath import normpath

import pytest

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?)\s*$", re.MULTILINE)


def test_every_relative_link_leads_somewhere(texts: dict[str, str], root: Path) -> None:
    documents = {path: text for path, text in texts.items() if path.endswith(".md")}
    broken = [
        f"{path}: {link}" for path, text in documents.items() for link in _broken(path, text, documents, root)
    ]
    assert broken == []


def test_every_document_is_a_page_of_the_site(texts: dict[str, str]) -> None:
    nav = texts["docs/mkdocs.yml"]
    assert [path for path in texts if path.endswith(".md") and path not in nav] == []


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("[a](b.md)", []),
        ("[a](c.md)", ["c.md"]),
        ("[a](b.md#two-words)", []),
        ("[a](b.md#three-words)", ["b.md#three-words"]),
        ("[a](#here)\n# Here", []),
        ("[a](https://example.org)", []),
        ("```\n[a](c.md)\n```", []),
    ],
)
def test_the_link_check_finds_broken_links(text: str, broken: list[str], tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("## Two words\n")
    documents = {"a.md": text, "b.md": "## Two words\n"}
    assert list(_broken("a.md", text, documents, tmp_path)) == broken


def _broken(path: str, text: str, documents: Mapping[str, str], root: Path) -> Iterator[str]:
    """The links of a document that lead nowhere."""
    for link in _LINK.findall(_FENCE.sub("", text)):
        if ":" in link:
            continue
        file, _, anchor = link.partition("#")
        target = normpath(PurePosixPath(path).parent / file) if file else path
        headings = _anchors(documents.get(target, ""))
        if (not (root / target).exists() and target not in documents) or (anchor and anchor not in headings):
            yield link


def _anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub and the site write them."""
    headings = (re.sub(r"[^\w\- ]", "", h.replace("`", "")).lower() for h in _HEADING.findall(text))
    return {heading.replace(" ", "-") for heading in headings}
