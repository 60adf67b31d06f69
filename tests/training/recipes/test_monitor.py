"""Validation, previews and event files show a training and do not change it."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from training.callbacks.loss_curve import TIMING_KEYS, read_loss_curve
from training.data.shards import LatentShards
from training.diffusion.conditioning import Conditioning
from training.diffusion.path import RectifiedFlow
from training.errors import SettingError, TrainingError
from training.evaluation.clips import EvaluationClips
from training.evaluation.evaluate import Evaluator, evaluate
from training.evaluation.previews import PreviewRequest, Previews
from training.networks.config import MODEL_CONFIGS
from training.recipes.config import SAME_BITS_SETTINGS
from training.recipes.objective import build_condition_timestep_sampler
from training.recipes.sampling import SamplingRequest, sample, write_video
from training.recipes.world import TrainingResult, train
from training.tokenizers import load_tokenizer, tokenizer_digest

MakeShard = Callable[..., tuple[str, str]]
Pairs = list[tuple[str, str]]
SHORT: dict[str, Any] = {
    "batch_size": 2,
    "warmup_steps": 1,
    "checkpoint_interval": 2,
    "num_threads": 1,
    "conditional_frames": (0.5, 0.5),
}


@pytest.fixture
def data(make_shard: MakeShard) -> Pairs:
    digest = tokenizer_digest("small")
    return [
        make_shard("films/a", [f"clip{n}" for n in range(4)], shape=(16, 2, 4, 4), tokenizer_digest=digest),
        make_shard("photos/a", ["image0", "image1"], shape=(16, 1, 4, 4), tokenizer_digest=digest),
    ]


def read_lines(result: TrainingResult) -> list[dict[str, Any]]:
    file = result.model.parent / "validation.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def curve(result: TrainingResult) -> list[dict[str, float]]:
    lines = read_loss_curve(result.loss_curve)
    return [{name: value for name, value in line.items() if name not in TIMING_KEYS} for line in lines]


@pytest.mark.slow
def test_a_watched_training_has_the_same_bits(
    data: Pairs, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    alone = train({"data": data, "steps": 3, **SHORT, "quiet": True}, tmp_path / "alone")
    shown = {"validation_data": data, "validation_interval": 2, "tensorboard": True, "quiet": False}
    shown |= {"preview_interval": 3, "preview_num_inference_steps": 1, "validation_max_clips": 6}
    shown |= {"async_checkpoint": False, "checkpoint_interval": 3, "activation_checkpointing": "full"}
    shown |= {"max_skipped_steps": 1, "num_workers": 3, "prefetch_factor": 1}
    shown |= {"init_timeout_seconds": 300, "train_timeout_seconds": 30}
    assert {"data", "preview_prompts", *shown} == SAME_BITS_SETTINGS
    watched = train({"data": data, "steps": 3, **SHORT, **shown}, tmp_path / "watched")
    assert watched.model.read_bytes() == alone.model.read_bytes()
    assert curve(watched) == curve(alone)
    lines = read_lines(watched)
    assert [line["step"] for line in lines] == [2, 3]
    assert watched.validation is not None
    assert lines[-1] == {"step": 3, **watched.validation.to_json()}
    again = evaluate(watched.model, data, num_threads=1)
    assert again.loss == pytest.approx(watched.validation.loss, rel=1e-5)
    assert again.loss_by_mode == pytest.approx(watched.validation.loss_by_mode, rel=1e-5)
    printed = capfd.readouterr().err
    assert f"validation at step 2 of 6 clips · loss {lines[0]['loss']:.4f}" in printed
    assert "image_to_video" in printed
    _check_events(tmp_path / "watched" / "tensorboard", watched)
    _check_previews(tmp_path / "watched" / "previews")
    resumed = train({"data": data, "steps": 5, **SHORT, **shown}, tmp_path / "watched")
    assert [line["step"] for line in read_lines(resumed)] == [2, 3, 4, 5]


def _check_events(folder: Path, result: TrainingResult) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    losses = {event.step: event.value for event in events.Scalars("loss")}
    assert losses == pytest.approx({line["step"]: line["loss"] for line in curve(result)})
    steps = [event.step for event in events.Scalars("validation/loss_by_mode/image_to_video")]
    assert steps == [2, 3]
    assert {"tokens_per_s", "peak_memory_gib", "validation/linear_loss"} <= set(events.Tags()["scalars"])


def _check_previews(folder: Path) -> None:
    """Four held-out clips: two of them films, whose first frame is given."""
    import av

    assert sorted(file.name for file in folder.glob("*.mp4")) == [f"step-00000003-{n}.mp4" for n in range(4)]
    assert (folder / "prompts.txt").read_text().splitlines()[0] == "a image0 shot"
    with av.open(str(folder / "step-00000003-3.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [frame.shape for frame in frames] == [(32, 32, 3)] * 5


def test_previews_of_prompts_equal_sampled_videos(data: Pairs, tmp_path: Path) -> None:
    prompts, out = tmp_path / "prompts.txt", tmp_path / "out"
    prompts.write_text("a slow pan\n\na red car, at night\n")
    settings = {**SHORT, "steps": 1, "conditional_frames": (1.0,), "preview_num_inference_steps": 1}
    settings |= {"data": data[:1], "preview_interval": 1, "quiet": True}
    train({**settings, "preview_prompts": str(prompts)}, out)
    request = SamplingRequest(prompt=["a slow pan", "a red car, at night"], num_inference_steps=1)
    for number, frames in enumerate(sample(out, request).videos):
        write_video(frames, 12.0, tmp_path / "sampled.mp4")
        preview = out / "previews" / f"step-00000001-{number}.mp4"
        assert preview.read_bytes() == (tmp_path / "sampled.mp4").read_bytes()


def test_what_previews_and_event_files_need_is_checked_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for settings, message in (
        ({"preview_interval": 1}, "previews need prompts"),
        ({"preview_interval": 1, "preview_prompts": "nowhere.txt"}, "cannot be read"),
    ):
        with pytest.raises(SettingError, match=message):
            train({"data": [], **settings}, tmp_path)
    for package, settings in (("av", {"preview_interval": 1}), ("tensorboard", {"tensorboard": True})):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(TrainingError, match=f"pip install {package}"):
            train({"data": [], **settings}, tmp_path)


def test_each_stage_is_evaluated_as_it_is_trained(
    data: Pairs, make_shard: MakeShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the given frames of the stage, on held-out clips of its sizes, or of its data if that has some."""
    monkeypatch.setitem(MODEL_CONFIGS, "tiny", replace(MODEL_CONFIGS["tiny"], num_layers=1))
    digest, shape = tokenizer_digest("small"), (16, 3, 4, 8)
    wide = make_shard("other/000000", ["wide0", "wide1"], shape=shape, tokenizer_digest=digest)
    make_shard("other/latents-validation/000000", ["wide2"], shape=shape, tokenizer_digest=digest)
    stages = f"""
- {{steps: 1, conditional_frames: [1]}}
- {{steps: 1, conditional_frames: [0, 1], condition_timestep_std: 1}}
- {{steps: 1, data: {Path(wide[0]).parent}, max_latent_frames: 2}}
"""
    shown = {"validation_data": data, "validation_interval": 1, "preview_interval": 1, "quiet": True}
    settings = {**SHORT, **shown, "preview_num_inference_steps": 1, "text_encoder": "none"}
    result = train({"data": data, "stages": stages, **settings}, tmp_path / "out")
    lines = read_lines(result)
    assert [set(line["loss_by_mode"]) for line in lines] == [
        {"text_to_image", "text_to_video"},
        {"text_to_image", "image_to_video"},
        {"text_to_video", "image_to_video"},
    ]
    assert [list(line["loss_by_bucket"]) for line in lines] == [["1x4x4", "2x4x4"]] * 2 + [["2x4x8"]]
    assert (tmp_path / "out/previews/prompts.txt").read_text() == "a wide2 shot\n"
    videos = sorted(file.name for file in (tmp_path / "out/previews").glob("*.mp4"))
    assert videos == [f"step-0000000{step}-{n}.mp4" for step in (1, 2) for n in range(4)] + [
        "step-00000003-0.mp4"
    ]
    again = train({"data": data, "stages": stages, **settings}, tmp_path / "out")  # all steps are taken
    assert again.validation == result.validation


def test_given_frames_are_as_noisy_as_in_training(data: Pairs, tmp_path: Path) -> None:
    """In evaluations with the timesteps of training, in previews with that of the command sample."""
    seen: list[Conditioning] = []

    class Denoiser(nn.Module):
        path = RectifiedFlow()

        def forward(self, noisy: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
            seen.append(conditioning)
            return noisy

    sampler = build_condition_timestep_sampler("rectified_flow", -1.0, 1.0)
    clips = EvaluationClips(LatentShards(data[:1]), 4)
    Evaluator(Denoiser(), clips, None, {1: 1.0}, condition_timestep_sampler=sampler)()  # type: ignore[arg-type]
    (batch,) = clips.batches(4)
    for conditioning in seen:
        t, given = conditioning.condition_timestep, conditioning.condition_latents
        assert t is not None
        assert given is not None
        assert len(set(t.tolist())) == 4
        noise = (given - (1 - t)[:, None, None, None, None] * batch.clips.latents).flatten(1)
        assert (noise.std(1) / t).tolist() == pytest.approx([1.0] * 4, abs=0.15)
        assert torch.equal(given, seen[0].condition_latents)  # type: ignore[arg-type]
    seen.clear()
    frame, shape = batch.clips.latents[0, :, 0], (16, 2, 4, 4)
    settings: dict[str, Any] = {"condition_timestep": 0.25, "num_inference_steps": 1}
    for has_noise in (True, False):
        previews = Previews(
            model := Denoiser(), model, {}, [PreviewRequest("", frame)], shape, 12.0,  # type: ignore[arg-type]
            load_tokenizer("small"), None, tmp_path, **settings, has_condition_noise=has_noise, writes=False,
        )  # fmt: skip
        previews(1)
        previews.close()
        given = seen.pop().condition_latents
        assert given is not None
        noise = given[0, :, 0] - (0.75 if has_noise else 1.0) * frame
        assert float(noise.std()) == pytest.approx(0.25 if has_noise else 0.0, abs=0.04)
