"""Saying which bands a raster has."""

from __future__ import annotations

from qgis.core import (
    QgsCoordinateReferenceSystem,
)
from qgis.PyQt.QtCore import QPoint, QPointF, Qt
from qgis.PyQt.QtGui import QWheelEvent
from qgis.PyQt.QtWidgets import QApplication

from quadrat.plugin.panels.bands_dialog import BandsDialog
from quadrat.plugin.requests import RasterChoice

from .panel_context import click, retype
from .projects import TILE

UTM33 = QgsCoordinateReferenceSystem("EPSG:32633")
SIDE_M = 10.0 * TILE


def test_numbers_are_taken_with_a_comma_and_refused_if_they_make_no_sense(qgis_app, tmp_path):
    seen = {
        "bands": [{"index": 1, "description": "Blau", "name": "B02"}],
        "scale": 0.0001,
        "offset": 0.0,
        "nodata": None,
    }
    choice = RasterChoice(tmp_path / "x.tif")
    dialog = BandsDialog(seen, choice)
    retype(dialog.number_edits["scale"], "0,0005")
    assert dialog.choice() == RasterChoice(tmp_path / "x.tif", scale=0.0005)
    for wrong in ("0", "-1", "many", "inf"):
        retype(dialog.number_edits["scale"], wrong)
        assert not dialog.ok_button.isEnabled()
        assert dialog.reason.said
    click(dialog.reset_button)
    assert dialog.choice() == choice


def test_the_wheel_does_not_change_a_band(qgis_app, tmp_path):
    seen = {"bands": [{"index": 1, "description": "", "name": "B02"}], "scale": 1, "offset": 0, "nodata": 0}
    dialog = BandsDialog(seen, RasterChoice(tmp_path / "x.tif"))
    dialog.show()
    combo = dialog.combos[0]
    event = QWheelEvent(
        QPointF(5, 5),
        QPointF(5, 5),
        QPoint(0, -120),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(combo, event)
    assert combo.currentData() == "B02"
    dialog.close()


def test_numbers_that_were_given_come_back_with_all_their_digits(qgis_app, tmp_path):
    seen = {
        "bands": [{"index": 1, "description": "", "name": "B02"}],
        "scale": 0.0001,
        "offset": 0.0,
        "nodata": None,
    }
    choice = RasterChoice(tmp_path / "x.tif", scale=0.000123456789, nodata=-3.4028234663852886e38)
    assert BandsDialog(seen, choice).choice() == choice
