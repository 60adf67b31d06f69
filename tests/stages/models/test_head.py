"""A head is a chain of affine layers, from either kind of file; anything else is an error."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stages.models.head import Head, head_digest
from stages.models.weights import WeightsError


def _vectors(count: int = 5, length: int = 12) -> np.ndarray:
    vectors = np.random.default_rng(2).standard_normal((count, length)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_chain_gives_the_same_scores_as_its_layers(tmp_path: Path) -> None:
    """The layers have the shape of LAION's improved predictor, with dropout between them."""
    torch.manual_seed(0)
    layers = torch.nn.Sequential(
        torch.nn.Linear(12, 8), torch.nn.Dropout(), torch.nn.Linear(8, 4), torch.nn.Linear(4, 1)
    ).eval()
    expected = layers(torch.from_numpy(_vectors()))[:, 0].detach().numpy()
    state = {f"layers.{name}": value for name, value in layers.state_dict().items()}
    torch.save(state, tmp_path / "head.pth")
    save_file(state, tmp_path / "head.safetensors")
    for name in ("head.pth", "head.safetensors"):
        assert np.allclose(Head(str(tmp_path / name))(_vectors()), expected, atol=1e-6)


def test_layers_are_ordered_by_their_numbers(tmp_path: Path) -> None:
    state = {f"layers.{k}.weight": torch.eye(3) for k in range(11)}
    state["layers.10.weight"] = torch.tensor([[1.0, 2.0, 3.0]])
    save_file(state, tmp_path / "head.safetensors")
    assert Head(str(tmp_path / "head.safetensors"))(np.eye(3)).tolist() == [1, 2, 3]


def test_the_digest_depends_on_the_bytes(tmp_path: Path) -> None:
    for number, name in enumerate(("a.safetensors", "b.safetensors")):
        save_file({"weight": torch.full((1, 4), float(number))}, tmp_path / name)
    assert head_digest(str(tmp_path / "a.safetensors")) != head_digest(str(tmp_path / "b.safetensors"))
    with pytest.raises(WeightsError, match="the head has no weights"):
        head_digest("none.pth")


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"weight": torch.ones(2, 12)}, "last layer has 2 outputs"),
        (
            {"0.weight": torch.ones(8, 12), "1.weight": torch.ones(1, 9)},
            "9 inputs follows one with 8",
        ),
        ({"conv.weight": torch.ones(1, 3, 3, 3)}, "conv.weight"),
        ({"weight": torch.ones(1, 12), "running_mean": torch.ones(12)}, "running_mean"),
        ({"bias": torch.ones(1)}, "no layer"),
    ],
)
def test_other_files_than_chains_are_errors(
    tmp_path: Path, state: dict[str, torch.Tensor], reason: str
) -> None:
    save_file(state, tmp_path / "head.safetensors")
    with pytest.raises(WeightsError, match=reason):
        Head(str(tmp_path / "head.safetensors"))


def test_a_head_for_another_model_is_an_error(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(1, 768)}, tmp_path / "head.safetensors")
    with pytest.raises(WeightsError, match="expects embeddings of length 768, the model gives 12"):
        Head(str(tmp_path / "head.safetensors"))(_vectors())


def test_files_that_are_missing_or_would_run_code_are_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(12, 1), tmp_path / "whole.pth")
    for name, reason in (
        ("whole.pth", "cannot be read"),
        ("none.pth", "has no weights"),
        ("head.onnx", "has no"),
    ):
        with pytest.raises(WeightsError, match=reason) as error:
            Head(str(tmp_path / name))
        assert name in error.value.where
        assert error.value.remedy
