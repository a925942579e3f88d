"""Draw a plot as a small SVG: one panel for each figure, with a bar for each contestant that has the figure.

The highest median comes first. A thin line spans the lowest to the highest round.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final, NamedTuple

from .results import Spread

WIDTH: Final = 720
LABEL_WIDTH: Final = 210
VALUE_WIDTH: Final = 90
BAR_HEIGHT: Final = 20
ROW_HEIGHT: Final = 24
HEAD_HEIGHT: Final = 34
MARGIN: Final = 8


class Panel(NamedTuple):
    """One figure of all contestants that have the figure; at least one does.

    Parameters:
        title: the figure's title.
        unit: the unit of the values.
        rows: contestants and their values.
    """

    title: str
    unit: str
    rows: Sequence[tuple[str, Spread]]


def draw(panels: Sequence[Panel]) -> str:
    """Return the SVG text of the panels, from top to bottom."""
    drawn: list[str] = []
    top = 0
    for panel in panels:
        drawn += _draw_panel(panel, top)
        top += HEAD_HEIGHT + ROW_HEIGHT * len(panel.rows) + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" font-family="sans-serif" font-size="13">'
    )
    return "\n".join([head, f'<rect width="{WIDTH}" height="{top}" fill="#fff"/>', *drawn, "</svg>", ""])


def _draw_panel(panel: Panel, top: int) -> Iterator[str]:
    unit_width = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / (max(value.highest for _, value in panel.rows) or 1)
    yield f'<text x="{MARGIN}" y="{top + 21}" font-weight="bold">{escape(panel.title)} ({escape(panel.unit)})</text>'
    rows = sorted(panel.rows, key=lambda row: (-row[1].median, row[0]))
    for number, (name, value) in enumerate(rows):
        y = top + HEAD_HEIGHT + number * ROW_HEIGHT
        middle, text = y + BAR_HEIGHT // 2, y + BAR_HEIGHT // 2 + 5
        colour = "#2563a8" if name.startswith("pexecutor") else "#9aa5b1"
        length, low, high = (unit_width * of for of in value)
        yield f'<text x="{LABEL_WIDTH - MARGIN}" y="{text}" text-anchor="end">{escape(name)}</text>'
        yield f'<rect x="{LABEL_WIDTH}" y="{y}" width="{length:.1f}" height="{BAR_HEIGHT}" fill="{colour}"/>'
        yield f'<path d="M{LABEL_WIDTH + low:.1f} {middle}H{LABEL_WIDTH + high:.1f}" stroke="#111" stroke-width="1.5"/>'
        yield f'<text x="{LABEL_WIDTH + high + 6:.1f}" y="{text}">{_short(value.median)}</text>'


def _short(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
