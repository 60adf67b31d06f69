"""Tests of DAG drawings: every step appears once, below its inputs, and barriers have a mark."""

import re

from toys import Learn, Numbers, Split, Square, Sum

from pipeline import Dag
from pipeline.recipes.drawing import draw, to_mermaid


def toy_dag() -> Dag:
    dag = Dag("toy")
    squares = dag.read(Numbers()).annotate(Square().on(gpus=0.5))
    squares.keep("square > 4", because="small")
    pieces = squares.expand(Split())
    summed = pieces.survey(Sum())
    later = pieces.keep("start > 1", because="later")
    both = later.join(summed)
    dag.save(both, "both")
    both.launch(Learn().on(ranks=2))
    return dag


def test_a_drawing_of_every_kind_of_step() -> None:
    assert draw(toy_dag()).splitlines() == [
        "numbers           Numbers · source · +n",
        "square            Square · 0.5 GPU · +square, half, text",
        "├── small         keep square > 4",
        "└── split         Split · new rows · +start, length",
        "    ├══ sum       Sum · waits for all rows · +total, members, rank",
        "    └── later     keep start > 1",
        "        ══ learn  Learn · waits for all rows, 2 ranks · +weight, ranks · also after sum",
        "→ both: later, sum",
    ]


def test_a_long_chain_is_drawn_in_one_column() -> None:
    dag = Dag("chain")
    rows = dag.read(Numbers())
    for n in range(2000):
        rows = rows.keep(f"n > {n}", because=f"below {n}")
    lines = draw(dag).splitlines()
    assert len(lines) == 2001
    assert len({line.index("keep") for line in lines[1:]}) == 1


def test_an_empty_dag_has_an_empty_drawing() -> None:
    assert draw(Dag("empty")) == ""


def test_a_long_rule_is_shortened() -> None:
    dag = Dag("toy")
    dag.read(Numbers()).keep(" and ".join(f"n > {n}" for n in range(50)), because="long")
    assert max(map(len, draw(dag).splitlines())) < 80
    assert draw(dag).endswith("…")


def test_mermaid_has_every_step_and_every_edge() -> None:
    dag = toy_dag()
    mermaid = to_mermaid(dag)
    assert set(re.findall(r"^ +step_(\w+)[\[{]", mermaid, re.MULTILINE)) == set(dag.nodes)
    arrows = set(re.findall(r"step_(\w+) --> step_(\w+)", mermaid))
    assert arrows == {(before, name) for name, node in dag.nodes.items() for before in node.inputs}
    assert set(re.findall(r"step_(\w+) --> out_both", mermaid)) == {"later", "sum"}
    assert "[[" in next(line for line in mermaid.splitlines() if "step_sum[" in line)


def test_mermaid_escapes_the_characters_of_a_rule() -> None:
    dag = Dag("toy")
    dag.read(Numbers()).annotate(Square()).keep("""id != '"]; <b>`x`' and n > 1""", because="odd")
    (line,) = [line for line in to_mermaid(dag).splitlines() if "step_odd{{" in line]
    label = line[line.index('"') + 1 : line.rindex('"')]
    assert not set(label.replace("<br>", "")) & set("\"'<>`]{}")


def test_many_other_inputs_are_counted() -> None:
    dag = Dag("toy")
    numbers = dag.read(Numbers())
    first, *others = (numbers.keep(f"n > {n}", because=f"above {n}") for n in range(4))
    first.join(*others).keep("n > 9", because="last")
    assert draw(dag).splitlines()[-1].endswith("keep n > 9 · also after 3 other steps")
