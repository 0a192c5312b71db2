"""Cut rasters into tiles and write them into the project.

For each raster: (1) look at it: bands, scale, georeference; (2) lay the grid; (3) keep the tiles that touch the area of
interest; (4) read every pixel once to see which are valid; (5) give every tile its role; (6) append the tiles, and
then, as the mark that all of them are there, the raster's own row. A run that is killed leaves tiles without that mark;
the next run removes them.

Roles: ``excluded`` tiles have too few valid pixels; ``validation`` tiles are drawn at random from the others and are
never queried or trained on; the rest is the ``pool``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ImageryError, UsageError
from .imagery.aoi import read_area, tiles_inside
from .imagery.grid import TileGrid
from .imagery.rasters import Fingerprint, Raster, fingerprint, inspect_raster, open_dataset
from .imagery.reader import valid_fractions
from .imagery.sentinel2 import check_reflectance
from .monitor import SILENT, Monitor
from .paths import split_layer
from .project.store import Project, RasterRecord, check_tile_size
from .project.views import register_views, remove_orphan_tiles
from .tile_layer import Tiles, append_tiles, overlapping_tiles

ROLES = ("pool", "validation", "excluded")
# Even open water and shadowed forest have brighter pixels in one band or another.
DARK = 0.03


@dataclass(frozen=True)
class TilingOptions:
    """How to cut. ``None`` means: as the raster or the project says.

    ``stride_px`` is the distance between the corners of neighbouring tiles; below the tile size they overlap.
    ``validation`` is the share of usable tiles set apart for honest accuracy. ``bands`` names each band by position.
    Reflectance is ``(DN + offset) * scale``.
    """

    size_px: int | None = None
    stride_px: int | None = None
    min_valid: float = 0.9
    validation: float = 0.0
    seed: int = 0
    area: Path | None = None
    bands: Sequence[str] | None = None
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None
    crs: str | None = None


@dataclass(frozen=True)
class TiledRaster:
    """What became of one raster: ``state`` is ``new``, ``known``, ``moved`` or ``changed``."""

    raster_id: int
    path: Path
    state: str
    pool: int = 0
    validation: int = 0
    excluded: int = 0


def tile_rasters(
    project: Project, paths: Sequence[Path], options: TilingOptions | None = None, monitor: Monitor = SILENT
) -> list[TiledRaster]:
    """Tile each raster that the project does not have yet; every raster is looked at before the first is cut.

    A raster the project knows is not cut again: if its file was moved or its content changed, the record is brought up
    to date, and tiles, answers and roles stay.

    Raises:
        ImageryError: a raster or the area cannot be used. Rasters cut before it stay in the project.
        UsageError: an option makes no sense.
    """
    options = options or TilingOptions()
    size = _agree_on_size(project, options)
    _check(options, size)
    rasters = [_inspect(project, path, options) for path in paths]
    for raster in rasters:
        _grid_of(raster, size, options)
    remove_orphan_tiles(project)
    done = []
    for index, raster in enumerate(rasters):
        part = monitor.part(index / len(rasters), (index + 1) / len(rasters))
        done.append(_tile_raster(project, raster, size, options, part))
    return done


def _inspect(project: Project, path: Path, options: TilingOptions) -> Raster:
    """Look at a raster; what the project knows of it already need not be said again."""
    said: dict[str, Any] = {
        "bands": options.bands,
        "scale": options.scale,
        "offset": options.offset,
        "nodata": options.nodata,
    }
    size = path.stat().st_size if path.is_file() else -1
    for record in project.rasters():
        if record.file_size == size or record.path == str(path.resolve()):
            with open_dataset(path) as dataset:
                names = ["-"] * max(dataset.count, *(index for _, index in record.bands))
            for name, index in record.bands:
                names[index - 1] = name
            known: dict[str, Any] = {
                "bands": names,
                "scale": record.scale,
                "offset": record.offset,
                "nodata": record.nodata,
            }
            said = {key: known[key] if value is None else value for key, value in said.items()}
            break
    return inspect_raster(path, **said)


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


def _check(options: TilingOptions, size: int) -> None:
    problems = []
    if options.stride_px is not None and not 1 <= options.stride_px <= 8 * size:
        problems.append(f"the stride (--stride) must lie between 1 and {8 * size} px, not {options.stride_px}")
    if not 0 < options.min_valid <= 1:
        problems.append(
            f"the share of valid pixels (--min-valid) must lie above 0 and up to 1, not {options.min_valid}"
        )
    if not 0 <= options.validation < 1:
        problems.append(f"the validation sample (--validation) must lie between 0 and 1, not {options.validation}")
    if options.scale is not None and options.scale <= 0:
        problems.append(f"the scale (--scale) must be above 0, not {options.scale}")
    if problems:
        raise UsageError("Some options make no sense.", hint="Correct them.", details="\n".join(problems))


def _tile_raster(project: Project, raster: Raster, size: int, options: TilingOptions, monitor: Monitor) -> TiledRaster:
    monitor.advance(0.0, f"Reading {raster.path.name}")
    with ThreadPoolExecutor(max_workers=1) as pool:
        # Hashing the file keeps one core busy while the other decodes it.
        hashing = pool.submit(fingerprint, raster.path, Monitor(is_cancelled=monitor.is_cancelled))
        known = _known_record(project, raster, hashing.result()) if project.rasters() else None
        if known is not None:
            return _renew(project, known, raster, hashing.result(), options, monitor)
        raster_id = project.next_raster_id()
        tiles, grid = _lay_out(project, raster_id, raster, size, options, monitor)
        print_of_file = hashing.result()
    append_tiles(project, raster_id, tiles, raster, options.crs)
    project.set_setting(_options_key(raster_id), json.dumps(_lasting(options, size)))
    register_views(project)
    project.add_raster(_record(raster_id, raster, grid, print_of_file))
    counts = {role: int(np.count_nonzero(tiles.roles == role)) for role in ROLES}
    monitor.info(
        f"{raster.path.name}: bands {', '.join(raster.band_names)}; "
        f"reflectance = (DN {raster.radiometry.offset:+g}) x {raster.radiometry.scale:g}"
    )
    return TiledRaster(raster_id, raster.path, "new", **counts)


def _options_key(raster_id: int) -> str:
    return f"tiling of raster {raster_id}"


def _lasting(options: TilingOptions, size_px: int) -> dict[str, Any]:
    """The options that decided which tiles there are and in which role: they cannot be changed afterwards."""
    return {
        "stride": options.stride_px or size_px,
        "min_valid": options.min_valid,
        "validation": options.validation,
        "seed": options.seed,
        "aoi": options.area and _content_of(options.area),
        "nodata": options.nodata,
    }


def _content_of(area: Path) -> str:
    """What an area's file holds, as a hash: a project may move together with it."""
    file, layer = split_layer(area)
    return f"sha256 {hashlib.sha256(file.read_bytes() + layer.encode()).hexdigest()[:16]}"


def _known_record(project: Project, raster: Raster, digest: Fingerprint) -> RasterRecord | None:
    """The record of this raster, if there is one: the same file or the same content."""
    for record in project.rasters():
        there = project.find_raster(record)
        if there is not None and there.resolve() == raster.path.resolve():
            return record
        if record.fingerprint == digest.digest:
            return record
    return None


def _renew(
    project: Project,
    record: RasterRecord,
    raster: Raster,
    now: Fingerprint,
    options: TilingOptions,
    monitor: Monitor,
) -> TiledRaster:
    """Bring the record of a known raster up to date; its tiles, roles and answers stay."""
    _refuse_other_options(project, record, raster, options)
    asked = {"scale": options.scale, "offset": options.offset}
    changes: dict[str, Any] = {
        name: value for name, value in asked.items() if value is not None and value != getattr(record, name)
    }
    there = project.find_raster(record)
    if there is not None and there.resolve() != raster.path.resolve():
        monitor.warn(f"{raster.path} is the same image as {there}, which the project has already.")
        return TiledRaster(record.raster_id, there, "known")
    state = "known"
    if there is None or now.digest != record.fingerprint:
        state = "changed" if now.digest != record.fingerprint else "moved"
        changes |= {
            "path": str(raster.path.resolve()),
            "path_relative": project.relative_path(raster.path.resolve()),
            "fingerprint": now.digest,
            "file_size": now.size,
            "modified_ns": now.modified_ns,
        }
    if "scale" in changes or "offset" in changes:
        state = "changed"
        monitor.info(f"{raster.path.name}: scale or offset changed, so its embeddings have to be made again.")
    if changes:
        project.update_raster(record.raster_id, **changes)
    return TiledRaster(record.raster_id, raster.path, state)


def _refuse_other_options(project: Project, record: RasterRecord, raster: Raster, options: TilingOptions) -> None:
    """A raster cannot become another one, nor be cut in another way, once its tiles may have answers."""
    grid_now = (raster.width, raster.height, *raster.transform[:6])
    grid_then = (record.width, record.height, *record.transform)
    bands_now = [(band.name, band.index) for band in raster.bands]
    bands_then = [tuple(band) for band in record.bands]
    if not np.allclose(grid_now, grid_then) or bands_now != bands_then:
        raise ImageryError(
            f"{raster.path.name} is not the raster that was tiled: its size, position or bands are others.",
            hint="Give the new raster another name and tile it as one more raster, or make a new project.",
            details=f"then {grid_then}, bands {bands_then}\nnow {grid_now}, bands {bands_now}",
        )
    then = json.loads(project.setting(_options_key(record.raster_id)) or "{}")
    asked, left_out = _lasting(options, record.tile_size), _lasting(TilingOptions(), record.tile_size)
    other = {name: value for name, value in asked.items() if value not in (left_out[name], then.get(name, value))}
    if other:
        listed = "\n".join(f"{name}: {then[name]} when it was tiled, now {value}" for name, value in other.items())
        raise UsageError(
            f"{raster.path.name} has been tiled already, in another way, and its tiles stay as they are.",
            hint="Leave these options as they were, or make a new project.",
            details=listed,
        )


def _grid_of(raster: Raster, size: int, options: TilingOptions) -> TileGrid:
    """The grid to cut the raster along; one that does not hold a single tile is refused."""
    stride = options.stride_px or size
    return TileGrid(raster.width, raster.height, raster.transform, size, stride, raster.path.name)


def _lay_out(
    project: Project, raster_id: int, raster: Raster, size: int, options: TilingOptions, monitor: Monitor
) -> tuple[Tiles, TileGrid]:
    """Steps 2 to 5: which tiles there are, where, how much of each is valid, and in which role."""
    grid = _grid_of(raster, size, options)
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
    valid, sample = valid_fractions(raster, grid, monitor.part(0.0, 0.9))
    fractions = valid[rows, cols]
    usable = inside & (fractions >= options.min_valid)
    if not usable.any():
        raise ImageryError(
            f"No tile of {raster.path.name} has {options.min_valid:.0%} valid pixels; the fullest has "
            f"{fractions[inside].max():.0%}.",
            hint="Check the raster's nodata value (--nodata), or ask for fewer valid pixels (--min-valid).",
        )
    check_reflectance(sample, raster.path.name)
    if np.percentile(sample, 99) < DARK:
        monitor.warn(f"{raster.path.name} is very dark (reflectance below {DARK}); is its scale right (--scale)?")
    roles = _draw_roles(project, raster_id, raster, grid, usable, options, monitor)
    return Tiles(rows[inside], cols[inside], fractions[inside], roles[inside], polygons[inside]), grid


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
