"""The whole job by keys and mouse, single-label and then multi-label; what was recorded is checked from outside.

Options: ``raster``, ``out``.
"""

from __future__ import annotations

from pathlib import Path

from analyst import Analyst, LandCover
from conductor import Until, picture
from qgis.core import QgsApplication, QgsProject
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QDockWidget
from qgis.utils import iface, reloadPlugin

CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
UNDO, REDO = (Qt.Key.Key_Z, CONTROL), (Qt.Key.Key_Z, CONTROL | SHIFT)
# Classes of CORINE level 1 that stand for what is seen, by their keys.
SINGLE = {"bare": "1", "green": "2", "water": "5"}


def steps(options):
    """Both label modes in one QGIS; then the plugin is loaded again and leaves nothing behind."""
    out = Path(options["out"])
    analyst = Analyst()
    yield from analyst.sit_down()
    layer = analyst.load_raster(options["raster"])
    found = {"single": (yield from _job(analyst, layer, out, "single"))}
    found["multi"] = yield from _job(analyst, layer, out, "multi")
    yield from _come_back(analyst, out)
    yield from _reload(analyst)
    return found


def _job(analyst, layer, out, mode):
    path, exported = out / f"{mode} é 'q'.gpkg", out / f"{mode} labels.gpkg"
    yield from analyst.new_project(path, mode=mode)
    yield from analyst.prepare()
    see = LandCover(analyst.job.project, layer)
    yield from (_single(analyst, see) if mode == "single" else _multi(analyst, see))
    picture(iface.mainWindow(), out / f"{mode}.png")
    answers = analyst.job.project.counts()
    yield from analyst.predict()
    yield from analyst.export(exported, "labels")
    return {"project": str(path), "exported": str(exported), "answers": answers}


def _single(analyst, see):
    def answer(tile):
        return SINGLE[see(tile)]

    for key in ("s", "u", "n"):
        yield from analyst.label(lambda _tile, key=key: key, most=1)
    yield from _undo_and_redo(analyst)
    yield from analyst.label(answer)
    yield from analyst.round_of(2)
    yield from analyst.label(lambda tile: Qt.Key.Key_Return if analyst.labelling.session.suggestion else answer(tile))


def _multi(analyst, see):
    """Toggle what is seen, and green land that is not the one suggested now and then, until it is as it should be."""

    def classes(tile):
        seen = see(tile)
        return {SINGLE[seen], SINGLE["green"]} if (tile.row + tile.col) % 2 else {SINGLE[seen]}

    def label(most=10_000):
        keys = {item.class_id: item.key for item in analyst.job.project.classes()}
        for _ in range(most):
            session = analyst.labelling.session
            tile = session.current
            if tile is None or session.is_done:
                return
            wanted = classes(tile)
            for key in sorted(wanted ^ {keys[class_id] for class_id in session.toggles}):
                analyst.press(key)
            chosen = {number for number, key in keys.items() if key in wanted}
            yield Until(lambda session=session, chosen=chosen: session.toggles == chosen, "the classes to be chosen")
            yield from analyst.label(lambda _tile: Qt.Key.Key_Return, most=1)

    yield from label()
    yield from analyst.round_of(2)
    yield from label(most=8)


def _undo_and_redo(analyst):
    """Take the last answer back and restore it."""

    def answered():
        counts = analyst.job.project.counts()
        return counts["none"] + counts["skipped"] + counts["unsure"]

    before = answered()
    analyst.press(UNDO)
    yield Until(lambda: answered() == before - 1, "the answer to be taken back")
    analyst.press(REDO)
    yield Until(lambda: answered() == before, "the answer to be restored")
    analyst.press((Qt.Key.Key_Right, CONTROL))
    yield Until(lambda: analyst.labelling.session.answer is None, "an open tile")


def _come_back(analyst, out):
    """Save the QGIS project, begin another, read it again: the Quadrat project is open again."""
    path, saved = analyst.job.project.path, str(out / "saved.qgz")
    assert QgsProject.instance().write(saved)
    iface.newProject()
    yield Until(lambda: not analyst.job.is_open, "the Quadrat project to be closed with the QGIS project")
    assert QgsProject.instance().read(saved)
    yield Until(lambda: analyst.job.is_open and analyst.job.project.path == path, "the Quadrat project to come back")


def _reload(analyst):
    """Load the plugin ten times; its dock, its actions and its process are there once."""
    pid = analyst.context.engine.pid
    for _ in range(10):
        reloadPlugin("quadrat")
        yield Until(lambda: True, "the event loop")
    docks = [dock for dock in iface.mainWindow().findChildren(QDockWidget) if dock.objectName() == "QuadratDock"]
    assert len(docks) == 1, docks
    yield Until(lambda: not QgsApplication.taskManager().activeTasks(), "the tasks to end")
    assert pid is None or not Path(f"/proc/{pid}").exists(), "the worker is still there"
