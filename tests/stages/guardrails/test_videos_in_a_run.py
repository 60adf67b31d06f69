"""Videos in a run: a video without frames ends only its own row, and results are files of the store."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from toys import N, Numbers, Quiet

from manifests import Artifact, Row, column
from manifests.stores.folder import FolderStore
from manifests.table import part_name, read_part
from pipeline import Annotate, Dag
from pipeline.executors.inline import Inline
from pipeline.history.run_history import read_history
from pipeline.recipes.request import RunRequest
from pipeline.run import run_dag
from stages.media.encoding.arrays import write_mp4
from stages.models.face_detector import weights_file
from stages.models.frame_classifiers import nsfw_weights_file
from stages.models.weights import WeightsError
from stages.recipes.guardrails import Guardrails, check_videos


class Video(Row):
    video: Artifact = column("an mp4; of the number 1, a file without frames")


class MakeVideo(Annotate[N, Video]):
    """Makes a gray video, or a broken file."""

    def annotate(self, rows: Sequence[N]) -> Iterator[Video]:
        for row in rows:
            target = BytesIO()
            write_mp4(target, [np.full((64, 64, 3), 90, np.uint8)] * 2, 10, preset="ultrafast")
            yield Video(video=Artifact.of(b"" if row.n == 1 else target.getvalue(), ".mp4"))


@pytest.mark.parametrize(("mode", "kept"), [("block", 2), ("annotate", 3)])
def test_one_bad_video_ends_only_its_row(tmp_path: Path, mode: str, kept: int) -> None:
    try:
        weights_file(), nsfw_weights_file()
    except WeightsError as error:
        pytest.skip(str(error))
    dag = Dag("videos")
    rows = dag.read(Numbers(count=3)).annotate(MakeVideo())
    faces = "blur" if mode == "block" else "off"
    dag.save(check_videos(rows, Guardrails(video_check=mode, hide_faces=faces)), "videos")
    request = RunRequest("videos.py", {}, str(tmp_path))
    run_dag(dag, str(tmp_path), executor=Inline(), observer=Quiet(), request=request)
    history = read_history(FolderStore(tmp_path))
    checked = read_part(history.store, f"{history['check_video'].folder}/{part_name(0)}").to_pylist()
    assert len(checked) == kept
    assert sorted(row["video_check"] for row in checked) == ["not run"] * (kept - 2) + ["safe"] * 2
    if mode == "block":
        blurred = read_part(history.store, f"{history['blur_faces'].folder}/{part_name(0)}").to_pylist()
        assert [row["blurred_faces"] for row in blurred] == [0, 0]
        assert all((tmp_path / row["blurred_video"]["path"]).is_file() for row in blurred)
