"""The command line as a user meets it: in a process of its own, by its words, exit status and files."""

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import pytest

import quadrat

from ..core.raster_factory import make_raster
from ..core.scene_factory import SPECTRA, make_scene

ROOT = Path(quadrat.__file__).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def run(folder, *arguments, status=0):
    """``python -m core`` in a folder; standard output, standard error."""
    command = [sys.executable, "-m", "core", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == status, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout, done.stderr


def run_json(folder, *arguments, status=0):
    """The same with ``--json``: the object in the last line."""
    return json.loads(run(folder, *arguments, "--json", status=status)[0].splitlines()[-1])


@pytest.fixture
def folder(tmp_path):
    """A folder with a scene, its classes and its truth; its name is not kind to programs."""
    folder = tmp_path / 'Wörk \'n "data" 🌍'
    folder.mkdir()
    make_scene(folder, rows=6, cols=8)
    (folder / "classes.txt").write_text("\n".join(SPECTRA), encoding="utf-8")
    return folder


def fill_in(folder, sheet="answers.csv", truth="scene.truth.csv"):
    """Write the truth into the sheet's column of labels, as an analyst would."""
    with (folder / truth).open(encoding="utf-8") as file:
        labels = {(row["row"], row["col"]): row["label"] for row in csv.DictReader(file)}
    with (folder / sheet).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (folder / sheet).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"label": labels[row["row"], row["col"]]} for row in rows)


def test_the_whole_job_from_a_raster_to_a_map(folder):
    run(folder, "init", "p.gpkg", "--classes", "classes.txt")
    tiled = run_json(folder, "tile", "p.gpkg", "scene.tif", "--validation", "0.25")
    assert (tiled["rasters"][0]["pool"], tiled["rasters"][0]["validation"]) == (36, 12)
    assert run_json(folder, "embed", "p.gpkg", "--encoder", "statistics")["dimension"] == 16
    for strategy in ("margin", "mcfps"):
        run(folder, "query", "p.gpkg", "--strategy", strategy, "-b", "8", "--out", "answers.csv")
        fill_in(folder)
        assert run_json(folder, "label", "p.gpkg", "answers.csv")["imported"] == 8
    run(folder, "query", "p.gpkg", "--validation", "-b", "12", "--out", "check.csv")
    fill_in(folder, "check.csv")
    run(folder, "label", "p.gpkg", "check.csv")
    trained = run_json(folder, "train", "p.gpkg")
    assert (trained["labels"], trained["validation_labels"]) == (16, 12)
    assert trained["accuracy"] > 0.8
    assert trained["interval"][0] < trained["accuracy"] <= trained["interval"][1]
    assert "too little is known" in trained["advice"]["reason"]
    assert "Stop: even the lower end" in run(folder, "train", "p.gpkg", "--goal", "0.3")[0]
    run(folder, "train", "p.gpkg", "--goal", "90", status=2)
    assert sum(run_json(folder, "predict", "p.gpkg")["per_class"].values()) == 48
    for out, layer, count in (
        ("labels.gpkg", "labels", 28),
        ("map.parquet", "predictions", 48),
        ("chips", "labels", 28),
    ):
        assert run_json(folder, "export", "p.gpkg", out, "--layer", layer)["tiles"] == count
    assert len(gpd.read_parquet(folder / "map.parquet")) == 48
    assert not list(folder.glob("p.gpkg-*"))


def test_a_round_can_be_shown_again_as_a_sheet(folder):
    run(folder, "init", "p.gpkg", "--classes", "classes.txt")
    run(folder, "tile", "p.gpkg", "scene.tif")
    run(folder, "embed", "p.gpkg", "--encoder", "statistics")
    assert "no round yet" in run(folder, "query", "p.gpkg", "--again", status=1)[1]
    first = run_json(folder, "query", "p.gpkg", "-b", "5")
    again = run_json(folder, "query", "p.gpkg", "--again", "--out", "sheet.csv")
    assert [tile["tile_id"] for tile in again["tiles"]] == [tile["tile_id"] for tile in first["tiles"]]
    assert again["round"] == first["round"]


def test_a_run_from_a_file_prints_the_learning_curve(folder):
    (folder / "run.toml").write_text(
        'project = "p.gpkg"\nrasters = ["scene.tif"]\nclasses = "classes.txt"\n[tile]\nvalidation = 0.25\n'
        '[query]\nbudget = 6\nrounds = 2\n[oracle]\ntruth = "scene.truth.csv"\n'
    )
    out, _ = run(folder, "run", "run.toml")
    assert "accuracy on the validation sample" in out
    assert (folder / "results" / "learning_curve.svg").exists()


def test_the_demo_ends_with_where_things_are_and_what_to_do_next(tmp_path):
    out, _ = run(tmp_path, "demo", "--out", "demo", "--size", "640")
    assert "random" in out
    assert out.rstrip().splitlines()[-1].strip().startswith("quadrat query")
    for name in ("demo.gpkg", "map.png", "labels.gpkg", "predictions.geojson", "comparison/learning_curve.png"):
        assert (tmp_path / "demo" / name).stat().st_size > 0
    again, _ = run(tmp_path, "demo", "--out", "demo", "--size", "640")
    assert again == out
    assert "another landscape" in run(tmp_path, "demo", "--out", "demo", "--size", "704", status=2)[1]


def test_the_doctor_finds_this_installation_well():
    report = run_json(ROOT, "doctor")
    assert report["ok"]
    assert {"Python", "torch", "torchvision", "GDAL", "SQLite"} <= {check["name"] for check in report["checks"]}


def test_bench_measures_a_raster_with_its_truth(folder):
    report = run_json(folder, "bench", "--raster", "scene.tif", "--truth", "scene.truth.csv")
    assert {item["step"] for item in report["measurements"]} >= {"tile", "predict and write all tiles"}
    assert "--truth" in run(folder, "bench", "--raster", "scene.tif", status=2)[1]


def test_bench_measures_what_is_asked_for_as_a_table_and_as_json(tmp_path):
    small = ("bench", "--size", "300", "--dim", "8", "-b", "5", "--labelled", "20", "--device", "cpu", "--only")
    out, table = run(tmp_path, *small, "margin", "--only", "fps", "--mode", "multi", "--no-peers", "--json")
    found = json.loads(out.splitlines()[-1])
    assert {line.split()[0] for line in table.splitlines() if " yes" in line} == {"fps", "margin"}
    assert (found["setting"]["size"], found["setting"]["mode"], found["peer"]) == (300, "multi", "")
    assert [item["plain"]["same"] for item in found["measured"]] == [True, True]
    assert run_json(tmp_path, *small, "margin", "--growth")["growth"][0]["sizes"] == [300, 900, 3000]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["init", "p.gpkg", "--classes", "eurosat-11"], 2, "eurosat-10"),
        (["init", "p.gpkg", "--classes", "classes.txt", "--mode", "double"], 2, "single or multi"),
        (["init", "scene.tif", "--classes", "classes.txt"], 1, "scene.tif"),
        (["tile", "missing.gpkg", "scene.tif"], 1, "missing.gpkg"),
        (["tile", "scene.tif", "scene.tif"], 1, "scene.tif"),
        (["query", "p.gpkg", "--budget", "many"], 2, "--budget"),
        (["dance"], 2, "dance"),
        (["run", "missing.toml"], 2, "missing.toml"),
    ],
)
def test_errors_say_what_to_do_and_set_the_exit_status(folder, arguments, status, said):
    out, err = run(folder, *arguments, "--json", status=status)
    assert said in err
    error = json.loads(out.splitlines()[-1])["error"]
    assert error["kind"]
    assert error["message"]
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("raster", "options", "said"),
    [
        ({"bands": ("gris", "vert", "x")}, [], "--bands"),
        ({"bands": None}, [], "--bands"),
        ({"bands": None}, ["--bands", "B02,B03"], "B02,B03"),
        ({"crs": None}, [], "coordinate reference system"),
        ({"width": 30, "height": 30}, [], "64"),
        ({"dtype": "float32"}, ["--scale", "0.0001"], "--scale"),
        ({"dtype": "uint8", "values": 90.0}, [], "--scale"),
        ({}, ["--aoi", "nowhere.gpkg"], "nowhere.gpkg"),
        ({}, ["--min-valid", "7"], "--min-valid"),
    ],
)
def test_a_raster_that_cannot_be_tiled_is_told_by_a_sentence(folder, raster, options, said):
    run(folder, "init", "p.gpkg", "--classes", "classes.txt")
    make_raster(folder / "bad.tif", **raster)
    err = _failing(folder, "tile", "p.gpkg", "bad.tif", *options)
    assert said in err
    assert "What to do" in err
    assert run_json(folder, "tile", "p.gpkg", "scene.tif")["rasters"][0]["pool"] == 48


def _failing(folder, *arguments):
    command = [sys.executable, "-m", "core", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode in (1, 2), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_project_in_use_elsewhere_is_told_and_keeps_everything(folder):
    run(folder, "init", "p.gpkg", "--classes", "classes.txt")
    other = sqlite3.connect(folder / "p.gpkg", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert "used by another program" in _failing(folder, "tile", "p.gpkg", "scene.tif")
    other.execute("ROLLBACK")
    other.close()
    run(folder, "tile", "p.gpkg", "scene.tif")


def test_wrong_answers_are_all_listed_and_none_is_imported(folder):
    run(folder, "init", "p.gpkg", "--classes", "classes.txt")
    run(folder, "tile", "p.gpkg", "scene.tif")
    (folder / "answers.csv").write_text("tile_id,label\n1,Water\n2,Lava\n999,Town\n")
    err = _failing(folder, "label", "p.gpkg", "answers.csv")
    assert "line 3: class 'Lava'" in err
    assert "line 4: the project has no such tile" in err
    (folder / "good.csv").write_text("tile_id,label\n1,Water\n")
    assert run_json(folder, "label", "p.gpkg", "good.csv")["answered"]["pool"] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_an_interrupted_run_ends_with_130_and_can_go_on(tmp_path):
    command = [sys.executable, "-m", "core", "demo", "--out", "demo", "--size", "512", "--json"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell makes its background jobs deaf to Ctrl+C, and a test run may be one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr
    process.stderr.readline()  # the first line of progress: it is at work
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    assert process.returncode == 130
    assert json.loads(out.splitlines()[-1])["error"]["kind"] == "cancelled"
    run(tmp_path, "demo", "--out", "demo", "--size", "512")


def test_help_does_not_import_the_heavy_libraries():
    code = (
        "import sys; sys.argv = ['quadrat', '--help']\n"
        "from quadrat.core.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'rasterio', 'geopandas', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_package_lists_every_subpackage():
    import tomllib

    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {
        "quadrat." + folder.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for top in ("core", "resources")
        for folder in (ROOT / top).rglob("__init__.py")
    }
    assert found <= listed


def test_no_round_is_recorded_for_a_sheet_that_cannot_be_written(folder):
    run(folder, "init", "p.gpkg", "--classes", "classes.txt")
    run(folder, "tile", "p.gpkg", "scene.tif")
    run(folder, "embed", "p.gpkg", "--encoder", "statistics")
    (folder / "sheets").mkdir()
    assert "cannot be written" in run(folder, "query", "p.gpkg", "--out", "sheets", status=2)[1]
    assert "no round yet" in run(folder, "query", "p.gpkg", "--again", status=1)[1]


def test_answers_from_a_sheet_belong_to_its_round(folder):
    run(folder, "init", "p.gpkg", "--classes", "classes.txt")
    run(folder, "tile", "p.gpkg", "scene.tif")
    run(folder, "embed", "p.gpkg", "--encoder", "statistics")
    asked = run_json(folder, "query", "p.gpkg", "-b", "4", "--out", "answers.csv")
    fill_in(folder)
    run(folder, "label", "p.gpkg", "answers.csv")
    with sqlite3.connect(folder / "p.gpkg") as project:
        assert project.execute("SELECT DISTINCT round_id FROM label_events").fetchall() == [(asked["round"],)]


def test_the_version_is_one():
    import tomllib

    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert run(ROOT, "--version")[0].strip() == f"quadrat {listed}"


def test_a_trained_head_that_cannot_be_kept_is_only_a_remark(folder):
    run(folder, "init", "p.gpkg", "--classes", "classes.txt")
    run(folder, "tile", "p.gpkg", "scene.tif")
    run(folder, "embed", "p.gpkg", "--encoder", "statistics")
    run(folder, "label", "p.gpkg", "scene.truth.csv")
    (folder / "p.quadrat" / "models").write_text("in the way")
    _, err = run(folder, "predict", "p.gpkg")
    assert "could not be kept" in err
