"""The count of the rows that reach a step equals the number of their ids, on every path of the DAG."""

from pathlib import Path

from counting import Spell
from toys import Numbers, Quiet, Split, Square

from manifests.stores.folder import FolderStore
from pipeline import Dag
from pipeline.engine.inputs import input_count, input_ids
from pipeline.executors.inline import Inline
from pipeline.planning.plan import build_plan


def test_the_count_equals_the_number_of_ids(tmp_path: Path) -> None:
    dag = Dag("d")
    numbers = dag.read(Numbers(count=40), rows_per_part=8)
    both = numbers.annotate(Square(bad=5), Spell(bad=3))  # each rejects other rows
    small = both.keep("half >= 4", because="too small").keep("square < 900", because="too large")
    one = small.keep("n != 16", because="sixteen")
    two = small.keep("n != 17", because="seventeen")
    dag.save(one.join(two).expand(Split()).keep("start < 4", because="late"), "x")
    plan = build_plan(dag, FolderStore(tmp_path), "r")
    Inline().run(plan, Quiet())
    again = build_plan(dag, FolderStore(tmp_path), "r")  # with an empty cache
    counted = set()
    for step in again:
        if step.node.inputs:
            counts = [input_count(again, step, number) for number in range(5)]
            assert counts == [len(input_ids(plan, step, number)) for number in range(5)], step.name
            counted.add(sum(counts))
    assert len(counted) >= 5
