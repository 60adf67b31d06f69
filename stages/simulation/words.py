"""Words of captions: numbers of things, and lists of them."""

from collections import Counter
from collections.abc import Iterable, Sequence

_NUMBERS = ("no", "a", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def count_things(names: Iterable[str]) -> str:
    """Things with their numbers, such as "a red box, two blue balls and an orange cylinder"."""
    return join_words([_count(name, number) for name, number in Counter(names).items()]) or "nothing"


def join_words(words: Sequence[str]) -> str:
    """Words with commas, and "and" before the last."""
    return " and ".join([*filter(None, [", ".join(words[:-1])]), *words[-1:]])


def _count(name: str, number: int) -> str:
    if number > 1:
        written = _NUMBERS[number] if number < len(_NUMBERS) else str(number)
        return f"{written} {name}{'es' if name[-1] in 'xsho' else 's'}"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
