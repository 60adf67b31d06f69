"""A head: a chain of affine maps from an embedding to one number, such as LAION's aesthetic predictors.

Both of those (the linear layer of 2022, and the "improved" one of five layers, between which there is no
activation) are such chains, so each is one weight per dimension and a bias: the chain is multiplied out.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages.models.weights import NoWeights, digest_of_files, read_tensors

if TYPE_CHECKING:
    import torch

_NUMBER = re.compile(r"\d+")


class Head:
    """score = weight · embedding + bias, for embeddings of unit length.

    Raises:
        NoWeights: the file is missing, cannot be read, or holds something else.
    """

    def __init__(self, file: str) -> None:
        path = Path(file)
        layers = _layers(read_tensors(path, "the head"), path)
        weight, bias = np.eye(layers[0][0].shape[1]), np.zeros(layers[0][0].shape[1])
        for matrix, shift in layers:
            if matrix.shape[1] != len(weight):
                raise _unfit(
                    path, f"a layer of {matrix.shape[1]} inputs follows one of {len(weight)} outputs"
                )
            weight, bias = matrix @ weight, matrix @ bias + shift
        if len(weight) != 1:
            raise _unfit(path, f"it ends in {len(weight)} numbers")
        self._path = path
        self._weight, self._bias = weight[0], float(bias[0])

    def __call__(self, embeddings: np.ndarray) -> np.ndarray:
        """The scores of embeddings [n d], float64 [n].

        Raises:
            NoWeights: the head is for embeddings of another length.
        """
        if embeddings.shape[1] != len(self._weight):
            raise _unfit(
                self._path, f"it takes {len(self._weight)} numbers, and the towers make {embeddings.shape[1]}"
            )
        scores: np.ndarray = embeddings.astype(np.float64) @ self._weight + self._bias
        return scores


def head_digest(file: str) -> str:
    """Of the file's bytes.

    Raises:
        NoWeights: there is no such file.
    """
    if not Path(file).is_file():
        raise NoWeights("the head has no weights", where=file, remedy="name a file of linear layers")
    return digest_of_files([Path(file)])


def _layers(tensors: "dict[str, torch.Tensor]", path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Matrix [out in] and shift [out] of each layer, in the order of the numbers in their names."""
    named = {name.removesuffix("weight"): value for name, value in tensors.items() if name.endswith("weight")}
    strange = [n for n in tensors if not n.endswith(("weight", "bias"))]
    flat = [name for name, value in named.items() if value.ndim != 2]
    if strange or flat or not named:
        raise _unfit(path, f"it holds {(strange + [f'{n}weight' for n in flat] + ['no layer'])[0]!r}")
    found = []
    for name in sorted(named, key=lambda name: [int(n) for n in _NUMBER.findall(name)]):
        matrix = named[name].double().numpy()
        bias = tensors.get(f"{name}bias")
        found.append((matrix, np.zeros(len(matrix)) if bias is None else bias.double().numpy()))
    return found


def _unfit(path: Path, why: str) -> NoWeights:
    return NoWeights(
        f"the head does not fit: {why}",
        where=str(path),
        remedy="name a chain of linear layers that ends in one number, made for these towers",
    )
