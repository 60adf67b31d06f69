"""A toy Chunked stage: each number is a song of one to seven verses, and each verse can be a piece."""

import os
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from toys import N, Numbers

from manifests import Artifact, Row, column
from pipeline import Chunked, Dag, Reject


class Verses(Row):
    first: int = column("number of the first verse")
    after: int = column("number after the last verse")


class Sung(Row):
    text: Artifact = column("the verses, one per line")
    opening: Artifact | None = column("the first verse of the song, if the piece holds it")
    loudness: tuple[float, ...] = column("of each verse", unit="1")


class Song(Row):
    song: Artifact = column("all verses, one per line")
    opening: Artifact = column("the first verse")
    loudness_mean: float = column("mean over the verses", unit="1")
    verses: int = column("number of verses")


class Sing(Chunked[N, Verses, Sung, Song]):
    """Number n has n % 7 + 1 verses. Rejects, fails or kills its process at the second verse of a song.

    `split` rejects numbers up to `mute`. Each verse adds its number and the process to the file `count_in`.
    """

    rejects: tuple[int, ...] = ()
    fails_on: tuple[int, ...] = ()
    crashes_on: tuple[int, ...] = ()
    mute: int = -1
    verses_per_piece: int = 1  # 0: all
    wait_s: float = 0.0
    count_in: str = ""
    execution_settings = frozenset({"verses_per_piece", "wait_s", "count_in", "crashes_on"})

    def split(self, row: N) -> Sequence[Verses]:
        if row.n <= self.mute:
            raise Reject(f"{row.n} is mute")
        count = row.n % 7 + 1
        step = self.verses_per_piece or count
        return [Verses(first=i, after=min(i + step, count)) for i in range(0, count, step)]

    def work(self, row: N, piece: Verses) -> Sung:
        verses = range(piece.first, piece.after)
        with tempfile.NamedTemporaryFile(prefix="songs-", suffix=".txt", delete=False) as file:
            try:
                for verse in verses:
                    self._sing(row.n, verse)
            except Exception:
                Path(file.name).unlink()
                raise
            file.write("".join(f"{row.n}.{verse}\n" for verse in verses).encode())
        opening = Artifact.of(f"{row.n}.0".encode(), ".txt", name=f"openings/{row.n}.txt")
        return Sung(
            text=Artifact.of_file(Path(file.name)),
            opening=opening if piece.first == 0 else None,
            loudness=tuple((verse + 1) / 3 for verse in verses),
        )

    def join(self, row: N, results: Sequence[Sung]) -> Song:
        texts = []
        for result in results:
            with result.text.local() as path:
                texts.append(path.read_bytes())
        loudness = [value for result in results for value in result.loudness]
        (opening,) = [result.opening for result in results if result.opening]
        with opening.local() as path:
            assert path.read_text() == f"{row.n}.0"
        return Song(
            song=Artifact.of(b"".join(texts), ".txt"),
            opening=opening,
            loudness_mean=sum(loudness) / len(loudness),
            verses=len(loudness),
        )

    def _sing(self, n: int, verse: int) -> None:
        if self.count_in:
            with open(self.count_in, "a") as file:
                file.write(f"{n}.{verse} {os.getpid()}\n")
        time.sleep(self.wait_s)
        if verse == 1 and n in self.crashes_on:
            os.kill(os.getpid(), signal.SIGKILL)
        if verse == 1 and n in self.fails_on:
            raise ValueError(f"verse 1 of {n} fails")
        if verse == 1 and n in self.rejects:
            raise Reject(f"verse 1 of {n} is not sung")


def songs(count: int = 14, rows_per_part: int = 4, **sing: object) -> Dag:
    """Numbers with their songs."""
    dag = Dag("songs")
    sung = dag.read(Numbers(count=count), rows_per_part=rows_per_part).annotate(Sing(**sing))
    dag.save(sung.keep("verses > 1", because="too short"), "songs")
    return dag


def sung_in(file: Path) -> list[tuple[str, int]]:
    """The verses in the order in which they were started, each with its process id."""
    lines = [line.split() for line in file.read_text().splitlines()]
    return [(verse, int(process)) for verse, process in lines]
