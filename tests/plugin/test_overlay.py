"""The layers of a project on the map: what there is, how it looks, and when it comes and goes."""

from __future__ import annotations

import pytest
from qgis.core import QgsProject

from quadrat.core.project.answers import Answer, record_answers, undo
from quadrat.core.project.class_editing import recolour_class, rename_class, reorder_classes
from quadrat.plugin.labeling import styles

from .overlay_bench import (
    alike,
    drawn,
    groups,
    is_visible,
    layer_called,
    legend,
    over_white,
    overlay_bench,
    tile_extent,
    titles,
)
from .projects import CLASSES, ReadyProject, answer_by_truth, copy_project, engine, make_scene

ALL_LAYERS = ["Asked tiles", "Answers", "Predictions", "Uncertainty", "scene"]
OTHER_ANSWERS = ["None of these", "Unsure", "Skipped"]


@pytest.fixture
def bench(qgis_iface, qgis_new_project):
    with overlay_bench(qgis_iface) as made:
        yield made


@pytest.fixture(scope="module")
def mapped(made_projects, tmp_path_factory):
    """``mapped(mode)``: a project with answers for 40 of its 48 tiles and predictions; never changed."""
    made = {}

    def get(mode: str) -> ReadyProject:
        if mode not in made:
            project = copy_project(made_projects(mode, 8), tmp_path_factory.mktemp(mode) / "mapped")
            answer_by_truth(project, list(project.truth)[:40])
            engine("predict", project.path)
            made[mode] = project
        return made[mode]

    return get


@pytest.fixture
def mapped_copy(mapped, tmp_path):
    """The same for a test to change, in a folder that is not kind to programs."""
    return lambda mode="single": copy_project(mapped(mode), tmp_path / f"{mode} é 'q' 100 %")


def answer(job, tile_id, kind="classes", class_ids=()):
    record_answers(job.project, [Answer(tile_id, kind, tuple(class_ids))], annotator="test", source="test")
    job.answers_changed.emit([tile_id])


def test_a_group_shows_all_there_is_with_the_uncertainty_hidden_at_first(bench, mapped):
    bench.open(mapped("single").path)
    (group,) = groups()
    assert group.name() == "Quadrat: p"
    assert titles(group) == ALL_LAYERS
    assert [name for name in ALL_LAYERS if not is_visible(name)] == ["Uncertainty"]
    assert all(layer_called(name).readOnly() for name in ALL_LAYERS[:4])
    assert QgsProject.instance().layerTreeRoot().children()[0] == group


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_the_legend_names_the_classes_in_their_colours(bench, mapped, mode):
    bench.open(mapped(mode).path)
    colours = {item.name: item.colour for item in bench.job.project.classes()}
    assert list(legend("Answers")) == [*CLASSES, *OTHER_ANSWERS]
    assert legend("Predictions") == colours
    assert list(legend("Asked tiles")) == ["Open", "Answered", *OTHER_ANSWERS]
    assert 2 <= len(legend("Uncertainty")) <= 5


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_each_predicted_class_of_a_tile_is_a_stripe_of_its_colour(bench, mapped, mode):
    bench.open(mapped(mode).path)
    project = bench.job.project
    colours = {item.name: item.colour for item in project.classes()}
    numbers = set()
    for row, col, label in project.read('SELECT "row", "col", label FROM predicted_tiles'):
        names = label.split("; ") if label else []
        numbers.add(len(names))
        image = drawn([layer_called("Predictions")], tile_extent(row, col), 120)
        for place, name in enumerate(names):
            seen = image.pixelColor(round(120 * (place + 0.5) / len(names)), 60)
            assert alike(seen, over_white(colours[name], styles.PREDICTION_OPACITY)), (row, col, label)
    assert numbers == {1} if mode == "single" else {1, 2} <= numbers


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_an_answer_is_outlined_in_the_colour_of_its_class_and_leaves_the_image_visible(bench, mapped, mode):
    bench.open(mapped(mode).path)
    project = bench.job.project
    colours = {item.name: item.colour for item in project.classes()}
    row, col, label = project.read('SELECT "row", "col", label FROM labelled_tiles WHERE n_classes = 1')[0]
    image = drawn([layer_called("Answers")], tile_extent(row, col))
    assert any(alike(image.pixelColor(x, 100), over_white(colours[label], 1.0)) for x in range(12))
    middle = image.pixelColor(100, 100)
    assert middle.lightness() > 180
    assert not alike(middle, over_white("#FFFFFF", 1.0), 0)


def test_the_two_classes_of_a_multi_label_answer_stand_side_by_side(bench, mapped):
    bench.open(mapped("multi").path)
    project = bench.job.project
    colours = {item.name: item.colour for item in project.classes()}
    row, col, label = project.read('SELECT "row", "col", label FROM labelled_tiles WHERE n_classes = 2')[0]
    image = drawn([layer_called("Answers")], tile_extent(row, col))
    for name, x in zip(label.split("; "), (50, 150)):
        pure, seen = over_white(colours[name], 1.0), image.pixelColor(x, 100)
        assert abs(seen.hsvHue() - pure.hsvHue()) <= 4


def test_answers_that_are_no_class_look_grey_and_differ_from_each_other(bench, ready_project):
    bench.open(ready_project().path)
    kinds = ("none", "unsure", "skip")
    for tile_id, kind in enumerate(kinds, start=1):
        answer(bench.job, tile_id, kind)
    bench.settle()
    pictures = []
    for row, col in bench.job.project.read('SELECT "row", "col" FROM labelled_tiles ORDER BY tile_id'):
        image = drawn([layer_called("Answers")], tile_extent(row, col))
        colours = [image.pixelColor(x, y) for x in range(0, 200, 7) for y in range(0, 200, 7)]
        assert all(colour.hslSaturation() < 20 for colour in colours)
        pictures.append([colour.name() for colour in colours])
    assert pictures[0] != pictures[1] != pictures[2] != pictures[0]


def test_a_layer_comes_with_the_first_row_of_its_view_and_goes_with_the_last(bench, ready_project):
    ready = ready_project(budget=0)
    bench.open(ready.path)
    assert titles(groups()[0]) == ["scene"]
    answer(bench.job, 1, class_ids=[1])
    bench.settle()
    assert titles(groups()[0]) == ["Answers", "scene"]
    bench.overlay.set_visible("answers", False)
    assert [feature["label"] for feature in layer_called("Answers").getFeatures()] == ["Water"]
    bench.job.answers_changed.emit(undo(bench.job.project))
    bench.settle()
    assert layer_called("Answers") is None
    answer(bench.job, 2, class_ids=[2])
    bench.settle()
    assert [feature["label"] for feature in layer_called("Answers").getFeatures()] == ["Forest"]
    assert not is_visible("Answers"), "hidden as it was before"


def test_a_round_and_predictions_made_by_the_engine_appear_when_they_are_announced(bench, ready_project):
    ready = ready_project(budget=0)
    bench.open(ready.path)
    bench.overlay.set_visible("uncertainty", True)
    engine("query", ready.path, "--budget", 5)
    bench.job.rounds_changed.emit()
    bench.settle()
    assert titles(groups()[0]) == ["Asked tiles", "scene"]
    assert layer_called("Asked tiles").featureCount() == 5
    answer_by_truth(ready, list(ready.truth)[:20])
    engine("predict", ready.path)
    bench.job.predictions_changed.emit()
    bench.settle()
    assert titles(groups()[0]) == ALL_LAYERS
    assert is_visible("Uncertainty")
    steps = layer_called("Uncertainty").renderer().ranges()
    lowest, highest = bench.job.project.read("SELECT min(uncertainty), max(uncertainty) FROM predicted_tiles")[0]
    assert (steps[0].lowerValue(), steps[-1].upperValue()) == (lowest, highest)


def test_a_changed_answer_changes_its_tile_and_no_other(bench, ready_project):
    bench.open(ready_project().path)
    for tile_id in (1, 2, 3):
        answer(bench.job, tile_id, class_ids=[1])
    bench.settle()
    answer(bench.job, 2, class_ids=[3])
    answer(bench.job, 3, "clear")
    bench.settle()
    assert {feature["tile_id"]: feature["label"] for feature in layer_called("Answers").getFeatures()} == {
        1: "Water",
        2: "Town",
    }


def test_the_asked_tiles_say_what_became_of_them(bench, ready_project):
    bench.open(ready_project(budget=8).path)
    asked = sorted(feature["tile_id"] for feature in layer_called("Asked tiles").getFeatures())
    for tile_id, kind in zip(asked, ("classes", "none", "unsure", "skip")):
        answer(bench.job, tile_id, kind, [1] if kind == "classes" else [])
    bench.settle()
    states = {feature["tile_id"]: feature["answer"] for feature in layer_called("Asked tiles").getFeatures()}
    assert [states[tile_id] for tile_id in asked] == ["classes", "none", "unsure", "skip", *["open"] * 4]


def test_an_answer_repaints_only_the_layers_that_show_it_and_once_for_many(bench, mapped_copy):
    bench.open(mapped_copy().path)
    repainted = []
    for name in ALL_LAYERS:
        layer_called(name).repaintRequested.connect(lambda *_, name=name: repainted.append(name))
    for tile_id in range(1, 6):
        answer(bench.job, tile_id, "skip")
    bench.settle()
    assert repainted == ["Asked tiles", "Answers"]


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_the_layers_follow_the_class_list_whatever_its_names(bench, mapped_copy, mode):
    bench.open(mapped_copy(mode).path)
    project = bench.job.project
    names = ['L\'eau "claire", [% 1 %]', "Forêt, d'Orléans", "Town"]
    ids = [item.class_id for item in project.classes()]
    for class_id, name in zip(ids, names):
        rename_class(project, class_id, name)
    recolour_class(project, ids[1], "#00FF00")
    reorder_classes(project, list(reversed(ids)))
    bench.job.classes_changed.emit()
    bench.settle()
    assert list(legend("Predictions")) == list(reversed(names))
    assert list(legend("Answers"))[:3] == list(reversed(names))
    for row, col in project.read('SELECT "row", "col" FROM predicted_tiles WHERE label = ?', (names[1],)):
        seen = drawn([layer_called("Predictions")], tile_extent(row, col)).pixelColor(100, 100)
        assert alike(seen, over_white("#00FF00", styles.PREDICTION_OPACITY))
    for row, col in project.read('SELECT "row", "col" FROM labelled_tiles WHERE label = ? LIMIT 1', (names[0],)):
        image = drawn([layer_called("Answers")], tile_extent(row, col))
        assert image.pixelColor(100, 100).name() != "#ffffff"


def test_more_tiles_are_shown_with_their_raster(bench, mapped_copy):
    ready = mapped_copy()
    bench.open(ready.path)
    east = make_scene(ready.path.parent, rows=2, cols=10, name="east")
    engine("tile", ready.path, east.raster)
    bench.job.tiles_changed.emit()
    bench.settle()
    assert titles(groups()[0]) == [*ALL_LAYERS, "east"]
    assert bench.overlay.raster_layer(2) == layer_called("east")
