"""The result of an evaluation, and the sums over clips and ranks that it is computed from."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

CONTROLS = ("right", "shuffled", "none", "other cameras", "views alone")
TIMESTEPS = tuple((n + 0.5) / 10 for n in range(10))  # the centers of ten bins of 0..1


@dataclass(frozen=True)
class EvaluationResult:
    """Mean squared errors of the velocity (noise - clean), over the latents that are generated.

    A timestep is the share of noise, sigma / (alpha + sigma), on any path. So models of different paths can
    be compared. All values but `loss_by_mode` are of the mode with the fewest given frames: text-to-video,
    if the model was trained for it.

    Attributes:
        clips: Number of evaluated clips.
        loss: Mean over all timesteps and clips.
        linear_loss: Mean over all timesteps of the loss of the best linear prediction: for each timestep and
            channel, the linear function of the noisy latents that fits these clips best. A model that has
            learned more than the mean and the variance of each channel is below it.
        loss_by_timestep: Mean over all clips, for each of `TIMESTEPS`.
        linear_loss_by_timestep: Loss of the best linear prediction, for each of `TIMESTEPS`.
        loss_by_mode: Mean for each mode that the model was trained for: text_to_image, text_to_video,
            image_to_video, video_to_video. The last two have given frames, which do not count.
        loss_by_bucket: Mean for each shape of the latents, frames x height x width.
        loss_by_dataset: Mean for each folder of the shards.
        loss_by_condition: Over all modes, with the right conditions and with controls. Of a model that reads
            actions, a camera or a trajectory: with those of another clip (shuffled), and with none. Of a
            model of several cameras: with each view taken for that of the next camera (other cameras), and
            with each view denoised alone. A model that uses them has the lowest loss with the right ones. {}
            of other models.
    """

    clips: int
    loss: float
    linear_loss: float
    loss_by_timestep: Mapping[float, float]
    linear_loss_by_timestep: Mapping[float, float]
    loss_by_mode: Mapping[str, float]
    loss_by_bucket: Mapping[str, float]
    loss_by_dataset: Mapping[str, float]
    loss_by_condition: Mapping[str, float] = field(default_factory=dict)

    def summary(self) -> str:
        """The loss, and how it compares with the best linear prediction, in one line."""
        below = 1 - self.loss / self.linear_loss
        side = "below" if below >= 0 else "above"
        linear = f"the best linear prediction ({self.linear_loss:.4f})"
        return f"loss {self.loss:.4f}, {abs(below):.1%} {side} {linear}"

    def details(self) -> list[str]:
        """The loss of each mode, if there are several, and with each control of the conditions."""
        modes = [f"{mode} {loss:.4f}" for mode, loss in self.loss_by_mode.items()]
        controls = [
            f"{name}{' conditions' * (name in CONTROLS[:3])} {loss:.4f}"
            for name, loss in self.loss_by_condition.items()
        ]
        return (modes if len(modes) > 1 else []) + controls

    def lines(self) -> list[str]:
        """The result as a text: the summary, a table by timestep, and each breakdown."""
        rows = [
            f"{t:8.2f}  {loss:.4f}  {self.linear_loss_by_timestep[t]:.4f}"
            for t, loss in self.loss_by_timestep.items()
        ]
        parts = {"mode": self.loss_by_mode, "bucket": self.loss_by_bucket, "dataset": self.loss_by_dataset}
        parts |= {"conditions": self.loss_by_condition} if self.loss_by_condition else {}
        breakdowns = [
            f"by {name}: " + " · ".join(f"{key} {loss:.4f}" for key, loss in losses.items())
            for name, losses in parts.items()
        ]
        return [f"{self.clips} clips · {self.summary()}", "timestep    loss  linear", *rows, *breakdowns]

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return {
            name: {str(key): each for key, each in value.items()} if isinstance(value, Mapping) else value
            for name, value in asdict(self).items()
        }


class EvaluationSums:
    """Sums over clips, for each combination of mode, bucket, data set and timestep.

    Args:
        modes, buckets, datasets: Their names. They are equal on all ranks.
        channels: Channels of the latents.
        device: Where the sums are.
    """

    def __init__(
        self,
        modes: Sequence[str],
        buckets: Sequence[str],
        datasets: Sequence[str],
        channels: int,
        device: torch.device,
    ) -> None:
        self.modes, self.buckets, self.datasets = list(modes), list(buckets), list(datasets)
        size = (len(modes), len(buckets), len(datasets), len(TIMESTEPS))
        options: Any = {"dtype": torch.float64, "device": device}
        self.losses, self.counts = torch.zeros(size, **options), torch.zeros(size, **options)
        self.is_first = torch.zeros(size[:2], dtype=torch.bool)  # the first mode of each bucket
        self.linear = torch.zeros(len(TIMESTEPS), 6, channels, **options)
        self.controls = torch.zeros(len(CONTROLS), 2, **options)

    def add(
        self, mode: str, bucket: int, datasets: Sequence[int], timestep: int, losses: Tensor, is_first: bool
    ) -> None:
        """Add the losses [b] of clips of these data sets."""
        place = (self.modes.index(mode), bucket)
        self.is_first[place] |= is_first
        index = torch.tensor(datasets, dtype=torch.long, device=self.losses.device)
        self.losses[place][:, timestep].index_add_(0, index, losses.double())
        self.counts[place][:, timestep].index_add_(0, index, torch.ones_like(losses, dtype=torch.float64))

    def add_control(self, name: str, losses: Tensor) -> None:
        """Add the losses [b] of clips with one of `CONTROLS`."""
        self.controls[CONTROLS.index(name)] += torch.stack([losses.sum(), torch.ones_like(losses).sum()])

    def add_linear(self, timestep: int, x: Tensor, y: Tensor) -> None:
        """Add clips to the least squares fit of y = a x + b; x, y [b c t h w]."""
        self.linear[timestep] += linear_sums(x, y)

    def tensors(self) -> list[Tensor]:
        """What is to be added over the ranks that evaluate different clips."""
        return [self.losses, self.counts, self.linear, self.controls]

    def result(self, clips: int) -> EvaluationResult:
        """The means, of this number of clips."""
        losses, counts = self.losses.cpu(), self.counts.cpu()
        first = self.is_first[:, :, None, None]
        by_timestep = _means(losses * first, counts * first, TIMESTEPS, 3)
        controls = zip(CONTROLS, self.controls.tolist(), strict=True)
        linear = {t: linear_mse(sums) for t, sums in zip(TIMESTEPS, self.linear.cpu(), strict=True)}
        return EvaluationResult(
            clips=clips,
            loss=sum(by_timestep.values()) / len(TIMESTEPS),
            linear_loss=sum(linear.values()) / len(TIMESTEPS),
            loss_by_timestep=by_timestep,
            linear_loss_by_timestep=linear,
            loss_by_mode=_means(losses, counts, self.modes, 0),
            loss_by_bucket=_means(losses * first, counts * first, self.buckets, 1),
            loss_by_dataset=_means(losses * first, counts * first, self.datasets, 2),
            loss_by_condition={name: total / count for name, (total, count) in controls if count},
        )


def _means(losses: Tensor, counts: Tensor, names: Sequence[Any], axis: int) -> dict[Any, float]:
    """The mean along all axes but one, by name; without names that have no clip."""
    others = [n for n in range(losses.dim()) if n != axis]
    pairs = zip(names, losses.sum(others).tolist(), counts.sum(others).tolist(), strict=True)
    return {name: total / count for name, total, count in pairs if count}


def linear_sums(x: Tensor, y: Tensor) -> Tensor:
    """The sums that determine the least squares fit of y = a x + b per channel, [6 c]; x, y [b c t h w]."""
    x, y = (each.double().transpose(0, 1).flatten(1) for each in (x, y))
    return torch.stack([each.sum(1) for each in (torch.ones_like(x), x, y, x * x, x * y, y * y)])


def linear_mse(sums: Tensor) -> float:
    """The mean squared error of the least squares fit, over all channels."""
    x, y, xx, xy, yy = sums[1:] / sums[0]
    variance, covariance = xx - x * x, xy - x * y
    return float((yy - y * y - covariance**2 / variance.clamp(min=1e-12)).mean())
