"""Rows as JSON: the values of every column type survive a round trip; NumPy scalars become Python numbers."""

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


def test_a_record_survives_a_round_trip() -> None:
    record = vars(ROW) | {"file": Artifact("a/b", 3, "00")}
    assert from_json(json.loads(json.dumps(to_json(record)))) == record


def test_numpy_scalars_become_python_numbers() -> None:
    single = Plain(**{**vars(ROW), "number": np.float32(0.1), "flags": (np.bool_(True), False)})
    again = round_trip(single)
    assert type(again.number) is float
    assert again.number == float(np.float32(0.1))
    assert again.flags == (True, False)
    assert all(type(flag) is bool for flag in again.flags)


def test_an_unsaved_artifact_can_still_be_read() -> None:
    class WithFile(Row):
        file: Artifact

    assert round_trip(WithFile(file=Artifact.of(b"abc", ".txt"))).file.read() == b"abc"


def test_a_value_that_no_column_may_have_raises() -> None:
    with pytest.raises(TypeError):
        round_trip(Plain(**{**vars(ROW), "text": object()}))
