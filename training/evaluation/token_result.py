"""The result of an evaluation of an autoregressive model, beside predictions without a model."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class FrameResult:
    """The predictions of one latent frame, each token from the true ones before it.

    Attributes:
        tokens: Tokens that are counted.
        cross_entropy: Mean, in nats per token.
        accuracy: Share of tokens whose most probable id is the true one, 0..1.
        unigram: Cross-entropy of the frequencies of the ids in the training data.
        copy: Cross-entropy of the id in the latent frame before, mixed with the frequencies.
        copy_accuracy: Share of tokens that are those of the latent frame before, 0..1.
    """

    tokens: int
    cross_entropy: float
    accuracy: float
    unigram: float
    copy: float
    copy_accuracy: float


@dataclass(frozen=True)
class TokenEvaluationResult:
    """Cross-entropies of held-out clips, in nats per token, of each token from the true ones before it.

    Attributes:
        clips: Number of evaluated clips.
        given_frames: Latent frames at the start of a clip that are not counted.
        cross_entropy: Mean over the tokens of the other frames.
        accuracy: Share of tokens whose most probable id is the true one, 0..1.
        unigram: Cross-entropy of the frequencies of the ids in the training data, mixed with equal ones.
        copy: Cross-entropy of the id in the latent frame before, mixed with the frequencies. The weights of
            the mixtures are those that fit these clips best.
        perplexity: exp of the cross-entropy.
        bits_per_pixel: Bits of the codes of the counted frames per pixel of the frames that they describe.
        codebook_use: Share of the codebook among the true ids, 0..1.
        predicted_codebook_use: Share of the codebook among the most probable ids, 0..1.
        frames: The result of each latent frame.
    """

    clips: int
    given_frames: int
    cross_entropy: float
    accuracy: float
    unigram: float
    copy: float
    perplexity: float
    bits_per_pixel: float
    codebook_use: float
    predicted_codebook_use: float
    frames: Sequence[FrameResult]

    def summary(self) -> str:
        """The cross-entropy beside those without a model, in one line."""
        return (
            f"cross-entropy {self.cross_entropy:.4f} nats/token · unigram {self.unigram:.4f}"
            f" · copy of the previous frame {self.copy:.4f} · accuracy {self.accuracy:.1%}"
        )

    def details(self) -> list[str]:
        """Nothing besides the summary."""
        return []

    def lines(self) -> list[str]:
        """The result as a text: the summary, and a table by latent frame."""
        rows = [
            f"{number:12d}  {each.cross_entropy:13.4f}  {each.accuracy:8.1%}  {each.unigram:7.4f}"
            f"  {each.copy:7.4f}  {each.copy_accuracy:13.1%}"
            + ("  given" if number < self.given_frames else "")
            for number, each in enumerate(self.frames)
            if each.tokens
        ]
        return [
            f"{self.clips} clips · {self.summary()}",
            f"perplexity {self.perplexity:.1f} · {self.bits_per_pixel:.4f} bits per pixel · codebook use"
            f" {self.codebook_use:.1%}, of the predictions {self.predicted_codebook_use:.1%}",
            "latent frame  cross-entropy  accuracy  unigram     copy  copy accuracy",
            *rows,
        ]

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return asdict(self)


def perplexity(cross_entropy: float) -> float:
    """exp, or infinity where it is too large."""
    return math.exp(cross_entropy) if cross_entropy < 700 else math.inf
