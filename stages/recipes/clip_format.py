"""The format of cut clips and their buckets: size, frame rate, codec, audio, preview."""

from dataclasses import dataclass

from manifests import NonNegativeFloat, NonNegativeInt, PositiveInt
from pipeline import Rows
from stages.media.encoding.encoders import check_choice
from stages.shards.bucket import ASPECT_RATIOS, ASPECT_TOLERANCE, BUCKET_FRAMES, RESOLUTIONS
from stages.shards.cut_clip import CutClip
from stages.shards.pack_shards import PackShards
from stages.shards.preview_clip import PreviewClip

_ENCODERS = {"h264": "x264", "hevc": "x265", "h264_nvenc": "nvenc", "copy": "x264"}
PREVIEWS = ("webp", "none")


@dataclass(frozen=True)
class ClipFormat:
    """The format of clips and their buckets. A recipe's argument of this type stands for all these knobs.

    Clips are never enlarged.

    Attributes:
        clip_height: Largest height of a clip in px; 0 sets no limit. The width follows. With clip_width,
            clips are cropped around their center to exactly this size. Higher makes larger files.
        clip_width: Largest width of a clip in px; 0 sets no limit. The height follows. Higher makes larger
            files.
        clip_short_side: Largest short side of a clip in px, for landscape and portrait alike; 0 sets no
            limit. Higher makes larger files.
        clip_fps: Frame rate of the clips in frames per second; 0 keeps that of the source. Higher makes
            larger files.
        clip_constant_fps: Whether frames of a source with a varying rate get even times. false: with
            clip_fps=0, each frame keeps its time.
        clip_codec: Video codec: h264 (x264), hevc (x265), h264_nvenc (on a GPU), or copy: the packets of
            the source where that is exact, otherwise h264. HDR that is kept is hevc.
        clip_preset: Preset of the encoder, from ultrafast to veryslow. A slower one makes smaller files.
        clip_audio: Audio of the clips: none, aac, opus, or copy (the packets of the source).
        clip_audio_bit_rate: Bit rate of encoded audio in bits per second. Higher makes larger files.
        clip_to_bucket: How clips are sized to their bucket: none; shrink (they get its short side) or crop
            (they get exactly its size, cropped around their center, so that a batch can be stacked).
        resolutions: Short sides of buckets in px. A clip is in the bucket of the largest that it reaches,
            or in "small". More make more buckets.
        aspect_ratios: Aspect ratios of buckets, such as 1:1,16:9. A clip is in the bucket of the nearest.
            More make more buckets.
        aspect_tolerance: Largest difference to the aspect ratio of a bucket, as a share, 0 or more. Clips
            that differ more are in the bucket "other", and are not cropped. Higher puts fewer clips there.
        bucket_frames: Numbers of frames at which buckets begin, at the trainer's frame rate, ascending.
            More make more buckets.
        preview: Preview of each clip for the report: webp (a small animation of its stills), or none.
    """

    clip_height: NonNegativeInt = 0
    clip_width: NonNegativeInt = 0
    clip_short_side: NonNegativeInt = 0
    clip_fps: NonNegativeFloat = 0.0
    clip_constant_fps: bool = True
    clip_codec: str = "h264"
    clip_preset: str = CutClip.preset
    clip_audio: str = "none"
    clip_audio_bit_rate: PositiveInt = CutClip.audio_bits_per_s
    clip_to_bucket: str = "none"
    resolutions: tuple[PositiveInt, ...] = RESOLUTIONS
    aspect_ratios: tuple[str, ...] = ASPECT_RATIOS
    aspect_tolerance: NonNegativeFloat = ASPECT_TOLERANCE
    bucket_frames: tuple[PositiveInt, ...] = BUCKET_FRAMES
    preview: str = "webp"


def cut_clips(clips: Rows, clip_format: ClipFormat, crf: int, hdr: str) -> Rows:
    """Add the steps that cut clips, and that make their previews."""
    check_choice(clip_format.clip_codec, _ENCODERS, "clip_codec")
    check_choice(clip_format.preview, PREVIEWS, "preview")
    cut = CutClip(
        crf=crf,
        hdr=hdr,
        preset=clip_format.clip_preset,
        encoder=_ENCODERS[clip_format.clip_codec],
        copy_packets=clip_format.clip_codec == "copy",
        width_px=clip_format.clip_width,
        height_px=clip_format.clip_height,
        max_short_side_px=clip_format.clip_short_side,
        to_bucket=clip_format.clip_to_bucket,
        resolutions=clip_format.resolutions,
        aspect_ratios=clip_format.aspect_ratios,
        aspect_tolerance=clip_format.aspect_tolerance,
        fps=clip_format.clip_fps,
        constant_frame_rate=clip_format.clip_constant_fps,
        audio=clip_format.clip_audio,
        audio_bits_per_s=clip_format.clip_audio_bit_rate,
    )
    return clips.annotate(cut, *((PreviewClip(),) if clip_format.preview == "webp" else ()))


def pack_clips(clips: Rows, clip_format: ClipFormat, min_frames: int, fps: float, shard_mb: int) -> Rows:
    """Add the step that packs clips into shards. Shorter clips than `min_frames` at `fps` are rejected."""
    pack = PackShards(
        shard_bytes=shard_mb * 2**20,
        fps=fps,
        resolutions=clip_format.resolutions,
        aspect_ratios=clip_format.aspect_ratios,
        aspect_tolerance=clip_format.aspect_tolerance,
        bucket_frames=bucket_edges(clip_format, min_frames),
    )
    return clips.survey(pack)


def bucket_edges(clip_format: ClipFormat, min_frames: int) -> tuple[int, ...]:
    """The numbers of frames at which buckets begin, ascending. The first is `min_frames`."""
    return min_frames, *sorted({edge for edge in clip_format.bucket_frames if edge > min_frames})
