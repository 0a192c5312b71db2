"""The pictures of a report, each drawn from plain numbers into files whose endings decide the format.

Ink is :data:`INK` and paper is white everywhere, so that the page may exchange both for its own. Nothing is told by
colour alone: lines and points have markers, bars have names or hatches. Colours have a contrast of at least 3 to white
and to the page's dark paper (WCAG 2.2, 1.4.11).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...report import new_figure, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#262626"
MOST_LINES = 8
"""As many lines as colours and markers tell apart in one picture."""

_HUES = ("#0072B2", "#C65300", "#008A64", "#B8588F", "#A06F00", "#2B8FBF", "#7A7400")
"""Okabe and Ito's hues, which all kinds of colour vision tell apart, the light ones darkened."""
_HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_KINDS = (*_HUES, INK)
_FORMS = (("o", 0.0), ("x", 0.9), ("^", 0.0), ("s", 0.0), ("+", 0.9), ("v", 0.0), ("D", 0.0), ("*", 0.0))
_ROW_INCHES = 0.26
_FEW_ROUNDS = 12
_DASHES = ((0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
_SPREAD = {"alpha": 0.13, "lw": 0}


@dataclass(frozen=True)
class Line:
    """A curve: ``mean`` at each ``x``, with a band from ``low`` to ``high``. ``plain``: what others are measured by."""

    name: str
    x: Sequence[float]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    plain: bool = False


@dataclass(frozen=True)
class Panel:
    """Curves over one pair of axes; what lies along ``y`` is a share, shown in percent. ``goal`` is a dashed level."""

    title: str
    y: str
    lines: Sequence[Line]
    goal: float | None = None


@dataclass(frozen=True)
class Bar:
    """A value with, where known, its interval and the values that it is the mean of.

    ``beyond``: that some of these values are larger than can be told, so that the bar is a lower limit.
    """

    name: str
    value: float
    interval: tuple[float, float] | None = None
    dots: Sequence[float] = ()
    beyond: bool = False
    plain: bool = False


@dataclass(frozen=True)
class Cloud:
    """Points on a plane: ``places`` (n, 2), ``kinds`` (n,) positions in the legend; ``marked`` rows get a ring."""

    title: str
    places: NDArray[np.floating[Any]]
    kinds: NDArray[np.integer[Any]]
    marked: NDArray[np.integer[Any]] = field(default_factory=lambda: np.empty(0, np.int64))


def draw_curves(panels: Sequence[Panel], x: str, files: Sequence[Path]) -> None:
    """Panels side by side with one legend below; a line has the same colour in each."""
    with _look():
        width = 7.2 if len(panels) == 1 else 3.6 * len(panels)
        figure, axes = new_figure(width, 4.6, columns=len(panels))
        for axis, panel in zip(np.atleast_1d(axes), panels, strict=True):
            for line, look in zip(panel.lines, _looks([line.plain for line in panel.lines]), strict=True):
                size = 4.5 if len(line.x) <= _FEW_ROUNDS else 3.0
                axis.plot(line.x, line.mean, label=line.name, markersize=size, lw=1.6, clip_on=False, zorder=3, **look)
                axis.fill_between(line.x, line.low, line.high, color=look["color"], **_SPREAD)
            if panel.goal is not None:
                axis.axhline(panel.goal, color=INK, lw=0.8, ls=(0, (5, 4)), zorder=1)
            axis.set_xlabel(x)
            axis.set_ylabel(panel.y)
            axis.set_title(panel.title, fontsize=10, loc="left")
            _percent(axis.yaxis)
            _plain_frame(axis)
        _share_heights(np.atleast_1d(axes), panels)
        _legend_below(figure, np.atleast_1d(axes)[0].get_legend_handles_labels(), width)
        save(figure, files)


def draw_bars(panels: Sequence[tuple[str, Sequence[Bar]]], x: str, files: Sequence[Path]) -> None:
    """Bars with their names at the left, a panel for each (title, bars); of one that goes beyond, an arrow says so."""
    with _look():
        figure, axes = _rows_figure(panels)
        for axis, (title, bars) in zip(axes, panels, strict=True):
            for row, bar in enumerate(bars):
                colour = INK if bar.plain else _HUES[0]
                axis.barh(row, bar.value, height=0.68, **_filled(colour, _HATCHES[1] if bar.plain else ""))
                _draw_spread(axis, row, bar, colour)
                if bar.beyond:
                    axis.plot(bar.value, row, marker=">", color=colour, markersize=7, clip_on=False)
            _name_rows(axis, title, bars, x)
            axis.set_xlim(left=0)
        save(figure, files)


def draw_points(
    panels: Sequence[tuple[str, Sequence[Bar]]], x: str, files: Sequence[Path], *, at: float | None = None
) -> None:
    """As :func:`draw_bars`, for shares of which the differences matter: points, not from 0.

    With ``at`` they are differences already, from that level, and shown in percentage points.
    """
    with _look():
        figure, axes = _rows_figure(panels)
        for axis, (title, bars) in zip(axes, panels, strict=True):
            if at is not None:
                axis.axvline(at, color=INK, lw=0.9, zorder=1)
            for row, bar in enumerate(bars):
                colour = INK if bar.plain else _HUES[0]
                _draw_spread(axis, row, bar, colour)
                axis.plot(bar.value, row, marker="D" if bar.plain else "o", color=colour, markersize=6, zorder=4)
            _name_rows(axis, title, bars, x)
            _percent(axis.xaxis, " %" if at is None else "")
        save(figure, files)


def draw_groups(
    groups: Sequence[str], series: Sequence[tuple[str, Sequence[Bar]]], y: str, files: Sequence[Path]
) -> None:
    """Upright bars: for each group one of every series (name, its bars in the order of the groups)."""
    with _look():
        figure, axis = new_figure(7.2, 4.2)
        width = 0.8 / len(series)
        for number, (name, bars) in enumerate(series):
            at = np.arange(len(groups)) + (number - (len(series) - 1) / 2) * width
            colour = _HUES[number % len(_HUES)]
            fill = _filled(colour, _HATCHES[number % len(_HATCHES)])
            axis.bar(at, [bar.value for bar in bars], 0.92 * width, label=name, **fill)
            for place, bar in zip(at, bars, strict=True):
                if bar.interval is not None:
                    axis.vlines(place, *bar.interval, color=INK, lw=1.1)
        axis.set_xticks(range(len(groups)), groups)
        axis.set_ylabel(y)
        _percent(axis.yaxis)
        _plain_frame(axis)
        _legend_below(figure, axis.get_legend_handles_labels(), 7.2)
        save(figure, files)


def draw_clouds(clouds: Sequence[Cloud], legend: Sequence[str], files: Sequence[Path]) -> None:
    """Maps of points, two in a row, with a colour and a marker for each kind; neither axis has a meaning."""
    with _look():
        rows = -(-len(clouds) // 2)
        figure, axes = new_figure(9.2, 4.6 * rows + 0.8, columns=min(len(clouds), 2), dpi=160, rows=rows)
        for axis in np.ravel(axes)[len(clouds) :]:
            axis.set_visible(False)
        for axis, cloud in zip(np.ravel(axes), clouds, strict=False):
            for kind, name in enumerate(legend):
                here = cloud.places[cloud.kinds == kind].T
                # One more for each turn through the colours, so that no two kinds have both in common.
                form, line_width = _FORMS[(kind + kind // len(_KINDS)) % len(_FORMS)]
                colour = _KINDS[kind % len(_KINDS)]
                axis.scatter(*here, s=10, marker=form, color=colour, alpha=0.75, lw=line_width, label=name)
            ringed = cloud.places[cloud.marked]
            axis.scatter(ringed[:, 0], ringed[:, 1], s=42, facecolor="none", edgecolor=INK, lw=1.1)
            axis.set_title(cloud.title, fontsize=10, loc="left")
            axis.set_xticks([])
            axis.set_yticks([])
        _legend_below(figure, np.ravel(axes)[0].get_legend_handles_labels(), 9.2, markerscale=2.2)
        save(figure, files)


@contextmanager
def _look() -> Iterator[None]:
    from matplotlib import rc_context

    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor", "xtick.color", "ytick.color")
    look: dict[Any, Any] = {"font.size": 9, **dict.fromkeys(inked, INK)}
    with rc_context(look):
        yield


def _looks(plain: Sequence[bool]) -> Iterator[dict[str, Any]]:
    """Colour and marker of each line: ink and dashes for the plain ones, hues in turn for the others."""
    counts = {True: 0, False: 0}
    for is_plain in plain:
        number = counts[is_plain]
        counts[is_plain] += 1
        if is_plain:
            yield {"color": INK, "marker": _MARKERS[(3 + number) % len(_MARKERS)], "ls": _DASHES[number % len(_DASHES)]}
        else:
            yield {"color": _HUES[number % len(_HUES)], "marker": _MARKERS[number % len(_MARKERS)]}


def _filled(colour: str, hatch: str) -> dict[str, Any]:
    """A bar within a line of its full colour: pale, or hatched in that colour."""
    from matplotlib.colors import to_rgba

    # In SVG a hatch is part of the fill and as pale as it is, so a hatched bar has no other fill.
    face = "none" if hatch else to_rgba(colour, 0.35)
    return {"facecolor": face, "edgecolor": colour, "lw": 1.0, "hatch": hatch}


def _share_heights(axes: NDArray[Any], panels: Sequence[Panel]) -> None:
    """The same scale for all panels that show the same."""
    for y in {panel.y for panel in panels}:
        alike = [axis for axis, panel in zip(axes, panels, strict=True) if panel.y == y]
        low, high = zip(*(axis.get_ylim() for axis in alike), strict=True)
        for axis in alike:
            axis.set_ylim(min(low), max(high))


def _rows_figure(panels: Sequence[tuple[str, Sequence[Bar]]]) -> tuple[Figure, NDArray[Any]]:
    rows = max(len(bars) for _, bars in panels)
    figure, axes = new_figure(7.2 if len(panels) == 1 else 4.8 * len(panels), 1.0 + _ROW_INCHES * rows, len(panels))
    return figure, np.atleast_1d(axes)


def _draw_spread(axis: Any, row: int, bar: Bar, colour: str) -> None:
    if bar.interval is not None:
        axis.hlines(row, *bar.interval, color=colour, lw=1.6, zorder=3)
    axis.scatter(bar.dots, [row] * len(bar.dots), s=11, facecolor="none", edgecolor=colour, lw=0.8, zorder=3)


def _name_rows(axis: Any, title: str, bars: Sequence[Bar], x: str) -> None:
    axis.set_yticks(range(len(bars)), [bar.name for bar in bars])
    axis.set_ylim(len(bars) - 0.4, -0.6)
    axis.set_xlabel(x)
    axis.set_title(title, fontsize=10, loc="left")
    _plain_frame(axis)
    axis.grid(visible=False, axis="y")


def _percent(axis: Any, unit: str = " %") -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(
        FuncFormatter(lambda share, _: f"{round(100 * share, 1):g}{unit}".replace("-", "\N{MINUS SIGN}"))
    )


def _plain_frame(axis: Any) -> None:
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _legend_below(figure: Figure, found: tuple[Any, Any], width: float, **look: Any) -> None:
    """As many columns as the longest name leaves room for."""
    handles, names = found
    columns = int(np.clip(width / (0.55 + 0.075 * max(map(len, names))), 1, min(len(names), 5)))
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False, **look)
