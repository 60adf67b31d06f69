"""Hypothesis strategies that damage valid bytes: single bytes, spans, tokens, and values of JSON."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

_TOKENS = (
    b"", b"\0", b"\xff" * 8, b"\x80" * 12, b"..", b"../../etc/passwd", b"/etc/passwd", b"{" * 40, b"[" * 3000,
    b"(" * 300, b"not " * 500, b"- " * 200, b"9" * 5000, b"1e999", b"-1", b"NaN", b"null", b'""', b"'", b'"',
    b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\r", b"\n", b",", b":", b"${x}", b"&a [*a,*a]", b"*a", b"<<: *a",
    b"!!python/object/apply:os.system [id]", b"__class__", b".x", b"(lambda: 0)()",
    b"#list=/etc/passwd&line=9",
    b"#member=x&offset=0&size=9", b"http://[", b"http://169.254.169.254/", b"\\x00", b"\\ud800", b"\xc2\xb2",
)  # fmt: skip
_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.sampled_from(["../x", "/etc", "", "\0", "a" * 300, 10**30, -1, 1e308, float("nan")]),
)  # fmt: skip
JSON_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
)


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """Return one of the seeds with up to eight changes, or arbitrary bytes."""
    seed = draw(st.sampled_from(seeds))
    kind = draw(st.sampled_from(("bytes", "bytes", "json", "any")))
    if kind == "any":
        return draw(st.binary(max_size=200))
    if kind == "json" and (value := _parse(seed)) is not None:
        return json.dumps(_replace(draw, value, draw(JSON_VALUES))).encode()
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, 8))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from((0, 0, 1, 1, 4, 30, 1 << 20))))
        data[start:end] = draw(st.sampled_from(_TOKENS) | st.binary(max_size=4) | st.just(bytes(data[:end])))
    return bytes(data[: 1 << 18])


def _parse(seed: bytes) -> Any:
    try:
        return json.loads(seed)
    except ValueError:
        return None


def _replace(draw: st.DrawFn, value: Any, new: Any) -> Any:
    """Return the value with another one somewhere in it, or without one of its members."""
    if isinstance(value, dict | list) and value and draw(st.integers(0, 4)):
        keys = sorted(value) if isinstance(value, dict) else range(len(value))
        key = draw(st.sampled_from(keys))
        copy = type(value)(value)
        if draw(st.integers(0, 9)) == 0:
            del copy[key]
        else:
            copy[key] = _replace(draw, value[key], new)
        return copy
    return new
