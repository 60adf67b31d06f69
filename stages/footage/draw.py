"""Draws the films of the demo with their ground truth: `draw(folder)`; the same seed gives the same bytes.

There are twelve films (`films.py` lists their shots) and three broken files:

    truncated      truncated.mp4: the first 60 % of brief.mp4, without its index
    empty          empty.mp4: no bytes
    not_a_video    not_a_video.mp4: a text

A film has the same bytes whether it is drawn alone or with the others. "rotated" and "brief" are the fastest.
"""

import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from stages.footage.films import FILMS
from stages.footage.truth import Truth, to_json

BROKEN_FILES = {
    "truncated": ("truncated.mp4", "truncated"),
    "empty": ("empty.mp4", "empty"),
    "not_a_video": ("not_a_video.mp4", "not a video"),
}
_NOT_A_VIDEO = "This is a text whose name says that it is a video.\nNo decoder should believe the name.\n"


def film_names() -> tuple[str, ...]:
    """The names of all films and broken files, the slowest first."""
    return (*FILMS, *BROKEN_FILES)


def draw(
    folder: Path | str, *, seed: int = 7, films: Sequence[str] | None = None, processes: int = 1
) -> list[Path]:
    """Write films into a folder, each with its ground truth in NAME.json; returns the paths of the films.

    Existing files with these names are replaced.

    Args:
        folder: created if it does not exist.
        seed: decides the content of the images.
        films: names out of `film_names()`; None draws all.
        processes: films drawn in parallel, to the same bytes. The processes are spawned, so a script must
            call this under `if __name__ == "__main__"`.

    Raises:
        ValueError: a name is unknown.
    """
    chosen = tuple(film_names() if films is None else films)
    unknown = [name for name in chosen if name not in film_names()]
    if unknown:
        raise ValueError(f"there is no film {unknown[0]!r}; there are {', '.join(film_names())}")
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    if processes == 1 or len(chosen) == 1:
        return [_write_one(name, str(target), seed) for name in chosen]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_use_one_thread) as pool:
        futures = [pool.submit(_write_one, name, str(target), seed) for name in chosen]
        return [future.result() for future in futures]


def _use_one_thread() -> None:
    """Limit OpenCV to one thread, because the films are drawn in parallel."""
    import cv2

    cv2.setNumThreads(1)


def _write_one(name: str, folder: str, seed: int) -> Path:
    write = _write_broken_file if name in BROKEN_FILES else _write_film
    truth = write(name, Path(folder), seed)
    path = Path(folder, truth.video)
    path.with_suffix(".json").write_text(to_json(truth), encoding="utf-8")
    return path


def _write_film(name: str, folder: Path, seed: int) -> Truth:
    import numpy as np

    from stages.footage.encode_film import ambient_audio, encode_film

    film, audio = FILMS[name], None
    if film.has_audio:
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        audio = ambient_audio(rng, film.starts()[-1] / float(film.fps))
    encode_film(
        folder / film.file,
        film.draw(seed),
        film.ticks(),
        tick_s=film.tick_s,
        size=film.size,
        fps=film.fps,
        crf=film.crf,
        rotation_deg=film.rotation_deg,
        audio=audio,
    )
    return film.truth()


def _write_broken_file(name: str, folder: Path, seed: int) -> Truth:
    file, reason = BROKEN_FILES[name]
    data = {"empty": b"", "not_a_video": _NOT_A_VIDEO.encode()}.get(name)
    if data is None:
        with TemporaryDirectory() as scratch:
            whole = _write_one("brief", scratch, seed).read_bytes()
            data = whole[: len(whole) * 6 // 10]
    (folder / file).write_bytes(data)
    return Truth(video=file, frames=0, reject=reason)
