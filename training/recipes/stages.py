"""Progressive training: stages one after another, each with its own settings, in one training.

`stages` is YAML text, a list with one mapping for each stage:

    - {steps: 1000, max_latent_area: 900, image_share: 0.25}
    - {steps: 500, min_latent_area: 901, lr: 3e-4, flow_shift: 5}
    - {steps: 200, min_latent_area: 901, lr: 3e-4, lr_schedule: linear}    # cool-down

A stage has the settings of the training, except those that it names. Its warmup and learning rate schedule
cover its own steps; after the first stage there is no warmup unless the stage names one. `data` names other
shards; held-out ones among them replace those of the training. Weights, optimizer and EMA continue, and so
does the stream of samples, which depends on the step.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from manifests.messages import closest_name
from training.data.codes.paired_shards import code_spec_of
from training.data.find_shards import find_datasets
from training.data.latent_statistics import AUTO, is_json_text
from training.data.shards import LatentShards
from training.errors import LatentMismatchError, SettingError, TrainingError
from training.recipes.batches import check_captions, open_shards
from training.recipes.config import TrainingConfig, TrainingSettings
from training.recipes.pretrained_text import PRECOMPUTED
from training.settings.data import DataSettings
from training.settings.diffusion import DiffusionSettings
from training.settings.optimization import OptimizationSettings

_MEANING = {
    *("path", "preconditioning", "sigma_data", "latent_scale", "latent_statistics", "condition_timestep"),
    *("uncertainty", "stages", "views"),
}
STAGE_SETTINGS = {
    field.name for group in (DataSettings, OptimizationSettings, DiffusionSettings) for field in fields(group)
} - _MEANING | {"data", "data_weights", "skip_samples", "grad_accum_steps", "checkpoint_interval"}


@dataclass(frozen=True)
class Stage:
    """One stage of a training.

    Attributes:
        number: 1, 2, …
        first_step: Steps of the stages before it.
        config: The settings in effect; `config.steps` are the steps of this stage.
        shards: Its clips.
    """

    number: int
    first_step: int
    config: TrainingConfig
    shards: LatentShards

    @property
    def end_step(self) -> int:
        """The step at which the stage ends."""
        return self.first_step + self.config.steps


def open_stages(config: TrainingConfig, *, mixed_fps: bool = False) -> list[Stage]:
    """The stages of a training, with their shards; without `stages` one stage.

    Raises:
        SettingError: `stages` is not such a list, or a setting of a stage is unknown, fixed or out of range.
        LatentMismatchError: The shards of the stages were made differently.
    """
    stages: list[Stage] = []
    for number, values in enumerate(read_stages(config.stages) if config.stages else [{}], 1):
        where = f"stage {number} of stages" if config.stages else ""
        try:
            stage_config = _configure(config, values, number) if config.stages else config
            first = stages[0].shards if stages else None
            spec, code_spec = (first.spec, code_spec_of(first)) if first else (None, None)
            shards = open_shards(stage_config, mixed_fps=mixed_fps, spec=spec, code_spec=code_spec)
            check_captions(stage_config, shards)
        except TrainingError as error:
            if not config.stages:
                raise
            places = ", ".join(place for place in (where, error.where) if place)
            raise type(error)(error.what, where=places, remedy=error.remedy) from error
        stages.append(Stage(number, stages[-1].end_step if stages else 0, stage_config, shards))
    if not mixed_fps:
        _check_fps(stages)
    return stages


def stage_at(stages: list[Stage], step: int) -> Stage:
    """The stage of a step; the last one if all steps are taken."""
    return next((stage for stage in stages if step < stage.end_step), stages[-1])


def read_text_of(stages: list[Stage]) -> None:
    """Read the text embeddings of the clips of all stages, if these settings ask for it.

    Raises:
        LatentMismatchError: They are of different encoders.
    """
    if stages[0].config.text_encoder != PRECOMPUTED:
        return
    first = stages[0].shards.read_text()
    for stage in stages[1:]:
        if stage.shards.read_text() != first:
            raise LatentMismatchError(
                "the captions were encoded differently from those of stage 1",
                where=f"stage {stage.number} of stages",
                remedy="encode all captions with one text encoder",
            )


def read_conditions_of(stages: list[Stage]) -> None:
    """Read the actions and cameras of the clips of all stages, if the settings ask for it.

    Raises:
        LatentMismatchError: Clips have none, or those of another kind than the first ones.
    """
    config, spec = stages[0].config, None
    for stage in stages if config.condition_names else ():
        spec = stage.shards.read_conditions(
            config.condition_names,
            camera_scale=config.camera_scale,
            trajectory_scale=config.trajectory_scale,
            spec=spec,
        )


def read_stages(text: str) -> list[dict[str, Any]]:
    """The settings that each stage names.

    Raises:
        SettingError: The text is not YAML, or not a list of mappings, or a name is unknown or fixed.
    """
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise SettingError("stages uses an alias", remedy="write the values in each stage")
        stages = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SettingError(f"stages is not valid YAML: {error}") from error
    if not isinstance(stages, list) or not stages or not all(isinstance(each, dict) for each in stages):
        raise SettingError(
            "stages is not a list of mappings",
            remedy="write for example '- {steps: 1000}' on one line and"
            " '- {steps: 200, lr_schedule: linear}' on the next",
        )
    known = {field.name for field in fields(TrainingConfig)}
    for number, values in enumerate(stages, 1):
        where = f"stage {number} of stages"
        for name in map(str, values):
            if name not in known:
                close = closest_name(name, STAGE_SETTINGS)
                remedy = f"did you mean {close}?" if close else f"use {', '.join(sorted(STAGE_SETTINGS))}"
                raise SettingError(f"there is no setting {name!r}", where=where, remedy=remedy)
            if name not in STAGE_SETTINGS:
                raise SettingError(
                    f"{name} cannot change between stages",
                    where=where,
                    remedy="set it for the whole training",
                )
        if "steps" not in values:
            raise SettingError("the stage has no steps", where=where, remedy="add steps: 1000")
    return stages


def check_settings_of_dag(settings: TrainingSettings) -> None:
    """Refuse settings that name files, for a step of a DAG: only its inputs are identified by their content.

    Raises:
        SettingError: A setting or a stage names a file, or the stages are wrong.
    """
    statistics = settings.latent_statistics
    if statistics not in ("", AUTO) and not is_json_text(statistics):
        raise SettingError(
            f"latent_statistics in a DAG cannot name the file {statistics}",
            remedy=f"use {AUTO}, or the text of the file",
        )
    for number, values in enumerate(read_stages(settings.stages) if settings.stages else [], 1):
        if named := {"data", "data_weights", "skip_samples"} & set(values):
            raise SettingError(
                f"a stage in a DAG cannot name {' or '.join(sorted(named))}",
                where=f"stage {number} of stages",
                remedy="choose clips of the input by min_latent_area, max_latent_area or image_share",
            )


def read_stages_file(file: Path) -> str:
    """The text of a file of stages.

    Raises:
        SettingError: It cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(
            "the stages cannot be read", where=str(file), remedy="name a YAML file that exists"
        ) from error


def _configure(config: TrainingConfig, values: Mapping[str, Any], number: int) -> TrainingConfig:
    """The settings of one stage."""
    changes: dict[str, Any] = {"warmup_steps": 0} if number > 1 else {}
    for name, value in sorted(values.items()):  # the weights follow the data
        if name == "data":
            places = value if isinstance(value, list) else [value]
            changes[name], changes["data_sizes"], held_out = find_datasets([str(place) for place in places])
            changes["validation_data"] = held_out or config.validation_data
            changes.setdefault("data_weights", ())
        else:
            changes[name] = _convert(name, value, type(getattr(config, name)))
    return replace(config, **changes)


def _convert(name: str, value: Any, kind: type) -> Any:
    """A value of YAML as the type of a setting. YAML reads 3e-4 as text."""
    try:
        if kind is tuple:
            return tuple(float(each) for each in (value if isinstance(value, list) else [value]))
        if isinstance(value, bool) is not (kind is bool):
            raise ValueError
        converted = kind(value)
        if kind is int and converted != float(value):
            raise ValueError
    except (TypeError, ValueError):
        word = "a list of numbers" if kind is tuple else f"of type {kind.__name__}"
        raise SettingError(f"{name} must be {word}, not {value!r}") from None
    return converted


def _check_fps(stages: list[Stage]) -> None:
    """Refuse stages of different frame rates, for a network that does not know them."""
    for stage in stages:
        if stage.shards.fps != stages[0].shards.fps and _has_videos(stage) and _has_videos(stages[0]):
            raise LatentMismatchError(
                f"the frame rate is {stage.shards.fps:g} fps, but {stages[0].shards.fps:g} in stage 1",
                where=f"stage {stage.number} of stages",
                remedy="encode all clips with one fps, or train a model with base_fps",
            )


def _has_videos(stage: Stage) -> bool:
    return any(shape[1] > 1 for shape in stage.shards.shapes)
