"""No scene is on both sides: neither a video's clips, nor videos that hold copies of each other's."""

from collections.abc import Sequence

import pytest

from manifests.identity import id_of
from stages.shards.split_clips import SearchedClip, Sided, SplitClips


def _split(stage: SplitClips, rows: Sequence[SearchedClip], parts: int = 1) -> list[Sided]:
    """The answers in the order of the rows, reached as the engine does."""
    totals: dict[str, int] = {}
    for k in range(parts):
        for name, value in stage.tally(rows[k::parts]).items():
            totals[name] = totals.get(name, 0) + value
    fitted = stage.fit([], totals)
    groups: dict[str, list[int]] = {}
    for place, group in enumerate(stage.assign(rows, fitted)):
        groups.setdefault(group, []).append(place)
    answers: dict[int, Sided] = {}
    for group, places in groups.items():
        given = stage.settle(group, [rows[place] for place in places], fitted)
        answers |= dict(zip(places, given, strict=True))
    return [answers[place] for place in range(len(rows))]


def _clips(
    videos: int, each: int = 3, links: Sequence[tuple[int, int]] = (), near: float = 0.9
) -> list[SearchedClip]:
    """Clips of videos 0 …; a link of two videos is a pair of clips, one in each, that name each other."""
    rows = [SearchedClip(id=f"{v}-{k}", parent=id_of("video", v)) for v in range(videos) for k in range(each)]
    for number, (one, other) in enumerate(links):
        for here, there in ((one, other), (other, one)):
            name, twin = f"{here}-l{number}", f"{there}-l{number}"
            parent = id_of("video", here)
            rows.append(SearchedClip(id=name, parent=parent, alike=(twin,), similarities=(near,)))
    return rows


def _by_video(rows: Sequence[SearchedClip], found: Sequence[Sided]) -> dict[str, Sided]:
    return {row.parent: answer for row, answer in zip(rows, found, strict=True)}


def test_the_share_is_of_the_videos_and_a_video_is_on_one_side() -> None:
    rows = _clips(2000)
    found = _split(SplitClips(share=0.1), rows)
    sides = {(row.parent, answer.split) for row, answer in zip(rows, found, strict=True)}
    assert len(sides) == 2000
    aside = {row.parent for row, answer in zip(rows, found, strict=True) if answer.split == "validation"}
    assert 160 < len(aside) < 240


CHAINS = [(k, k + 100) for k in range(100)] + [(k + 200, k + 100) for k in range(100)]


def _torn(sides: dict[str, Sided]) -> int:
    """How many of the chains 0-100-200, 1-101-201 … are on both sides."""
    chains = ([sides[id_of("video", k + step)].split for step in (0, 100, 200)] for k in range(100))
    return sum(len(set(chain)) > 1 for chain in chains)


def test_videos_linked_by_copies_are_on_one_side_also_through_others() -> None:
    stage, linked = SplitClips(share=0.4), _clips(300, links=CHAINS)
    found = _split(stage, linked)
    sides = _by_video(linked, found)
    assert len({(row.parent, answer.split) for row, answer in zip(linked, found, strict=True)}) == 300
    assert _torn(sides) == 0
    for k in range(100):
        whole = {sides[id_of("video", k + step)].split_by for step in (0, 100, 200)}
        assert whole == {min(id_of("video", k + step) for step in (0, 100, 200))}
    far = _clips(300, links=CHAINS, near=0.6)
    assert _torn(_by_video(far, _split(stage, far))) > 40
    assert _torn(_by_video(far, _split(SplitClips(share=0.4, linked_from=0.6), far))) == 0


@pytest.mark.parametrize("parts", [1, 3, 7])
def test_order_and_parts_do_not_matter(parts: int) -> None:
    rows = _clips(40, links=[(3, 9), (9, 11), (20, 3)])
    stage, back = SplitClips(share=0.3), rows[::-1]
    assert _by_video(rows, _split(stage, rows)) == _by_video(back, _split(stage, back, parts))


def test_more_videos_move_none_to_the_other_side() -> None:
    few, more = _clips(50), _clips(500)
    first = [a.split for a in _split(SplitClips(share=0.2), few)]
    assert [a.split for a in _split(SplitClips(share=0.2), more)][: len(few)] == first
