"""Packing: what a column may hold comes back as it went in; NumPy's numbers come back as Python's."""

import json
from array import array

import numpy as np
import pytest

from manifests import Artifact, Row, Vector
from pipeline.row_json import from_json, round_trip, to_json


class Plain(Row):
    text: str
    number: float
    flags: tuple[bool, ...]
    data: bytes | None
    vector: Vector


ROW = Plain(text="caf\udcff", number=0.1, flags=(True, False), data=b"\x00\xff", vector=array("f", [0.5]))


def test_a_record_comes_back_as_it_went_in() -> None:
    record = vars(ROW) | {"file": Artifact("a/b", 3, "00")}
    assert from_json(json.loads(json.dumps(to_json(record)))) == record


def test_a_row_is_carried_as_python_sees_it() -> None:
    single = Plain(**{**vars(ROW), "number": np.float32(0.1), "flags": (np.bool_(True), False)})
    again = round_trip(single)
    assert type(again.number) is float
    assert again.number == float(np.float32(0.1))
    assert again.flags == (True, False)
    assert all(type(flag) is bool for flag in again.flags)


def test_a_pending_file_stays_at_hand() -> None:
    class Filed(Row):
        file: Artifact

    assert round_trip(Filed(file=Artifact.of(b"abc", ".txt"))).file.read() == b"abc"


def test_what_no_column_holds_is_refused() -> None:
    with pytest.raises(TypeError):
        round_trip(Plain(**{**vars(ROW), "text": object()}))
