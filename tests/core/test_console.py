"""What the commands print for people and for programs."""

import json

import numpy as np

from quadrat.core.cli.console import Console


def test_json_has_null_for_what_is_no_number(capsys):
    values = {"score": float("nan"), "curve": [{"f1": np.float64("nan")}, (float("inf"), 0.5)], "name": "NaN"}
    Console(json=True).result(values)
    printed = json.loads(capsys.readouterr().out, parse_constant=lambda constant: f"{constant} is no JSON")
    assert printed == {"score": None, "curve": [{"f1": None}, [None, 0.5]], "name": "NaN"}
