"""A film: shots in a row, joined by cuts, dissolves and fades; it knows its truth before a frame is drawn."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from stages.footage.camera import UNITS
from stages.footage.shot import Frame, Shot, planes
from stages.footage.truth import Cut, ShotTruth, Span, Truth

BLACK, WHITE = 16, 235


@dataclass(frozen=True)
class Join:
    """How a shot follows the one before it.

    `mixed`: frames of a dissolve, or of each half of a fade; `hold`: plain frames between the halves.
    """

    kind: str = "cut"
    mixed: int = 0
    hold: int = 0


@dataclass(frozen=True)
class Flash:
    """A lamp that goes off in a shot: `frames` bright frames from `frame` (counted from the shot's first)."""

    shot: int
    frame: int
    frames: int = 2


@dataclass(frozen=True)
class Film:
    """What to draw and how to store it.

    `joins[i]` leads to `shots[i + 1]`; missing ones are cuts. `size` is width and height as shown, `drawn`
    the larger size at which the pictures are made before they are shrunk. `twins` says which shot equals
    which shot of another file.
    """

    name: str
    file: str
    shots: tuple[Shot, ...]
    joins: tuple[Join, ...] = ()
    flashes: tuple[Flash, ...] = ()
    size: tuple[int, int] = (640, 360)
    drawn: tuple[int, int] | None = None
    fps: Fraction = Fraction(24)
    crf: int = 24
    rotation_deg: int = 0
    variable_rate: bool = False
    has_audio: bool = False
    twins: tuple[tuple[int, str, int], ...] = ()

    def join(self, shot: int) -> Join:
        """How that shot begins."""
        return self.joins[shot - 1] if 0 < shot <= len(self.joins) else Join()

    def starts(self) -> list[int]:
        """Where each shot's own first frame stands, mixed or not; and, last, the number of frames."""
        out = [0]
        for number, shot in enumerate(self.shots):
            after = self.join(number + 1)
            out.append(out[-1] + shot.frames - (after.mixed if after.kind == "dissolve" else -after.hold))
        return out

    @property
    def tick_s(self) -> Fraction:
        """The unit of `ticks`, in seconds: a frame, or a third of one where the rate varies."""
        return 1 / (self.fps * (3 if self.variable_rate else 1))

    def ticks(self) -> list[int]:
        """When each frame is shown: as telephones film, some late, and half as many in poor light."""
        frames = self.starts()[-1]
        if not self.variable_rate:
            return list(range(frames))
        steps = (3, 3, 4, 3, 2, 3, 6, 3, 3, 9, 3, 4, 2, 3)
        gaps = [6 if number % 60 > 44 else steps[number % len(steps)] for number in range(frames)]
        return [sum(gaps[:number]) for number in range(frames)]

    def truth(self) -> Truth:
        """What is known about the film."""
        starts, cuts, graduals, shots = self.starts(), [], [], []
        for number, shot in enumerate(self.shots):
            join, after = self.join(number), self.join(number + 1)
            start, end = starts[number] + join.mixed, starts[number] + shot.frames - after.mixed
            if number and join.kind == "cut":
                cuts.append(Cut(starts[number], "cut"))
            elif number:
                fade = join.hold + join.mixed if join.kind != "dissolve" else 0
                graduals.append(Span(starts[number] - fade, start, join.kind))
            defects = [
                Span(max(start, starts[number] + first), min(end, starts[number] + last), kind)
                for kind, first, last in shot.defects()
            ]
            twin = next((link[1:] for link in self.twins if link[0] == number), None)
            motion, things = shot.camera, tuple(thing.kind for thing in shot.things)
            long = (end - start) / self.fps >= 2
            shots.append(
                ShotTruth(
                    start=start,
                    end=end,
                    world="slide" if shot.still else shot.world,
                    motion=motion.motion,
                    amount=motion.amount,
                    unit=UNITS[motion.motion],
                    objects=things,
                    defects=tuple(defects),
                    duplicate_of=twin,
                    good=long and not defects and twin is None,
                )
            )
        return Truth(
            video=self.file,
            frames=starts[-1],
            fps=str(self.fps),
            size=self.size,
            cuts=tuple(cuts),
            graduals=tuple(graduals),
            negatives=tuple(self.negatives()),
            shots=tuple(shots),
            rotation_deg=self.rotation_deg,
            variable_rate=self.variable_rate,
            has_audio=self.has_audio,
            times_s=tuple(round(float(t * self.tick_s), 6) for t in self.ticks())
            if self.variable_rate
            else (),
        )

    def negatives(self) -> Iterator[Span]:
        """What looks like a boundary and is none, in order of the film."""
        starts, found = self.starts(), []
        for flash in self.flashes:
            first = starts[flash.shot] + flash.frame
            found.append(Span(first, first + flash.frames, "flash"))
        for start, shot in zip(starts, self.shots, strict=False):
            found += [Span(start + line.start, start + line.end, "overlay") for line in shot.lines]
        yield from sorted(found, key=lambda span: span.start)

    def draw(self, seed: int) -> Iterator[Frame]:
        """All frames, in order, for pictures of `size`."""
        starts, ticks = self.starts(), self.ticks()
        bright = {
            starts[f.shot] + f.frame + k: 0.85 - 0.45 * k / f.frames
            for f in self.flashes
            for k in range(f.frames)
        }
        width, height = self.size
        for number, frame in enumerate(self.joined(seed, starts, ticks)):
            if self.drawn:
                frame = shrink(frame, width, height)
            yield mix(frame, plain(frame, WHITE), bright[number]) if number in bright else frame

    def joined(self, seed: int, starts: list[int], ticks: list[int]) -> Iterator[Frame]:
        """The frames of all shots, each handed over to the next in its own way."""
        held: list[Frame] = []
        for number, shot in enumerate(self.shots):
            join, after = self.join(number), self.join(number + 1)
            own = ticks[starts[number] :][: shot.frames]
            times = [float((tick - own[0]) * self.tick_s) for tick in own]
            rest = shot.frames - after.mixed
            left, held = held, []
            for index, frame in enumerate(shot.draw(self.drawn or self.size, times, seed)):
                if index < join.mixed:
                    under = left[index] if join.kind == "dissolve" else plain(frame, _ground(join))
                    frame = mix(under, frame, (index + 1) / (join.mixed + 1))
                if index < rest:
                    yield frame
                elif after.kind == "dissolve":
                    held.append(frame)
                else:
                    yield mix(frame, plain(frame, _ground(after)), (index - rest + 1) / (after.mixed + 1))
                    if index == shot.frames - 1:
                        yield from [plain(frame, _ground(after))] * after.hold


def _ground(join: Join) -> int:
    return WHITE if join.kind == "fade_white" else BLACK


def plain(like: Frame, luma: int) -> Frame:
    """A grey frame of that luma, as large as another."""
    out = np.full_like(like, 128)
    out[: like.shape[0] * 2 // 3] = luma
    return out


def mix(under: Frame, over: Frame, share: float) -> Frame:
    """Two frames laid over each other; `share` is the weight of the second."""
    import cv2

    return cv2.addWeighted(under, 1 - share, over, share, 0)


def shrink(frame: Frame, width: int, height: int) -> Frame:
    """The frame at a smaller size."""
    import cv2

    picture = cv2.cvtColor(frame, cv2.COLOR_YUV2BGR_I420)
    return planes(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))
