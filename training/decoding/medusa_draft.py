"""Drafts of Medusa heads."""

from dataclasses import dataclass

from torch import Tensor

from training.autoregressive.model import AutoregressiveModel
from training.decoding.choice import TokenChoice
from training.networks.autoregressive.medusa import MedusaHeads, choose_draft_ids


@dataclass(frozen=True)
class MedusaDraft:
    """Proposes what each head predicts, chosen with the noise of the place that it predicts.

    Where a head has the distribution of the network, its token is then the one that decoding chooses, not
    only one of the same distribution. This is a rule of the draft: decoding does not depend on it.

    Attributes:
        choice: Chooses tokens.
        heads: The heads of the model.
        ids: The ids that heads predict, [m].
    """

    choice: TokenChoice
    heads: MedusaHeads
    ids: Tensor

    @classmethod
    def of(cls, choice: TokenChoice, model: AutoregressiveModel) -> "MedusaDraft":
        """The draft of the heads of a model."""
        assert model.medusa is not None
        return cls(choice, model.medusa, choose_draft_ids(model.token_frequencies))

    def __call__(self, hidden: Tensor, samples: Tensor, places: Tensor) -> Tensor:
        """The tokens [b k]; see `training.decoding.decoder.Draft`."""
        drafted = self.heads(hidden)[:, 0, : len(places)]
        logits = self.choice.model.logits(drafted, self.ids)
        return self.choice.by_logits(logits, samples, places, self.ids)
