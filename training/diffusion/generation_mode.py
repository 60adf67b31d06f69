"""What a denoiser is asked for: an image, or a video from text, from an image or from a video."""

from collections.abc import Mapping

GENERATION_MODES = ("text_to_image", "text_to_video", "image_to_video", "video_to_video")


def generation_mode(latent_frames: int, given_frames: int) -> str:
    """The mode of a clip by the number of its latent frames, and by how many of them are given.

    Returns:
        One of `GENERATION_MODES`. One frame is an image. A video with 0, 1 or more given frames is
        text_to_video, image_to_video or video_to_video.
    """
    if latent_frames == 1:
        return GENERATION_MODES[0]
    return GENERATION_MODES[1 + min(given_frames, 2)]


def possible_given_frames(conditional_frames: Mapping[int, float], latent_frames: int) -> list[int]:
    """The numbers of given frames that are trained with odds above 0 and leave a frame to generate.

    A clip that is too short for all of them has none given.
    """
    counts = [n for n, odds in sorted(conditional_frames.items()) if odds > 0 and n < latent_frames]
    return counts or [0]
