"""The area of interest may be any polygon in any coordinate system; what it lacks is told."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import Transformer

from quadrat.core.errors import ImageryError
from quadrat.core.imagery.aoi import AreaOfInterest, read_area, tiles_inside
from quadrat.core.imagery.grid import TileGrid

from .raster_factory import NORTH_UP

UTM33 = "EPSG:32633"
GRID = TileGrid(640, 640, NORTH_UP, 64, 64)
POLYGONS = GRID.polygons(*GRID.all_tiles())


def box_of_pixels(left, top, right, bottom):
    return shapely.box(399960 + 10 * left, 5300040 - 10 * bottom, 399960 + 10 * right, 5300040 - 10 * top)


def write(path, *geometries, crs=UTM33, **options):
    gpd.GeoDataFrame({"name": ["a"] * len(geometries)}, geometry=list(geometries), crs=crs).to_file(path, **options)
    return path


def chosen(area, polygons=POLYGONS, crs=UTM33):
    return set(np.flatnonzero(tiles_inside(area, polygons, crs)).tolist())


def test_tiles_that_share_ground_with_the_area_are_inside(tmp_path):
    area = read_area(write(tmp_path / "area.gpkg", box_of_pixels(70, 70, 130, 100)))
    assert chosen(area) == {11, 12}


def test_an_area_drawn_along_the_tiles_does_not_take_their_neighbours(tmp_path):
    area = read_area(write(tmp_path / "area.gpkg", box_of_pixels(64, 64, 192, 128)))
    assert chosen(area) == {11, 12}


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:32632", "EPSG:3035"])
def test_the_area_may_be_in_another_coordinate_system(tmp_path, crs):
    there = gpd.GeoSeries([box_of_pixels(70, 70, 125, 250)], crs=UTM33).to_crs(crs)
    area = read_area(write(tmp_path / "area.gpkg", *there, crs=crs))
    assert chosen(area) == {11, 21, 31}


def test_long_edges_are_bent_by_the_projection():
    # A parallel of latitude is curved in UTM: over this granule its middle lies 200 m off the straight line.
    south = 47.5
    x, y = Transformer.from_crs("EPSG:4326", UTM33, always_xy=True).transform(11.5, south)
    granule = TileGrid(10000, 2000, Affine(10, 0, x - 50000, 0, -10, y + 10000), 2, 11)
    polygons = granule.polygons(*granule.all_tiles())
    centres = shapely.get_coordinates(shapely.centroid(polygons))
    back = Transformer.from_crs(UTM33, "EPSG:4326", always_xy=True)
    metres_north = (back.transform(*centres.T)[1] - south) * 111_200
    inside = tiles_inside(AreaOfInterest(shapely.box(0, south, 30, 60), "EPSG:4326", "area"), polygons, UTM33)
    clear = np.abs(metres_north) > 15
    np.testing.assert_array_equal(inside[clear], metres_north[clear] > 0)


def test_a_country_wider_than_the_zone_is_no_problem():
    world = AreaOfInterest(shapely.box(-180, -90, 180, 90), "EPSG:4326", "world")
    assert chosen(world) == set(range(100))


def test_an_area_across_the_180th_meridian_is_found_on_both_sides():
    crossing = TileGrid(640, 64, Affine(1000, 0, 180000, 0, -1000, 50000), 64, 64)
    polygons = crossing.polygons(*crossing.all_tiles())
    west = AreaOfInterest(shapely.box(178, -5, 180, 5), "EPSG:4326", "west")
    east = AreaOfInterest(shapely.box(-180, -5, -170, 5), "EPSG:4326", "east")
    west_of_it, east_of_it = (tiles_inside(area, polygons, "EPSG:32601") for area in (west, east))
    assert (west_of_it | east_of_it).all()


def test_an_area_elsewhere_has_no_tile():
    elsewhere = AreaOfInterest(shapely.box(100, -20, 101, -19), "EPSG:4326", "elsewhere")
    assert chosen(elsewhere) == set()


def test_no_tiles_are_inside_nothing():
    assert (
        tiles_inside(AreaOfInterest(shapely.box(0, 0, 1, 1), UTM33, "a"), np.array([], dtype=object), UTM33).size == 0
    )


def test_invalid_polygons_are_repaired(tmp_path):
    bow_tie = shapely.Polygon([(0, 0), (640, 640), (640, 0), (0, 640)])
    moved = shapely.transform(bow_tie, lambda xy: xy * 10 + [399960, 5300040 - 6400])
    area = read_area(write(tmp_path / "area.gpkg", moved))
    assert area.geometry.is_valid
    assert {0, 90} & chosen(area) == {0, 90}
    assert 4 not in chosen(area)


def test_several_polygons_and_lines_between_them_become_one_area(tmp_path):
    line = shapely.LineString([(399960, 5300040), (406360, 5293640)])
    path = write(
        tmp_path / "a.geojson", box_of_pixels(5, 5, 9, 9), line, box_of_pixels(600, 600, 610, 610), driver="GeoJSON"
    )
    assert chosen(read_area(path)) == {0, 99}


def test_an_area_without_crs_is_refused(tmp_path):
    path = write(tmp_path / "area.shp", shapely.box(0, 0, 1, 1))
    (tmp_path / "area.prj").unlink()
    with pytest.raises(ImageryError, match="no coordinate reference system"):
        read_area(path)


@pytest.mark.parametrize("geometries", [[shapely.Point(1, 1)], [shapely.LineString([(0, 0), (1, 1)])], [None]])
def test_an_area_without_polygons_is_refused(tmp_path, geometries):
    with pytest.raises(ImageryError, match="has no polygon"):
        read_area(write(tmp_path / "area.gpkg", *geometries))


def test_a_table_without_geometry_is_refused(tmp_path):
    (tmp_path / "area.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ImageryError, match="has no polygon"):
        read_area(tmp_path / "area.csv")


def test_a_missing_file_and_one_of_another_kind_are_told(tmp_path):
    with pytest.raises(ImageryError, match="There is no area of interest"):
        read_area(tmp_path / "missing.gpkg")
    (tmp_path / "note.txt").write_text("hello")
    with pytest.raises(ImageryError, match="cannot be read as an area of interest"):
        read_area(tmp_path / "note.txt")


def test_of_several_layers_the_one_with_polygons_is_taken_or_named(tmp_path):
    path = write(tmp_path / "area.gpkg", shapely.Point(1, 1), layer="places")
    write(path, box_of_pixels(5, 5, 9, 9), layer="north")
    assert chosen(read_area(path)) == {0}
    write(path, box_of_pixels(600, 600, 610, 610), layer="south")
    with pytest.raises(ImageryError, match="north, south"):
        read_area(path)
    assert chosen(read_area(path, layer="south")) == {99}
    assert chosen(read_area(f"{path}|layername=south")) == {99}
    with pytest.raises(ImageryError, match="cannot be read"):
        read_area(path, layer="west")


def test_heights_in_polygons_do_not_matter(tmp_path):
    path = write(tmp_path / "area.gpkg", shapely.force_3d(box_of_pixels(5, 5, 9, 9), 300))
    assert chosen(read_area(path)) == {0}
