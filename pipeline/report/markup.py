"""HTML elements; every text is escaped, and only the results of `el` are markup."""

from html import escape


class Html(str):
    """Text that is markup and is not escaped again."""


def el(tag: str, *children: object, **attributes: object) -> Html:
    """Make an element. Attributes, and children that are not `Html`, are escaped.

    `class_` is the attribute `class`. An attribute that is None or False is omitted.
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    content = "".join(text(child) for child in children)
    return Html(f"<{tag}{written}>" if tag in ("img", "br") else f"<{tag}{written}>{content}</{tag}>")


def text(child: object) -> Html:
    """Escape a child unless it is `Html`."""
    return child if isinstance(child, Html) else Html(escape(str(child)))


def join(*parts: Html) -> Html:
    """Concatenate markup."""
    return Html("".join(parts))


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> Html:
    """Make a table with a header row."""
    return el(
        "table",
        el("tr", *(el("th", name) for name in head)),
        *(el("tr", *(el("td", cell) for cell in row)) for row in rows),
    )
