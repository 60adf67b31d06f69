"""Mutated videos for fuzzing: cut, flipped, swapped, zeroed, spliced, misnamed, or with extreme numbers."""

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

HEAD = 4096  # bytes of the header of a file, and of the index of an mp4
EXTREME = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
ENDINGS = (".mp4", ".mkv", ".avi", ".gif", ".ts", ".mov", ".webm", ".y4m", ".mxf", ".h264", ".txt", "")


def mutants(donors: Sequence[Path], seed: int, count: int, into: Path) -> Iterator[Path]:
    """Write `count` mutants, equally many per mutation. The next one replaces the file of the last one."""
    rng = random.Random(seed)
    mutations = list(MUTATIONS.items())
    for number in range(count):
        name, mutate = mutations[number % len(mutations)]
        donor = rng.choice(donors)
        data = bytearray(donor.read_bytes())
        other = rng.choice(donors).read_bytes() if mutate is splice else b""
        mutate(data, rng, other)
        ending = rng.choice(ENDINGS) if name == "misname" else donor.suffix
        path = into / f"{number:04d}-{name}-{donor.stem}{ending}"
        path.write_bytes(data)
        yield path
        path.unlink()


def _headers(data: bytearray) -> list[tuple[int, int]]:
    """Byte ranges of headers: the start of the file, and the index of an mp4 at any offset."""
    found = [(0, min(len(data), HEAD))]
    index = data.rfind(b"moov")
    if index > 0:
        found.append((index, min(len(data), index + HEAD)))
    return found


def _flip(data: bytearray, rng: random.Random, first: int, end: int) -> None:
    for _ in range(rng.randint(1, 200)):
        data[rng.randrange(first, end)] ^= 1 << rng.randrange(8)


def _span(data: bytearray, rng: random.Random) -> tuple[int, int]:
    length = rng.randint(1, max(1, len(data) // 4))
    first = rng.randrange(len(data) - length + 1)
    return first, first + length


def cut(data: bytearray, rng: random.Random, other: bytes) -> None:
    del data[rng.randrange(len(data)) :]


def flip_header(data: bytearray, rng: random.Random, other: bytes) -> None:
    _flip(data, rng, *rng.choice(_headers(data)))


def flip_payload(data: bytearray, rng: random.Random, other: bytes) -> None:
    _flip(data, rng, min(HEAD, len(data) // 2), len(data))


def swap(data: bytearray, rng: random.Random, other: bytes) -> None:
    first, end = _span(data, rng)
    to = rng.randrange(len(data) - (end - first) + 1)
    data[first:end], data[to : to + end - first] = data[to : to + end - first], data[first:end]


def zero(data: bytearray, rng: random.Random, other: bytes) -> None:
    first, end = _span(data, rng)
    data[first:end] = bytes(end - first)


def splice(data: bytearray, rng: random.Random, other: bytes) -> None:
    data[rng.randrange(len(data)) :] = other[rng.randrange(len(other)) :]


def misname(data: bytearray, rng: random.Random, other: bytes) -> None:
    if rng.random() < 0.5:
        _flip(data, rng, *rng.choice(_headers(data)))


def extreme(data: bytearray, rng: random.Random, other: bytes) -> None:
    """Replace a few numbers of the header, of 1, 2 or 4 bytes in either byte order, by extreme values."""
    first, end = rng.choice(_headers(data))
    for _ in range(rng.randint(1, 6)):
        width = rng.choice((1, 2, 4))
        value = rng.choice(EXTREME) & (256**width - 1)
        at = rng.randrange(first, max(first + 1, end - width))
        data[at : at + width] = value.to_bytes(width, rng.choice(("big", "little")))


MUTATIONS: dict[str, Callable[[bytearray, random.Random, bytes], None]] = {
    each.__name__: each for each in (cut, flip_header, flip_payload, swap, zero, splice, misname, extreme)
}
