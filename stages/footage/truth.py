"""The ground truth of a film in NAME.json: its boundaries, shots and defects.

Frame numbers count decoded frames from 0 in display order. Ends of spans are exclusive. The JSON of a film:

    video       file name; NAME.json is in the same folder
    frames, fps ("25", "30000/1001"), size ([width, height] as displayed, in pixels)
    cuts        [{frame, kind}]              first frame of the new shot; kind cut | jump
    graduals    [{start, end, kind}]         first mixed frame, first clean frame;
                                             kind dissolve | fade_black | fade_white | wipe
    negatives   [{frame, len, kind}]         not a boundary: flash | overlay (text that comes and goes)
    ignore      [[first, last]]              frames where a boundary is neither right nor wrong
    shots       [{start, end, world, camera: {motion, amount, unit}, objects: [kind], good,
                  defects: [{kind, start, end}], duplicate_of: {video, shot} or null}]
    rotation_deg    clockwise rotation of the stored image at display
    variable_rate, has_audio
    times_s     only if the rate varies: time of each frame, seconds from the first
    reject      null, or why no decoder can read the file: truncated | empty | not a video

`shots` holds clean frames only; mixed frames belong to no shot. A shot is `good` if it lasts at least 2 s,
has no defect and is not a duplicate. The ground truth of other films may leave out all keys but video,
frames, cuts, graduals and negatives, and may write a shot as [start, end, source, …].
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Cut:
    """A boundary between two frames; `frame` is the first frame of the new shot."""

    frame: int
    kind: str


@dataclass(frozen=True)
class Span:
    """Frames from `start` up to but not including `end` with a transition or a defect of a kind."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True)
class ShotTruth:
    """The clean frames of one shot and their content. `unit` is the unit of `amount`."""

    start: int
    end: int
    world: str = ""
    motion: str = ""
    amount: float = 0.0
    unit: str = ""
    objects: tuple[str, ...] = ()
    defects: tuple[Span, ...] = ()
    duplicate_of: tuple[str, int] | None = None
    good: bool = False


@dataclass(frozen=True)
class Truth:
    """The ground truth of one film; the module lists the meaning of each field."""

    video: str
    frames: int
    fps: str = ""
    size: tuple[int, int] = (0, 0)
    cuts: tuple[Cut, ...] = ()
    graduals: tuple[Span, ...] = ()
    negatives: tuple[Span, ...] = ()
    ignore: tuple[tuple[int, int], ...] = ()
    shots: tuple[ShotTruth, ...] = ()
    rotation_deg: int = 0
    variable_rate: bool = False
    has_audio: bool = False
    times_s: tuple[float, ...] = field(default=(), repr=False)
    reject: str | None = None


def read_truth(folder: Path | str) -> dict[str, Truth]:
    """The ground truth of the films in a folder, by file name. Other JSON files are ignored.

    Raises:
        OSError: the folder cannot be read.
        ValueError: a file has the keys of a ground truth but is not valid.
    """
    truths: dict[str, Truth] = {}
    for path in sorted(Path(folder).glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(record, dict) and "video" in record and "frames" in record:
                truth = parse_truth(record)
                truths[truth.video] = truth
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a valid ground truth of a film: {error!r}") from error
    return truths


def parse_truth(record: dict[str, Any]) -> Truth:
    """The ground truth in one JSON object."""
    return Truth(
        video=record["video"],
        frames=record["frames"],
        fps=record.get("fps", ""),
        size=tuple(record.get("size", (0, 0))),
        cuts=tuple(Cut(cut["frame"], cut["kind"]) for cut in record.get("cuts", ())),
        graduals=_spans(record.get("graduals", ())),
        negatives=tuple(
            Span(n["frame"], n["frame"] + n["len"], n["kind"]) for n in record.get("negatives", ())
        ),
        ignore=tuple((first, last) for first, last in record.get("ignore", ())),
        shots=tuple(_shot(shot) for shot in record.get("shots", ())),
        rotation_deg=record.get("rotation_deg", 0),
        variable_rate=record.get("variable_rate", False),
        has_audio=record.get("has_audio", False),
        times_s=tuple(record.get("times_s", ())),
        reject=record.get("reject"),
    )


def to_json(truth: Truth) -> str:
    """The JSON text of a ground truth."""
    record: dict[str, Any] = asdict(truth)
    record["negatives"] = [
        {"frame": n.start, "len": n.end - n.start, "kind": n.kind} for n in truth.negatives
    ]
    for shot, shot_record in zip(truth.shots, record["shots"], strict=True):
        shot_record["camera"] = {key: shot_record.pop(key) for key in ("motion", "amount", "unit")}
        original = shot.duplicate_of
        shot_record["duplicate_of"] = {"video": original[0], "shot": original[1]} if original else None
    if not truth.times_s:
        del record["times_s"]
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def _spans(records: Iterable[dict[str, Any]]) -> tuple[Span, ...]:
    return tuple(Span(record["start"], record["end"], record["kind"]) for record in records)


def _shot(record: dict[str, Any] | list[Any]) -> ShotTruth:
    if isinstance(record, list):
        return ShotTruth(record[0], record[1], world=str(record[2]))
    original, camera = record.get("duplicate_of"), record.get("camera", {})
    return ShotTruth(
        start=record["start"],
        end=record["end"],
        world=record.get("world", ""),
        motion=camera.get("motion", ""),
        amount=camera.get("amount", 0.0),
        unit=camera.get("unit", ""),
        objects=tuple(record.get("objects", ())),
        defects=_spans(record.get("defects", ())),
        duplicate_of=(original["video"], original["shot"]) if original else None,
        good=record.get("good", False),
    )
