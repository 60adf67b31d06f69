"""The peak of PQ videos: from their metadata, the same for all frames, and the light that becomes white."""

from pathlib import Path

import pytest

from stages.media.decoding.video import open_video
from tests.toys.media.color_films import write_hdr10

DISPLAY = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L({},50)"


@pytest.mark.parametrize(
    ("metadata", "peak"),
    [
        (f"{DISPLAY.format(40_000_000)}:max-cll=1800,400", 1800),
        (f"{DISPLAY.format(6_000_000)}:max-cll=1800,400", 600),
        (DISPLAY.format(40_000_000), 4000),
        (f"{DISPLAY.format(40_000_000)}:max-cll=0,0", 4000),
        ("max-cll=65535,400", 4000),
        ("max-cll=20,10", 300),
        ("", 1000),
    ],
)
def test_the_peak_is_that_of_the_metadata(metadata: str, peak: int, tmp_path: Path) -> None:
    write_hdr10(tmp_path / "film.mp4", metadata, key_frames=1)
    with open_video(str(tmp_path / "film.mp4")) as video:
        assert {frame.peak_cd_m2 for frame in video.frames()} == {peak}


def test_spans_have_the_peak_of_the_first_frame(tmp_path: Path) -> None:
    """In a transport stream only the first key frame has the metadata."""
    write_hdr10(tmp_path / "film.ts", f"{DISPLAY.format(40_000_000)}:max-cll=1800,400")
    with open_video(str(tmp_path / "film.ts")) as video:
        start = [frame.pts for frame in video.frames()][6]
    with open_video(str(tmp_path / "film.ts")) as video:
        frames = list(video.frames(start, None))
    assert len(frames) == 6
    assert {frame.peak_cd_m2 for frame in frames} == {1800}


def test_a_brighter_peak_keeps_highlights_apart(tmp_path: Path) -> None:
    """Levels of 1000 and 2000 cd/m2 are both white for a peak of 1000, and differ for one of 4000."""
    grays = {}
    for metadata in ("max-cll=1000,400", "max-cll=4000,400"):
        for level in (723, 789):  # of 64 to 940: about 1000 and 2000 cd/m2
            write_hdr10(tmp_path / "film.mp4", metadata, key_frames=1, light=level)
            with open_video(str(tmp_path / "film.mp4")) as video:
                grays[metadata, level] = float(next(video.frames()).pixels().mean())
    assert grays["max-cll=1000,400", 789] == grays["max-cll=1000,400", 723] == 255
    assert 240 < grays["max-cll=4000,400", 723] < grays["max-cll=4000,400", 789] - 2 < 254
