"""Builds the parts of the training of an autoregressive model from its settings."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from training.autoregressive.model import AutoregressiveModel
from training.data.batches import LatentBatch
from training.data.shard_checks import check_codes
from training.data.shards import LatentShards
from training.errors import LayoutError, SettingError
from training.loop.optimization_step import OptimizationStep
from training.networks.autoregressive.config import AUTOREGRESSIVE_CONFIGS, AutoregressiveConfig
from training.objectives.medusa import Medusa
from training.objectives.next_token import NextToken
from training.parallel.mesh import Mesh
from training.parallel.sharding import apply_activation_checkpointing, apply_compile, apply_fsdp
from training.recipes.autoregressive.config import AutoregressiveTrainingConfig
from training.recipes.build import build_lr
from training.text_encoder import TextEncoder
from training.tokenizers import load_tokenizer

PATCH = (1, 1, 1)  # a token is one code


def open_codes(
    config: AutoregressiveTrainingConfig, pairs: Any = None, like: LatentShards | None = None
) -> LatentShards:
    """The shards of codes that a training reads, or `pairs` of the same tokenizer as those of `like`.

    Raises:
        LatentMismatchError: There are none, they are no codes, or they do not match each other.
    """
    shards = LatentShards(
        config.data if pairs is None else pairs,
        max_frames=config.max_latent_frames,
        min_area=config.min_latent_area,
        max_area=config.max_latent_area,
        spec=None if like is None else like.spec,
    )
    check_codes([shard for bucket in shards.buckets for shard in bucket])
    return shards


def choose_network(
    config: AutoregressiveTrainingConfig, shards: LatentShards, initial: AutoregressiveConfig | None
) -> AutoregressiveConfig:
    """The network for the codes of the shards, or that of `initial` with the heads of the settings.

    Raises:
        SettingError: The network needs given frames or no text, and the settings say otherwise.
    """
    if initial is not None:
        return replace(initial, medusa_heads=config.medusa_heads or initial.medusa_heads)
    size = shards.buckets[0][0].codebook_size
    network = replace(AUTOREGRESSIVE_CONFIGS[config.model], vocab_size=size)
    if config.token_embedding == "fsq":
        network = replace(network, fsq_levels=_levels(shards))
    return network


def check_network(
    config: AutoregressiveTrainingConfig, network: AutoregressiveConfig, shards: LatentShards
) -> None:
    """Check that the network can be given what the settings give it.

    Raises:
        SettingError: It cannot.
    """
    if not network.bos and config.min_given_frames == 0:
        raise SettingError(
            f"the network {config.model} has no <bov>, so that it cannot predict the first latent frame",
            remedy="set conditional_frames to 0,1 for one given latent frame, or choose another model",
        )
    if not network.bos and any(shape[1] == 1 for shape in shards.shapes):
        raise SettingError(
            f"the network {config.model} has no <bov>, so that it cannot be trained on images",
            remedy="train on videos only, or choose another model",
        )
    if config.medusa_layers > network.num_hidden_layers:
        raise SettingError(
            f"medusa_layers is {config.medusa_layers}, and the network has {network.num_hidden_layers} blocks"
        )
    if not network.text_embed_dim and config.text_encoder != "none":
        raise SettingError(
            f"the network {config.model} reads no text, and text_encoder is {config.text_encoder}",
            remedy="set text_encoder=none, or choose another model",
        )


def check_layout(config: AutoregressiveTrainingConfig, num_data_ranks: int) -> None:
    """Check that the clips of a step can be divided among the ranks.

    Raises:
        LayoutError: They cannot.
    """
    slices = num_data_ranks * config.grad_accum_steps
    if config.batch_size % slices:
        raise LayoutError(
            f"a batch of {config.batch_size} clips cannot be divided equally among {num_data_ranks} ranks"
            f" in {config.grad_accum_steps} microbatches",
            remedy=f"choose a batch_size that is a multiple of {slices}",
        )


def _levels(shards: LatentShards) -> tuple[int, ...]:
    """The levels of the quantization of the tokenizer of the shards."""
    spec = shards.spec
    tokenizer = load_tokenizer(spec.tokenizer)
    levels = getattr(getattr(tokenizer, "fsq", None), "levels", ())
    if tokenizer.digest != spec.digest or not levels:
        raise SettingError(
            f"the levels of the codes are not known: the tokenizer {spec.tokenizer} has digest"
            f" {tokenizer.digest[:12]}, and the codes {spec.digest[:12]}",
            remedy="set token_embedding=table, or put the tokenizer back that made the codes",
        )
    return tuple(levels)


def build_model(config: AutoregressiveTrainingConfig, network: AutoregressiveConfig) -> AutoregressiveModel:
    """The model on the meta device; with `medusa_heads`, only they and `medusa_layers` blocks are trained."""
    with torch.device("meta"):
        model = AutoregressiveModel(network, config.text_encoder)
    if config.medusa_heads:
        _freeze(model, config.medusa_layers)
    return model


def parallelize(
    model: AutoregressiveModel, mesh: Mesh, config: AutoregressiveTrainingConfig, precision: str
) -> None:
    """Shard the model, in place, with new weights that depend only on the seed; a rank draws its part."""
    blocks: list[nn.Module] = list(model.network.transformer_blocks)
    apply_activation_checkpointing(blocks, config.activation_checkpointing)
    if config.compile:
        apply_compile(blocks)
    apply_fsdp(model.network, blocks, mesh, precision)
    for module in (model.text_encoder, model.medusa):
        if module is not None:
            apply_fsdp(module, [], mesh, precision)
    model.to_empty(device=mesh.device)
    model.reset_parameters(config.seed)


def _freeze(model: AutoregressiveModel, layers: int) -> None:
    """Leave only the heads to be trained and, with `layers`, the last ones and the output of the network."""
    network, last = model.network, len(model.network.layers) - layers
    model.requires_grad_(False)
    for module in (model.medusa, *(network.layers[last:] if layers else ())):
        if module is not None:
            module.requires_grad_(True)
    if layers:
        network.norm.requires_grad_(True)
        network.output.requires_grad_(True)


def build_optimization_step(
    config: AutoregressiveTrainingConfig,
    model: AutoregressiveModel,
    encoder: TextEncoder | None,
    device: torch.device,
) -> OptimizationStep[LatentBatch]:
    """AdamW on the next-token objective; norms have no weight decay."""
    objective = NextToken(
        model.network,
        encoder,
        text_dropout=config.text_dropout,
        embedding_dropout=config.embedding_dropout,
        conditional_frames=dict(enumerate(config.conditional_frames)),
        z_loss_weight=config.z_loss_weight,
        image_loss_scale=config.image_loss_scale,
        seed=config.seed,
    )
    optimizer = torch.optim.AdamW(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=config.lr,
        betas=(0.9, 0.95),
        weight_decay=config.weight_decay,
        fused=True,
    )
    if config.medusa_heads:
        medusa = Medusa(objective, model, trains_network=config.medusa_layers > 0)
        return OptimizationStep(medusa, optimizer, build_lr(config))
    return OptimizationStep(objective, optimizer, build_lr(config))


class TokenWorkCounter:
    """The clips, tokens and FLOPs of a microbatch on all ranks. A backward pass costs two forward passes."""

    def __init__(self, network: AutoregressiveConfig, num_data_ranks: int) -> None:
        self.network, self.num_data_ranks = network, num_data_ranks

    def __call__(self, batch: LatentBatch) -> dict[str, float]:
        clips, (_, *sizes) = len(batch.latents), batch.latents.shape[1:]
        tokens = math.prod(sizes)
        counts = {
            "samples": clips,
            "tokens": clips * tokens,
            "flops": 3 * clips * forward_flops(self.network, tokens),
        }
        return {name: float(count * self.num_data_ranks) for name, count in counts.items()}


def forward_flops(network: AutoregressiveConfig, tokens: int) -> float:
    """FLOPs of one forward pass of a sequence, with the attention to half of the places, without text."""
    width, inner = network.hidden_size, network.num_attention_heads * network.head_dim
    kv_inner = network.num_key_value_heads * network.head_dim
    matrices = 2 * width * (inner + kv_inner) + 3 * width * network.intermediate_size
    matrices += 2 * width * inner if network.text_embed_dim else 0  # keys and values of the text are few
    blocks = network.num_hidden_layers * (2 * matrices + 2 * tokens * inner)
    rows = (
        network.output_mixtures * (1 + sum(network.fsq_levels)) if network.fsq_levels else network.vocab_size
    )
    return float(tokens * (blocks + 2 * width * rows))
