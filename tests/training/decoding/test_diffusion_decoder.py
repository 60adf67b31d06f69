"""Codes decoded by diffusion: windows, noise, sizes, training, resume, layouts and the table of qualities."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.autoregressive.toy_codes import toy_clip, write_codes
from training.callbacks.loss_curve import read_loss_curve
from training.cli import main
from training.data.find_shards import find_shards
from training.decoding.diffusion_decoder import DecodingOptions, open_diffusion_decoder
from training.decoding.sample import TokenSamplingRequest, sample_token_model
from training.decoding.windows import WindowedDenoiser, blend_weights, window_spans
from training.diffusion.conditioning import Conditioning
from training.errors import CheckpointError, LatentMismatchError, SettingError
from training.evaluation.evaluate import evaluate
from training.model import load_model, read_model_info
from training.networks.config import MODEL_CONFIGS, VideoDiTConfig
from training.networks.video_dit import VideoDiT
from training.recipes.autoregressive.train import train_autoregressive
from training.recipes.export import export
from training.recipes.sampling import SamplingRequest, sample
from training.recipes.world import train
from training.tensors import Latents, Timestep
from training.tokenizers import load_tokenizer
from training.tokenizers.code_latents import CodeLatents

MakeShard = Callable[..., tuple[str, str]]
OnRanks = Callable[..., str]
SETTINGS: dict[str, Any] = {
    "batch_size": 2,
    "path": "edm",
    "text_encoder": "none",
    "code_dropout": 0.5,
    "warmup_steps": 1,
    "num_threads": 1,
    "quiet": True,
}


@pytest.fixture(autouse=True)
def _smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODEL_CONFIGS, "tiny", replace(MODEL_CONFIGS["tiny"], num_layers=1))


@pytest.fixture
def data(make_shard: MakeShard) -> dict[str, Any]:
    """Latents and codes of the same clips."""
    codes, latents = load_tokenizer("small-discrete"), load_tokenizer("small")
    ids = ["one", "two", "three", "four"]
    pair = make_shard("latents/a/000000", ids, tokenizer_digest=latents.digest)
    metadata = {"tokenizer": "small-discrete", "tokenizer_digest": codes.digest, "dtype": "uint16"}
    size = {"codebook_size": codes.codebook_size}
    tar, _ = make_shard("codes/a/000000", ids[::-1], shape=(1, 3, 4, 6), **metadata, **size)
    return {"data": [pair], "codes": str(Path(tar).parents[1])}


def test_codes_are_channels_of_the_network_and_no_code_is_none_of_them() -> None:
    config = VideoDiTConfig(num_layers=1, code_channels=8, codebook_size=64, code_levels=(4, 4, 4))
    network = VideoDiT(config)
    torch.nn.init.normal_(network.proj_out.weight)
    network.norm_out.linear_2.weight.data.normal_()
    noisy, t = torch.randn(2, 16, 3, 4, 4), torch.ones(2)
    codes = torch.randint(0, 64, (2, 3, 2, 4))

    def run(codes: torch.Tensor | None) -> torch.Tensor:
        return network(noisy, t, Conditioning(codes=codes))

    known = Conditioning(codes=codes)
    dropped = known.without_codes(torch.tensor([True, False])).codes
    assert torch.equal(run(dropped)[1], run(codes)[1])
    assert torch.equal(run(dropped)[0], run(None)[0])
    assert not torch.allclose(run(torch.zeros_like(codes)), run(None))
    table = network.code_embed.embedding.weight  # type: ignore[union-attr]
    assert torch.equal(table[-1], torch.zeros(8))
    torch.testing.assert_close(table[1] - table[0], table[21] - table[20])  # the same step on the lattice
    with pytest.raises(ValueError, match="do not fit latents"):
        run(codes[:, :2])


@pytest.mark.parametrize("frames", [1, 2, 5, 6, 7, 12, 13, 23])
@pytest.mark.parametrize(("window", "overlap"), [(5, 2), (5, 0), (4, 3), (1, 0)])
def test_windows_cover_each_frame_with_weights_that_sum_to_one(
    frames: int, window: int, overlap: int
) -> None:
    spans = window_spans(frames, window, overlap)
    assert {stop - start for start, stop in spans} == {min(frames, window)}
    torch.testing.assert_close(blend_weights(spans).sum(0), torch.ones(frames))
    assert blend_weights(spans).min() >= 0

    def from_codes(noisy: Latents, t: Timestep, known: Conditioning) -> Latents:
        assert known.codes is not None
        return known.codes[:, None].float().expand_as(noisy)

    codes = torch.arange(frames)[None, :, None, None].expand(1, frames, 2, 2)
    denoiser = WindowedDenoiser(from_codes, window, overlap)
    clean = denoiser(torch.zeros(1, 3, frames, 2, 2), torch.ones(1), Conditioning(codes=codes))
    torch.testing.assert_close(clean, codes[:, None].float().expand_as(clean))  # no frame twice, none moved


def test_an_overlap_as_long_as_the_window_is_refused() -> None:
    with pytest.raises(SettingError, match="cannot overlap by 3"):
        WindowedDenoiser(lambda noisy, t, known: noisy, 3, 3)


def test_it_trains_resumes_and_decodes_and_wrong_uses_are_refused(
    data: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = tmp_path / "work"
    settings = {**SETTINGS, **data}
    train({**settings, "steps": 1}, work)
    result = train({**settings, "steps": 2, "validation_data": data["data"]}, work)
    whole = train({**settings, "steps": 2}, tmp_path / "whole")
    assert result.model.read_bytes() == whole.model.read_bytes()
    assert result.validation is not None
    info = read_model_info(work)
    assert info.codes["tokenizer"] == "small-discrete"
    assert info.codes["codebook_size"] == info.network.codebook_size == 64000  # type: ignore[union-attr]
    assert info == load_model(work)[1]

    codes = find_shards(data["codes"])
    assert evaluate(work, data["data"], codes=codes).clips == 4
    with pytest.raises(SettingError, match="a diffusion decoder, which reads codes"):
        evaluate(work, data["data"])
    with pytest.raises(SettingError, match="decodes the codes of a clip, and samples none"):
        sample(work, SamplingRequest(prompt=[""]))
    with pytest.raises(SettingError, match="a VideoDiT that reads codes"):
        export(work, tmp_path / "diffusers", "diffusers")
    with pytest.raises(CheckpointError, match=r"codes\.digest"):
        train({**SETTINGS, "data": data["data"], "steps": 3}, work)
    with pytest.raises(LatentMismatchError, match="the training has codes of no codes"):
        train({**SETTINGS, "data": data["data"], "steps": 1, "init_from": str(work)}, tmp_path / "other")
    with pytest.raises(SettingError, match="model=unet3d-tiny cannot read codes"):
        train({**settings, "model": "unet3d-tiny"}, tmp_path / "unet")
    with pytest.raises(CheckpointError, match="made the codes that the model was trained on"):
        open_diffusion_decoder(work, code_tokenizer="small")
    train({**settings, "steps": 1, "init_from": str(work)}, tmp_path / "more")

    _check_decoding(work)
    videos = tmp_path / "videos"
    videos.mkdir()
    np.save(videos / "a.npy", np.random.default_rng(0).integers(0, 255, (9, 24, 40, 3), dtype=np.uint8))
    steps = ["--num-inference-steps", "1", "2", "--num-threads", "1"]
    assert main(["evaluate", "tokenizer", str(videos), "--diffusion-decoder", str(work), *steps]) == 0
    table = capsys.readouterr().out
    for name in ("small", "small-discrete", "diffusion decoder, 1 step", "diffusion decoder, 2 steps"):
        assert any(line.strip().startswith(f"{name} ") for line in table.splitlines()), table


def test_with_code_residual_it_begins_with_the_video_of_the_tokenizer_of_the_codes(
    data: dict[str, Any], tmp_path: Path
) -> None:
    settings = {**SETTINGS, **data, "code_residual": True, "lr": 1e-5}
    work = tmp_path / "work"
    train({**settings, "steps": 1}, work)
    result = train({**settings, "steps": 2, "validation_data": data["data"]}, work)
    whole = train({**settings, "steps": 2}, tmp_path / "whole")
    assert result.model.read_bytes() == whole.model.read_bytes()
    assert evaluate(work, data["data"], codes=find_shards(data["codes"])).clips == 4

    decoder = open_diffusion_decoder(work, DecodingOptions(num_inference_steps=1))
    indices = torch.randint(0, 64000, (1, 4, 3, 5), generator=torch.Generator().manual_seed(0))
    guess = CodeLatents(decoder.code_tokenizer, decoder.tokenizer, [1.0] * 16, {})(indices)
    assert guess.square().mean() > 0.1
    error = decoder.decode_to_latents(indices) - guess  # in two windows, and a width that no patch divides
    assert error.square().mean() < 0.01 * guess.square().mean()
    known = Conditioning(codes=indices, code_latents=guess).without_codes()
    assert known.code_latents is not None
    assert not known.code_latents.any()
    with pytest.raises(SettingError, match="code_residual is False, but True in the model of init_from"):
        train({**settings, "steps": 1, "init_from": str(work), "code_residual": False}, tmp_path / "other")


def _check_decoding(work: Path) -> None:
    """Windows, samples, prefixes, sizes that no patch divides, single frames, codes that are none."""
    decoder = open_diffusion_decoder(work, DecodingOptions(num_inference_steps=2))
    indices = torch.randint(0, 64000, (2, 4, 3, 5), generator=torch.Generator().manual_seed(0))
    latents = decoder.decode_to_latents(indices)
    assert latents.shape == (2, 16, 4, 3, 5)
    assert decoder.decode_indices(indices[:1, :1]).shape == (1, 3, 1, 24, 40)
    alone = decoder.decode_to_latents(indices[1:], samples=[1])
    torch.testing.assert_close(alone, latents[1:], atol=1e-5, rtol=1e-5)
    one_window = open_diffusion_decoder(work, DecodingOptions(num_inference_steps=2, window=9))
    fits = indices[:, :3]
    torch.testing.assert_close(one_window.decode_to_latents(fits), decoder.decode_to_latents(fits))
    # the first frames of the first window are those of a clip that ends with it, where no window follows
    prefix = open_diffusion_decoder(work, DecodingOptions(num_inference_steps=1, window=2, overlap=0))
    torch.testing.assert_close(
        prefix.decode_to_latents(indices)[:, :, :2], prefix.decode_to_latents(indices[:, :2])
    )
    with pytest.raises(ValueError, match=r"not all in 0\.\.63999"):
        decoder.decode_to_latents(indices + 64000)


@pytest.mark.slow
def test_ranks_give_the_losses_and_gradients_of_one_rank(
    on_ranks: OnRanks, data: dict[str, Any], tmp_path: Path
) -> None:
    settings = {**SETTINGS, **data, "steps": 2, "lr": 0.01}
    one = train(settings, tmp_path / "one")
    trainings = [
        {**settings, "work": str(tmp_path / "shards")},
        {**settings, "work": str(tmp_path / "context"), "context_parallel": 2},
    ]
    script = Path(__file__).with_name("decoder_ranks.py")
    got = json.loads(on_ranks(2, script, *map(json.dumps, trainings)))
    expected = [[line["loss"], line["grad_norm"]] for line in read_loss_curve(one.loss_curve)]
    assert got == [[pytest.approx(pair, rel=1e-5) for pair in expected]] * 2


def test_it_decodes_the_tokens_of_an_autoregressive_model(data: dict[str, Any], tmp_path: Path) -> None:
    decoder = train({**SETTINGS, **data, "steps": 1}, tmp_path / "decoder").model
    shard = write_codes(tmp_path / "codes.tar", {"clip": toy_clip(0)}, codebook_size=40)
    settings = {"batch_size": 1, "steps": 1, "warmup_steps": 0, "num_threads": 1, "quiet": True}
    model = train_autoregressive({"data": [shard], **settings}, tmp_path / "tokens").model
    plain, decoded = (
        sample_token_model(
            model, TokenSamplingRequest(prompt=["a"], seed=1, num_threads=1, diffusion_decoder=place)
        )
        for place in ("", str(decoder))
    )
    assert plain.videos.shape == decoded.videos.shape
    assert (plain.videos != decoded.videos).any()
