"""Evaluation of an autoregressive model: how well it predicts each token of held-out clips."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from training.autoregressive.model_file import TokenModelInfo, load_token_model
from training.data.shard import LatentSpec
from training.data.shard_checks import check_codes
from training.data.shards import LatentShards
from training.evaluation.clips import EvaluationBatch, EvaluationClips
from training.evaluation.token_baselines import Baselines
from training.evaluation.token_result import FrameResult, TokenEvaluationResult, perplexity
from training.objectives.next_token import CHUNK_TOKENS, counted_tokens, sequences
from training.parallel.threads import cpu_threads
from training.recipes.pretrained_text import reopen_text_encoder
from training.text_encoder import TextEncoder, add_text
from training.token_model import TokenModel

_COUNT, _ENTROPY, _RIGHT, _COPIED = range(4)  # sums of each latent frame, before those of the baselines


def evaluate_tokens(
    model: Path,
    data: Sequence[tuple[str, str]],
    *,
    max_clips: int = 256,
    batch_size: int = 8,
    text_encoder: str = "",
    num_threads: int = 2,
    device: torch.device | str = "cpu",
) -> TokenEvaluationResult:
    """Evaluate an autoregressive model on `max_clips` clips, evenly spaced over the shards.

    Args:
        model: Folder or file of the model.
        data: (tar, index) of each shard of codes.
        max_clips: Maximum number of clips.
        batch_size: Clips of one shape that are evaluated together.
        text_encoder: Place of the pretrained text encoder of the model; "" takes the recorded one.
        num_threads: CPU threads.
        device: Device of the model.

    Raises:
        CheckpointError: There is no model, or the text encoder is not the one that it was trained with.
        LatentMismatchError: The codes were made with another tokenizer than those of the model.
    """
    loaded, info = load_token_model(model)
    shards = open_codes_of(info, data)
    loaded = loaded.to(device)
    evaluator = TokenEvaluator(
        loaded.network,
        EvaluationClips(shards, max_clips),
        Baselines(loaded.token_frequencies.cpu()),
        reopen_text_encoder(text_encoder, loaded, info, shards),
        given_frames=fewest_given_frames(info),
        batch_size=batch_size,
        device=torch.device(device),
    )
    with cpu_threads(num_threads):
        return evaluator()


def fewest_given_frames(info: TokenModelInfo) -> int:
    """The smallest number of given latent frames that the model was trained with."""
    odds = info.training.get("conditional_frames", (1.0,))
    return min(number for number, odd in enumerate(odds) if odd > 0)


def open_codes_of(info: TokenModelInfo, data: Sequence[tuple[str, str]]) -> LatentShards:
    """Shards of codes of the tokenizer of a model.

    Raises:
        LatentMismatchError: They are of another tokenizer, or no codes.
    """
    spec = LatentSpec(**dict(info.latents) | {"stride": tuple(info.latents["stride"])})
    shards = LatentShards(data, spec=spec)
    check_codes([shard for bucket in shards.buckets for shard in bucket])
    return shards


@dataclass
class TokenEvaluator:
    """Evaluates a network on fixed clips; each rank takes a part of them.

    Attributes:
        network: It may be sharded: all ranks call it equally often.
        clips: The clips.
        baselines: Predictions without a model.
        text_encoder: Encodes the captions.
        given_frames: Latent frames at the start of a clip that the totals do not count.
        batch_size: Clips of one shape that a rank evaluates together.
        rank: Number of this rank among those that evaluate different clips.
        num_ranks: Number of ranks that evaluate different clips.
        reduce_sum: The sum of a tensor over all ranks.
        device: Device of the clips.
    """

    network: TokenModel
    clips: EvaluationClips
    baselines: Baselines
    text_encoder: TextEncoder | None = None
    given_frames: int = 0
    batch_size: int = 8
    rank: int = 0
    num_ranks: int = 1
    reduce_sum: Callable[[Tensor], Tensor] = lambda tensor: tensor
    device: torch.device = torch.device("cpu")

    @torch.no_grad()
    def __call__(self) -> TokenEvaluationResult:
        frames = max(shape[1] for shape in self.clips.shards.shapes)
        sums = torch.zeros(frames, 4, dtype=torch.float64)
        baselines = torch.zeros(frames, 25, 26, dtype=torch.float64)
        used = torch.zeros(2, self.network.vocab_size, dtype=torch.float64)  # true ids, and predicted ones
        for batch in self.clips.batches(self.batch_size, self.rank, self.num_ranks):
            self._add(batch, sums, baselines, used)
        for tensor in (sums, baselines, used):
            tensor.copy_(self.reduce_sum(tensor.to(self.device)).cpu())
        return self._result(sums, baselines, (used > 0).double().mean(1).tolist())

    def _add(self, batch: EvaluationBatch, sums: Tensor, baselines: Tensor, used: Tensor) -> None:
        """Add the sums of the clips of a batch that count."""
        clips, clip_count = batch.clips.to(self.device), len(batch.datasets)
        entropy, predicted = self._predict(batch)  # [b t*h*w]
        frames = clips.latents.shape[2]
        counted = counted_tokens(clips, torch.zeros(len(clips.ids), dtype=torch.int64))
        counted[:, : counted.shape[1] - entropy.shape[1]] = (
            False  # without <bov> the first id has no prediction
        )
        ids = clips.latents[:clip_count, 0].flatten(2).cpu()  # [b t n]
        previous = torch.cat([torch.full_like(ids[:, :1], -1), ids[:, :-1]], 1)
        mask = counted[:clip_count].reshape(clip_count, frames, -1).cpu()
        missing = (ids.shape[1] * ids.shape[2] - entropy.shape[1], 0)
        entropy, predicted = (
            torch.nn.functional.pad(each[:clip_count], missing).reshape(clip_count, frames, -1).cpu()
            for each in (entropy, predicted)
        )
        used[0] += torch.bincount(ids[mask], minlength=used.shape[1])
        used[1] += torch.bincount(predicted[mask], minlength=used.shape[1])
        values = (torch.ones_like(entropy), entropy, predicted == ids, previous == ids)
        for column, value in enumerate(values):
            sums[:frames, column] += (value.double() * mask).sum((0, 2))
        for frame in range(frames):
            baselines[frame] += self.baselines.sums(ids[:, frame], previous[:, frame], mask[:, frame])

    def _predict(self, batch: EvaluationBatch) -> tuple[Tensor, Tensor]:
        """The cross-entropy and the most probable id of each token that has a prediction, [b n]."""
        clips = batch.clips.to(self.device)
        inputs, targets = sequences(self.network, clips.latents)
        conditioning = add_text(clips.conditioning, self.text_encoder, clips.captions, self.device)
        grid = (clips.latents.shape[3], clips.latents.shape[4])
        hidden = self.network(inputs, grid, conditioning)
        entropies, predictions = [], []
        per_chunk = max(1, CHUNK_TOKENS // len(inputs))
        for part, ids in zip(*(torch.split(each, per_chunk, 1) for each in (hidden, targets)), strict=True):
            logits = self.network.logits(part)
            entropies.append(logits.logsumexp(-1) - logits.gather(-1, ids[..., None])[..., 0])
            predictions.append(logits.argmax(-1))
        return torch.cat(entropies, 1), torch.cat(predictions, 1)

    def _result(self, sums: Tensor, baselines: Tensor, use: Sequence[float]) -> TokenEvaluationResult:
        chosen = slice(min(self.given_frames, len(sums) - 1), None)
        total, totals = sums[chosen].sum(0), baselines[chosen].sum(0)
        row = int(totals[:, 0].argmin())
        best = int(totals[:, 1:].argmin())
        copy_row, copy_column = best // 25, 1 + best % 25
        count = total[_COUNT].clamp(min=1)
        entropy = float(total[_ENTROPY] / count)
        frames = [
            FrameResult(
                tokens=int(each[_COUNT]),
                cross_entropy=float(each[_ENTROPY] / each[_COUNT].clamp(min=1)),
                accuracy=float(each[_RIGHT] / each[_COUNT].clamp(min=1)),
                unigram=float(baseline[row, 0] / each[_COUNT].clamp(min=1)),
                copy=float(baseline[copy_row, copy_column] / each[_COUNT].clamp(min=1)),
                copy_accuracy=float(each[_COPIED] / each[_COUNT].clamp(min=1)),
            )
            for each, baseline in zip(sums, baselines, strict=True)
        ]
        return TokenEvaluationResult(
            clips=len(self.clips),
            given_frames=self.given_frames,
            cross_entropy=entropy,
            accuracy=float(total[_RIGHT] / count),
            unigram=float(totals[row, 0] / count),
            copy=float(totals[copy_row, copy_column] / count),
            perplexity=perplexity(entropy),
            bits_per_pixel=float(total[_ENTROPY]) / math.log(2) / self._pixels(sums[:, _COUNT]),
            codebook_use=use[0],
            predicted_codebook_use=use[1],
            frames=frames,
        )

    def _pixels(self, tokens: Tensor) -> float:
        """The pixels that the counted tokens describe; the first latent frame describes only one frame."""
        time, height, width = self.clips.shards.spec.stride
        pixels = tokens * time * height * width
        pixels[0] /= time
        return max(1.0, float(pixels[self.given_frames :].sum()))
