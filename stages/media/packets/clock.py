"""Joins the clocks of a file: packets after a jump of the clock get times that continue the times before it.

Recordings that were put one after the other, a clock that wraps and a clock that was set anew make the times
of a file run backwards or leap ahead. Each jump begins a segment. The times of a segment are shifted, so that
it follows the segment before it without a gap. The shift depends only on the packets up to the jump, in the
order of the file, so each pass over the file computes the same times.
"""

from collections import deque
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import av
    from av import VideoStream

    VideoPacket = av.Packet[VideoStream]

RESTARTING = {"mpegts", "mpeg", "flv", "live_flv", "ogg"}  # containers whose clock may be set anew in a file
MAX_STEP_BACK_S = 0.5  # seconds; decode times that run back less are single wrong times, and not a new clock
MAX_STEP_AHEAD_S = 10.0  # seconds; as FFmpeg: a longer jump in a transport stream is another clock
MAX_HELD_S = 60.0  # seconds; a frame that is shown for longer is the last one of a shot
CADENCES = 10  # a gap is a jump if it is also this many times as long as the gap before it


class Clock:
    """The times of the packets of a stream, with a shift from each jump on.

    Attributes:
        is_joined: Whether the times of a packet were shifted.
    """

    def __init__(self, time_base: Fraction, step_ticks: int, restarts: bool) -> None:
        """
        Args:
            time_base: Length of a tick in seconds.
            step_ticks: Expected time between two frames.
            restarts: Whether the clock of the container may be set anew within a file, so that a jump ahead
                is not a frame that is shown for long.
        """
        self._step, self._ticks_per_s = step_ticks, float(1 / time_base)
        self._restarts = restarts
        self._offset, self._end = 0, 0
        self._start: int | None = None  # of the segment, if it is not the first
        self._last: int | None = None  # decode time of the packet before
        self._gap = step_ticks
        self._waits = False  # for a key frame
        self._starts: deque[int] = deque()  # of the segments whose first frame is not decoded yet
        self.is_joined = False

    def update(self, packet: "VideoPacket") -> tuple[bool, bool]:
        """Shift the times of the next packet of the file.

        Returns:
            Whether the packet is the first after a jump, and whether it can be decoded. After a jump, packets
            before the next key frame and frames shown before it depend on frames that are not in the file.
        """
        time = packet.dts
        if time is None:  # presentation times are not in order, so they show no jump
            packet.pts = None if packet.pts is None else packet.pts + self._offset
            return False, not self._waits
        jumps = self._last is not None and self._is_jump(time + self._offset - self._last, packet)
        if jumps:
            self._waits, self._last, self._gap = True, None, self._step
        if self._waits:
            if not packet.is_keyframe:
                return jumps, False
            self._offset = self._end - (time if packet.pts is None else packet.pts)
            self._waits, self._start, self.is_joined = False, self._end, True
            self._starts.append(self._end)
        time += self._offset
        if self._last is not None:
            self._gap = max(1, time - self._last)
        self._last = time
        if self._offset:
            packet.pts = None if packet.pts is None else packet.pts + self._offset
            packet.dts = time
        shown = time if packet.pts is None else packet.pts
        duration = packet.duration or self._step
        end = shown + (self._step if self.is_gap(duration, self._gap) else duration)
        self._end = end if self._start is None and not self._end else max(self._end, end)
        return jumps, self._start is None or shown >= self._start

    def begins_segment(self, pts: int) -> bool:
        """Return whether the frame at `pts`, shifted, is the first one after a jump. Call it in order."""
        begins = False
        while self._starts and pts >= self._starts[0]:
            self._starts.popleft()
            begins = True
        return begins

    def _is_jump(self, step: int, packet: "VideoPacket") -> bool:
        max_back = 0 if packet.is_keyframe else MAX_STEP_BACK_S * self._ticks_per_s
        return step < -max_back or (self._restarts and self.is_gap(step, self._gap, MAX_STEP_AHEAD_S))

    def is_gap(self, ticks: int, before: int, limit_s: float = MAX_HELD_S) -> bool:
        """Return whether a time between two frames is a jump.

        Args:
            ticks: The time.
            before: The time between the two frames before them.
            limit_s: Longest time in seconds that is not a jump.
        """
        return ticks > max(limit_s * self._ticks_per_s, CADENCES * max(before, self._step))
