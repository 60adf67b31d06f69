"""Reads the side data that a decoder attaches to a frame, without keeping the frame in memory."""

from collections.abc import Callable, Mapping
from functools import lru_cache
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

    _accept_all_types()
    side_data_of = cast("Callable[[Any], Mapping[str, SideData]]", SideDataContainer)
    return side_data_of(raw).get(name)


@lru_cache(maxsize=1)
def _accept_all_types() -> None:
    """Let PyAV read frames with side data of a type that it does not know.

    FFmpeg 8 attaches the Exif data of an image (type 31). PyAV 18.1 raises ValueError for the whole frame.
    """
    from av.sidedata.sidedata import Type

    def unknown_type(cls: type[Type], value: object) -> Type:
        member = object.__new__(cls)
        vars(member).update(_name_=f"UNKNOWN_{value}", _value_=value)
        return member

    Type._missing_ = classmethod(unknown_type)  # type: ignore[method-assign, assignment]
