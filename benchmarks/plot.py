"""A bar chart as SVG, written by hand: two numbers for each bar need no library."""

from collections.abc import Mapping
from html import escape

_WIDTH = 720
_LABEL_WIDTH = 130
_LONGEST = 480
_BAR_HEIGHT = 20
_ROW_HEIGHT = 28
_TITLE_HEIGHT = 34
_WHOLE_FROM = 1000
_DECIMAL_TO = 10
_COLOUR = "#9aa5b1"
_OURS = "#2f6fde"


def bars(charts: Mapping[str, Mapping[str, float]], *, ours: str) -> str:
    """Draw charts below each other, each from zero, with the values in figures.

    Args:
        charts: The values of each chart, by title and label.
        ours: The label that stands out.
    """
    parts = []
    top = 0
    for title, values in charts.items():
        parts.append(_text(0, top + 22, title, weight="bold"))
        top += _TITLE_HEIGHT
        for label, value in values.items():
            length = value / max(values.values()) * _LONGEST
            parts.append(_text(_LABEL_WIDTH - 8, top + 15, label, anchor="end"))
            parts.append(_bar(top, length, _OURS if label == ours else _COLOUR))
            parts.append(_text(_LABEL_WIDTH + length + 6, top + 15, figure(value)))
            top += _ROW_HEIGHT
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" width="{_WIDTH}" '
        f'height="{top}" font-family="sans-serif" font-size="14">'
    )
    return "\n".join((head, f'<rect width="{_WIDTH}" height="{top}" fill="white"/>', *parts, "</svg>\n"))


def figure(value: float) -> str:
    """Format a number for people: with separators, and no more digits than a measurement has."""
    if value >= _WHOLE_FROM:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.2f}".rstrip("0").rstrip(".") if value < _DECIMAL_TO else f"{value:.3g}"


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'


def _bar(top: float, length: float, colour: str) -> str:
    return f'<rect x="{_LABEL_WIDTH}" y="{top}" width="{length:.1f}" height="{_BAR_HEIGHT}" fill="{colour}"/>'
