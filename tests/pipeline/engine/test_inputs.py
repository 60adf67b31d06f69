"""Counting the rows that reach a step gives as many as there are ids, whatever way they took."""

from pathlib import Path

from counting import Spell
from toys import Numbers, Quiet, Split, Square

from manifests.stores.folder import FolderStore
from pipeline import Dag
from pipeline.engine.inputs import input_count, input_ids
from pipeline.executors.inline import Inline
from pipeline.planning.plan import plan_of


def test_as_many_rows_are_counted_as_ids_are_read(tmp_path: Path) -> None:
    dag = Dag("d")
    numbers = dag.read(Numbers(count=40), rows_per_part=8)
    both = numbers.annotate(Square(bad=5), Spell(bad=3))  # each refuses others
    small = both.keep("half >= 4", because="too small").keep("square < 900", because="too large")
    one = small.keep("n != 16", because="sixteen")
    two = small.keep("n != 17", because="seventeen")
    dag.save(one.join(two).expand(Split()).keep("start < 4", because="late"), "x")
    plan = plan_of(dag, FolderStore(tmp_path), "r")
    Inline().run(plan, Quiet())
    again = plan_of(dag, FolderStore(tmp_path), "r")  # remembers nothing
    seen = set()
    for step in again:
        if step.node.inputs:
            counts = [input_count(again, step, number) for number in range(5)]
            assert counts == [len(input_ids(plan, step, number)) for number in range(5)], step.name
            seen.add(sum(counts))
    assert len(seen) >= 5
