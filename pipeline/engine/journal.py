"""A part's journal: which rows were begun and which are finished, so that a kill costs the rows in hand.

One file per attempt, appended to line by line in JSON and never changed; a torn last line is left
out. A row begun and not finished by an earlier attempt of the same run is one its worker died on,
for only then is a part handed out again within a run.
"""

import json
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manifests.errors import disk_full_error
from pipeline.row_json import from_json, to_json

Record = dict[str, Any]


@dataclass
class Answer:
    """What a stage said of one row: its new records (one per child), or why it is set aside."""

    records: list[Record] = field(default_factory=list)
    kind: str = ""  # "" for an answer; "reject", "error" or "crash" for a row set aside
    reason: str = ""
    detail: str = ""

    def plain(self) -> Record:
        """For JSON."""
        return {**vars(self), "records": [to_json(record) for record in self.records]}

    @classmethod
    def of_plain(cls, plain: Record) -> "Answer":
        """The answer that was written as `plain()`."""
        return cls(**{**plain, "records": [from_json(record) for record in plain["records"]]})


class Journal:
    """The journal of one part.

    Attributes:
        answers: what earlier attempts, of this run or others, finished, by row id.
        deaths: how often a worker of this run died on a row, by row id.
        begun: how many rows this attempt began; redone: how many of them an earlier one had begun.
    """

    def __init__(self, folder: Path, run: str, *, answers: bool = True) -> None:
        """Without `answers` only that rows are finished is noted: asking again may cost less than reading."""
        self.folder, self._with_answers = folder, answers
        self.answers: dict[str, Answer] = {}
        self.deaths: Counter[str] = Counter()
        self.begun = self.redone = 0
        self._torn: set[str] = set()
        for file in sorted(folder.glob("*.jsonl")):
            with suppress(FileNotFoundError):  # another driver committed the part meanwhile
                self._replay(file, run)
        self._file = _new(folder)
        self._put({"run": run})

    def begin(self, ids: Sequence[str]) -> None:
        """Note that work on these rows begins."""
        self.begun += len(ids)
        self.redone += len(self._torn.intersection(ids))
        self._put({"begin": list(ids)})

    def leave(self, row: str) -> None:
        """Note that a row that was begun is in hand no more, though there is no answer yet."""
        self.begun -= 1
        self.redone -= row in self._torn
        self._put({"left": row})

    def finish(self, answers: Mapping[str, Answer]) -> None:
        """Note what came out for these rows."""
        if self._with_answers:
            self._put({"done": {row: answer.plain() for row, answer in answers.items()}})
        else:
            self._put({"over": list(answers)})

    def close(self, *, gone: bool) -> None:
        """Stop writing; take the journal away if the part is committed."""
        os.close(self._file)
        if gone:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _put(self, line: Record) -> None:
        try:
            os.write(self._file, json.dumps(line).encode() + b"\n")
        except OSError as error:
            raise disk_full_error(error, str(self.folder)) from error

    def _replay(self, file: Path, run: str) -> None:
        begun: set[str] = set()
        same_run = False
        for line in _lines(file):
            same_run = same_run or line.get("run") == run
            begun.update(line.get("begin", ()))
            begun.discard(line.get("left", ""))
            begun.difference_update(line.get("over", ()))
            for row, packed in line.get("done", {}).items():
                self.answers[row] = Answer.of_plain(packed)
                begun.discard(row)
        self._torn |= begun
        if same_run:
            self.deaths.update(begun)


def _new(folder: Path) -> int:
    """A new file; again where another driver commits the part and takes the folder away meanwhile."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            return os.open(folder / f"{uuid.uuid4().hex}.jsonl", os.O_CREAT | os.O_APPEND | os.O_WRONLY)


def _lines(file: Path) -> Iterator[Record]:
    for line in file.read_bytes().split(b"\n"):
        try:
            yield json.loads(line)
        except ValueError:
            return  # the end, or the line that was being written when the worker was killed
