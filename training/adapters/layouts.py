"""Layouts of weights: what each project calls the parameters of `VideoDiT`.

The names of diffusers are those of `VideoDiT`. Each released layout is a one-to-one renaming of them.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from training.errors import CheckpointError
from training.networks.config import VideoDiTConfig

# Buffers and counters that a network computes again, or that only the training needed.
IGNORED = re.compile(r"accum_[a-z_]+|pos_embedder\..*|(.*\.)?_extra_state")
UNCERTAINTY = re.compile(r"logvar\..*")  # kept aside: it weighs the loss, and the network does not use it

_OUTSIDE_BLOCKS = {
    r"patch_embed\.proj\.": "x_embedder.proj.1.",
    r"time_embed\.t_embedder\.": "t_embedder.1.",
    r"learnable_pos_embed\.": "extra_pos_embedder.",
    r"crossattn_proj\.": "crossattn_proj.",
    r"proj_out\.": "final_layer.linear.",
}
_PREDICT1 = _OUTSIDE_BLOCKS | {
    r"time_embed\.norm\.": "affline_norm.",
    r"norm_out\.linear_": "final_layer.adaLN_modulation.",
}
_PREDICT1_BLOCK = {
    r"attn1\.": "blocks.0.block.attn.",
    r"attn2\.": "blocks.1.block.attn.",
    r"ff\.net\.0\.proj\.": "blocks.2.block.layer1.",
    r"ff\.net\.2\.": "blocks.2.block.layer2.",
    r"norm1\.linear_": "blocks.0.adaLN_modulation.",
    r"norm2\.linear_": "blocks.1.adaLN_modulation.",
    r"norm3\.linear_": "blocks.2.adaLN_modulation.",
}
_PREDICT1_ATTENTION = {
    r"to_([qkv])\.": r"to_\1.0.",
    r"norm_([qk])\.": r"to_\1.1.",
    r"to_out\.0\.": "to_out.0.",
}
_PREDICT2 = _OUTSIDE_BLOCKS | {
    r"time_embed\.norm\.": "t_embedding_norm.",
    r"norm_out\.linear_": "final_layer.adaln_modulation.",
}
_PREDICT2_BLOCK = {
    r"attn1\.": "self_attn.",
    r"attn2\.": "cross_attn.",
    r"ff\.net\.0\.proj\.": "mlp.layer1.",
    r"ff\.net\.2\.": "mlp.layer2.",
    r"norm1\.linear_": "adaln_modulation_self_attn.",
    r"norm2\.linear_": "adaln_modulation_cross_attn.",
    r"norm3\.linear_": "adaln_modulation_mlp.",
}
_PREDICT2_ATTENTION = {
    r"to_([qkv])\.": r"\1_proj.",
    r"norm_([qk])\.": r"\1_norm.",
    r"to_out\.0\.": "output_proj.",
}


@dataclass(frozen=True)
class Layout:
    """How a project names parameters.

    Attributes:
        name: diffusers, cosmos-predict1 or cosmos-predict2 (which is that of Cosmos-Predict2.5 too).
        prefix: What released files put before each name.
        rename: The name of a parameter of `VideoDiT` in this layout, without the prefix.
    """

    name: str
    prefix: str
    rename: Callable[[str], str]


def _rename_cosmos(
    name: str,
    block_prefix: str,
    outside: Mapping[str, str],
    inside: Mapping[str, str],
    attention: Mapping[str, str],
) -> str:
    block = re.match(r"transformer_blocks\.(\d+)\.(.*)", name)
    if block is None:
        return _substitute(name, outside)
    number, rest = block.groups()
    part = re.match(r"(attn[12]\.)(.*)", rest)
    if part is None:
        return f"{block_prefix}{number}.{_substitute(rest, inside)}"
    return f"{block_prefix}{number}.{_substitute(part[1], inside)}{_substitute(part[2], attention)}"


def _substitute(name: str, table: Mapping[str, str]) -> str:
    """The name with the start that one row of the table matches replaced."""
    for pattern, replacement in table.items():
        if re.match(pattern, name):
            return re.sub(pattern, replacement, name, count=1)
    raise KeyError(name)


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("diffusers", "", lambda name: name),
        Layout(
            "cosmos-predict1",
            "net.",
            lambda name: _rename_cosmos(
                name, "blocks.block", _PREDICT1, _PREDICT1_BLOCK, _PREDICT1_ATTENTION
            ),
        ),
        Layout(
            "cosmos-predict2",
            "net.",
            lambda name: _rename_cosmos(name, "blocks.", _PREDICT2, _PREDICT2_BLOCK, _PREDICT2_ATTENTION),
        ),
    )
}


def find_layout(keys: Iterable[str], where: str) -> Layout:
    """The layout whose names the keys (without prefix) have.

    Raises:
        CheckpointError: None has.
    """
    known = set(keys)
    for layout in LAYOUTS.values():
        if layout.rename("transformer_blocks.0.attn1.to_q.weight") in known:
            return layout
    raise CheckpointError(
        "these weights are not of a Cosmos video transformer",
        where=where,
        remedy=f"known layouts are {', '.join(LAYOUTS)}",
    )


def parameter_shapes(config: VideoDiTConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of each parameter of the network."""
    from training.networks.video_dit import VideoDiT

    with torch.device("meta"):
        network = VideoDiT(config)
    return {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}


def check_names(expected: Iterable[str], found: Iterable[str], where: str) -> None:
    """Check that two sets of names are equal.

    Raises:
        CheckpointError: They are not; the message lists the first names of each kind.
    """
    expected, found = set(expected), set(found)
    missing, unknown = sorted(expected - found), sorted(found - expected)
    if missing or unknown:
        parts = [
            f"{title}: {_first(names)}"
            for title, names in (("missing", missing), ("unknown", unknown))
            if names
        ]
        raise CheckpointError(f"the weights do not fit the network; {'; '.join(parts)}", where=where)


def _first(names: Sequence[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
