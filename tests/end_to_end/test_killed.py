"""kill -9 in the middle of any step: the same command finishes afterwards, and no answer is missing."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import pytest

from quadrat.core.embedding import load_embeddings
from quadrat.core.project.answers import current_answers, history
from quadrat.core.project.results import read_predictions
from quadrat.core.project.store import Project

from ..core.geopackage_check import problems
from ..core.scene_factory import SPECTRA, make_scene, read_layer

# Where in a command's work it is killed, as a share of its steps.
PLACES = (0.02, 0.3, 0.6, 0.85, 0.97, 0.995)
STEPS = {
    "tile": ["tile", "p.gpkg", "scene.tif", "--validation", "0.25"],
    "embed": ["embed", "p.gpkg", "--encoder", "statistics"],
    "query": ["query", "p.gpkg", "--budget", "10"],
    "label": ["label", "p.gpkg", "answers.csv"],
    "train": ["train", "p.gpkg"],
    "predict": ["predict", "p.gpkg"],
    "export": ["export", "p.gpkg", "labels.gpkg"],
    "export chips": ["export", "p.gpkg", "chips"],
}


class Engine:
    """The command line in processes that can be killed at a step."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, Path(__file__).with_name("kill_server.py"), folder]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, arguments, kill_at=None):
        self.process.stdin.write(json.dumps({"arguments": arguments, "kill_at": kill_at}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """The state of the project before each step, and how many steps each takes."""
    home = tmp_path_factory.mktemp("killed")
    work = home / "work"
    work.mkdir()
    scene = make_scene(work, rows=12, cols=12)
    (work / "classes.txt").write_text("\n".join(SPECTRA))
    with (work / "answers.csv").open("w", newline="") as file:
        rows = [(row, col, label) for (row, col), label in scene.labels.items()]
        csv.writer(file).writerows([("row", "col", "label"), *rows])
    engine = Engine(work)
    assert engine.run(["init", "p.gpkg", "--classes", "classes.txt"])["status"] == 0
    counts = {}
    for name, arguments in STEPS.items():
        shutil.copytree(work, home / name)
        done = engine.run(arguments)
        assert done["status"] == 0, name
        counts[name] = done["steps"]
    yield home, engine, counts
    engine.process.stdin.close()
    engine.process.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", STEPS)
def test_a_killed_step_is_finished_by_the_same_command(stages, name, place):
    home, engine, counts = stages
    work = home / "work"
    shutil.rmtree(work)
    shutil.copytree(home / name, work)
    with Project.open(work / "p.gpkg", writable=False) as project:
        before = history(project)
    killed = engine.run(STEPS[name], kill_at=max(1, int(counts[name] * place)))
    assert killed["status"] == -9
    with Project.open(work / "p.gpkg") as project:
        after_kill = history(project)
    assert after_kill[: len(before)] == before
    assert len(after_kill) - len(before) in (0, 144 if name == "label" else 0)
    if name == "label" and len(after_kill) > len(before):
        return  # all of it was recorded before the kill; nothing is left to do again
    assert engine.run(STEPS[name])["status"] == 0
    check(work, name)


def check(work, name):
    """What must be there after a step."""
    assert problems(work / "p.gpkg") == []
    with Project.open(work / "p.gpkg") as project:
        assert len(project.tiles()) == len(read_layer(project, layer="tiles")) == 144
        assert len(read_layer(project, layer="labelled_tiles")) == len(current_answers(project))
        if name == "embed":
            assert len(load_embeddings(project).tile_ids) == 144
        if name == "label":
            assert len(current_answers(project)) == 144
        if name == "predict":
            assert len(read_predictions(project)) == 144
            assert len(read_layer(project, layer="predicted_tiles")) == 144
        if name == "export":
            assert len(gpd.read_file(work / "labels.gpkg")) == 144
        if name == "export chips":
            assert len(list((work / "chips").rglob("*.tif"))) == 144
