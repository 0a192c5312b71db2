"""The open project in QGIS."""

from __future__ import annotations

import pytest

from quadrat.core.errors import ProjectError
from quadrat.core.project.classes import ClassDraft
from quadrat.plugin.job import Job, Stage


def test_a_new_project_is_open_and_waits_for_tiles(qgis_app, tmp_path):
    job, news = Job(), []
    job.project_changed.connect(lambda: news.append(job.is_open))
    job.create(tmp_path / "a é 'quoted'.gpkg", [ClassDraft("Water"), ClassDraft("Forest")], "single", 64)
    assert job.stage is Stage.NO_TILES
    assert [item.name for item in job.project.classes()] == ["Water", "Forest"]
    job.close()
    assert job.stage is Stage.NO_PROJECT
    assert news == [True, False]


def test_a_project_that_cannot_be_opened_leaves_the_present_one_open(qgis_app, tmp_path):
    job = Job()
    job.create(tmp_path / "good.gpkg", [ClassDraft("Water")], "single", 64)
    with pytest.raises(ProjectError):
        job.open(tmp_path / "missing.gpkg")
    assert job.project.path == tmp_path / "good.gpkg"
    job.close()
