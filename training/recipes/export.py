"""Export: a model for use elsewhere, from the latest checkpoint of a training or from a model file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.adapters.diffusers_folder import CONFIG_FILE, save_diffusers
from training.adapters.layouts import check_names
from training.adapters.merged_lora import merge_lora
from training.adapters.stored_weights import open_stored_weights
from training.adapters.weight_files import Weights, open_weights
from training.diffusion.config import DiffusionConfig
from training.errors import CheckpointError, SettingError
from training.loop.checkpoint import read_record, stored_parts
from training.loop.checkpoint_files import REMEDY, raise_first, verify_files
from training.model import MODEL_FILE, ModelInfo, read_model_info, save_model, spec_of_conditions
from training.networks.config import VideoDiTConfig
from training.networks.lora import add_lora, peft_state_dict
from training.networks.registry import class_name
from training.recipes.initial_weights import EXPORT_KEY, open_frozen_weights, training_settings
from training.recipes.pretrained_text import TRAINED
from training.settings.post_training import LoRASettings
from training.world_model import WorldModel

LORA_FILE = "pytorch_lora_weights.safetensors"  # the name that diffusers expects in a folder


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
        path: The model file, or the folder for diffusers.
        notes: What a user of the folder has to know, in sentences.
    """

    path: Path
    notes: tuple[str, ...] = ()


def export(work: Path, out: Path, file_format: str = "clipmill") -> Exported:
    """Write the EMA weights of a training into the folder `out`.

    Args:
        work: The folder that a training was run in, on any number of ranks; or the file or folder of a model.
        out: Created if it does not exist.
        file_format: "clipmill" writes a model file, "diffusers" a folder that
            `CosmosTransformer3DModel.from_pretrained` of diffusers reads, and "lora" the adapters of a LoRA
            training as a file that its `load_lora_adapter` reads.

    Raises:
        CheckpointError: There is no checkpoint and no model, or it is damaged; or the folder for diffusers
            would replace the files of the model.
        SettingError: diffusers has no class for the network of the model.
    """
    weights, info = _read(work, with_frozen=file_format != "lora")
    scale = LoRASettings(
        lora_rank=info.training.get("lora_rank", 0), lora_alpha=info.training.get("lora_alpha", 0.0)
    ).lora_scale
    if file_format == "lora":
        return _export_lora(weights, scale, out)
    if info.training.get("lora_rank", 0):
        weights = merge_lora(weights, scale)
    if file_format == "clipmill":
        save_model(out / MODEL_FILE, weights, info)
        return Exported(out / MODEL_FILE)
    views = info.network.views
    has_inputs = info.codes or info.conditions or info.network.concat_last_given or views
    if not isinstance(info.network, VideoDiTConfig) or has_inputs:
        spec = spec_of_conditions(info)
        inputs = [*(["codes"] if info.codes else []), *(spec.names if spec else ())]
        inputs += ["the last given frame"] if info.network.concat_last_given else []
        inputs += ["several views"] if views else []
        reads = f" that reads {' and '.join(inputs)}" if inputs else ""
        raise SettingError(
            f"diffusers has no class for the network of this model, a {class_name(info.network)}{reads}",
            where=str(work),
            remedy="export it with --format clipmill",
        )
    if (out / MODEL_FILE).exists():
        raise CheckpointError(
            "this folder contains a model of Clipmill, whose config.json would be replaced",
            where=str(out),
            remedy="write into another folder",
        )
    prefix = "network."
    network = weights.rename({k.removeprefix(prefix): k for k in weights if k.startswith(prefix)})
    save_diffusers(out, info.network, network)
    notes = diffusers_notes(info)
    _state(out / CONFIG_FILE, info, notes)
    return Exported(out, notes)


def _export_lora(weights: Mapping[str, Tensor], scale: float, out: Path) -> Exported:
    from safetensors.torch import save_file

    prefix = "network."
    adapters = {
        f"transformer.{name.removeprefix(prefix)}": weight
        for name, weight in peft_state_dict(weights, scale).items()
    }
    if not adapters:
        raise CheckpointError(
            "there are no adapters here",
            remedy="name the folder of a training with lora_rank, not its model, whose adapters are merged",
        )
    out.mkdir(parents=True, exist_ok=True)
    save_file(adapters, out / LORA_FILE, metadata={"format": "pt"})
    return Exported(out / LORA_FILE)


def diffusers_scheduler(diffusion: DiffusionConfig, flow_shift: float = 1.0) -> dict[str, Any] | None:
    """The config of the scheduler of diffusers that samples a network of this process; None if none does."""
    if diffusion.preconditioning in ("velocity", "scaled_velocity"):
        return {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": flow_shift}
    if diffusion.path == diffusion.preconditioning == "edm":
        return {
            "_class_name": "EDMEulerScheduler",
            "sigma_data": diffusion.sigma_data * diffusion.latent_scale,
        }
    return None


def diffusers_notes(info: ModelInfo) -> tuple[str, ...]:
    """How to call `CosmosTransformer3DModel` with the network of this model, where it is not obvious."""
    assert isinstance(info.network, VideoDiTConfig)
    notes: list[str] = []
    scheduler, network = diffusers_scheduler(info.diffusion), info.network
    text_encoder = info.text_encoder["name"]
    if scheduler is None:
        notes.append(
            f"No scheduler of diffusers samples from it: the network was trained with the preconditioning"
            f" {info.diffusion.preconditioning} on the path {info.diffusion.path}."
        )
    if scheduler is None or scheduler["_class_name"] == "EDMEulerScheduler":
        timestep = "c_noise of the preconditioning"
    else:
        timestep = "sigma of the scheduler"
    if info.diffusion.latent_scale != 1:
        notes.append(f"Multiply latents of unit variance by {info.diffusion.latent_scale:g}.")
    if network.timestep_scale != 1:
        notes.append(
            f"The class of diffusers has no timestep_scale: pass timestep = {network.timestep_scale:g} times"
            f" {timestep}."
        )
    else:
        notes.append(f"Pass timestep = {timestep}.")
    if network.mask_text:
        notes.append("Cross-attention ignores padding: pass the mask of the text as attention_mask.")
    if network.base_fps is None:
        notes.append("Positions do not depend on the frame rate: pass no fps.")
    if text_encoder == "byte_level":
        notes.append("The text encoder was trained with the model and is not in the folder: pass zeros.")
    elif text_encoder not in TRAINED:
        notes.append(f"The text encoder is {text_encoder}.")
    return tuple(notes)


def _state(file: Path, info: ModelInfo, notes: tuple[str, ...]) -> None:
    """Add what diffusers does not read to config.json."""
    values = json.loads(file.read_text())
    values[EXPORT_KEY] = {
        "diffusion": asdict(info.diffusion),
        "training": training_settings(info),
        "scheduler": diffusers_scheduler(info.diffusion, info.flow_shift),
        "text_encoder": dict(info.text_encoder),
        "latents": dict(info.latents),
        "notes": list(notes),
    }
    file.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")


def _read(work: Path, *, with_frozen: bool) -> tuple[Weights, ModelInfo]:
    """The EMA weights of the latest checkpoint, or else of the model.

    Checkpoints of adapters do not have the frozen weights; `with_frozen` reads these from `init_from`.
    """
    folder = work / "checkpoints"
    if not (folder / "latest").exists():
        if work.suffix != ".safetensors" and not (work / MODEL_FILE).exists():
            raise CheckpointError(
                "there is no checkpoint here", where=str(folder), remedy="train a model first"
            )
        info, file = read_model_info(work), work if work.is_file() else work / MODEL_FILE
        weights = open_weights(file)
        check_names(dict(_meta_model(info).named_parameters()), weights, str(file))
        return weights, info
    place = folder / (folder / "latest").read_text()
    record = read_record(place)
    raise_first([verify_files(place, record["files"])], place, REMEDY)
    metadata = record["metadata"]["model"]
    metadata["training"]["steps"] = record["step"]
    info = ModelInfo.from_json(metadata)
    model = _meta_model(info)
    rank = info.training.get("lora_rank", 0)
    if rank:
        add_lora(model.network, rank, 1.0, info.training["lora_target_modules"])
    shapes = {name: p.shape for name, p in model.named_parameters() if p.requires_grad}
    weights = open_stored_weights(place, "ema" if "ema" in stored_parts(record) else "model", shapes)
    if rank and with_frozen:
        frozen = open_frozen_weights(info.training["init_from"], record["identity"]["init_digest"])
        names = {name: name for name, p in model.named_parameters() if not p.requires_grad}
        weights = weights.combine(frozen.rename(names))
    return weights, info


def _meta_model(info: ModelInfo) -> WorldModel:
    with torch.device("meta"):
        return WorldModel(info.network, info.diffusion, info.text_encoder["name"])
