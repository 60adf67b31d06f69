"""Decoding of token models: one token per forward pass, or several that a draft proposed.

Verification by fixed noise: a draft proposes the next tokens, one forward pass over them gives the hidden
values at each, and plain decoding's own rule chooses the token at each place. Tokens are taken as long as the
draft equals them, and at the first place where it does not, the chosen token is. So the tokens are those of
plain decoding for any draft, and a good draft only saves forward passes.
"""

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from training.decoding.choice import TokenChoice
from training.diffusion.conditioning import Conditioning
from training.errors import SettingError
from training.networks.autoregressive.cache import KeyValueCache


class Draft(Protocol):
    """Proposes tokens. What it proposes changes the speed of decoding, and never its result."""

    def __call__(self, hidden: Tensor, samples: Tensor, places: Tensor) -> Tensor:
        """Tokens [b k].

        Args:
            hidden: Hidden values [b 1 d] of the place before the last known token. Of guided samples
                [2b 1 d]: those without text last.
            samples: Number of each sample, int64 [b].
            places: Places of the proposed tokens in the video, int64 [k], after that of the known token.
        """
        ...


@dataclass(frozen=True)
class ForwardPass:
    """What one forward pass gave.

    Attributes:
        place: Place in the video of the first token that it chose.
        drafted: Tokens that a draft had proposed.
        accepted: Of those, the ones that were taken, of all samples: the smallest number of the batch.
    """

    place: int
    drafted: int
    accepted: int


@dataclass
class Decoder:
    """Decodes the tokens of a batch of videos.

    The cache of keys and values grows with the tokens. The samples of a batch advance together: by the
    smallest number of accepted tokens among them. Tokens of a sample that were accepted beyond it are its
    draft in the next forward pass.

    Attributes:
        choice: Chooses tokens.
        grid: Height and width of a latent frame.
        conditioning: The text of each sample.
        draft: Proposes tokens; None decodes one token per forward pass.
        num_drafted: Tokens that it proposes per forward pass.
        passes: The forward passes so far.
    """

    choice: TokenChoice
    grid: tuple[int, int]
    conditioning: Conditioning
    draft: Draft | None = None
    num_drafted: int = 0
    passes: list[ForwardPass] = field(default_factory=list)

    @torch.inference_mode()
    def __call__(self, prefix: Tensor, count: int, samples: Tensor, place: int) -> Tensor:
        """The `count` tokens after `prefix`, int64 [b count].

        Args:
            prefix: Ids of the given latent frames, from place 0 of the model on, int64 [b n].
            count: Tokens to decode.
            samples: Number of each sample, int64 [b].
            place: Place in the video of the first token to decode; the noise depends on it.

        Raises:
            SettingError: The model needs given frames, and there are none, or an id is out of range.
        """
        feed = self._begin(prefix)
        conditioning = self.choice.conditioning(self.conditioning)
        is_guided = conditioning is not self.conditioning
        cache, drafted, done = KeyValueCache(), 0, 0
        out = prefix.new_empty(len(prefix), count)
        while done < count:
            known = cache.length + feed.shape[1] - drafted
            fed = torch.cat([feed, feed]) if is_guided else feed
            hidden = self.choice.model(fed, self.grid, conditioning, start=cache.length, cache=cache)
            hidden = hidden[:, -1 - drafted :]
            proposed = feed[:, feed.shape[1] - drafted :]
            chosen = self._verify(hidden, proposed, samples, _places(place + done, drafted + 1, prefix))
            each = _count_equal(chosen[:, :drafted], proposed[:, : chosen.shape[1]])
            accepted = int(each.min())
            self.passes.append(ForwardPass(place + done, drafted, accepted))
            out[:, done : done + accepted + 1] = chosen[:, : accepted + 1]
            done += accepted + 1
            cache.truncate(known + accepted)
            feed, drafted = out[:, done - 1 : done], min(self.num_drafted, count - done - 1)
            if self.draft is None or drafted <= 0:
                drafted = 0
                continue
            places = _places(place + done, drafted, prefix)
            tokens = self.draft(hidden[:, accepted, None], samples, places)
            ahead = chosen[:, accepted + 1 :][:, :drafted]
            is_known = torch.arange(ahead.shape[1], device=each.device) < (each - accepted)[:, None]
            tokens[:, : ahead.shape[1]] = torch.where(is_known, ahead, tokens[:, : ahead.shape[1]])
            feed = torch.cat([feed, tokens], 1)
        return out

    def _verify(self, hidden: Tensor, proposed: Tensor, samples: Tensor, places: Tensor) -> Tensor:
        """What decoding chooses at the places, [b n], at least up to the first that no sample has proposed.

        A CPU chooses one place at a time, because each costs as much as a draft saves.
        """
        count = 1 if hidden.device.type == "cpu" else len(places)
        chosen = self.choice(hidden[:, :count], samples, places[:count])
        while (known := chosen.shape[1]) < len(places):
            if not bool((chosen == proposed[:, :known]).all(1).any()):
                break
            part = slice(known, known + count)
            chosen = torch.cat([chosen, self.choice(hidden[:, part], samples, places[part])], 1)
        return chosen

    def _begin(self, prefix: Tensor) -> Tensor:
        """The first tokens of the model: those of the prefix after <bov>, if the model has it."""
        vocabulary = self.choice.model.vocab_size
        if prefix.numel() and not 0 <= int(prefix.min()) <= int(prefix.max()) < vocabulary:
            raise SettingError(
                f"an id of the given frames is not in 0..{vocabulary - 1}: {prefix.min()}..{prefix.max()}",
                remedy="encode them with the tokenizer that the model was trained with",
            )
        if self.choice.model.bos:
            return torch.cat([prefix.new_full((len(prefix), 1), vocabulary), prefix], 1)
        if not prefix.shape[1]:
            raise SettingError(
                "the model continues given frames, and there are none",
                remedy="give an image or a video, or train a model with bos",
            )
        return prefix


def _places(first: int, count: int, like: Tensor) -> Tensor:
    return torch.arange(first, first + count, device=like.device)


def _count_equal(chosen: Tensor, proposed: Tensor) -> Tensor:
    """The number of leading tokens that are equal, [b], of [b k]."""
    return (chosen == proposed).long().cumprod(1).sum(1)
