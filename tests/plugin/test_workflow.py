"""The steps of the work, with the real engine: done, refused, remembered."""

from __future__ import annotations

import pytest
from qgis.core import Qgis, QgsVectorLayer

from quadrat.core.project.classes import ClassDraft
from quadrat.core.project.results import picks_of_round, rounds
from quadrat.plugin.job import Stage
from quadrat.plugin.tallies import open_tiles, round_tallies
from quadrat.plugin.workflow import PrepareRequest, QuerySettings, RasterChoice

from .projects import CLASSES, make_scene, truth_of
from .projects import ReadyProject as Ready
from .waiting import wait_until
from .workbench import RECOMMENDED, frozen

SUCCESS, WARNING = Qgis.MessageLevel.Success, Qgis.MessageLevel.Warning


def test_from_a_raster_to_predictions_and_an_export(bench, tmp_path):
    scene = make_scene(tmp_path)
    bench.job.create(tmp_path / "é 'job'.gpkg", [ClassDraft(name) for name in CLASSES], "single", 64)
    bench.workflow.remember(QuerySettings(budget=8, validation_budget=4))
    bench.workflow.prepare(PrepareRequest((RasterChoice(scene.raster),), validation=0.25))
    bench.settle()
    assert bench.job.stage is Stage.ROUND
    assert bench.news == ["tiles", "embeddings", "rounds", "rounds"]
    assert "48 tiles are ready. 8 of them wait for a label." in bench.said(SUCCESS)
    first, sample = rounds(bench.project)
    assert (sample.strategy, bench.ready_rounds) == ("validation", [first.round_id])
    assert bench.workflow.suggestions == {}

    ready = Ready(bench.project.path, scene, truth_of(bench.project.path, scene))
    bench.answer(ready, [*open_tiles(bench.project), *open_tiles(bench.project, validation=True)])
    bench.workflow.next_round()
    bench.settle()
    second = next(item for item in rounds(bench.project)[2:] if item.strategy == RECOMMENDED)
    assert bench.ready_rounds == [first.round_id, second.round_id]
    asked = [pick.tile_id for pick in picks_of_round(bench.project, second.round_id)]
    assert sorted(bench.workflow.suggestions) == sorted(asked)
    names = {item.class_id: item.name for item in bench.project.classes()}
    right = [names[found[0][0]] == ready.truth[tile][0] for tile, found in bench.workflow.suggestions.items()]
    assert sum(right) >= 6
    tally = round_tallies(bench.project)[0]
    assert (tally.labels, tally.validation_labels) == (8, 4)

    bench.news.clear()
    bench.workflow.predict()
    bench.settle()
    assert bench.news[-1] == "predictions"
    assert "48 tiles predicted; learnt from 8 labels." in bench.said(SUCCESS)

    exported = []
    bench.workflow.exported.connect(exported.append)
    bench.workflow.export(tmp_path / "out.gpkg", "predictions")
    bench.settle()
    layer = QgsVectorLayer(exported[0]["path"], "out", "ogr")
    assert (exported[0]["tiles"], layer.featureCount()) == (48, 48)
    assert bench.error_text() == ""


def test_preparing_again_keeps_the_round_that_is_open(bench, ready_project):
    ready = ready_project()
    bench.job.open(ready.path)
    before = open_tiles(bench.project)
    bench.workflow.prepare(PrepareRequest((RasterChoice(ready.scene.raster),), validation=0.25))
    bench.settle()
    assert open_tiles(bench.project) == before
    assert len(rounds(bench.project)) == 1


def test_a_step_is_refused_while_another_one_runs(bench, ready_project):
    bench.job.open(ready_project(budget=0).path)
    with frozen(bench.wake()):
        bench.workflow.query(QuerySettings(budget=4, validation_budget=0))
        bench.workflow.query_validation(2)
        assert "Quadrat is busy: Asking for tiles" in bench.said()
    bench.settle()
    assert [item.strategy for item in rounds(bench.project)] == [RECOMMENDED]


def test_without_a_project_nothing_begins(bench):
    bench.workflow.predict()
    bench.workflow.next_round()
    assert "No Quadrat project is open." in bench.said()
    assert bench.finished == []


def test_the_next_round_waits_for_what_runs_and_then_comes(bench, ready_project):
    ready = ready_project()
    bench.job.open(ready.path)
    bench.answer(ready, open_tiles(bench.project))
    with frozen(bench.wake()):
        bench.workflow.predict()
        bench.workflow.next_round()
    wait_until(lambda: bench.ready_rounds, "the next round")
    assert bench.finished == ["Predicting all tiles", "Preparing the next round"]


def test_a_round_that_waited_is_not_asked_for_twice(bench, ready_project):
    ready = ready_project()
    bench.job.open(ready.path)
    bench.answer(ready, open_tiles(bench.project))
    with frozen(bench.wake()):
        bench.workflow.query(QuerySettings(budget=4, validation_budget=0))
        bench.workflow.next_round()
    wait_until(lambda: bench.ready_rounds, "the round")
    bench.settle()
    assert len(rounds(bench.project)) == 2


def test_the_next_round_is_asked_for_with_the_settings_that_the_project_remembers(bench, ready_project):
    path = ready_project().path
    settings = QuerySettings("mcfps", 5, {"neighbours": 7, "sure": 0.9}, 0, seed=3, device="cpu")
    bench.job.open(path)
    bench.workflow.remember(settings)
    bench.job.close()
    assert bench.workflow.query_settings == QuerySettings()
    bench.job.open(path)
    assert bench.workflow.query_settings == settings
    bench.workflow.next_round()
    bench.settle()
    last = rounds(bench.project)[-1]
    assert (last.strategy, last.budget, last.seed) == ("mcfps", 5, 3)
    assert (last.parameters["neighbours"], last.parameters["sure"]) == (7, 0.9)


def test_settings_that_are_broken_become_the_defaults(bench, ready_project):
    assert QuerySettings.from_json("[1, 2") == QuerySettings.from_json("[1]") == QuerySettings()
    assert QuerySettings.from_json('{"budget": "many", "seed": 4, "colour": 1}') == QuerySettings(seed=4)


def test_validation_tiles_come_with_a_round_once_the_former_ones_are_answered(bench, ready_project):
    ready = ready_project(budget=0)
    bench.job.open(ready.path)
    settings = QuerySettings(budget=4, validation_budget=3)
    for expected in ([RECOMMENDED, "validation"], [RECOMMENDED, "validation", RECOMMENDED]):
        bench.workflow.query(settings)
        bench.settle()
        assert [item.strategy for item in rounds(bench.project)] == expected
    bench.answer(ready, open_tiles(bench.project, validation=True))
    bench.workflow.query(settings)
    bench.settle()
    assert [item.strategy for item in rounds(bench.project)][3:] == [RECOMMENDED, "validation"]


def test_the_validation_sample_is_asked_for_alone(bench, ready_project):
    bench.job.open(ready_project(budget=0).path)
    bench.workflow.query_validation(6)
    bench.settle()
    assert len(open_tiles(bench.project, validation=True)) == 6
    assert bench.ready_rounds == [rounds(bench.project)[-1].round_id]


def test_labels_of_one_class_do_not_stop_the_query(bench, ready_project):
    ready = ready_project()
    bench.job.open(ready.path)
    water = [tile for tile in open_tiles(bench.project) if ready.truth[tile] == ("Water",)][:1]
    bench.answer(ready, water)
    bench.workflow.query(QuerySettings(budget=4, validation_budget=0))
    bench.settle()
    assert rounds(bench.project)[-1].metrics["chosen_by"] == "kmeans"
    assert bench.error_text() == ""


def test_when_every_tile_has_an_answer_the_analyst_hears_what_to_do(bench, ready_project):
    ready = ready_project()
    bench.job.open(ready.path)
    bench.answer(ready, [tile.tile_id for tile in bench.project.tiles(("pool", "validation"))])
    bench.workflow.next_round()
    bench.settle()
    assert "Every tile has an answer." in bench.said()
    (only,) = round_tallies(bench.project)
    assert (only.labels, only.validation_labels) == (36, 12)
    assert bench.ready_rounds == []


def test_a_project_with_an_open_round_is_opened_with_suggestions(bench, ready_project):
    ready = ready_project()
    bench.job.open(ready.path)
    *answered, left = sorted(open_tiles(bench.project), key=lambda tile: ready.truth[tile])
    bench.answer(ready, answered)
    bench.job.close()
    bench.job.open(ready.path)
    wait_until(lambda: bench.workflow.suggestions, "suggestions")
    assert list(bench.workflow.suggestions) == [left]
    assert not bench.finished


def test_suggestions_for_several_classes(bench, ready_project):
    ready = ready_project("multi")
    bench.job.open(ready.path)
    bench.answer(ready, open_tiles(bench.project))
    bench.workflow.next_round()
    bench.settle()
    assert sorted(bench.workflow.suggestions) == sorted(open_tiles(bench.project))
    assert any(len(found) == 2 for found in bench.workflow.suggestions.values())


def test_a_raster_that_moved_is_found_again_and_another_one_refused(bench, ready_project, tmp_path):
    ready = ready_project()
    bench.job.open(ready.path)
    bench.project.update_raster(1, path=str(ready.scene.raster))  # of the copy, not of what it was copied from
    (record,) = bench.project.rasters()
    moved = tmp_path / "elsewhere" / "moved é.tif"
    moved.parent.mkdir()
    ready.scene.raster.rename(moved)
    assert bench.project.find_raster(record) is None
    bench.workflow.relocate(record.raster_id, make_scene(tmp_path, rows=2, cols=3, name="other").raster)
    bench.settle()
    assert "not the raster that was tiled" in bench.error_text()
    assert bench.project.rasters() == [record]
    bench.workflow.relocate(record.raster_id, moved)
    bench.settle()
    assert bench.project.find_raster(bench.project.rasters()[0]) == moved
    assert "moved é.tif was found again." in bench.said(SUCCESS)


def test_a_mistake_in_the_settings_is_said_and_offers_no_second_try(bench, ready_project):
    bench.job.open(ready_project(budget=0).path)
    bench.workflow.query(QuerySettings(parameters={"neighbours": 3}))
    bench.settle()
    assert f"{RECOMMENDED} has no parameter 'neighbours'" in bench.error_text()
    with pytest.raises(StopIteration):
        bench.press("Try again")


def test_the_learning_curve_is_drawn_for_a_light_and_a_dark_theme(bench, ready_project):
    ready = ready_project()
    bench.job.open(ready.path)
    bench.workflow.query_validation(4)
    bench.settle()
    bench.answer(ready, [*open_tiles(bench.project), *open_tiles(bench.project, validation=True)])
    bench.workflow.next_round()
    bench.settle()
    drawn = []
    for dark in (False, True):
        bench.workflow.draw_curve(dark, drawn.append)
    wait_until(lambda: len(drawn) == 2, "two pictures")
    assert drawn[0]["path"] != drawn[1]["path"]
    assert drawn[0]["points"] == drawn[1]["points"]
    assert bench.finished[-1] == "Preparing the next round"
