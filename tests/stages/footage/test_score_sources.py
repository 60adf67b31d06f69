"""Boundaries are scored by source of the videos, and what false boundaries cost is counted."""

import pytest

from stages.footage.score import count_losses, score_sources
from stages.footage.truth import Cut, Truth


def test_folds_are_the_sources_of_the_videos() -> None:
    names = ["one__a.mp4", "one__b.mp4", "two__a.mp4", "alone.mp4", "uncut__a.mp4"]
    cuts = {name: () if name.startswith("uncut") else (Cut(50, "cut"),) for name in names}
    truth = {name: Truth(name, 100, cuts=cuts[name]) for name in names}
    found = {name: [50] for name in names}
    found["one__b.mp4"] = []  # recall 1/2, precision 1
    found["two__a.mp4"] = [50, 80]  # recall 1, precision 1/2
    expected = {"one": 2 / 3, "two": 2 / 3, "alone.mp4": 1.0}
    assert score_sources(truth, found) == pytest.approx(expected)


def test_losses_are_frames_of_transitions_and_of_short_clips() -> None:
    found = {
        "whole": {"frames": 100, "duration_s": 4.0, "cuts": []},
        "split": {"frames": 100, "duration_s": 4.0, "cuts": [30]},  # 30 frames are under 2 s
        "mixed": {"frames": 100, "duration_s": 4.0, "cuts": [70], "spans": [(60, 80)]},
        "gone": {"frames": 80, "duration_s": 3.2, "cuts": [40]},
        "short": {"frames": 20, "duration_s": 0.8, "cuts": [10]},
    }
    assert count_losses(found) == {
        "videos": 5,
        "frames": 400,
        "boundaries": 4,
        "split": 4,
        "lost_videos": 1,
        "lost_frames": 30 + 40 + 80,
    }
