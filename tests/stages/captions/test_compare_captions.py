"""Clips with nearly the same caption are counted, and the most similar one is named."""

import random
from itertools import combinations
from pathlib import Path

import pytest
from toys import Quiet

from manifests import Row, column
from manifests.identity import id_of
from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part
from pipeline import Dag, Source
from pipeline.executors.inline import Inline
from pipeline.planning.plan import build_plan
from stages.captions import compare_captions
from stages.captions.compare_captions import CompareCaptions, jaccard
from stages.models.chat.words import hash_trigrams


class CaptionedClip(Row):
    id: str = column("id made from the number")
    caption: str = column("caption")


class Captions(Source[CaptionedClip]):
    """Gives fixed captions, in either order.

    Attributes:
        texts: The captions.
        is_reversed: Whether the last caption comes first.
    """

    texts: tuple[str, ...]
    is_reversed: bool = False
    execution_settings = frozenset({"is_reversed"})

    def rows(self):  # type: ignore[no-untyped-def]
        numbers = range(len(self.texts))
        for n in reversed(numbers) if self.is_reversed else numbers:
            yield CaptionedClip(id=id_of(n), caption=self.texts[n])


Found = tuple[int, int | None, float | None]


def compare(folder: Path, *texts: str, rows_per_part: int = 4, is_reversed: bool = False) -> list[Found]:
    """Return for each caption: number of duplicates, number of the most similar one, and similarity."""
    dag = Dag("compared")
    rows = dag.read(Captions(texts=texts, is_reversed=is_reversed), rows_per_part=rows_per_part)
    dag.save(rows.survey(CompareCaptions()), "all")
    plan = build_plan(dag, FolderStore(folder), "r")
    Inline().run(plan, Quiet())
    folder_name, rows = plan["compare_captions"].folder, {}
    for number in parts_of(plan.store, folder_name):
        rows |= {
            row["id"]: row for row in read_part(plan.store, f"{folder_name}/{part_name(number)}").to_pylist()
        }
    numbers = {id_of(n): n for n in range(len(texts))}
    columns = ("caption_duplicates", "caption_duplicate_of", "caption_duplicate_similarity")
    found = [[rows[id_of(n)][name] for name in columns] for n in range(len(texts))]
    return [(count, numbers.get(other), similarity) for count, other, similarity in found]


LONG = "a man in a red coat walks slowly along the wet street past two parked cars while a woman waits there"


def test_similar_captions_are_counted_and_one_is_named(tmp_path: Path) -> None:
    near = LONG.replace("slowly", "quickly") + " and then he turns left behind the house at the corner of it"
    texts = [LONG, LONG.upper() + "!", "a dog runs", "", LONG + " here", "", "A DOG, runs.", "the sea", near]
    found = compare(tmp_path, *texts)
    assert [count for count, _, _ in found] == [2, 2, 1, 0, 2, 0, 1, 0, 0]
    assert found[0][1:] == (1, 1.0)
    assert found[2][1:] == (6, 1.0)
    assert found[4][1] in (0, 1)
    assert found[4][2] == round(exact_jaccard(LONG, LONG + " here"), 6)
    assert found[7] == (0, None, None)


def exact_jaccard(one: str, two: str) -> float:
    a, b = hash_trigrams(one), hash_trigrams(two)
    return len(a & b) / len(a | b)


def random_texts(rng: random.Random) -> list[str]:
    """Return captions of 40 words, most of them with copies in which some words differ."""
    words = [f"w{n}" for n in range(400)]
    found = []
    for _ in range(40):
        text = rng.choices(words, k=40)
        for changed in rng.choices([0, 1, 1, 2, 12], k=rng.randrange(1, 6)):
            copy = list(text)
            for place in rng.sample(range(40), changed):
                copy[place] = rng.choice(words)
            found.append(" ".join(copy))
    return found


def test_pairs_are_found_whatever_order_parts_and_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = random_texts(random.Random(3))
    found = compare(tmp_path / "a", *texts)
    assert compare(tmp_path / "b", *texts, rows_per_part=50, is_reversed=True) == found
    monkeypatch.setattr(compare_captions, "_GROUP_MEMBERS", 10)
    assert compare(tmp_path / "c", *texts) == found
    true = [0] * len(texts)
    for one, two in combinations(range(len(texts)), 2):
        if exact_jaccard(texts[one], texts[two]) >= 0.8:
            true[one] += 1
            true[two] += 1
    assert sum(true) > 60
    counts = [count for count, _, _ in found]
    assert all(count <= real for count, real in zip(counts, true, strict=True))
    assert sum(counts) >= 0.97 * sum(true)


def test_long_texts_are_compared_by_their_lowest_hashes() -> None:
    import numpy as np

    rng = random.Random(1)
    words = [f"w{rng.randrange(10**6)}" for _ in range(1000)]
    other = words[:700] + [f"v{n}" for n in range(300)]
    sketches = [np.array(sorted(hash_trigrams(" ".join(t))), np.uint32)[:128] for t in (words, other)]
    true = exact_jaccard(" ".join(words), " ".join(other))
    assert abs(jaccard(*sketches) - true) < 0.12
    assert jaccard(sketches[0], sketches[0]) == 1.0


def test_a_stock_phrase_of_many_clips_is_counted(tmp_path: Path) -> None:
    found = compare(tmp_path, *["A static shot of a room."] * 300, rows_per_part=100)
    assert {count for count, _, _ in found} == {299}
