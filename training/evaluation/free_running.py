"""Free-running evaluation: how well a model predicts clips from tokens that it decoded itself.

In training and in the ordinary evaluation a token is predicted from the true ones before it (teacher-forced).
In sampling it is predicted from decoded ones, whose errors add up. This measures the gap between both.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.autoregressive.model_file import load_token_model
from training.decoding.choice import TokenChoice
from training.decoding.decoder import Decoder
from training.decoding.token_sampler import TokenSampler
from training.diffusion.conditioning import Conditioning
from training.evaluation.clips import EvaluationBatch, EvaluationClips
from training.evaluation.evaluate_tokens import fewest_given_frames, open_codes_of
from training.objectives.next_token import CHUNK_TOKENS, sequences
from training.parallel.threads import cpu_threads
from training.recipes.pretrained_text import reopen_text_encoder
from training.text_encoder import add_text
from training.token_model import TokenModel

_COUNT, _ENTROPY, _RIGHT = range(3)  # sums of each latent frame and way of prediction


@dataclass(frozen=True)
class FreeRunningResult:
    """Predictions by latent frame, from true tokens and from decoded ones.

    Attributes:
        clips: Number of evaluated clips.
        given_frames: Latent frames at the start of a clip that are given.
        teacher_forced: Cross-entropy in nats per token, and accuracy 0..1, of each further latent frame.
        free_running: The same of predictions from decoded tokens.
    """

    clips: int
    given_frames: int
    teacher_forced: Sequence[tuple[float, float]]
    free_running: Sequence[tuple[float, float]]

    def lines(self) -> list[str]:
        """The result as a table."""
        rows = [
            f"{frame:12d}  {true[0]:14.4f}  {own[0]:12.4f}  {own[0] - true[0]:6.4f}"
            f"  {true[1]:14.1%}  {own[1]:12.1%}"
            for frame, (true, own) in enumerate(
                zip(self.teacher_forced, self.free_running, strict=True), self.given_frames
            )
        ]
        return [
            f"{self.clips} clips · cross-entropy and accuracy after {self.given_frames} given latent frames",
            "latent frame  teacher-forced  free-running     gap  teacher-forced  free-running",
            *rows,
        ]

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return asdict(self)


@torch.inference_mode()
def evaluate_free_running(
    model: Path,
    data: Sequence[tuple[str, str]],
    *,
    sampler: TokenSampler | None = None,
    max_clips: int = 16,
    batch_size: int = 8,
    text_encoder: str = "",
    num_threads: int = 2,
    device: torch.device | str = "cpu",
) -> FreeRunningResult:
    """Evaluate an autoregressive model on its own decoded tokens.

    Args:
        model: Folder or file of the model.
        data: (tar, index) of each shard of codes.
        sampler: Decodes; None samples from the whole distribution.
        max_clips: Maximum number of clips.
        batch_size: Clips of one shape that are decoded together.
        text_encoder: Place of the pretrained text encoder of the model; "" takes the recorded one.
        num_threads: CPU threads.
        device: Device of the model.

    Raises:
        CheckpointError: There is no model, or the text encoder is not the one that it was trained with.
        LatentMismatchError: The codes were made with another tokenizer than those of the model.
    """
    loaded, info = load_token_model(model)
    shards = open_codes_of(info, data)
    network = loaded.to(device).network
    encoder = reopen_text_encoder(text_encoder, loaded, info, shards)
    clips = EvaluationClips(shards, max_clips)
    given = max(1, fewest_given_frames(info))
    sums = torch.zeros(2, max(shape[1] for shape in shards.shapes), 3, dtype=torch.float64)
    choice = TokenChoice(network, sampler or TokenSampler())
    with cpu_threads(num_threads):
        for batch in clips.batches(batch_size, 0, 1):
            moved = batch.clips.to(torch.device(device))
            conditioning = add_text(moved.conditioning, encoder, moved.captions, device)
            _add(sums, choice, batch, moved.latents[:, 0], given, conditioning)
    counts = sums[:, given:, _COUNT:_ENTROPY].clamp(min=1)
    true, own = (sums[:, given:] / counts)[:, :, _ENTROPY:].tolist()
    return FreeRunningResult(len(clips), given, [tuple(each) for each in true], [tuple(each) for each in own])


def _add(
    sums: Tensor,
    choice: TokenChoice,
    batch: EvaluationBatch,
    ids: Tensor,
    given: int,
    conditioning: Conditioning,
) -> None:
    """Add the sums of the clips of a batch that count; `ids` are the true ones, [b t h w]."""
    _, frames, height, width = ids.shape
    if frames <= given:
        return
    prefix = ids[:, :given].flatten(1)
    numbers = torch.tensor([position % 2**31 for position in batch.clips.positions], device=ids.device)
    decoder = Decoder(choice, (height, width), conditioning)
    decoded = decoder(prefix, ids[0].numel() - prefix.shape[1], numbers, prefix.shape[1])
    counted = len(batch.datasets)
    for way, read in enumerate((ids, torch.cat([prefix, decoded], 1).reshape(ids.shape))):
        entropy, is_right = _predict(choice.model, read, ids, conditioning)
        for column, value in enumerate((torch.ones_like(entropy), entropy, is_right)):
            frame_sums = value[:counted].double().reshape(counted, -1)
            missing = frames * height * width - frame_sums.shape[1]  # the first id, without <bov>
            padded = torch.nn.functional.pad(frame_sums, (missing, 0)).reshape(counted, frames, -1)
            sums[way, :frames, column] += padded.sum((0, 2)).cpu()


def _predict(
    network: TokenModel, read: Tensor, ids: Tensor, conditioning: Conditioning
) -> tuple[Tensor, Tensor]:
    """The cross-entropy of the true ids, and whether the most probable id is true, [b n], after `read`."""
    inputs, _ = sequences(network, read[:, None])
    _, targets = sequences(network, ids[:, None])
    hidden = network(inputs, (ids.shape[2], ids.shape[3]), conditioning)
    entropies, rights = [], []
    per_chunk = max(1, CHUNK_TOKENS // len(inputs))
    for part, true in zip(torch.split(hidden, per_chunk, 1), torch.split(targets, per_chunk, 1), strict=True):
        logits = network.logits(part)
        entropies.append(logits.logsumexp(-1) - logits.gather(-1, true[..., None])[..., 0])
        rights.append(logits.argmax(-1) == true)
    return torch.cat(entropies, 1), torch.cat(rights, 1)
