"""A part's journal: which rows were begun and which are finished, so that a kill costs the rows in hand.

One file per attempt, appended to line by line in JSON and never changed; a torn last line is left
out. A row begun and not finished by an earlier attempt of the same run is one its worker died on,
for only then is a part handed out again within a run.
"""

import base64
import json
import os
import shutil
import uuid
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manifests.artifact import Artifact
from manifests.errors import told_if_full

Record = dict[str, Any]


@dataclass
class Answer:
    """What a stage said of one row: its new records (one per child), or why it is set aside."""

    records: list[Record] = field(default_factory=list)
    kind: str = ""  # "" for an answer; "reject", "error" or "crash" for a row set aside
    reason: str = ""
    detail: str = ""


class Journal:
    """The journal of one part.

    Attributes:
        answers: what earlier attempts, of this run or others, finished, by row id.
        deaths: how often a worker of this run died on a row, by row id.
        begun: how many rows this attempt began; redone: how many of them an earlier one had begun.
    """

    def __init__(self, folder: Path, run: str) -> None:
        self.folder = folder
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

    def finish(self, answers: Mapping[str, Answer]) -> None:
        """Note what came out for these rows."""
        self._put({"done": {row: _pack(answer) for row, answer in answers.items()}})

    def close(self, *, gone: bool) -> None:
        """Stop writing; take the journal away if the part is committed."""
        os.close(self._file)
        if gone:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _put(self, line: Record) -> None:
        try:
            os.write(self._file, json.dumps(line).encode() + b"\n")
        except OSError as error:
            raise told_if_full(error, str(self.folder)) from error

    def _replay(self, file: Path, run: str) -> None:
        begun: set[str] = set()
        same_run = False
        for line in _lines(file):
            same_run = same_run or line.get("run") == run
            begun.update(line.get("begin", ()))
            for row, packed in line.get("done", {}).items():
                self.answers[row] = _unpack(packed)
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


def _pack(answer: Answer) -> Record:
    records = [{name: _plain(value) for name, value in r.items()} for r in answer.records]
    return {"records": records, "kind": answer.kind, "reason": answer.reason, "detail": answer.detail}


def _unpack(packed: Record) -> Answer:
    records = [{name: _value(value) for name, value in r.items()} for r in packed.pop("records")]
    return Answer(records=records, **packed)


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return {"bytes": base64.b64encode(value).decode()}
        case array():
            return {"vector": base64.b64encode(array("f", value).tobytes()).decode()}
        case Artifact():
            return {"artifact": [value.path, value.size_bytes, value.sha256]}
        case tuple():
            return {"tuple": [_plain(v) for v in value]}
        case _ if hasattr(value, "tolist"):
            return value.tolist()  # a NumPy scalar or array
    return value


def _value(plain: Any) -> Any:
    match plain:
        case {"bytes": text}:
            return base64.b64decode(text)
        case {"vector": text}:
            return array("f", base64.b64decode(text))
        case {"artifact": [path, size_bytes, sha256]}:
            return Artifact(path, size_bytes, sha256)
        case {"tuple": values}:
            return tuple(_value(v) for v in values)
    return plain
