"""The measurement of a whole product tells its tiles, its time, and where that went."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from quadrat.core.architectures import build_network
from quadrat.core.bench.granule import measure_product, run_granule
from quadrat.core.bench.safe import write_safe
from quadrat.core.errors import Cancelled
from quadrat.core.monitor import Monitor

ENCODER = """
name = "tiny"
architecture = "squeezenet1_1"
weights = "weights.pth"
[input]
bands = ["B04", "B11"]
unit = "reflectance"
mean = [0.1, 0.1]
std = [0.1, 0.1]
size_px = 64
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    torch.save(build_network("squeezenet1_1", 2).state_dict(), folder / "weights.pth")
    (folder / "tiny.toml").write_text(ENCODER)
    return run_granule(str(folder / "tiny.toml"), size_px=576)


def test_every_tile_of_the_product_is_embedded_from_the_bands_of_the_encoder(report):
    assert report.tiles == 81
    assert report.bands == ("B04", "B11")
    assert report.encoder == "tiny"
    assert report.rate == pytest.approx(81 / report.embedding_seconds)
    assert report.ratio == pytest.approx(report.rate / report.bare_rate)


def test_the_report_says_where_the_time_goes(report):
    assert {"reading the files of the bands", "resampling to 10 m", "network"} <= set(report.alone)
    assert all(seconds >= 0 for seconds in report.alone.values())
    said = "\n".join(report.lines())
    assert "81 tiles" in said
    assert "resampling to 10 m" in said
    assert f"peak memory of the job {report.peak_mib:.0f} MiB" in said
    assert json.loads(json.dumps(report.as_dict()))["tiles"] == 81


def test_a_measurement_can_be_stopped():
    messages = []
    stop = Monitor(lambda _, message: messages.append(message), lambda: "Tiling and embedding" in messages)
    with pytest.raises(Cancelled):
        run_granule("statistics", size_px=192, monitor=stop)


def test_the_command_has_the_option():
    done = subprocess.run([sys.executable, "-m", "quadrat.core", "bench", "--help"], capture_output=True, text=True)
    assert "--granule" in done.stdout, done.stderr


def test_an_encoder_without_a_network_is_measured_too(tmp_path):
    product = write_safe(tmp_path, size_px=192)
    report = measure_product(product, "statistics", "cpu", tmp_path)
    assert report.tiles == 9
    assert report.ratio is None
    assert np.isfinite(report.alone["computing vectors"])
