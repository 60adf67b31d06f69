"""Reads the packets of a video in the order of the file, repairs their times, and decodes them."""

import math
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, cast

from stages.media.decoding.quantizer import jpeg_quantizer_step
from stages.media.packets.clock import Clock
from stages.media.packets.damage import DamageDetector, MissingData

if TYPE_CHECKING:
    import av
    from av import VideoStream


class PacketReader:
    """Decodes the packets that follow the position of a container.

    Attributes:
        packets: Number of packets of the video that were read and lie in the counted span.
        ends: End of the last packet of each stream, in ticks of the stream.
        quantizer_step: Quantizer step of the last frame by its packet: Motion JPEG alone states it, else NaN.
    """

    def __init__(
        self,
        uri: str,
        container: "av.container.InputContainer",
        stream: "VideoStream",
        clock: Clock | None,
        counted_span: tuple[int | None, int | None] = (None, None),
    ) -> None:
        """
        Args:
            uri: Path or URL of the file.
            container: The open container.
            stream: Its video stream.
            clock: Repairs the times of the packets; None leaves them as they are.
            counted_span: First tick, and tick after the last one, of the packets that are counted.
        """
        self._container, self._stream, self._clock = container, stream, clock
        self._first, self._after = counted_span
        self._detector = DamageDetector(uri, container, stream)
        self.packets = 0
        self.ends: dict[int, int] = {}
        self._is_avi = container.format.name == "avi"
        self._decode_times: deque[int] = deque()  # of the packets whose frame is not decoded yet
        self._first_time: int | None = None
        self.quantizer_step = math.nan
        self._steps: dict[int | None, float] = {}  # of packets whose frames are not decoded yet, by pts

    def frames(self, skipped: int = 0) -> Iterator["av.VideoFrame"]:
        """Yield the frames.

        Args:
            skipped: Number of packets of the video that are read but not decoded.

        Raises:
            MissingData: Data is missing between two frames. At the end of the file or before a jump of the
                clock, the frames that lack data are left out.
            av.error.FFmpegError: Decoding failed.
        """
        has_key_frame, lacks_data = False, False
        is_jpeg = self._stream.codec_context.name == "mjpeg"
        for packet, jumps, decodable in self._packets(skipped):
            decoded: list[av.VideoFrame] = []
            if jumps:
                decoded += self._stream.codec_context.decode(None)
                self._stream.codec_context.flush_buffers()
            boundary = len(decoded) if jumps else -1
            if is_jpeg and packet.size:
                self._steps[packet.pts] = jpeg_quantizer_step(bytes(packet))
            if decodable:
                decoded += packet.decode()
            for number, frame in enumerate(decoded):
                self.quantizer_step = self._steps.pop(frame.pts, math.nan)
                lacks_data = lacks_data and number != boundary
                if frame.is_corrupt and has_key_frame:
                    lacks_data = True
                    continue
                if lacks_data:
                    raise MissingData("frames lack data")
                has_key_frame = has_key_frame or bool(frame.key_frame)
                yield frame
            lacks_data = lacks_data and boundary != len(decoded)

    def repeated_ticks(self, number: int, step: Fraction) -> int:
        """Return for how many ticks frames before this one were repeated: in AVI, by chunks without content.

        The demuxer leaves these chunks out but counts them in the decode times. Call it for each frame.
        """
        if not self._decode_times:
            return 0
        time = self._decode_times.popleft()
        self._first_time = time if self._first_time is None else self._first_time
        return max(0, time - self._first_time - round(number * step))

    def _packets(self, skipped: int) -> Iterator[tuple["av.Packet[VideoStream]", bool, bool]]:
        """Yield the packets of the video; for each, whether its clock jumps and whether it can be decoded."""
        for packet in self._container.demux():
            damage = self._detector.check_packet(packet)
            is_empty = not packet.size and packet.dts is not None  # the decoder would take it for the end
            if packet.stream is self._stream and not is_empty:
                early = self._first is not None and packet.pts is not None and packet.pts < self._first
                late = self._after is not None and packet.pts is not None and packet.pts >= self._after
                self.packets += not early and not late
                if self._is_avi and packet.size:
                    self._decode_times.append(packet.dts or 0)
                video_packet = cast("av.Packet[VideoStream]", packet)
                jumps, decodable = self._clock.update(video_packet) if self._clock else (False, True)
                if jumps:
                    self._detector.start_recording()
                skipped -= 1
                if skipped < 0:
                    if damage and not jumps:
                        raise MissingData(damage)
                    yield video_packet, jumps, decodable
            if packet.pts is not None:
                end, number = packet.pts + (packet.duration or 0), packet.stream_index
                if end > self.ends.get(number, 0):
                    self.ends[number] = end


def packets_before(
    container: "av.container.InputContainer", stream: "VideoStream", clock: Clock, pts: int
) -> int:
    """Return the number of packets before the last key frame at or before `pts`, without decoding.

    Args:
        container: The container, at its beginning.
        stream: The video stream.
        clock: The clock of the stream, which decides the time of each packet.
        pts: Presentation time in repaired ticks.
    """
    before = packets = 0
    for packet in container.demux(stream):
        _, decodable = clock.update(packet)
        if decodable and packet.is_keyframe and packet.pts is not None:
            if packet.pts > pts:
                break
            before = packets
        packets += bool(packet.size or packet.dts is None)
    return before
