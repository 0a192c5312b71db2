"""Where a project's rasters are now, and whether they are still what was tiled.

The project file knows rasters by record, the imagery code by path; this is the bridge.
"""

from __future__ import annotations

from pathlib import Path

from affine import Affine

from .errors import ImageryError
from .imagery.fingerprints import Fingerprint, is_unchanged
from .imagery.grid import TileGrid
from .imagery.rasters import Raster, open_dataset
from .imagery.sentinel2 import Band, Radiometry
from .project.store import Project, RasterRecord


def has_changed(path: Path, record: RasterRecord) -> bool:
    """Whether the pixels may be others than when the raster was tiled."""
    return not is_unchanged(path, Fingerprint(record.file_size, record.modified_ns, record.fingerprint))


def grid_of(record: RasterRecord) -> TileGrid:
    """The grid that the raster was cut along."""
    return TileGrid(record.width, record.height, Affine(*record.transform), record.tile_size, record.stride)


def open_scene(project: Project, record: RasterRecord) -> Raster:
    """The raster as it was tiled: its bands, scale and offset are those of the project.

    Raises:
        ImageryError: it is not where it was, or has changed since.
    """
    path = project.find_raster(record)
    if path is None:
        places = [record.path, *([str(project.path.parent / record.path_relative)] if record.path_relative else [])]
        raise ImageryError(
            f"The raster {Path(record.path).name} is not where it was.",
            hint=f"Put it back, or say where it is now: quadrat tile {project.path} NEW_PATH, or in QGIS.",
            details="\n".join(f"looked for {place}" for place in dict.fromkeys(places)),
        )
    if has_changed(path, record):
        raise changed(project, path)
    with open_dataset(path) as dataset:
        block_shape = tuple(dataset.block_shapes[record.bands[0][1] - 1])
    return Raster(
        path=path,
        bands=tuple(Band(name, index) for name, index in record.bands),
        radiometry=Radiometry(record.scale, record.offset, record.nodata),
        crs=record.crs,
        transform=Affine(*record.transform),
        width=record.width,
        height=record.height,
        dtype=record.dtype,
        block_shape=block_shape,
    )


def changed(project: Project, path: Path) -> ImageryError:
    """The error for a raster whose content is another than when it was tiled."""
    return ImageryError(
        f"The raster {path.name} has changed since it was tiled.",
        hint=f"If that is meant, tile and embed it again: quadrat tile {project.path} {path}, then quadrat embed; "
        "or Prepare in QGIS. Its answers are kept. Otherwise put the former file back.",
    )
