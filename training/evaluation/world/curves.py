"""Drift curves as SVG: a value over the horizon, one line for each row of the table."""

import math
from collections.abc import Mapping
from html import escape

import numpy as np
import numpy.typing as npt

from training.evaluation.world.measure import MODEL

WIDTH, HEIGHT = 380, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 10, 34
# Colors that people with a color vision deficiency can tell apart. Source: Okabe and Ito 2008.
COLORS = ("#0072b2", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#d55e00", "#a58b00", "#7f7f7f")


def draw_curves(title: str, rows: Mapping[str, npt.NDArray[np.float64]], rate: float | None) -> str:
    """One figure.

    Args:
        title: Of the vertical axis.
        rows: Values by frame, by row; NaN has no point.
        rate: Frames per second, for an axis in seconds; None: an axis in frames.
    """
    known = {row: curve for row, curve in rows.items() if np.isfinite(curve).any()}
    if not known:
        return ""
    count = max(len(curve) for curve in known.values())
    values = np.concatenate([curve[np.isfinite(curve)] for curve in known.values()])
    low, high = float(values.min()), float(values.max())
    low = 0.0 if 0 <= low < 0.5 * high else low
    high = high if high > low else low + 1

    def place(frame: float, value: float) -> tuple[float, float]:
        x = LEFT + frame / max(1, count - 1) * (WIDTH - LEFT - RIGHT)
        return x, HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{escape(title)} over the horizon'>"]
    for share in (0, 0.25, 0.5, 0.75, 1):
        value, frame = low + share * (high - low), share * (count - 1)
        _, y = place(0, value)
        x, bottom = place(frame, low)
        label = f"{frame / rate:.2g}" if rate else f"{frame:.0f}"
        parts.append(f"<line class='axis' x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}'/>")
        parts.append(f"<text x='{LEFT - 6}' y='{y + 4:.1f}' text-anchor='end'>{value:.3g}</text>")
        parts.append(f"<text x='{x:.1f}' y='{bottom + 15:.1f}' text-anchor='middle'>{label}</text>")
    unit = "s" if rate else "frames"
    parts.append(f"<text x='{WIDTH - RIGHT}' y='{HEIGHT - 4}' text-anchor='end'>{unit}</text>")
    colors = _colors(known)
    for row, curve in known.items():
        points = [place(number, float(value)) for number, value in enumerate(curve) if math.isfinite(value)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        width = 3 if row == MODEL else 1.6
        parts.append(f"<polyline fill='none' stroke='{colors[row]}' stroke-width='{width}' points='{path}'/>")
        if len(points) == 1:
            parts.append(
                f"<circle cx='{points[0][0]:.1f}' cy='{points[0][1]:.1f}' r='3' fill='{colors[row]}'/>"
            )
    legend = "".join(f"<span><i style='background:{colors[row]}'></i>{escape(row)}</span>" for row in known)
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>{''.join(parts)}</svg>"
        f"<div class='legend'>{legend}</div></figure>"
    )


def _colors(rows: Mapping[str, object]) -> dict[str, str]:
    return {row: COLORS[number % len(COLORS)] for number, row in enumerate(rows)}
