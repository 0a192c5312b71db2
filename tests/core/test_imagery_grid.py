"""Tiles lie exactly on the raster's pixels, whatever its transform."""

import numpy as np
import pytest
import rasterio.transform
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from quadrat.core.errors import ImageryError, UsageError
from quadrat.core.imagery.grid import TileGrid

from .raster_factory import NORTH_UP

TRANSFORMS = {
    "north-up": NORTH_UP,
    "not square": Affine(10.690460269087453, 0, 403888.62, 0, -10.74147487405753, 7022752.15),
    "rotated": Affine.translation(400000, 5300000) @ Affine.rotation(30) @ Affine.scale(10, -10),
    "sheared": Affine.translation(400000, 5300000) @ Affine.shear(10, 5) @ Affine.scale(10, -12),
    "south-up": Affine(10, 0, 399960, 0, 10, 5200000),
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("stride", [16, 10, 20])
def test_polygons_have_the_corners_of_their_pixels(transform, stride):
    grid = TileGrid(100, 70, transform, 16, stride)
    rows, cols = grid.all_tiles()
    for row, col, polygon in zip(rows, cols, grid.polygons(rows, cols), strict=True):
        top, left = row * stride, col * stride
        xs, ys = rasterio.transform.xy(
            transform, [top, top + 16, top + 16, top], [left, left, left + 16, left + 16], offset="ul"
        )
        corners = shapely.get_coordinates(polygon)
        np.testing.assert_allclose(corners[:4], np.column_stack([xs, ys]), rtol=0, atol=1e-8)
        assert polygon.is_valid


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_neighbours_share_their_edge_to_the_last_bit(transform):
    grid = TileGrid(640, 640, transform, 64, 64)
    left, right, below = shapely.get_coordinates(grid.polygons(np.array([3, 3, 4]), np.array([5, 6, 5]))).reshape(
        3, 5, 2
    )
    np.testing.assert_array_equal(left[[3, 2]], right[[0, 1]])
    np.testing.assert_array_equal(left[[1, 2]], below[[0, 3]])


@given(size=st.integers(1, 40), stride=st.integers(1, 50), spare=st.tuples(st.integers(0, 120), st.integers(0, 120)))
def test_every_whole_tile_is_in_the_grid_and_no_other(size, stride, spare):
    width, height = size + spare[0], size + spare[1]
    grid = TileGrid(width, height, NORTH_UP, size, stride)
    tops, lefts = grid.pixel_offsets(*grid.all_tiles())
    assert len(tops) == grid.rows * grid.cols
    assert tops.max() + size <= height < tops.max() + size + stride
    assert lefts.max() + size <= width < lefts.max() + size + stride


def test_tiles_that_would_stick_out_are_left_out():
    grid = TileGrid(191, 130, NORTH_UP, 64, 64)
    assert (grid.rows, grid.cols) == (2, 2)


def test_tiles_overlap_where_the_stride_is_smaller():
    grid = TileGrid(128, 64, NORTH_UP, 64, 32)
    assert (grid.rows, grid.cols) == (1, 3)
    first, second = grid.polygons(np.array([0, 0]), np.array([0, 1]))
    assert first.intersection(second).area == 320 * 640


def test_a_raster_smaller_than_a_tile_is_refused_with_its_size():
    with pytest.raises(ImageryError, match=r"small\.tif is 100 x 50 px"):
        TileGrid(100, 50, NORTH_UP, 64, 64, source="small.tif")


@pytest.mark.parametrize(("size", "stride"), [(0, 64), (64, 0), (-1, 1)])
def test_tiles_without_extent_are_wrong_use(size, stride):
    with pytest.raises(UsageError):
        TileGrid(100, 100, NORTH_UP, size, stride)


@pytest.mark.parametrize(("row", "col"), [(2, 0), (0, 3), (-1, 0)])
def test_a_tile_outside_the_grid_is_refused(row, col):
    grid = TileGrid(192, 128, NORTH_UP, 64, 64)
    with pytest.raises(ImageryError, match=f"no tile at row {row}, column {col}"):
        grid.polygons(np.array([0, row]), np.array([0, col]))


def test_no_tiles_have_no_polygons():
    grid = TileGrid(192, 128, NORTH_UP, 64, 64)
    nothing = np.array([], dtype=np.int64)
    assert len(grid.polygons(nothing, nothing)) == 0
