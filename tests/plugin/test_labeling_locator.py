"""Where tiles are."""

from __future__ import annotations

import math

import pytest
from qgis.core import QgsGeometry, QgsPointXY

from quadrat.core.project.records import RasterRecord
from quadrat.core.project.store import Project
from quadrat.plugin.labeling.locator import TileLocator, tile_at, tiles_touching


def rotated(degrees: float) -> tuple[float, ...]:
    """10 m pixels from (400000, 5300000), turned."""
    turn = math.radians(degrees)
    cos, sin = 10 * math.cos(turn), 10 * math.sin(turn)
    return (cos, sin, 400000.0, sin, -cos, 5300000.0)


def locator(transform=(10.0, 0.0, 400000.0, 0.0, -10.0, 5300000.0), *, width=640, height=384, size=64, stride=64):
    return TileLocator(
        RasterRecord(
            1, "/r.tif", (("B02", 1),), 1e-4, 0.0, 0.0, "", transform, width, height, size, stride, "", 0, 0, "uint16"
        )
    )


def centre(corners) -> tuple[float, float]:
    return sum(x for x, _ in corners) / 4, sum(y for _, y in corners) / 4


def test_a_tile_is_where_its_pixels_are():
    assert locator().corners(1, 2) == [
        (401280.0, 5299360.0), (401280.0, 5298720.0), (401920.0, 5298720.0), (401920.0, 5299360.0)
    ]  # fmt: skip


@pytest.mark.parametrize("degrees", [0, 17, 90, 200])
@pytest.mark.parametrize(("size", "stride"), [(64, 64), (64, 32), (64, 96)])
def test_the_centre_of_every_tile_leads_back_to_it(degrees, size, stride):
    grid = locator(rotated(degrees), size=size, stride=stride)
    rows, cols = (384 - size) // stride + 1, (640 - size) // stride + 1
    for row in range(rows):
        for col in range(cols):
            assert grid.tile_at(*centre(grid.corners(row, col))) == (row, col)


def test_of_overlapping_tiles_the_one_with_the_nearest_centre_is_meant():
    grid = locator(stride=32)
    x, y = 400000 + 10 * (64 + 15), 5300000 - 10 * 32  # 79 px from the left: centres are at 32, 64, 96
    assert grid.tile_at(x, y) == (0, 1)
    assert grid.tile_at(x + 20, y) == (0, 2)
    assert grid.tile_at(400000 + 1, 5300000 - 1) == (0, 0)  # nearer to no other although far from the centre


def test_there_is_no_tile_outside_the_grid_nor_in_its_gaps():
    assert locator().tile_at(399999, 5299990) is None
    assert locator(width=700).tile_at(400000 + 6900, 5299990) is None  # a part of a tile at the edge
    assert locator(stride=96).tile_at(400000 + 700, 5299990) is None


@pytest.mark.parametrize("degrees", [0, 17, 90, 200])
@pytest.mark.parametrize("stride", [32, 64])
def test_a_rectangle_touches_the_tiles_that_have_ground_in_common_with_it(degrees, stride):
    grid = locator(rotated(degrees), stride=stride)
    corners = grid.corners(2, 3)
    x, y = centre(corners)
    box = [(x - 500, y - 700), (x - 500, y + 700), (x + 500, y + 700), (x + 500, y - 700)]
    rows, cols = grid.span(box)
    found = {(row, col) for row in rows for col in cols if grid.touches(row, col, box)}
    every = {(row, col) for row in range((384 - 64) // stride + 1) for col in range((640 - 64) // stride + 1)}
    assert found == {place for place in every if have_common_ground(grid.corners(*place), box)}


def have_common_ground(one, other) -> bool:
    """The same as QGIS's geometry engine sees it."""
    polygons = [QgsGeometry.fromPolygonXY([[QgsPointXY(*corner) for corner in corners]]) for corners in (one, other)]
    return polygons[0].intersection(polygons[1]).area() > 1


def test_neighbours_that_share_a_border_are_not_touched():
    grid = locator(rotated(17))
    rows, cols = grid.span(grid.corners(2, 3))
    touched = [(row, col) for row in rows for col in cols if grid.touches(row, col, grid.corners(2, 3))]
    assert touched == [(2, 3)]


def test_tiles_are_found_in_a_project(ready_project):
    ready = ready_project("single", 0)
    with Project.open(ready.path) as project:
        grid = TileLocator(project.rasters()[0])
        by_place = {(tile.row, tile.col): tile.tile_id for tile in project.tiles()}
        assert {place: tile_at(project, grid, centre(grid.corners(*place))) for place in by_place} == by_place
        assert tile_at(project, grid, (0.0, 0.0)) is None
        box = [grid.corners(1, 2)[0], grid.corners(3, 2)[1], grid.corners(3, 4)[2], grid.corners(1, 4)[3]]
        expected = [by_place[row, col] for row in (1, 2, 3) for col in (2, 3, 4)]
        assert tiles_touching(project, grid, box, 9) == expected
        assert len(tiles_touching(project, grid, box, 2)) > 2
        assert tiles_touching(project, grid, [(0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 0.0)], 9) == []
