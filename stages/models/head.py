"""A linear head: a chain of affine layers from an embedding to one number.

LAION's aesthetic predictors (the linear layer of 2022, and the "improved" one of five layers without
activations between them) are such chains. A chain equals one weight per dimension plus a bias, so the layers
are multiplied out.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stages.models.weights import WeightsError, digest_of_files, read_tensors

if TYPE_CHECKING:
    import torch

_NUMBER = re.compile(r"\d+")
Array = npt.NDArray[np.float64]


class Head:
    """score = weight · embedding + bias, for embeddings of unit length.

    Raises:
        WeightsError: the file is missing, is not readable, or does not hold a chain of linear layers.
    """

    def __init__(self, file: str) -> None:
        path = Path(file)
        layers = _layers(read_tensors(path, "the head"), path)
        weight, bias = np.eye(layers[0][0].shape[1]), np.zeros(layers[0][0].shape[1])
        for matrix, shift in layers:
            if matrix.shape[1] != len(weight):
                raise _mismatch(
                    path, f"a layer with {matrix.shape[1]} inputs follows one with {len(weight)} outputs"
                )
            weight, bias = matrix @ weight, matrix @ bias + shift
        if len(weight) != 1:
            raise _mismatch(path, f"its last layer has {len(weight)} outputs")
        self._path = path
        self._weight, self._bias = weight[0], float(bias[0])

    def __call__(self, embeddings: npt.NDArray[np.floating]) -> Array:
        """Return the scores of embeddings [n d] as float64 [n].

        Raises:
            WeightsError: the embeddings have another length than the head expects.
        """
        if embeddings.shape[1] != len(self._weight):
            raise _mismatch(
                self._path,
                f"it expects embeddings of length {len(self._weight)}, the model gives {embeddings.shape[1]}",
            )
        scores: Array = embeddings.astype(np.float64) @ self._weight + self._bias
        return scores


def head_digest(file: str) -> str:
    """Return the SHA-256 digest of the file's bytes.

    Raises:
        WeightsError: the file does not exist.
    """
    if not Path(file).is_file():
        raise WeightsError("the head has no weights", where=file, remedy="name a file of linear layers")
    return digest_of_files([Path(file)])


def _layers(tensors: "dict[str, torch.Tensor]", path: Path) -> list[tuple[Array, Array]]:
    """Return matrix [out in] and bias [out] of each layer, ordered by the numbers in the tensors' names."""
    matrices = {
        name.removesuffix("weight"): value for name, value in tensors.items() if name.endswith("weight")
    }
    unknown = [name for name in tensors if not name.endswith(("weight", "bias"))]
    not_linear = [name for name, value in matrices.items() if value.ndim != 2]
    if unknown or not_linear or not matrices:
        first = (unknown + [f"{name}weight" for name in not_linear] + ["no layer"])[0]
        raise _mismatch(path, f"it holds {first!r}")
    layers = []
    for name in sorted(matrices, key=lambda name: [int(n) for n in _NUMBER.findall(name)]):
        matrix = matrices[name].double().numpy()
        bias = tensors.get(f"{name}bias")
        layers.append((matrix, np.zeros(len(matrix)) if bias is None else bias.double().numpy()))
    return layers


def _mismatch(path: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"the head does not fit: {reason}",
        where=str(path),
        remedy="name a chain of linear layers that ends in one number and was trained for this model",
    )
