"""Training examples from real videos: single shots without a boundary, and films with a ground truth."""

from pathlib import Path

import numpy as np

from stages.footage.truth import read_truth
from stages.media.signals import read_signals, read_thumbnails
from stages.scan.scan_video import ListedVideo, ScannedVideo, ScanVideo
from stages.shots.features import CHANGE_SIGNALS, compute_features
from stages.shots.network import KINDS
from stages.shots.training.train import Example


def real_example(path: Path) -> tuple[Example, list[str]] | None:
    """Return the example of a video and the feature names, or None if the video is rejected.

    A video without NAME.json next to it is one shot.
    """
    [scanned] = ScanVideo().annotate([ListedVideo(uri=str(path))])
    if not isinstance(scanned, ScannedVideo):
        return None
    frames = scanned.scanned_frames
    signals = read_signals(scanned.signals, CHANGE_SIGNALS, 0, frames)
    change = np.stack([signals[name] for name in CHANGE_SIGNALS], 1)
    features, names = compute_features(*read_thumbnails(scanned.signals, 0, frames), change)
    cut, mixed, weight = np.zeros((3, frames), np.float32)
    kind, weight = np.full(frames, -1), weight + 1
    truth = read_truth(path.parent).get(path.name) if path.with_suffix(".json").exists() else None
    if truth is not None:
        cut[[boundary.frame for boundary in truth.cuts]] = 1
        for span in truth.graduals:
            mixed[span.start : span.end] = 1
            kind[span.start : span.end] = KINDS.index(span.kind.split("_")[0])
            weight[max(0, span.start - 1) : span.start + 1] *= 0.5
            weight[span.end - 1 : span.end + 1] *= 0.5
        for first, last in truth.ignore:
            weight[first : last + 1] = 0
    return Example(features.astype(np.float16), cut, mixed, kind, weight), names
