"""Draws the demo's films with their truth: `draw(folder)`; the same seed gives the same bytes.

Twelve films (see `films.py` for the shots of each) and three files that are none:

    truncated      truncated.mp4: the first 60 percent of brief.mp4, its index lost
    empty          empty.mp4: no bytes
    not_a_video    not_a_video.mp4: a text

A film drawn alone has the bytes that it has in the whole set. "rotated" and "brief" are the quickest.
"""

import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from stages.footage.films import FILMS
from stages.footage.truth import Truth, text_of

BAD = {
    "truncated": ("truncated.mp4", "truncated"),
    "empty": ("empty.mp4", "empty"),
    "not_a_video": ("not_a_video.mp4", "not a video"),
}
TEXT = "This is a text whose name says that it is a video.\nNo decoder should believe the name.\n"


def names() -> tuple[str, ...]:
    """What can be drawn, the slowest first."""
    return (*FILMS, *BAD)


def draw(
    folder: Path | str, *, seed: int = 7, films: Sequence[str] | None = None, processes: int = 1
) -> list[Path]:
    """Write the chosen films, or all, into a folder, each with NAME.json beside it; gives the videos' paths.

    With `processes` > 1 films are drawn side by side, to the same bytes; the processes are spawned, so a
    script calls it under `if __name__ == "__main__"`. Files of those names are replaced. Raises ValueError
    for a name that is not one of `names()`.
    """
    chosen = tuple(names() if films is None else films)
    unknown = [name for name in chosen if name not in names()]
    if unknown:
        raise ValueError(f"no film is called {unknown[0]!r}; there are {', '.join(names())}")
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    if processes == 1 or len(chosen) == 1:
        return [_draw_one(name, str(target), seed) for name in chosen]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_alone) as pool:
        waiting = [pool.submit(_draw_one, name, str(target), seed) for name in chosen]
        return [one.result() for one in waiting]


def _alone() -> None:
    """Keep OpenCV to this process's own core: the films are what runs side by side."""
    import cv2

    cv2.setNumThreads(1)


def _draw_one(name: str, folder: str, seed: int) -> Path:
    truth = _bad(name, Path(folder), seed) if name in BAD else _film(name, Path(folder), seed)
    path = Path(folder, truth.video)
    path.with_suffix(".json").write_text(text_of(truth), encoding="utf-8")
    return path


def _film(name: str, folder: Path, seed: int) -> Truth:
    import numpy as np

    from stages.footage.record import murmur, record

    film, sound = FILMS[name], None
    if film.has_audio:
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        sound = murmur(rng, film.starts()[-1] / float(film.fps))
    record(
        folder / film.file,
        film.draw(seed),
        film.ticks(),
        tick_s=film.tick_s,
        size=film.size,
        fps=film.fps,
        crf=film.crf,
        rotation_deg=film.rotation_deg,
        sound=sound,
    )
    return film.truth()


def _bad(name: str, folder: Path, seed: int) -> Truth:
    file, reason = BAD[name]
    data = {"empty": b"", "not_a_video": TEXT.encode()}.get(name)
    if data is None:
        with TemporaryDirectory() as scratch:
            whole = _draw_one("brief", scratch, seed).read_bytes()
            data = whole[: len(whole) * 6 // 10]
    (folder / file).write_bytes(data)
    return Truth(video=file, frames=0, reject=reason)
