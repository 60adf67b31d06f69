"""The frames that a tokenizer is trained on: a folder of arrays, or videos that are decoded into one once."""

import json
import shutil
import sys
from pathlib import Path

import torch.distributed as dist

from training.errors import LatentMismatchError, TrainingError
from training.evaluation.video_frames import find_videos
from training.recipes.tokenizer.config import TokenizerConfig
from training.tokenizers.frames import write_frames

SPANS = 3  # runs of consecutive frames of a video
RECORD_FILE = "frames.json"


def prepare_frames(config: TokenizerConfig, place: str, out: Path) -> Path:
    """The folder of arrays of frames: `place` itself if it has some, else `out` with its decoded videos.

    Rank 0 decodes; all ranks must call it. A video that cannot be decoded is named and left out.

    Raises:
        SettingError: There are no files.
        LatentMismatchError: No file can be decoded.
    """
    folder = Path(place)
    if any(folder.glob("*.npy")):
        return folder
    errors: list[TrainingError | None] = [None]
    if dist.get_rank() == 0:
        try:
            _decode(config, folder, out)
        except TrainingError as error:
            errors = [error]
    dist.broadcast_object_list(errors, src=0)
    if errors[0] is not None:
        raise errors[0]
    return out


def _decode(config: TokenizerConfig, folder: Path, out: Path) -> None:
    import av

    files = find_videos(folder)
    record = {
        "short_side_px": config.frames_short_side_px,
        "frames_per_video": config.frames_per_video,
        "files": {name: file.stat().st_size for name, file in files.items()},
    }
    done = out / RECORD_FILE
    if done.is_file() and json.loads(done.read_text()) == record:
        return
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    written: list[Path] = []
    for name, file in files.items():
        try:
            written += write_frames(
                file,
                out,
                name=name.replace("/", "__"),
                short_side=config.frames_short_side_px,
                frames=config.frames_per_video,
                spans=SPANS,
            )
        except (av.FFmpegError, ValueError) as error:
            print(f"warning: {file} is left out, it cannot be decoded: {error}", file=sys.stderr)
    if not written:
        raise LatentMismatchError(
            "no file can be decoded", where=str(folder), remedy="name a folder of videos or images"
        )
    done.write_text(json.dumps(record))
