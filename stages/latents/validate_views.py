"""Validates packed views: each sample has the latents of all cameras, of the shape that the index states."""

import hashlib
import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from manifests import Artifact
from manifests.catalog import Table
from manifests.errors import ManifestError
from manifests.verbs.validation import CheckResult
from stages.latents.validate_conditions import condition_faults
from stages.media.safetensors_header import read_header
from stages.media.tar import Member

_REMEDY = "delete the shard and the rows of its group and run again, or restore the stored file"
_OTHERS = (".json", ".txt", ".text.safetensors", ".conditions.safetensors")


def validate_views(table: Table, result: CheckResult, *, quick: bool) -> None:
    """Compare the tars of a table of `PackViews` with its rows and with their indexes.

    Args:
        table: the table of a finished step.
        result: receives the faults.
        quick: compare only the names, offsets and sizes of members in the tar headers and in the index.
    """
    by_path: dict[str, list[Mapping[str, Any]]] = {}
    for row in table.read().to_pylist():
        by_path.setdefault(row["latents_shard"]["path"], []).append(row)
    for path, rows in sorted(by_path.items()):
        names = ("latents_shard", "latents_index")
        shard, index = (Artifact(store=table.store, **rows[0][name]) for name in names)
        where = f"{table.store.url}/{path}"
        try:
            for fault in _shard_faults(shard, index, rows, quick):
                result.fault(fault, where, _REMEDY)
        except FileNotFoundError:
            continue  # the check of artifacts reports it
        except (tarfile.TarError, ManifestError, KeyError, ValueError) as error:
            result.fault(f"a shard cannot be read: {error}", where, _REMEDY)


def _shard_faults(
    shard: Artifact, index: Artifact, rows: Sequence[Mapping[str, Any]], quick: bool
) -> Iterator[str]:
    import pyarrow.parquet as pq

    data = shard.read()
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as opened:
        members = [Member(info.name, info.offset_data, info.size) for info in opened]
    table = pq.read_table(io.BytesIO(index.read()))
    if members != [Member(row["member"], row["offset"], row["size"]) for row in table.to_pylist()]:
        yield "the index of a shard does not match the members of the shard"
    metadata = json.loads(table.schema.metadata[b"clipmill.latents"])
    keys = {row["latents_key"] for row in rows}
    expected = Counter(
        [*(row["latents_member"] for row in rows), *(f"{k}{s}" for k in keys for s in _OTHERS[:2])]
    )
    found = Counter(m.name for m in members if not m.name.endswith(_OTHERS[2:]))
    for name in sorted(((expected - found) + (found - expected)).keys()):
        yield f"the member {name} is {'missing' if name in expected else 'named by no row'}"
    if metadata["samples"] != len(keys):
        yield f"the index states {metadata['samples']} samples, and {len(keys)} are named by rows"
    if quick:
        return
    if hashlib.sha256(data).hexdigest() != shard.sha256:
        yield "the digest of a shard is not the one that was stored"
    yield from _condition_faults(data, members, metadata)
    for member in members:
        if member.name in expected and not member.name.endswith(_OTHERS):
            yield from _tensor_faults(
                member.name, data[member.offset : member.offset + member.size], metadata
            )


def _condition_faults(data: bytes, members: Sequence[Member], metadata: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the conditions of each camera of each sample."""
    contents = {m.name: data[m.offset : m.offset + m.size] for m in members if m.name.endswith(_OTHERS[::3])}
    frames = 1 + (metadata["shape"][1] - 1) * metadata["stride"][0]
    for key in [name.removesuffix(".json") for name in contents if name.endswith(".json")]:
        for view in metadata["views"]:
            name = f"{key}.{view}"
            found = contents.get(f"{name}{_OTHERS[3]}")
            faults = condition_faults(found, metadata.get("conditions"), frames, metadata["fps"], None)
            yield from (f"{name}: {fault}" for fault in faults)


def _tensor_faults(name: str, data: bytes, metadata: Mapping[str, Any]) -> Iterator[str]:
    from safetensors.torch import load

    header = read_header(data)
    [tensor] = header.keys() - {"__metadata__"}
    if header[tensor]["shape"] != metadata["shape"]:
        yield f"{name} has the shape {header[tensor]['shape']}, not {metadata['shape']}"
    latents = load(data)[tensor]
    if latents.is_floating_point() and not bool(latents.isfinite().all()):
        yield f"{name} has values that are not finite"
