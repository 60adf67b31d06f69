"""HTML in which every text is escaped: only what `el` made is markup."""

from html import escape


class Html(str):
    """Text that is markup already."""


def el(tag: str, *children: object, **attributes: object) -> Html:
    """An element. Children that are not `Html` are escaped, and so are all attributes.

    `class_` stands for the attribute `class`; an attribute that is None or False is left out.
    """
    said = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    inside = "".join(text(child) for child in children)
    return Html(f"<{tag}{said}>" if tag in ("img", "br") else f"<{tag}{said}>{inside}</{tag}>")


def text(child: object) -> Html:
    """A child as markup."""
    return child if isinstance(child, Html) else Html(escape(str(child)))


def join(*parts: Html) -> Html:
    """Pieces of markup one after the other."""
    return Html("".join(parts))


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> Html:
    """A table with a head."""
    return el(
        "table",
        el("tr", *(el("th", name) for name in head)),
        *(el("tr", *(el("td", cell) for cell in row)) for row in rows),
    )
