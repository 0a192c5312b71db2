"""How fast a whole Sentinel-2 product becomes vectors, and where the time goes.

A product of the size of a granule is made, tiled and embedded, in a process of its own, whose peak memory counts. Then
each part of the work is done alone, by the same code, on chunks spread over the granule: reading the files of the
bands, bringing the coarser ones to 10 m (what reading through the virtual raster takes beyond that), cutting tiles, and
the bare network on tiles in memory. In the job itself they overlap, so their sum is more than its time.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rasterio.windows import Window

from ..embedding import bands_to_read, choose_encoder, embed, project_bands
from ..encoders.base import Encoder
from ..encoders.networks import NetworkEncoder
from ..encoders.registry import load_encoder
from ..errors import Cancelled, QuadratError
from ..imagery.products import find_product
from ..imagery.rasters import Raster, open_dataset, open_source, read_window
from ..imagery.reader import band_indexes, chunk_plan, read_tiles
from ..monitor import SILENT, Monitor
from ..project.classes import ClassDraft
from ..project.store import Project, RasterRecord
from ..scenes import grid_of, open_scene
from ..tiling import tile_rasters
from .pipeline import bare_rate, peak_mib
from .safe import write_safe

GRANULE_PX = 10_980
_CHUNKS = 12

T = TypeVar("T")


@dataclass(frozen=True)
class GranuleReport:
    """What tiling and embedding a product took.

    ``alone`` holds seconds for all tiles by kind of work; ``bare_rate`` is that of the network in tiles a second, None
    for an encoder without one.
    """

    product: str
    size_px: int
    bands: tuple[str, ...]
    tiles: int
    encoder: str
    device: str
    tiling_seconds: float
    embedding_seconds: float
    alone: dict[str, float]
    bare_rate: float | None
    peak_mib: float

    @property
    def rate(self) -> float:
        """Tiles embedded in a second, reading included."""
        return self.tiles / self.embedding_seconds

    @property
    def ratio(self) -> float | None:
        """Our rate over that of the bare network."""
        return None if self.bare_rate is None else self.rate / self.bare_rate

    def lines(self) -> list[str]:
        """For people."""
        total = sum(self.alone.values())
        lines = [
            f"{self.product}: {self.size_px} x {self.size_px} px, {self.tiles} tiles",
            f"tiled in {self.tiling_seconds:.1f} s",
            f"embedded with {self.encoder} on {self.device} in {self.embedding_seconds:.1f} s: {self.rate:.0f} tiles/s "
            f"from {len(self.bands)} bands",
            f"{'work, each kind done alone':42}{'s':>9}{'share':>8}",
            *(f"{name:42}{seconds:9.1f}{seconds / total:8.0%}" for name, seconds in self.alone.items()),
        ]
        if self.bare_rate is not None:
            lines.append(
                f"the bare network: {self.bare_rate:.0f} tiles/s; the embedding reaches {self.ratio:.2f} of it"
            )
        return [*lines, f"peak memory of the job {self.peak_mib:.0f} MiB"]

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "rate": self.rate, "ratio": self.ratio}


def run_granule(
    encoder: str, device: str = "cpu", driver: str = "GTiff", size_px: int = GRANULE_PX, monitor: Monitor = SILENT
) -> GranuleReport:
    """Make a product in a temporary folder, and measure tiling and embedding it in a process of its own.

    Args:
        encoder: its name or file.
        device: where to compute.
        driver: of the bands: ``GTiff``, quick to make, or ``JP2OpenJPEG``, as real products have them.
        size_px: pixels of 10 m a side, a multiple of 6.

    Raises:
        EncoderError: it cannot be loaded or lacks a band.
        QuadratError: the process died, for example for lack of memory.
        Cancelled: the caller asked to stop.
    """
    with tempfile.TemporaryDirectory(prefix="quadrat-granule-") as name:
        folder = Path(name)
        making = monitor.part(0.0, 0.3)
        product = write_safe(folder, size_px=size_px, driver=driver, copies=False, monitor=making)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return _watched(pool.submit(measure_product, product, encoder, device, folder), monitor)


def _watched(future: Future[T], monitor: Monitor) -> T:
    """What another process gives; it is ended if the caller asks to stop."""
    try:
        while not wait([future], timeout=0.3).done:
            monitor.advance(0.3, "Tiling and embedding")
        return future.result()
    except Cancelled:
        for process in multiprocessing.active_children():
            process.kill()
        raise
    except BrokenProcessPool as error:
        raise QuadratError(
            "The process that was measured died.",
            hint="Look whether memory or disk space ran out.",
            details=str(error),
        ) from error


def measure_product(product: Path, encoder_name: str, device: str, folder: Path) -> GranuleReport:
    """Tile and embed a product; then, when the peak of this process's memory is known, do each part of it alone.

    Args:
        product: a ``.SAFE`` folder or any other product, see :func:`~..imagery.products.find_product`.
        encoder_name, device: as for :func:`run_granule`.
        folder: for the project that is made.

    Raises:
        ImageryError: the product cannot be read.
        EncoderError: the encoder cannot be loaded or lacks a band.
    """
    with Project.create(folder / "bench.gpkg", [ClassDraft("any")], "single") as project:
        started = time.perf_counter()
        tile_rasters(project, [product])
        tiling = time.perf_counter() - started
        chosen = choose_encoder(project, encoder_name)
        encoder = _Timed(load_encoder(chosen, device))
        started = time.perf_counter()
        made = embed(project, encoder, chosen)
        embedding = time.perf_counter() - started
        peak = peak_mib()
        record = project.rasters()[0]
        bands = bands_to_read(encoder, project_bands(project))
        alone = _reading_alone(project, record, bands)
        computing, rate = _computing_alone(encoder, bands, record.tile_size, len(made.tile_ids))
        return GranuleReport(
            product=product.name,
            size_px=record.width,
            bands=bands,
            tiles=len(made.tile_ids),
            encoder=encoder.card.name,
            device=device,
            tiling_seconds=tiling,
            embedding_seconds=embedding,
            alone=alone | computing,
            bare_rate=rate,
            peak_mib=peak,
        )


class _Timed(Encoder):
    """Another encoder, with the ``seconds`` that it took so far."""

    def __init__(self, inner: Encoder) -> None:
        super().__init__(inner.card)
        self.inner = inner
        self.seconds = 0.0

    @property
    def tiles_together(self) -> int:
        return self.inner.tiles_together

    def _forward(self, reflectance: np.ndarray) -> np.ndarray:
        started = time.perf_counter()
        vectors = self.inner._forward(reflectance)
        self.seconds += time.perf_counter() - started
        return vectors


def _computing_alone(
    encoder: _Timed, bands: tuple[str, ...], tile_size: int, tiles: int
) -> tuple[dict[str, float], float | None]:
    """Seconds by kind of work, and the rate of the network in tiles a second if there is one."""
    if not isinstance(encoder.inner, NetworkEncoder):
        return {"computing vectors": encoder.seconds}, None
    rate = bare_rate(encoder.inner, bands, tile_size)
    network = tiles / rate
    return {"preparing the input": max(0.0, encoder.seconds - network), "network": network}, rate


def _reading_alone(project: Project, record: RasterRecord, bands: Sequence[str]) -> dict[str, float]:
    """Seconds for all tiles by kind of work, from some chunks spread over the raster."""
    raster, grid = open_scene(project, record), grid_of(record)
    tiles = project.tiles(("pool", "validation"))
    rows, cols = (np.array([getattr(tile, name) for tile in tiles]) for name in ("row", "col"))
    plan = chunk_plan(raster, grid, rows, cols)
    chunks = plan[:: -(-len(plan) // _CHUNKS)]
    chosen = np.concatenate([chunk.positions for chunk in chunks])
    windows = [chunk.window for chunk in chunks]
    files = _seconds(lambda: _read_files(raster, bands, windows))
    raw = _seconds(lambda: _read_windows(raster, bands, windows))
    cut = _seconds(lambda: deque(read_tiles(raster, grid, rows[chosen], cols[chosen], bands=bands), maxlen=0))
    share = len(tiles) / len(chosen)
    return {
        "reading the files of the bands": files * share,
        "resampling to 10 m": max(0.0, raw - files) * share,
        "cutting tiles": max(0.0, cut - raw) * share,
    }


def _read_files(raster: Raster, bands: Sequence[str], windows: Sequence[Window]) -> None:
    """Read the same ground from each band's own file, in its own pixels."""
    product = find_product(raster.path)
    assert product is not None
    with ExitStack() as stack:
        files = [band for band in product.bands if band.name in bands]
        opened = [stack.enter_context(open_source(band.source, band.name)) for band in files]
        for window in windows:
            for dataset in opened:
                pixels = raster.width // dataset.width
                edges = (window.col_off, window.row_off, window.width, window.height)
                dataset.read(1, window=Window(*(edge // pixels for edge in edges)))


def _read_windows(raster: Raster, bands: Sequence[str], windows: Sequence[Window]) -> None:
    with open_dataset(raster.path) as dataset:
        for window in windows:
            read_window(dataset, band_indexes(raster, bands), window, raster.path)


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
