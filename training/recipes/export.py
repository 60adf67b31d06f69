"""Export: a model file from the latest checkpoint of a training, whatever number of ranks wrote it."""

from pathlib import Path

import torch
from torch.distributed.checkpoint.state_dict_loader import load

from training.errors import CheckpointError
from training.loop.checkpoint import read_record
from training.model import MODEL_FILE, ModelInfo, save_model
from training.parallel.mesh import process_group
from training.world_model import WorldModel


def export(work: Path, out: Path) -> Path:
    """Write the EMA weights of the latest checkpoint in `work` as a model file in the folder `out`.

    Args:
        work: The folder that the training was run in.

    Returns:
        The model file.

    Raises:
        CheckpointError: There is no checkpoint, or it is damaged.
    """
    folder = work / "checkpoints"
    if not (folder / "latest").exists():
        raise CheckpointError("there is no checkpoint here", where=str(folder), remedy="train a model first")
    place = folder / (folder / "latest").read_text()
    record = read_record(place)
    metadata = record["metadata"]["model"]
    metadata["training"]["steps"] = record["step"]
    info = ModelInfo.from_json(metadata)
    with torch.device("meta"):
        model = WorldModel(info.network, info.diffusion, info.text_encoder["name"])
    weights = {name: torch.empty(p.shape) for name, p in model.named_parameters()}
    with process_group():
        load({"ema": weights}, checkpoint_id=place)
    save_model(out / MODEL_FILE, weights, info)
    return out / MODEL_FILE
