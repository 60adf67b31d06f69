"""Makes an animated WebP of each clip from the stills that the scan stored, so no video is decoded."""

import io
from collections.abc import Iterator, Sequence
from typing import Annotated

from manifests import Artifact, PositiveFloat, PositiveInt, Range, Row, column
from pipeline import Annotate, Needs, Reject
from stages.media.strip import CroppedStills, decode_still, read_strip


class ClipStills(CroppedStills):
    strip: Artifact
    strip_times_s: tuple[float, ...]
    strip_offsets: tuple[int, ...]
    start_s: float
    end_s: float


class Preview(Row):
    preview: Artifact = column("animated WebP of stills of the clip, which repeats forever")


class PreviewClip(Annotate[ClipStills, Preview]):
    """Makes a small animated WebP of each clip, from evenly spread stills of the strip.

    A clip without a still in its span is rejected. Equal stills and settings give equal bytes.

    Attributes:
        preview_px: Longer side of the preview in pixels, never enlarged. Higher values make larger files.
        max_frames: Largest number of frames of a preview. Higher values make larger files.
        frames_per_s: Frames that are shown per second. The scan stores two stills per second, so 4 plays a
            short clip at twice its speed. Higher values play faster.
        quality: Quality of the WebP images, 0 to 100. Higher values make larger files.
    """

    preview_px: PositiveInt = 256
    max_frames: PositiveInt = 16
    frames_per_s: PositiveFloat = 4.0
    quality: Annotated[int, Range(0, 100)] = 60

    needs = Needs(cpus=1, memory_gb=1, batch=8)

    def annotate(self, rows: Sequence[ClipStills]) -> Iterator[Preview | Reject]:
        for row in rows:
            data = self._webp(row)
            if data is None:
                yield Reject("too short for a preview: the clip has no still")
            else:
                yield Preview(preview=Artifact.of(data, ".webp"))

    def _webp(self, row: ClipStills) -> bytes | None:
        from PIL import Image

        images = []
        for still in read_strip(row, row.start_s, row.end_s, self.max_frames):
            image = Image.fromarray(decode_still(still))
            image.thumbnail((self.preview_px, self.preview_px))
            images.append(image)
        if not images:
            return None
        out = io.BytesIO()
        duration_ms = max(1, round(1000 / self.frames_per_s))
        images[0].save(
            out, "WEBP", save_all=True, append_images=images[1:], duration=duration_ms, loop=0,
            quality=self.quality, method=2,
        )  # fmt: skip
        return out.getvalue()
