"""The knob `hdr` of the recipes keeps, tone-maps or drops HDR videos."""

from typing import Any

import pytest

from manifests import ClipmillError
from pipeline import Dag
from stages.recipes.curate import Curation, curate
from stages.recipes.latents import latents


def _node(dag: Dag, name: str) -> Any:
    return dag.nodes[name].work


@pytest.mark.parametrize("recipe", [curate, latents])
@pytest.mark.parametrize("hdr", ["tonemap", "keep"])
def test_clips_are_tone_mapped_or_kept(recipe: Any, hdr: str) -> None:
    dag = recipe("films", curation=Curation(hdr=hdr))
    assert _node(dag, "cut_clip").hdr == hdr
    assert "hdr" not in dag.nodes


@pytest.mark.parametrize("recipe", [curate, latents])
def test_hdr_videos_are_dropped_before_the_scan(recipe: Any) -> None:
    dag = recipe("films", curation=Curation(hdr="drop"))
    names = list(dag.nodes)
    assert names.index("probe_video") < names.index("hdr") < names.index("scan_video")
    assert str(_node(dag, "hdr").where) == "not is_hdr"


def test_an_unknown_value_is_an_error() -> None:
    with pytest.raises(ClipmillError, match="no hdr 'hlg'"):
        curate("films", curation=Curation(hdr="hlg"))
