"""YAML files of questions, read as nodes, so that errors name their lines."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from manifests import ClipmillError
from manifests.messages import join_names

if TYPE_CHECKING:
    import yaml


def compose_file(file: str, folder: Path, form: str) -> tuple[Path, "yaml.Node | None"]:
    """The path and the root node of a YAML file of questions, or of a built-in list of `folder` by its name.

    Args:
        file: Path, or name of a built-in list.
        folder: Where the built-in lists are.
        form: What such a file looks like, for the remedy of an error.

    Raises:
        ClipmillError: The file does not exist, or is not YAML.
    """
    import yaml

    built_in = folder / f"{file}.yaml"
    path = built_in if re.fullmatch(r"[a-z_]+", file) and built_in.is_file() else Path(file)
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        names = sorted(found.stem for found in folder.glob("*.yaml"))
        raise ClipmillError(
            f"there are no questions {file!r}: {getattr(error, 'strerror', None) or 'the file is not text'}",
            where=str(path),
            remedy=f"name a YAML file, or {join_names(names)}",
        ) from error
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise ClipmillError(
            f"the file of questions is not YAML: {getattr(error, 'problem', None) or 'it cannot be read'}",
            where=f"{path}:{mark.line + 1}" if mark else str(path),
            remedy=form,
        ) from error
    return path, root
