"""A transformers model that reads images and text, or only text, and writes text; loaded into this process.

The model is a folder as `save_pretrained` writes it, or OWNER/NAME on the Hugging Face hub. Every
architecture that transformers lists as image-text-to-text works (Qwen2.5-VL, Qwen3-VL, SmolVLM …), and every
causal language model (Qwen3, Llama Guard …), which sees no images. Python code that comes with a model never
runs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stages.models.weights import WeightsError, digest_of_files

_SUFFIXES = (".safetensors", ".json", ".jinja", ".txt", ".model")
Image = npt.NDArray[np.uint8]  # RGB [h w 3]


class Completion(NamedTuple):
    """The text that a model wrote.

    Attributes:
        text: The text, without special tokens.
        truncated: Whether the model reached the token limit before it finished.
        prompt_tokens: Tokens read.
        output_tokens: Tokens written.
    """

    text: str
    truncated: bool
    prompt_tokens: int
    output_tokens: int


class ImageTextModel:
    """The model and its processor. It runs one conversation at a time, so images of two clips never mix.

    Args:
        model: A folder, or a name on the hub.
        revision: A branch or commit, for a name on the hub.
        device: A torch device; empty: CUDA where available, else the CPU.

    Raises:
        WeightsError: the model cannot be loaded or fetched, is of another kind, or has no chat template.
    """

    def __init__(self, model: str, revision: str = "", device: str = "") -> None:
        import torch
        import transformers

        classes: Any = transformers
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        dtype = torch.bfloat16 if self._device.type == "cuda" else torch.float32
        version: dict[str, Any] = {"revision": revision} if revision else {}
        try:
            config = classes.AutoConfig.from_pretrained(model, **version)
            self._sees_images = type(config) in classes.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
            reader = classes.AutoProcessor if self._sees_images else classes.AutoTokenizer
            kind = classes.AutoModelForImageTextToText if self._sees_images else classes.AutoModelForCausalLM
            self._processor: Any = reader.from_pretrained(model, **version)
            network: Any = kind.from_pretrained(model, dtype=dtype, use_safetensors=True, **version)
        except Exception as error:
            raise _load_error(model, error) from error
        if not getattr(self._processor, "chat_template", None):
            raise WeightsError(
                f"the model {model!r} has no chat template, so it cannot answer prompts",
                remedy="name a model that was trained to follow instructions, such as an -Instruct one",
            )
        self._network = network.to(self._device).eval()
        self.revision = image_text_digest(model) or str(getattr(network.config, "_commit_hash", None) or "")

    def generate(
        self, turns: Sequence[tuple[str, str]], images: Sequence[Image], max_tokens: int
    ) -> Completion:
        """Generate the next answer with greedy decoding.

        Args:
            turns: Prompts with their answers. The answer to the last prompt is generated; it is ignored here.
            images: uint8 RGB [h w 3], in order. They come before the first prompt.
            max_tokens: Tokens to write, at most.

        Raises:
            ValueError: the model sees no images, and there are some.
        """
        import torch

        if images and not self._sees_images:
            raise ValueError("the model reads only text, and the prompt has images")
        inputs = self._processor.apply_chat_template(
            _messages(turns, images) if self._sees_images else _text_messages(turns),
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            add_generation_prompt=True,
        ).to(self._device)
        prompt_tokens = int(inputs["input_ids"].shape[1])
        with torch.inference_mode():
            tokens: torch.Tensor = self._network.generate(
                **inputs, max_new_tokens=max_tokens, do_sample=False
            )[0, prompt_tokens:]
        stop = self._network.generation_config.eos_token_id
        finished = bool(len(tokens)) and int(tokens[-1]) in (stop if isinstance(stop, list) else [stop])
        text = self._processor.decode(tokens, skip_special_tokens=True)
        return Completion(text, not finished, prompt_tokens, len(tokens))


def image_text_digest(model: str) -> str:
    """Return the digest of a folder's files; "" for a name on the hub.

    Raises:
        WeightsError: `model` is neither a folder nor a possible name on the hub.
    """
    folder = Path(model)
    if folder.is_dir():
        files = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)
        if not any(path.suffix == ".safetensors" for path in files):
            raise WeightsError(
                "the folder of a model holds no weights",
                where=str(folder),
                remedy="put .safetensors, config.json and the files of its processor there",
            )
        return digest_of_files(files)
    if model.count("/") > 1 or model.startswith(("/", ".", "~")):
        raise WeightsError("there is no such folder", where=str(folder.absolute()), remedy="name another")
    return ""


def _messages(turns: Sequence[tuple[str, str]], images: Sequence[Image]) -> list[dict[str, Any]]:
    from PIL import Image as PilImage

    parts: list[dict[str, Any]] = [{"type": "image", "image": PilImage.fromarray(image)} for image in images]
    messages: list[dict[str, Any]] = []
    for number, (prompt, answer) in enumerate(turns):
        text = {"type": "text", "text": prompt}
        messages.append({"role": "user", "content": [*parts, text] if number == 0 else [text]})
        if number + 1 < len(turns):
            messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    return messages


def _text_messages(turns: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    pairs = [pair for prompt, answer in turns for pair in (("user", prompt), ("assistant", answer))]
    return [{"role": role, "content": text} for role, text in pairs[:-1]]


def _load_error(model: str, error: Exception) -> WeightsError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return WeightsError(
        f"the model {model!r} could not be loaded: {reason}",
        remedy="name an image-text-to-text or causal language model; without a network, name its folder",
    )
