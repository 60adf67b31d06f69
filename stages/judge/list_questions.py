"""Lists each question about each generated video, and about the controls that a table of answers needs."""

import csv
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from manifests import ClipmillError, PositiveInt, Row, column
from manifests.identity import digest_of, id_of
from pipeline import Source
from stages.judge.question_file import CAPTION, Question, read_questions
from stages.judge.shown_images import EXTRAPOLATED, FIRST_FRAME, WHOLE

if TYPE_CHECKING:
    from training.evaluation.world.films import Pair

LIST = "list.csv"  # with the columns uri and caption, as `clipmill simulate` writes it


class ListedQuestion(Row):
    id: str = column("digest of the question, the bytes of the video, and what the video is compared as")
    clip: str = column("name of the reference video: its path in the folder, without the ending")
    table_row: str = column("row of the table: model, ground truth, another clip, first frame repeated, …")
    video: str = column("path of the video that is judged")
    video_sha256: str = column("SHA-256 of its bytes")
    shown_as: str = column(
        "what the judge sees: the video, first frame repeated, or constant velocity from the given frames on"
    )
    given_frames: int = column("given frames that constant velocity continues; 0 in other rows")
    question_id: str = column("id of the question")
    question: str = column("the question, with the caption of the clip where it has one")
    expected: str = column("the right answer: yes or no")
    category: str = column("what the question is about")


@dataclass(frozen=True)
class _Film:
    """A video that is judged as a row of the table."""

    table_row: str
    file: Path
    shown_as: str = WHOLE


class ListQuestions(Source[ListedQuestion]):
    """Lists all questions about generated videos, their references, and controls.

    Videos are paired by name, as by `clipmill evaluate world`. Each question is asked about the generated
    videos of a clip (model), its reference (ground truth), two controls made of it (its first frame,
    repeated, and its motion, continued at constant velocity) and, if the right answer depends on the clip,
    about the video that was generated for another clip.

    Attributes:
        videos: Folder of generated videos, NAME.mp4, or NAME__0.mp4, NAME__1.mp4 … for several seeds.
        reference: Folder of reference videos NAME.mp4. Captions for {caption} are in NAME.txt beside them, or
            in list.csv with the columns uri and caption.
        questions: YAML file of questions, or world for the built-in list.
        given_frames: Frames at the start that the model was given. From the last two of them, or from the
            first two, the row constant velocity continues the motion; higher values let it see more.
        compare: Folders of more videos NAME.mp4 as further rows, each as ROW=DIR. The row of videos that were
            generated with the condition of another clip is "shuffled condition".
    """

    version = 2

    # The digest has the questions and the videos.
    execution_settings = frozenset({"videos", "reference", "questions", "compare"})

    videos: str
    reference: str
    questions: str = "world"
    given_frames: PositiveInt = 1
    compare: tuple[str, ...] = ()

    @cached_property
    def loaded_questions(self) -> tuple[Question, ...]:
        return read_questions(self.questions)

    def digest(self) -> str:
        """Return the digest of all questions and videos.

        Raises:
            ClipmillError: A file cannot be read, no video has a reference, or a caption is missing.
        """
        return digest_of([[*vars(row).values()] for row in self.rows()])

    def rows(self) -> Iterator[ListedQuestion]:
        from training.evaluation.world.films import find_films, pair_films
        from training.evaluation.world.measure import OTHER

        pairs, _ = pair_films(Path(self.videos), Path(self.reference))
        further = {row: find_films(folder) for row, folder in self._further().items()}
        captions = Captions(Path(self.reference))
        digests: dict[Path, str] = {}
        is_used = dict.fromkeys((question.id for question in self.loaded_questions), False)
        for number, pair in enumerate(pairs):
            films = list(_films(pair, pairs[number - 1], further))
            for question in self.loaded_questions:
                if not question.concerns(pair.name):
                    continue
                is_used[question.id] = True
                text = question.text
                if CAPTION in text:
                    text = text.replace(CAPTION, captions.caption(pair.name, pair.reference))
                for film in films:
                    if film.table_row == OTHER and not question.is_of_one_video:
                        continue
                    if film.file not in digests:
                        digests[film.file] = _sha256(film.file)
                    yield self._row(pair, film, digests[film.file], question, text)
        unused = [name for name, used in is_used.items() if not used]
        if unused:
            raise ClipmillError(
                f"the question {unused[0]!r} is about no video: no name fits its pattern",
                where=self.questions,
                remedy=f"names are those of the reference without the ending, such as {pairs[0].name}",
            )

    def _further(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for text in self.compare:
            row, sign, folder = text.partition("=")
            if not (row and sign and folder) or row in found:
                raise ClipmillError(
                    f"compare {text!r} is no new row", where="compare", remedy="write ROW=DIR, each ROW once"
                )
            found[row] = Path(folder)
        return found

    def _row(self, pair: "Pair", film: _Film, sha256: str, question: Question, text: str) -> ListedQuestion:
        name = ("question", question.id, text, pair.name, film.table_row, film.file.name, sha256)
        return ListedQuestion(
            id=id_of(*name, *[self.given_frames] * (film.shown_as == EXTRAPOLATED)),
            clip=pair.name,
            table_row=film.table_row,
            video=str(film.file.absolute()),
            video_sha256=sha256,
            shown_as=film.shown_as,
            given_frames=self.given_frames if film.shown_as == EXTRAPOLATED else 0,
            question_id=question.id,
            question=text,
            expected=question.expected,
            category=question.category,
        )


def _films(pair: "Pair", other: "Pair", further: Mapping[str, Mapping[str, Path]]) -> Iterator[_Film]:
    """The videos of a clip: generated, real, of further rows, and controls."""
    from training.evaluation.world.measure import FROZEN, MODEL, OTHER, TRUTH, VELOCITY

    yield from (_Film(MODEL, file) for file in pair.generated)
    yield _Film(TRUTH, pair.reference)
    yield from (_Film(row, files[pair.name]) for row, files in further.items() if pair.name in files)
    if other.name != pair.name:
        yield _Film(OTHER, other.generated[0])
    yield _Film(FROZEN, pair.reference, FIRST_FRAME)
    yield _Film(VELOCITY, pair.reference, EXTRAPOLATED)


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


class Captions:
    """The captions of the videos of a folder: NAME.txt beside the video, else a line of list.csv.

    Args:
        folder: The folder.

    Raises:
        ClipmillError: The list cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.listed = folder, dict[str, str]()
        file = folder / LIST
        if not file.is_file():
            return
        try:
            with file.open(encoding="utf-8-sig", newline="") as opened:
                rows: Sequence[Mapping[str, str]] = list(csv.DictReader(opened))
            self.listed = {row["uri"]: row["caption"] or "" for row in rows}
        except (OSError, ValueError, KeyError, csv.Error) as error:
            raise ClipmillError(
                "the list of captions cannot be read",
                where=str(file),
                remedy="write it as CSV in UTF-8 with the columns uri and caption",
            ) from error

    def caption(self, name: str, video: Path) -> str:
        """The caption of a video.

        Raises:
            ClipmillError: It has none.
        """
        file = video.with_suffix(".txt")
        try:
            text = (
                file.read_text(encoding="utf-8") if file.is_file() else self.listed.get(self._uri(video), "")
            )
        except (OSError, UnicodeDecodeError) as error:
            raise ClipmillError("a caption cannot be read", where=str(file), remedy="write UTF-8") from error
        if not text.strip():
            raise ClipmillError(
                f"a question needs the caption of {name!r}, and there is none",
                where=str(file),
                remedy=f"write it into this file or into {LIST}, or use questions without {CAPTION}",
            )
        return " ".join(text.split())

    def _uri(self, video: Path) -> str:
        return video.relative_to(self.folder).as_posix() if video.is_relative_to(self.folder) else video.name
