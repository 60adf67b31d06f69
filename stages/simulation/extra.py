"""Imports of the packages that simulate, which the extra `simulation` installs."""

import sys
from importlib import import_module
from typing import Any

from manifests import ClipmillError


def import_extra(name: str) -> Any:
    """Import a package of the extra `simulation`.

    Raises:
        ClipmillError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ClipmillError(
            f"the simulation needs the package {name}: {error}",
            where=sys.executable,
            remedy="install the extra: pip install 'clipmill[simulation]'",
        ) from error
