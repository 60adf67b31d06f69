"""Values that JSON cannot hold: the report shows them as missing."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

from toys import N, Numbers, Quiet

from manifests import Row, column
from manifests.stores.folder import FolderStore
from pipeline import Dag, Expand
from pipeline.executors.inline import Inline
from pipeline.history.run_history import read_history
from pipeline.recipes.request import RunRequest
from pipeline.report.page import report_data
from pipeline.run import run_dag


class Span(Row):
    start_s: float = column("start of the clip", unit="s")
    end_s: float = column("end of the clip", unit="s")
    ratio: float = column("signal to noise", unit="1")


class Spans(Expand[N, Span]):
    """One clip of a second for each number; that of 1 has an infinite ratio, that of 2 no end."""

    def expand(self, row: N) -> Iterator[Span]:
        end = math.nan if row.n == 2 else 1.0
        yield Span(start_s=0.0, end_s=end, ratio=math.inf if row.n == 1 else 0.5)


def test_infinite_and_undefined_values_are_missing(tmp_path: Path) -> None:
    dag = Dag("ratios")
    dag.save(dag.read(Numbers(count=4)).expand(Spans()).keep("ratio < 1", because="clean"), "clips")
    request = RunRequest("ratios.py", {}, str(tmp_path))
    result = run_dag(dag, str(tmp_path), executor=Inline(), observer=Quiet(), request=request)
    assert (Path(result.report).name, result.warnings) == ("report.html", ())
    data = report_data(read_history(FolderStore(tmp_path)))
    json.dumps(data, allow_nan=False)
    assert sorted(data["clips"]["values"]["ratio"], key=str) == [0.5, 0.5, 0.5, None]
    assert data["hours"]["out"] * 3600 == 2.0  # of three kept clips, one has no duration
