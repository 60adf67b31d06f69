"""Side data is read without the frame outliving its use."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from stages.media.decode import open_video
from stages.media.side_data import side_data


def test_frames_are_let_go_without_the_garbage_collector(
    film: Callable[..., Path], moving: Callable[..., Iterator[np.ndarray]]
) -> None:
    import av

    path = film(moving(1, 20, step=(2, 1)))
    gc.collect()
    before = sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())
    gc.disable()
    try:
        with open_video(str(path)) as video:
            told = [side_data(frame.raw, "VIDEO_ENC_PARAMS") is not None for frame in video.frames()]
        held = sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects()) - before
    finally:
        gc.enable()
    assert len(told) == 20
    assert all(told)
    assert held < 5
