"""Latents of a real clip have the right frames and size, and the same bytes every time."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load

from manifests import Artifact, ClipmillError
from pipeline import Reject
from stages.latents.encode_latents import ClipWindow, EncodedWindow, EncodeLatents
from training.errors import CheckpointError
from training.tokenizers import load_tokenizer

MakeClip = Callable[..., Artifact]


def windows(clip: Artifact, *spans: tuple[int, int]) -> list[ClipWindow]:
    return [
        ClipWindow(id=f"w{n}", clip=clip, window_first_frame=first, window_frames=frames, window_fps=12.0)
        for n, (first, frames) in enumerate(spans)
    ]


def encode(stage: EncodeLatents, rows: Sequence[ClipWindow]) -> list[EncodedWindow | Reject]:
    return list(stage.annotate(rows))


def encode_one(stage: EncodeLatents, clip: Artifact, frames: int = 9) -> EncodedWindow:
    [row] = encode(stage, windows(clip, (0, frames)))
    assert isinstance(row, EncodedWindow), row
    return row


def provenance(row: EncodedWindow) -> dict[str, Any]:
    data = row.latents.read()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    metadata: dict[str, Any] = json.loads(header["__metadata__"]["clipmill"])
    return metadata


@pytest.fixture
def stage(tokenizer: str) -> EncodeLatents:
    return EncodeLatents(tokenizer=tokenizer, short_side_px=64)


def test_latents_have_their_shape_and_provenance(stage: EncodeLatents, make_clip: MakeClip) -> None:
    row = encode_one(stage, make_clip(frames=24, fps=24))
    # 120 x 68 becomes 112 x 64, of which one column is cropped.
    assert (row.latent_channels, row.latent_frames, row.latent_height, row.latent_width) == (6, 3, 8, 14)
    latents = load(row.latents.read())["latents"]
    assert latents.shape == (6, 3, 8, 14)
    assert latents.dtype == torch.float16
    assert row.latent_means == pytest.approx(latents.double().mean((1, 2, 3)).tolist())
    assert row.latent_mean_squares == pytest.approx(latents.double().square().mean((1, 2, 3)).tolist())
    assert provenance(row) == {
        "tokenizer": "tokenizer.safetensors",
        "tokenizer_digest": stage.digest(),
        "stride": [4, 8, 8],
        "dtype": "float16",
        "precision": "float32",
        "fps": 12.0,
        "frames": 9,
        "first_frame": 0,
        "scaled_px": [113, 64],
        "crop_px": [0, 0, 112, 64],
        "encoded_px": [112, 64],
        "video_px": [0, 0, 112, 64],
    }


def test_the_same_window_gives_the_same_bytes_in_any_batch(stage: EncodeLatents, make_clip: MakeClip) -> None:
    rows = [*windows(make_clip(60), (0, 9), (9, 9), (18, 5)), *windows(make_clip(seed=1), (0, 5))]
    alone = [encode(stage, [row])[0] for row in rows]
    num_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert (
            encode(EncodeLatents(**{**stage.settings(), "batch_size": 3, "decode_threads": 2}), rows[::-1])
            == alone[::-1]
        )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(num_threads)
    assert len({row.latents.sha256 for row in alone if isinstance(row, EncodedWindow)}) == 4


def test_windows_have_the_latents_of_their_frames(
    tokenizer: str, stage: EncodeLatents, make_clip: MakeClip
) -> None:
    """The second window is encoded as a video of its own: it does not depend on the first one."""
    from stages.media.decoding.video import open_video

    clip = make_clip(48, 24, width=112, height=64)
    [_, second] = encode(stage, windows(clip, (0, 9), (9, 9)))
    assert isinstance(second, EncodedWindow)
    with clip.local() as path, open_video(str(path)) as video:
        frames = [frame.pixels("rgb24") for frame in video.frames()][18:36:2]
    pixels = torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    torch.set_num_threads(1)
    with torch.inference_mode():
        expected = load_tokenizer(tokenizer).encode(pixels)[0].half()
    assert torch.equal(load(second.latents.read())["latents"], expected)


def test_the_tokenizer_determines_the_key(stage: EncodeLatents) -> None:
    assert len(stage.digest()) == 64
    assert stage.temporal_stride() == 4
    stage.open()


def test_portrait_clips_stay_upright_and_odd_sizes_are_padded(
    stage: EncodeLatents, make_clip: MakeClip
) -> None:
    row = encode_one(stage, make_clip(width=72, height=160))
    assert (row.latent_height, row.latent_width) == (14, 8)
    # 72 x 160 in 64 x 112: a tenth of the height is cropped, and the width is padded.
    assert provenance(row)["video_px"] == [4, 0, 56, 112]
    wide = encode_one(
        EncodeLatents(**{**stage.settings(), "max_crop_share": 0.0}), make_clip(width=300, height=36)
    )
    assert provenance(wide)["video_px"] == [0, 25, 112, 13]
    own = encode_one(
        EncodeLatents(**{**stage.settings(), "aspect_ratios": ()}), make_clip(width=72, height=160)
    )
    assert (own.latent_height, own.latent_width) == (16, 8)


def test_a_single_frame_is_one_latent(stage: EncodeLatents, make_clip: MakeClip) -> None:
    image = encode_one(stage, make_clip(frames=1), frames=1)
    assert image.latent_frames == 1
    video = encode_one(stage, make_clip(frames=24), frames=9)
    first = load(video.latents.read())["latents"][:, :1]
    assert torch.equal(first, load(image.latents.read())["latents"])


def test_bad_files_are_rejected_and_the_others_are_encoded(
    stage: EncodeLatents, make_clip: MakeClip, tmp_path: Path
) -> None:
    (tmp_path / "text.mp4").write_text("not a video at all")
    whole = make_clip(48)
    (tmp_path / "cut.mp4").write_bytes(whole.read()[: len(whole.read()) // 2])
    rows = [
        *windows(Artifact.of_file(tmp_path / "text.mp4"), (0, 9)),
        *windows(whole, (0, 9), (90, 9), (9, 9)),
        *windows(Artifact.of_file(tmp_path / "cut.mp4"), (15, 9)),
        *windows(whole, (0, 5)),
    ]
    results = encode(stage, rows)
    assert [isinstance(row, Reject) for row in results] == [True, False, True, False, True, False]
    assert "clip ends" in str(results[2])


def test_a_discrete_tokenizer_gives_codes(make_clip: MakeClip) -> None:
    stage = EncodeLatents(tokenizer="small-discrete", short_side_px=64, precision="bfloat16")
    row = encode_one(stage, make_clip())
    codes = load(row.latents.read())["codes"]
    assert codes.dtype == torch.uint16
    assert tuple(codes.shape) == (1, row.latent_frames, row.latent_height, row.latent_width)
    assert (row.latent_channels, row.latent_means, row.latent_mean_squares) == (1, (), ())
    metadata = provenance(row)
    assert (metadata["dtype"], metadata["codebook_size"]) == ("uint16", 64_000)
    exact = encode_one(EncodeLatents(tokenizer="small-discrete", short_side_px=64), make_clip())
    same = load(exact.latents.read())["codes"].int() == codes.int()
    assert same.float().mean() > 0.5


class Overflowing:
    """A tokenizer that gives NaN in bfloat16, and in float32 for a video that is white."""

    def __init__(self, name: str) -> None:
        self._tokenizer = load_tokenizer(name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def encode(self, video: torch.Tensor) -> torch.Tensor:
        latents = self._tokenizer.encode(video)
        is_bad = torch.is_autocast_enabled("cpu") or bool(video.mean() > 0.9)
        return latents * torch.nan if is_bad else latents


def test_latents_that_are_not_finite_are_encoded_again_in_float32(
    tokenizer: str, stage: EncodeLatents, make_clip: MakeClip, tmp_path: Path
) -> None:
    from stages.media.encoding.arrays import write_mp4

    white = tmp_path / "white.mp4"
    write_mp4(white, [np.full((64, 112, 3), 255, np.uint8)] * 12, 12, preset="ultrafast")
    low = EncodeLatents(**{**stage.settings(), "precision": "bfloat16"})
    ordinary = encode_one(low, make_clip())
    assert ordinary.latent_precision == provenance(ordinary)["precision"] == "bfloat16"
    vars(low)["_tokenizer"] = Overflowing(tokenizer)
    rows = [*windows(make_clip(), (0, 9)), *windows(Artifact.of_file(white), (0, 9))]
    retried, failed = encode(low, rows)
    assert isinstance(retried, EncodedWindow)
    assert retried.latent_precision == provenance(retried)["precision"] == "float32"
    exact = load(encode_one(stage, make_clip()).latents.read())["latents"]
    assert torch.equal(load(retried.latents.read())["latents"], exact)
    assert isinstance(failed, Reject)
    assert str(failed) == "the latents contain NaN, infinity or values too large for float16, also in float32"


def test_decoding_overlaps_with_encoding_and_waits_are_measured(
    stage: EncodeLatents, make_clip: MakeClip
) -> None:
    assert set(stage.seconds().values()) == {0.0}
    encode(stage, windows(make_clip(60), (0, 9), (9, 9), (18, 9)))
    assert set(stage.seconds()) == {"decode", "decode_waited", "encode", "encode_waited"}
    assert stage.seconds()["decode"] > 0
    assert stage.seconds()["encode"] > 0


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("dtype", "float8", "float16"),
        ("precision", "float16", "bfloat16"),
        ("aspect_ratios", ("16x9",), "not an aspect ratio"),
    ],
)
def test_bad_settings_are_refused(setting: str, value: object, message: str) -> None:
    with pytest.raises((ClipmillError, ValueError), match=message):
        EncodeLatents(**{setting: value})


def test_weights_of_another_shape_are_refused_before_the_first_window(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    from training.tokenizers.weights import find_weights

    with safe_open(find_weights("small"), "pt") as file:
        weights, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    name = next(name for name in sorted(weights) if weights[name].dim() > 1)
    save_file(weights | {name: weights[name][:1].contiguous()}, tmp_path / "bad.safetensors", metadata)
    with pytest.raises(CheckpointError, match="of another shape") as caught:
        EncodeLatents(tokenizer=str(tmp_path / "bad.safetensors")).open()
    assert name in str(caught.value)
