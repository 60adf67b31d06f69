"""Rollout: videos longer than those that a token model was trained on.

The model sees at most `max_latent_frames` latent frames. When they are full, the last `context_frames` of
them become the given frames of a new chunk, at positions from 0. The noise depends on the place in the whole
video, so a video is the beginning of every longer one of the same seed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from manifests import PositiveInt
from training.decoding.decoder import Decoder
from training.errors import SettingError
from training.settings.check import check_settings


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """Continues videos to any length.

    Attributes:
        max_latent_frames: Latent frames that the model sees at once: at most those of its training. Higher
            values remember more, and need more memory.
        context_frames: Latent frames of a full chunk that the next one begins with. Higher values remember
            more, and decode fewer new frames per chunk.

    Raises:
        SettingError: The context leaves no frame to decode.
    """

    max_latent_frames: PositiveInt
    context_frames: PositiveInt = 1

    def __post_init__(self) -> None:
        check_settings(self, {})
        if self.context_frames >= self.max_latent_frames:
            raise SettingError(
                f"context_frames is {self.context_frames}, and the model sees {self.max_latent_frames} latent"
                " frames at once, so that no frame is left to decode",
                remedy=f"set it below {self.max_latent_frames}",
            )

    def __call__(self, decoder: Decoder, given: Tensor, latent_frames: int, samples: Tensor) -> Tensor:
        """Codes, int64 [b latent_frames h w].

        Args:
            decoder: Decodes the frames of a chunk.
            given: Codes of the given frames, int64 [b k h w]; k may be 0.
            latent_frames: Latent frames of the videos, the given ones included.
            samples: Number of each sample, int64 [b].

        Raises:
            SettingError: The model needs given frames, and there are none, or an id is out of range.
        """
        height, width = decoder.grid
        area, codes, first = height * width, given, 0
        while (known := codes.shape[1]) < latent_frames:
            if known - first >= self.max_latent_frames:
                first = known - self.context_frames
            stop = min(latent_frames, first + self.max_latent_frames)
            prefix = codes[:, first:].flatten(1)
            new = decoder(prefix, (stop - known) * area, samples, known * area)
            codes = torch.cat([codes, new.reshape(len(new), -1, height, width)], 1)
        return codes
