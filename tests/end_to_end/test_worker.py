"""The worker as QGIS meets it: a process of its own, spoken to through its pipes."""

import itertools
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from safetensors.numpy import load_file

from quadrat.core.project.store import Project

from ..core import geopackage_check
from ..core.job import answer, ids
from ..core.raster_factory import make_raster
from ..core.scene_factory import make_scene
from .worker_client import new_project, ready

SEEDS = itertools.count(100)

posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


def test_hello_says_what_the_worker_runs_on(worker):
    hello = worker.call("hello")
    assert (hello["name"], hello["protocol"], hello["pid"]) == ("quadrat", 1, worker.process.pid)
    assert Path(hello["executable"]) == Path(sys.executable)
    assert hello["device"] == ("cpu" if hello["gpu"] is None else "cuda")
    assert bool(hello["gpu_reason"]) == (hello["gpu"] is None)
    assert 0 < hello["memory_free"] < hello["memory_total"]
    assert hello["cores"] >= 1
    assert hello["torch"]
    assert hello["torchvision"]


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_the_whole_job(worker, folder, mode):
    path, made = new_project(folder, mode)
    tiled = worker.call("tile", project=path, rasters=[made.raster], validation=0.25)["rasters"]
    assert [(r["state"], r["pool"], r["validation"], r["excluded"]) for r in tiled] == [("new", 36, 12, 0)]
    assert worker.call("embed", project=path, encoder="statistics") == {
        "encoder": "statistics",
        "tiles": 48,
        "dimension": 16,
    }
    first = worker.call("query", project=path, budget=8)
    # uherding needs no labels to begin with.
    chosen = ("margin+clustering", "kmeans") if mode == "single" else ("uherding", "uherding")
    assert (first["strategy"], first["chosen_by"], first["eligible"]) == (*chosen, 36)
    assert worker.call("suggest", project=path, tiles=first["tiles"]) == {"suggestions": []}
    check = worker.call("query", project=path, budget=12, validation=True)
    with Project.open(path) as project:
        answer(project, made, first["tiles"], first["round"])
        answer(project, made, check["tiles"], check["round"])
    trained = worker.call("train", project=path)
    assert (trained["labels"], trained["validation_labels"]) == (8, 12)
    assert trained["metrics"]["macro_f1"] > 0.5
    assert trained["interval"][0] < trained["metrics"][drawn_score(mode)] <= trained["interval"][1]
    assert (trained["agreement"], trained["advice"]["stop"]) == (None, False)
    assert worker.call("train", project=path, goal=0.1)["advice"]["stop"]
    second = worker.call("query", project=path, budget=8, strategy="mcfps", parameters={"neighbours": 5})
    assert second["chosen_by"] == "mcfps"
    assert not set(first["tiles"]) & set(second["tiles"])
    suggested = worker.call("suggest", project=path, tiles=second["tiles"])["suggestions"]
    check_suggestions(suggested, second["tiles"], mode)
    predicted = worker.call("predict", project=path)
    assert (predicted["tiles"], predicted["labels"]) == (48, 8)
    exported = worker.call("export", project=path, out=folder / "map é.gpkg", layer="predictions")
    assert len(gpd.read_file(exported["path"])) == exported["tiles"] == 48
    drawn = worker.call("curve", project=path, out=folder / "curve.png", dark=True)
    assert [(p["round"], p["labels"], p["validation_labels"]) for p in drawn["points"]] == [(first["round"], 8, 12)]
    assert drawn["score_name"] == drawn_score(mode)
    assert drawn["points"][0]["interval"] == trained["interval"]
    assert Path(drawn["path"]).read_bytes().startswith(b"\x89PNG")
    assert not geopackage_check.problems(path)


def drawn_score(mode):
    return "accuracy" if mode == "single" else "micro_f1"


def check_suggestions(suggested, tile_ids, mode):
    with_classes = {item["tile_id"]: item["classes"] for item in suggested}
    assert list(with_classes) == tile_ids
    for classes in with_classes.values():
        shares = [share for _, share in classes]
        assert shares == sorted(shares, reverse=True)
        if mode == "single":
            assert 1 <= len(classes) <= 3
        else:
            assert all(share > 0.5 for share in shares)
    assert any(with_classes.values())


def test_suggestions_are_those_of_the_learner_that_was_named(worker, folder):
    path, made = ready(worker, folder)
    worker.call("query", project=path, budget=4, learner="linear:paper")
    (head,) = (path.with_suffix(".quadrat") / "models").glob("fit-*")
    with Project.open(path) as project:
        pool_ids = ids(project, "pool")
    suggested = worker.call("suggest", project=path, tiles=pool_ids)["suggestions"]
    assert list((path.with_suffix(".quadrat") / "models").glob("fit-*")) == [head]
    with Project.open(path) as project:
        names = {item.class_id: item.name for item in project.classes()}
        tiles = {tile.tile_id: tile for tile in project.tiles()}
    right = [
        made.labels[tiles[s["tile_id"]].row, tiles[s["tile_id"]].col] == names[s["classes"][0][0]] for s in suggested
    ]
    assert np.mean(right) > 0.8
    assert "number 999" in worker.refuse("suggest", project=path, tiles=[999])["message"]


def test_what_is_kept_warm_never_outlives_the_tiles_it_belongs_to(worker, folder):
    path, _ = ready(worker, folder)
    assert worker.call("query", project=path, budget=4)["eligible"] == 24
    other = make_scene(folder, name="other", seed=1)
    worker.call("tile", project=path, rasters=[other.raster])
    assert "embed" in worker.refuse("query", project=path, budget=4)["data"]["hint"]
    worker.call("embed", project=path, encoder="statistics")
    assert worker.call("query", project=path, budget=4)["eligible"] == 24 + 36  # 12 show ground that checks


def test_a_raster_can_be_looked_at_before_it_is_tiled(worker, folder):
    made = make_scene(folder)
    seen = worker.call("inspect", raster=made.raster)
    assert (seen["name"], seen["width"], seen["height"], seen["tiles"]) == ("scene.tif", 512, 384, 48)
    assert (seen["crs"], seen["geographic"], seen["pixel_size"]) == ("EPSG:32633", False, [10.0, 10.0])
    assert [band["name"] for band in seen["bands"]] == ["B02", "B03", "B04", "B08"]
    assert (seen["scale"], seen["offset"], seen["nodata"], seen["problem"]) == (0.0001, 0.0, 0.0, None)
    assert worker.call("inspect", raster=made.raster, tile_size=128)["tiles"] == 12


def test_bands_that_are_not_recognised_are_a_problem_that_naming_them_solves(worker, folder):
    raster = make_raster(folder / "stack.tif", bands=("one", "B03", ""), width=64, height=64)
    seen = worker.call("inspect", raster=raster, bands=["B02", "B02", "-"])
    assert "More than one band" in seen["problem"]["message"]
    assert [band["name"] for band in seen["bands"]] == ["B02", "B02", None]
    named = worker.call("inspect", raster=raster, bands=["B02", "-", "B04"])
    assert named["problem"] is None
    assert [(band["index"], band["description"], band["name"]) for band in named["bands"]] == [
        (1, "one", "B02"),
        (2, "B03", None),
        (3, "", "B04"),
    ]
    nameless = make_raster(folder / "nameless.tif", bands=None, width=64, height=64)
    assert worker.call("inspect", raster=nameless)["problem"]["hint"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"crs": None}, "no coordinate reference system"),
        ({"dtype": "uint8", "values": 90.0}, "8-bit"),
        ({"width": 40}, "less than a tile"),
    ],
)
def test_what_is_wrong_with_a_raster_is_told_beside_its_facts(worker, folder, options, said):
    raster = make_raster(folder / "odd.tif", **{"height": 64, **options})
    seen = worker.call("inspect", raster=raster)
    assert said in seen["problem"]["message"]
    assert seen["tiles"] == 0
    assert len(seen["bands"]) == 3


def test_a_raster_in_degrees_is_marked(worker, folder):
    raster = make_raster(folder / "degrees.tif", crs="EPSG:4326", transform=Affine(1e-4, 0, 13, 0, -1e-4, 45))
    seen = worker.call("inspect", raster=raster)
    assert (seen["geographic"], seen["crs"]) == (True, "EPSG:4326")


def test_query_functions_and_encoders_are_listed(worker):
    found = worker.call("strategies", mode="single")
    by_name = {item["name"]: item for item in found["strategies"]}
    assert {found["default"], found["cold_start"], "mcfps:paper"} <= set(by_name)
    assert by_name["mcfps"]["parameters"]["neighbours"] == 15
    assert by_name["mcfps"]["summary"] != by_name["mcfps:paper"]["summary"]
    encoders = worker.call("encoders")
    first = encoders["encoders"][0]
    assert (encoders["default"], encoders["best"]) == ("auto", "")
    assert (first["name"], first["available"], first["dimension"]) == ("statistics", True, None)
    resnet = next(item for item in encoders["encoders"] if item["name"] == "resnet50-imagenet")
    assert resnet["dimension"] == 2048
    assert resnet["available"] or resnet["downloadable"]


def test_the_doctor_looks_at_the_folder(worker, folder):
    checks = worker.call("doctor", folder=folder)["checks"]
    assert {"Python", "torch", "GPU", "Disk"} <= {check["name"] for check in checks}


def test_a_curve_without_a_checked_round_is_not_drawn(worker, folder):
    path, _ = ready(worker, folder)
    drawn = worker.call("curve", project=path, out=folder / "curve.png")
    assert (drawn["path"], drawn["points"]) == (None, [])
    assert not (folder / "curve.png").exists()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"not json", -32700),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "hello"', -32700),
        (b"\xff\xfe\x00", -32700),
        (b"[" * 100_000, -32700),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "hello", "params": {"x": NaN}}', -32700),
        (b"[1, 2]", -32600),
        (b"7", -32600),
        (b'{"jsonrpc": "1.0", "id": "odd", "method": "hello"}', -32600),
        (b'{"jsonrpc": "2.0", "id": "odd", "method": 7}', -32600),
        (b'{"jsonrpc": "2.0", "id": [1], "method": "hello"}', -32600),
        (b'{"jsonrpc": "2.0", "id": "odd", "result": {}}', -32600),
        (b'{"jsonrpc": "2.0", "id": "odd", "method": "train", "params": ["p.gpkg"]}', -32602),
        (b'{"jsonrpc": "2.0", "id": "odd", "method": "trian"}', -32601),
    ],
)
def test_what_is_no_request_is_refused_and_the_worker_goes_on(worker, line, code):
    worker.write(line)
    message = worker.receive()
    assert message["error"]["code"] == code
    assert message["id"] == ("odd" if b'"odd"' in line else None)
    assert worker.call("hello")["name"] == "quadrat"


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, ("'project'", "")),
        ({"project": "p.gpkg", "bugdet": 8}, ("'bugdet'", "budget")),
        ({"project": "p.gpkg", "budget": "8"}, ("budget", "whole number")),
        ({"project": "p.gpkg", "budget": 8.5}, ("budget", "whole number")),
        ({"project": "p.gpkg", "budget": True}, ("budget", "whole number")),
        ({"project": "p.gpkg", "budget": None}, ("budget", "whole number")),
        ({"project": "p.gpkg", "budget": 2**70}, ("too large", "smaller")),
        ({"project": "p.gpkg", "seed": -1}, ("seed", "0 or more")),
        ({"project": 7}, ("project", "path")),
        ({"project": "p.gpkg", "parameters": []}, ("parameters", "object")),
        ({"project": "p.gpkg", "validation": 1}, ("validation", "true or false")),
    ],
)
def test_parameters_are_checked_before_anything_begins(worker, params, said):
    error = worker.refuse("query", **params)
    assert error["code"] == -32602
    assert said[0] in error["message"]
    assert said[1] in error["data"]["hint"]


def test_lists_are_checked_item_by_item(worker):
    error = worker.refuse("tile", project="p.gpkg", rasters=["a.tif", 7])
    assert (error["code"], "rasters[1]" in error["message"]) == (-32602, True)


def test_notifications_that_nobody_knows_get_no_reply(worker):
    worker.write({"jsonrpc": "2.0", "method": "train", "params": {}})
    worker.cancel(123_456)
    worker.write({"jsonrpc": "2.0", "method": "cancel", "params": {"id": {}}})
    hello = worker.send("hello")
    assert worker.receive()["id"] == hello


def test_errors_name_their_kind_and_what_to_do(worker, folder):
    path, made = new_project(folder)
    raised = {
        "project": worker.refuse("train", project=folder / "nowhere.gpkg"),
        "imagery": worker.refuse("tile", project=path, rasters=[folder / "nowhere.tif"]),
        "usage": worker.refuse("tile", project=path, rasters=[made.raster], validation=7.0),
    }
    worker.call("tile", project=path, rasters=[made.raster])
    raised["encoder"] = worker.refuse("embed", project=path, encoder="resnet51")
    worker.call("embed", project=path, encoder="statistics")
    raised["learning"] = worker.refuse("train", project=path)
    for kind, error in raised.items():
        assert (error["code"], error["data"]["kind"]) == (-32000, kind)
        assert error["message"].endswith(".")
        assert error["data"]["hint"]


def test_a_project_of_a_newer_quadrat_is_refused(worker, folder):
    path, _ = new_project(folder)
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE quadrat SET value = '99' WHERE key = 'schema_version'")
    assert worker.refuse("train", project=path)["data"]["kind"] == "project"


def test_what_nobody_foresaw_is_told_with_its_traceback(worker):
    error = worker.refuse("doctor", folder="a\0b")
    assert (error["code"], error["data"]["kind"]) == (-32603, "unforeseen")
    assert "Traceback" in error["data"]["details"]
    assert worker.call("hello")


def test_progress_and_remarks_come_before_the_reply(worker, folder):
    path, made = new_project(folder)
    request = worker.send("tile", project=path, rasters=[made.raster])
    before = len(worker.seen)
    worker.reply(request)
    *told, reply = worker.seen[before:]
    assert "result" in reply
    progress = [m["params"] for m in told if m["method"] == "progress"]
    remarks = [m["params"] for m in told if m["method"] == "log"]
    assert progress[-1]["fraction"] > 0.85
    assert {p["id"] for p in (*progress, *remarks)} == {request}
    assert any("B02, B03, B04, B08" in remark["message"] for remark in remarks)


def test_two_requests_are_worked_on_in_order_and_hello_does_not_wait(worker, folder, large_raster):
    worker.call("hello")
    path, _ = new_project(folder)
    tile = worker.send("tile", project=path, rasters=[large_raster])
    embed = worker.send("embed", project=path, encoder="statistics")
    hello = worker.send("hello")
    replies = []
    while len(replies) < 3:
        message = worker.receive()
        if "method" not in message:
            assert "result" in message
            replies.append(message["id"])
    assert replies.index(tile) < replies.index(embed)
    assert replies[0] == hello


def test_a_number_that_waits_for_its_reply_cannot_be_used_again(worker, folder):
    path, made = new_project(folder)
    request = worker.send("tile", project=path, rasters=[made.raster])
    worker.write({"jsonrpc": "2.0", "id": request, "method": "hello"})
    assert worker.reply(None)["error"]["code"] == -32600
    assert "result" in worker.reply(request)


def test_a_round_may_have_another_learner_and_what_follows_keeps_it(worker, folder):
    path, _ = ready(worker, folder)
    offered = {item["name"]: item for item in worker.call("learners", mode="single")["learners"]}
    assert {"auto", "linear", "hidden", "semi_supervised", "finetune", "fixmatch"} <= set(offered)
    assert offered["hidden"]["parameters"]["hidden"] > 1
    worker.call("query", project=path, budget=4, learner="hidden", learner_parameters={"hidden": 8})
    worker.call("train", project=path)
    (head,) = (path.with_suffix(".quadrat") / "models").glob("fit-*")
    assert load_file(head / "head.safetensors")["hidden_weight"].shape[0] == 8
    assert "hidden" in worker.refuse("query", project=path, budget=4, learner="hiden")["data"]["hint"]
