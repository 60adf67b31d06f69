"""The packages of clipmill, which are sent to the nodes of a cluster."""

from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("manifests", "pipeline", "stages", "training")


def package_folders() -> list[Path]:
    """The folders of these packages on this machine."""
    specs = [find_spec(name) for name in PACKAGES]
    return [Path(spec.origin).parent for spec in specs if spec and spec.origin]
