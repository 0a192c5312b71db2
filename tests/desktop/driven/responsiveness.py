"""Measures whether QGIS's window ever hangs while a large scene goes through the whole job and the map is panned.

Options: ``scene`` (a raster of many tiles), ``out``, and ``first`` (a raster for the time from "New project" to the
first tile). Nothing is asserted; the figures are printed.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

from analyst import LONG_S, Analyst
from conductor import Pause, Until
from qgis.core import QgsPointXY
from qgis.PyQt.QtCore import QObject, QTimer
from qgis.utils import iface
from stalls import Ticker, percentile

PAN_MS = 150


def steps(options):
    """The first tile of a usual scene, then the large one."""
    out = Path(options["out"])
    for old in out.glob("*.gpkg*"):
        old.unlink()
    analyst, found = Analyst(), {}
    yield from analyst.sit_down()
    if options.get("first"):
        found["first_tile_s"] = yield from _first_tile(analyst, Path(options["first"]).absolute(), out)
        analyst.job.close()
        yield from analyst.sit_down()
    ticker, pan = Ticker(), Panning(iface.mapCanvas())
    found["steps"] = yield from _prepare(analyst, options["scene"], out, ticker, pan)
    found["keys"] = yield from _label(analyst)
    found["steps"]["labelling"] = ticker.lap()
    pan.start()
    yield from analyst.round_of(2)
    found["steps"]["train and query"] = ticker.lap()
    yield from analyst.predict()
    found["steps"]["predict"] = ticker.lap()
    yield Pause(3)
    found["steps"]["panning only"] = ticker.lap()
    pan.stop()
    return {**found, "report": report(found)}


def report(found):
    """The figures as a table."""
    head = f"{'step':<18}{'s':>8}{'p50':>8}{'p99':>8}{'p99.9':>8}{'max ms':>9}"
    lines = [
        f"{name:<18}{row['seconds']:>8}{row['p50_ms']:>8}{row['p99_ms']:>8}{row['p999_ms']:>8}{row['max_ms']:>9}"
        for name, row in found["steps"].items()
    ]
    histograms = [f"{name}: {row['histogram']}" for name, row in found["steps"].items()]
    keys = [f"{name}: {value}" for name, value in found["keys"].items()]
    first = [f"From New project to the first tile: {found['first_tile_s']} s"] if "first_tile_s" in found else []
    return "\n".join([head, *lines, *histograms, *keys, *first])


def _first_tile(analyst, raster, out):
    analyst.load_raster(raster)
    yield Pause(2)
    began = time.perf_counter()
    yield from analyst.new_project(out / "first.gpkg")
    yield from analyst.prepare()
    return round(time.perf_counter() - began, 1)


def _prepare(analyst, scene, out, ticker, pan):
    """Tile, embed and query; the job's news tell where one ends and the next begins."""
    laps = {}
    analyst.load_raster(Path(scene).absolute())
    yield Pause(3)
    yield from analyst.new_project(out / "large.gpkg", classes="eurosat-10")
    laps["new project"] = ticker.lap()
    pan.start()
    for name, signal in (("tile", analyst.job.tiles_changed), ("embed", analyst.job.embeddings_changed)):
        signal.connect(lambda name=name: laps.setdefault(name, ticker.lap()))
    yield from analyst.prepare()
    pan.stop()
    yield Pause(2)
    laps["query"] = ticker.lap()
    return laps


def _label(analyst):
    """Answer the round; from each key press, when the answer was on disk and when the next tile was painted."""
    canvas = iface.mapCanvas()
    watch = Watch(analyst.job, canvas)
    while not analyst.labelling.session.is_done and analyst.labelling.session.current is not None:
        tile = analyst.labelling.session.current
        watch.begin()
        yield from analyst.label(lambda tile: str(1 + tile.tile_id % 9), most=1)
        if analyst.labelling.session.is_done:
            break
        yield Until(lambda: watch.painted, f"the tile after {tile.tile_id}", LONG_S)
    watch.close()
    return {
        "answers": len(watch.to_disk_ms),
        "key to disk, p50 ms": percentile(watch.to_disk_ms, 0.5),
        "key to disk, p95 ms": percentile(watch.to_disk_ms, 0.95),
        "key to next tile painted, p50 ms": percentile(watch.to_paint_ms, 0.5),
        "key to next tile painted, p95 ms": percentile(watch.to_paint_ms, 0.95),
        "key to next tile painted, max ms": percentile(watch.to_paint_ms, 1.0),
    }


class Watch(QObject):
    """Times from a key press to what follows from it; the key press is the first event after :meth:`begin`."""

    def __init__(self, job, canvas):
        super().__init__()
        self._job, self._canvas = job, canvas
        self.to_disk_ms, self.to_paint_ms = [], []
        self._pressed, self._answered, self.painted = 0.0, False, False
        job.answers_changed.connect(self._on_answer)
        canvas.mapCanvasRefreshed.connect(self._on_painted)

    def begin(self):
        """A key is about to be pressed."""
        self._answered = self.painted = False
        QTimer.singleShot(0, self._press)

    def close(self):
        """Watch no longer."""
        self._job.answers_changed.disconnect(self._on_answer)
        self._canvas.mapCanvasRefreshed.disconnect(self._on_painted)

    def _press(self):
        self._pressed = time.perf_counter()

    def _on_answer(self, _tile_ids):
        self.to_disk_ms.append((time.perf_counter() - self._pressed) * 1000)
        self._answered = True

    def _on_painted(self):
        if self._answered and not self.painted:
            self.to_paint_ms.append((time.perf_counter() - self._pressed) * 1000)
            self.painted = True


class Panning(QObject):
    """Moves the map in a circle, as someone does who looks around."""

    def __init__(self, canvas):
        super().__init__()
        self._canvas, self._angle, self._centre = canvas, 0.0, None
        self._timer = QTimer(self)
        self._timer.setInterval(PAN_MS)
        self._timer.timeout.connect(self._move)

    def start(self):
        """Begin where the map is."""
        self._centre = self._canvas.center()
        self._timer.start()

    def stop(self):
        """Stay."""
        self._timer.stop()

    def _move(self):
        self._angle += 0.1
        radius = self._canvas.extent().width() / 4
        x, y = self._centre.x() + radius * math.cos(self._angle), self._centre.y() + radius * math.sin(self._angle)
        self._canvas.setCenter(QgsPointXY(x, y))
        self._canvas.refresh()
