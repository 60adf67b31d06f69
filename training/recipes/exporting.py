"""A model file from the checkpoint that a training stands at, whatever ranks wrote it."""

from pathlib import Path

import torch
from torch.distributed.checkpoint.state_dict_loader import load

from training.errors import BadCheckpoint
from training.loop.checkpoint import read_record
from training.model import NAME, ModelInfo, save_model
from training.networks.video_dit import VideoDiT
from training.parallel.mesh import process_group


def export(work: Path, out: Path) -> Path:
    """Write the averaged weights of the last checkpoint in `work` as a model file in `out`.

    Raises:
        BadCheckpoint: there is no checkpoint, or it is not whole.
    """
    folder = work / "checkpoints"
    if not (folder / "latest").exists():
        raise BadCheckpoint("there is no checkpoint here", where=str(folder), remedy="train first")
    place = folder / (folder / "latest").read_text()
    record = read_record(place)
    said = {name: value for name, value in record["config"].items() if name != "data"}
    said["trained"]["steps"] = record["step"]
    told = ModelInfo.from_json(said)
    with torch.device("meta"):
        network = VideoDiT(told.network)
    weights = {name: torch.empty(p.shape) for name, p in network.named_parameters()}
    with process_group():
        load({"average": weights}, checkpoint_id=place)
    save_model(out / NAME, weights, told)
    return out / NAME
