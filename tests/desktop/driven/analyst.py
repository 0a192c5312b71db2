"""An analyst at work: the steps of the job through the dock's own widgets, each a generator of what it waits for."""

from __future__ import annotations

from pathlib import Path

from conductor import Hands, Until, iface
from qgis.core import QgsPointXY, QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import QPoint, Qt
from qgis.PyQt.QtWidgets import QApplication, QComboBox
from qgis.utils import plugins

WINDOW_PX = (1600, 1000)
LONG_S = 600.0


class Analyst:
    """Someone with mouse, keyboard and eyes; knows the plugin's parts to know what is on the screen."""

    def __init__(self):
        from quadrat.plugin.panels import classes, imagery, label, project, query, results

        self.hands = Hands()
        self.plugin = plugins["quadrat"]
        self.context = self.plugin.context
        self.job, self.labelling, self.workflow = self.context.job, self.context.labelling, self.context.workflow
        self.kinds = {
            "project": project.ProjectPanel,
            "imagery": imagery.ImageryPanel,
            "classes": classes.ClassesPanel,
            "query": query.QueryPanel,
            "label": label.LabelPanel,
            "results": results.ResultsPanel,
        }

    def sit_down(self):
        """A window of a usual size that has the keyboard, with an empty QGIS project."""
        window = iface.mainWindow()
        window.move(0, 0)
        window.resize(*WINDOW_PX)
        iface.newProject()
        self.plugin.dock.show()
        yield from self._wake()

    def load_raster(self, path):
        """Load a raster as a layer, as every QGIS user does before anything else."""
        layer = QgsRasterLayer(str(path), Path(path).stem)
        assert layer.isValid(), path
        QgsProject.instance().addMapLayer(layer)
        iface.mapCanvas().setExtent(layer.extent())
        return layer

    def panel(self, name):
        """A panel of the dock."""
        return next(panel for panel in self.plugin.dock.panels if isinstance(panel, self.kinds[name]))

    def go_to(self, name):
        """Click the tab of a panel."""
        dock = self.plugin.dock
        bar = dock.tabs.tabBar()
        self.hands.click(bar, at=bar.tabRect(dock.panels.index(self.panel(name))).center())
        yield Until(lambda: dock.shown is self.panel(name), f"the panel {name}")

    def new_project(self, path, *, mode="single", classes="corine-level-1", seen=None):
        """Make a project; ``seen`` is told of the dialog when it is filled in. ``classes``: a preset or a file."""
        from quadrat.plugin.panels.new_project import NewProjectDialog

        yield from self.go_to("project")
        self.hands.click(self.panel("project").new_button)
        yield Until(lambda: isinstance(dialog_in_front(), NewProjectDialog), "the dialog for a new project")
        dialog = dialog_in_front()
        self.hands.write(dialog.path_edit, str(path))
        self.hands.click(dialog.mode_buttons[mode], at=QPoint(12, dialog.mode_buttons[mode].height() // 2))
        if Path(classes).is_file():
            dialog.use_file(str(classes))
        else:
            self.choose(dialog.list_combo, classes)
        yield Until(lambda: dialog.mode == mode and dialog.path.name == Path(path).name, "what was typed")
        yield Until(dialog.ok_button.isEnabled, "OK")
        if seen is not None:
            seen(dialog)
        self.hands.click(dialog.ok_button)
        yield Until(lambda: dialog_in_front() is None and self.job.is_open, "the project to be made")
        yield from self._wake()

    def prepare(self):
        """Have the ticked rasters cut, embedded and asked about; ends with the first tile to label on the map."""
        yield from self.go_to("imagery")
        panel = self.panel("imagery")
        yield Until(panel.prepare_button.isEnabled, "the engine to look at the raster")
        self.hands.click(panel.prepare_button)
        yield Until(lambda: self.labelling.active, "the first tile to label", LONG_S)

    def label(self, answer, most=10_000):
        """Press the key that ``answer(tile)`` gives for one open tile after another, ``most`` times."""
        for _ in range(most):
            session = self.labelling.session
            tile = session.current
            if tile is None or session.is_done:
                return
            self.press(answer(tile))
            yield Until(lambda tile=tile: self._moved_from(tile), "the next tile")

    def press(self, key):
        """A key for labelling, to whatever has the focus: a character, a Qt key, or a Qt key with modifiers."""
        key, modifiers = key if isinstance(key, tuple) else (key, Qt.KeyboardModifier.NoModifier)
        self.hands.key(key, modifiers)

    def choose(self, combo: QComboBox, data):
        """Choose from a list by the keyboard."""
        self.hands.key(Qt.Key.Key_Home, widget=combo)
        for _ in range(combo.findData(data)):
            self.hands.key(Qt.Key.Key_Down, widget=combo)

    def predict(self):
        """Predict all tiles."""
        yield from self.go_to("results")
        done = []
        self.job.predictions_changed.connect(lambda: done.append(True))
        yield Until(self.panel("results").predict_button.isEnabled, "the engine to be free", LONG_S)
        self.hands.click(self.panel("results").predict_button)
        yield Until(lambda: done and not self.context.engine.busy, "the predictions", LONG_S)

    def export(self, path, layer):
        """Export a layer through the dialog."""
        from quadrat.plugin.panels.export_dialog import ExportDialog

        yield from self.go_to("results")
        yield Until(self.panel("results").export_button.isEnabled, "the engine to be free", LONG_S)
        self.hands.click(self.panel("results").export_button)
        yield Until(lambda: isinstance(dialog_in_front(), ExportDialog), "the export dialog")
        dialog = dialog_in_front()
        self.choose(dialog.layer, layer)
        self.hands.write(dialog.path, str(path))
        yield Until(lambda: dialog.chosen() == (Path(path), layer), "what was typed")
        self.hands.click(dialog.export_button)
        yield Until(lambda: Path(path).exists() and not self.context.engine.busy, "the export", LONG_S)
        yield from self._wake()

    def round_of(self, number):
        """Wait until a round can be labelled and nothing is computed any more, then go to its first tile."""
        from quadrat.core.project.results import rounds

        def is_there():
            asked = [record for record in rounds(self.job.project) if record.strategy != "validation"]
            return len(asked) >= number and not self.context.engine.busy

        yield Until(is_there, f"round {number}", LONG_S)
        if self.labelling.next_round_waits:
            self.press((Qt.Key.Key_Right, Qt.KeyboardModifier.ControlModifier))
        yield Until(lambda: not self.labelling.session.is_done, "open tiles")

    @staticmethod
    def _wake():
        """Give QGIS's window the keyboard, as a window manager would when a dialog closes; Xvfb has none."""
        window = iface.mainWindow()
        window.activateWindow()
        yield Until(lambda: QApplication.activeWindow() is window, "QGIS's window")

    def _moved_from(self, tile):
        session = self.labelling.session
        return session is None or session.current is None or session.current.tile_id != tile.tile_id or session.is_done


class LandCover:
    """Tells what a tile shows from how green and how wet its middle is: enough to label as a person would, quickly."""

    def __init__(self, project, layer):
        self._layer = layer
        self._record = project.rasters()[0]
        self._size = project.tile_size
        self._bands = dict(self._record.bands)

    def __call__(self, tile):
        """``water``, ``green`` or ``bare``."""
        a, b, c, d, e, f = self._record.transform[:6]
        x, y = (tile.col + 0.5) * self._size, (tile.row + 0.5) * self._size
        place = QgsPointXY(a * x + b * y + c, d * x + e * y + f)
        red, infrared = (self._layer.dataProvider().sample(place, self._bands[name])[0] for name in ("B04", "B08"))
        greenness = (infrared - red) / (infrared + red) if infrared + red else 0.0
        return "water" if greenness < 0.05 else "green" if greenness > 0.45 else "bare"


def dialog_in_front():
    """The dialog that is open, or None."""
    return QApplication.activeModalWidget()
