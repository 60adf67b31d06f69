"""Opens videos and images so that they cannot name other files or servers, as playlists and patterns do."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import av

_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,apng,mpeg,mpegts,mpegvideo,m4v,h264,hevc,av1,obu,ivf,"
    "flv,live_flv,asf,ogg,mxf,nut,rm,dv,wtv,yuv4mpegpipe,image2,jpeg_pipe,png_pipe,webp_pipe,bmp_pipe,tiff_pipe"
)


def open_video(file: Path) -> "av.container.InputContainer":
    """Open a video or an image for reading.

    Raises:
        av.FFmpegError, OSError: It cannot be opened, or is a playlist.
    """
    import av

    options = {
        "format_whitelist": _FORMATS,
        "protocol_whitelist": "file",
        "pattern_type": "none",  # "a%02d.png" is the name of one image
    }
    return av.open(f"file:{file}", options=options)
