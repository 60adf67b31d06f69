"""The stages train a model on packed latents and sample a video, on real files."""

import argparse
import json
from collections.abc import Callable
from dataclasses import fields
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest

from manifests import Artifact
from manifests.errors import InvalidSetting
from manifests.stores import open_store
from stages.models_trained.sample_video import SampleVideo, TrainedModel
from stages.models_trained.train_world import PackedLatents, TrainedWorld, TrainWorld, train_on_rows
from training.decoding.sample import TokenSamplingRequest
from training.errors import CheckpointError, LatentMismatchError, SettingError, TrainingError
from training.recipes.config import EXECUTION_SETTINGS
from training.recipes.sampling import SamplingRequest
from training.verbs.sample import add_sample_verb

STAGE = TrainWorld(steps=4, batch_size=2, warmup_steps=1, lr=2e-3, checkpoint_interval=2, num_threads=1)


@pytest.fixture(scope="module")
def packed(pack_clips: Callable[..., list[PackedLatents]]) -> list[PackedLatents]:
    return pack_clips("small", 4)


@pytest.fixture(scope="module")
def trained(
    packed: list[PackedLatents], tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainedWorld, Artifact]:
    """The row, and its model in a store."""
    row = STAGE.run(iter(packed), tmp_path_factory.mktemp("work"))
    return row, row.model.save(open_store(str(tmp_path_factory.mktemp("models"))), "train")


def test_a_model_is_trained(trained: tuple[TrainedWorld, Artifact]) -> None:
    row, model = trained
    lines = [json.loads(line) for line in row.curve.read().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    plain = {name for name in lines[0] if "loss_by_" not in name}
    assert plain == {"step", "loss", "clean_mse", "grad_norm", "lr"}  # no measured times
    assert (row.steps, row.loss_first, row.loss_last) == (4, lines[0]["loss"], lines[-1]["loss"])
    assert row.parameters > 1e6
    assert model.read()


def test_the_same_rows_give_the_same_model(
    packed: list[PackedLatents], trained: tuple[TrainedWorld, Artifact], tmp_path: Path
) -> None:
    (tmp_path / "curve.jsonl").write_text('{"step": 1, "loss": 9.0}\n{"st')  # left by a killed run
    again = STAGE.run(iter(packed[::-1]), tmp_path)
    assert again == trained[0]


def test_settings_of_the_execution_are_not_in_the_key() -> None:
    """All but those that the stage does not have, and the clips of the validation loss in its row."""
    assert TrainWorld.execution_settings < EXECUTION_SETTINGS
    other = {"data", "validation_data", "codes", "code_tokenizer", "quiet", "validation_max_clips"}
    assert EXECUTION_SETTINGS - TrainWorld.execution_settings == other


def test_other_ranks_return_no_files(
    packed: list[PackedLatents], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")  # with one rank: only the returned row differs
    row = STAGE.run(iter(packed), tmp_path)
    assert row.model.file is None


def test_a_sampled_video_has_the_size_of_the_training_videos(trained: tuple[TrainedWorld, Artifact]) -> None:
    stage = SampleVideo(prompt=("square 1", "square 2"), num_inference_steps=2)
    first, second = (
        next(iter(SampleVideo(**settings).annotate([TrainedModel(id="m", model=trained[1])])))
        for settings in (stage.settings(), stage.settings())
    )
    assert first == second
    with av.open(BytesIO(first.video.read())) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == first.video_frames == 2 * 9
    assert frames[0].shape == (64, 96, 3)
    assert (first.video_width_px, first.video_height_px, first.video_fps) == (96, 64, 12.0)
    other = next(
        iter(SampleVideo(seed=1, num_inference_steps=2).annotate([TrainedModel(id="m", model=trained[1])]))
    )
    assert other.video != first.video


def test_a_video_of_another_size(trained: tuple[TrainedWorld, Artifact]) -> None:
    stage = SampleVideo(num_frames=5, height=48, width=64, num_inference_steps=1, guidance_scale=1.0)
    row = next(iter(stage.annotate([TrainedModel(id="m", model=trained[1])])))
    assert (row.video_frames, row.video_height_px, row.video_width_px) == (5, 48, 64)


def test_the_bytes_of_given_frames_are_part_of_the_key(
    trained: tuple[TrainedWorld, Artifact], tmp_path: Path
) -> None:
    image = tmp_path / "first.png"
    with pytest.raises(InvalidSetting, match="there is no file"):
        SampleVideo(image=str(image)).digest()
    image.write_bytes(b"a")
    before = SampleVideo(image=str(image)).digest()
    image.write_bytes(b"other")
    assert len({SampleVideo().digest(), before, SampleVideo(image=str(image)).digest()}) == 3
    with pytest.raises(SettingError, match=r"possible: none[\s\S]*conditional_frames"):
        next(iter(SampleVideo(image=str(image)).annotate([TrainedModel(id="m", model=trained[1])])))


def test_another_tokenizer_or_text_encoder_is_refused(
    trained: tuple[TrainedWorld, Artifact], tmp_path: Path
) -> None:
    import torch

    from training.tokenizers.patch import PatchTokenizer, PatchTokenizerConfig
    from training.tokenizers.weights import save_weights

    torch.manual_seed(0)
    save_weights(PatchTokenizer(PatchTokenizerConfig(width=8)), tmp_path / "tokenizer.safetensors", {})
    for settings, message in (
        ({"tokenizer": str(tmp_path)}, "not the one that made the latents"),
        ({"text_encoder": "t5"}, "trained with the text encoder byte_level, not with t5"),
    ):
        with pytest.raises(CheckpointError, match=message):
            next(iter(SampleVideo(**settings).annotate([TrainedModel(id="m", model=trained[1])])))


def test_the_stage_samples_as_the_command() -> None:
    """All but how ranks and threads share the work, and what only models of several cameras have."""
    requested = {field.name for field in fields(SamplingRequest)}
    left_out = requested - set(SampleVideo().settings())
    of_several_cameras = {"views", "images", "trajectory"}
    assert left_out - of_several_cameras == {"context_parallel_method", "num_threads"}
    verbs = argparse.ArgumentParser().add_subparsers()
    add_sample_verb(verbs)
    options = {action.dest for action in verbs.choices["sample"]._actions} - {"help", "model", "out"}
    of_tokens = {field.name for field in fields(TokenSamplingRequest)} | {"num_samples"}
    assert options - of_tokens <= requested
    assert requested - {"num_threads", "images"} <= options  # --image is that of each view too


@pytest.mark.parametrize(
    ("setting", "known"), [("model", "tiny"), ("lr_schedule", "cosine"), ("precision", "bf16")]
)
def test_an_unknown_choice_is_an_error_before_any_work(setting: str, known: str) -> None:
    with pytest.raises(TrainingError, match=f"no {setting} 'x'") as caught:
        TrainWorld(**{setting: "x"})
    assert known in caught.value.remedy


def test_a_distilled_model_is_sampled_as_it_was_distilled(
    packed: list[PackedLatents], trained: tuple[TrainedWorld, Artifact], tmp_path: Path
) -> None:
    with trained[1].local() as teacher:
        settings = {"distillation": "trajectory", "distillation_steps": 1, "distillation_teacher_steps": 1}
        settings |= {"init_from": str(teacher), "steps": 1, "batch_size": 2, "num_threads": 1}
        student = train_on_rows(iter(packed), tmp_path / "work", settings).model
    model = student.save(open_store(str(tmp_path / "s")), "train")
    row = TrainedModel(id="m", model=model)
    assert next(iter(SampleVideo().annotate([row]))).video_frames == 9
    with pytest.raises(SettingError, match="distilled"):
        list(SampleVideo(num_inference_steps=7).annotate([row]))
    with pytest.raises(InvalidSetting, match="there is no file"):
        SampleVideo(trajectory="nowhere.npy").digest()


def test_a_running_training_tells_its_step_and_loss(tmp_path: Path) -> None:
    stage = TrainWorld(steps=40)
    assert stage.progress(tmp_path) == (0.0, "")
    lines = [json.dumps({"step": n, "loss": 1 / n, "grad_norm": 0.1}) + "\n" for n in (1, 2, 10)]
    (tmp_path / "curve.jsonl").write_text("".join(lines) + '{"step": 11, "lo')  # a line that is being written
    assert stage.progress(tmp_path) == (0.25, "step 10/40, loss 0.1000")
    assert TrainWorld(steps=40, stages="stages.yaml").progress(tmp_path) == (0.0, "step 10, loss 0.1000")


def test_a_model_follows_the_actions_of_its_clips(
    pack_clips: Callable[..., list[PackedLatents]], tmp_path: Path
) -> None:
    rows = pack_clips("small", 2, has_actions=True)
    settings = {"steps": 1, "batch_size": 2, "num_threads": 1, "text_encoder": "none"}
    stage = TrainWorld(conditions="action", action_dropout=0.0, **settings)
    model = stage.run(iter(rows), tmp_path / "work").model.save(open_store(str(tmp_path / "s")), "train")
    given = [TrainedModel(id="m", model=model)]
    np.save(tmp_path / "actions.npy", np.full((6, 2), 4.0))
    sample = SampleVideo(actions=str(tmp_path / "actions.npy"), num_inference_steps=1)
    (row,) = sample.annotate(given)
    assert row.video_frames == 7
    before = sample.digest()
    np.save(tmp_path / "actions.npy", np.full((5, 2), 4.0))
    assert sample.digest() != before
    with pytest.raises(InvalidSetting, match="there is no file"):
        SampleVideo(camera_trajectory="nowhere.npy").digest()
    assert SampleVideo(camera_trajectory="forward").digest() == SampleVideo().digest()
    with pytest.raises(SettingError, match="always had its action"):
        list(SampleVideo(num_inference_steps=1).annotate(given))
    with pytest.raises(LatentMismatchError, match="the clips have no camera_pose"):
        TrainWorld(conditions="camera", **settings).run(iter(rows), tmp_path / "refused")
