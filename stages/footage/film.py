"""A film: a sequence of shots with cuts, dissolves and fades, whose ground truth is known before drawing."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from stages.footage.camera import UNITS
from stages.footage.shot import Frame, Shot, to_yuv420p
from stages.footage.truth import Cut, ShotTruth, Span, Truth

BLACK, WHITE = 16, 235


@dataclass(frozen=True)
class Transition:
    """How a shot follows the previous one.

    Attributes:
        kind: cut, dissolve, fade_black or fade_white.
        mixed_frames: frames of a dissolve, or of each half of a fade.
        hold_frames: black or white frames between the halves of a fade.
    """

    kind: str = "cut"
    mixed_frames: int = 0
    hold_frames: int = 0


@dataclass(frozen=True)
class Flash:
    """A flash of light in a shot: `frames` bright frames from frame number `frame` of the shot."""

    shot: int
    frame: int
    frames: int = 2


@dataclass(frozen=True)
class Film:
    """What to draw and how to store it.

    Attributes:
        name: name of the film in `FILMS`.
        file: file name.
        shots: the shots in order.
        transitions: `transitions[i]` leads to `shots[i + 1]`; missing ones are cuts.
        flashes: flashes of light in the shots.
        size: width and height as displayed, in pixels.
        render_size: larger size at which frames are drawn before they are downscaled.
        fps: frames per second.
        crf: constant quality of x264.
        rotation_deg: clockwise rotation at display.
        variable_rate: whether the times of the frames are uneven.
        has_audio: whether the film has an audio stream.
        duplicates: (shot, file, shot in that file) for each shot that repeats one of another file.
    """

    name: str
    file: str
    shots: tuple[Shot, ...]
    transitions: tuple[Transition, ...] = ()
    flashes: tuple[Flash, ...] = ()
    size: tuple[int, int] = (640, 360)
    render_size: tuple[int, int] | None = None
    fps: Fraction = Fraction(24)
    crf: int = 24
    rotation_deg: int = 0
    variable_rate: bool = False
    has_audio: bool = False
    duplicates: tuple[tuple[int, str, int], ...] = ()

    def transition(self, shot: int) -> Transition:
        """The transition at the beginning of a shot."""
        return self.transitions[shot - 1] if 0 < shot <= len(self.transitions) else Transition()

    def starts(self) -> list[int]:
        """The first frame of each shot, mixed or not, and at the end the number of frames."""
        out = [0]
        for number, shot in enumerate(self.shots):
            after = self.transition(number + 1)
            out.append(
                out[-1]
                + shot.frames
                - (after.mixed_frames if after.kind == "dissolve" else -after.hold_frames)
            )
        return out

    @property
    def tick_s(self) -> Fraction:
        """The unit of `ticks`, in seconds: a frame, or a third of a frame if the rate varies."""
        return 1 / (self.fps * (3 if self.variable_rate else 1))

    def ticks(self) -> list[int]:
        """The time of each frame. As on a phone, some frames are late, and low light halves the rate."""
        frames = self.starts()[-1]
        if not self.variable_rate:
            return list(range(frames))
        steps = (3, 3, 4, 3, 2, 3, 6, 3, 3, 9, 3, 4, 2, 3)
        gaps = [6 if number % 60 > 44 else steps[number % len(steps)] for number in range(frames)]
        return [sum(gaps[:number]) for number in range(frames)]

    def truth(self) -> Truth:
        """The ground truth of the film."""
        starts, cuts, graduals, shots = self.starts(), [], [], []
        for number, shot in enumerate(self.shots):
            transition, after = self.transition(number), self.transition(number + 1)
            start, end = (
                starts[number] + transition.mixed_frames,
                starts[number] + shot.frames - after.mixed_frames,
            )
            if number and transition.kind == "cut":
                cuts.append(Cut(starts[number], "cut"))
            elif number:
                fade = (
                    transition.hold_frames + transition.mixed_frames if transition.kind != "dissolve" else 0
                )
                graduals.append(Span(starts[number] - fade, start, transition.kind))
            defects = [
                Span(max(start, starts[number] + first), min(end, starts[number] + last), kind)
                for kind, first, last in shot.defects()
            ]
            original = next((link[1:] for link in self.duplicates if link[0] == number), None)
            camera, objects = shot.camera, tuple(moving.kind for moving in shot.objects)
            is_long = (end - start) / self.fps >= 2
            shots.append(
                ShotTruth(
                    start=start,
                    end=end,
                    world="slide" if shot.still else shot.world,
                    motion=camera.motion,
                    amount=camera.amount,
                    unit=UNITS[camera.motion],
                    objects=objects,
                    defects=tuple(defects),
                    duplicate_of=original,
                    good=is_long and not defects and original is None,
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
        """Spans that look like a boundary but are none, in order."""
        starts, found = self.starts(), []
        for flash in self.flashes:
            first = starts[flash.shot] + flash.frame
            found.append(Span(first, first + flash.frames, "flash"))
        for start, shot in zip(starts, self.shots, strict=False):
            found += [Span(start + line.start, start + line.end, "overlay") for line in shot.subtitles]
        yield from sorted(found, key=lambda span: span.start)

    def draw(self, seed: int) -> Iterator[Frame]:
        """All frames of `size`, in order."""
        starts, ticks = self.starts(), self.ticks()
        bright = {
            starts[f.shot] + f.frame + k: 0.85 - 0.45 * k / f.frames
            for f in self.flashes
            for k in range(f.frames)
        }
        width, height = self.size
        for number, frame in enumerate(self.join_shots(seed, starts, ticks)):
            if self.render_size:
                frame = downscale(frame, width, height)
            yield (
                blend_frames(frame, solid_frame(frame, WHITE), bright[number]) if number in bright else frame
            )

    def join_shots(self, seed: int, starts: list[int], ticks: list[int]) -> Iterator[Frame]:
        """The frames of all shots with their transitions."""
        held: list[Frame] = []
        for number, shot in enumerate(self.shots):
            transition, after = self.transition(number), self.transition(number + 1)
            own = ticks[starts[number] :][: shot.frames]
            times = [float((tick - own[0]) * self.tick_s) for tick in own]
            clean_end = shot.frames - after.mixed_frames
            outgoing, held = held, []
            for index, frame in enumerate(shot.draw(self.render_size or self.size, times, seed)):
                if index < transition.mixed_frames:
                    under = (
                        outgoing[index]
                        if transition.kind == "dissolve"
                        else solid_frame(frame, _fade_luma(transition))
                    )
                    frame = blend_frames(under, frame, (index + 1) / (transition.mixed_frames + 1))
                if index < clean_end:
                    yield frame
                elif after.kind == "dissolve":
                    held.append(frame)
                else:
                    yield blend_frames(
                        frame,
                        solid_frame(frame, _fade_luma(after)),
                        (index - clean_end + 1) / (after.mixed_frames + 1),
                    )
                    if index == shot.frames - 1:
                        yield from [solid_frame(frame, _fade_luma(after))] * after.hold_frames


def _fade_luma(transition: Transition) -> int:
    return WHITE if transition.kind == "fade_white" else BLACK


def solid_frame(template: Frame, luma: int) -> Frame:
    """A gray frame of a luma, of the size of another frame."""
    out = np.full_like(template, 128)
    out[: template.shape[0] * 2 // 3] = luma
    return out


def blend_frames(under: Frame, over: Frame, share: float) -> Frame:
    """The weighted mean of two frames; `share` is the weight of the second."""
    import cv2

    return cv2.addWeighted(under, 1 - share, over, share, 0)


def downscale(frame: Frame, width: int, height: int) -> Frame:
    """The frame, scaled down."""
    import cv2

    image = cv2.cvtColor(frame, cv2.COLOR_YUV2BGR_I420)
    return to_yuv420p(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
