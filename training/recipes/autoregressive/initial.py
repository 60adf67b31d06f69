"""The model that the training of an autoregressive model starts from, and its text encoder."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch.distributed as dist

from training.adapters.pretrained import load_weights
from training.adapters.weight_files import Weights, open_weights
from training.autoregressive.model import AutoregressiveModel
from training.autoregressive.model_file import TokenModelInfo, read_token_model_info
from training.data.shard import LatentSpec
from training.errors import LatentMismatchError
from training.loop.checkpoint import RECORD_FILE
from training.model import MODEL_FILE
from training.recipes.initial_weights import digest_of
from training.recipes.record import CHECKPOINT_FOLDER


@dataclass(frozen=True)
class InitialModel:
    """A model that a training starts from.

    Attributes:
        info: Its metadata.
        weights: Its weights. None: the training resumes, and its checkpoint has them.
        recorded_digest: The digest that this checkpoint records.
    """

    info: TokenModelInfo
    weights: Weights | None
    recorded_digest: str = ""

    def check_codes(self, spec: LatentSpec) -> None:
        """Check that the codes are of the tokenizer of the model.

        Raises:
            LatentMismatchError: They are not.
        """
        if (digest := self.info.latents["digest"]) != spec.digest:
            raise LatentMismatchError(
                f"the codes are of the tokenizer with digest {spec.digest[:12]}, but the model of init_from"
                f" was trained with {digest[:12]}",
                remedy="encode the clips with the tokenizer of that model",
            )

    def load(self, model: AutoregressiveModel) -> None:
        """Copy the weights into a model that may be sharded; a text encoder without weights keeps its own.

        So do heads, if the model has another number of them.

        Raises:
            CheckpointError: Names are missing or unknown, or shapes differ.
        """
        if self.weights is None:
            return
        same_heads = self.info.network.medusa_heads == model.network.config.medusa_heads
        parts = {"network": model.network, "text_encoder": model.text_encoder}
        for part, module in (parts | ({"medusa": model.medusa} if same_heads else {})).items():
            names = {n.removeprefix(f"{part}."): n for n in self.weights if n.startswith(f"{part}.")}
            if module is not None and names:
                load_weights(module, self.weights.rename(names))

    def digest(self) -> str:
        """SHA-256 of all names, types, shapes and values. The first rank computes it for all ranks."""
        digests = [self.recorded_digest]
        if self.weights is not None:
            digests = [digest_of(self.weights) if dist.get_rank() == 0 else ""]
            dist.broadcast_object_list(digests)
        return digests[0]


def open_initial_model(init_from: str, work: Path) -> InitialModel | None:
    """The model of `init_from`; None if it is "". A training that resumes does not read it again.

    Raises:
        CheckpointError: There is no such model.
    """
    if not init_from:
        return None
    folder = work / CHECKPOINT_FOLDER
    try:
        latest = (folder / "latest").read_text()
        record = json.loads((folder / latest / RECORD_FILE).read_text())
        metadata, digest = record["metadata"]["model"], record["identity"]["init_digest"]
        if metadata["training"]["init_from"] == init_from:
            return InitialModel(TokenModelInfo.from_json(metadata), None, digest)
    except (FileNotFoundError, KeyError, ValueError):
        pass
    path = Path(init_from)
    info = read_token_model_info(path)
    return InitialModel(info, open_weights(path / MODEL_FILE if path.is_dir() else path))
