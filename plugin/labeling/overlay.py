"""The project on the map: a group of layers that follows the job by itself.

From top to bottom: the tiles that were asked, the answers, the predictions and their uncertainty (views of the project,
shown by :mod:`.tile_layer`), and the project's rasters where the analyst has not loaded them.

1. A layer is there while it has something to show: it comes with the first answer, round or prediction, and goes when
   the last answer is undone.
2. News of the job bring the tiles concerned up to date; many answers in a row repaint once. Long work is cut into
   portions, one for each turn of the event loop, so that the main thread never stalls.
3. Once there, layers and group belong to the analyst (:mod:`.layer_group`): what was removed by hand stays away until
   the project is opened again or :meth:`Overlay.show_layers` is called. Layers of a saved QGIS project are taken over.
4. When the Quadrat project is closed its layers go with it.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsFeatureRenderer,
    QgsMapLayer,
    QgsMultiBandColorRenderer,
    QgsProject,
    QgsProviderRegistry,
    QgsRasterLayer,
)
from qgis.PyQt.QtCore import QObject, QTimer

from ...core.errors import ProjectError
from ...core.project.records import RasterRecord
from ...core.project.store import Project
from ..job import Job
from ..product_layer import band_numbers, is_product, layer_file, make_product_layer
from . import styles
from .composites import Composite, CompositeView, composites_for
from .layer_group import LayerGroup
from .tile_layer import LABELLED, PREDICTED, QUERIED, Portion, TileLayer, Tiles, all_tiles, portions, tiles_crs

ROLES = ("asked", "answers", "predictions", "uncertainty")

_VIEW = {"asked": QUERIED, "answers": LABELLED, "predictions": PREDICTED, "uncertainty": PREDICTED}
_TITLE = {
    "asked": "Asked tiles",
    "answers": "Answers",
    "predictions": "Predictions",
    "uncertainty": "Uncertainty",
}
_OPACITY = {"predictions": styles.PREDICTION_OPACITY, "uncertainty": styles.UNCERTAINTY_OPACITY}
_EXPANDED = ("answers",)
_HIDDEN_AT_FIRST = ("uncertainty",)
_IN_THE_WAY = ("predictions", "uncertainty")

_SETTLING_MS = 50
_RETRY_MS = 5000

# Fifths of the tiles, from the least to the most uncertain.
_UNCERTAINTY_STEPS = """
SELECT DISTINCT min(uncertainty), max(uncertainty) FROM (
    SELECT uncertainty, ntile(5) OVER (ORDER BY uncertainty) AS fifth FROM predictions
    WHERE generation = (SELECT CAST(value AS INTEGER) FROM quadrat WHERE "key" = 'prediction_generation'))
GROUP BY fifth ORDER BY 1, 2
"""


class Overlay(QObject):
    """The layers of the open project. Make one; call :meth:`unload` at the end."""

    def __init__(self, iface: Any, job: Job, parent: QObject | None = None) -> None:  # noqa: ARG002 - as other parts
        super().__init__(parent)
        self._job = job
        self._group = LayerGroup(ROLES, hidden=_HIDDEN_AT_FIRST)
        self._composite_view = CompositeView()
        self._composite: str | None = None
        self._in_the_way: list[str] = []
        self._answered: set[int] = set()
        self._has_to_adopt = False
        self._to_renew: set[str] = set()
        self._portions: deque[Portion] = deque()
        self._settling = QTimer(self, singleShot=True, interval=_SETTLING_MS)
        self._next_step = QTimer(self, singleShot=True)
        self._links: list[tuple[Any, Callable[..., None]]] = [
            (job.project_changed, self._on_project_changed),
            (job.about_to_close, self._take_down),
            (job.tiles_changed, self._bring_up_to_date),
            (job.rounds_changed, self._on_rounds_changed),
            (job.answers_changed, self._on_answers_changed),
            (job.predictions_changed, self._on_predictions_changed),
            (job.classes_changed, self._on_classes_changed),
            (self._settling.timeout, self._on_answers_settled),
            (self._next_step.timeout, self._bring_up_to_date),
        ]
        for signal, slot in self._links:
            signal.connect(slot)
        self._on_project_changed()

    def unload(self) -> None:
        """Remove the layers and stop listening."""
        for signal, slot in self._links:
            signal.disconnect(slot)
        self._links.clear()
        self._take_down()
        self._group.unload()

    def show_layers(self) -> None:
        """Bring back what was removed by hand."""
        self._group.bring_back()
        self._bring_up_to_date()

    def set_visible(self, role: str, visible: bool) -> None:
        """Show or hide the layer of one of :data:`ROLES`; it also holds for one that comes later."""
        self._group.set_visible(role, visible)

    def make_way(self, is_labelling: bool) -> None:
        """Hide what covers the image or tells what the model thinks while tiles are labelled; then show it again."""
        if is_labelling:
            with contextlib.suppress(ProjectError):  # whoever works on the project reports that it cannot be read
                self._improve_first_look()
            self._in_the_way = [role for role in _IN_THE_WAY if self._group.is_visible(role)]
        for role in self._in_the_way:
            self.set_visible(role, not is_labelling)

    def composites(self) -> list[Composite]:
        """What all of the project's rasters can show."""
        return composites_for(self._job.project.rasters()) if self._job.is_open else []

    def show_composite(self, name: str) -> None:
        """Show the composite called ``name`` on every raster of the project that is loaded, whoever loaded it."""
        self._composite = name
        rasters = [(record, self._find_raster_layer(record)) for record in self._job.project.rasters()]
        self._restyle_rasters([(record, layer) for record, layer in rasters if layer is not None])

    def _improve_first_look(self) -> None:
        """Show the first composite on rasters that QGIS shows by their first three bands, whatever these are."""
        rasters = [(record, self._find_raster_layer(record)) for record in self._job.project.rasters()]
        self._restyle_rasters([(record, layer) for record, layer in rasters if layer and _has_first_look(layer)])

    def raster_layer(self, raster_id: int) -> QgsRasterLayer | None:
        """The layer that shows a raster of the project, be it the overlay's or the analyst's own."""
        records = self._job.project.rasters()
        return next((self._find_raster_layer(record) for record in records if record.raster_id == raster_id), None)

    # News

    def _on_project_changed(self) -> None:
        if self._job.is_open:
            self._group.open(f"Quadrat: {self._job.project.path.stem}")
            self._has_to_adopt = True
            self._bring_up_to_date()

    def _on_rounds_changed(self) -> None:
        self._renew("asked")

    def _on_predictions_changed(self) -> None:
        self._renew("predictions", "uncertainty")

    def _on_answers_changed(self, tile_ids: list[int]) -> None:
        self._answered.update(tile_ids)
        self._settling.start()

    def _on_answers_settled(self) -> None:
        tile_ids, self._answered = sorted(self._answered), set()
        for role in ("asked", "answers"):
            self._plan(role, tile_ids)
        self._bring_up_to_date()

    def _on_classes_changed(self) -> None:
        """Names and colours have changed, perhaps of answered tiles."""
        for role in ("answers", "predictions"):
            self._restyle(role)
        self._renew("answers", "predictions")

    def _renew(self, *roles: str) -> None:
        """Read all tiles of some layers again."""
        self._to_renew.update(roles)
        self._bring_up_to_date()

    def _take_down(self) -> None:
        self._settling.stop()
        self._next_step.stop()
        self._answered.clear()
        self._to_renew.clear()
        self._portions.clear()
        self._composite_view.close()
        self._composite = None
        self._in_the_way = []
        self._group.close()

    # One step at a time

    def _bring_up_to_date(self) -> None:
        """Take one step towards what should be there; the others follow when the event loop has had its turn."""
        if not self._job.is_open:
            return
        project = self._job.project
        try:
            self._adopt_layers(project)
            if self._add_a_layer(project) or self._plan_to_renew(project) or self._fill_a_layer(project):
                self._next_step.start(0)
        except ProjectError:  # whoever works on the project reports that it cannot be read
            self._next_step.start(_RETRY_MS)

    def _adopt_layers(self, project: Project) -> None:
        """Take over the layers of a saved QGIS project, once."""
        if self._has_to_adopt:
            records = {_raster_key(record): record for record in project.rasters()}
            self._has_to_adopt = False
            for layer in QgsProject.instance().mapLayers().values():
                if self._is_ours(layer, records):
                    self._group.adopt(layer, replace=self._group.key_of(layer) in ROLES)

    def _plan_to_renew(self, project: Project) -> bool:
        """Cut into portions what has to be read again; False if there is nothing."""
        if not self._to_renew or not project.has_tiles():
            return False
        tiles = all_tiles(project)
        for role in sorted(self._to_renew):
            self._plan(role, tiles)
        self._to_renew.clear()
        return True

    def _plan(self, role: str, tiles: Tiles) -> None:
        if self._group.layer(role) is not None:
            self._portions.extend(portions(role, tiles))

    def _fill_a_layer(self, project: Project) -> bool:
        """Bring the next portion of tiles up to date; False if there is none."""
        if not self._portions:
            return False
        role, tiles = self._portions[0]
        layer = self._group.layer(role)
        if layer is not None:
            layer.update_tiles(project, tiles)
        self._portions.popleft()  # not before it was read
        if layer is not None and not any(portion.role == role for portion in self._portions):
            layer.updateExtents()
            if role == "uncertainty":
                self._restyle(role)
            layer.triggerRepaint()
        return True

    def _add_a_layer(self, project: Project) -> bool:
        """Remove layers that have nothing to show and make one that is missing; False if there is none."""
        for record in project.rasters():
            if self._add_raster(project, record):
                return True
        for role in ROLES:
            if not _VIEW[role].has_rows(project):
                self._group.remove(role)
            elif self._group.wants(role):
                self._add_tiles(project, role)
                return True
        return False

    def _add_tiles(self, project: Project, role: str) -> None:
        layer = TileLayer(_TITLE[role], _VIEW[role], tiles_crs(project))
        layer.setOpacity(_OPACITY.get(role, 1.0))
        layer.setRenderer(self._renderer(role))
        self._group.add(role, layer, expanded=role in _EXPANDED)
        self._plan(role, all_tiles(project))

    def _add_raster(self, project: Project, record: RasterRecord) -> bool:
        """Show a raster that no layer shows yet; False if there is nothing to do or its file is missing."""
        key, path = _raster_key(record), project.find_raster(record)
        if path is None:
            return False
        present = self._group.layer(key)
        if present is not None and not self._shows(present, path):
            self._group.remove(key)  # the raster has moved
        if self._find_raster_layer(record) is not None or not self._group.wants(key):
            return False
        layer = _raster_layer(path, record.name, project)
        if layer is not None:
            self._group.add(key, layer, expanded=False)
            self._restyle_rasters([(record, layer)])
        else:
            self._group.give_up(key)
        return True

    def _is_ours(self, layer: QgsMapLayer, records: dict[str, RasterRecord]) -> bool:
        """Whether a layer was made by an overlay, now or earlier, and shows what the open project has."""
        key = self._group.key_of(layer)
        if key not in records:
            return key in ROLES
        path = self._job.project.find_raster(records[key])
        return path is not None and layer.isValid() and self._shows(layer, path)

    def _find_raster_layer(self, record: RasterRecord) -> QgsRasterLayer | None:
        path = self._job.project.find_raster(record)
        layers = QgsProject.instance().mapLayers().values()
        rasters = [layer for layer in layers if isinstance(layer, QgsRasterLayer) and layer.isValid()]
        return next((layer for layer in rasters if path is not None and self._shows(layer, path)), None)

    def _shows(self, layer: QgsMapLayer, path: Path) -> bool:
        """Whether the file behind a layer is ``path``, or the one that shows the whole product that is there."""
        file = layer_file(path, _folder_of(self._job.project)) if is_product(path) else path
        source = QgsProviderRegistry.instance().decodeUri(layer.providerType(), layer.source()).get("path") or ""
        return bool(source) and os.path.normcase(os.path.realpath(source)) == os.path.normcase(os.path.realpath(file))

    # Looks

    def _renderer(self, role: str) -> QgsFeatureRenderer:
        project = self._job.project
        if role == "asked":
            return styles.asked_renderer()
        if role == "answers":
            return styles.answers_renderer(project.classes(), project.mode)
        if role == "predictions":
            return styles.predictions_renderer(project.classes(), project.mode)
        return styles.uncertainty_renderer(project.read(_UNCERTAINTY_STEPS))

    def _restyle(self, role: str) -> None:
        layer = self._group.layer(role)
        if layer is not None:
            with contextlib.suppress(ProjectError):
                layer.setRenderer(self._renderer(role))

    def _restyle_rasters(self, rasters: list[tuple[RasterRecord, QgsRasterLayer]]) -> None:
        """Show the composite that was chosen last, or the first there is."""
        found = self.composites()
        chosen = next((item for item in found if item.name == self._composite), found[0] if found else None)
        if chosen is not None and rasters:
            self._composite_view.show(chosen, [(_as_shown(record, layer), layer) for record, layer in rasters])


def _raster_key(record: RasterRecord) -> str:
    return f"imagery {record.raster_id}"


def _folder_of(project: Project) -> Path:
    """Where what can be computed again is kept; it need not be there."""
    return project.path.with_suffix(".quadrat")


def _raster_layer(path: Path, name: str, project: Project) -> QgsRasterLayer | None:
    """A layer for a raster or product, not styled yet; None if QGIS cannot show it."""
    if is_product(path):
        layer = make_product_layer(path, _folder_of(project))
    else:
        # Without QGIS's default style, which would measure the raster in the main thread.
        layer = QgsRasterLayer(str(path), name, "gdal", QgsRasterLayer.LayerOptions(loadDefaultStyle=False))
    return layer if layer is not None and layer.isValid() else None


def _as_shown(record: RasterRecord, layer: QgsRasterLayer) -> RasterRecord:
    """The record with the bands numbered as in the layer, which counts those of a product in its own way."""
    numbers = band_numbers(layer)
    return replace(record, bands=tuple(numbers.items())) if numbers else record


def _has_first_look(layer: QgsRasterLayer) -> bool:
    """Whether a raster looks as QGIS shows any that was just loaded."""
    renderer = layer.renderer()
    if not isinstance(renderer, QgsMultiBandColorRenderer):
        return False
    return (renderer.redBand(), renderer.greenBand(), renderer.blueBand()) == (1, 2, 3)
