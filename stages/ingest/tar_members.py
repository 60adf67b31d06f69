"""Lists the videos in tars, such as WebDataset shards, where they are. Nothing is unpacked.

The .json member beside a video gives further columns, and its .txt member the column `caption`.
"""

import json
import os
import tarfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from stages.ingest.listing import ListedFile, Listing
from stages.media.errors import UnreadableFile
from stages.media.files import FileStatus, file_status, open_uri
from stages.media.list_file import plain_values
from stages.media.tar import BLOCK, Member
from stages.media.uri import escape_non_utf8, refer_to_member

ENDING = ".tar"
MAX_TEXT_BYTES = 1 << 20
_TEXTS = (".json", ".txt")


class _Members(NamedTuple):
    """The regular files of a tar, the content of its small texts by name, and why it cannot be read on."""

    members: list[Member]
    texts: Mapping[str, bytes]
    damage: str


def expand_tars(listing: Listing) -> None:
    """Replace each tar by the videos in it."""
    files, listing.files = listing.files, []
    for file in files:
        if file.problem or not file.source.lower().endswith(ENDING):
            listing.files.append(file)
        else:
            _expand(file, listing)


def _expand(tar: ListedFile, listing: Listing) -> None:
    try:
        members, texts, damage = _read_members(tar.uri)
    except (UnreadableFile, OSError) as error:
        listing.files.append(tar._replace(problem=f"the tar cannot be read: {error}"))
        return
    by_key: dict[str, dict[str, Member]] = {}
    for member in members:
        by_key.setdefault(member.key, {})[_suffix(member)] = member
    for member in members:
        name = PurePosixPath(member.name).name
        if name.startswith("."):
            listing.hidden += 1
        elif _suffix(member) not in _TEXTS and listing.includes(name):
            values, problem = _values(by_key[member.key], texts)
            listing.files.append(
                ListedFile(
                    f"{tar.source}/{_safe_name(member.name)}",
                    refer_to_member(tar.uri, os.fsencode(member.name), member.offset, member.size),
                    member.size,
                    tar.stamp,
                    problem,
                    {**values, **tar.values},
                )
            )
    if damage:
        listing.files.append(tar._replace(problem=damage))


def _safe_name(name: str) -> str:
    """The name without steps out of its folder, for display."""
    parts = [part for part in escape_non_utf8(name).split("/") if part not in ("", ".")]
    return "/".join("_" if part == ".." else part for part in parts)


def _values(sample: Mapping[str, Member], texts: Mapping[str, bytes]) -> tuple[dict[str, Any], str]:
    """What the texts beside a video say, and why they cannot be read, or ""."""
    values: dict[str, Any] = {}
    for suffix in _TEXTS:
        member = sample.get(suffix)
        if member is None:
            continue
        name = _safe_name(member.name)
        if member.name not in texts:
            return {}, f"{name} has {member.size:,} bytes; at most {MAX_TEXT_BYTES:,} are read"
        try:
            text = texts[member.name].decode()
            record = json.loads(text) if suffix == ".json" else {"caption": text.strip()}
        except (ValueError, RecursionError) as error:
            return {}, f"{name} cannot be read: {error}"
        values |= plain_values(record) if isinstance(record, dict) else {}
    return values, ""


def _suffix(member: Member) -> str:
    return member.name.removeprefix(member.key).lower()


def _read_members(uri: str) -> _Members:
    status = file_status(uri)
    return _cached_members(uri, status) if status.stamp else _read(uri)


@lru_cache(maxsize=64)
def _cached_members(uri: str, status: FileStatus) -> _Members:
    return _read(uri)


def _read(uri: str) -> _Members:
    """Read the headers and the small texts. The rest of a damaged tar is not read.

    Raises:
        UnreadableFile, OSError: The file cannot be opened, or is not a tar.
    """
    members: list[Member] = []
    texts: dict[str, bytes] = {}
    with open_uri(uri) as file:
        size_bytes = file.seek(0, os.SEEK_END)
        file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r:") as opened:
                for info in opened:
                    if not info.isfile() or info.issparse():
                        continue
                    member = Member(info.name, info.offset_data, info.size)
                    if member.offset + member.size > size_bytes:
                        raise tarfile.ReadError("it ends inside a member")
                    members.append(member)
                    if _suffix(member) in _TEXTS and member.size <= MAX_TEXT_BYTES:
                        file.seek(member.offset)
                        texts[member.name] = file.read(member.size)
                file.seek(opened.offset)
                if file.read(BLOCK) != bytes(BLOCK):  # tarfile ends at a damaged header without an error
                    raise tarfile.ReadError("no end of the archive where the last member ends")
        except tarfile.TarError as error:
            if not members:
                raise UnreadableFile(str(error)) from error
            return _Members(members, texts, f"the tar is damaged after {len(members)} members: {error}")
    return _Members(members, texts, "")
