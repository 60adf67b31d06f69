"""The table of a measure: estimates of each row, differences from the model, and drift curves."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from training.evaluation.world.measure import (
    FROZEN,
    LAST,
    MODEL,
    OTHER,
    SHUFFLED,
    TRUTH,
    TRUTH_WRONG,
    VELOCITY,
    WRONG,
    Array,
    Column,
    Measured,
)
from training.evaluation.world.statistics import Bootstrap, Estimate, mean_curve, none_if_nan

ORDER = (MODEL, TRUTH, TRUTH_WRONG, WRONG, SHUFFLED, OTHER, FROZEN, LAST, VELOCITY)


@dataclass
class Table:
    """Values of one measure.

    Attributes:
        name: Name of the measure.
        columns: Its columns.
        main: Key of its main column.
        unit: What the values are means over: clips or recordings.
        notes: What was used, as JSON values.
        values: By row, column and clip.
        curves: By row, column and clip.
        missing: Why clips were not measured, by clip.
        why_not: Why values are missing, by row and clip.
    """

    name: str
    columns: Sequence[Column]
    main: str
    unit: str = "clips"
    notes: Mapping[str, Any] = field(default_factory=dict)
    values: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    curves: dict[str, dict[str, dict[str, Array]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    why_not: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, row: str, clip: str, seeds: Sequence[Measured]) -> None:
        """Add the values of a clip: means over the seeds that have them."""
        for column in self.columns:
            value = _mean([each.values.get(column.key, math.nan) for each in seeds])
            self.values.setdefault(row, {}).setdefault(column.key, {})[clip] = value
            curves = {
                str(seed): each.curves[column.key]
                for seed, each in enumerate(seeds)
                if column.key in each.curves
            }
            if curves:
                self.curves.setdefault(row, {}).setdefault(column.key, {})[clip] = mean_curve(curves)
        reasons = [each.why_not for each in seeds if each.why_not]
        if reasons:
            self.why_not.setdefault(row, {})[clip] = reasons[0]

    @property
    def rows(self) -> list[str]:
        """The rows: the model, further films, then the controls."""
        further = [row for row in self.values if row not in ORDER]
        return [row for row in (MODEL, *further, *ORDER[1:]) if row in self.values]

    @property
    def clips(self) -> tuple[str, ...]:
        """Names of the clips that were measured."""
        return tuple(
            sorted({clip for row in self.values.values() for found in row.values() for clip in found})
        )

    def used_columns(self) -> list[Column]:
        """The columns with a value in some row."""
        return [
            column
            for column in self.columns
            if any(
                not math.isnan(value)
                for row in self.values.values()
                for value in row.get(column.key, {}).values()
            )
        ]

    def estimates(self, bootstrap: Bootstrap) -> dict[str, dict[str, Estimate]]:
        """By row and column."""
        return {
            row: {c.key: bootstrap.estimate(self.values[row].get(c.key, {})) for c in self.columns}
            for row in self.rows
        }

    def differences(self, bootstrap: Bootstrap) -> dict[str, dict[str, Estimate]]:
        """Each row minus the model, by row and column, over the clips that have both."""
        base = self.values.get(MODEL, {})
        return {
            row: {
                c.key: bootstrap.difference(self.values[row].get(c.key, {}), base.get(c.key, {}))
                for c in self.columns
            }
            for row in self.rows
            if row != MODEL
        }

    def mean_curves(self) -> dict[str, dict[str, Array]]:
        """Means over clips by frame, by column and row."""
        found: dict[str, dict[str, Array]] = {}
        for row in self.rows:
            for key, curves in self.curves.get(row, {}).items():
                found.setdefault(key, {})[row] = mean_curve(curves)
        return found

    def cells(self, bootstrap: Bootstrap) -> list[list[str]]:
        """The table as text: a header, then the rows."""
        columns, estimates = self.used_columns(), self.estimates(bootstrap)
        differences = self.differences(bootstrap)
        main = next((column for column in columns if column.key == self.main), None)
        header = ["", *(column.title for column in columns)]
        if main is not None:
            header += [f"{main.title} minus model", "ratio"]
        cells = [[*header, self.unit]]
        for row in self.rows:
            line = [row, *(estimates[row][column.key].text(column.form) for column in columns)]
            if main is not None and row == MODEL:
                line += ["", ""]
            elif main is not None:
                line += [
                    differences[row][main.key].text(f"+{main.form}"),
                    _ratio(estimates[row][main.key].mean, estimates[MODEL][main.key].mean),
                ]
            counts = [estimates[row][column.key].clips for column in columns]
            cells.append([*line, str(max(counts, default=0))])
        return cells

    def lines(self, bootstrap: Bootstrap) -> list[str]:
        """The table as lines of text, and what is missing."""
        if not self.values:
            return [f"{self.name}: not measured", *(f"  {reason}" for reason in self.reasons())]
        cells = self.cells(bootstrap)
        widths = [max(len(row[number]) for row in cells) for number in range(len(cells[0]))]
        lines = [
            "  ".join(
                [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
            )
            for row in cells
        ]
        return [self.name, *(line.rstrip() for line in lines), *(f"  {reason}" for reason in self.reasons())]

    def reasons(self) -> list[str]:
        """One line for each reason for missing values, with the number of clips."""
        by_reason: dict[str, list[str]] = {}
        for clip, why in self.missing.items():
            by_reason.setdefault(why, []).append(clip)
        for row, clips in self.why_not.items():
            for clip, why in clips.items():
                by_reason.setdefault(f"{row}: {why}", []).append(clip)
        return [
            f"not measured: {clips[0]}{f' and {len(clips) - 1} more' if len(clips) > 1 else ''}: {why}"
            for why, clips in by_reason.items()
        ]

    def to_json(self, bootstrap: Bootstrap) -> dict[str, Any]:
        """Estimates, differences, curves, and the values of each clip; NaN is null."""
        estimates, differences = self.estimates(bootstrap), self.differences(bootstrap)
        return {
            "columns": {c.key: {"meaning": c.meaning, "better": c.better} for c in self.columns},
            "main": self.main,
            "unit": self.unit,
            "notes": dict(self.notes),
            "rows": {
                row: {
                    key: each.to_json()
                    | (
                        {"minus_model": differences[row][key].to_json()}
                        | {"ratio_to_model": none_if_nan(ratio(each.mean, estimates[MODEL][key].mean))}
                        if row in differences and MODEL in estimates
                        else {}
                    )
                    for key, each in row_estimates.items()
                }
                for row, row_estimates in estimates.items()
            },
            "curves": {
                key: {row: [none_if_nan(float(value)) for value in curve] for row, curve in rows.items()}
                for key, rows in self.mean_curves().items()
            },
            "clips": {
                row: {key: {n: none_if_nan(v) for n, v in found.items()} for key, found in columns.items()}
                for row, columns in self.values.items()
            },
            "missing": self.missing,
            "why_not": self.why_not,
        }


def ratio(value: float, base: float) -> float:
    """value / base; NaN if base is 0."""
    return value / base if base else math.nan


def _ratio(value: float, base: float) -> str:
    found = ratio(value, base)
    return "–" if math.isnan(found) else f"{found:.2f}"


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan
