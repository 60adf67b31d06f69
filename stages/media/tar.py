"""Tar shards whose bytes depend on nothing but their members, and whose members can be read by offset.

Every header is written out here with pinned times, owners and modes, since `tarfile` and webdataset leave
some of them to the machine. The format is POSIX ustar, which GNU tar, `tarfile` and webdataset read.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 512
LARGEST = 8**11 - 1  # bytes of one member that eleven octal digits can say


class Member(NamedTuple):
    """One file inside a tar: `size` bytes from byte `offset`."""

    name: str
    offset: int
    size: int

    @property
    def key(self) -> str:
        """The sample it belongs to: the name up to the first dot after the last slash."""
        folder, slash, file = self.name.rpartition("/")
        return folder + slash + file.partition(".")[0]


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> list[Member]:
    """Write (name, content) pairs in the order given, and say where each content lies.

    Members of one sample must follow each other, as webdataset wants it; the caller sorts.

    Raises:
        ValueError: a name is given twice, does not fit into a ustar header, or its content is 8 GiB or more.
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
        out.write(bytes(-out.tell() % (20 * BLOCK)))  # GNU tar's record size, so that no reader warns
    return written


def index_table(members: Sequence[Member]) -> "pa.Table":
    """The index beside a tar: key, member, offset, size; in the order of the tar."""
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
    """`index_table` as a Parquet file; `metadata` goes into its schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    table = index_table(members).replace_schema_metadata(dict(metadata) or None)
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def _header(name: str, size: int) -> bytes:
    """One ustar header. Source: POSIX.1-1988, "Extended tar Format"."""
    if size > LARGEST:
        raise ValueError(f"{name!r} has {size} bytes; a tar member has at most {LARGEST}")
    prefix, short = _split(name)
    fields = [
        short.ljust(100, b"\0"),
        b"0000444\0",  # mode
        b"0000000\0",  # uid
        b"0000000\0",  # gid
        b"%011o\0" % size,
        b"00000000000\0",  # mtime
        b" " * 8,  # the checksum counts itself as blanks
        b"0",  # a plain file
        bytes(100),  # no link
        b"ustar\x0000",
        bytes(32 + 32),  # owner and group go unnamed
        b"0000000\0" * 2,  # no device
        prefix.ljust(155, b"\0"),
        bytes(12),
    ]
    raw = b"".join(fields)
    return raw[:148] + b"%06o\0 " % sum(raw) + raw[156:]


def _split(name: str) -> tuple[bytes, bytes]:
    """A name as the (prefix, name) fields of a ustar header, cut at a slash where it is long."""
    whole = name.encode()
    if not whole or whole.startswith(b"/") or b"\0" in whole or ".." in name.split("/"):
        raise ValueError(f"{name!r} is no name for a tar member")
    if len(whole) <= 100:
        return b"", whole
    for cut, byte in enumerate(whole):
        if byte == ord("/") and cut <= 155 and 0 < len(whole) - cut - 1 <= 100:
            return whole[:cut], whole[cut + 1 :]
    raise ValueError(f"{name!r} is too long for a tar member")
