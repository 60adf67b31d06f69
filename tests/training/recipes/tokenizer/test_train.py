"""A tokenizer is trained on the one trainer: exact resume, ranks, an adversarial stage, files and errors."""

import json
import math
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from training.callbacks.loss_curve import TIMING_KEYS, read_loss_curve
from training.cli import main
from training.errors import CheckpointError, SettingError, StoppedError, TrainingError
from training.recipes.tokenizer.train import evaluate_reconstruction, train_tokenizer
from training.tokenizers import load_tokenizer
from training.tokenizers.causal import CausalTokenizer
from training.tokenizers.cosmos.diffusers_config import save_cosmos
from training.tokenizers.cosmos.tokenizer import CosmosTokenizer
from training.tokenizers.crops import RandomCrops
from training.tokenizers.weights import build_tokenizer, read_metadata, save_weights

SCRIPT = Path(__file__).with_name("tokenizer_ranks.py")
SETTINGS = {
    "width": 8, "encoder_blocks": 1, "decoder_blocks": 1, "size_px": 32, "frames": 5, "batch_size": 4,
    "statistics_batches": 1, "warmup_steps": 1, "steps": 5, "image_share": 0.3, "adversarial_weight": 0.1,
    "adversarial_start": 2, "discriminator_channels": 4, "num_threads": 1, "quiet": True,
}  # fmt: skip
WITHOUT_NETWORK = {
    k: v for k, v in SETTINGS.items() if k not in ("width", "encoder_blocks", "decoder_blocks")
}
SCORES = {"adversarial", "discriminator/real", "discriminator/reconstructed", "discriminator/grad_norm"}
Curve = list[dict[str, float]]


def curve(work: Path) -> Curve:
    lines = read_loss_curve(work / "curve.jsonl")
    return [{k: v for k, v in line.items() if k not in TIMING_KEYS} for line in lines]


@pytest.fixture(scope="module")
def trained(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that was not interrupted."""
    work = tmp_path_factory.mktemp("trained")
    train_tokenizer(SETTINGS | {"data": str(frames)}, work)
    return work


@pytest.mark.parametrize("stop_at", [1, 3])  # before and in the adversarial stage
def test_a_resumed_training_gives_the_same_bytes(
    frames: Path, trained: Path, tmp_path: Path, stop_at: int
) -> None:
    calls = 0

    def stop_requested() -> bool:
        nonlocal calls
        calls += 1
        return calls == stop_at

    settings = SETTINGS | {"data": str(frames)}
    with pytest.raises(StoppedError):
        train_tokenizer(settings, tmp_path, stop_requested)
    assert len(curve(tmp_path)) == stop_at
    train_tokenizer(settings, tmp_path)
    file = "tokenizer.safetensors"
    assert (tmp_path / file).read_bytes() == (trained / file).read_bytes()
    assert curve(tmp_path) == curve(trained)


@pytest.mark.slow
def test_two_ranks_give_the_losses_of_one(
    frames: Path, trained: Path, tmp_path: Path, on_ranks: Callable[..., str]
) -> None:
    on_ranks(2, SCRIPT, json.dumps(SETTINGS | {"data": str(frames)}), tmp_path)
    for ours, expected in zip(curve(tmp_path), curve(trained), strict=True):
        # Adam divides the gradient of the last bias, which is only rounding, by its norm.
        scores = {k: v for k, v in expected.items() if k in SCORES}
        assert {k: ours.pop(k) for k in scores} == pytest.approx(scores, rel=5e-3, abs=1e-3)
        rest = {k: v for k, v in expected.items() if k not in SCORES}
        assert ours == pytest.approx(rest, rel=5e-4, abs=1e-5)
    ours, expected = (load_file(work / "tokenizer.safetensors") for work in (tmp_path, trained))
    assert ours.keys() == expected.keys()
    for name, weights in expected.items():
        torch.testing.assert_close(ours[name], weights, atol=2e-3, rtol=1e-2)  # float16


def test_the_two_steps_of_the_adversarial_stage_log_apart(trained: Path) -> None:
    lines = curve(trained)
    assert [line["step"] for line in lines if "adversarial" in line] == [3, 4, 5]
    assert [line["step"] for line in lines if "discriminator/loss" in line] == [3, 4, 5]
    first = lines[2]
    assert first["lr"] == 1e-3
    assert first["discriminator/lr"] == 1e-4
    assert first["loss"] != first["discriminator/loss"]
    assert first["adversarial_scale"] > 0


def test_the_file_records_how_it_was_trained(frames: Path, trained: Path) -> None:
    file = trained / "tokenizer.safetensors"
    record = read_metadata(file.read_bytes(), file)["trained"]
    assert record["data"] == ["film0", "film1"]
    assert record["steps"] == record["settings"]["steps"] == 5
    assert "data" not in record["settings"]
    latents = load_tokenizer(str(trained)).encode(RandomCrops(frames, size=32, frames=5).batch(0, 8))
    assert 0.3 < float(latents.std()) < 3


def test_a_training_starts_from_a_tokenizer(frames: Path, trained: Path, tmp_path: Path) -> None:
    settings = WITHOUT_NETWORK | {"data": str(frames), "init_from": str(trained), "adversarial_weight": 0.0}
    train_tokenizer(settings | {"steps": 1, "lr": 1e-9}, tmp_path)
    ours, before = (load_tokenizer(str(work)) for work in (tmp_path, trained))
    video = RandomCrops(frames, size=32, frames=5).batch(1, 2)
    torch.testing.assert_close(
        ours.decode(ours.encode(video)), before.decode(before.encode(video)), atol=2e-2, rtol=0
    )
    records = [read_metadata(file.read_bytes(), file)["trained"] for file in (
        tmp_path / "tokenizer.safetensors", trained / "tokenizer.safetensors"
    )]  # fmt: skip
    assert records[0]["before"] == records[1]


def test_a_discrete_tokenizer_improves_on_its_start(frames: Path, tmp_path: Path) -> None:
    settings = SETTINGS | {"data": str(frames), "validation_data": str(frames), "levels": (8, 5, 5)}
    settings |= {"adversarial_weight": 0.0, "steps": 30, "lr": 3e-3, "lr_schedule": "cosine"}
    result = train_tokenizer(settings | {"ema_sigma_rel": 0.2, "validation_interval": 10}, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "validation.jsonl").read_text().splitlines()]
    scores = [line["128px"]["psnr_db"] for line in lines]
    assert len(scores) == 3
    assert scores[-1] > scores[0] + 0.2
    assert scores[-1] == result.validation["128px"]["psnr_db"]
    tokenizer = load_tokenizer(str(result.tokenizer))
    assert tokenizer.codebook_size == 200
    again = evaluate_reconstruction(tokenizer, frames)["128px"]["psnr_db"]  # from the float16 file
    assert again == pytest.approx(scores[-1], abs=0.05)


def test_a_tokenizer_may_have_a_latent_frame_for_each_frame(frames: Path, tmp_path: Path) -> None:
    settings = SETTINGS | {"data": str(frames), "stride": (1, 4, 8), "steps": 1, "adversarial_weight": 0.0}
    tokenizer = load_tokenizer(str(train_tokenizer(settings, tmp_path).tokenizer))
    assert tokenizer.stride == (1, 4, 8)
    assert tokenizer.encode(torch.zeros(1, 3, 3, 16, 16)).shape == (1, 16, 3, 4, 2)


@pytest.mark.slow
def test_a_cosmos_network_in_bf16(frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training.recipes.tokenizer import network
    from training.tokenizers.cosmos.config import CosmosTokenizerConfig

    small = CosmosTokenizerConfig(
        latent_channels=4, encoder_block_out_channels=(8, 8, 8, 8), decode_block_out_channels=(8, 8, 8, 8)
    )
    monkeypatch.setitem(network.CONFIGS, "CV8x8x8", small)
    settings = SETTINGS | {"data": str(frames), "model": "CV8x8x8", "precision": "bf16", "frames": 9}
    settings |= {"validation_data": str(frames)}
    train_tokenizer(settings | {"steps": 3, "grad_accum_steps": 2}, tmp_path)
    losses = [line["loss"] for line in curve(tmp_path)]
    assert len(losses) == 3
    assert all(map(math.isfinite, losses))
    state = load_file(tmp_path / "tokenizer.safetensors")
    assert state["encoder.conv_in.conv_s.weight"].shape[1] == 192


@pytest.mark.slow
def test_the_adversarial_stage_is_stable_over_300_steps(frames: Path, tmp_path: Path) -> None:
    settings = SETTINGS | {
        "data": str(frames),
        "steps": 300,
        "adversarial_start": 50,
        "checkpoint_interval": 300,
    }
    train_tokenizer(settings, tmp_path)
    lines = curve(tmp_path)
    assert len(lines) == 300
    assert not any("skipped" in line for line in lines)
    assert all(math.isfinite(value) for line in lines for value in line.values())
    start, end = (np.mean([line["mse"] for line in part]) for part in (lines[:20], lines[-20:]))
    assert end < start
    scores = [abs(line["discriminator/real"]) for line in lines[-50:]]
    assert max(scores) < 5


@pytest.mark.slow
def test_a_training_starts_from_a_folder_of_diffusers(frames: Path, tmp_path: Path) -> None:
    config = {
        "latent_channels": 4, "encoder_block_out_channels": [8, 8, 8, 8],
        "decode_block_out_channels": [8, 8, 8, 8], "num_layers": 1,
    }  # fmt: skip
    tokenizer = build_tokenizer("cosmos", config)
    assert isinstance(tokenizer, CosmosTokenizer)
    save_cosmos(tokenizer, tmp_path / "vae")
    settings = WITHOUT_NETWORK | {"data": str(frames), "init_from": str(tmp_path / "vae"), "steps": 1}
    train_tokenizer(settings | {"adversarial_weight": 0.0, "frames": 9}, tmp_path / "out")
    assert load_tokenizer(str(tmp_path / "out")).channels == 4


def test_a_tokenizer_without_weights_is_not_trained(frames: Path, tmp_path: Path) -> None:
    settings = WITHOUT_NETWORK | {"data": str(frames), "init_from": "pixels-4", "steps": 1}
    with pytest.raises(SettingError, match="PixelTokenizer cannot be trained"):
        train_tokenizer(settings, tmp_path / "out")


def _write_media(folder: Path) -> None:
    """A video in H.264, an image, a text, and a video that is cut off."""
    import av
    from PIL import Image

    with av.open(str(folder / "film.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=12, options={"crf": "10", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = Fraction(1, 12)
        for k in range(24):
            image = np.broadcast_to((np.arange(64) * 3 + 2 * k).astype(np.uint8)[None, :, None], (48, 64, 3))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    Image.fromarray(np.full((40, 50, 3), 90, np.uint8)).save(folder / "picture.png")
    (folder / "notes.txt").write_text("no video")
    (folder / "broken.mp4").write_bytes((folder / "film.mp4").read_bytes()[:300])


def test_the_command_trains_on_videos_and_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    _write_media(videos)
    knobs = [f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in SETTINGS.items()]
    command = ["train", "tokenizer", "--data", str(videos), "--out", str(tmp_path / "out"), *knobs]
    assert main([*command, "--validation-data", str(videos), "frames_short_side_px=40", "steps=2"]) == 0
    out, err = capsys.readouterr()
    assert "2 steps" in out
    assert "validation 128px: PSNR" in out
    assert "broken.mp4 is left out" in err
    arrays = {path.name: np.load(path).shape for path in (tmp_path / "out" / "frames").glob("*.npy")}
    assert arrays["picture.png.0.npy"] == (1, 40, 50, 3)
    assert arrays["film.mp4.0.npy"] == (8, 40, 53, 3)
    assert main([*command, "frames_short_side_px=40", "steps=2"]) == 0  # nothing is left to do


def test_all_knobs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tokenizer", "--list-knobs"]) == 0
    out = capsys.readouterr().out
    assert "adversarial_start=0\n    Step at which the adversarial stage starts." in out
    assert "\nlevels=\n" in out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "CV9"}, "no model 'CV9'"),
        ({"frames": 6}, "1 \\+ a multiple of 4"),
        ({"frames": 33}, "no .npy file .* has 33 frames"),
        ({"batch_size": 3, "grad_accum_steps": 2}, "multiple of 2"),
        ({"gram_weight": 1.0}, "there are no vgg_weights"),
        ({"vgg_weights": "missing.safetensors"}, "there is no such file"),
        ({"levels": (8, 1)}, "whole numbers of 2 or more"),
        ({"stride": (4, 8)}, "three whole numbers"),
        ({"stride": (1, 16, 16), "size_px": 40}, "size_px to a multiple of 16"),
        (
            {"l1_weight": 0.0, "difference_weight": 0.0, "perceptual_weight": 0.0},
            "all weights of losses are 0",
        ),
        ({"lr": 0.0}, "lr: 0.0 is out of range"),
        ({"levels": (64_000, 64_000)}, "more than 16777216 codes"),
        ({"init_from": "small", "width": 9}, "width, .* would have no effect"),
        ({"size_px": 8}, "structural loss needs 11 px"),
        ({"data": "nowhere"}, "no such folder"),
    ],
)
def test_settings_that_do_not_fit(
    frames: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    other = {"frames", "batch_size", "vgg_weights"} & changes.keys()
    error = TrainingError if other else SettingError
    with pytest.raises(error, match=message):
        train_tokenizer(SETTINGS | {"data": str(frames)} | changes, tmp_path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((9, 40, 40, 3), np.float32), "float32"),
        (np.zeros((9, 40, 40), np.uint8), r"\[9, 40, 40\], and not uint8 \[t h w 3\]"),
        (np.zeros((9, 3, 40, 40), np.uint8), r"\[9, 3, 40, 40\]"),
        (np.zeros((9, 12, 40, 3), np.uint8), "frames of 16 px or more"),
        (None, "cannot be read"),
    ],
)
def test_an_array_that_is_not_one_of_frames_is_named(
    frames: Path, tmp_path: Path, array: Any, message: str
) -> None:
    if array is None:
        (tmp_path / "a.npy").write_bytes(b"")
    else:
        np.save(tmp_path / "a.npy", array)
    for settings in ({"data": str(tmp_path)}, {"data": str(frames), "validation_data": str(tmp_path)}):
        with pytest.raises(SettingError, match=message) as raised:
            train_tokenizer(SETTINGS | settings, tmp_path / "out")
        assert "a.npy" in str(raised.value)


def test_arrays_beside_videos_are_refused(frames: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((9, 40, 40, 3), np.uint8))
    (tmp_path / "b.mp4").write_bytes(b"x")
    with pytest.raises(SettingError, match=r"has arrays and b\.mp4"):
        train_tokenizer(SETTINGS | {"data": str(tmp_path)}, tmp_path / "out")


def test_resuming_with_other_data_is_reported(
    frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    np.save(other / "film9.0.npy", np.load(frames / "film0.0.npy")[:10])
    settings = SETTINGS | {"quiet": False, "validation_data": str(frames), "adversarial_weight": 0.0}
    for data, steps in ((frames, 2), (frames, 2), (other, 3)):
        train_tokenizer(settings | {"data": str(data), "steps": steps}, tmp_path / "out")
    assert re.search("resuming at step 2 with .*data [0-9a-f]{64} ", capsys.readouterr().err)
    lines = (tmp_path / "out" / "validation.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 3]


def test_weights_that_are_too_large_for_float16_are_stored_as_float32(trained: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(trained))
    assert isinstance(tokenizer, CausalTokenizer)
    weight = next(tokenizer.parameters())
    weight.flatten()[0] = 1e6
    save_weights(tokenizer, tmp_path / "tokenizer.safetensors", {})
    again = load_tokenizer(str(tmp_path))
    assert isinstance(again, CausalTokenizer)
    assert float(next(again.parameters()).flatten()[0]) == 1e6
    weight.flatten()[0] = math.nan
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        save_weights(tokenizer, tmp_path / "tokenizer.safetensors", {})


def test_another_network_in_the_same_folder_is_refused(frames: Path, trained: Path) -> None:
    with pytest.raises(TrainingError, match=r"config\.width 8 \(not 16\)"):
        train_tokenizer(SETTINGS | {"data": str(frames), "width": 16, "steps": 6}, trained)
