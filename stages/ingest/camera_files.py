"""Which recording and which camera a listed file belongs to, by its path or by the columns of a list."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from manifests import ClipmillError
from stages.ingest.listing import ListedFile

_PARTS = {"{recording}": r"(?P<recording>.+)", "{camera}": r"(?P<camera>[^/]+?)", "*": r"[^/]*"}
_PLACEHOLDER = re.compile("|".join(re.escape(part) for part in _PARTS))
_COLUMNS = ("recording", "camera", "start_s")  # of a list; the others are the calibration
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


class CameraFile(NamedTuple):
    """A file of a camera.

    Attributes:
        file: The listed file.
        recording: Name of the recording.
        camera: Name of the camera: letters, digits, - and _, so that members of a tar can have it.
        start_s: Time of the first frame on the clock of the recording, in seconds.
        calibration: The other columns of the list, as JSON.
        problem: Why it cannot be used, or "".
    """

    file: ListedFile
    recording: str
    camera: str
    start_s: float = 0.0
    calibration: str = "{}"
    problem: str = ""


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern such as "{recording}/{camera}".

    Raises:
        ClipmillError: The pattern does not have {recording} and {camera} once each.
    """
    if any(pattern.count(name) != 1 for name in ("{recording}", "{camera}")):
        raise ClipmillError(
            f"the pattern {pattern!r} must have {{recording}} and {{camera}}, each once",
            remedy="write it like {recording}/{camera} or {recording}_{camera}",
        )
    literals = map(re.escape, _PLACEHOLDER.split(pattern))
    parts = [*(_PARTS[match[0]] for match in _PLACEHOLDER.finditer(pattern)), ""]
    return re.compile("".join(a + b for a, b in zip(literals, parts, strict=True)))


def camera_files(files: Sequence[ListedFile], pattern: str) -> Iterator[CameraFile]:
    """The files that name a recording and a camera. A camera that is there twice has a problem.

    The columns of a list decide, and the pattern for files without columns.
    """
    expression = compile_pattern(pattern)
    seen: set[tuple[str, str]] = set()
    for file in files:
        if file.values:
            yield _numbered(_from_columns(file), seen)
        elif match := expression.fullmatch(str(PurePosixPath(file.source).with_suffix(""))):
            yield _numbered(CameraFile(file, match["recording"], safe_name(match["camera"])), seen)
        elif file.problem:  # for example a folder that cannot be read
            yield _numbered(CameraFile(file, file.source, safe_name("")), seen)


def _from_columns(file: ListedFile) -> CameraFile:
    """The file with what its row of the list says."""
    others = {name: value for name, value in file.values.items() if name not in _COLUMNS}
    calibration = json.dumps(others, sort_keys=True, ensure_ascii=False)
    recording, camera, start = (file.values.get(name) for name in _COLUMNS)
    problem, start_s = "", 0.0
    if recording in (None, "") or camera in (None, ""):
        problem = "the list names no recording or no camera for it"
    try:
        start_s = float(start) if start not in (None, "") else 0.0
    except (TypeError, ValueError):
        start_s = math.nan
    if not math.isfinite(start_s):
        problem, start_s = f"start_s is {start!r}; it must be a number of seconds", 0.0
    name = file.source if recording in (None, "") else str(recording)
    return CameraFile(file, name, safe_name(str(camera or "")), start_s, calibration, problem)


def _numbered(found: CameraFile, seen: set[tuple[str, str]]) -> CameraFile:
    """The file; a further file of the same camera gets another name and a problem."""
    number, name = 1, found.camera
    while (found.recording, name) in seen:
        number, name = number + 1, f"{found.camera}_{number + 1}"
    seen.add((found.recording, name))
    problem = found.problem or f"the recording has another file of the camera {found.camera}"
    return found if name == found.camera else found._replace(camera=name, problem=problem)


def safe_name(camera: str) -> str:
    """The name of a camera with _ in place of other characters than letters, digits, - and _."""
    return _UNSAFE.sub("_", camera).strip("_") or "_"
