"""Finds shards of latents, by split, and reads lists of clips."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from manifests.stores import open_store
from training.data.shard import fetch
from training.errors import LatentMismatchError


def split_of(path: str) -> str:
    """The split of a shard: "validation" if a folder of its path is latents-validation, else "train"."""
    folders = [part for part in path.split("/")[:-1] if part.startswith("latents-")]
    return folders[-1].removeprefix("latents-") if folders else "train"


def find_shards(where: str, split: str = "") -> list[tuple[str, str]]:
    """Find shards: every tar in a folder or URL, or those that a text file lists.

    Args:
        where: Folder, URL or .txt file.
        split: Only shards of this split, by the folders below `where`. "" takes all.

    Returns:
        (tar, index) of each shard, sorted.

    Raises:
        LatentMismatchError: There are none.
    """
    if where.endswith(".txt"):
        folder = where.rpartition("/")[0] or "."
        lines = fetch(where).decode().split()
        tars = [line if "://" in line or line.startswith("/") else f"{folder}/{line}" for line in lines]
    else:
        store = open_store(where)
        names = [name for name in store.walk() if name.endswith(".tar")]
        tars = [f"{store.url}/{name}" for name in names if split in ("", split_of(name))]
    if not tars:
        raise LatentMismatchError(
            f"there are no {split} shards here" if split else "there are no shards here",
            where=where,
            remedy="name a folder that contains .tar files",
        )
    return sorted((tar, tar.removesuffix(".tar") + ".parquet") for tar in tars)


def find_splits(where: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Find the shards of the train split and of the validation split; the second may be empty.

    Raises:
        LatentMismatchError: There are no shards of the train split.
    """
    pairs = find_shards(where)
    root = "" if where.endswith(".txt") else where.rstrip("/")
    splits = [split_of(tar.partition(root)[2] if root else tar) for tar, _ in pairs]
    train = [pair for pair, split in zip(pairs, splits, strict=True) if split == "train"]
    if not train:
        raise LatentMismatchError(
            f"there are no shards to train on here, only of {', '.join(sorted(set(splits)))}",
            where=where,
            remedy="name the folder latents-validation itself to use its shards",
        )
    return train, [pair for pair, split in zip(pairs, splits, strict=True) if split == "validation"]


def find_datasets(
    places: Sequence[str],
) -> tuple[list[tuple[str, str]], tuple[int, ...], list[tuple[str, str]]]:
    """Find the shards of several data sets, each a folder, URL or .txt file.

    Returns:
        The shards of the train split, how many of them each data set has, and those of the validation split.

    Raises:
        LatentMismatchError: A data set has no shards of the train split, or two have a shard in common.
    """
    found = [find_splits(where) for where in places]
    train = [pair for pairs, _ in found for pair in pairs]
    if repeated := [tar for (tar, _), count in Counter(train).items() if count > 1]:
        raise LatentMismatchError(
            "two data sets have the same shard", where=repeated[0], remedy="name each folder once"
        )
    return train, tuple(len(pairs) for pairs, _ in found), [pair for _, pairs in found for pair in pairs]


def read_sample_ids(file: Path) -> frozenset[str]:
    """The ids in a text file, one per line.

    Raises:
        LatentMismatchError: The file cannot be read.
    """
    try:
        return frozenset(file.read_text().split())
    except (OSError, UnicodeDecodeError) as error:
        raise LatentMismatchError(
            "the list of clips to skip cannot be read",
            where=str(file),
            remedy="name a text file that has one clip id per line",
        ) from error
