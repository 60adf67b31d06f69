"""The frames that a tokenizer is trained on: a folder of arrays, or videos that are decoded into one once."""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch.distributed as dist

from training.errors import LatentMismatchError, SettingError, TrainingError
from training.evaluation.video_frames import VideoError, find_videos, open_array
from training.recipes.tokenizer.config import TokenizerConfig
from training.tokenizers.frames import write_frames

MIN_SIDE_PX = 16  # of frames; one latent, and the window of SSIM
SPANS = 3  # runs of consecutive frames of a video
RECORD_FILE = "frames.json"


def prepare_frames(config: TokenizerConfig, place: str, out: Path) -> Path:
    """The folder of arrays of frames: `place` itself if it has some, else `out` with its decoded videos.

    Rank 0 decodes; all ranks must call it. A video that cannot be decoded is named and left out.

    Raises:
        SettingError: There are no files, some are arrays and others videos, or an array is not one of frames.
        LatentMismatchError: No file can be decoded.
    """
    folder = Path(place)
    files = find_videos(folder)
    arrays = {name: file for name, file in files.items() if file.suffix.lower() == ".npy"}
    if arrays:
        _check_arrays(folder, arrays, others=sorted(files.keys() - arrays.keys()))
        return folder
    errors: list[TrainingError | None] = [None]
    if dist.get_rank() == 0:
        try:
            _decode(config, folder, files, out)
        except TrainingError as error:
            errors = [error]
    dist.broadcast_object_list(errors, src=0)
    if errors[0] is not None:
        raise errors[0]
    return out


def _check_arrays(folder: Path, arrays: Mapping[str, Path], others: Sequence[str]) -> None:
    if others or any("/" in name for name in arrays) or not folder.is_dir():
        raise SettingError(
            f"the folder has arrays and {others[0]}" if others else "the arrays are not in the folder itself",
            where=str(folder),
            remedy="name a folder that has only .npy files, or only videos and images",
        )
    for file in arrays.values():
        try:
            shape = open_array(file).shape
        except VideoError as error:
            raise SettingError(f"the array cannot be used: {error.what}", where=str(file)) from error
        if len(shape) != 4 or min(shape[1:3]) < MIN_SIDE_PX:
            raise SettingError(
                f"the array is {list(shape)}, and not [t h w 3] with frames of {MIN_SIDE_PX} px or more",
                where=str(file),
            )


def _decode(config: TokenizerConfig, folder: Path, files: Mapping[str, Path], out: Path) -> None:
    import av

    record = {
        "short_side_px": config.frames_short_side_px,
        "frames_per_video": config.frames_per_video,
        "files": {name: [file.stat().st_size, file.stat().st_mtime_ns] for name, file in files.items()},
    }
    done = out / RECORD_FILE
    if done.is_file() and json.loads(done.read_text()) == record:
        return
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    written: list[Path] = []
    names: set[str] = set()
    for number, (path, file) in enumerate(files.items()):
        name = path.replace("/", "__")
        name = f"{name}-{number}" if name in names else name
        names.add(name)
        try:
            written += write_frames(
                file,
                out,
                name=name,
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
