"""The table of a judge: how many questions a vision-language model answers as expected, by category."""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from training.errors import SettingError
from training.evaluation.world.measure import MODEL, Column, Measured
from training.evaluation.world.report import WorldReport
from training.evaluation.world.table import Table

NAME, YES = "judge", "judge_yes_share"
COLUMNS = ("clip", "table_row", "video_sha256", "category", "expected", "answer", "answered_by")
_REMEDY = "run the recipe judge, then: clipmill table store=DIR --of list_questions --parquet FILE"


class Answer(NamedTuple):
    """An answer to a question about a video.

    Attributes:
        clip: The reference video.
        row: The row of the table.
        sha256: The digest of the video's bytes.
        category: Of the question.
        expected: "yes" or "no".
        answer: "yes", "no" or "unknown"; "": there is none, because the model refused or failed.
    """

    clip: str
    row: str
    sha256: str
    category: str
    expected: str
    answer: str


def read_answers(file: Path) -> tuple[list[Answer], dict[str, Any]]:
    """The answers of a Parquet file, and which judge gave them.

    Raises:
        SettingError: It cannot be read, lacks a column, is empty, or has answers of several models.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise SettingError(f"the answers cannot be read: {error}", where=str(file), remedy=_REMEDY) from error
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise SettingError(f"the answers have no column {missing[0]}", where=str(file), remedy=_REMEDY)
    rows = table.select(list(COLUMNS)).to_pylist()
    judges = sorted({row["answered_by"] for row in rows if row["answered_by"]})
    if len(judges) != 1:
        raise SettingError(
            "the answers are of several models: " + "; ".join(judges) if judges else "there are no answers",
            where=str(file),
            remedy="make a table for each model" if judges else _REMEDY,
        )
    answers = [
        Answer(
            row["clip"],
            row["table_row"],
            row["video_sha256"],
            row["category"],
            row["expected"],
            row["answer"] or "",
        )
        for row in rows
    ]
    return answers, {"answered_by": judges[0], "answers": len(answers)}


def judge_table(answers: Sequence[Answer], notes: Mapping[str, Any], report: WorldReport) -> Table:
    """The shares of answers as expected by category, and the share of yes, by row of the table.

    A clip has the mean over its questions. "Unknown" is not as expected; a question without an answer is left
    out, and the number of them is a reason. A clip whose generated videos are not those that were judged is
    left out.

    Raises:
        SettingError: The answers are about none of the clips.
    """
    categories = list(dict.fromkeys(answer.category for answer in answers))
    columns = [
        Column(_key(name), name, ".2f", "higher", f"answers as expected, {name}") for name in categories
    ]
    columns.append(
        Column(
            YES, "yes", ".2f", "", "share of answers that are yes, to all questions; a judge may prefer it"
        )
    )
    table = Table(NAME, columns, _key(categories[0]), notes=notes)
    by_clip: dict[str, list[Answer]] = {}
    for answer in answers:
        by_clip.setdefault(answer.clip, []).append(answer)
    for clip, record in report.films.items():
        judged = {answer.sha256 for answer in by_clip.get(clip, ()) if answer.row == MODEL}
        if not judged:
            table.missing[clip] = "there are no answers about it"
        elif judged != {hashlib.sha256(file.read_bytes()).hexdigest() for file in record.generated}:
            table.missing[clip] = "its video is not the one that was judged: run the recipe judge again"
        else:
            for row in dict.fromkeys(answer.row for answer in by_clip[clip]):
                found = [answer for answer in by_clip[clip] if answer.row == row]
                table.add(row, clip, [_measured(found, categories)])
    if not {*by_clip} & {*report.films}:
        raise SettingError(
            f"the answers are about other clips, such as {answers[0].clip!r}",
            where=str(report.reference),
            remedy="run the recipe judge with the same --videos and --reference",
        )
    return table


def _key(category: str) -> str:
    return f"judge_{re.sub(r'[^a-z0-9]+', '_', category.casefold()).strip('_')}_share"


def _measured(answers: Sequence[Answer], categories: Sequence[str]) -> Measured:
    given = [answer for answer in answers if answer.answer]
    values = {
        _key(name): _share([each.answer == each.expected for each in given if each.category == name])
        for name in categories
    }
    values[YES] = _share([answer.answer == "yes" for answer in given])
    without = len(answers) - len(given)
    return Measured(values, {}, f"{without} of {len(answers)} questions have no answer" if without else "")


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else math.nan
