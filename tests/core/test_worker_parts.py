"""What the worker brought into the engine: suggestions, the learning curve of a project, encoding in pieces."""

import numpy as np
import pytest
from PIL import Image

from quadrat.core.embedding import embed
from quadrat.core.encoders.statistics import StatisticsEncoder
from quadrat.core.errors import Cancelled, UsageError
from quadrat.core.monitor import Monitor
from quadrat.core.pictures import draw_scores, scored_rounds
from quadrat.core.project.scores import wilson_interval
from quadrat.core.rounds import predict, query, train
from quadrat.core.suggestions import suggest
from quadrat.core.tiling import tile_rasters

from .job import answer, ids, ready_project
from .scene_factory import make_scene, new_project


@pytest.fixture
def job(tmp_path):
    project, scene = ready_project(tmp_path)
    yield project, scene
    project.close()


def test_a_class_that_nobody_has_used_is_never_suggested(job):
    project, scene = job
    assert suggest(project, ids(project, "pool")) == {}
    without_town = [t.tile_id for t in project.tiles(("pool",)) if scene.labels[t.row, t.col] != "Town"]
    answer(project, scene, without_town[:10])
    town = next(item.class_id for item in project.classes() if item.name == "Town")
    suggested = suggest(project, ids(project, "pool"))
    assert len(suggested) == 36
    assert all(len(classes) == 2 and town not in dict(classes) for classes in suggested.values())


def test_a_suggestion_is_what_would_be_predicted(job):
    project, scene = job
    answer(project, scene, ids(project, "pool")[:20])
    suggested = suggest(project, ids(project, "validation"))
    predict(project)
    predicted = dict(project.read("SELECT tile_id, label FROM predicted_tiles"))
    names = {item.class_id: item.name for item in project.classes()}
    assert {tile_id: names[classes[0][0]] for tile_id, classes in suggested.items()}.items() <= predicted.items()


def test_only_tiles_with_an_embedding_can_have_a_suggestion(job):
    with pytest.raises(UsageError, match="999"):
        suggest(job[0], [1, 999])


def test_the_curve_has_a_point_for_each_round_that_was_checked(job, tmp_path):
    project, scene = job
    answer(project, scene, ids(project, "validation"))
    rounds = []
    for _ in range(3):
        asked = query(project, "kmeans", 8)
        answer(project, scene, asked.tile_ids, asked.round_id)
        train(project)
        rounds.append(asked.round_id)
    query(project, "kmeans", 4)  # not answered yet
    points = draw_scores(project, tmp_path / "curve.png")
    assert points == scored_rounds(project)
    assert [(point.round_id, point.labels, point.validation_labels) for point in points] == [
        (rounds[0], 8, 12),
        (rounds[1], 16, 12),
        (rounds[2], 24, 12),
    ]


def test_the_curve_is_transparent_and_its_ink_suits_the_theme(job, tmp_path):
    project, scene = job
    answer(project, scene, ids(project, "validation"))
    asked = query(project, "kmeans", 8)
    answer(project, scene, asked.tile_ids, asked.round_id)
    train(project)
    brightness = []
    for dark in (False, True):
        draw_scores(project, tmp_path / "curve.png", dark=dark)
        pixels = np.asarray(Image.open(tmp_path / "curve.png").convert("RGBA"))
        assert pixels[0, 0, 3] == 0
        brightness.append(np.median(pixels[pixels[..., 3] == 255][:, :3]))
    assert brightness[0] < 100 < 180 < brightness[1]


@pytest.mark.parametrize(
    ("share", "count", "low", "high"), [(0.9, 10, 0.596, 0.982), (0.0, 10, 0.0, 0.278), (1.0, 400, 0.990, 1.0)]
)
def test_the_interval_of_a_share_is_wilsons(share, count, low, high):
    assert wilson_interval(share, count) == pytest.approx((low, high), abs=0.001)


class SmallHelpings(StatisticsEncoder):
    tiles_together = 5

    def __init__(self):
        super().__init__()
        self.helpings = []

    def _forward(self, reflectance):
        self.helpings.append(len(reflectance))
        return super()._forward(reflectance)


def test_a_chunk_is_encoded_in_pieces_between_which_one_can_stop(tmp_path):
    scene = make_scene(tmp_path)
    with new_project(tmp_path / "p.gpkg") as project:
        tile_rasters(project, [scene.raster])
        encoder = SmallHelpings()
        with pytest.raises(Cancelled):
            embed(project, encoder, "statistics", Monitor(is_cancelled=lambda: len(encoder.helpings) == 3))
        assert len(encoder.helpings) == 3
        in_pieces = np.array(embed(project, SmallHelpings(), "statistics").matrix)
        for file in (project.folder / "embeddings").glob("*.npy"):
            file.unlink()
        at_once = embed(project, StatisticsEncoder(), "statistics").matrix
        np.testing.assert_array_equal(in_pieces, at_once)
