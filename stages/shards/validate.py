"""Validates packed shards: each sample is where its row says, complete, and has the expected length."""

import hashlib
import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from manifests import Artifact
from manifests.catalog import Table
from manifests.errors import ManifestError
from manifests.verbs.validation import CheckResult
from stages.media.decoding.container import open_options
from stages.media.tar import Member
from stages.shards.pack_shards import EXTENSIONS, INDEX_COLUMNS, SHARD_COLUMNS
from stages.shards.sample import IMAGE_EXTENSIONS, read_index

_REMEDY = "delete the shard and the rows of its group and run again, or restore the stored file"
_CLIP_COLUMNS = ("clip", "clip_frames", "clip_width_px", "clip_height_px")
_METADATA_KEYS = ("frames", "width_px", "height_px")


class _Tar(NamedTuple):
    """One tar that rows name.

    Attributes:
        shard: the tar.
        index_file: its Parquet index.
        extensions: extensions of the members of each key; () for a tar with all members of a sample.
        rows: the rows of the samples by key.
    """

    shard: Artifact
    index_file: Artifact
    extensions: tuple[str, ...]
    rows: Mapping[str, Mapping[str, Any]]


def validate_shards(table: Table, result: CheckResult, *, quick: bool) -> None:
    """Compare the tars of a table of `PackShards` with its rows and with the clips that were cut.

    Args:
        table: the table of a finished step.
        result: receives the faults.
        quick: compare only the names, offsets and sizes of members in the tar headers and in the index.
            Otherwise all members are read, digests are compared, and all clips are decoded.
    """
    clips = {} if quick else cut_clips(table)
    for tar in _tars(table):
        where = f"{table.store.url}/{tar.shard.path}"
        try:
            with tar.shard.local() as path:
                _validate_tar(path, tar, clips, result, where, quick)
        except FileNotFoundError:
            continue  # the check of artifacts reports it
        except (tarfile.TarError, ManifestError) as error:
            result.fault(f"a shard cannot be read: {error}", where, _REMEDY)


def _tars(table: Table) -> Iterator[_Tar]:
    """Each tar with the rows of the samples in it."""
    rows = table.read().to_pylist()
    has_separate_tars = any(row["metadata_shard"] for row in rows)
    for extension, column in SHARD_COLUMNS.items():
        by_path: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            if row[column]:
                by_path.setdefault(row[column]["path"], []).append(row)
        for path in sorted(by_path):
            first = by_path[path][0]
            names = (column, INDEX_COLUMNS[extension])
            tar, index = (Artifact(store=table.store, **first[name]) for name in names)
            extensions = (extension,) if has_separate_tars else ()
            yield _Tar(tar, index, extensions, {row["shard_key"]: row for row in by_path[path]})


def cut_clips(table: Table) -> dict[str, Mapping[str, Any]]:
    """The rows of the step that cut the clips, by id; empty if its table is not in the store."""
    queue, visited = list(table.manifest.inputs), set[str]()
    while queue:
        folder = queue.pop()
        if folder in visited:
            continue
        visited.add(folder)
        previous = Table(table.store, folder)
        try:
            manifest = previous.manifest
        except ManifestError:
            continue
        if set(_CLIP_COLUMNS) <= {column["name"] for column in manifest.columns}:
            return {row["id"]: row for row in previous.read(["id", *_CLIP_COLUMNS]).to_pylist()}
        queue += manifest.inputs
    return {}


def _validate_tar(
    path: Path,
    tar: _Tar,
    clips: Mapping[str, Mapping[str, Any]],
    result: CheckResult,
    where: str,
    quick: bool,
) -> None:
    with tarfile.open(path, "r:") as opened:
        members = [Member(info.name, info.offset_data, info.size) for info in opened]
    try:
        if members != read_index(tar.index_file):
            result.fault("the index of a shard does not match the members of the shard", where, _REMEDY)
    except (FileNotFoundError, ManifestError):
        result.fault("the index of a shard is not the file that was stored", where, _REMEDY)
    extensions: dict[str, list[str]] = {}
    for member in members:
        extensions.setdefault(member.key, []).append(member.name.removeprefix(f"{member.key}."))
    _check_names(tar, extensions, result, where)
    if quick:
        return
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != tar.shard.sha256:
            result.fault("the digest of a shard is not the one that was stored", where, _REMEDY)
        contents: dict[str, bytes] = {}
        for number, member in enumerate(members):
            file.seek(member.offset)
            contents[member.name] = file.read(member.size)
            if number + 1 == len(members) or members[number + 1].key != member.key:
                for fault in _sample_faults(member.key, contents, clips.get(member.key)):
                    result.fault(f"{member.key}: {fault}", where, _REMEDY)
                contents = {}


def _check_names(tar: _Tar, found: Mapping[str, list[str]], result: CheckResult, where: str) -> None:
    """Check that the tar holds all members of its samples and no others."""
    for key in tar.rows.keys() - found.keys():
        result.fault(f"the clip {key} is missing from the shard that its row names", where, _REMEDY)
    for key in found.keys() - tar.rows.keys():
        result.fault(f"a shard holds the clip {key}, which has no row", where, _REMEDY)
    for key, extensions in found.items():
        expected = tar.extensions or tuple(e for e in EXTENSIONS if e != "npy" or "npy" in extensions)
        image = next((e for e in IMAGE_EXTENSIONS if e in extensions), "mp4")
        expected = tuple(image if e == "mp4" else e for e in expected)
        if Counter(extensions) != Counter(expected):
            held, wanted = ", ".join(extensions), ", ".join(expected)
            result.fault(f"the clip {key} has the members {held}, not {wanted}", where, _REMEDY)


def _sample_faults(key: str, contents: Mapping[str, bytes], clip: Mapping[str, Any] | None) -> Iterator[str]:
    """The faults in the contents of the members of one sample."""
    metadata: dict[str, Any] = {}
    try:
        metadata = json.loads(contents.get(f"{key}.json", b"{}"))
    except ValueError:
        yield "its json cannot be read"
    if metadata and metadata.get("id") != key:
        yield f"its json is that of {metadata.get('id')!r}"
    text = contents.get(f"{key}.txt")
    if metadata and text is not None and text.decode("utf-8", "replace") != metadata.get("caption"):
        yield "its text is not the caption in its json"
    names = (f"{key}.{extension}" for extension in ("mp4", *IMAGE_EXTENSIONS))
    video = next((contents[name] for name in names if name in contents), None)
    if video is None:
        return
    expected: list[Any] | None = None
    if clip:
        expected = [clip[name] for name in _CLIP_COLUMNS[1:]]
    elif metadata:
        expected = [metadata.get(name) for name in _METADATA_KEYS]
    if clip and hashlib.sha256(video).hexdigest() != clip["clip"]["sha256"]:
        yield "its video is not the clip that was cut"
    try:
        decoded = decode_size(video)
    except Exception as error:  # any error of a decoder for a broken file
        yield f"its video cannot be decoded: {error}"
        return
    if expected and decoded != expected:
        found, wanted = ("{} frames of {} x {} px".format(*each) for each in (decoded, expected))
        yield f"its video has {found}, not {wanted}"


def decode_size(video: bytes) -> list[int]:
    """The number of frames, all of which are decoded, and their width and height in pixels."""
    import av

    count, width, height = 0, 0, 0
    with av.open(io.BytesIO(video), "r", options=open_options(is_path=False)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            count, width, height = count + 1, frame.width, frame.height
    return [count, width, height]
