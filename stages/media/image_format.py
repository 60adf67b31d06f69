"""Formats of images by their first bytes, because names of files from the web are often wrong."""

# FFmpeg's demuxer of one image, by ending. By the name, it would open a JPEG as a sequence of files (image2).
IMAGE_FORMATS = {
    ".jpg": "jpeg_pipe", ".jpeg": "jpeg_pipe", ".png": "png_pipe", ".webp": "webp_pipe", ".bmp": "bmp_pipe",
    ".tif": "tiff_pipe", ".tiff": "tiff_pipe",
}  # fmt: skip
HEAD_BYTES = 16  # that `image_ending` needs
_MAGIC = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG\r\n\x1a\n": ".png",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}


def image_ending(head: bytes) -> str:
    """Return the usual ending of an image with these first bytes, or "" if its format is unknown."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ".webp"
    return next((ending for magic, ending in _MAGIC.items() if head.startswith(magic)), "")


def image_format(ending: str, head: bytes) -> str:
    """Return FFmpeg's format of a file that is named like an image: that of its bytes, else of its name."""
    return IMAGE_FORMATS[image_ending(head) or ending]
