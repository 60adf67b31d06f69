"""A toy recipe for `clipmill try` with a comparison: pieces with few mates are dropped."""

from toys import Mate, Numbers, Split, Square

from pipeline import Dag


class FromStoreMate(Mate):
    """Works from stored columns alone."""

    from_store = True


class QuickMate(Mate):
    """Runs in memory for few rows."""

    max_preview_rows = 14


MATES = {"mate": Mate, "from_store_mate": FromStoreMate, "quick_mate": QuickMate}


def mating(
    count: int = 20,
    min_half: float = 1.0,
    max_mates: int = 1000,
    min_mates: int = 2,
    kind: str = "from_store_mate",
) -> Dag:
    """Pieces of large numbers; pieces with at least `min_mates` mates are kept."""
    dag = Dag("mating")
    numbers = dag.read(Numbers(count=count), rows_per_part=4).annotate(Square())
    pieces = numbers.keep(f"half >= {min_half}", because="too small").expand(Split())
    dag.save(
        pieces.survey(MATES[kind](max_mates=max_mates)).keep(f"count >= {min_mates}", because="lonely"),
        "pieces",
    )
    return dag
