"""Arguments KNOB=VALUE: the settings of a training."""

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from manifests.messages import closest_name


def parse_knobs(arguments: Sequence[str]) -> dict[str, Any]:
    """Parse KNOB=VALUE arguments into values of the types that `TrainingConfig` declares.

    Raises:
        SettingError: An argument has another form, there is no such knob, or the value has another type.
    """
    return parse_values(arguments, world_defaults())


def world_defaults() -> dict[str, Any]:
    """The knobs of the training of a world model, with their defaults."""
    from training.recipes.config import TrainingConfig

    return _without(asdict(TrainingConfig(data=())), "data", "data_sizes", "validation_data")


def tokenizer_defaults() -> dict[str, Any]:
    """The knobs of the training of a tokenizer, with their defaults."""
    from training.recipes.tokenizer.config import TokenizerConfig

    return _without(asdict(TokenizerConfig(data="")), "data", "validation_data")


def autoregressive_defaults() -> dict[str, Any]:
    """The knobs of the training of an autoregressive world model, with their defaults."""
    from training.recipes.autoregressive.config import AutoregressiveTrainingConfig

    values = asdict(AutoregressiveTrainingConfig(data=()))
    return _without(values, "data", "data_sizes", "validation_data")


def describe_settings(settings: type) -> dict[str, str]:
    """The description of each setting, from the docstrings of a dataclass and of its bases."""
    descriptions: dict[str, str] = {}
    for each in reversed(settings.__mro__):
        _, _, attributes = inspect.cleandoc(each.__doc__ or "").partition("Attributes:\n")
        for line in attributes.partition("\n\n")[0].splitlines():
            if found := re.fullmatch(r"    (\w+): (.*)", line):
                name, descriptions[found[1]] = found[1], found[2]
            elif line.startswith(" " * 8):
                descriptions[name] += " " + line.strip()
    return descriptions


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def parse_values(arguments: Sequence[str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Parse KNOB=VALUE arguments into values of the types of the defaults.

    Args:
        arguments: The arguments.
        defaults: The default of each knob.

    Raises:
        SettingError: An argument has another form, there is no such knob, or the value has another type.
    """
    from training.errors import SettingError

    values: dict[str, Any] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals or name not in defaults:
            close = closest_name(name, defaults)
            raise SettingError(
                f"there is no knob {name!r}" if equals else f"{argument!r} is not KNOB=VALUE",
                remedy=f"did you mean {close}?" if close else f"the knobs are {', '.join(defaults)}",
            )
        values[name] = _parse_value(name, text, defaults[name])
    return values


def _parse_value(name: str, text: str, default: Any) -> Any:
    from training.errors import SettingError

    kind = type(default)
    try:
        if kind is tuple:
            parts = (part.strip() for part in text.strip("()").split(",") if part.strip())
            return tuple(parts) if default and isinstance(default[0], str) else tuple(map(float, parts))
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        word = "numbers separated by commas" if kind is tuple else f"of type {kind.__name__}"
        raise SettingError(f"{name} must be {word}, not {text!r}") from None
