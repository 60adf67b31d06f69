"""Finds folders of diffusers' AutoencoderKLCosmos and AutoencoderKLWan, and reads their config without torch.

A name is the path of such a folder, or of a pipeline with such a folder `vae`, or a repository on the Hugging
Face hub: organization/name, or organization/name@revision.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from training.errors import CheckpointError

CONFIG_FILE = "config.json"
COSMOS, WAN = "AutoencoderKLCosmos", "AutoencoderKLWan"
# Keys of the strides along time, height and width, and the defaults of the classes.
_STRIDES: dict[str, tuple[tuple[str, int], ...]] = {
    COSMOS: (("temporal_compression_ratio", 8), *[("spatial_compression_ratio", 8)] * 2),
    WAN: (("scale_factor_temporal", 4), *[("scale_factor_spatial", 8)] * 2),
}
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(@[\w./-]+)?")
_HUB_PATTERNS = ("config.json", "diffusion_pytorch_model*", "vae/*")


def find_folder(name_or_path: str) -> Path | None:
    """The folder with config.json, or None if the name is of something else.

    A repository on the hub is downloaded, unless it is in the cache.

    Raises:
        CheckpointError: config.json is of another class, or the download failed.
    """
    place = Path(name_or_path)
    if not place.exists():
        if not _HUB_NAME.fullmatch(name_or_path) or place.suffix == ".safetensors":
            return None
        from training.adapters.pretrained import download

        place = download(name_or_path, _HUB_PATTERNS)
    folders = [folder for folder in (place, place / "vae") if (folder / CONFIG_FILE).is_file()]
    if not folders:
        return None
    read_config(folders[0])
    return folders[0]


def read_config(folder: Path) -> dict[str, Any]:
    """The values in config.json.

    Raises:
        CheckpointError: It is not JSON, or of another class.
    """
    file = folder / CONFIG_FILE
    try:
        config: dict[str, Any] = json.loads(file.read_text())
        name = config.get("_class_name")
    except (ValueError, AttributeError) as error:
        raise CheckpointError("the config is no JSON object", where=str(file)) from error
    if name not in _STRIDES:
        raise CheckpointError(
            f"this is the config of {name}, and not of a tokenizer",
            where=str(file),
            remedy=f"name a folder of {COSMOS} or {WAN}",
        )
    return config


def folder_stride(folder: Path) -> tuple[int, int, int]:
    """Frames and pixels per latent along time, height and width."""
    config = read_config(folder)
    time, height, width = (config.get(key, default) for key, default in _STRIDES[config["_class_name"]])
    return time, height, width


def folder_digest(folder: Path) -> str:
    """SHA-256 of the config, without the version of diffusers and the like, and of the files of weights.

    Raises:
        CheckpointError: There are no weights.
    """
    config = read_config(folder)
    named = {
        key: value for key, value in config.items() if key in ("_class_name", "_clipmill") or key[0] != "_"
    }
    hashed = hashlib.sha256(json.dumps(named, sort_keys=True).encode())
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise CheckpointError("there are no safetensors files in this folder", where=str(folder))
    for file in files:
        with file.open("rb") as opened:
            hashed.update(file.name.encode() + hashlib.file_digest(opened, "sha256").digest())
    return hashed.hexdigest()
