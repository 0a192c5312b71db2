"""Exports are what the next person opens: plain layers, or chips that are the raster's own pixels."""

import csv

import geopandas as gpd
import numpy as np
import pytest
import rasterio

from quadrat.core.chips import class_folders, clean_name
from quadrat.core.errors import ProjectError, UsageError
from quadrat.core.export import export
from quadrat.core.project.answers import Answer, record_answers
from quadrat.core.project.classes import ClassDraft
from quadrat.core.project.store import Project
from quadrat.core.rounds import predict
from quadrat.core.tiling import TilingOptions, tile_rasters

from .job import answer, ids, ready_project
from .raster_factory import make_raster
from .scene_factory import read_layer


@pytest.fixture
def job(tmp_path):
    project, scene = ready_project(tmp_path)
    with project:
        answer(project, scene, ids(project, "pool")[:12])
        yield project, scene


@pytest.mark.parametrize("name", ["out.gpkg", "out.geojson", "out.parquet", 'Sortie été/o\'ut "1".gpkg'])
def test_labels_can_be_read_by_others(job, tmp_path, name):
    project, scene = job
    made = export(project, tmp_path / name)
    path = tmp_path / name
    frame = gpd.read_parquet(path) if path.suffix == ".parquet" else gpd.read_file(path)
    assert made.tiles == len(frame) == 12
    assert "OGC_FID" not in frame.columns
    assert {tuple(row) for row in frame[["row", "col", "label"]].itertuples(index=False)} <= {
        (row, col, label) for (row, col), label in scene.labels.items()
    }
    assert frame.crs.to_epsg() == (4326 if path.suffix == ".geojson" else 32633)
    tiles = read_layer(project, layer="labelled_tiles").to_crs(frame.crs)
    assert frame.union_all().symmetric_difference(tiles.union_all()).area < 1e-9 * abs(frame.union_all().area) + 1e-12


def test_predictions_and_tiles_are_layers_too(job, tmp_path):
    project, _ = job
    predict(project)
    export(project, tmp_path / "map.gpkg", "predictions")
    export(project, tmp_path / "tiles.gpkg", "tiles")
    assert len(gpd.read_file(tmp_path / "map.gpkg", layer="predictions")) == 48
    tiles = gpd.read_file(tmp_path / "tiles.gpkg")
    assert set(tiles["role"]) == {"pool", "validation"}
    assert tiles["tile_id"].tolist() == list(range(1, 49))
    assert export(project, tmp_path / "all", "tiles").tiles == 48


def test_chips_are_the_rasters_own_pixels_in_their_place(job, tmp_path):
    project, scene = job
    export(project, tmp_path / "chips")
    with (tmp_path / "chips" / "chips.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    with rasterio.open(scene.raster) as source:
        for row in rows:
            with rasterio.open(tmp_path / "chips" / row["file"]) as chip:
                window = source.window(*chip.bounds)
                np.testing.assert_array_equal(chip.read(), source.read(window=window))
                assert chip.crs == source.crs
                assert chip.descriptions == source.descriptions
                assert chip.tags()["label"] == row["label"]
            assert row["file"].split("/")[0] == row["label"]
            assert scene.labels[int(row["row"]), int(row["col"])] == row["label"]


def test_chips_of_another_label_replace_the_old_ones(job, tmp_path):
    project, _ = job
    export(project, tmp_path / "chips")
    first = ids(project, "pool")[0]
    record_answers(project, [Answer(first, "none")], annotator="me", source="test")
    export(project, tmp_path / "chips")
    files = list((tmp_path / "chips").rglob("*.tif"))
    assert len(files) == 12
    assert [file.parent.name for file in files].count("none") == 1


def test_skipped_and_unsure_tiles_have_no_chip(job, tmp_path):
    project, _ = job
    pool = ids(project, "pool")
    record_answers(project, [Answer(pool[0], "skip"), Answer(pool[1], "unsure")], annotator="me", source="test")
    export(project, tmp_path / "chips")
    assert len(list((tmp_path / "chips").rglob("*.tif"))) == 10


def test_class_names_become_safe_folders(tmp_path):
    names = ["Crops / wet", "crops  wet", "CON", "../../etc", "Sea 🌊", "Straße"]
    with Project.create(tmp_path / "p.gpkg", [ClassDraft(name) for name in names], "single") as project:
        tile_rasters(project, [make_raster(tmp_path / "r.tif", width=192, height=128)])
        answers = [Answer(i, "classes", (i,)) for i in range(1, 7)]
        record_answers(project, answers, annotator="me", source="test")
        export(project, tmp_path / "out" / "chips")
    chips = tmp_path / "out" / "chips"
    assert {file.parent.parent for file in chips.rglob("*.tif")} == {chips}
    folders = {folder.name for folder in chips.iterdir() if folder.is_dir()}
    assert len({name.casefold() for name in folders}) == 6
    assert {"Crops_wet", "class_CON", "etc", "Sea", "Straße"} <= folders


@pytest.mark.parametrize(
    ("name", "folder"), [("", "class_"), ("...", "class_"), ("nul", "class_nul"), ("a/b\\c:d", "a_b_c_d")]
)
def test_clean_names(name, folder):
    assert clean_name(name) == folder


def test_two_classes_never_share_a_folder():
    folders = class_folders(["a b", "a/b", "A_B"])
    assert len({name.casefold() for name in folders.values()}) == 3


def test_an_export_replaces_the_former_one_of_the_same_name(job, tmp_path):
    project, scene = job
    names = ("out.gpkg", "out.geojson", "out.parquet")
    for name in names:
        export(project, tmp_path / name)
    answer(project, scene, ids(project, "pool")[12:14])
    for name in names:
        assert export(project, tmp_path / name).tiles == 14
    assert len(gpd.read_file(tmp_path / "out.gpkg")) == 14
    assert not list(tmp_path.glob(".*partial*"))


def test_nothing_to_export_names_the_next_step(tmp_path):
    project, _ = ready_project(tmp_path)
    with project:
        for layer, step in (("labels", "Label some"), ("predictions", "quadrat predict")):
            with pytest.raises(ProjectError, match="nothing to export") as caught:
                export(project, tmp_path / "out.gpkg", layer)
            assert step in caught.value.hint
    assert not (tmp_path / "out.gpkg").exists()


def test_targets_that_must_not_be_replaced_are_refused(job, tmp_path):
    project, _ = job
    with pytest.raises(UsageError, match="replace the project itself"):
        export(project, project.path)
    with pytest.raises(UsageError, match=r"\.tiff"):
        export(project, tmp_path / "out.tiff")
    with pytest.raises(UsageError, match="no layer"):
        export(project, tmp_path / "out.gpkg", "chips")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    with pytest.raises(ProjectError, match="something else"):
        export(project, tmp_path / "mine")
    (tmp_path / "folder.gpkg").mkdir()
    with pytest.raises(ProjectError, match="is a folder"):
        export(project, tmp_path / "folder.gpkg")
    assert (tmp_path / "mine" / "diary.txt").read_text() == "dear diary"


def test_chips_of_a_missing_raster_say_so_and_leave_the_old_ones(job, tmp_path):
    project, scene = job
    export(project, tmp_path / "chips")
    scene.raster.rename(tmp_path / "away.tif")
    with pytest.raises(Exception, match="not where it was"):
        export(project, tmp_path / "chips")
    assert len(list((tmp_path / "chips").rglob("*.tif"))) == 12


def test_another_project_or_a_geopackage_with_more_in_it_is_never_replaced(job, tmp_path):
    project, _ = job
    with Project.create(tmp_path / "other.gpkg", [ClassDraft("Water")], "single"):
        pass
    other = (tmp_path / "other.gpkg").read_bytes()
    export(project, tmp_path / "two.gpkg")
    export(project, tmp_path / "extra.gpkg", "tiles")
    frame = gpd.read_file(tmp_path / "extra.gpkg")
    frame.to_file(tmp_path / "two.gpkg", layer="mine", driver="GPKG")
    frame[["geometry"]].to_crs("EPSG:4326").to_file(tmp_path / "mine.geojson")
    frame[["geometry"]].to_parquet(tmp_path / "mine.parquet")
    for name in ("other.gpkg", "two.gpkg", "mine.geojson", "mine.parquet"):
        with pytest.raises(ProjectError, match="something else than a former export"):
            export(project, tmp_path / name)
    assert (tmp_path / "other.gpkg").read_bytes() == other
    assert len(gpd.read_file(tmp_path / "two.gpkg", layer="mine")) == 48


def test_a_chips_folder_to_which_something_was_added_is_never_replaced(job, tmp_path):
    project, _ = job
    export(project, tmp_path / "chips")
    (tmp_path / "chips" / "notes.txt").write_text("mine")
    with pytest.raises(ProjectError, match=r"notes\.txt"):
        export(project, tmp_path / "chips")
    assert (tmp_path / "chips" / "notes.txt").read_text() == "mine"


def test_a_name_that_gdal_would_misread_is_refused(job, tmp_path):
    project, _ = job
    for name in ("a;b.gpkg", "Wow!.geojson"):
        with pytest.raises(UsageError, match="GDAL takes for something else"):
            export(project, tmp_path / name)
    with pytest.raises(UsageError, match="GDAL takes"):
        Project.create(tmp_path / "Hey!.gpkg", [ClassDraft("Water")], "single")
    assert not list(tmp_path.glob("a*")) + list(tmp_path.glob("*!*"))


def test_a_geojson_layer_is_called_by_its_name(job, tmp_path):
    export(job[0], tmp_path / "out.geojson")
    assert gpd.list_layers(tmp_path / "out.geojson")["name"].tolist() == ["labels"]


def test_chips_carry_the_way_to_reflectance(tmp_path):
    with Project.create(tmp_path / "p.gpkg", [ClassDraft("Water")], "single") as project:
        raster = make_raster(tmp_path / "r.tif", width=64, height=64, values=3000.0)
        tile_rasters(project, [raster], TilingOptions(offset=-1000.0))
        export(project, tmp_path / "chips", "tiles")
    with rasterio.open(next((tmp_path / "chips").glob("*.tif"))) as chip:
        assert chip.read(1)[0, 0] * chip.scales[0] + chip.offsets[0] == pytest.approx(0.2)
