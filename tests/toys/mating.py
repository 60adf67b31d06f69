"""A recipe of toys for trying the knob of a comparison: pieces with few mates are dropped."""

from toys import Mate, Numbers, Split, Square

from pipeline import Dag


class Remate(Mate):
    """From the store alone."""

    from_store = True


class QuickMate(Mate):
    """Not from the store, but quick for few rows."""

    quick_rows = 14


MATES = {"mate": Mate, "remate": Remate, "quick_mate": QuickMate}


def mating(
    count: int = 20, least: float = 1.0, most: int = 1000, fewest: int = 2, kind: str = "remate"
) -> Dag:
    """Pieces of the numbers that are large enough, of which those with at least `fewest` mates are kept."""
    dag = Dag("mating")
    numbers = dag.read(Numbers(count=count), rows_per_part=4).annotate(Square())
    pieces = numbers.keep(f"half >= {least}", because="too small").expand(Split())
    dag.save(pieces.survey(MATES[kind](most=most)).keep(f"count >= {fewest}", because="lonely"), "pieces")
    return dag
