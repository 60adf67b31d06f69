"""Refuses shards of latents that do not match each other, from what their indexes say."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from training.conditions.spec import ConditionSpec, read_spec
from training.data.shard import LatentSpec, Shard
from training.errors import LatentMismatchError


def check_spec(shard: Shard, expected: LatentSpec, source: str) -> None:
    """Refuse a shard whose latents were made differently from those of `source`."""
    for field, value, expected_value in zip(expected._fields, shard.spec, expected, strict=True):
        if value != expected_value:
            raise LatentMismatchError(
                f"the latents do not match: {field} is {value}, but {expected_value} in {source}",
                where=shard.tar,
                remedy="encode all clips with one tokenizer, or train on one set of latents at a time",
            )


def no_clips(shards: Sequence[Shard], min_area: int, max_area: int) -> LatentMismatchError:
    """The error of shards from which no clip is left."""
    areas = sorted({shard.shape[2] * shard.shape[3] for shard in shards if shard.samples})
    if not areas:
        return LatentMismatchError(
            f"all shards are empty: {len(shards)} shards with 0 samples",
            where=shards[0].tar,
            remedy="pack the latents again, or name other shards",
        )
    return LatentMismatchError(
        f"no clip has a latent height * width from {min_area} to {max_area or 'any'}",
        where=f"the clips of {shards[0].tar} and others have {', '.join(map(str, areas))}",
        remedy="change min_latent_area or max_latent_area",
    )


def check_fps(shards: Sequence[Shard]) -> None:
    """Refuse videos of different frame rates; an image has none."""
    videos = [shard for shard in shards if shard.shape[1] > 1 and shard.samples]
    for shard in videos:
        if shard.fps != videos[0].fps:
            raise LatentMismatchError(
                f"the frame rates differ: {shard.fps:g}, but {videos[0].fps:g} fps in {videos[0].tar}",
                where=shard.tar,
                remedy="encode all clips with one fps, or train a model with base_fps",
            )


def check_statistics(shards: Sequence[Shard]) -> None:
    """Refuse shards of one folder that were packed in different runs: they state other statistics."""
    first: dict[str, Shard] = {}
    for shard in shards:
        folder = shard.tar.rsplit("/", 2)[0]  # that of the shapes
        other = first.setdefault(folder, shard)
        if shard.statistics != other.statistics:
            raise LatentMismatchError(
                f"the shard and {other.tar} are in one folder, but were not packed together: the statistics"
                " of the channels differ",
                where=shard.tar,
                remedy="pack all clips again into an empty folder, or keep the sets in folders of their own",
            )


def check_ids(codes: Tensor, shard: Shard, where: str, key: str) -> None:
    """Refuse a sample with a code that its tokenizer does not have."""
    if not shard.codebook_size:
        return
    lowest, highest = (int(each) for each in codes.long().aminmax())
    if lowest < 0 or highest >= shard.codebook_size:
        raise LatentMismatchError(
            f"the code {lowest if lowest < 0 else highest} is not one of 0..{shard.codebook_size - 1}",
            where=where,
            remedy=f"encode the clip again, or put {key} into skip_samples",
        )


def check_codes(shards: Sequence[Shard]) -> int:
    """The size of the codebook of shards of codes. Refuse latents, which have no ids to predict."""
    for shard in shards:
        if not shard.codebook_size:
            raise LatentMismatchError(
                f"these are latents ({shard.spec.dtype}) of the continuous tokenizer {shard.spec.tokenizer};"
                " an autoregressive model is trained on codes",
                where=shard.tar,
                remedy="encode the clips with a discrete tokenizer, such as tokenizer=small-discrete",
            )
        if shard.codebook_size != shards[0].codebook_size:
            raise LatentMismatchError(
                f"the codebook has {shard.codebook_size} codes, but {shards[0].codebook_size} in"
                f" {shards[0].tar}",
                where=shard.tar,
                remedy="encode all clips with one tokenizer",
            )
    return shards[0].codebook_size


def check_continuous(spec: LatentSpec, where: str) -> None:
    """Refuse codes of a discrete tokenizer, which a diffusion model cannot be trained on."""
    if "int" in spec.dtype:
        raise LatentMismatchError(
            f"these are codes ({spec.dtype}) of the discrete tokenizer {spec.tokenizer}; a diffusion model is"
            " trained on latents",
            where=where,
            remedy="train on them with clipmill train autoregressive, or encode the clips with a continuous"
            " tokenizer, such as tokenizer=small",
        )


def check_text(shards: Sequence[Shard]) -> Mapping[str, Any]:
    """Refuse shards whose captions are not encoded, or by another encoder than those of the first shard."""
    first = shards[0]
    for shard in shards:
        if shard.text_encoder is None:
            raise LatentMismatchError(
                "the captions of these latents are not encoded",
                where=shard.tar,
                remedy="add the step EncodeText before PackLatents, or set text_encoder to an encoder",
            )
        if "embed_dim" not in shard.text_encoder:
            raise LatentMismatchError(
                "the shards have the tokens of the captions, not their embeddings",
                where=shard.tar,
                remedy=f"set text_encoder to {shard.text_encoder.get('name')}, which encodes the captions"
                " during the training",
            )
        if shard.text_encoder != first.text_encoder:
            raise LatentMismatchError(
                f"the captions were encoded differently: {shard.text_encoder},"
                f" but {first.text_encoder} in {first.tar}",
                where=shard.tar,
                remedy="encode all captions with one text encoder",
            )
    return dict(first.text_encoder or {})


def check_conditions(
    shards: Sequence[Shard],
    names: Sequence[str],
    camera_scale: float,
    trajectory_scale: float,
    expected: ConditionSpec | None,
) -> ConditionSpec:
    """The conditions of shards. Refuse shards that have none, or other ones than `expected` or the first."""
    source = "the model" if expected else shards[0].tar
    for shard in shards:
        found = read_spec(shard.conditions, names, shard.fps, camera_scale, shard.tar, trajectory_scale)
        expected = expected or found
        expected.check(found, shard.tar, source)
    assert expected is not None
    return expected
