"""The quality of tokenizers on videos of a folder: figures, streams, pictures, broken files."""

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from stages.media.encoding.arrays import write_mp4
from training.cli import main
from training.evaluation.tokenizer_quality import code_usage, measure_video
from training.evaluation.video_frames import VideoError, read_frames, split_frames
from training.metrics.image_quality import psnr, ssim
from training.tokenizers import load_tokenizer


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)


def moving_picture(frames: int, height: int, width: int) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    t, y, x = np.mgrid[:frames, :height, :width]
    color = np.stack([x * 3 + t * 5, y * 4, (x + y) * 2 + t], -1)
    return (127 + 100 * np.sin(color / 20)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    videos = tmp_path / "videos"
    (videos / "more").mkdir(parents=True)
    np.save(videos / "frames.npy", moving_picture(7, 36, 50))
    write_mp4(videos / "more" / "clip.mp4", moving_picture(12, 48, 64), 10, crf=20, preset="ultrafast")
    with av.open(str(videos / "image.png"), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("png", rate=1)
        stream.height, stream.width, stream.pix_fmt = 40, 56, "rgba"
        pixels = np.concatenate([moving_picture(1, 40, 56)[0], np.full((40, 56, 1), 9, np.uint8)], -1)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgba")))
        container.mux(stream.encode(None))
    (videos / "notes.txt").write_text("no video")
    return videos


def test_a_folder_is_measured_without_its_broken_videos(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.mp4").write_bytes(b"no video")
    np.save(folder / "tiny.npy", moving_picture(5, 8, 8))
    np.save(folder / "gray.npy", np.zeros((5, 32, 32), np.uint8))
    out, pictures = tmp_path / "out.json", tmp_path / "pictures"
    arguments = ["--json", str(out), "--pictures", str(pictures), "--resolutions", "360", "32"]
    assert main(["evaluate", "tokenizer", str(folder), "--frames", "9", *arguments]) == 0
    printed = capsys.readouterr()
    assert "3 videos, 15 frames" in printed.out
    assert "broken.mp4: it cannot be decoded" in printed.err
    values = json.loads(out.read_text())
    assert set(values["failed"]) == {"broken.mp4", "tiny.npy", "gray.npy"}
    assert "smaller than SSIM's window" in values["failed"]["tiny.npy"]
    assert "it is uint8 [5, 32, 32]" in values["failed"]["gray.npy"]
    assert values["continuous"]["tokenizer"] == "small"
    assert values["discrete"]["tokenizer"] == "small-discrete"
    assert values["continuous"]["compression"] == 24
    assert 0 < values["discrete"]["code_usage"] < 1 < values["discrete"]["code_perplexity"]
    assert "code_usage" not in values["continuous"]
    assert [result["short_side_px"] for result in values["results"]] == [360, 32, 360, 32]
    sizes = {
        name: (v["frames"], v["height"], v["width"]) for name, v in values["results"][0]["videos"].items()
    }
    assert sizes == {"frames.npy": (5, 32, 48), "image.png": (1, 40, 56), "more/clip.mp4": (9, 48, 64)}
    assert values["results"][1]["videos"]["more/clip.mp4"]["width"] == 40  # 43 px, cut to a multiple of 8
    with av.open(str(pictures / "more__clip.mp4.360.png")) as container:
        frame = next(container.decode(video=0))
    assert (frame.width, frame.height) == (3 * 64, 48)  # original, small, small-discrete


def test_figures_are_those_of_the_whole_video(folder: Path) -> None:
    for name in ("small", "small-discrete"):
        tokenizer = load_tokenizer(name)
        frames = list(read_frames(folder / "more" / "clip.mp4", 360, (8, 8)))
        video = torch.stack(frames[:9], 1)[None]
        with torch.inference_mode():
            decoded = tokenizer.decode(tokenizer.encode(video))
        parts = list(split_frames(iter(frames), 8, 0))  # two latent frames of the tokenizer each
        assert [part.shape[2] for part in parts] == [1, 8]
        quality, counts = measure_video(tokenizer, parts)
        assert quality.frames == 9
        assert quality.psnr_db == pytest.approx(float(psnr(decoded, video)), abs=1e-3)
        assert quality.ssim == pytest.approx(float(ssim(decoded.clamp(-1, 1), video)), abs=1e-4)
        assert quality.encode_s > 0 < quality.decode_s
        assert int(counts.sum()) == (3 * 6 * 8 if tokenizer.codebook_size else 0)


def test_code_usage_and_perplexity() -> None:
    assert code_usage(torch.tensor([5, 5, 0, 0])) == pytest.approx({"code_usage": 0.5, "code_perplexity": 2})
    assert code_usage(torch.tensor([0, 9, 0, 0])) == pytest.approx({"code_usage": 0.25, "code_perplexity": 1})


def test_frames_are_read_one_at_a_time(folder: Path) -> None:
    read = 0

    def counted() -> Any:
        nonlocal read
        for frame in read_frames(folder / "frames.npy", 360, (8, 8)):
            read += 1
            yield frame

    parts = split_frames(counted(), 4, 0)
    assert next(parts).shape == (1, 3, 1, 32, 48)
    assert read == 1
    assert [part.shape[2] for part in parts] == [4]  # 2 frames do not fill a latent


def test_what_cannot_be_measured_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.npy").write_bytes(b"no array")
    with pytest.raises(VideoError, match="cannot be read"):
        next(read_frames(tmp_path / "x.npy", 360, (8, 8)))
    assert main(["evaluate", "tokenizer", str(tmp_path)]) == 1
    assert "no video could be measured" in capsys.readouterr().err
    assert main(["evaluate", "tokenizer", str(tmp_path / "none")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
    assert main(["evaluate", "tokenizer", str(tmp_path), "--tokenizer", "smal"]) == 1
    assert "there is no tokenizer 'smal'" in capsys.readouterr().err
    assert main(["evaluate", "tokenizer", str(tmp_path), "--json", str(tmp_path / "none" / "x.json")]) == 2
    assert "no such folder to write" in capsys.readouterr().err
    assert main(["evaluate", "--model", "m"]) == 2
    assert "needs --model and --data" in capsys.readouterr().err
