"""The json of a clip has a place for whatever the recipes measure."""

from stages.recipes.curate import curate
from stages.shards.pack_shards import CaptionedClip


def test_every_measurement_of_the_recipes_is_among_the_facts() -> None:
    authors = curate(footage="x").outputs["shards"].authors
    measured = {name for name, author in authors.items() if author.node.startswith("measure_")}
    assert len(measured) > 30
    assert measured <= set(CaptionedClip.names())
