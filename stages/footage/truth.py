"""What is known about a film, its boundaries, its shots and their faults: read from NAME.json.

All frame numbers count decoded frames from 0 in the order shown; spans are half open. The JSON of a film:

    video       file name; NAME.json stands beside it
    frames, fps ("25", "30000/1001"), size ([width, height] as shown, in pixels)
    cuts        [{frame, kind}]              first frame of the new shot; kind cut | jump
    graduals    [{start, end, kind}]         first mixed frame, first clean one;
                                             kind dissolve | fade_black | fade_white | wipe
    negatives   [{frame, len, kind}]         no boundaries: flash | overlay (words that come and go)
    ignore      [[first, last]]              where a boundary is neither right nor wrong
    shots       [{start, end, world, camera: {motion, amount, unit}, objects: [kind], good,
                  defects: [{kind, start, end}], duplicate_of: {video, shot} or null}]
    rotation_deg    clockwise turn of the stored picture that shows it upright
    variable_rate, has_audio
    times_s     only where the rate varies: when each frame is shown, seconds from the first
    reject      null, or why no decoder can read the file: truncated | empty | not a video

`shots` holds clean frames only; mixed ones belong to no shot. `good` says: at least 2 s, without a defect,
and no duplicate of another. Other films' truths may leave out all but video, frames, cuts, graduals and
negatives, and write a shot as [start, end, source, …].
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FLAWS = ("still", "dark", "blurred", "frozen", "letterboxed", "subtitles", "logo", "shake")


@dataclass(frozen=True)
class Cut:
    """A boundary between two frames: the first frame of the new shot."""

    frame: int
    kind: str


@dataclass(frozen=True)
class Span:
    """Frames from `start` up to but not including `end` that show a transition or a defect of that kind."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True)
class ShotTruth:
    """The clean frames of one shot and what they show. `amount` is in the words of `unit`."""

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
    """Everything known about one film."""

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
    """The truths in a folder, by file name of the video; other JSON files there are passed over.

    Raises OSError when the folder cannot be read, and ValueError naming the file that is not such a truth.
    """
    out: dict[str, Truth] = {}
    for path in sorted(Path(folder).glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(record, dict) and "video" in record and "frames" in record:
                truth = truth_of(record)
                out[truth.video] = truth
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not the truth of a film: {error!r}") from error
    return out


def truth_of(record: dict[str, Any]) -> Truth:
    """The truth in one JSON object."""
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


def text_of(truth: Truth) -> str:
    """The JSON text of a truth."""
    record: dict[str, Any] = asdict(truth)
    record["negatives"] = [
        {"frame": n.start, "len": n.end - n.start, "kind": n.kind} for n in truth.negatives
    ]
    for shot, plain in zip(truth.shots, record["shots"], strict=True):
        plain["camera"] = {key: plain.pop(key) for key in ("motion", "amount", "unit")}
        twin = shot.duplicate_of
        plain["duplicate_of"] = {"video": twin[0], "shot": twin[1]} if twin else None
    if not truth.times_s:
        del record["times_s"]
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def _spans(records: Iterable[dict[str, Any]]) -> tuple[Span, ...]:
    return tuple(Span(record["start"], record["end"], record["kind"]) for record in records)


def _shot(record: dict[str, Any] | list[Any]) -> ShotTruth:
    if isinstance(record, list):
        return ShotTruth(record[0], record[1], world=str(record[2]))
    twin, camera = record.get("duplicate_of"), record.get("camera", {})
    return ShotTruth(
        start=record["start"],
        end=record["end"],
        world=record.get("world", ""),
        motion=camera.get("motion", ""),
        amount=camera.get("amount", 0.0),
        unit=camera.get("unit", ""),
        objects=tuple(record.get("objects", ())),
        defects=_spans(record.get("defects", ())),
        duplicate_of=(twin["video"], twin["shot"]) if twin else None,
        good=record.get("good", False),
    )
