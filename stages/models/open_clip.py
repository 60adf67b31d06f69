"""The image and text towers of an open_clip model: pictures and sentences as vectors of one space.

A model is named in one of four ways:

    path/to/folder                holds open_clip_config.json and the weights, as `open_clip` saves them
    ViT-B-32:path/to/file         one of open_clip's architectures, with weights from a file
    ViT-B-32:laion2b_s34b_b79k    the same with a tag of open_clip's, fetched from its hub
    hf-hub:OWNER/NAME             a folder of that kind on the hub
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from manifests.wording import listed, nearest
from stages.models.weights import ENDINGS, NoWeights, digest_of_files

AT_ONCE = 16  # pictures or sentences in one pass, so that memory is bounded
HUB = "hf-hub:"


class Towers:
    """The two towers, loaded. The same pictures in one call give the same vectors; see `images`.

    Raises:
        NoWeights: the model is not known, or its weights are missing, cannot be read or fetched, or do
            not fit.
    """

    def __init__(self, model: str, device: str = "") -> None:
        import open_clip
        import torch
        from open_clip.transform import PreprocessCfg, image_transform_v2

        self._name = _named(model)
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        try:
            network = open_clip.create_model(
                self._name.architecture,
                pretrained=self._name.weights or None,
                require_pretrained=True,
                pretrained_text=False,
                weights_only=True,
                device=self._device,
            )
            self._tokens = open_clip.get_tokenizer(self._name.architecture)
        except Exception as error:
            raise _unloaded(self._name, error) from error
        self._network: Any = network.eval()
        cfg = PreprocessCfg(**network.visual.preprocess_cfg)
        self._prepared = image_transform_v2(cfg, is_train=False)

    @property
    def scale(self) -> float:
        """What cosines are multiplied by before a softmax: the learnt temperature."""
        return float(self._network.logit_scale.exp().detach())

    def images(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Unit vectors float32 [n d] of pictures, uint8 RGB [h w 3] of any size.

        A picture's vector can differ in its last digits with what else is in the call, for kernels choose
        by shape. Call it with the pictures of one row, so that a row's answer is its own.
        """
        import torch
        from PIL import Image

        made = [self._prepared(Image.fromarray(picture)) for picture in pictures]
        return self._run(self._network.encode_image, torch.stack(made))

    def texts(self, sentences: Sequence[str]) -> np.ndarray:
        """Unit vectors float32 [n d] of sentences."""
        return self._run(self._network.encode_text, self._tokens(list(sentences)))

    def _run(self, tower: Any, inputs: Any) -> np.ndarray:
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # with more, sums are taken in another order
        try:
            with torch.inference_mode():
                parts = [
                    tower(part.to(self._device), normalize=True).float().cpu()
                    for part in inputs.split(AT_ONCE)
                ]
        finally:
            torch.set_num_threads(threads)
        made: np.ndarray = torch.cat(parts).numpy()
        return made


def towers_digest(model: str) -> str:
    """Of the weights' bytes where they lie in files; of hub names, the name is all that is known.

    Raises:
        NoWeights: the model is not known, or its files are missing.
    """
    name = _named(model)
    return digest_of_files(name.files) if name.files else ""


class _Name(NamedTuple):
    """What open_clip is asked for, and the files that decide what it makes."""

    asked: str
    architecture: str
    weights: str
    files: tuple[Path, ...]


def _named(model: str) -> _Name:
    import open_clip

    if model.startswith(HUB):
        return _Name(model, model, "", ())
    folder, config = Path(model), Path(model) / "open_clip_config.json"
    if folder.is_dir():
        weights = sorted(path for path in folder.iterdir() if path.suffix in ENDINGS)
        if not config.is_file() or not weights:
            lacking = "weights" if config.is_file() else "open_clip_config.json"
            raise NoWeights(
                f"the folder of an open_clip model holds no {lacking}",
                where=str(folder),
                remedy="save the model with open_clip's push_to_hf_hub.save_for_hf, or copy the hub's folder",
            )
        return _Name(model, f"local-dir:{folder}", "", (config, *weights))
    architecture, _, weights_name = model.partition(":")
    known = open_clip.list_models()
    if architecture not in known or not weights_name:
        close = nearest(architecture, known)
        raise NoWeights(
            f"there is no open_clip model {model!r}, and no such folder",
            where=str(folder.absolute()),
            remedy=f"name a folder, {HUB}OWNER/NAME, or {close or 'ARCHITECTURE'}:FILE",
        )
    file = Path(weights_name)
    if file.is_file():
        return _Name(model, architecture, weights_name, (file,))
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if weights_name not in tags:
        raise NoWeights(
            f"{weights_name!r} is neither a file nor a tag of {architecture}",
            where=str(file.absolute()),
            remedy=f"name a file, or one of its tags: {listed(tags, 12)}" if tags else "name a file",
        )
    return _Name(model, architecture, weights_name, ())


def _unloaded(name: _Name, error: Exception) -> NoWeights:
    why = (str(error).strip() or type(error).__name__).splitlines()[0]
    if name.files:
        return NoWeights(
            f"the weights of an open_clip model do not load: {why}",
            where=", ".join(map(str, name.files)),
            remedy="name weights of that architecture, as .safetensors or a state dict",
        )
    return NoWeights(
        f"the open_clip model {name.asked!r} could not be fetched: {why}",
        remedy="where there is no network, fetch it elsewhere and name its folder",
    )
