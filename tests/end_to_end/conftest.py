"""Workers and projects for the tests of the worker."""

import numpy as np
import pytest

from quadrat.core.project.answers import Answer, record_answers
from quadrat.core.project.store import Project

from ..core.job import ids
from ..core.raster_factory import make_raster
from ..core.scene_factory import CLASSES
from .worker_client import WorkerClient


@pytest.fixture(scope="module")
def worker():
    """One worker for all tests that leave it as it was."""
    client = WorkerClient()
    yield client
    client.kill()


@pytest.fixture
def own_worker():
    """A worker that a test may end."""
    clients = []

    def start(**options):
        clients.append(WorkerClient(**options))
        return clients[-1]

    yield start
    for client in clients:
        client.kill()


@pytest.fixture
def folder(tmp_path):
    """A folder whose name is not kind to programs."""
    folder = tmp_path / 'Wörk \'n "data" 🌍'
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def large_raster(tmp_path_factory):
    """2,304 tiles, compressed: no step is done with it before it can be cancelled."""
    texture = np.random.default_rng(0).integers(200, 4000, (3, 256, 256))
    file = tmp_path_factory.mktemp("large") / "large.tif"
    return make_raster(file, values=np.tile(texture, (1, 12, 12)), blocksize=256, compress="deflate")


@pytest.fixture(scope="module")
def large_project(worker, large_raster):
    """A project of it with embeddings and a few thousand labels."""
    path = large_raster.with_name("large.gpkg")
    Project.create(path, CLASSES, "single").close()
    worker.call("tile", project=path, rasters=[large_raster], validation=0.05)
    worker.call("embed", project=path, encoder="statistics")
    with Project.open(path) as project:
        answers = [Answer(tile_id, "classes", (1 + tile_id % 3,)) for tile_id in ids(project, "pool")[:2000]]
        record_answers(project, answers, annotator="test", source="test")
    return path
