"""Reads the side data that a decoder attaches to a frame, without keeping the frame in memory."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import av
    from av.sidedata.sidedata import SideData


def get_side_data(raw: "av.VideoFrame", name: str) -> "SideData | None":
    """Return the side data of one type, or None if the frame has none.

    `raw.side_data` creates a reference cycle between the frame and its container, which keeps the pixels in
    memory until Python's garbage collector runs: gigabytes of 1080p frames within minutes.
    """
    from av.sidedata.sidedata import SideDataContainer

    side_data_of = cast("Callable[[Any], Mapping[str, SideData]]", SideDataContainer)
    return side_data_of(raw).get(name)
