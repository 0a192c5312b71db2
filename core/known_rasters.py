"""Rasters that a project knows already: recognised by place or content, brought up to date, never cut again.

Tiles, roles and answers stay whatever happens to the raster. So what decided about them, its grid, its bands and the
lasting options, cannot become others; where it lies and how its numbers become reflectance can.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ImageryError, UsageError
from .imagery.fingerprints import Fingerprint, dataset_size
from .imagery.product_metadata import full_name_in
from .imagery.products import find_product
from .imagery.rasters import Raster, inspect_raster, open_dataset
from .monitor import Monitor
from .project.store import Project, RasterRecord
from .tiling_options import TilingOptions, lasting


def inspect_again(project: Project, path: Path, options: TilingOptions) -> Raster:
    """Look at a raster; what the project knows of it already need not be said again.

    Raises:
        ImageryError: it cannot be used.
        UsageError: a scale or offset that makes no sense.
    """
    said: dict[str, Any] = {
        "bands": options.bands,
        "scale": options.scale,
        "offset": options.offset,
        "nodata": options.nodata,
    }
    records = project.rasters()
    size = dataset_size(path) if records else 0
    for record in records:
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


def remember_options(project: Project, raster_id: int, options: TilingOptions, size_px: int) -> None:
    """Keep the lasting options with which a raster is cut."""
    project.set_setting(_options_key(raster_id), json.dumps(lasting(options, size_px)))


def known_record(project: Project, raster: Raster, now: Fingerprint) -> RasterRecord | None:
    """The record of this raster, if there is one: the same file, the same content, or the same Sentinel-2 product."""
    name = _product_name(raster.path)
    for record in project.rasters():
        there = project.find_raster(record)
        if there is not None and there.resolve() == raster.path.resolve():
            return record
        if record.fingerprint == now.digest:
            return record
        # A zip and the folder that was unpacked from it have no byte in common.
        if name and name == _product_name(there or Path(record.path)):
            return record
    return None


def _product_name(path: Path) -> str:
    """The name that ESA gave the product at a path, or the one that was there; empty for any other raster."""
    try:
        product = find_product(path)
    except ImageryError:
        product = None
    if product is None and path.exists():
        return ""
    return full_name_in(path.name if product is None else product.name)


def renew(
    project: Project,
    record: RasterRecord,
    raster: Raster,
    now: Fingerprint,
    options: TilingOptions,
    monitor: Monitor,
) -> tuple[str, Path]:
    """Bring the record of a known raster up to date; its tiles, roles and answers stay.

    Returns:
        ``known``, ``moved`` or ``changed``, and where the project has the raster now.

    Raises:
        ImageryError: its size, position or bands are others.
        UsageError: lasting options other than those it was tiled with.
    """
    _refuse_another_raster(record, raster)
    _refuse_other_options(project, record, raster, options)
    asked = {"scale": options.scale, "offset": options.offset}
    changes: dict[str, Any] = {
        name: value for name, value in asked.items() if value is not None and value != getattr(record, name)
    }
    there = project.find_raster(record)
    if there is not None and there.resolve() != raster.path.resolve():
        monitor.warn(f"{raster.path} is the same image as {there}, which the project has already.")
        return "known", there
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
    return state, raster.path


def _refuse_another_raster(record: RasterRecord, raster: Raster) -> None:
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


def _refuse_other_options(project: Project, record: RasterRecord, raster: Raster, options: TilingOptions) -> None:
    asked, left_out = lasting(options, record.tile_size), lasting(TilingOptions(), record.tile_size)
    stored = json.loads(project.setting(_options_key(record.raster_id)) or "{}")
    # An option that is newer than the tiles was not in force; where nothing was kept, nothing is known.
    then = left_out | stored if stored else asked
    other = {name: value for name, value in asked.items() if value not in (left_out[name], then[name])}
    if other:
        listed = "\n".join(f"{name}: {then[name]} when it was tiled, now {value}" for name, value in other.items())
        raise UsageError(
            f"{raster.path.name} has been tiled already, in another way, and its tiles stay as they are.",
            hint="Leave these options as they were, or make a new project.",
            details=listed,
        )


def _options_key(raster_id: int) -> str:
    return f"tiling of raster {raster_id}"
