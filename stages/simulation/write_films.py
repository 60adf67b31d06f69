"""Writes simulated scenes as videos with their sidecars, and a list that recipes read."""

import csv
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from stages.conditions.sidecar import write_conditions
from stages.media.encoding.arrays import write_mp4
from stages.simulation.film import Film, Generator, masks_path, split_of

LIST = "list.csv"
CRF = 10  # of x264; below it, files grow and no reader sees more
Row = dict[str, Any]


def write_films(
    folder: Path,
    generator: Generator,
    scenes: int,
    *,
    validation_share: float = 0.1,
    processes: int = 1,
    lossless: bool = False,
) -> Path:
    """Simulate scenes 0 to `scenes` - 1 and return the path of their list. Files of these names are replaced.

    Beside each NAME.mp4 are NAME.conditions.parquet and, if there are masks, NAME.masks.npz. The list has
    the columns uri, caption, split and scene, and those that the generator adds. Films of one scene have the
    same split. Equal arguments give equal bytes, with any number of processes.

    Args:
        folder: Created if it does not exist.
        generator: What is simulated.
        scenes: Number of scenes.
        validation_share: Share of the scenes in the validation split, 0 to 1.
        processes: Scenes simulated in parallel. The processes are spawned, so a script must call this under
            `if __name__ == "__main__"`.
        lossless: Keep every value of a pixel, for models of exact pixels. Files are larger.

    Raises:
        ClipmillError: This machine cannot simulate them; see `Generator.prepare`.
    """
    generator.prepare()
    folder.mkdir(parents=True, exist_ok=True)
    write = partial(_write_scene, folder, generator, lossless)
    rows = [row for found in _each_scene(write, scenes, processes) for row in found]
    for row in rows:
        row["split"] = split_of(row["scene"], validation_share)
    names = list(dict.fromkeys(name for row in rows for name in row))
    path = folder / LIST
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def _each_scene(write: Callable[[int], list[Row]], scenes: int, processes: int) -> Iterator[Sequence[Row]]:
    if min(processes, scenes) <= 1:
        yield from map(write, range(scenes))
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_use_one_thread) as pool:
        futures = [pool.submit(write, scene) for scene in range(scenes)]
        try:
            yield from (future.result() for future in futures)
        finally:
            for future in futures:
                future.cancel()


def _use_one_thread() -> None:
    """Limit OpenCV to one thread, because the scenes are simulated in parallel."""
    import cv2

    cv2.setNumThreads(1)


def _write_scene(folder: Path, generator: Generator, lossless: bool, scene: int) -> list[Row]:
    """Write the videos of a scene and return their rows of the list."""
    return [_write_film(folder, film, generator.fps, lossless, scene) for film in generator.simulate(scene)]


def _write_film(folder: Path, film: Film, fps: float, lossless: bool, scene: int) -> Row:
    video = folder / f"{film.name}.mp4"
    video.parent.mkdir(parents=True, exist_ok=True)
    rate = Fraction(fps).limit_denominator(1001)
    write_mp4(video, film.frames, rate, crf=CRF, lossless=lossless)
    timestamps = np.arange(len(film.frames)) / float(rate)
    write_conditions(video, timestamps, film.conditions, {"rate": float(rate), **film.spec})
    if film.masks is not None:
        np.savez_compressed(masks_path(video), masks=film.masks)
    row = {"uri": f"{film.name}.mp4", "caption": film.caption, "split": "", "scene": scene}
    return {**row, **film.listed}
