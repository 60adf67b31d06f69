"""Validates packed recordings: each sample has the clips of all cameras, with the same number of frames."""

import hashlib
import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from manifests import Artifact
from manifests.catalog import Table
from manifests.errors import ManifestError
from manifests.verbs.validation import CheckResult
from stages.media.tar import Member
from stages.shards.sample import read_index
from stages.shards.validate import cut_clips, decode_size

_REMEDY = "delete the shard and the rows of its group and run again, or restore the stored file"
_Rows = Sequence[Mapping[str, Any]]


def validate_recordings(table: Table, result: CheckResult, *, quick: bool) -> None:
    """Compare the tars of a table of `PackRecordings` with its rows and with the clips that were cut.

    Args:
        table: the table of a finished step.
        result: receives the faults.
        quick: compare only the names, offsets and sizes of members in the tar headers and in the index.
            Otherwise digests are compared, and all clips are decoded.
    """
    clips = {} if quick else cut_clips(table)
    by_path: dict[str, list[Mapping[str, Any]]] = {}
    for row in table.read().to_pylist():
        by_path.setdefault(row["shard"]["path"], []).append(row)
    for path, rows in sorted(by_path.items()):
        shard, index = (Artifact(store=table.store, **rows[0][name]) for name in ("shard", "shard_index"))
        where = f"{table.store.url}/{path}"
        try:
            for fault in _shard_faults(shard, index, rows, clips, quick):
                result.fault(fault, where, _REMEDY)
        except FileNotFoundError:
            continue  # the check of artifacts reports it
        except (tarfile.TarError, ManifestError) as error:
            result.fault(f"a shard cannot be read: {error}", where, _REMEDY)


def _shard_faults(
    shard: Artifact, index: Artifact, rows: _Rows, clips: Mapping[str, Mapping[str, Any]], quick: bool
) -> Iterator[str]:
    with shard.local() as path:
        with tarfile.open(path, "r:") as opened:
            members = [Member(info.name, info.offset_data, info.size) for info in opened]
        if members != read_index(index):
            yield "the index of a shard does not match the members of the shard"
        samples: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            samples.setdefault(row["shard_key"], []).append(row)
        yield from _name_faults(samples, members)
        if quick:
            return
        data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != shard.sha256:
        yield "the digest of a shard is not the one that was stored"
    contents = {m.name: data[m.offset : m.offset + m.size] for m in members}
    for key, cameras in samples.items():
        for fault in _sample_faults(key, cameras, contents, clips):
            yield f"{key}: {fault}"


def _name_faults(samples: Mapping[str, _Rows], members: Sequence[Member]) -> Iterator[str]:
    """Check that the tar holds all members of its samples and no others."""
    expected = Counter(
        name
        for key, rows in samples.items()
        for name in (*(row["shard_member"] for row in rows), f"{key}.json", f"{key}.txt")
    )
    found = Counter(member.name for member in members)
    for name in sorted((expected - found).keys()):
        yield f"the member {name} is missing from the shard that its row names"
    for name in sorted((found - expected).keys()):
        yield f"a shard holds the member {name}, which has no row"


def _sample_faults(
    key: str, cameras: _Rows, contents: Mapping[str, bytes], clips: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    try:
        metadata = json.loads(contents.get(f"{key}.json", b"{}"))
    except ValueError:
        metadata = {}
        yield "its json cannot be read"
    if metadata and metadata.get("id") != key:
        yield f"its json is that of {metadata.get('id')!r}"
    names = {row["shard_member"] for row in cameras}
    if metadata and {f"{key}.{name}.mp4" for name in metadata.get("cameras", ())} != names:
        yield "its json names other cameras than the rows"
    frames: dict[str, int] = {}
    for row in cameras:
        member = row["shard_member"]
        video, clip = contents.get(member), clips.get(row["id"])
        if video is None:
            continue
        if clip and hashlib.sha256(video).hexdigest() != clip["clip"]["sha256"]:
            yield f"{member} is not the clip that was cut"
        try:
            frames[member] = decode_size(video)[0]
        except Exception as error:  # any error of a decoder for a broken file
            yield f"{member} cannot be decoded: {error}"
    if len(set(frames.values())) > 1:
        yield f"the clips of its cameras have {', '.join(map(str, frames.values()))} frames"
