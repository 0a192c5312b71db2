"""Cut rasters into tiles and write them into the project.

For each raster: (1) look at it: bands, scale, georeference; (2) lay the grid; (3) keep the tiles that touch the area of
interest; (4) read every pixel once to see which are valid, and which are cloudy if that counts; (5) give every tile its
role; (6) append the tiles, and then, as the mark that all of them are there, the raster's own row. A run that is killed
leaves tiles without that mark; the next run removes them.

Roles: ``excluded`` tiles have too few valid pixels or too much cloud; ``validation`` tiles are drawn at random from the
others and are never queried or trained on; the rest is the ``pool``.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import ImageryError, UsageError
from .imagery.aoi import read_area, tiles_inside
from .imagery.clouds import CloudMask, find_clouds
from .imagery.fingerprints import Fingerprint, fingerprint
from .imagery.grid import TileGrid
from .imagery.products import coarser_than_sensed, find_product
from .imagery.rasters import Raster
from .imagery.sentinel2 import baseline_name, check_reflectance
from .imagery.survey import survey
from .known_rasters import inspect_again, known_record, remember_options, renew
from .monitor import SILENT, Monitor
from .project.store import Project, RasterRecord, check_tile_size
from .project.views import register_views, remove_orphan_tiles
from .tile_layer import Tiles, append_tiles, overlapping_tiles
from .tiling_options import TilingOptions, check_options

ROLES = ("pool", "validation", "excluded")
# Even open water and shadowed forest have brighter pixels in one band or another.
DARK = 0.03


@dataclass(frozen=True)
class TiledRaster:
    """What became of one raster: ``state`` is ``new``, ``known``, ``moved`` or ``changed``.

    Of the ``excluded`` tiles, ``cloudy`` have enough valid pixels, but too many cloudy ones.
    """

    raster_id: int
    path: Path
    state: str
    pool: int = 0
    validation: int = 0
    excluded: int = 0
    cloudy: int = 0


def tile_rasters(
    project: Project, paths: Sequence[Path], options: TilingOptions | None = None, monitor: Monitor = SILENT
) -> list[TiledRaster]:
    """Tile each raster that the project does not have yet; every raster is looked at before the first is cut.

    A raster the project knows is not cut again: if its file was moved or its content changed, the record is brought up
    to date, and tiles, answers and roles stay.

    Raises:
        ImageryError: a raster, the area or the mask cannot be used. Rasters cut before it stay in the project.
        UsageError: an option makes no sense.
    """
    options = options or TilingOptions()
    size = _agree_on_size(project, options)
    check_options(options, size)
    rasters = [inspect_again(project, path, options) for path in paths]
    jobs = [_plan(raster, size, options) for raster in rasters]
    remove_orphan_tiles(project)
    done = []
    for index, job in enumerate(jobs):
        part = monitor.part(index / len(jobs), (index + 1) / len(jobs))
        done.append(_tile_raster(project, job, options, part))
    return done


@dataclass(frozen=True)
class _Job:
    """A raster, the grid to cut it along, and what says where it is cloudy, if that counts."""

    raster: Raster
    grid: TileGrid
    clouds: CloudMask | None


def _plan(raster: Raster, size: int, options: TilingOptions) -> _Job:
    """What can be known before anything is read; a grid that does not hold a single tile is refused."""
    stride = options.stride_px or size
    grid = TileGrid(raster.width, raster.height, raster.transform, size, stride, raster.path.name)
    clouds = None if options.max_cloud is None else find_clouds(raster, options.mask, options.mask_values)
    return _Job(raster, grid, clouds)


def _agree_on_size(project: Project, options: TilingOptions) -> int:
    """All tiles of a project have one size, fixed when the first raster is cut."""
    size = project.tile_size
    if options.size_px in (None, size):
        return size
    if project.rasters():
        raise UsageError(
            f"The tiles of this project are {size} px; {options.size_px} px is not possible in the same project.",
            hint="Leave the size as it is, or make another project for the other one.",
        )
    assert options.size_px is not None
    check_tile_size(options.size_px)
    project.set_setting("tile_size", str(options.size_px))
    return options.size_px


def _tile_raster(project: Project, job: _Job, options: TilingOptions, monitor: Monitor) -> TiledRaster:
    raster, grid = job.raster, job.grid
    monitor.advance(0.0, f"Reading {raster.path.name}")
    with ThreadPoolExecutor(max_workers=1) as pool:
        # Hashing the file keeps one core busy while the other decodes it.
        hashing = pool.submit(fingerprint, raster.path, Monitor(is_cancelled=monitor.is_cancelled))
        known = known_record(project, raster, hashing.result()) if project.rasters() else None
        if known is not None:
            state, path = renew(project, known, raster, hashing.result(), options, monitor)
            return TiledRaster(known.raster_id, path, state)
        raster_id = project.next_raster_id()
        tiles, n_cloudy = _lay_out(project, raster_id, job, options, monitor)
        print_of_file = hashing.result()
    append_tiles(project, raster_id, tiles, raster, options.crs)
    remember_options(project, raster_id, options, grid.size)
    register_views(project)
    project.add_raster(_record(raster_id, raster, grid, print_of_file))
    counts = {role: int(np.count_nonzero(tiles.roles == role)) for role in ROLES}
    monitor.info(_description(raster))
    return TiledRaster(raster_id, raster.path, "new", **counts, cloudy=n_cloudy)


def _description(raster: Raster) -> str:
    """What was found, in a line, for the analyst to check."""
    product = find_product(raster.path)
    facts = [f"bands {', '.join(raster.band_names)}"]
    if product and product.level:
        baseline = f", baseline {baseline_name(product.baseline)}" if product.baseline else ""
        facts.insert(0, f"Sentinel-2 {product.level}{baseline}")
    if product and (coarse := coarser_than_sensed(product)):
        facts.append(f"only coarser copies of {', '.join(coarse)} are there")
    facts.append(f"reflectance = (DN {raster.radiometry.offset:+g}) x {raster.radiometry.scale:g}")
    return f"{raster.path.name}: {'; '.join(facts)}"


def _lay_out(
    project: Project, raster_id: int, job: _Job, options: TilingOptions, monitor: Monitor
) -> tuple[Tiles, int]:
    """Steps 3 to 5: which tiles there are, where, how much of each is valid, and in which role.

    Also how many of them are set aside for cloud alone.
    """
    raster, grid = job.raster, job.grid
    rows, cols = grid.all_tiles()
    polygons = grid.polygons(rows, cols)
    inside = np.ones(rows.size, bool)
    if options.area is not None:
        inside = tiles_inside(read_area(options.area), polygons, raster.crs)
        if not inside.any():
            raise ImageryError(
                f"No tile of {raster.path.name} touches the area of interest {options.area.name}.",
                hint="Check that the area lies on the raster and has the right CRS, or leave it out.",
            )
    found = survey(raster, grid, job.clouds, monitor.part(0.0, 0.9))
    valid = found.valid.ravel()
    filled = _filled(raster, inside, valid, options)
    clear = filled
    if job.clouds and found.cloudy is not None and options.max_cloud is not None:
        clear = _clear(job.clouds, raster, filled, found.cloudy.ravel(), options.max_cloud, monitor)
    check_reflectance(found.sample, raster.path.name)
    if np.percentile(found.sample, 99) < DARK:
        monitor.warn(f"{raster.path.name} is very dark (reflectance below {DARK}); is its scale right (--scale)?")
    roles = _draw_roles(project, raster_id, raster, grid, clear, options, monitor)
    n_cloudy = int(np.count_nonzero(filled & ~clear))
    return Tiles(rows[inside], cols[inside], valid[inside], roles[inside], polygons[inside]), n_cloudy


def _filled(raster: Raster, inside: np.ndarray, valid: np.ndarray, options: TilingOptions) -> np.ndarray:
    """Which tiles ``(T,)`` have enough valid pixels; at least one has."""
    filled = inside & (valid >= options.min_valid)
    if not filled.any():
        raise ImageryError(
            f"No tile of {raster.path.name} has {options.min_valid:.0%} valid pixels; the fullest has "
            f"{valid[inside].max():.0%}.",
            hint="Check the raster's nodata value (--nodata), or ask for fewer valid pixels (--min-valid).",
        )
    return np.asarray(filled)


def _clear(
    clouds: CloudMask, raster: Raster, filled: np.ndarray, cloudy: np.ndarray, max_cloud: float, monitor: Monitor
) -> np.ndarray:
    """Which of the filled tiles ``(T,)`` are not too cloudy; those of which the mask says nothing count as clear."""
    clear = filled & ~(cloudy > max_cloud)
    if not clear.any():
        raise ImageryError(
            f"Every tile of {raster.path.name} is too cloudy; the clearest has {np.nanmin(cloudy[filled]):.0%} cloud "
            f"by {clouds.name}.",
            hint="Allow more cloud (--max-cloud), check which values of the mask mean cloud (--mask-values), "
            "or use another scene.",
        )
    unknown = np.count_nonzero(filled & np.isnan(cloudy))
    if unknown:
        monitor.warn(f"{unknown} tiles are kept although {clouds.name} does not say whether they are cloudy.")
    return np.asarray(clear)


def _draw_roles(
    project: Project,
    raster_id: int,
    raster: Raster,
    grid: TileGrid,
    usable: np.ndarray,
    options: TilingOptions,
    monitor: Monitor,
) -> np.ndarray:
    """The role of each tile of the grid, row by row ``(T,)``: a random sample of the usable ones is for validation.

    No pixel of a validation tile may be learnt from. So tiles that overlap one are excluded, in this raster and in
    others of the same ground, and no tile is drawn where another raster's pool has tiles already.
    """
    rows, cols = grid.all_tiles()
    checks, learns = overlapping_tiles(project, grid, raster)
    roles = np.where(usable & ~checks, "pool", "excluded").astype("<U10")
    rng = np.random.default_rng([options.seed, raster_id])
    share = options.validation * np.count_nonzero(roles == "pool")
    candidates = np.flatnonzero((roles == "pool") & ~learns)
    # Rounded by chance, so that the share is kept over many small rasters too.
    drawn = rng.permutation(candidates)[: int(share + rng.random())]
    reach = -(-grid.size // grid.stride) - 1
    if reach:
        near = np.zeros((grid.rows, grid.cols), bool)
        for row, col in zip(rows[drawn], cols[drawn], strict=True):
            near[max(row - reach, 0) : row + reach + 1, max(col - reach, 0) : col + reach + 1] = True
        roles[near[rows, cols]] = "excluded"
    roles[drawn] = "validation"
    if checks.any():
        monitor.warn(
            f"{np.count_nonzero(checks & usable)} tiles of {raster.path.name} are set aside, because they show ground "
            "that another raster's validation tiles show."
        )
    if drawn.size and not (roles == "pool").any():
        monitor.warn(
            f"No tile of {raster.path.name} is left to ask for: the validation sample and its surroundings take all."
        )
    return roles


def _record(raster_id: int, raster: Raster, grid: TileGrid, now: Fingerprint) -> RasterRecord:
    return RasterRecord(
        raster_id=raster_id,
        path=str(raster.path.resolve()),
        bands=tuple((band.name, band.index) for band in raster.bands),
        scale=raster.radiometry.scale,
        offset=raster.radiometry.offset,
        nodata=raster.radiometry.nodata,
        crs=raster.crs,
        transform=raster.transform[:6],
        width=raster.width,
        height=raster.height,
        tile_size=grid.size,
        stride=grid.stride,
        fingerprint=now.digest,
        file_size=now.size,
        modified_ns=now.modified_ns,
        dtype=raster.dtype,
    )
