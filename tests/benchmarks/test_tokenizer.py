"""The benchmark of the tokenizers times networks in turns, and compares our answers with diffusers'."""

from pathlib import Path

import pytest
import torch

from training.tokenizers.cosmos.config import CosmosTokenizerConfig


@pytest.mark.slow
def test_networks_take_turns_and_their_answers_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("diffusers")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    from benchmarks.tokenizer import COSMOS, OURS, TOLERANCE, Network, build_cosmos, measure, summarize

    config = CosmosTokenizerConfig(
        encoder_block_out_channels=(8, 8, 16, 16), decode_block_out_channels=(8, 16, 16, 16), num_layers=1
    )
    networks = build_cosmos(config, 3, torch.device("cpu"))
    ours = networks[OURS]
    networks["slow"] = Network(ours.module, ours.encode, ours.decode, turns=1)
    video = torch.rand(1, 3, 9, 32, 32) * 2 - 1
    differences = measure(networks, video, repeats=3)
    assert differences["latents"] < TOLERANCE
    assert differences["decoded"] < TOLERANCE
    assert [len(network.encode_s) for network in networks.values()] == [3, 3, 1]
    assert [len(network.decode_s) for network in networks.values()] == [3, 3, 1]

    networks[COSMOS].encode_s, ours.encode_s, networks["slow"].encode_s = (
        [1.0, 1.8, 1.5],
        [0.9, 0.9, 1.0],
        [4.0],
    )
    summary = summarize(networks, frames=9)
    assert summary[OURS]["encode_ms_per_frame"] == pytest.approx(100)
    assert summary[OURS]["encode_ratio"] == pytest.approx(1.5)  # the median of 1 / .9, 1.8 / .9 and 1.5 / 1
    assert summary["slow"]["encode_ratio"] == pytest.approx(0.25)
    assert summary[OURS]["parameters"] == summary[COSMOS]["parameters"]

    with torch.no_grad():
        ours.module.get_parameter("encoder.conv_in.conv_s.weight").mul_(1.01)
    assert measure(networks, video, repeats=0)["latents"] > TOLERANCE
