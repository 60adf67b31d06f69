"""An open_clip model: its image tower and text tower map images and sentences to vectors of one space.

Name a model in one of four ways:

    path/to/folder                holds open_clip_config.json and the weights, as `open_clip` saves them
    ViT-B-32:path/to/file         an architecture of open_clip, with weights from a file
    ViT-B-32:laion2b_s34b_b79k    the same with one of open_clip's tags, fetched from its hub
    hf-hub:OWNER/NAME             such a folder on the Hugging Face hub
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from manifests.messages import closest_name, join_names
from stages.models.weights import SUFFIXES, WeightsError, digest_of_files

BATCH = 16  # images or sentences in one forward pass, which bounds memory
HUB = "hf-hub:"
_SENTENCES = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？；])|\n+")
_COUNTED_TOKENS = 4096  # a part of a text with more tokens does not fit into any model

Image = npt.NDArray[np.uint8]  # RGB [h w 3]
Vectors = npt.NDArray[np.float32]  # [n d]


class OpenClipModel:
    """Both towers, loaded. The same images in one call always give the same vectors; see `embed_images`.

    Args:
        model: One of the four forms above.
        device: A torch device; empty: CUDA where available, else the CPU.

    Raises:
        WeightsError: the model is unknown, or its weights are missing, not readable or do not fit.
    """

    def __init__(self, model: str, device: str = "") -> None:
        import open_clip
        import torch
        from open_clip.transform import PreprocessCfg, image_transform_v2

        self._source = _find(model)
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        try:
            network = open_clip.create_model(
                self._source.architecture,
                pretrained=self._source.weights or None,
                require_pretrained=True,
                pretrained_text=False,
                weights_only=True,
                device=self._device,
            )
            self._tokenize: Any = open_clip.get_tokenizer(self._source.architecture)
        except Exception as error:
            raise _load_error(self._source, error) from error
        self._network: Any = network.eval()
        cfg = PreprocessCfg(**network.visual.preprocess_cfg)
        self._transform = image_transform_v2(cfg, is_train=False)

    @property
    def logit_scale(self) -> float:
        """The factor for cosines before a softmax: the inverse of the trained temperature."""
        return float(self._network.logit_scale.exp().detach())

    def embed_images(self, images: Sequence[Image]) -> Vectors:
        """Return unit vectors, float32 [n d], of images, uint8 RGB [h w 3] of any size.

        An image's vector can differ in its last digits if other images are in the call, because kernels
        depend on the shape of the batch. Pass the images of one row per call, so a row's result does not
        depend on other rows.
        """
        import torch
        from PIL import Image as PilImage

        inputs = [self._transform(PilImage.fromarray(image)) for image in images]
        return self._run(self._network.encode_image, torch.stack(inputs))

    def embed_texts(self, sentences: Sequence[str]) -> Vectors:
        """Return unit vectors, float32 [n d], of sentences. What exceeds the context length is cut off."""
        return self._run(self._network.encode_text, self._tokenize(list(sentences)))

    def split_text(self, text: str) -> list[str]:
        """Split a text into parts that fit into the context length of the text tower (77 tokens in CLIP).

        A part holds as many whole sentences as fit. A sentence that does not fit is split between words, and
        a word that does not fit is a part of its own. A text without words has no part.
        """
        parts: list[str] = []
        for piece in self._pieces(text):
            joined = f"{parts[-1]} {piece}" if parts else ""
            if joined and self._fits(joined):
                parts[-1] = joined
            else:
                parts.append(piece)
        return parts

    def _pieces(self, text: str) -> Iterator[str]:
        """Yield the sentences of a text, and the words of sentences that do not fit."""
        for sentence in filter(None, (part.strip() for part in _SENTENCES.split(text))):
            yield from ((sentence,) if self._fits(sentence) else sentence.split())

    def _fits(self, text: str) -> bool:
        padding = self._tokenize([""])[0, -2]  # in some tokenizers a special token is the last one
        tokens = int((self._tokenize([text], _COUNTED_TOKENS) != padding).sum())
        return tokens <= int(self._tokenize.context_length)

    def _run(self, tower: Any, inputs: Any) -> Vectors:
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # more threads sum in another order, which changes the last digits
        try:
            with torch.inference_mode():
                parts = [
                    tower(part.to(self._device), normalize=True).float().cpu() for part in inputs.split(BATCH)
                ]
        finally:
            torch.set_num_threads(threads)
        vectors: Vectors = torch.cat(parts).numpy()
        return vectors


def open_clip_digest(model: str) -> str:
    """Return the digest of the weight files; "" for names on a hub, of which only the name is known.

    Raises:
        WeightsError: the model is unknown, or its files are missing.
    """
    source = _find(model)
    return digest_of_files(source.files) if source.files else ""


class _Source(NamedTuple):
    """Where a model comes from.

    Attributes:
        name: The model as the user wrote it.
        architecture, weights: The arguments of open_clip.
        files: The files that determine the model; empty for a hub.
    """

    name: str
    architecture: str
    weights: str
    files: tuple[Path, ...]


def _find(model: str) -> _Source:
    import open_clip

    if model.startswith(HUB):
        return _Source(model, model, "", ())
    folder, config = Path(model), Path(model) / "open_clip_config.json"
    if folder.is_dir():
        weights = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
        if not config.is_file() or not weights:
            missing = "weights" if config.is_file() else "open_clip_config.json"
            raise WeightsError(
                f"the folder of an open_clip model holds no {missing}",
                where=str(folder),
                remedy="save the model with open_clip's push_to_hf_hub.save_for_hf, or copy the hub's folder",
            )
        return _Source(model, f"local-dir:{folder}", "", (config, *weights))
    architecture, _, weights_name = model.partition(":")
    known = open_clip.list_models()
    if architecture not in known or not weights_name:
        close = closest_name(architecture, known)
        raise WeightsError(
            f"there is no open_clip model {model!r}, and no such folder",
            where=str(folder.absolute()),
            remedy=f"name a folder, {HUB}OWNER/NAME, or {close or 'ARCHITECTURE'}:FILE",
        )
    file = Path(weights_name)
    if file.is_file():
        return _Source(model, architecture, weights_name, (file,))
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if weights_name not in tags:
        raise WeightsError(
            f"{weights_name!r} is neither a file nor a tag of {architecture}",
            where=str(file.absolute()),
            remedy=f"name a file, or one of its tags: {join_names(tags, 12)}" if tags else "name a file",
        )
    return _Source(model, architecture, weights_name, ())


def _load_error(source: _Source, error: Exception) -> WeightsError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if source.files:
        return WeightsError(
            f"the weights of an open_clip model do not load: {reason}",
            where=", ".join(map(str, source.files)),
            remedy="name weights of that architecture, as .safetensors or a state dict",
        )
    return WeightsError(
        f"the open_clip model {source.name!r} could not be fetched: {reason}",
        remedy="without a network, download it elsewhere and name its folder",
    )
