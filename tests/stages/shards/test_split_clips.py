"""All clips of a video are on one side, and so are videos that hold copies of each other's clips."""

from collections.abc import Sequence

import pytest

from manifests.identity import id_of
from stages.shards.split_clips import ClipSplit, SearchedClip, SplitClips


def _split(stage: SplitClips, rows: Sequence[SearchedClip], parts: int = 1) -> list[ClipSplit]:
    """The results in the order of the rows, computed in the phases of the engine."""
    totals: dict[str, int] = {}
    for k in range(parts):
        for name, value in stage.tally(rows[k::parts]).items():
            totals[name] = totals.get(name, 0) + value
    fitted = stage.fit([], totals)
    groups: dict[str, list[int]] = {}
    for place, group in enumerate(stage.assign(rows, fitted)):
        groups.setdefault(group, []).append(place)
    results: dict[int, ClipSplit] = {}
    for group, places in groups.items():
        settled = stage.settle(group, [rows[place] for place in places], fitted)
        results |= dict(zip(places, settled, strict=True))
    return [results[place] for place in range(len(rows))]


def _clips(
    videos: int, each: int = 3, links: Sequence[tuple[int, int]] = (), similarity: float = 0.9
) -> list[SearchedClip]:
    """Clips of videos 0 …; a link of two videos is a pair of similar clips, one in each."""
    rows = [SearchedClip(id=f"{v}-{k}", parent=id_of("video", v)) for v in range(videos) for k in range(each)]
    for number, (one, other) in enumerate(links):
        for here, there in ((one, other), (other, one)):
            name, other_name = f"{here}-l{number}", f"{there}-l{number}"
            parent = id_of("video", here)
            similar_ids, similarities = (other_name,), (similarity,)
            rows.append(
                SearchedClip(id=name, parent=parent, similar_ids=similar_ids, similarities=similarities)
            )
    return rows


def _by_video(rows: Sequence[SearchedClip], found: Sequence[ClipSplit]) -> dict[str, ClipSplit]:
    return {row.parent: result for row, result in zip(rows, found, strict=True)}


def test_the_share_is_of_videos_and_a_video_is_on_one_side() -> None:
    rows = _clips(2000)
    found = _split(SplitClips(validation_share=0.1), rows)
    sides = {(row.parent, result.split) for row, result in zip(rows, found, strict=True)}
    assert len(sides) == 2000
    validation = {row.parent for row, result in zip(rows, found, strict=True) if result.split == "validation"}
    assert 160 < len(validation) < 240


CHAINS = [(k, k + 100) for k in range(100)] + [(k + 200, k + 100) for k in range(100)]


def _num_split_chains(sides: dict[str, ClipSplit]) -> int:
    """The number of the chains 0-100-200, 1-101-201 … that are on both sides."""
    chains = ([sides[id_of("video", k + step)].split for step in (0, 100, 200)] for k in range(100))
    return sum(len(set(chain)) > 1 for chain in chains)


def test_videos_linked_by_copies_are_on_one_side_also_through_other_videos() -> None:
    stage, linked = SplitClips(validation_share=0.4), _clips(300, links=CHAINS)
    found = _split(stage, linked)
    sides = _by_video(linked, found)
    assert len({(row.parent, result.split) for row, result in zip(linked, found, strict=True)}) == 300
    assert _num_split_chains(sides) == 0
    for k in range(100):
        linked_by = {sides[id_of("video", k + step)].split_by for step in (0, 100, 200)}
        assert linked_by == {min(id_of("video", k + step) for step in (0, 100, 200))}
    far = _clips(300, links=CHAINS, similarity=0.6)
    assert _num_split_chains(_by_video(far, _split(stage, far))) > 40
    lower = SplitClips(validation_share=0.4, duplicate_similarity=0.6)
    assert _num_split_chains(_by_video(far, _split(lower, far))) == 0


@pytest.mark.parametrize("parts", [1, 3, 7])
def test_order_and_parts_do_not_matter(parts: int) -> None:
    rows = _clips(40, links=[(3, 9), (9, 11), (20, 3)])
    stage, back = SplitClips(validation_share=0.3), rows[::-1]
    assert _by_video(rows, _split(stage, rows)) == _by_video(back, _split(stage, back, parts))


def test_more_videos_move_no_video_to_the_other_side() -> None:
    few, more = _clips(50), _clips(500)
    first = [a.split for a in _split(SplitClips(validation_share=0.2), few)]
    assert [a.split for a in _split(SplitClips(validation_share=0.2), more)][: len(few)] == first


@pytest.mark.parametrize(
    ("written", "split"),
    [("val", "validation"), ("Test", "test"), ("training", "train"), ("Fold 1.b", "fold-1-b")],
)
def test_the_split_of_a_list_decides_alone(written: str, split: str) -> None:
    clips = [SearchedClip(id=f"{k}", parent=id_of("video", k), list_split=written) for k in range(20)]
    found = _split(
        SplitClips(validation_share=0.5), [*clips, SearchedClip(id="x", parent="x", list_split=" ")]
    )
    assert {(result.split, result.split_by) for result in found[:-1]} == {(split, "list")}
    assert found[-1].split_by == "x"
