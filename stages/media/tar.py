"""Writes tar shards whose bytes depend only on their members, and an index of member offsets.

This module writes every header itself, with fixed times, owners and modes, because `tarfile` and webdataset
let the machine influence some of them. The format is POSIX ustar, which GNU tar, `tarfile` and webdataset
read.
"""

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from manifests import Artifact

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 512
MAX_MEMBER_BYTES = 8**11 - 1  # bytes; eleven octal digits in the header


class Member(NamedTuple):
    """One file in a tar: `size` bytes from byte `offset`."""

    name: str
    offset: int
    size: int

    @property
    def key(self) -> str:
        """The key of its sample: the name up to the first dot after the last slash."""
        folder, slash, file = self.name.rpartition("/")
        return folder + slash + file.partition(".")[0]


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> list[Member]:
    """Write (name, content) pairs in the given order, and return the location of each content.

    The members of one sample must be consecutive, as webdataset requires; the caller sorts them.

    Raises:
        ValueError: Two members have the same name, a name does not fit into a ustar header, or a content has
            8 GiB or more.
    """
    written: list[Member] = []
    seen: set[str] = set()
    with path.open("wb") as out:
        for name, content in members:
            if name in seen:
                raise ValueError(f"two members of {path.name} are named {name!r}")
            seen.add(name)
            out.write(_header(name, len(content)))
            written.append(Member(name, out.tell(), len(content)))
            out.write(content)
            out.write(bytes(-len(content) % BLOCK))
        out.write(bytes(2 * BLOCK))
        out.write(
            bytes(-out.tell() % (20 * BLOCK))
        )  # the record size of GNU tar, so that no reader prints a warning
    return written


def index_table(members: Sequence[Member]) -> "pa.Table":
    """Return the index of a tar: key, member, offset, size (bytes), in the order of the tar."""
    import pyarrow as pa

    return pa.table(
        {
            "key": pa.array([m.key for m in members], pa.string()),
            "member": pa.array([m.name for m in members], pa.string()),
            "offset": pa.array([m.offset for m in members], pa.int64()),
            "size": pa.array([m.size for m in members], pa.int64()),
        }
    )


def index_bytes(members: Sequence[Member], metadata: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """Return `index_table` as a Parquet file with `metadata` in its schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    table = index_table(members).replace_schema_metadata(dict(metadata) or None)
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def pack_tar(
    name: str, members: Iterable[tuple[str, bytes]], metadata: Callable[[], Mapping[str, str]]
) -> tuple[Artifact, Artifact]:
    """Write a tar and its index as temporary files, which are deleted if an error occurs.

    Args:
        name: Name of both artifacts without the ending: NAME.tar and NAME.parquet.
        members: Names and contents.
        metadata: Called when the members are written; returns the metadata of the index.
    """
    with tempfile.NamedTemporaryFile(suffix=".tar", delete=False) as file:
        tar = Path(file.name)
    try:
        written = write_tar(tar, members)
        index = Artifact.of(index_bytes(written, metadata()), ".parquet", name=f"{name}.parquet")
        return Artifact.of_file(tar, name=f"{name}.tar"), index
    except BaseException:
        tar.unlink()
        raise


def _header(name: str, size: int) -> bytes:
    """Return one ustar header. Source: POSIX.1-1988, "Extended tar Format"."""
    if size > MAX_MEMBER_BYTES:
        raise ValueError(f"{name!r} has {size} bytes; the maximum of a tar member is {MAX_MEMBER_BYTES}")
    prefix, short = _split(name)
    fields = [
        short.ljust(100, b"\0"),
        b"0000444\0",  # mode
        b"0000000\0",  # uid
        b"0000000\0",  # gid
        b"%011o\0" % size,
        b"00000000000\0",  # mtime
        b" " * 8,  # the checksum field counts as spaces
        b"0",  # regular file
        bytes(100),  # no link
        b"ustar\x0000",
        bytes(32 + 32),  # no owner and group names
        b"0000000\0" * 2,  # no device
        prefix.ljust(155, b"\0"),
        bytes(12),
    ]
    raw = b"".join(fields)
    return raw[:148] + b"%06o\0 " % sum(raw) + raw[156:]


def _split(name: str) -> tuple[bytes, bytes]:
    """Return the (prefix, name) fields of a ustar header; a long name is split at a slash."""
    encoded = name.encode()
    if not encoded or encoded.startswith(b"/") or b"\0" in encoded or ".." in name.split("/"):
        raise ValueError(f"{name!r} is not a valid name for a tar member")
    if len(encoded) <= 100:
        return b"", encoded
    for cut, byte in enumerate(encoded):
        if byte == ord("/") and cut <= 155 and 0 < len(encoded) - cut - 1 <= 100:
            return encoded[:cut], encoded[cut + 1 :]
    raise ValueError(f"{name!r} is too long for a tar member")
