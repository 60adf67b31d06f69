"""The views of several cameras in a training."""

from collections.abc import Sequence
from dataclasses import dataclass

from manifests import NonNegativeFloat, Share
from manifests.messages import join_names
from training.errors import SettingError

NONE, AUTO = "none", "auto"


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """How a training denoises the views of several cameras together, if `views` names several.

    Attributes:
        view_neighbors: Cameras whose fields of view overlap, such as front:left+right,left:rear; each block
            of a transformer has attention between their views, and a 3-D U-Net with given_planes fills what
            a given frame does not show from those of its neighbors. A camera that is not named has no
            neighbors, and is denoised alone. "": all cameras are neighbors. none: no cameras are. auto: those
            whose rays overlap in the rig of the first clip; conditions must have camera.
        min_view_overlap: With view_neighbors=auto, the least share of the rays of one of two cameras that the
            other one sees, for them to be neighbors. Higher values make fewer neighbors.
        view_overlap_distance: With view_neighbors=auto, the distance from the camera at which rays end, in
            the unit of the poses, such as that of the things that two cameras look at. Higher values count
            the places of the cameras less. 0: at infinity.
        view_dropout: Share of the steps that train on some of the cameras of each clip, 1 to all but one,
            drawn for each clip. Higher values make sampling of fewer cameras better.
    """

    view_neighbors: str = ""
    min_view_overlap: Share = 0.05
    view_overlap_distance: NonNegativeFloat = 0.0
    view_dropout: Share = 0.1


def parse_views(text: str) -> tuple[str, ...]:
    """The cameras of a list with commas.

    Raises:
        SettingError: One of them is there twice.
    """
    views = tuple(name.strip() for name in text.split(",") if name.strip())
    if len(set(views)) < len(views):
        raise SettingError(f"views is {text}; it has a camera twice", remedy="name each camera once")
    return views


def parse_view_neighbors(text: str, views: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The pairs of cameras that a text names as neighbors, each once, in the order of the views.

    Raises:
        SettingError: The text has another form, or names a camera that is none of the views.
    """
    if text.strip() in ("", NONE):
        pairs = {(a, b) for a in views for b in views} if not text.strip() else set()
    else:
        pairs = {pair for part in text.split(",") if part.strip() for pair in _pairs(part, views)}
    order = {name: number for number, name in enumerate(views)}
    every = {(a, b) if order[a] < order[b] else (b, a) for a, b in pairs if a != b}
    return tuple(sorted(every, key=lambda pair: (order[pair[0]], order[pair[1]])))


def _pairs(part: str, views: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of a part such as front:left+right."""
    camera, colon, others = part.partition(":")
    names = [camera.strip(), *(name.strip() for name in others.split("+"))]
    if not colon or not all(names):
        raise SettingError(
            f"view_neighbors: {part.strip()!r} is not CAMERA:CAMERA+CAMERA",
            remedy="write for example front:left+right,left:rear",
        )
    if unknown := [name for name in names if name not in views]:
        raise SettingError(
            f"view_neighbors names {unknown[0]!r}, which is none of the views {join_names(views)}",
            remedy="name cameras of views, or add the camera to views",
        )
    if names[0] in names[1:]:
        raise SettingError(f"view_neighbors: {names[0]} is named as its own neighbor")
    return [(names[0], other) for other in names[1:]]
