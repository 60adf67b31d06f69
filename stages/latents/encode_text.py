"""Encodes captions into text embeddings with a pretrained text encoder, before the training.

A training on these shards with `text_encoder=precomputed` does not load the encoder. It conditions on the
stored embeddings.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from manifests import Artifact, ClipmillError, PositiveInt, Row, column
from pipeline import Annotate, Needs
from stages.media.encoding.encoders import check_choice

if TYPE_CHECKING:
    from training.text_encoders.language_model import LanguageModelTextEncoder
    from training.text_encoders.t5 import T5TextEncoder

STORED_TEXT = ("embeddings", "tokens")
DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


class CaptionedClip(Row):
    id: str
    caption: str
    enhanced_caption: str | None = None


class EncodedText(Row):
    text_embeddings: Artifact = column(
        'safetensors file of one tensor, without padding: "text_embeddings" [tokens width], or "text_tokens" '
        "[tokens]"
    )
    text_tokens: int = column("text tokens of the caption, padding not counted", unit="tokens")


class EncodeText(Annotate[CaptionedClip, EncodedText]):
    """Encodes the enhanced caption of each clip, or else its caption, and stores how it was encoded.

    It encodes one caption at a time, so that equal captions give equal bytes.

    Attributes:
        text_encoder: Folder, or repository of the Hugging Face hub, of a T5 encoder or a language model.
        dtype: Dtype that the encoder computes in and that the embeddings are stored in: float32, float16 or
            bfloat16.
        stored_text: What is stored: embeddings, or tokens, whose embeddings would be too large.
        max_caption_bytes: Maximum size in bytes of the embeddings of the longest caption. An encoder that
            exceeds it is an error. Higher values store more.
    """

    version = 2

    text_encoder: str = "google-t5/t5-11b"
    dtype: str = "bfloat16"
    stored_text: str = "embeddings"
    max_caption_bytes: PositiveInt = 4 * 2**20

    needs = Needs(cpus=2, memory_gb=4)
    execution_settings = frozenset({"max_caption_bytes"})

    def __post_init__(self) -> None:
        check_choice(self.dtype, tuple(DTYPE_BYTES), "dtype")
        check_choice(self.stored_text, STORED_TEXT, "stored_text")

    @cached_property
    def _encoder(self) -> "T5TextEncoder | LanguageModelTextEncoder":
        from training.text_encoders.registry import load_pretrained_encoder

        encoder = load_pretrained_encoder(self.text_encoder, self.dtype)
        tokens, width = encoder.max_length, encoder.embed_dim
        size = tokens * width * DTYPE_BYTES[self.dtype]
        if self.stored_text == "embeddings" and size > self.max_caption_bytes:
            raise ClipmillError(
                f"the embeddings of one caption take up to {size / 2**20:.1f} MiB:"
                f" {tokens} tokens of {width:,} numbers",
                where=self.text_encoder,
                remedy="leave EncodeText out and encode captions during the training, set"
                f" stored_text=tokens, or set max_caption_bytes to {size} or more",
            )
        return encoder

    def digest(self) -> str:
        """The digest of the files of a folder; a repository of a hub has none."""
        from stages.models.weights import digest_of_files

        folder = Path(self.text_encoder)
        return digest_of_files(sorted(folder.iterdir())) if folder.is_dir() else ""

    def annotate(self, rows: Sequence[CaptionedClip]) -> Iterator[EncodedText]:
        for row in rows:
            caption = row.enhanced_caption or row.caption
            encode = self._encode if self.stored_text == "embeddings" else self._tokenize
            data, tokens = encode(caption)
            yield EncodedText(text_embeddings=Artifact.of(data, ".safetensors"), text_tokens=tokens)

    def _encode(self, caption: str) -> tuple[bytes, int]:
        import torch

        from training.text_encoders.precomputed import serialize_embeddings

        embeddings, mask = self._encoder([caption], "cuda" if torch.cuda.is_available() else "cpu")
        data = serialize_embeddings(embeddings[0], mask[0], self.dtype, self._encoder.info)
        return data, int(mask[0].sum())

    def _tokenize(self, caption: str) -> tuple[bytes, int]:
        from training.text_encoders.precomputed import serialize_tokens

        tokens = self._encoder.tokenize(caption)
        return serialize_tokens(tokens, self._encoder.info), len(tokens)
