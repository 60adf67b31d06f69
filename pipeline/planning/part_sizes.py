"""The parts of a source: small in a small source, larger the more rows there are.

A part closes at a number of rows or of bytes of source files, whichever comes first. Both double with every
256 parts, up to 1,024 rows and 16 GiB: 4,096 videos of up to 16 MB are in 256 parts, 100 thousand in 1,175
and ten million in 11,050. The size of a part depends only on its number, so the parts that a source has
already do not change when rows are added at its end, and no total must be known before the first part is
written.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from manifests.row import Row

SIZE_COLUMN = "size_bytes"  # column of a source with the size of the file in bytes
_FIRST_ROWS, _FIRST_BYTES = 16, 256 << 20
_EQUAL_PARTS = 256
_MAX_DOUBLINGS = 6


def split_into_parts(rows: Iterable[Row], rows_per_part: int = 0) -> Iterator[list[Row]]:
    """The rows of each part of a source, in order.

    Args:
        rows: The rows of the source.
        rows_per_part: Fixed number of rows per part; 0: the sizes above.
    """
    part: list[Row] = []
    number = size_bytes = 0
    for row in rows:
        max_rows, max_bytes = (rows_per_part, 0) if rows_per_part else part_size(number)
        added = _size(row)
        if part and max_bytes and size_bytes + added > max_bytes:
            yield part
            part, number, size_bytes = [], number + 1, 0
            max_rows, max_bytes = part_size(number)
        part.append(row)
        size_bytes += added
        if len(part) == max_rows or size_bytes >= max_bytes > 0:  # now: the next row may take long
            yield part
            part, number, size_bytes = [], number + 1, 0
    if part:
        yield part


def part_size(number: int) -> tuple[int, int]:
    """The rows and the bytes of source files at which part `number` closes."""
    doublings = min(number // _EQUAL_PARTS, _MAX_DOUBLINGS)
    return _FIRST_ROWS << doublings, _FIRST_BYTES << doublings


def _size(row: Row) -> int:
    size: Any = getattr(row, SIZE_COLUMN, 0)
    return size if isinstance(size, int) else 0
