"""Initial weights depend only on the seed and on the name of the parameter."""

from pathlib import Path

import pytest
import torch

from training.networks.config import MODEL_CONFIGS
from training.networks.initialization import truncated_normal
from training.networks.video_dit import VideoDiT

CPU = torch.device("cpu")


def test_rows_of_a_parameter_can_be_drawn_alone() -> None:
    whole = truncated_normal(0, "w", (500, 301), (0, 500), CPU)
    assert torch.equal(truncated_normal(0, "w", (500, 301), (217, 440), CPU), whole[217:440])
    assert truncated_normal(0, "w", (500, 301), (7, 7), CPU).shape == (0, 301)
    assert not torch.equal(whole, truncated_normal(0, "v", (500, 301), (0, 500), CPU))
    assert not torch.equal(whole, truncated_normal(1, "w", (500, 301), (0, 500), CPU))


def test_the_distribution_is_a_normal_one_cut_at_3() -> None:
    x = truncated_normal(0, "w", (400, 500), (0, 400), CPU)
    assert float(x.abs().max()) <= 3
    assert float(x.mean()) == pytest.approx(0, abs=0.01)
    assert float(x.std()) == pytest.approx(0.9866, abs=0.01)
    assert float((x.abs() < 1).float().mean()) == pytest.approx(0.6845, abs=0.01)


def test_a_network_from_the_meta_device_has_the_values_of_one_from_the_cpu() -> None:
    torch.manual_seed(5)
    direct = VideoDiT(MODEL_CONFIGS["tiny"], seed=3)
    with torch.device("meta"):
        network = VideoDiT(MODEL_CONFIGS["tiny"])
    network.to_empty(device="cpu").reset_parameters(3)
    other = VideoDiT(MODEL_CONFIGS["tiny"], seed=4).state_dict()
    name = "transformer_blocks.1.attn1.to_q.weight"
    for key, value in direct.state_dict().items():
        assert torch.equal(value, network.state_dict()[key]), key
    assert not torch.equal(direct.state_dict()[name], other[name])
    assert float(direct.state_dict()[name].std()) == pytest.approx(128**-0.5, rel=0.05)


@pytest.mark.slow
def test_sharded_parameters_get_their_part_of_the_same_values(on_ranks, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    script = Path(__file__).with_name("sharded_initialization_ranks.py")
    assert on_ranks(3, script).strip() == "equal"
