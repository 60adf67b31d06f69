"""Compiled blocks have the losses and gradients of eager ones, also with activation checkpointing."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from training.callbacks.loss_curve import read_loss_curve
from training.diffusion.conditioning import Conditioning
from training.networks.config import VideoDiTConfig
from training.networks.initialization import fill_truncated_normal
from training.networks.video_dit import VideoDiT
from training.parallel.sharding import apply_activation_checkpointing
from training.recipes.world import train

MakeShard = Callable[..., tuple[str, str]]

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch.compile itself


@pytest.fixture(autouse=True)
def _nothing_compiled() -> Iterator[None]:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


@pytest.mark.slow
def test_compiled_blocks_with_full_checkpointing_have_the_gradients_of_eager_ones() -> None:
    network = VideoDiT(VideoDiTConfig(2, 24, 2, adaln_lora_dim=8, text_embed_dim=8))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() > 1:
                fill_truncated_normal(parameter, name, 1, parameter.shape[1] ** -0.5)
    noisy = torch.randn(1, 16, 2, 4, 4, generator=torch.Generator().manual_seed(0))

    def gradients() -> list[torch.Tensor | None]:
        network.zero_grad()
        network(noisy, torch.tensor([0.3]), Conditioning()).square().mean().backward()
        return [parameter.grad for parameter in network.parameters()]

    expected = gradients()
    blocks = list(network.transformer_blocks)
    apply_activation_checkpointing(blocks, "full")
    for block in blocks:
        block.compile(backend="aot_eager")  # as apply_compile does, without generated code
    got = gradients()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1  # of both blocks, without a break
    for eager, compiled in zip(expected, got, strict=True):
        assert eager is not None
        assert compiled is not None
        assert torch.allclose(eager, compiled, rtol=1e-4, atol=1e-5 * float(eager.abs().max()))


@pytest.mark.slow
def test_a_compiled_training_has_the_losses_of_an_eager_one(make_shard: MakeShard, tmp_path: Path) -> None:
    data = [make_shard("a/000000", ["a", "b"]), make_shard("b/000000", ["c", "d"], (16, 2, 6, 4))]
    settings = {"data": data, "steps": 4, "batch_size": 2, "num_threads": 1, "quiet": True}
    settings |= {"activation_checkpointing": "full"}
    curves = []
    for is_compiled in (False, True):
        result = train({**settings, "compile": is_compiled}, tmp_path / str(is_compiled))
        curves.append([(line["loss"], line["grad_norm"]) for line in read_loss_curve(result.loss_curve)])
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert curves[1] == [pytest.approx(each, rel=1e-4) for each in curves[0]]
