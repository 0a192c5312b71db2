"""A QGIS project remembers its Quadrat project."""

from __future__ import annotations

import shutil

import pytest
from qgis.core import QgsProject

from quadrat.core.project.classes import ClassDraft
from quadrat.plugin.job import Job
from quadrat.plugin.messages import Messages
from quadrat.plugin.persistence import KEY, SCOPE, Persistence

from .panel_context import Window


@pytest.fixture
def window(qgis_app):
    window = Window()
    yield window
    window.deleteLater()


@pytest.fixture
def parts(window, qgis_new_project):
    job = Job()
    persistence = Persistence(job, Messages(window))
    yield job, persistence
    persistence.unload()
    job.close()
    QgsProject.instance().clear()


def test_reading_a_saved_qgis_project_opens_its_quadrat_project_again(parts, tmp_path):
    job, _ = parts
    job.create(tmp_path / "été 'x'.gpkg", [ClassDraft("Water")], "single", 64)
    assert QgsProject.instance().write(str(tmp_path / "map.qgz"))
    QgsProject.instance().clear()
    assert not job.is_open
    assert QgsProject.instance().read(str(tmp_path / "map.qgz"))
    assert job.project.path == tmp_path / "été 'x'.gpkg"
    assert not QgsProject.instance().isDirty()


def test_both_projects_may_be_moved_together(parts, tmp_path):
    job, _ = parts
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    job.create(here / "a.gpkg", [ClassDraft("Water")], "single", 64)
    assert QgsProject.instance().write(str(here / "map.qgz"))
    QgsProject.instance().clear()
    shutil.move(str(here), str(there))
    assert QgsProject.instance().read(str(there / "map.qgz"))
    assert job.project.path == there / "a.gpkg"


def test_a_quadrat_project_that_is_gone_is_told_and_the_qgis_project_still_names_it(parts, window, tmp_path):
    job, _ = parts
    job.create(tmp_path / "a.gpkg", [ClassDraft("Water")], "single", 64)
    assert QgsProject.instance().write(str(tmp_path / "map.qgz"))
    QgsProject.instance().clear()
    (tmp_path / "a.gpkg").unlink()
    assert QgsProject.instance().read(str(tmp_path / "map.qgz"))
    assert not job.is_open
    assert "a.gpkg of this QGIS project is not at its place" in window.said()
    assert QgsProject.instance().readEntry(SCOPE, KEY)[1]


def test_closing_the_quadrat_project_by_hand_forgets_it(parts, tmp_path):
    job, _ = parts
    job.create(tmp_path / "a.gpkg", [ClassDraft("Water")], "single", 64)
    job.close()
    assert not QgsProject.instance().readEntry(SCOPE, KEY)[1]
