"""Images: pictures of the footage become samples of one frame."""
