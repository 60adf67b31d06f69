"""The request about a window of a clip: prompts in which facts stand for placeholders, and images."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stages.captions.requests.images import HasSourceAndStrip, ImageSampling, window_images
from stages.captions.requests.windows import Window
from stages.models.chat.prompt import Prompt

PROMPTS = Path(__file__).parents[1] / "prompts"  # the built-in prompts
FACTS = ("pictures", "picture_fps", "length_s", "fps")  # names of placeholders; users' prompts contain them


def window_request(
    prompts: Sequence[Prompt],
    row: HasSourceAndStrip,
    window: Window,
    sampling: ImageSampling,
    facts: Mapping[str, str],
) -> tuple[list[str], list[bytes]]:
    """Return the prompts about a window, and its JPEGs in order of time.

    Args:
        facts: Facts about the clip, besides those about the window and its images.

    Raises:
        Reject: see `window_images`.
    """
    images = window_images(row, window, sampling)
    length_s = window.end_s - window.start_s
    known = {
        "pictures": str(len(images)),
        "picture_fps": f"{len(images) / length_s:.2g}",
        "length_s": f"{length_s:.1f}",
        **facts,
    }
    return [prompt.fill(known) for prompt in prompts], images
