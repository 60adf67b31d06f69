"""Writes stills that the scan stored as an animated WebP, so the source may be gone."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manifests import Artifact, ClipmillError, Row, Store
from manifests.schema import rows_of
from pipeline import Reject
from stages.shards.preview_clip import ClipStills, PreviewClip
from stages.shards.viewers.contact_sheet import row_with_stills

if TYPE_CHECKING:
    import pyarrow as pa


class StoredPreview(Row):
    preview: Artifact | None = None


def write_preview(
    row: "pa.Table", store: Store, path: Path, settings: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write the stored preview of a row, or a new one from its stills.

    Args:
        row: A table with one row: the clip or the video.
        store: The store that holds its files.
        path: The file to write.
        settings: Not used.

    Raises:
        ClipmillError: no stills of the row are stored.
    """
    (stored,) = rows_of(row, StoredPreview, store)
    if stored.preview and store.exists(stored.preview.path):
        path.write_bytes(stored.preview.read())
        return
    stills = row_with_stills(row, store)
    (made,) = PreviewClip().annotate([ClipStills(**vars(stills))])
    if isinstance(made, Reject):
        raise ClipmillError(str(made), remedy="add --as sheet, which shows the nearest still")
    path.write_bytes(made.preview.read())
