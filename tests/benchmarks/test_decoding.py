"""The benchmark of decoding: what it counts, and that it refuses tokens that differ."""

import pytest
import torch

from benchmarks import decoding
from benchmarks.decoding import acceptance, acceptance_by_row, measure, report
from training.autoregressive.model import AutoregressiveModel
from training.decoding.decoder import ForwardPass
from training.decoding.token_sampler import TokenSampler
from training.networks.autoregressive.config import AutoregressiveConfig


def test_acceptance_counts_the_passes_that_drafted_the_head() -> None:
    passes = [ForwardPass(0, 0, 0), ForwardPass(1, 3, 2), ForwardPass(4, 3, 0), ForwardPass(5, 1, 1)]
    assert [acceptance(passes, head) for head in (1, 2, 3)] == pytest.approx([2 / 3, 1 / 2, 0])
    assert acceptance_by_row(passes, 8) == [2, 0, 0.5, 0]


def test_plain_and_speculative_decoding_are_measured_in_one_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network = AutoregressiveConfig(
        vocab_size=20, hidden_size=24, num_hidden_layers=1, head_dim=18, text_embed_dim=0, medusa_heads=2
    )
    model = AutoregressiveModel(network, "none").eval().requires_grad_(False)
    clips = torch.zeros(2, 2, 2, 2, dtype=torch.int64)
    sampler = TokenSampler(top_p=0.9)
    found = measure(model, sampler, clips, [2])
    batched = {count: decoding.decode(model, sampler, clips, 0, count) for count in (0, 2)}
    figures = report(found, batched, 4)
    assert set(figures["by_heads"]) == {0, 2}  # type: ignore[call-overload]
    assert "tokens per pass" in capsys.readouterr().out
    monkeypatch.setattr(torch, "equal", lambda a, b: False)
    with pytest.raises(SystemExit, match="not those of plain decoding"):
        measure(model, sampler, clips, [2])
