"""A map of the clips: their embeddings projected to two dimensions by principal component analysis."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.table import part_name, read_part
from pipeline.history.run_history import StepHistory
from pipeline.report.run_reader import RunReader
from pipeline.report.sample import Sample, part_numbers

COLUMN = "embedding"
_MIN_ROWS = 3


def embedding_map(reader: RunReader, sample: Sample) -> dict[str, Any] | None:
    """The map of the sampled rows that have an embedding; None if fewer than three have one.

    Returns:
        The numbers of the rows in the sample, `x` and `y`, and the text of the method.
    """
    steps = [sample.base, *reader.history.steps_on(sample.base.name)]
    author = next((step for step in steps if _adds_embeddings(step)), None)
    if author is None:
        return None
    rows, vectors = _vectors(reader, author, sample)
    if len(rows) < _MIN_ROWS:
        return None
    points, explained = project(vectors)
    method = (
        f"PCA (principal component analysis) of {len(rows):,} embeddings of {vectors.shape[1]:,} values from "
        f"{author.name}. The two axes explain {explained:.0%} of their variance."
    )
    x, y = (np.round(points[:, axis], 4).tolist() for axis in (0, 1))
    return {"rows": rows, "x": x, "y": y, "method": method}


def project(vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """Project vectors to their first two principal components.

    Returns:
        The points, and the share of the variance that they explain. The largest weight of each axis is
        positive, so equal vectors give equal maps.
    """
    centered = vectors - vectors.mean(axis=0, keepdims=True)
    variances, axes = np.linalg.eigh(centered.T @ centered)
    axes = axes[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
    points = centered @ axes
    points = points if points.shape[1] == 2 else np.hstack([points, np.zeros_like(points)])
    total = float(variances.sum())
    return points, float(variances[::-1][:2].sum()) / total if total > 0 else 0.0


def _adds_embeddings(step: StepHistory) -> bool:
    return any(c["name"] == COLUMN and str(c["type"]).startswith("list<") for c in step.columns)


def _vectors(reader: RunReader, author: StepHistory, sample: Sample) -> tuple[list[int], np.ndarray]:
    """The embeddings of the sampled rows, and the number of each row. The first length that occurs counts."""
    at = {(row.part, row.id): i for i, row in enumerate(sample.rows)}
    rows: list[int] = []
    blocks: list[np.ndarray] = []
    for number in part_numbers(sample):
        name = f"{author.folder}/{part_name(number)}"
        if not reader.history.store.exists(name):
            continue
        part = read_part(reader.history.store, name, ["id", COLUMN])
        ids = [at.get((number, row)) for row in part.column("id").to_pylist()]
        lengths = pc.list_value_length(part.column(COLUMN)).to_pylist()
        width = blocks[0].shape[1] if blocks else next((n for n in lengths if n), 0)
        chosen = [k for k, i in enumerate(ids) if i is not None and width and lengths[k] == width]
        if chosen:
            lists = part.column(COLUMN).combine_chunks().take(pa.array(chosen))
            block = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float64).reshape(-1, width)
            finite = np.isfinite(block).all(axis=1)
            blocks.append(block[finite])
            rows += [ids[k] or 0 for k, good in zip(chosen, finite, strict=True) if good]
    return rows, np.concatenate(blocks) if blocks else np.zeros((0, 0))
