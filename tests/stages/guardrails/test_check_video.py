"""Frames decide about a video by the rule, and a video that cannot be classified is never safe."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_towers import save_towers

from manifests import Artifact, ClipmillError
from pipeline import Reject
from stages.guardrails.check_video import CheckVideo
from stages.guardrails.footage import Footage
from stages.media.encoding.arrays import write_mp4
from stages.models.frame_classifiers import nsfw_weights_file, read_class_head
from stages.models.open_clip import OpenClipModel
from stages.models.weights import WeightsError

DARK, BRIGHT = 30, 220


def video(levels: list[int]) -> Artifact:
    target = BytesIO()
    write_mp4(target, [np.full((48, 64, 3), level, np.uint8) for level in levels], 10, preset="ultrafast")
    return Artifact.of(target.getvalue(), ".mp4")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A model, and a head with batch norm and ReLU that says "bright" for bright frames."""
    folder = tmp_path_factory.mktemp("models")
    model = save_towers(folder / "model")
    images = [np.full((48, 64, 3), level, np.uint8) for level in (DARK, BRIGHT)]
    dark, bright = torch.from_numpy(OpenClipModel(str(model)).embed_images(images))
    axis = bright - dark
    scale = 20 / float(axis @ axis)
    weight = torch.stack([scale * axis, -scale * axis])
    bias = -weight @ (dark + bright) / 2
    head = {
        "layers.0.weight": weight, "layers.0.bias": bias,
        "layers.1.weight": torch.ones(2), "layers.1.bias": torch.zeros(2),
        "layers.1.running_mean": torch.zeros(2), "layers.1.running_var": torch.ones(2),
        "layers.1.num_batches_tracked": torch.tensor(1),
        "layers.3.weight": torch.tensor([[0.0, 1.0], [1.0, 0.0]]), "layers.3.bias": torch.zeros(2),
    }  # fmt: skip
    save_file(head, folder / "head.safetensors")
    (folder / "limits.yaml").write_text(
        "name: toy\nversion: 7\nclasses: [dark, bright]\nlimits: {bright: 0.6}\n"
    )
    return {
        "model": str(model),
        "head": str(folder / "head.safetensors"),
        "limits": str(folder / "limits.yaml"),
    }


def check(footage: Footage, **settings: Any) -> Any:
    stage = CheckVideo(**settings)
    stage.digest()
    [row] = stage.annotate([footage])
    return row


def test_the_rule_decides(settings: dict[str, str]) -> None:
    footage = Footage(video=video([DARK] * 7 + [BRIGHT] * 3))
    every = {**settings, "sample_fps": 0.0}
    row = check(footage, **every)
    assert (row.video_check, row.video_check_category, row.video_check_frame) == ("blocked", "bright", 7)
    assert row.video_check_time_s == pytest.approx(0.7)
    assert row.video_check_score > 0.9
    assert "toy 7 (" in row.video_check_by
    assert "limit 0.6; highest in frame 7 at 0.70 s" in row.video_check_reason
    assert check(footage, rule="mean", **every).video_check == "safe"
    assert check(footage, rule="share", min_share=0.2, **every).video_check_score == pytest.approx(0.3)
    assert check(footage, rule="share", min_share=0.2, **every).video_check == "blocked"
    assert check(footage, rule="share", min_share=0.3, **every).video_check == "safe"
    assert check(footage, **{**settings, "sample_fps": 1.0}).video_check == "safe"  # one dark frame


def test_a_clip_or_its_stills_are_read_where_there_is_no_video(settings: dict[str, str]) -> None:
    assert check(Footage(clip=video([BRIGHT])), **settings).video_check == "blocked"
    with pytest.raises(ClipmillError, match="no video, clip or stills"):
        check(Footage(), **settings)


@pytest.mark.parametrize("data", [b"", b"no video at all", video([DARK]).read()[:40]])
def test_a_video_without_frames_is_not_safe(settings: dict[str, str], data: bytes) -> None:
    footage = Footage(video=Artifact.of(data, ".mp4"))
    reject = check(footage, **settings)
    assert isinstance(reject, Reject)
    assert str(reject).startswith("not run: ")
    allowed = check(footage, on_error="allow", **settings)
    assert (allowed.video_check, allowed.video_check_score) == ("not run", None)
    assert allowed.video_check_reason


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"rule": "all"}, "rule is 'all'"),
        ({"head": ""}, "belong together"),
        ({"limits": "open_nsfw"}, "belong together"),
        ({"head": "nowhere.safetensors"}, "no weights"),
    ],
)
def test_wrong_settings_are_found_while_planning(
    settings: dict[str, str], change: dict[str, str], what: str
) -> None:
    with pytest.raises(ClipmillError, match=what):
        CheckVideo(**{**settings, **change}).digest()


def test_a_head_of_other_layers_is_refused(settings: dict[str, str], tmp_path: Path) -> None:
    wrong: list[dict[str, torch.Tensor]] = [
        {"0.weight": torch.zeros(1, 16)},
        {"0.weight": torch.zeros(4, 16), "1.weight": torch.zeros(2, 5)},
        {"0.weight": torch.zeros(2, 3, 3)},
    ]
    for number, tensors in enumerate(wrong):
        save_file(tensors, tmp_path / f"{number}.safetensors")
        with pytest.raises(WeightsError, match="does not fit"):
            read_class_head(tmp_path / f"{number}.safetensors")
    save_file({"0.weight": torch.zeros(3, 16)}, tmp_path / "three.safetensors")
    with pytest.raises(ClipmillError, match="3 classes, and limits names 2"):
        check(Footage(video=video([DARK])), **{**settings, "head": str(tmp_path / "three.safetensors")})


def test_open_nsfw_scores_a_plain_picture_low() -> None:
    try:
        nsfw_weights_file()
    except WeightsError as error:
        pytest.skip(str(error))
    row = check(Footage(video=video([DARK, BRIGHT])))
    assert row.video_check == "safe"
    assert row.video_check_score < 0.2
    assert "open_nsfw" in row.video_check_by
