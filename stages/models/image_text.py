"""A model of transformers that reads pictures and writes text, loaded into this process.

Named by a folder as `save_pretrained` writes it, or by OWNER/NAME on the hub, of any architecture that
transformers knows as image-text-to-text (Qwen2.5-VL, Qwen3-VL, SmolVLM …). None of its own code is run.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stages.models.weights import NoWeights, digest_of_files

if TYPE_CHECKING:
    pass

_FILES = (".safetensors", ".json", ".jinja", ".txt", ".model")


class Written(NamedTuple):
    """What a model wrote; `cut` where it was still writing when its tokens were used up."""

    text: str
    cut: bool
    prompt_tokens: int
    output_tokens: int


class ImageText:
    """The model and its processor, for one talk at a time, so that no other clip's pictures are near.

    Args:
        model: a folder, or a name on the hub.
        revision: a branch or commit, where it is a name.

    Raises:
        NoWeights: it cannot be loaded or fetched, is of another kind, or has no chat template.
    """

    def __init__(self, model: str, revision: str = "", device: str = "") -> None:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        dtype = torch.bfloat16 if self._device.type == "cuda" else torch.float32
        said: dict[str, Any] = {"revision": revision} if revision else {}
        try:
            self._processor: Any = AutoProcessor.from_pretrained(model, **said)
            network = AutoModelForImageTextToText.from_pretrained(
                model, dtype=dtype, use_safetensors=True, **said
            )
        except Exception as error:
            raise _unloaded(model, error) from error
        if not getattr(self._processor, "chat_template", None):
            raise NoWeights(
                f"the model {model!r} has no chat template, so it cannot be asked",
                remedy="name one that was trained to answer, such as an -Instruct one",
            )
        self._network: Any = network.to(self._device).eval()
        self.revision = image_text_digest(model) or str(getattr(network.config, "_commit_hash", None) or "")

    def write(
        self, turns: Sequence[tuple[str, str]], pictures: Sequence[np.ndarray], max_tokens: int
    ) -> Written:
        """What it writes, always the likeliest token next (greedy).

        Args:
            turns: prompts with what was answered; the answer to the last is wanted.
            pictures: uint8 RGB [h w 3], in order; they stand before the first prompt.
        """
        import torch

        inputs = self._processor.apply_chat_template(
            _talk(turns, pictures),
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            add_generation_prompt=True,
        ).to(self._device)
        asked = int(inputs["input_ids"].shape[1])
        with torch.inference_mode():
            tokens: torch.Tensor = self._network.generate(
                **inputs, max_new_tokens=max_tokens, do_sample=False
            )[0, asked:]
        ends = self._network.generation_config.eos_token_id
        ended = bool(len(tokens)) and int(tokens[-1]) in (ends if isinstance(ends, list) else [ends])
        text = self._processor.decode(tokens, skip_special_tokens=True)
        return Written(text, not ended, asked, len(tokens))


def image_text_digest(model: str) -> str:
    """Of the files of a folder; "" for a name on the hub.

    Raises:
        NoWeights: it is neither a folder nor could it be a name.
    """
    folder = Path(model)
    if folder.is_dir():
        files = sorted(path for path in folder.iterdir() if path.suffix in _FILES)
        if not any(path.suffix == ".safetensors" for path in files):
            raise NoWeights(
                "the folder of a model holds no weights",
                where=str(folder),
                remedy="it is to hold .safetensors, config.json and the files of its processor",
            )
        return digest_of_files(files)
    if model.count("/") > 1 or model.startswith(("/", ".", "~")):
        raise NoWeights("there is no such folder", where=str(folder.absolute()), remedy="name another")
    return ""


def _talk(turns: Sequence[tuple[str, str]], pictures: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    from PIL import Image

    seen: list[dict[str, Any]] = [{"type": "image", "image": Image.fromarray(p)} for p in pictures]
    talk: list[dict[str, Any]] = []
    for number, (prompt, answer) in enumerate(turns):
        words = {"type": "text", "text": prompt}
        talk.append({"role": "user", "content": [*seen, words] if number == 0 else [words]})
        if number + 1 < len(turns):
            talk.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    return talk


def _unloaded(model: str, error: Exception) -> NoWeights:
    why = (str(error).strip() or type(error).__name__).splitlines()[0]
    return NoWeights(
        f"the model {model!r} could not be loaded: {why}",
        remedy="name an image-text-to-text model; where there is no network, fetch it and name its folder",
    )
