"""The proof of packed shards: each sample is where the table says, whole and of the right length."""

import hashlib
import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from manifests import Artifact
from manifests.catalogue import Table
from manifests.checking import Checked
from manifests.errors import ManifestError
from stages.media.tar import Member
from stages.shards.pack_shards import COLUMNS, INDEXES, KINDS
from stages.shards.sample import read_index

_AGAIN = "take the shard and its group's rows away and run again; or put the stored file back"
_CLIP = ("clip", "clip_frames", "clip_width_px", "clip_height_px")


class _Tar(NamedTuple):
    """One tar that rows name, and what they say of it."""

    tar: Artifact
    index: Artifact
    kinds: tuple[str, ...]
    rows: Mapping[str, Mapping[str, Any]]  # by key


def prove(table: Table, found: Checked, *, quick: bool) -> None:
    """Compare the tars of a table of `PackShards` with its rows, and with the clips that were cut.

    With `quick`, the names, places and sizes of members, as the tar's own headers and the index say them;
    else every member is read, digests are compared, and every clip is decoded.
    """
    clips = {} if quick else _clips(table)
    for tar in _tars(table):
        where = f"{table.store.url}/{tar.tar.path}"
        try:
            with tar.tar.local() as path:
                _prove(path, tar, clips, found, where, quick)
        except FileNotFoundError:
            continue  # said where artifacts are looked at
        except (tarfile.TarError, ManifestError) as error:
            found.fault(f"a shard cannot be read: {error}", where, _AGAIN)


def _tars(table: Table) -> Iterator[_Tar]:
    """Each tar with the rows that are said to lie in it."""
    rows = table.read().to_pylist()
    apart = any(row["facts_shard"] for row in rows)
    for kind, column in COLUMNS.items():
        named: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            if row[column]:
                named.setdefault(row[column]["path"], []).append(row)
        for path in sorted(named):
            first = named[path][0]
            tar, index = (Artifact(store=table.store, **first[name]) for name in (column, INDEXES[kind]))
            yield _Tar(tar, index, (kind,) if apart else (), {row["shard_key"]: row for row in named[path]})


def _clips(table: Table) -> dict[str, Mapping[str, Any]]:
    """What the step that cut them says of the clips, by id; nothing where its table is not in the store."""
    waiting, seen = list(table.manifest.inputs), set[str]()
    while waiting:
        folder = waiting.pop()
        if folder in seen:
            continue
        seen.add(folder)
        before = Table(table.store, folder)
        try:
            manifest = before.manifest
        except ManifestError:
            continue
        if set(_CLIP) <= {column["name"] for column in manifest.columns}:
            return {row["id"]: row for row in before.read(["id", *_CLIP]).to_pylist()}
        waiting += manifest.inputs
    return {}


def _prove(
    path: Path, tar: _Tar, clips: Mapping[str, Mapping[str, Any]], found: Checked, where: str, quick: bool
) -> None:
    with tarfile.open(path, "r:") as opened:
        members = [Member(info.name, info.offset_data, info.size) for info in opened]
    try:
        if members != read_index(tar.index):
            found.fault("the index of a shard does not say what lies in it", where, _AGAIN)
    except (FileNotFoundError, ManifestError):
        found.fault("the index of a shard is not what was stored", where, _AGAIN)
    held: dict[str, list[str]] = {}
    for member in members:
        held.setdefault(member.key, []).append(member.name.removeprefix(f"{member.key}."))
    _names(tar, held, found, where)
    if quick:
        return
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != tar.tar.sha256:
            found.fault("a shard has another digest than was stored", where, _AGAIN)
        contents: dict[str, bytes] = {}
        for place, member in enumerate(members):
            file.seek(member.offset)
            contents[member.name] = file.read(member.size)
            if place + 1 == len(members) or members[place + 1].key != member.key:
                for fault in _faults(member.key, contents, clips.get(member.key)):
                    found.fault(f"{member.key}: {fault}", where, _AGAIN)
                contents = {}


def _names(tar: _Tar, held: Mapping[str, list[str]], found: Checked, where: str) -> None:
    """Every sample is there, with all that belongs to it, and no stranger."""
    for key in tar.rows.keys() - held.keys():
        found.fault(f"the clip {key} is not in the shard that its row names", where, _AGAIN)
    for key in held.keys() - tar.rows.keys():
        found.fault(f"a shard holds {key}, which no row has put there", where, _AGAIN)
    for key, kinds in held.items():
        wanted = tar.kinds or tuple(kind for kind in KINDS if kind != "npy" or "npy" in kinds)
        if Counter(kinds) != Counter(wanted):
            found.fault(f"of {key} there are {', '.join(kinds)}, not {', '.join(wanted)}", where, _AGAIN)


def _faults(key: str, contents: Mapping[str, bytes], clip: Mapping[str, Any] | None) -> Iterator[str]:
    """What is wrong with the members of one sample, beside their names."""
    facts: dict[str, Any] = {}
    try:
        facts = json.loads(contents.get(f"{key}.json", b"{}"))
    except ValueError:
        yield "its json cannot be read"
    if facts and facts.get("id") != key:
        yield f"its json is that of {facts.get('id')!r}"
    text = contents.get(f"{key}.txt")
    if facts and text is not None and text.decode("utf-8", "replace") != facts.get("caption"):
        yield "its text is not the caption in its json"
    film = contents.get(f"{key}.mp4")
    if film is None:
        return
    wanted = [clip[name] for name in _CLIP[1:]] if clip else [facts.get(n) for n in _FACTS] if facts else None
    if clip and hashlib.sha256(film).hexdigest() != clip["clip"]["sha256"]:
        yield "its clip is not the one that was cut"
    try:
        seen = _decoded(film)
    except Exception as error:  # whatever a decoder says of a broken file
        yield f"its clip cannot be decoded: {error}"
        return
    if wanted and seen != wanted:
        one, other = ("{} frames of {} x {} px".format(*each) for each in (seen, wanted))
        yield f"its clip has {one}, not {other}"


_FACTS = ("frames", "width_px", "height_px")


def _decoded(film: bytes) -> list[int]:
    """How many frames there are, all decoded, and their width and height."""
    import av

    count, wide, high = 0, 0, 0
    with av.open(io.BytesIO(film)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            count, wide, high = count + 1, frame.width, frame.height
    return [count, wide, high]
