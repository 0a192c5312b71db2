"""How long QGIS's main thread lets an event wait: a timer that should tick every 10 ms, and how late it is."""

from __future__ import annotations

import time

from qgis.PyQt.QtCore import QObject, Qt, QTimer

TICK_MS = 10
EDGES_MS = (20, 50, 100, 150, 250, 500, 1000)


class Ticker(QObject):
    """Notes the gaps between ticks; :meth:`lap` closes one step of the work and gives its figures."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._gaps, self._last = [], time.perf_counter()
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def _tick(self):
        now = time.perf_counter()
        self._gaps.append((now - self._last) * 1000)
        self._last = now

    def lap(self):
        """Figures since the lap before."""
        gaps, self._gaps = self._gaps, []
        return figures(gaps)


def figures(gaps):
    """Percentiles of the time that an event waits which comes at any moment, the longest gap, and the histogram.

    A gap of g milliseconds counts g times as much as one of a millisecond, as that many more moments lie in it.
    """
    if not gaps:
        return {"seconds": 0.0, "p50_ms": 0.0, "p99_ms": 0.0, "p999_ms": 0.0, "max_ms": 0.0, "histogram": {}}
    edges = (0, *EDGES_MS, float("inf"))
    return {
        "seconds": round(sum(gaps) / 1000, 1),
        "p50_ms": waiting_time(gaps, 0.5),
        "p99_ms": waiting_time(gaps, 0.99),
        "p999_ms": waiting_time(gaps, 0.999),
        "max_ms": round(max(gaps), 1),
        "histogram": {
            f"{low}-{high:g} ms": sum(low <= gap < high for gap in gaps) for low, high in zip(edges, edges[1:])
        },
    }


def waiting_time(gaps, share):
    """The time within which the main thread answers at ``share`` of all moments, in milliseconds."""
    low, high = 0.0, max(gaps)
    longer = (1 - share) * sum(gaps)
    while high - low > 0.05:
        middle = (low + high) / 2
        if sum(max(gap - middle, 0.0) for gap in gaps) > longer:
            low = middle
        else:
            high = middle
    return round(high, 1)


def percentile(values, share):
    """The smallest value that ``share`` of all do not exceed."""
    ordered = sorted(values)
    return round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 1) if ordered else 0.0
