"""Stable ids: the same content gives the same id on every run, on every machine."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

ID_DIGITS = 20  # 80 bits: at a billion rows the odds of one collision are about 4 in a million


def digest_of(*parts: object) -> str:
    """64 hex digits of SHA-256 over the JSON of `parts` (sorted keys, shortest exact floats)."""
    return hashlib.sha256(_text_of(parts).encode("utf-8", "surrogatepass")).hexdigest()


def id_of(*parts: object) -> str:
    """An id of `ID_DIGITS` hex digits made of `parts`."""
    return digest_of(*parts)[:ID_DIGITS]


def child_id(parent: str, *parts: object) -> str:
    """The id of a row made from the row `parent`, told from its siblings by `parts`."""
    return id_of("child", parent, *parts)


def child_ids(parents: Sequence[str], *parts: Sequence[object]) -> list[str]:
    """`child_id` of many rows, each part a column: the same ids, in a fraction of the time."""
    heads = {parent: f'["child", {_text_of(parent)}' for parent in set(parents)}
    told = [map(str if {*map(type, column)} == {int} else _text_of, column) for column in parts]
    return [
        hashlib.sha256(f"{heads[parent]}, {', '.join(texts)}]".encode("utf-8", "surrogatepass")).hexdigest()[
            :ID_DIGITS
        ]
        for parent, *texts in zip(parents, *told, strict=True)
    ]


def order_of(row_id: str, salt: str = "") -> int:
    """A number in 0 … 2**64 - 1 that depends on the id and the salt only: a reproducible shuffle."""
    seen = hashlib.blake2b(f"{salt}\x1f{row_id}".encode(), digest_size=8)
    return int.from_bytes(seen.digest(), "big")


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} {value!r} cannot be part of an id or a key")


_text_of = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=_plain).encode
