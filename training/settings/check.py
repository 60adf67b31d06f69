"""Checks of settings: numbers are in their ranges, words are among their choices."""

from collections.abc import Mapping, Sequence
from typing import get_args, get_type_hints

from manifests import Range
from training.errors import SettingError


def check_settings(settings: object, choices: Mapping[str, Sequence[str]]) -> None:
    """Check the fields of a dataclass of settings.

    Args:
        settings: The settings.
        choices: The allowed values of some fields.

    Raises:
        SettingError: A number is out of its range, or a value is not one of its choices.
    """
    for name, declared in get_type_hints(type(settings), include_extras=True).items():
        for limits in get_args(declared)[1:]:
            if isinstance(limits, Range) and not limits.contains(value := getattr(settings, name)):
                raise SettingError(f"{name}: {value} is out of range; allowed: {limits}")
    for name, allowed in choices.items():
        if (value := getattr(settings, name)) not in allowed:
            raise SettingError(f"there is no {name} {value!r}", remedy=f"choose one of {', '.join(allowed)}")
