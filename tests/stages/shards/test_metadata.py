"""The json of a sample has a key for each measurement of the recipes."""

from stages.recipes.curate import curate
from stages.shards.pack_shards import CaptionedClip


def test_every_measurement_of_the_recipes_is_in_the_metadata() -> None:
    columns = curate(footage="x").outputs["shards"].columns
    measured = {name for name, origin in columns.items() if origin.node.startswith("measure_")}
    assert len(measured) > 30
    assert measured <= set(CaptionedClip.names())
