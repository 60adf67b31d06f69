"""Drafts of Medusa heads."""

from dataclasses import dataclass

from torch import Tensor

from training.decoding.choice import TokenChoice
from training.networks.autoregressive.medusa import MedusaHeads


@dataclass(frozen=True)
class MedusaDraft:
    """Proposes what each head predicts, chosen with the noise of the place that it predicts.

    Where a head has the distribution of the network, its token is then the one that decoding chooses, not
    only one of the same distribution. This is a rule of the draft: decoding does not depend on it.

    Attributes:
        choice: Chooses tokens.
        heads: The heads of the network.
    """

    choice: TokenChoice
    heads: MedusaHeads

    def __call__(self, hidden: Tensor, samples: Tensor, places: Tensor) -> Tensor:
        """The tokens [b k]; see `training.decoding.decoder.Draft`."""
        return self.choice(self.heads(hidden)[:, 0, : len(places)], samples, places)
