"""Reads footage: which files become videos, what lists say about them, and a rule on that."""

from dataclasses import dataclass
from functools import cache

from pipeline import Dag, Rows
from pipeline.recipes.discovery import load_stages
from stages.ingest.list_videos import ListVideos
from stages.ingest.roots import find_list_columns
from stages.shards.metadata import JSON_KEYS


@dataclass(frozen=True)
class Footage:
    """The knobs of the footage. A recipe's argument of this type stands for all of them.

    Attributes:
        where: Rule on the columns of listed videos, such as license == 'cc0'. Videos for which it is false
            are dropped; a video without a value is rejected. Empty: every video is kept.
        images: Whether images of the footage, such as jpg, png and webp, become samples of one frame, in
            shards of their own. Images are not compared with videos.
        allow_private_urls: Whether URLs of a list may reach private addresses, such as 10.0.0.5, localhost or
            a server of your network, and have other schemes than http, https, s3 and gs. URLs in `footage`
            itself may.
    """

    where: str = ""
    images: bool = False
    allow_private_urls: bool = False


DEFAULT_FOOTAGE = Footage()


def read_footage(
    dag: Dag, footage: str, knobs: Footage, extensions: tuple[str, ...], videos_per_part: int
) -> Rows:
    """Add the source of a recipe. Further columns of lists are columns of the videos."""
    media = "videos" if knobs.images else ""
    listed = ListVideos(
        root=footage,
        extensions=extensions,
        list_columns=list_columns(footage, knobs),
        media=media,
        allow_private_urls=knobs.allow_private_urls,
    )
    videos = dag.read(listed, rows_per_part=videos_per_part)
    return keep_where(videos, knobs, "excluded by where")


def list_columns(footage: str, knobs: Footage, *, images: bool = False) -> tuple[str, ...]:
    """The further columns of the lists of the footage, and of texts beside videos (and images) in tars."""
    allowed = knobs.allow_private_urls
    return find_list_columns(footage, _taken_names(), images=images, allow_private_urls=allowed)


def keep_where(rows: Rows, knobs: Footage, because: str) -> Rows:
    """Add the rule `where`, if there is one."""
    return rows.keep(knobs.where, because=because) if knobs.where else rows


@cache
def _taken_names() -> frozenset[str]:
    """The columns that some stage adds, and the names of values in the json of a sample."""
    added = (name for stage in load_stages(("stages",)).values() for name in stage.adds.names())
    return frozenset({"id", "parent", *added, *JSON_KEYS})
