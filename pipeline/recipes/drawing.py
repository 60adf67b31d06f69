"""A DAG drawn: as text for the terminal, and as Mermaid for pages.

numbers       Numbers · source · +n
square        Square · +square, half, text
├── small     keep square > 4
└── split     Split · new rows · +start, length
    ══ sum    Sum · waits for all rows · +total, members, rank
"""

import re
from collections.abc import Iterator, Mapping

from manifests.wording import listed
from pipeline.dag import Dag, Keep, Node
from pipeline.stage import Compare, Expand, Launch, Source, Survey

_WIDEST = 64  # characters of what stands beside a step


def draw(dag: Dag) -> str:
    """One line for each step, below the one it follows; where several follow one, they branch.

    A step that reads several hangs below the last of them, and names the others after `also after`.
    A double line is a barrier: the step starts when its input is whole. `→` marks an output.
    """
    order = {name: place for place, name in enumerate(dag.nodes)}
    below: dict[str, list[str]] = {name: [] for name in ("", *dag.nodes)}
    for name, node in dag.nodes.items():
        below[max(node.inputs, key=order.__getitem__, default="")].append(name)
    lines = [line for name in below[""] for line in _lines(dag, name, below)]
    width = max((len(left) for left, _ in lines), default=0)
    saved = [f"→ {name}: {', '.join(rows.heads)}" for name, rows in dag.outputs.items()]
    return "\n".join([f"{left:<{width}}  {right}" for left, right in lines] + saved)


def to_mermaid(dag: Dag) -> str:
    """The same for pages that draw Mermaid: barriers are thick boxes, rules are lozenges."""
    shapes = {"barrier": ("[[", "]]"), "rule": ("{{", "}}"), "": ("[", "]")}
    lines = ["flowchart TD"]
    for name, node in dag.nodes.items():
        kind = "rule" if isinstance(node.work, Keep) else "barrier" if _is_barrier(node) else ""
        left, right = shapes[kind]
        label = f"keep {node.work.where}" if isinstance(node.work, Keep) else type(node.work).__name__
        lines.append(f'    step_{name}{left}"{_safe(name)}<br>{_safe(label)}"{right}')
    for name, node in dag.nodes.items():
        lines += [f"    step_{before} --> step_{name}" for before in node.inputs]
    for output, rows in dag.outputs.items():
        lines.append(f'    out_{output}(["{_safe(output)}"])')
        lines += [f"    step_{head} --> out_{output}" for head in rows.heads]
    return "\n".join(lines)


def _is_barrier(node: Node) -> bool:
    return isinstance(node.work, Survey | Compare | Launch)


def _lines(
    dag: Dag, name: str, below: Mapping[str, list[str]], stem: str = "", lead: str = "", branch: str = ""
) -> Iterator[tuple[str, str]]:
    """A step and all that hangs below it: what stands on the left, and on the right."""
    while True:
        node, barrier = dag.nodes[name], _is_barrier(dag.nodes[name])
        corner = branch.replace("──", "══") if barrier else branch
        yield f"{lead}{corner or '══ ' * barrier}{name}", _about(node, stem)
        lead += {"├── ": "│   ", "└── ": "    ", "": ""}[branch]
        if len(below[name]) != 1:
            break
        (name,), stem, branch = below[name], name, ""
    for child in below[name]:
        yield from _lines(dag, child, below, name, lead, "└── " if child == below[name][-1] else "├── ")


def _about(node: Node, stem: str) -> str:
    further = [name for name in node.inputs if name != stem]
    others = f" · also after {', '.join(further)}" if further else ""
    if isinstance(node.work, Keep):
        return _cut(f"keep {node.work.where}") + others
    words = [type(node.work).__name__]
    if isinstance(node.work, Source):
        words.append("source")
    elif isinstance(node.work, Expand):
        words.append("new rows")
    elif isinstance(node.work, Launch):
        words.append(f"waits for all rows, {node.needs.ranks} rank{'s' * (node.needs.ranks > 1)}")
    elif isinstance(node.work, Survey | Compare):
        words.append("waits for all rows")
    if node.needs.gpus:
        words.append(f"{node.needs.gpus:g} GPU")
    adds = [c for c in node.work.adds.names() if c not in ("id", "parent")]
    words.append(f"+{listed(adds, 4)}")
    return _cut(" · ".join(words)) + others


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _safe(text: str) -> str:
    """Text that is text in Mermaid, whatever it holds."""
    return re.sub(r"[^\w .,:+=()-]", lambda found: f"#{ord(found[0])};", text)
