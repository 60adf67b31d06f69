"""Draws a DAG as text for the terminal, and as a Mermaid graph for web pages.

numbers       Numbers · source · +n
square        Square · +square, half, text
├── small     keep square > 4
└── split     Split · new rows · +start, length
    ══ sum    Sum · waits for all rows · +total, members, rank
"""

import re
from collections.abc import Iterator, Mapping

from manifests.messages import join_names
from pipeline.dag import Dag, Node
from pipeline.rule import Keep
from pipeline.stage import Compare, Expand, Launch, Source, Survey

_MAX_WIDTH = 64  # characters of the text beside a step
_MAX_NAMED = 2  # names after `also after`; more are counted


def draw(dag: Dag) -> str:
    """Draw one line per step below the step that it follows, with a branch where several steps follow one.

    A step with several inputs is drawn below the last of them, and names or counts the others after
    `also after`. A double line marks a barrier: the step starts when its input is complete. `→` marks an
    output.
    """
    order = {name: position for position, name in enumerate(dag.nodes)}
    children: dict[str, list[str]] = {name: [] for name in ("", *dag.nodes)}
    for name, node in dag.nodes.items():
        children[max(node.inputs, key=order.__getitem__, default="")].append(name)
    lines = [line for name in children[""] for line in _lines(dag, name, children)]
    width = max((len(left) for left, _ in lines), default=0)
    outputs = [f"→ {name}: {', '.join(rows.heads)}" for name, rows in dag.outputs.items()]
    return "\n".join([f"{left:<{width}}  {right}" for left, right in lines] + outputs)


def to_mermaid(dag: Dag) -> str:
    """Return the DAG as a Mermaid flowchart. Barriers are double boxes, rules are hexagons."""
    shapes = {"barrier": ("[[", "]]"), "rule": ("{{", "}}"), "": ("[", "]")}
    lines = ["flowchart TD"]
    for name, node in dag.nodes.items():
        kind = "rule" if isinstance(node.work, Keep) else "barrier" if _is_barrier(node) else ""
        left, right = shapes[kind]
        label = f"keep {node.work}" if isinstance(node.work, Keep) else type(node.work).__name__
        lines.append(f'    step_{name}{left}"{_escape_mermaid(name)}<br>{_escape_mermaid(label)}"{right}')
    for name, node in dag.nodes.items():
        lines += [f"    step_{before} --> step_{name}" for before in node.inputs]
    for output, rows in dag.outputs.items():
        lines.append(f'    out_{output}(["{_escape_mermaid(output)}"])')
        lines += [f"    step_{head} --> out_{output}" for head in rows.heads]
    return "\n".join(lines)


def _is_barrier(node: Node) -> bool:
    return isinstance(node.work, Survey | Compare | Launch)


def _lines(
    dag: Dag, name: str, children: Mapping[str, list[str]], parent: str = "", lead: str = "", branch: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield the left and the right half of the lines of a step and all steps below it."""
    while True:
        node, barrier = dag.nodes[name], _is_barrier(dag.nodes[name])
        corner = branch.replace("──", "══") if barrier else branch
        yield f"{lead}{corner or '══ ' * barrier}{name}", _describe(node, parent)
        lead += {"├── ": "│   ", "└── ": "    ", "": ""}[branch]
        if len(children[name]) != 1:
            break
        (name,), parent, branch = children[name], name, ""
    for child in children[name]:
        yield from _lines(dag, child, children, name, lead, "└── " if child == children[name][-1] else "├── ")


def _describe(node: Node, parent: str) -> str:
    other_inputs = [name for name in node.inputs if name != parent]
    named = ", ".join(other_inputs) if len(other_inputs) <= _MAX_NAMED else f"{len(other_inputs)} other steps"
    others = f" · also after {named}" if other_inputs else ""
    if isinstance(node.work, Keep):
        return _shorten(f"keep {node.work}") + others
    parts = [type(node.work).__name__]
    if isinstance(node.work, Source):
        parts.append("source")
    elif isinstance(node.work, Expand):
        parts.append("new rows")
    elif isinstance(node.work, Launch):
        parts.append(f"waits for all rows, {node.needs.ranks} rank{'s' * (node.needs.ranks > 1)}")
    elif isinstance(node.work, Survey | Compare):
        parts.append("waits for all rows")
    if node.needs.gpus:
        parts.append(f"{node.needs.gpus:g} GPU")
    adds = [c for c in node.work.adds.names() if c not in ("id", "parent")]
    parts.append(f"+{join_names(adds, 4)}")
    return _shorten(" · ".join(parts)) + others


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_WIDTH else f"{text[: _MAX_WIDTH - 1]}…"


def _escape_mermaid(text: str) -> str:
    """Escape every character that Mermaid could interpret."""
    return re.sub(r"[^\w .,:+=()-]", lambda match: f"#{ord(match[0])};", text)
