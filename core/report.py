"""Figures: learning curves and the map of predictions, as PNG and SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart with every kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")


@dataclass(frozen=True)
class CurvePoint:
    """The score on the validation sample after a round, for one query function and seed."""

    strategy: str
    seed: int
    labels: int
    score: float


def draw_learning_curves(points: Sequence[CurvePoint], score_name: str, files: Sequence[Path]) -> None:
    """Score against labels, one line a query function: the mean over seeds, and a band from the worst to the best."""
    from matplotlib.ticker import PercentFormatter

    figure, axes = new_figure(7.2, 4.5)
    for colour, strategy in zip(cycle(COLOURS), dict.fromkeys(point.strategy for point in points), strict=False):
        by_labels: dict[int, list[float]] = {}
        for point in points:
            if point.strategy == strategy:
                by_labels.setdefault(point.labels, []).append(point.score)
        labels = sorted(by_labels)
        scores = [np.array(by_labels[count]) for count in labels]
        mean = np.array([score.mean() for score in scores])
        axes.plot(labels, mean, marker="o", markersize=4, color=colour, label=f"{strategy}  ({mean[-1]:.1%})")
        if max(score.size for score in scores) > 1:
            axes.fill_between(
                labels, [s.min() for s in scores], [s.max() for s in scores], color=colour, alpha=0.15, lw=0
            )
    axes.set_xlabel("labelled tiles")
    axes.set_ylabel(f"{score_name} on the validation sample")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    save(figure, files)


@dataclass(frozen=True)
class CheckedPoint:
    """The score that so many labels led to; ``interval`` is where it may really lie, None if nothing is known."""

    labels: int
    score: float
    interval: tuple[float, float] | None


def draw_score(points: Sequence[CheckedPoint], score_name: str, files: Sequence[Path], *, dark: bool = False) -> None:
    """One project's score against its labels, small enough for a dock, with a band for the intervals.

    The background is transparent, so that the picture takes the colour of what it is shown on; ``dark`` says that this
    is a dark colour.
    """
    from matplotlib import rc_context
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    ink, colour = ("#e6e6e6", COLOURS[5]) if dark else ("#262626", COLOURS[0])
    look: dict[Any, Any] = {"font.size": 8, "figure.facecolor": "none", "axes.facecolor": "none"}
    look |= dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), ink)
    with rc_context(look):
        figure, axes = new_figure(3.6, 2.4, dpi=200)
        labels = [point.labels for point in points]
        axes.plot(labels, [p.score for p in points], marker="o", markersize=4, color=colour, clip_on=False, zorder=3)
        intervals = [(point.labels, *point.interval) for point in points if point.interval is not None]
        if intervals:
            at, low, high = zip(*intervals, strict=True)
            band = axes.fill_between(at, low, high, color=colour, alpha=0.25, lw=0)
            axes.vlines(at, low, high, color=colour, alpha=0.5, lw=1)
            axes.legend([band], ["95 % interval"], frameon=False, loc="lower right")
        axes.set_xlabel("labelled tiles")
        axes.set_ylabel(f"{score_name}, validation sample")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlim(left=0)
        axes.set_ylim(max(axes.get_ylim()[0], 0.0), min(axes.get_ylim()[1], 1.0))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        save(figure, files)


def draw_map(
    picture: np.ndarray,
    classes: np.ndarray,
    legend: Mapping[str, str],
    files: Sequence[Path],
    *,
    title: str = "",
) -> None:
    """A raster in true colour beside the classes of its tiles.

    Args:
        picture: ``(H, W, 3)`` 0-1.
        classes: ``(rows, cols)`` index into ``legend``, -1 where a tile has none. It covers the same ground as
            ``picture``.
        legend: class name -> colour ``#rrggbb``, in the order of the indices.
        files: where to write; the ending decides the format.
    """
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Patch

    colours = np.array([to_rgba(colour) for colour in legend.values()] + [(0.0, 0.0, 0.0, 0.0)])
    height = 6.0 * picture.shape[0] / picture.shape[1]
    figure, axes = new_figure(12.5, max(height, 3.0) + 1.2, columns=2)
    for axis in axes:
        axis.imshow(picture, extent=(0, classes.shape[1], classes.shape[0], 0))
        axis.set_axis_off()
    axes[1].imshow(
        colours[classes], extent=(0, classes.shape[1], classes.shape[0], 0), alpha=0.72, interpolation="none"
    )
    axes[0].set_title("True colour", fontsize=11, loc="left")
    axes[1].set_title(title or "Predicted classes", fontsize=11, loc="left")
    used = [(name, colour) for index, (name, colour) in enumerate(legend.items()) if (classes == index).any()]
    patches = [Patch(color=colour, label=name) for name, colour in used]
    figure.legend(handles=patches, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    save(figure, files)


def new_figure(width: float, height: float, columns: int = 1, dpi: int = 150, rows: int = 1) -> tuple[Figure, Any]:
    """A figure, in inches, that needs no display and no global state of pyplot's; with its axes, row by row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=dpi)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns)


def save(figure: Figure, files: Sequence[Path]) -> None:
    """Write a figure in the formats that the endings say. The same figure gives the same bytes, so no date in SVG."""
    from matplotlib import rc_context

    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        with rc_context({"svg.hashsalt": file.stem}):
            figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
