"""A caption's length, its repetitions, and the other clips that are said to show nearly the same."""

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
from pipeline.planning.plan import plan_of
from stages.captions import compare_captions
from stages.captions.compare_captions import CompareCaptions, likeness
from stages.captions.measure_caption import CaptionMeasures, MeasureCaption, Worded
from stages.captions.wording import hashes_of, words_of


def measured(*captions: str) -> list[CaptionMeasures]:
    return list(MeasureCaption().annotate([Worded(caption=caption) for caption in captions]))


@pytest.mark.parametrize(
    ("caption", "words", "repeated"),
    [
        ("", 0, 0.0),
        ("A dog.", 2, 0.0),
        ("A dog runs, and a cat doesn't.", 7, 0.0),
        ("the dog runs the dog runs the dog runs", 9, 4 / 7),
        ("no no no no no no", 6, 3 / 4),
        ("一只狗在草地上跑。", 8, 0.0),
        ("狗狗狗狗狗", 5, 2 / 3),
        ("A 🦮\x00 and שלום עולם", 4, 0.0),
        ("word " * 20_000, 20_000, 1 - 1 / 19_998),
    ],
)
def test_words_and_what_is_repeated(caption: str, words: int, repeated: float) -> None:
    [row] = measured(caption)
    assert row.caption_words == words
    assert row.caption_characters == len(caption)
    assert row.caption_repetition == round(repeated, 6)


def test_an_enhanced_caption_is_measured_in_place_of_the_first() -> None:
    rows = [Worded(caption="one two", enhanced_caption=text) for text in ("a b c d", None, "")]
    assert [row.caption_words for row in MeasureCaption().annotate(rows)] == [4, 2, 2]


def test_the_same_at_batch_1_and_8() -> None:
    captions = [f"a dog number {n} runs and runs and runs" for n in range(8)]
    assert measured(*captions) == [row for caption in captions for row in measured(caption)]


class Told(Row):
    id: str = column("made from the number")
    caption: str = column("what it shows")


class Captions(Source[Told]):
    """Given captions."""

    texts: tuple[str, ...]
    turned: bool = False
    place = frozenset({"turned"})

    def rows(self):  # type: ignore[no-untyped-def]
        numbers = range(len(self.texts))
        for n in reversed(numbers) if self.turned else numbers:
            yield Told(id=id_of(n), caption=self.texts[n])


Found = tuple[int, int | None, float | None]


def compared(folder: Path, *texts: str, rows_per_part: int = 4, turned: bool = False) -> list[Found]:
    """For each caption: its twins, the number of the one named, and how alike that is."""
    dag = Dag("compared")
    told = dag.read(Captions(texts=texts, turned=turned), rows_per_part=rows_per_part)
    dag.save(told.survey(CompareCaptions()), "all")
    plan = plan_of(dag, FolderStore(folder), "r")
    Inline().run(plan, Quiet())
    where, rows = plan["compare_captions"].folder, {}
    for number in parts_of(plan.store, where):
        rows |= {row["id"]: row for row in read_part(plan.store, f"{where}/{part_name(number)}").to_pylist()}
    numbers = {id_of(n): n for n in range(len(texts))}
    columns = ("caption_duplicates", "caption_duplicate_of", "caption_duplicate_similarity")
    found = [[rows[id_of(n)][name] for name in columns] for n in range(len(texts))]
    return [(count, numbers.get(twin), similarity) for count, twin, similarity in found]


LONG = "a man in a red coat walks slowly along the wet street past two parked cars while a woman waits there"


def test_captions_that_are_nearly_the_same_are_counted_and_one_is_named(tmp_path: Path) -> None:
    near = LONG.replace("slowly", "quickly") + " and then he turns left behind the house at the corner of it"
    texts = [LONG, LONG.upper() + "!", "a dog runs", "", LONG + " here", "", "A DOG, runs.", "the sea", near]
    found = compared(tmp_path, *texts)
    assert [count for count, _, _ in found] == [2, 2, 1, 0, 2, 0, 1, 0, 0]
    assert found[0][1:] == (1, 1.0)
    assert found[2][1:] == (6, 1.0)
    assert found[4][1] in (0, 1)
    assert found[4][2] == round(likeness_of(LONG, LONG + " here"), 6)
    assert found[7] == (0, None, None)


def likeness_of(one: str, two: str) -> float:
    a, b = hashes_of(one), hashes_of(two)
    return len(a & b) / len(a | b)


def texts_by_chance(rng: random.Random) -> list[str]:
    """Captions of 40 words, most of them with copies in which some words are others."""
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


def test_order_parts_and_groups_do_not_matter_and_pairs_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = texts_by_chance(random.Random(3))
    found = compared(tmp_path / "a", *texts)
    assert compared(tmp_path / "b", *texts, rows_per_part=50, turned=True) == found
    monkeypatch.setattr(compare_captions, "_MEMBERS", 10)
    assert compared(tmp_path / "c", *texts) == found
    true = [0] * len(texts)
    for one, two in combinations(range(len(texts)), 2):
        if likeness_of(texts[one], texts[two]) >= 0.8:
            true[one] += 1
            true[two] += 1
    assert sum(true) > 60
    counts = [count for count, _, _ in found]
    assert all(count <= real for count, real in zip(counts, true, strict=True))
    assert sum(counts) >= 0.97 * sum(true)


def test_long_texts_are_told_by_their_lowest_hashes() -> None:
    import numpy as np

    rng = random.Random(1)
    words = [f"w{rng.randrange(10**6)}" for _ in range(1000)]
    other = words[:700] + [f"v{n}" for n in range(300)]
    sketches = [np.array(sorted(hashes_of(" ".join(t))), np.uint32)[:128] for t in (words, other)]
    true = likeness_of(" ".join(words), " ".join(other))
    assert abs(likeness(*sketches) - true) < 0.12
    assert likeness(sketches[0], sketches[0]) == 1.0


def test_a_stock_phrase_of_many_clips_is_counted_in_good_time(tmp_path: Path) -> None:
    found = compared(tmp_path, *["A static shot of a room."] * 300, rows_per_part=100)
    assert {count for count, _, _ in found} == {299}


def test_words_are_told_apart() -> None:
    assert words_of("It’s a RED-hot car_park; 3.5 m!") == [
        "it’s",
        "a",
        "red",
        "hot",
        "car",
        "park",
        "3",
        "5",
        "m",
    ]
