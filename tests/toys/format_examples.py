"""The examples of manifests/README.md, which read a store."""

import re
from pathlib import Path

import manifests


def example(language: str, number: int, store: Path) -> str:
    """Example `number` in a language, with the path of a store filled in."""
    page = Path(manifests.__file__).with_name("README.md").read_text(encoding="utf-8")
    found: str = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)[number]
    return found.replace("STORE", str(store))
