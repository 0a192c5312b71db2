"""The whole job in the whole desktop, and what it left behind, seen by programs that know nothing of QGIS."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import geopandas as gpd
import pytest

from .desktop import ROOT, run_in_desktop

AQUILEIA = ROOT.parent / "shared" / "data" / "scenes" / "aquileia_20190416_L2A_12b_utm33n.tif"


@pytest.fixture
def raster(tmp_path):
    """A real scene where there is one, else a made landscape."""
    if AQUILEIA.exists():
        return AQUILEIA
    from quadrat.core.demo.scene import make_scene

    return make_scene(tmp_path, size_px=1280, seed=0).raster


@pytest.mark.timeout(1800)
def test_the_whole_job_by_keys_and_mouse(raster, tmp_path):
    out = tmp_path / "out"
    found = run_in_desktop("full_run", {"raster": str(raster)}, out=out, timeout_s=1500)
    for mode in ("single", "multi"):
        project, answers = Path(found[mode]["project"]), found[mode]["answers"]
        labelled = gpd.read_file(project, layer="labelled_tiles")
        assert len(labelled) == sum(answers[kind] for kind in ("labelled", "none", "skipped", "unsure"))
        tiles = answers["pool"] + answers["validation"]
        assert len(gpd.read_file(project, layer="predicted_tiles")) == tiles
        exported = gpd.read_file(found[mode]["exported"])
        assert len(exported) >= answers["labelled"]
        assert exported.crs == labelled.crs
        assert set(exported.geometry.geom_type) == {"Polygon"}
        with sqlite3.connect(project) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert connection.execute("SELECT count(*) FROM rounds").fetchone()[0] >= 2
        assert not project.with_name(project.name + "-wal").exists(), "the file is still open somewhere"
    single = found["single"]["answers"]
    assert (single["unsure"], single["none"]) == (1, 1)
    with sqlite3.connect(found["single"]["project"]) as connection:  # a skipped tile may be asked again, and answered
        skips = connection.execute("SELECT count(*) FROM label_events WHERE answer = 'skip'").fetchone()[0]
    assert skips >= 1
