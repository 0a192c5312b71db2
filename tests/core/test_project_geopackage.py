"""A project is a valid GeoPackage at every stage, and its layers open in GDAL."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import geopandas as gpd
import pyogrio
import pytest

from quadrat.core.errors import ProjectError
from quadrat.core.project.answers import Answer, record_answers
from quadrat.core.project.class_editing import rename_class, reorder_classes
from quadrat.core.project.geopackage import Extent, geometry_extent, union_of
from quadrat.core.project.results import Pick, TilePrediction, record_round, write_predictions
from quadrat.core.project.store import Project
from quadrat.core.project.views import register_views, remove_orphan_tiles

from .geopackage_check import problems
from .project_factory import CLASSES, NORTH, TILE_M, WEST, make_project, raster_record, tile_frame, write_tiles

LAYERS = ("labelled_tiles", "queried_tiles", "predicted_tiles")


def fill(project):
    record_answers(
        project,
        [Answer(1, "classes", (2, 1)), Answer(2, "none"), Answer(3, "skip"), Answer(5, "classes", (3,))],
        annotator="Zoë",
        source="map",
    )
    for seed in (1, 2):
        picks = [Pick(1, 0, 0.9, "far from all labels"), Pick(4, 1, 0.5 + seed, "unsure")]
        record_round(
            project, strategy="mcfps", parameters={}, seed=seed, encoder=None, budget=2, picks=picks, metrics={}
        )
    predictions = [TilePrediction(1, 0.9, 0.1, ((3, 0.9), (1, 0.8))), TilePrediction(2, 0.6, 0.7, ())]
    write_predictions(project, predictions, model="head 1")


@pytest.fixture
def project(tmp_path):
    with make_project(tmp_path / "p.gpkg", "multi") as project:
        yield project


def read(project, layer):
    return gpd.read_file(project.path, layer=layer, fid_as_index=True)


def test_a_new_project_is_a_valid_geopackage_whose_tables_gdal_lists(tmp_path):
    Project.create(tmp_path / "p.gpkg", CLASSES, "single").close()
    assert problems(tmp_path / "p.gpkg") == []
    assert set(pyogrio.list_layers(tmp_path / "p.gpkg")[:, 0]) >= {"classes", "labels", "rounds", "predictions"}


def test_a_full_project_is_a_valid_geopackage(project):
    fill(project)
    project.close()
    assert problems(project.path) == []


def test_the_check_sees_what_is_wrong(project):
    with project.transaction() as connection:
        connection.execute("UPDATE gpkg_contents SET max_x = 0 WHERE table_name = 'tiles'")
        connection.execute("DELETE FROM rtree_tiles_geom WHERE id = 1")
        connection.execute("DELETE FROM gpkg_geometry_columns WHERE table_name = 'queried_tiles'")
    assert len(problems(project.path)) == 3


def test_layers_open_as_polygons_in_the_tiles_reference_system(project):
    fill(project)
    for layer in LAYERS:
        info = pyogrio.read_info(project.path, layer=layer)
        assert info["geometry_type"] == "Polygon"
        assert info["fid_column"] == "OGC_FID"
        frame = read(project, layer)
        assert frame.crs.to_epsg() == 32633
        tile = frame.loc[1]
        assert tile.geometry.bounds == (WEST, NORTH - TILE_M, WEST + TILE_M, NORTH)
        assert (tile.tile_id, tile.raster, tile.row, tile.col) == (1, "scene one", 0, 0)


def test_labelled_tiles_has_one_feature_for_each_answered_tile(project):
    fill(project)
    frame = read(project, "labelled_tiles")
    assert list(frame.index) == [1, 2, 3, 5]
    assert list(frame.answer) == ["classes", "none", "skip", "classes"]
    assert list(frame.label.fillna("-")) == ["Water; Forest", "-", "-", "Town"]
    assert list(frame.n_classes) == [2, 0, 0, 1]
    assert frame.colour[1] == project.classes()[0].colour
    assert list(frame.role) == ["pool", "pool", "pool", "validation"]
    assert set(frame.annotator) == {"Zoë"}
    assert str(frame.answered_at.dt.tz) == "UTC"


def test_labels_follow_the_names_and_the_order_of_the_class_list(project):
    fill(project)
    rename_class(project, 1, "Sea, lakes")
    reorder_classes(project, [2, 1, 3])
    frame = read(project, "labelled_tiles")
    assert frame.label[1] == "Forest; Sea, lakes"
    assert frame.colour[1] == project.classes()[0].colour


def test_queried_tiles_has_the_latest_round_of_each_tile(project):
    fill(project)
    frame = read(project, "queried_tiles")
    assert list(frame.index) == [1, 4]
    assert list(frame.round_id) == [2, 2]
    assert list(frame.answer) == ["classes", "open"]
    assert list(frame["rank"]) == [0, 1]
    assert list(frame.score) == [0.9, 2.5]
    assert list(frame.reason) == ["far from all labels", "unsure"]


def test_predicted_tiles_names_the_predicted_classes(project):
    fill(project)
    frame = read(project, "predicted_tiles")
    assert list(frame.label.fillna("-")) == ["Water; Town", "-"]
    assert list(frame.n_classes) == [2, 0]
    assert list(frame.probability) == [0.9, 0.6]
    assert list(frame.uncertainty) == [0.1, 0.7]


def test_a_map_window_finds_its_tiles(project):
    fill(project)
    window = (WEST + 1, NORTH - TILE_M + 1, WEST + 2, NORTH - 1)
    assert list(gpd.read_file(project.path, layer="labelled_tiles", bbox=window).tile_id) == [1]


def test_registering_again_takes_in_the_tiles_of_a_second_raster(project):
    write_tiles(project.path, tile_frame(raster_id=2, n=3, west=WEST + 1e5))
    project.add_raster(raster_record(2, "/imagery/two.tif"))
    register_views(project)
    fill(project)
    record_answers(project, [Answer(9, "unsure")], annotator="a", source="map")
    assert read(project, "labelled_tiles").raster[9] == "two"
    project.close()
    assert problems(project.path) == []


def test_layers_need_tiles(tmp_path):
    with (
        Project.create(tmp_path / "p.gpkg", CLASSES, "single") as project,
        pytest.raises(ProjectError, match="no tiles"),
    ):
        register_views(project)


def test_tiles_of_a_killed_run_are_removed_and_the_rest_stays(project):
    fill(project)
    write_tiles(project.path, tile_frame(raster_id=2, n=3, west=WEST + 1e5))
    assert len(project.tiles()) == 6
    assert project.next_raster_id() == 3
    assert remove_orphan_tiles(project) == 3
    assert remove_orphan_tiles(project) == 0
    assert project.next_raster_id() == 2
    assert len(gpd.read_file(project.path, layer="labelled_tiles")) == 4
    project.close()
    assert problems(project.path) == []
    write_tiles(project.path, tile_frame(raster_id=2, n=3, west=WEST + 1e5))
    assert list(gpd.read_file(project.path, layer="tiles", fid_as_index=True).index) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert problems(project.path) == []


def test_orphans_are_removed_also_from_a_layer_that_gdal_counts(tmp_path):
    """GDAL keeps gpkg_ogr_contents only in files that it made itself, or that have the table already."""
    with Project.create(tmp_path / "p.gpkg", CLASSES, "single") as project:
        with project.transaction() as connection:
            connection.execute(
                "CREATE TABLE gpkg_ogr_contents (table_name TEXT NOT NULL PRIMARY KEY, feature_count INTEGER)"
            )
        write_tiles(project.path, tile_frame())
        project.add_raster(raster_record())
        write_tiles(project.path, tile_frame(raster_id=2, west=WEST + 1e5))
        assert remove_orphan_tiles(project) == 6
        assert project.read("SELECT feature_count FROM gpkg_ogr_contents WHERE table_name = 'tiles'") == [(6,)]
    assert problems(tmp_path / "p.gpkg") == []


def test_when_the_first_run_was_killed_the_next_may_choose_another_reference_system(tmp_path):
    with Project.create(tmp_path / "p.gpkg", CLASSES, "single") as project:
        write_tiles(project.path, tile_frame())
        register_views(project)
        assert project.tiles() == []
        assert not project.has_tiles()
        assert remove_orphan_tiles(project) == 6
        assert problems(project.path) == []
        write_tiles(project.path, tile_frame().to_crs("EPSG:32632"))
        project.add_raster(raster_record())
        register_views(project)
        record_answers(project, [Answer(1, "skip")], annotator="a", source="map")
        assert read(project, "labelled_tiles").crs.to_epsg() == 32632
    assert problems(tmp_path / "p.gpkg") == []


def test_removing_orphans_before_any_tile_exists_does_nothing(tmp_path):
    with Project.create(tmp_path / "p.gpkg", CLASSES, "single") as project:
        assert remove_orphan_tiles(project) == 0


def test_what_is_written_after_gdal_closed_the_file_in_this_process_is_seen_by_others(project):
    """GDAL's own copy of SQLite deletes our write-ahead log when it closes the file: see core/project/database.py."""
    for tile_id in (1, 2, 3, 4):
        record_answers(project, [Answer(tile_id, "skip")], annotator="a", source="map")
        assert len(gpd.read_file(project.path, layer="labelled_tiles")) == tile_id
        code = f"import sqlite3; print(*sqlite3.connect({str(project.path)!r}).execute('SELECT count(*) FROM labels'))"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert result.stdout.strip() == f"({tile_id},)"
    project.close()
    with closing(sqlite3.connect(project.path)) as connection:
        assert connection.execute("SELECT count(*) FROM label_events").fetchone() == (4,)


def test_extents_come_from_the_headers_of_geometries(project):
    (blob,) = project.read("SELECT geom FROM tiles WHERE tile_id = 1")[0]
    assert geometry_extent(blob) == (WEST, NORTH - TILE_M, WEST + TILE_M, NORTH)
    assert geometry_extent(None) is None
    assert geometry_extent(b"GP\0\x11" + bytes(4)) is None, "flagged as empty"
    assert union_of([Extent(0, 0, 1, 1), None, Extent(-1, 2, 0, 3)]) == (-1, 0, 1, 3)
    assert union_of([None]) is None
