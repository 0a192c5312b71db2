"""What the other tests stand on: projects made by the real engine, and the wait that replaces sleeping."""

import pytest

from quadrat.core.project.results import picks_of_round, rounds
from quadrat.plugin.job import Job, Stage

from .projects import answer_by_truth
from .waiting import wait_until


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_a_ready_project_waits_for_answers(ready_project, mode):
    ready, job = ready_project(mode), Job()
    job.open(ready.path)
    assert job.stage is Stage.ROUND
    asked = [pick.tile_id for pick in picks_of_round(job.project, rounds(job.project)[-1].round_id)]
    job.close()
    answer_by_truth(ready, asked)
    job.open(ready.path)
    assert job.project.counts()["labelled"] == len(asked) == 8
    assert job.project.find_raster(job.project.rasters()[0]) == ready.scene.raster
    job.close()


def test_a_project_without_a_round_is_embedded(ready_project):
    job = Job()
    job.open(ready_project(budget=0).path)
    assert job.stage is Stage.NO_ROUND
    job.close()


def test_waiting_for_what_never_happens_fails(qgis_app):
    with pytest.raises(AssertionError, match="a miracle"):
        wait_until(lambda: False, "a miracle", seconds=0.05)
