"""Answers from files: right tile, right class, all or none, every problem with its line."""

import geopandas as gpd
import pytest
import shapely

from quadrat.core.answer_files import read_answers, read_csv
from quadrat.core.errors import AnswerError, UsageError
from quadrat.core.export import export
from quadrat.core.project.answers import Answer, record_answers
from quadrat.core.project.classes import ClassDraft
from quadrat.core.project.store import Project
from quadrat.core.tiling import TilingOptions, tile_rasters

from .raster_factory import NORTH_UP, make_raster
from .scene_factory import new_project


@pytest.fixture
def project(tmp_path):
    """Two rows of three tiles, numbered 1 to 6."""
    with new_project(tmp_path / "p.gpkg") as project:
        tile_rasters(project, [make_raster(tmp_path / "r.tif", width=192, height=128)])
        yield project


@pytest.fixture
def multi(tmp_path):
    with new_project(tmp_path / "m.gpkg", "multi") as project:
        tile_rasters(project, [make_raster(tmp_path / "r.tif", width=192, height=128)])
        yield project


def write(folder, text, name="answers.csv", encoding="utf-8"):
    path = folder / name
    path.write_text(text, encoding=encoding)
    return path


def problems(project, path, **options):
    with pytest.raises(AnswerError) as caught:
        read_answers(project, path, **options)
    return caught.value.details.splitlines()


@pytest.mark.parametrize(
    "text",
    [
        "tile_id,label\n1,Water\n6,Forest\n",
        "row,col,label\n0,0,Water\n1,2,Forest\n",
        "raster,row,col,label\nr.tif,0,0,Water\nr,1,2,Forest\n",
        "\ufefflabel,Row,COL,note\nwater,0,0,x\nFOREST,1,2,y\n",
        "tile_id;label\n1;Water\n6;Forest\n",
        "tile_id\tlabel\r\n1\tWater\r\n6\tForest\r\n",
    ],
)
def test_tiles_are_named_by_number_or_by_place(project, tmp_path, text):
    read = read_answers(project, write(tmp_path, text))
    assert read.answers == [Answer(1, "classes", (1,)), Answer(6, "classes", (2,))]


def test_several_classes_are_joined_by_semicolons(multi, tmp_path):
    read = read_answers(multi, write(tmp_path, "tile_id,label\n1,Water; Town\n2,none\n"))
    assert read.answers == [Answer(1, "classes", (1, 3)), Answer(2, "none")]


def test_a_blank_label_is_not_an_answer(project, tmp_path):
    read = read_answers(project, write(tmp_path, "tile_id,label\n1,\n2,Town\n3,  \n"))
    assert ([a.tile_id for a in read.answers], read.blank) == ([2], 2)


def test_skip_unsure_and_none_are_kept_apart(project, tmp_path):
    read = read_answers(project, write(tmp_path, "tile_id,label\n1,skip\n2,Unsure\n3,none\n"))
    assert [a.kind for a in read.answers] == ["skip", "unsure", "none"]


def test_every_wrong_line_is_listed_with_its_number(project, tmp_path):
    text = "tile_id,label\n1,Water\n99,Water\n2,Swamp\n3,Water;Town\n1,Forest\nx,Town\n"
    assert problems(project, write(tmp_path, text)) == [
        "line 3: the project has no such tile (tile_id 99)",
        "line 4: class 'Swamp' is not in the project",
        "line 5: 2 classes for one tile, but this project takes one",
        "line 6: the tile was answered before, in line 2",
        "line 7: tile_id 'x' is not a whole number",
    ]


def test_a_place_outside_the_grid_is_listed(project, tmp_path):
    assert problems(project, write(tmp_path, "row,col,label\n7,0,Water\n")) == [
        "line 2: the project has no such tile (row 7, col 0)"
    ]


def test_lines_after_a_quoted_line_break_keep_their_numbers(project, tmp_path):
    text = 'tile_id,label,note\n1,Water,"two\nlines"\n99,Water,\n'
    assert problems(project, write(tmp_path, text))[0].startswith("line 4:")


def test_with_several_rasters_the_raster_must_be_named(project, tmp_path):
    tile_rasters(project, [make_raster(tmp_path / "s.tif", width=64, height=64, seed=1)])
    assert "several rasters are meant" in problems(project, write(tmp_path, "row,col,label\n0,0,Water\n"))[0]
    read = read_answers(project, write(tmp_path, "raster,row,col,label\ns.tif,0,0,Water\n"))
    assert read.answers[0].tile_id == 7


@pytest.mark.parametrize("text", ["row,col,class\n0,0,Water\n", "row,col,label\n0,0,Sea\n"])
def test_a_truth_that_does_not_fit_is_not_said_to_be_imported(project, tmp_path, text):
    with pytest.raises(AnswerError) as caught:
        read_csv(project, write(tmp_path, text), as_truth=True)
    said = f"{caught.value.message} {caught.value.hint}"
    assert "truth" in said
    assert "import" not in said
    assert "quadrat query" not in said


def test_a_tile_that_was_set_aside_takes_no_answer(tmp_path):
    with new_project(tmp_path / "p.gpkg") as project:
        raster = make_raster(tmp_path / "half.tif", width=128, height=64, seed=2)
        _blank_out(raster)
        tile_rasters(project, [raster], TilingOptions(min_valid=0.9))
        path = write(tmp_path, "tile_id,label\n1,Water\n2,Water\n")
        assert "set aside" in problems(project, path)[0]
        truth = read_csv(project, path, as_truth=True)
        assert (len(truth.answers), truth.elsewhere) == (1, 1)


def _blank_out(raster):
    import rasterio

    with rasterio.open(raster, "r+") as data:
        pixels = data.read()
        pixels[:, :, 64:] = 0
        data.write(pixels)


@pytest.mark.parametrize(
    "text",
    ["", "label\nWater\n", "tile_id,class\n1,Water\n", "row,label\n0,Water\n"],
    ids=["empty", "no place", "no label", "no col"],
)
def test_a_table_without_the_columns_says_which_it_needs(project, tmp_path, text):
    with pytest.raises(AnswerError, match="needs the columns label"):
        read_answers(project, write(tmp_path, text))


def test_a_file_that_is_not_text_is_refused(project, tmp_path):
    (tmp_path / "answers.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(AnswerError, match="cannot be read"):
        read_answers(project, tmp_path / "answers.csv")
    with pytest.raises(AnswerError, match="cannot be read"):
        read_answers(project, tmp_path / "missing.csv")


def test_names_with_commas_quotes_slashes_and_emoji_are_found(tmp_path):
    names = ['Crops, "irrigated"', "Built/paved", "Sea 🌊"]
    with Project.create(tmp_path / "p.gpkg", [ClassDraft(name) for name in names], "single") as project:
        tile_rasters(project, [make_raster(tmp_path / "r.tif", width=192, height=64)])
        path = write(tmp_path, 'tile_id,label\n1,"Crops, ""irrigated"""\n2,Built/paved\n3,Sea 🌊\n')
        assert [a.class_ids for a in read_answers(project, path).answers] == [(1,), (2,), (3,)]


def ground(col0, row0, col1, row1):
    """A rectangle given in tiles, in the raster's coordinates."""
    return shapely.box(
        NORTH_UP.c + col0 * 640, NORTH_UP.f - row1 * 640, NORTH_UP.c + col1 * 640, NORTH_UP.f - row0 * 640
    )


def layer(path, shapes, names, column="landuse", crs="EPSG:32633"):
    gpd.GeoDataFrame({column: names}, geometry=shapes, crs="EPSG:32633").to_crs(crs).to_file(path)
    return path


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.shp"])
def test_a_tile_takes_the_class_of_the_polygon_that_covers_most_of_it(project, tmp_path, name):
    shapes = [ground(0, 0, 1.7, 1), ground(1.7, 0, 3, 1), ground(0, 1, 0.3, 2)]
    path = layer(tmp_path / name, shapes, ["Water", "Forest", "Town"], crs="EPSG:4326")
    read = read_answers(project, path, class_column="landuse")
    assert read.answers == [Answer(1, "classes", (1,)), Answer(2, "classes", (1,)), Answer(3, "classes", (2,))]


def test_several_polygons_of_a_class_count_together(project, tmp_path):
    shapes = [ground(0, 0, 0.3, 1), ground(0.3, 0, 0.6, 1), ground(0.6, 0, 1, 1)]
    path = layer(tmp_path / "a.gpkg", shapes, ["Town", "Town", "Water"])
    assert read_answers(project, path, class_column="landuse").answers == [Answer(1, "classes", (3,))]


def test_multi_label_tiles_take_every_class_with_a_share(multi, tmp_path):
    shapes = [ground(0, 0, 0.8, 1), ground(0.8, 0, 1, 1), ground(1, 0, 1.05, 1)]
    path = layer(tmp_path / "a.gpkg", shapes, ["Water", "Town", "Forest"])
    read = read_answers(multi, path, class_column="landuse")
    assert read.answers == [Answer(1, "classes", (1, 3))]
    read = read_answers(multi, path, class_column="landuse", min_overlap=0.04)
    assert read.answers == [Answer(1, "classes", (1, 3)), Answer(2, "classes", (2,))]


def test_polygons_with_problems_say_which(project, tmp_path):
    shapes = [ground(0, 0, 1, 1)]
    unknown = layer(tmp_path / "u.gpkg", shapes, ["Swamp"])
    assert problems(project, unknown, class_column="landuse") == ["class 'Swamp' is not in the project"]
    with pytest.raises(AnswerError, match="no column 'label'") as caught:
        read_answers(project, unknown)
    assert "landuse" in caught.value.hint
    far = layer(tmp_path / "f.gpkg", [ground(50, 50, 51, 51)], ["Water"])
    with pytest.raises(AnswerError, match="No polygon"):
        read_answers(project, far, class_column="landuse")
    bare = tmp_path / "bare.gpkg"
    gpd.GeoDataFrame({"landuse": ["Water"]}, geometry=shapes).to_file(bare)
    with pytest.raises(AnswerError, match="CRS"):
        read_answers(project, bare, class_column="landuse")
    with pytest.raises(AnswerError, match="cannot be read"):
        read_answers(project, write(tmp_path, "nonsense", "x.gpkg"), class_column="landuse")


def test_exported_labels_come_back_as_answers(multi, tmp_path):
    answers = [Answer(1, "classes", (1, 3)), Answer(4, "classes", (2,))]
    record_answers(multi, answers, annotator="me", source="test")
    export(multi, tmp_path / "out.gpkg")
    assert read_answers(multi, tmp_path / "out.gpkg").answers == answers


def test_two_classes_on_one_tile_are_refused_in_single_mode(project, tmp_path):
    shapes = [ground(0, 0, 1, 1), ground(0, 0, 1, 1), ground(1, 0, 2, 1)]
    path = layer(tmp_path / "a.gpkg", shapes, ["Water", "Town", "Forest"])
    assert problems(project, path, class_column="landuse") == [
        "tile 1: Water 100% and Town 100%, but this project takes one class a tile"
    ]


def test_a_file_of_several_layers_wants_one_named(project, tmp_path):
    path = layer(tmp_path / "a.gpkg", [ground(0, 0, 1, 1)], ["Water"])
    frame = gpd.read_file(path)
    frame.to_file(path, layer="second", driver="GPKG")
    with pytest.raises(AnswerError, match="several layers: a, second") as caught:
        read_answers(project, path, class_column="landuse")
    assert "|layername=a" in caught.value.hint
    named = tmp_path / "a.gpkg|layername=second"
    assert len(read_answers(project, named, class_column="landuse").answers) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tile_id,label\n,Water\n", "line 2: tile_id is empty"),
        ("tile_id,label\n1,;\n", "names no class"),
        ("tile_id,label\n1,Water;Town\n", "2 classes for one tile"),
    ],
)
def test_odd_lines_are_told_by_a_sentence(project, tmp_path, text, said):
    assert said in problems(project, write(tmp_path, text))[0]


def test_tables_as_spreadsheets_write_them_are_read(project, tmp_path):
    text = "sep=;\ntile_id;label\n1;Water;\n2;Town;Town\n"
    assert len(read_answers(project, write(tmp_path, text)).answers) == 2
    huge = write(tmp_path, f"tile_id,label,note\n1,Water,{'x' * 200_000}\n")
    with pytest.raises(AnswerError, match="cannot be read on from line"):
        read_answers(project, huge)


@pytest.mark.parametrize("share", [-1.0, 0.0, 7.0])
def test_a_share_without_sense_is_refused(project, tmp_path, share):
    path = layer(tmp_path / "a.gpkg", [ground(0, 0, 1, 1)], ["Water"])
    with pytest.raises(UsageError, match="--min-overlap"):
        read_answers(project, path, class_column="landuse", min_overlap=share)
