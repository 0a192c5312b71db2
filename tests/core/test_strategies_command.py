"""`quadrat strategies`, and the help of `quadrat query`, which tells of the query functions without loading them."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from quadrat.core.cli import app
from quadrat.core.cli.query_functions import QUERY_FUNCTIONS, in_short
from quadrat.core.strategies.registry import STRATEGIES


def run(*arguments, status=0):
    """What the command says, on a terminal of 200 columns."""
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert done.exit_code == status, done.output
    return done.output


def test_the_help_of_query_is_in_step_with_the_registry():
    known = {name: in_short(STRATEGIES.find(name)) for name in STRATEGIES.names()}
    table = "\n".join(f'    "{name}": "{notes}",' for name, notes in known.items())
    assert known == QUERY_FUNCTIONS, f"QUERY_FUNCTIONS in core/cli/query_functions.py should be:\n{table}"


def test_the_help_of_query_shows_every_function_with_its_parameters():
    said = run("query", "--help")
    for name, notes in QUERY_FUNCTIONS.items():
        assert (f" {name} ({notes})" if notes else f" {name}") in said


def test_the_help_of_query_and_of_strategies_does_not_load_the_query_functions():
    for command in ("query", "strategies"):
        code = (
            f"import sys; sys.argv = ['quadrat', '{command}', '--help']\n"
            "from quadrat.core.cli import main\n"
            "try:\n    main()\n"
            "except SystemExit:\n    pass\n"
            "sys.exit(' '.join({'torch', 'numpy', 'scipy', 'sklearn'} & set(sys.modules)) or 0)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_all_functions_are_listed_with_what_they_ask_for_modes_cost_and_source():
    said = run("strategies")
    lines = {line.split()[0]: line for line in reversed(said.splitlines()) if line.split()}
    for name in STRATEGIES.names():
        entry = STRATEGIES.find(name)
        for fact in (entry.modes[0], entry.summary.split()[0], entry.cost.split()[0], entry.source.split()[0]):
            assert fact in lines[name]


def test_the_list_can_be_cut_to_a_label_mode():
    single, multi = run("strategies", "--mode", "single"), run("strategies", "--mode", "multi")
    assert "cvirs" not in single
    assert "cvirs" in multi
    assert "margin" in single


def test_one_function_is_explained_with_parameters_defaults_and_limits():
    said = run("strategies", "mcfps:paper")
    assert said.startswith("mcfps:paper: MCFPS as published")
    assert "-p average=logits (one of probabilities, logits)" in said
    assert "-p sure=0.8 (from 0 to 1)" in said
    assert "-p skip_for_good=true (true or false)" in said
    assert "linear:paper" in said
    assert "mcfps:paper" in run("strategies", "mcfps")


def test_programs_get_the_same_as_json():
    found = json.loads(run("strategies", "--json", "--quiet").splitlines()[-1])
    assert [item["name"] for item in found["strategies"]] == list(STRATEGIES.names())
    one = json.loads(run("strategies", "bald+clustering", "--json", "--quiet").splitlines()[-1])["strategies"]
    assert one[0]["parameters"] == {"multiple": 3, "passes": 10}
    assert one[0]["limits"] == {"multiple": "at least 1", "passes": "at least 2"}
    assert {*found["default"].values(), found["cold_start"]} <= {item["name"] for item in found["strategies"]}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mcpfs",), "Did you mean mcfps?"),
        (("--mode", "both"), "--mode single or --mode multi"),
        (("cvirs", "--mode", "single"), "does not work with single-label"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_hint(arguments, said):
    assert said in run("strategies", *arguments, status=2)
