"""Real small projects for tests: tiles written by GDAL, everything else by Quadrat."""

import functools
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import shapely

from quadrat.core.project.classes import ClassDraft
from quadrat.core.project.records import RasterRecord
from quadrat.core.project.store import Project
from quadrat.core.project.views import register_views

CLASSES = [ClassDraft("Water"), ClassDraft("Forest"), ClassDraft("Town")]
TILE_M = 640.0
WEST, NORTH = 500_000.0, 5_400_000.0


def tile_frame(raster_id=1, n=6, west=WEST, n_cols=3):
    """``n`` square tiles of 640 m, row by row; the fifth one is for validation, the sixth excluded."""
    row, col = np.divmod(np.arange(n), n_cols)
    x, y = west + col * TILE_M, NORTH - (row + 1) * TILE_M
    role = np.full(n, "pool", dtype=object)
    role[4:5], role[5:6] = "validation", "excluded"
    columns = {"raster_id": raster_id, "row": row, "col": col, "valid_fraction": 1.0, "role": role}
    return gpd.GeoDataFrame(columns, geometry=shapely.box(x, y, x + TILE_M, y + TILE_M), crs="EPSG:32633")


def write_tiles(path, frame):
    """Add tiles with GDAL, as a new layer or to the one that is there; tile_id counts on from 1."""
    exists = "tiles" in pyogrio.list_layers(path)[:, 0]
    options = {} if exists else {"FID": "tile_id", "GEOMETRY_NAME": "geom"}
    pyogrio.write_dataframe(frame, path, layer="tiles", driver="GPKG", append=exists, layer_options=options)


def raster_record(raster_id=1, path="/imagery/scene one.tif", **changes):
    fields = {
        "raster_id": raster_id,
        "path": str(path),
        "bands": (("B02", 1), ("B8A", 4)),
        "scale": 0.0001,
        "offset": -0.1,
        "nodata": None,
        "crs": 'PROJCRS["WGS 84 / UTM zone 33N"]',
        "transform": (10.0, 0.0, WEST, 0.0, -10.0, NORTH),
        "width": 200,
        "height": 128,
        "tile_size": 64,
        "stride": 64,
        "fingerprint": "0123abcd",
        "file_size": 204_800,
        "modified_ns": 1_700_000_000_123_456_789,
        "dtype": "uint16",
    }
    return RasterRecord(**{**fields, **changes})


@functools.cache
def _content(mode, n):
    """The bytes of a new project with one raster and ``n`` tiles."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.gpkg"
        with Project.create(path, CLASSES, mode) as project:
            write_tiles(path, tile_frame(n=n))
            project.add_raster(raster_record())
            register_views(project)
        return path.read_bytes()


def make_project(path, mode="single", n=6):
    """An open project with the three classes, one raster and ``n`` tiles, numbered from 1."""
    path.write_bytes(_content(mode, n))
    return Project.open(path)


@contextmanager
def as_plain_user():
    """Permissions count inside the block, also when the tests run as root, whom they would not stop."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
