"""Encodes captions into text embeddings with a pretrained text encoder, before the training.

A training on these shards with `text_encoder=precomputed` does not load the encoder. It conditions on the
stored embeddings.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from manifests import Artifact, Row, column
from pipeline import Annotate, Needs

if TYPE_CHECKING:
    from training.text_encoder import TextEncoder


class CaptionedClip(Row):
    id: str
    caption: str
    enhanced_caption: str | None = None


class EncodedText(Row):
    text_embeddings: Artifact = column(
        'safetensors file of one tensor "text_embeddings" [tokens width] without padding'
    )
    text_tokens: int = column("text tokens of the caption, padding not counted", unit="tokens")


class EncodeText(Annotate[CaptionedClip, EncodedText]):
    """Encodes the enhanced caption of each clip, or else its caption, and stores how it was encoded.

    It encodes one caption at a time, so that equal captions give equal bytes.

    Attributes:
        text_encoder: Folder, or repository of the Hugging Face hub, of a T5 encoder or a language model.
        dtype: Dtype that the encoder computes in and that the embeddings are stored in: float32, float16 or
            bfloat16.
    """

    text_encoder: str = "google-t5/t5-11b"
    dtype: str = "bfloat16"

    needs = Needs(cpus=2, memory_gb=4)

    @cached_property
    def _encoder(self) -> "TextEncoder":
        from training.text_encoders.registry import load_pretrained_encoder

        return load_pretrained_encoder(self.text_encoder, self.dtype)

    def digest(self) -> str:
        """The digest of the files of a folder; a repository of a hub has none."""
        from stages.models.weights import digest_of_files

        folder = Path(self.text_encoder)
        return digest_of_files(sorted(folder.iterdir())) if folder.is_dir() else ""

    def annotate(self, rows: Sequence[CaptionedClip]) -> Iterator[EncodedText]:
        import torch

        from training.text_encoders.precomputed import serialize_embeddings

        device = "cuda" if torch.cuda.is_available() else "cpu"
        for row in rows:
            embeddings, mask = self._encoder([row.enhanced_caption or row.caption], device)
            data = serialize_embeddings(embeddings[0], mask[0], self.dtype, self._encoder.info)
            yield EncodedText(
                text_embeddings=Artifact.of(data, ".safetensors"), text_tokens=int(mask[0].sum())
            )
