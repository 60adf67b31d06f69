"""Names of the released layouts, as their files have them."""

from dataclasses import replace

import pytest

from training.adapters.layouts import (
    IGNORED,
    LAYOUTS,
    UNCERTAINTY,
    check_names,
    find_layout,
    parameter_shapes,
)
from training.errors import CheckpointError
from training.networks.config import MODEL_CONFIGS

BLOCK = "transformer_blocks.12."
NAMES = {  # name of VideoDiT: in Predict1, in Predict2
    "patch_embed.proj.weight": ("x_embedder.proj.1.weight", "x_embedder.proj.1.weight"),
    "time_embed.t_embedder.linear_1.weight": ("t_embedder.1.linear_1.weight", "t_embedder.1.linear_1.weight"),
    "time_embed.norm.weight": ("affline_norm.weight", "t_embedding_norm.weight"),
    "learnable_pos_embed.pos_emb_t": ("extra_pos_embedder.pos_emb_t", "extra_pos_embedder.pos_emb_t"),
    "crossattn_proj.0.bias": ("crossattn_proj.0.bias", "crossattn_proj.0.bias"),
    "norm_out.linear_2.weight": (
        "final_layer.adaLN_modulation.2.weight",
        "final_layer.adaln_modulation.2.weight",
    ),
    "proj_out.weight": ("final_layer.linear.weight", "final_layer.linear.weight"),
    BLOCK + "norm1.linear_1.weight": (
        "blocks.block12.blocks.0.adaLN_modulation.1.weight",
        "blocks.12.adaln_modulation_self_attn.1.weight",
    ),
    BLOCK + "norm2.linear_2.weight": (
        "blocks.block12.blocks.1.adaLN_modulation.2.weight",
        "blocks.12.adaln_modulation_cross_attn.2.weight",
    ),
    BLOCK + "norm3.linear_1.weight": (
        "blocks.block12.blocks.2.adaLN_modulation.1.weight",
        "blocks.12.adaln_modulation_mlp.1.weight",
    ),
    BLOCK + "attn1.to_q.weight": (
        "blocks.block12.blocks.0.block.attn.to_q.0.weight",
        "blocks.12.self_attn.q_proj.weight",
    ),
    BLOCK + "attn1.norm_k.weight": (
        "blocks.block12.blocks.0.block.attn.to_k.1.weight",
        "blocks.12.self_attn.k_norm.weight",
    ),
    BLOCK + "attn2.to_v.weight": (
        "blocks.block12.blocks.1.block.attn.to_v.0.weight",
        "blocks.12.cross_attn.v_proj.weight",
    ),
    BLOCK + "attn2.to_out.0.weight": (
        "blocks.block12.blocks.1.block.attn.to_out.0.weight",
        "blocks.12.cross_attn.output_proj.weight",
    ),
    BLOCK + "ff.net.0.proj.weight": (
        "blocks.block12.blocks.2.block.layer1.weight",
        "blocks.12.mlp.layer1.weight",
    ),
    BLOCK + "ff.net.2.weight": (
        "blocks.block12.blocks.2.block.layer2.weight",
        "blocks.12.mlp.layer2.weight",
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_are_those_of_released_files(name: str) -> None:
    assert (LAYOUTS["cosmos-predict1"].rename(name), LAYOUTS["cosmos-predict2"].rename(name)) == NAMES[name]
    assert LAYOUTS["diffusers"].rename(name) == name


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_parameter_has_its_own_name(layout: str) -> None:
    config = replace(MODEL_CONFIGS["cosmos-predict2.5-2b"], extra_pos_embed_type="learnable")
    names = parameter_shapes(config)
    renamed = {LAYOUTS[layout].rename(name) for name in names}
    assert len(renamed) == len(names)
    assert find_layout(renamed, "here") is LAYOUTS[layout]
    assert not any(IGNORED.fullmatch(name) or UNCERTAINTY.fullmatch(name) for name in renamed)


def test_another_network_is_refused() -> None:
    with pytest.raises(CheckpointError, match="not of a Cosmos video transformer"):
        find_layout(["conv_in.weight"], "here")


def test_missing_and_unknown_names_are_in_the_message() -> None:
    check_names(["a", "b"], ["b", "a"], "here")
    with pytest.raises(CheckpointError) as caught:
        check_names(["a", "b"], ["b", *(f"x{k}" for k in range(7))], "here")
    assert "missing: a; unknown: x0, x1, x2, x3, x4 and 2 more" in str(caught.value)
