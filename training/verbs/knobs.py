"""Arguments KNOB=VALUE: the settings of a training."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from manifests.messages import closest_name


def parse_knobs(arguments: Sequence[str]) -> dict[str, Any]:
    """Parse KNOB=VALUE arguments into values of the types that `TrainingConfig` declares.

    Raises:
        SettingError: An argument has another form, there is no such knob, or the value has another type.
    """
    from training.errors import SettingError
    from training.recipes.config import TrainingConfig

    defaults = asdict(TrainingConfig(data=()))
    values: dict[str, Any] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals or name not in defaults or name in ("data", "data_sizes", "validation_data"):
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
