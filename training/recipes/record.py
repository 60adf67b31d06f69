"""What a training records about itself: the metadata of its model and of its checkpoints."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from training.conditions.plucker import intrinsics_of_rays
from training.data.codes.paired_shards import code_spec_of
from training.data.order import SampleIndex
from training.data.shards import LatentShards
from training.loop.checkpoint import CheckpointManager
from training.loop.trainer import Trainer
from training.model import ModelInfo
from training.networks.registry import NetworkConfig
from training.recipes.batches import open_statistics
from training.recipes.config import EXECUTION_SETTINGS, TrainingConfig
from training.recipes.initial_weights import DEFAULTS_KEY
from training.recipes.post_training.distillation import distillation_record
from training.recipes.pretrained_text import encoder_identity
from training.settings.codes import CodeSettings
from training.settings.conditions import ConditionSettings
from training.settings.post_training import DistillationSettings, RewardSettings
from training.settings.views import ViewSettings
from training.text_encoder import TextEncoder

CHECKPOINT_FOLDER = "checkpoints"


def open_checkpoints(
    config: TrainingConfig,
    work: Path,
    shards: LatentShards,
    info: ModelInfo,
    init_digest: str,
    init_defaults: Mapping[str, Any],
) -> CheckpointManager:
    """Checkpoints whose identity is the model, its initial weights and its latents; the rest may change.

    A training that resumes takes `init_defaults` from them, without the initial weights.
    """
    metadata = info.to_json()
    identity = {name: metadata[name] for name in ("format", "network", "diffusion", "latents")}
    identity["text_encoder"] = encoder_identity(info.text_encoder)
    if info.latent_statistics:
        identity["latent_statistics"] = metadata["latent_statistics"]
    if info.codes:
        identity["codes"] = metadata["codes"]
    if info.conditions:
        identity["conditions"] = info.conditions["digest"]
    if info.distillation:
        identity["distillation"] = metadata["distillation"]
    if init_digest:
        identity["init_digest"] = init_digest
    if config.uncertainty:
        identity["uncertainty"] = True
    if config.lora_rank:
        names = ("lora_rank", "lora_alpha", "lora_target_modules")
        identity["lora"] = {name: getattr(config, name) for name in names}
    return CheckpointManager(
        work / CHECKPOINT_FOLDER,
        identity,
        recorded_settings(config, shards),
        {"model": metadata, DEFAULTS_KEY: dict(init_defaults)},
        is_async=config.async_checkpoint,
    )


def recorded_settings(config: TrainingConfig, shards: LatentShards) -> dict[str, Any]:
    """The settings that the history of a checkpoint records, with a digest of the data."""
    settings = {k: v for k, v in asdict(config).items() if k not in _unrecorded(config)}
    return settings | {"data": data_digest(shards)}


def report_changes(trainer: Trainer[Any], *, quiet: bool) -> None:
    """Print the step at which a training resumes, and the settings that changed since its checkpoint."""
    if quiet or trainer.checkpoints is None or not trainer.step:
        return
    changes = trainer.checkpoints.changes
    text = ", ".join(f"{name} {new} (was {old})" for name, (old, new) in changes.items())
    print(f"resuming at step {trainer.step}" + (f" with {text}" if text else ""), file=sys.stderr)


def model_info(
    config: TrainingConfig, shards: LatentShards, network: NetworkConfig, encoder: TextEncoder | None
) -> ModelInfo:
    codes = code_spec_of(shards)
    by_count = sorted(zip(map(sum, shards.counts), shards.shapes, strict=True), reverse=True)
    excluded = (
        _unrecorded(config)
        | {"latent_statistics"}
        | ({"steps"} if config.lr_schedule == "constant" else set())
    )
    excluded = excluded | {"model" if config.init_from else "init_from"}
    return ModelInfo(
        network=network,
        diffusion=config.diffusion,
        text_encoder={"name": "none"} if encoder is None else dict(encoder.info),
        flow_shift=config.flow_shift,
        latents=shards.spec._asdict(),
        fps=shards.fps,
        latent_shapes=[(c, t // max(1, len(shards.views)), h, w) for _, (c, t, h, w) in by_count],
        latent_statistics=open_statistics(config, shards),
        codes=codes._asdict() if codes else {},
        conditions=_conditions(shards),
        distillation=distillation_record(config),
        training={name: value for name, value in asdict(config).items() if name not in excluded},
    )


def _unrecorded(config: TrainingConfig) -> set[str]:
    """The settings that are not recorded, among them those of the kinds of training that this one is not."""
    unused: set[str] = set()
    groups = (
        (config.codes, CodeSettings),
        (config.conditions, ConditionSettings),
        (config.distillation, DistillationSettings),
        (config.reward, RewardSettings),
        (len(config.view_names) > 1, ViewSettings),
    )
    for is_used, group in groups:
        unused |= set() if is_used else {field.name for field in fields(group)}
    return EXECUTION_SETTINGS | unused


def _conditions(shards: LatentShards) -> dict[str, Any]:
    """What the conditions mean, and the intrinsics and the rig of the cameras of the first clip."""
    spec = shards.condition_spec
    if spec is None:
        return {}
    camera = shards.read(0, SampleIndex(0, 0)).conditions.get("camera")
    found: dict[str, Any] = {}
    if camera is not None:
        found["camera_intrinsics"] = intrinsics_of_rays(camera[:, 0])
        if len(shards.views) > 1:
            found["rig"] = shards.read_rig()
    return spec.to_json() | found


def data_digest(shards: LatentShards) -> str:
    """Identifies the training data, independent of its location."""
    contents = [
        (shard.tar.rsplit("/", 2)[1:], shard.spec, shard.shape, shard.samples)
        for bucket in shards.buckets
        for shard in bucket
    ]
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest()
