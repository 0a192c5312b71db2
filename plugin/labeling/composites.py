"""Band composites for the rasters of a project: which there are, and how they are shown with a good contrast.

1. :func:`composites_for` names the composites that all rasters of the project can show.
2. :class:`CompositeView` gives raster layers a renderer with a 2-98 % stretch. At once it is the one known from before,
   or one guessed from what reflectance usually is; meanwhile a task measures a sample of the pixels on a clone of the
   layer's provider, and the main thread puts the measured stretch in place.

The sample is 64 small windows over the raster, read at full resolution: a granule without overviews is then read in
part only (a thumbnail of it would read all), and nothing is written beside the raster, as QGIS's own statistics do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qgis.core import (
    QgsApplication,
    QgsContrastEnhancement,
    QgsMultiBandColorRenderer,
    QgsProject,
    QgsRasterDataProvider,
    QgsRasterLayer,
    QgsRasterRange,
    QgsRasterRenderer,
    QgsRectangle,
    QgsSingleBandGrayRenderer,
    QgsTask,
)

from ...core.project.records import RasterRecord
from ..engine.task import task_flags

Stretch = tuple[float, float]

_RECIPES = (
    ("True colour", (("B04", "B03", "B02"),)),
    ("Near infrared", (("B08", "B04", "B03"), ("B8A", "B04", "B03"))),
    ("SWIR", (("B12", "B8A", "B04"), ("B12", "B08", "B04"))),
)

_CUT = (0.02, 0.98)
_WINDOWS = 8  # on each side
_WINDOW_PX = 16
_USUAL_REFLECTANCE = (0.0, 0.3)
_USUAL_DN = (0.0, 4000.0)  # the same with the 1000 that products have added since 2022


@dataclass(frozen=True)
class Composite:
    """A name for a button, and the bands shown as red, green and blue, or one band shown in grey."""

    name: str
    bands: tuple[str, ...]


def composites_for(rasters: Sequence[RasterRecord]) -> list[Composite]:
    """The composites that every one of ``rasters`` can show; a grey one if there is no other."""
    if not rasters:
        return []
    names = [[name for name, _ in record.bands] for record in rasters]
    common = set(names[0]).intersection(*names[1:])
    found = []
    for name, variants in _RECIPES:
        fitting = next((bands for bands in variants if common.issuperset(bands)), None)
        if fitting is not None:
            found.append(Composite(name, fitting))
    # Without a band in common, each raster shows its first.
    return found or [Composite("Grey", tuple(name for name in names[0] if name in common)[:1])]


def show_usual_stretch(layer: QgsRasterLayer) -> None:
    """Show the first three bands of a product, of which nothing is known yet."""
    count = min(3, layer.bandCount())
    _set_renderer(layer, (1, 2, 3) if count == 3 else (1,), [_USUAL_DN] * count)


class CompositeView:
    """Shows composites on raster layers and remembers the stretches that were measured. For the main thread."""

    def __init__(self) -> None:
        self._measured: dict[tuple[str, int], Stretch] = {}
        self._wanted: dict[str, tuple[int, ...]] = {}  # id of a layer that waits -> its bands
        self._tasks: set[_MeasuringTask] = set()

    def show(self, composite: Composite, rasters: Sequence[tuple[RasterRecord, QgsRasterLayer]]) -> None:
        """Give each layer the composite at once; a stretch that is not known yet follows when it is measured."""
        for record, layer in rasters:
            indices = _indices(record, composite)
            _hide_nodata(layer, record, indices)
            known = [self._measured.get((layer.source(), index)) for index in indices]
            usual = [_usual_stretch(layer, record, index) for index in indices]
            _set_renderer(layer, indices, [stretch or guess for stretch, guess in zip(known, usual)])
            self._wanted.pop(layer.id(), None)
            if None in known:
                self._wanted[layer.id()] = indices
        self._measure()

    def close(self) -> None:
        """Stop measuring and forget everything."""
        self._wanted.clear()
        self._measured.clear()
        for task in list(self._tasks):  # a task that has not begun leaves the set while it is cancelled
            task.cancel()

    def _measure(self) -> None:
        """Start a task for what is wanted and neither known nor being measured."""
        under_way = {key for task in self._tasks for key in task.keys}
        jobs: dict[tuple[str, int], QgsRasterDataProvider] = {}
        for layer, indices in self._layers_wanted():
            missing = {(layer.source(), index) for index in indices} - set(self._measured) - under_way
            if missing:
                clone = layer.dataProvider().clone()
                jobs.update(dict.fromkeys(missing, clone))
        if jobs:
            task = _MeasuringTask(jobs, self._take)
            self._tasks.add(task)  # QGIS does not keep the Python half of a task alive
            QgsApplication.taskManager().addTask(task)

    def _take(self, task: _MeasuringTask, stretches: dict[tuple[str, int], Stretch]) -> None:
        self._tasks.discard(task)
        self._measured.update(stretches)
        for layer, indices in self._layers_wanted():
            known = [self._measured[key] for index in indices if (key := (layer.source(), index)) in self._measured]
            if len(known) == len(indices):
                _set_renderer(layer, indices, known)
                del self._wanted[layer.id()]

    def _layers_wanted(self) -> list[tuple[QgsRasterLayer, tuple[int, ...]]]:
        """The layers that wait for a stretch and are still there, with their bands."""
        found = [(QgsProject.instance().mapLayer(name), indices) for name, indices in self._wanted.items()]
        return [(layer, indices) for layer, indices in found if layer is not None]


class _MeasuringTask(QgsTask):
    """Measures the stretch of some bands; ``on_done(task, stretches)`` is called in the main thread."""

    def __init__(
        self,
        jobs: dict[tuple[str, int], QgsRasterDataProvider],
        on_done: Callable[[_MeasuringTask, dict[tuple[str, int], Stretch]], None],
    ) -> None:
        super().__init__("Quadrat: contrast of the image", task_flags(quiet=True))
        self.keys = tuple(jobs)
        self._jobs = jobs
        self._on_done = on_done
        self._stretches: dict[tuple[str, int], Stretch] = {}

    def run(self) -> bool:
        for number, (key, provider) in enumerate(self._jobs.items()):
            stretch = measure_stretch(provider, key[1], self.isCanceled)
            if self.isCanceled():
                return False
            if stretch is not None:
                self._stretches[key] = stretch
            self.setProgress(100 * (number + 1) / len(self._jobs))
        return True

    def finished(self, result: bool) -> None:  # noqa: ARG002 - cancelled or not, what was measured is right
        self._jobs.clear()  # closes the files
        self._on_done(self, self._stretches)


def measure_stretch(
    provider: QgsRasterDataProvider, band: int, is_cancelled: Callable[[], bool] = lambda: False
) -> Stretch | None:
    """The stored numbers below which 2 % and 98 % of a sample of one band lie; None without any valid pixel."""
    extent, columns, rows = provider.extent(), provider.xSize(), provider.ySize()
    pixel_width, pixel_height = extent.width() / columns, extent.height() / rows
    width, height = min(_WINDOW_PX, columns), min(_WINDOW_PX, rows)
    values: list[float] = []
    for row in _starts(rows, height):
        for column in _starts(columns, width):
            if is_cancelled():
                return None
            left, top = extent.xMinimum() + column * pixel_width, extent.yMaximum() - row * pixel_height
            window = QgsRectangle(left, top - height * pixel_height, left + width * pixel_width, top)
            block = provider.block(band, window, width, height)
            numbers = (block.value(pixel) for pixel in range(width * height) if not block.isNoData(pixel))
            values += filter(math.isfinite, numbers)
    if not values:
        return None
    values.sort()
    low, high = (values[round(share * (len(values) - 1))] for share in _CUT)
    return (low, high) if high > low else (low, low + 1.0)


def _starts(size: int, window: int) -> list[int]:
    """Where windows begin along a side: evenly from edge to edge, and no two at the same place."""
    number = min(_WINDOWS, max(1, size // window))
    return [round(index * (size - window) / max(1, number - 1)) for index in range(number)]


def _indices(record: RasterRecord, composite: Composite) -> tuple[int, ...]:
    """The 1-based bands of the file; the first band if the composite names none."""
    index_of = dict(record.bands)
    return tuple(index_of[name] for name in composite.bands) or (record.bands[0][1],)


def _usual_stretch(layer: QgsRasterLayer, record: RasterRecord, index: int) -> Stretch:
    """The numbers of usual reflectance in one band; all there are, if it holds bytes."""
    if record.dtype == "uint8":
        return (0.0, 255.0)
    low, high = (reflectance / record.scale - record.offset for reflectance in _USUAL_REFLECTANCE)
    return (_shown(layer, index, low), _shown(layer, index, high))


def _shown(layer: QgsRasterLayer, index: int, stored: float) -> float:
    """What QGIS makes of a stored number: it applies a band's own scale and offset where the file has them."""
    provider = layer.dataProvider()
    return stored * provider.bandScale(index) + provider.bandOffset(index)


def _hide_nodata(layer: QgsRasterLayer, record: RasterRecord, indices: tuple[int, ...]) -> None:
    """Make the number that the project knows as "no data" transparent where the file itself does not say it."""
    if record.nodata is None or math.isnan(record.nodata):  # QGIS draws nothing where a pixel is no number
        return
    provider = layer.dataProvider()
    for index in indices:
        if not provider.sourceHasNoDataValue(index):
            nodata = _shown(layer, index, record.nodata)
            known = provider.userNoDataValues(index)
            if not any(item.contains(nodata) for item in known):
                provider.setUserNoDataValue(index, [*known, QgsRasterRange(nodata, nodata)])


def _set_renderer(layer: QgsRasterLayer, indices: tuple[int, ...], stretches: Sequence[Stretch]) -> None:
    """Replace the renderer; the layer's opacity, transparent band and blending stay as they are."""
    provider = layer.dataProvider()
    contrasts = [_contrast(provider, index, stretch) for index, stretch in zip(indices, stretches)]
    renderer: QgsRasterRenderer
    if len(indices) == 1:
        renderer = QgsSingleBandGrayRenderer(provider, indices[0])
        renderer.setContrastEnhancement(contrasts[0])
    else:
        renderer = QgsMultiBandColorRenderer(provider, *indices)
        renderer.setRedContrastEnhancement(contrasts[0])
        renderer.setGreenContrastEnhancement(contrasts[1])
        renderer.setBlueContrastEnhancement(contrasts[2])
    before = layer.renderer()
    if before is not None:
        renderer.setOpacity(before.opacity())
        renderer.setAlphaBand(before.alphaBand())
    layer.setRenderer(renderer)
    layer.emitStyleChanged()
    layer.triggerRepaint()


def _contrast(provider: QgsRasterDataProvider, band: int, stretch: Stretch) -> QgsContrastEnhancement:
    contrast = QgsContrastEnhancement(provider.dataType(band))
    contrast.setMinimumValue(stretch[0], False)
    contrast.setMaximumValue(stretch[1], False)
    contrast.setContrastEnhancementAlgorithm(
        QgsContrastEnhancement.ContrastEnhancementAlgorithm.StretchToMinimumMaximum, True
    )
    return contrast
