"""Merging: one model from several trainings of the same network, by arithmetic on their weights."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.adapters.weight_files import DTYPES, Weights, open_weights
from training.autoregressive.model_file import METADATA_KEY as TOKEN_MODEL_KEY
from training.autoregressive.model_file import TokenModelInfo
from training.errors import CheckpointError, SettingError
from training.model import METADATA_KEY as WORLD_MODEL_KEY
from training.model import MODEL_FILE, ModelInfo, read_header, write_model_file
from training.noise import hash_position, uniform
from training.recipes.initial_weights import digest_of
from training.recipes.pretrained_text import encoder_identity

METHODS = ("soup", "ties", "dare")
_FREE = ("training", "latent_shapes", "flow_shift")  # they do not say what the weights mean
_MAX_NAMED = 3  # differences that a message names
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True, kw_only=True)
class MergeRequest:
    """How models are merged.

    With v_i = w_i / sum(w) of the weights w and the differences d_i to the base model:

    - soup: sum v_i model_i, the mean. Source: Wortsman et al. 2022, arXiv:2203.05482.
    - ties: base + scale * m. Of each difference only the share `density` of largest magnitude in each tensor
      is kept. m is the weighted mean of the kept values that have the sign of their weighted sum.
      Source: Yadav et al. 2023, arXiv:2306.01708, Algorithm 1.
    - dare: base + scale * sum v_i r_i d_i / density, where r_i is 1 with the probability `density` and else
      0, drawn from `seed`. Source: Yu et al. 2024, arXiv:2311.03099, section 3.2.

    Attributes:
        models: Folders or files of the models; at least two.
        weights: Weight of each model, at least 0; () weighs them equally.
        method: One of `METHODS`.
        base: The model that all of them started from, for ties and dare.
        density: Share of the differences that is kept, above 0. Higher values keep more of each model, and
            more conflicts between them.
        scale: Factor of the merged difference. Higher values move further away from the base.
        seed: Seed of dare.

    Raises:
        SettingError: A value is out of its range, or does not fit the others.
    """

    models: Sequence[Path]
    weights: Sequence[float] = ()
    method: str = "soup"
    base: Path | None = None
    density: float = 0.5
    scale: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.models) < 2:
            raise SettingError(f"there are {len(self.models)} models to merge", remedy="name at least two")
        if self.method not in METHODS:
            raise SettingError(
                f"there is no method {self.method!r}", remedy=f"choose one of {', '.join(METHODS)}"
            )
        if self.weights and len(self.weights) != len(self.models):
            raise SettingError(
                f"there are {len(self.weights)} weights for {len(self.models)} models",
                remedy="give one weight for each model, or none",
            )
        if self.weights and (min(self.weights) < 0 or not 0 < sum(self.weights) < float("inf")):
            raise SettingError(
                f"the weights are {', '.join(f'{w:g}' for w in self.weights)}",
                remedy="give weights of at least 0, one of them above 0",
            )
        if not 0 < self.density <= 1:
            raise SettingError(f"density is {self.density:g}", remedy="choose it above 0 and at most 1")
        if (self.base is None) != (self.method == "soup"):
            problem = "needs the base of the models" if self.base is None else "has no base"
            remedy = (
                "set base to the model that they were trained from" if self.base is None else "leave it out"
            )
            raise SettingError(f"the method {self.method} {problem}", remedy=remedy)

    @property
    def shares(self) -> list[float]:
        """The weights, normalized to the sum 1."""
        weights = list(self.weights) or [1.0] * len(self.models)
        return [weight / sum(weights) for weight in weights]


def merge(request: MergeRequest, out: Path) -> Path:
    """Write the merged model into the folder `out`, and return the model file.

    It has the types of the weights and the metadata of the first model; `training.merge` of the metadata
    records what was merged. Weights are read, merged in float32 and written tensor by tensor.

    Raises:
        CheckpointError: A model is not there, is of another kind than the first one, or has another network,
            process, text encoder, tokenizer, statistics or conditions; or `out` has one of the models.
    """
    places = [*request.models, *([request.base] if request.base else [])]
    headers = [_read_metadata(place) for place in places]
    (key, first), *others = headers
    for place, (other_key, metadata) in zip(places[1:], others, strict=True):
        _check_equal(places[0], place, (key, first), (other_key, metadata))
    target = out / MODEL_FILE
    files = [_model_file(place) for place in places]
    if taken := [
        place for place, file in zip(places, files, strict=True) if file.resolve() == target.resolve()
    ]:
        raise CheckpointError(
            "the merged model would replace one of the models",
            where=str(taken[0]),
            remedy="choose another --out",
        )
    sources = [open_weights(file) for file in files]
    for place, source in zip(places[1:], sources[1:], strict=True):
        _check_tensors(places[0], place, sources[0], source)
    base = sources.pop() if request.base else None
    merged = Weights({name: _Merged(name, sources, base, request) for name in sources[0]})
    training = {**first["training"], "merge": _record(request, sources, base)}
    write_model_file(target, merged, key, {**first, "training": training}, is_writer=True)
    return target


def _model_file(place: Path) -> Path:
    return place / MODEL_FILE if place.is_dir() else place


def _read_metadata(place: Path) -> tuple[str, dict[str, Any]]:
    """The key of the metadata of a model file, and the metadata; fields of newer files have defaults."""
    header = read_header(place)
    kinds: tuple[tuple[str, type[ModelInfo] | type[TokenModelInfo]], ...] = (
        (WORLD_MODEL_KEY, ModelInfo),
        (TOKEN_MODEL_KEY, TokenModelInfo),
    )
    for key, kind in kinds:
        if key in header:
            return key, kind.from_json(json.loads(header[key])).to_json()
    raise CheckpointError("this file is not a model that clipmill trained", where=str(place))


def _check_equal(
    first_place: Path, place: Path, first: tuple[str, dict[str, Any]], other: tuple[str, dict[str, Any]]
) -> None:
    """Check that the weights of two models mean the same.

    Raises:
        CheckpointError: They do not; the message names the fields.
    """
    if first[0] != other[0]:
        raise CheckpointError(
            "a diffusion model cannot be merged with an autoregressive one",
            where=str(place),
            remedy="merge models of one kind",
        )
    ours, theirs = (dict(_flat(_identity(metadata))) for _, metadata in (first, other))
    names = [name for name in sorted({**ours, **theirs}) if ours.get(name) != theirs.get(name)]
    if names:
        texts = [f"{name} {_text(theirs, name)} (not {_text(ours, name)})" for name in names[:_MAX_NAMED]]
        more = f" and {len(names) - _MAX_NAMED} more fields" if len(names) > _MAX_NAMED else ""
        raise CheckpointError(
            f"the model differs from {first_place} in {', '.join(texts)}{more}",
            where=str(place),
            remedy="merge models that were trained from the same weights, on latents of the same kind",
        )


def _identity(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal in the metadata of models that are merged."""
    values = {name: value for name, value in metadata.items() if name not in _FREE}
    values["text_encoder"] = encoder_identity(metadata["text_encoder"])
    if conditions := metadata.get("conditions"):
        values["conditions"] = conditions["digest"]
    return values


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested dictionaries by their names, joined by dots."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _flat(each, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _text(values: Mapping[str, Any], name: str) -> str:
    text = str(values.get(name, "missing"))
    return text if len(text) <= 40 else f"{text[:37]}…"


def _check_tensors(first_place: Path, place: Path, first: Weights, other: Weights) -> None:
    """Check that two models have the same tensors.

    Raises:
        CheckpointError: A name is missing or unknown, or a shape differs.
    """
    shapes = [{name: weights.shape(name) for name in weights} for weights in (first, other)]
    for name in sorted({*shapes[0], *shapes[1]}):
        ours, theirs = (each.get(name, "missing") for each in shapes)
        if ours != theirs:
            raise CheckpointError(
                f"{name} is {theirs}, and {ours} in {first_place}",
                where=str(place),
                remedy="merge models of the same network",
            )


def _record(request: MergeRequest, sources: Sequence[Weights], base: Weights | None) -> dict[str, Any]:
    record: dict[str, Any] = {
        "method": request.method,
        "weights": request.shares,
        "models": [digest_of(source) for source in sources],
    }
    if base is not None:
        record |= {"base": digest_of(base), "density": request.density, "scale": request.scale}
    return record | ({"seed": request.seed} if request.method == "dare" else {})


@dataclass(frozen=True)
class _Merged:
    """A merged tensor, with the interface of a slice of a safetensors file."""

    name: str
    sources: Sequence[Weights]
    base: Weights | None
    request: MergeRequest

    def get_shape(self) -> list[int]:
        return list(self.sources[0].shape(self.name))

    def get_dtype(self) -> str:
        return _NAMES[self.sources[0].dtype(self.name)]

    def __getitem__(self, index: Any) -> Tensor:
        merged: Tensor = self._merge().to(self.sources[0].dtype(self.name))[index]
        return merged

    def _merge(self) -> Tensor:
        """The merged tensor, float32."""
        shares, request = self.request.shares, self.request
        values = (source[self.name].float() for source in self.sources)
        if self.base is None:
            return _weighted_sum(shares, values)
        base = self.base[self.name].float()
        differences = [value - base for value in values]
        if request.method == "ties":
            return base + request.scale * merge_ties(differences, shares, request.density)
        kept = (
            self._drop(number, difference) / request.density for number, difference in enumerate(differences)
        )
        return base + request.scale * _weighted_sum(shares, kept)

    def _drop(self, number: int, difference: Tensor) -> Tensor:
        position = [hash_position(f"{number} {self.name}")]
        drawn = uniform(self.request.seed, "dare", position, difference.shape)[0]
        return difference.where(drawn < self.request.density, 0)


def merge_ties(differences: Sequence[Tensor], shares: Sequence[float], density: float) -> Tensor:
    """The TIES mean of differences of equal shape. Source: arXiv:2306.01708, Algorithm 1, per tensor.

    Args:
        differences: Differences to the base.
        shares: The weight of each.
        density: Share of each difference, of largest magnitude, that is kept.
    """
    weighted = []
    for difference, share in zip(differences, shares, strict=True):
        magnitude = difference.abs().flatten()
        dropped = len(magnitude) - max(1, round(density * len(magnitude)))
        limit = magnitude.kthvalue(dropped).values if dropped else -1
        weighted.append(share * difference.where(difference.abs() > limit, 0))
    sign = _weighted_sum([1.0] * len(weighted), weighted).sign()
    agrees = [(each.sign() == sign) & (each != 0) for each in weighted]
    total = torch.stack([each.where(which, 0) for each, which in zip(weighted, agrees, strict=True)]).sum(0)
    counted = _weighted_sum(shares, (which.float() for which in agrees))
    return torch.where(counted > 0, total / counted.clamp(min=1e-12), 0)


def _weighted_sum(shares: Sequence[float], values: "Sequence[Tensor] | Iterator[Tensor]") -> Tensor:
    total: Tensor | None = None
    for share, value in zip(shares, values, strict=True):
        total = share * value if total is None else total.add_(value, alpha=share)
    assert total is not None
    return total
