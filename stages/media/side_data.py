"""What a decoder says about a frame beside its pixels, without keeping the frame."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import av
    from av.sidedata.sidedata import SideData


def side_data(raw: "av.VideoFrame", name: str) -> "SideData | None":
    """The side data of that kind; None where the frame has none.

    `raw.side_data` would make the frame and its container hold each other, and the pixels stay in memory
    until Python looks for such circles: gigabytes of 1080p within minutes.
    """
    from av.sidedata.sidedata import SideDataContainer

    return SideDataContainer(raw).get(name)
