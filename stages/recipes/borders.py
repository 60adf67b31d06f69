"""What becomes of clips with borders: they are dropped, cropped or kept."""

from dataclasses import dataclass

from pipeline import Rows
from stages.media.encoding.encoders import check_choice
from stages.quality.measure_borders import MeasureBorders

BORDERS = ("drop", "crop", "keep")


@dataclass(frozen=True)
class Borders:
    """What becomes of clips with borders. A recipe's argument of this type stands for this knob.

    Attributes:
        borders: Clips with borders: drop (those with black borders, by max_border_share), crop (to the
            picture inside black borders or blurred bars) or keep.
    """

    borders: str = "drop"


def measure_borders(shots: Rows, borders: Borders) -> Rows:
    """Add the step that measures the picture inside borders, if clips are cropped to it.

    Raises:
        ClipmillError: `borders` has an unknown value.
    """
    check_choice(borders.borders, BORDERS, "borders")
    return shots.annotate(MeasureBorders()) if borders.borders == "crop" else shots
