"""Sentinel-2 products are tiled, embedded and cut into chips like any raster, however they were delivered."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from typer.testing import CliRunner

from quadrat.core.bench.safe import write_safe
from quadrat.core.cli import app
from quadrat.core.config import read_config
from quadrat.core.embedding import embed, load_embeddings
from quadrat.core.encoders.statistics import StatisticsEncoder
from quadrat.core.errors import Cancelled, ImageryError
from quadrat.core.export import export
from quadrat.core.imagery.fingerprints import fingerprint, is_unchanged
from quadrat.core.imagery.products import find_product, open_product
from quadrat.core.imagery.rasters import inspect_raster, open_dataset
from quadrat.core.imagery.reader import read_tiles
from quadrat.core.monitor import SILENT, Monitor
from quadrat.core.pictures import true_colour
from quadrat.core.project.store import Project
from quadrat.core.scenes import grid_of, open_scene
from quadrat.core.tiling import tile_rasters
from quadrat.core.tiling_options import TilingOptions
from quadrat.core.worker.inspection import look_at

from .scene_factory import new_project

SIZE = 384
WITHOUT_B10 = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]


@pytest.fixture(scope="module")
def safe(tmp_path_factory):
    return write_safe(tmp_path_factory.mktemp("products"), size_px=SIZE)


@pytest.fixture
def copy(safe, tmp_path):
    """A product of one's own, to move and to damage."""
    return Path(shutil.copytree(safe, tmp_path / "products" / safe.name))


@pytest.fixture
def project(tmp_path):
    with new_project(tmp_path / "p.gpkg") as project:
        yield project


def do_embed(project, monitor=SILENT):
    return embed(project, StatisticsEncoder(), "statistics", monitor)


def tiles_and_vectors(path, project_path, **options):
    """Everything that tiling and embedding make of a product, and its record."""
    with new_project(project_path) as project:
        tile_rasters(project, [path], TilingOptions(**options))
        return project.tiles(), np.array(do_embed(project).matrix), project.rasters()[0]


@pytest.fixture(scope="module")
def plain(safe, tmp_path_factory):
    """What the folder as it was delivered gives."""
    return tiles_and_vectors(safe, tmp_path_factory.mktemp("plain") / "p.gpkg")


def delivered(safe, how, folder):
    """The same product in another wrapping, and what has to be said about it."""
    if how == "JPEG 2000":
        return write_safe(folder, size_px=SIZE, driver="JP2OpenJPEG", copies=False), {}
    if how == "zip":
        return Path(shutil.make_archive(str(folder / safe.stem), "zip", safe.parent, safe.name)), {}
    if how == "metadata file":
        return safe / "MTD_MSIL2A.xml", {}
    if how == "granule":
        return next((safe / "GRANULE").iterdir()), {}
    if how == "layer of QGIS":
        return Path(f"SENTINEL2_L2A:{safe}/MTD_MSIL2A.xml:20m:EPSG_32633"), {}
    images = next((safe / "GRANULE").iterdir()) / "IMG_DATA"
    return Path(shutil.copytree(images, folder / "bands")), {"offset": -1000.0}


def test_a_product_is_not_cut_again_because_it_was_unpacked(project, copy, tmp_path):
    zipped, _ = delivered(copy, "zip", tmp_path)
    said = []
    tile_rasters(project, [zipped])
    before = project.tiles()
    (beside,) = tile_rasters(project, [copy], monitor=Monitor(remark=lambda level, text: said.append(text)))
    assert beside.state == "known"
    assert "same image" in said[0]
    zipped.unlink()
    (instead,) = tile_rasters(project, [copy])
    assert instead.state == "changed"
    assert [Path(record.path) for record in project.rasters()] == [copy]
    assert project.tiles() == before


@pytest.mark.parametrize("how", ["JPEG 2000", "zip", "metadata file", "granule", "layer of QGIS", "folder of bands"])
def test_a_product_gives_the_same_tiles_and_vectors_however_it_is_wrapped(safe, plain, tmp_path, how):
    path, options = delivered(safe, how, tmp_path)
    tiles, vectors, record = plain
    other_tiles, other_vectors, other = tiles_and_vectors(path, tmp_path / "other.gpkg", **options)
    assert len(tiles) == 36
    assert other_tiles == tiles
    np.testing.assert_array_equal(other_vectors, vectors)
    assert (other.bands, other.scale, other.offset, other.nodata) == (record.bands, 1e-4, -1000.0, 0.0)
    assert [name for name, _ in record.bands] == WITHOUT_B10
    if how in ("metadata file", "layer of QGIS"):
        assert (other.path, other.fingerprint) == (record.path, record.fingerprint) == (str(safe), record.fingerprint)


def test_old_and_new_baselines_give_the_same_reflectance(plain, tmp_path):
    old = write_safe(tmp_path, baseline="02.14", date="20190615T100031", size_px=SIZE)
    _, vectors, record = tiles_and_vectors(old, tmp_path / "old.gpkg")
    assert record.offset == 0.0
    np.testing.assert_allclose(vectors, plain[1], rtol=2e-3)


def test_level_1c_has_13_bands(project, tmp_path):
    tile_rasters(project, [write_safe(tmp_path, level="L1C", size_px=SIZE)])
    assert do_embed(project).matrix.shape == (36, 52)


def test_what_was_found_is_told(project, safe):
    said = []
    tile_rasters(project, [safe], monitor=Monitor(remark=lambda level, text: said.append(text)))
    assert said == [
        f"{safe.name}: Sentinel-2 L2A, baseline 05.09; bands {', '.join(WITHOUT_B10)}; "
        "reflectance = (DN -1000) x 0.0001"
    ]


@pytest.mark.parametrize(("left_out", "told"), [("R10m/*B03*", True), ("R10m/*", False)])
def test_a_band_of_which_only_a_coarser_copy_is_there_is_told(project, safe, tmp_path, left_out, told):
    folder, options = delivered(safe, "folder of bands", tmp_path)
    for file in folder.glob(left_out):
        file.unlink()
    said = []
    tile_rasters(project, [folder], TilingOptions(**options), Monitor(remark=lambda level, text: said.append(text)))
    assert ("only coarser copies of B03 (20 m) are there" in said[0]) == told


def test_pixels_are_those_of_the_band_files(project, safe):
    tile_rasters(project, [safe])
    raster = open_scene(project, project.rasters()[0])
    (batch,) = read_tiles(raster, grid_of(project.rasters()[0]), np.array([2]), np.array([3]), bands=["B08", "B05"])
    ten, twenty = (next(safe.glob(f"GRANULE/*/IMG_DATA/R{name}.tif")) for name in ("10m/*_B08_10m", "20m/*_B05_20m"))
    with rasterio.open(ten) as source:
        dn = source.read(1, window=((128, 192), (192, 256)))
    np.testing.assert_allclose(batch.pixels[0, 0], (dn - 1000.0) * 1e-4, rtol=1e-5)
    with rasterio.open(twenty) as source:
        dn = source.read(1, window=((64, 96), (96, 128)))
    # Bilinear weights add up to 1 over any pixel but those at the tile's edge, which take from their neighbours too.
    assert batch.pixels[0, 1].mean() == pytest.approx((dn.mean() - 1000.0) * 1e-4, rel=0.01)


def test_chips_hold_the_bands_of_the_product(project, safe, tmp_path):
    tile_rasters(project, [safe])
    export(project, tmp_path / "chips", "tiles")
    with (tmp_path / "chips" / "chips.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["tile_id"]) for row in rows] == [tile.tile_id for tile in project.tiles()]
    with rasterio.open(open_product(find_product(safe))) as source:
        whole = source.read()
    for row in rows:
        top, left = 64 * int(row["row"]), 64 * int(row["col"])
        with rasterio.open(tmp_path / "chips" / row["file"]) as chip:
            np.testing.assert_array_equal(chip.read(), whole[:, top : top + 64, left : left + 64])
            assert list(chip.descriptions) == WITHOUT_B10
            assert (chip.scales[0], chip.offsets[0], chip.nodata) == (1e-4, -0.1, 0)


def test_a_product_can_be_shown(project, safe):
    tile_rasters(project, [safe])
    picture = true_colour(project, project.rasters()[0], (SIZE, SIZE))
    assert picture.shape == (SIZE, SIZE, 3)
    assert picture.std() > 0.1


def test_bands_of_a_product_are_chosen_by_name_in_any_order(project, safe):
    tile_rasters(project, [safe], TilingOptions(bands=("B08", "red", "B02", "-")))
    assert project.rasters()[0].bands == (("B02", 2), ("B04", 4), ("B08", 8))
    assert do_embed(project).matrix.shape == (36, 12)
    assert tile_rasters(project, [safe])[0].state == "known"
    for wrong, said in ((("B02", "B10"), "has no band B10"), (("B02", "SCL"), "no band SCL"), (("-",), "was chosen")):
        with pytest.raises(ImageryError, match=said) as caught:
            inspect_raster(safe, bands=wrong)
        assert "B01, B02" in caught.value.hint


def test_what_the_analyst_says_wins_over_the_metadata(safe):
    radiometry = inspect_raster(safe, scale=2e-4, offset=-900.0, nodata=7.0).radiometry
    assert (radiometry.scale, radiometry.offset, radiometry.nodata) == (2e-4, -900.0, 7.0)


def test_a_product_that_moved_is_recognised_and_its_vectors_stay(project, copy, tmp_path):
    tile_rasters(project, [copy])
    before = np.array(do_embed(project).matrix)
    moved = copy.parent.rename(tmp_path / "archive") / copy.name
    with pytest.raises(ImageryError, match="is not where it was"):
        open_scene(project, project.rasters()[0])
    (again,) = tile_rasters(project, [moved])
    assert again.state == "moved"
    assert project.find_raster(project.rasters()[0]) == moved
    np.testing.assert_array_equal(load_embeddings(project).matrix, before)
    assert open_scene(project, project.rasters()[0]).path == moved


def test_project_and_product_may_move_together(safe, tmp_path):
    home = tmp_path / "here"
    shutil.copytree(safe, home / safe.name)
    with new_project(home / "p.gpkg") as project:
        tile_rasters(project, [home / safe.name])
    there = home.rename(tmp_path / "thère with space")
    with Project.open(there / "p.gpkg") as project:
        assert do_embed(project).matrix.shape == (36, 48)
        assert tile_rasters(project, [there / safe.name / "MTD_MSIL2A.xml"])[0].state == "known"


def test_a_product_given_twice_is_tiled_once(project, safe):
    done = tile_rasters(project, [safe, safe / "MTD_MSIL2A.xml"])
    assert [item.state for item in done] == ["new", "known"]
    assert len(project.tiles()) == 36


def test_changed_pixels_of_any_band_are_noticed(project, copy):
    tile_rasters(project, [copy])
    stored = fingerprint(copy)
    band = next(copy.glob("GRANULE/*/IMG_DATA/R60m/*_B09_60m.tif"))
    with rasterio.open(band, "r+") as file:
        file.write(np.full((1, 64, 64), 1500, np.uint16))
    assert not is_unchanged(copy, stored)
    with pytest.raises(ImageryError, match="has changed since it was tiled"):
        do_embed(project)
    assert tile_rasters(project, [copy])[0].state == "changed"


def test_the_fingerprint_does_not_depend_on_the_folder(copy, tmp_path):
    stored = fingerprint(copy)
    renamed = copy.rename(tmp_path / "scene.SAFE")
    assert fingerprint(renamed) == stored
    assert stored.size == sum(file.stat().st_size for file in find_product(renamed).files)


def test_a_band_that_goes_missing_afterwards_is_told(project, copy):
    tile_rasters(project, [copy])
    next(copy.glob("GRANULE/*/IMG_DATA/R10m/*_B03_10m.tif")).unlink()
    with pytest.raises(ImageryError, match="B03"):
        do_embed(project)


def test_a_damaged_band_is_told_with_its_place_and_leaves_nothing(project, copy):
    band = next(copy.glob("GRANULE/*/IMG_DATA/R20m/*_B11_20m.tif"))
    content = bytearray(band.read_bytes())
    band.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageryError, match="damaged"):
        tile_rasters(project, [copy])
    assert not project.has_tiles()


def test_a_killed_embedding_of_a_product_goes_on(tmp_path):
    product = write_safe(tmp_path, size_px=1152, copies=False)
    with new_project(tmp_path / "p.gpkg") as project:
        tile_rasters(project, [product])
        told = []
        with pytest.raises(Cancelled):
            do_embed(project, Monitor(lambda share, _: told.append(share), lambda: max(told, default=0) > 0.5))
        assert list((project.folder / "embeddings").glob("*.partial.npy"))
        resumed = np.array(do_embed(project).matrix)
        shutil.rmtree(project.folder)
        np.testing.assert_array_equal(do_embed(project).matrix, resumed)
        assert len(resumed) == 18 * 18


def test_an_inspected_product_tells_what_it_is(safe):
    facts = look_at(safe / "MTD_MSIL2A.xml", ["B02", "B08"], 64, None, None, None)
    assert facts["path"] == str(safe)
    assert (facts["level"], facts["baseline"], facts["has_scl"], facts["has_clouds"]) == ("L2A", "05.09", True, True)
    assert (facts["width"], facts["pixel_size"], facts["tiles"], facts["problem"]) == (SIZE, [10, 10], 36, None)
    assert (facts["scale"], facts["offset"], facts["nodata"]) == (1e-4, -1000.0, 0.0)
    assert [band["description"] for band in facts["bands"]] == WITHOUT_B10
    assert [band["name"] for band in facts["bands"] if band["name"]] == ["B02", "B08"]


def test_an_ordinary_raster_is_no_product(safe):
    band = next(safe.glob("GRANULE/*/IMG_DATA/R10m/*_B02_10m.tif"))
    facts = look_at(band, ["B02"], 64, None, None, None)
    assert (facts["level"], facts["baseline"], facts["has_scl"], facts["has_clouds"]) == ("", "", False, False)


def test_the_command_line_says_how_many_tiles_are_cloudy(safe, tmp_path):
    scl = np.full((SIZE // 2,) * 2, 4, np.uint8)
    scl[:32] = 9
    product = write_safe(tmp_path, size_px=SIZE, scl=scl, copies=False)
    with new_project(tmp_path / "p.gpkg"):
        pass
    command = ["tile", str(tmp_path / "p.gpkg"), str(product), "--max-cloud", "0.2"]
    wrong = CliRunner().invoke(app, [*command, "--mask-values", "3,x"])
    assert wrong.exit_code == 2
    right = CliRunner().invoke(app, [*command, "--mask-values", "9"])
    assert "30 tiles in the pool, 0 for validation, 6 set aside (6 for cloud)" in right.output


def test_a_batch_takes_products_and_masks(safe, tmp_path):
    (tmp_path / "run.toml").write_text(
        f"""
project = "p.gpkg"
rasters = ["SENTINEL2_L2A:{safe.as_posix()}/MTD_MSIL2A.xml:10m:EPSG_32633", "X.SAFE"]
classes = "eurosat-10"
[tile]
max_cloud = 0.2
mask = "clouds.tif"
mask_values = [3, 8]
""",
        encoding="utf-8",
    )
    config = read_config(tmp_path / "run.toml")
    assert config.rasters == (safe, tmp_path / "X.SAFE")
    tiling = config.tiling
    assert (tiling.max_cloud, tiling.mask, tuple(tiling.mask_values)) == (0.2, tmp_path / "clouds.tif", (3, 8))


def test_a_product_is_opened_as_one_dataset(safe):
    with open_dataset(safe) as dataset:
        assert (dataset.count, dataset.width, list(dataset.descriptions)) == (12, SIZE, WITHOUT_B10)
