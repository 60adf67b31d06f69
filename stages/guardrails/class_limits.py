"""The classes of a frame classifier and their limits: a YAML file with a name and a version.

name: seven_classes
version: 1
classes: [safe, sexual, violence]    # in the order of the outputs
limits: {sexual: 0.5, violence: 0.7} # classes without a limit never block
"""

from collections.abc import Mapping
from typing import NamedTuple

from manifests import ClipmillError
from manifests.messages import closest_name
from stages.guardrails.text.word_list import read_yaml
from stages.models.weights import digest_of_files

_FORM = "write `classes: [name, …]` in the order of the outputs, and `limits: {name: 0.5}`"


class ClassLimits(NamedTuple):
    """The classes of a classifier, and the limits of those that block.

    Attributes:
        name, version: As the file states them.
        classes: Names in the order of the outputs.
        limits: Probability from which on a frame counts, by class.
        sha256: Digest of the file.
    """

    name: str
    version: str
    classes: tuple[str, ...]
    limits: Mapping[str, float]
    sha256: str


def read_class_limits(name: str) -> ClassLimits:
    """Read built-in limits ("open_nsfw") or a file.

    Raises:
        ClipmillError: the file does not exist, or has another form.
    """
    path, content = read_yaml(name, "file of class limits")
    classes, limits = content.get("classes"), content.get("limits")
    if not isinstance(classes, list) or len(classes) < 2 or len(set(map(str, classes))) < len(classes):
        raise ClipmillError("there are no two different classes", where=str(path), remedy=_FORM)
    if not isinstance(limits, dict) or not limits:
        raise ClipmillError("no class has a limit, so nothing is blocked", where=str(path), remedy=_FORM)
    names = tuple(map(str, classes))
    for key, limit in limits.items():
        if str(key) not in names:
            close = closest_name(str(key), names)
            raise ClipmillError(
                f"the limit {key!r} is of no class",
                where=str(path),
                remedy=f"did you mean {close!r}?" if close else _FORM,
            )
        if not isinstance(limit, int | float) or not 0 <= limit <= 1:
            raise ClipmillError(f"the limit of {key!r} is not 0 to 1", where=str(path), remedy=_FORM)
    by_class = {str(key): float(limit) for key, limit in limits.items()}
    return ClassLimits(
        str(content["name"]), str(content["version"]), names, by_class, digest_of_files([path])
    )
