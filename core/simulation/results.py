"""What runs leave behind: a file of rows for each of them while they go on, and one table of all in the end.

* ``runs/NAME-KEY.csv``: a finished run, a row a round. The key is made of everything in its plan. While it goes on, the
  file is called ``.part``, so that half a run is never taken for a whole one; it is then made again, with the same
  numbers.
* ``rounds.csv``: the rows of all finished runs, sorted. Its columns are those of :class:`.plan.RoundResult`; a number
  that there is not (NaN) is an empty cell.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from ..catalogue import as_typed
from ..errors import UsageError
from ..learners.registry import LEARNERS
from ..strategies.registry import STRATEGIES
from .plan import COLUMNS, Plan, RoundResult

TABLE = "rounds.csv"
RUNS = "runs"
IDENTITY = ("dataset", "encoder", "variant", "strategy", "learner", "budget", "initial", "initial_by", "seed", "round")
"""The columns that tell which round of which run a row is."""
_run_of = attrgetter(*IDENTITY[:-1])


def plan_facts(plan: Plan) -> dict[str, Any]:
    """Everything that decides a run, with the parameters that are left at their defaults, for JSON.

    Raises:
        UsageError: an unknown query function, learner or parameter.
    """
    facts = {
        **vars(plan),
        "parameters": STRATEGIES.settings(STRATEGIES.find(plan.strategy), plan.parameters),
        "learner": plan.learner.name,
        "learner_parameters": plan.learner.settings(),
    }
    if begun_with := plan.learner.weights_hash:
        facts["weights_sha256"] = begun_with
    return facts


def plan_key(plan: Plan) -> str:
    """Changes with anything in a plan."""
    return hashlib.sha256(json.dumps(plan_facts(plan), sort_keys=True).encode()).hexdigest()


def strategy_label(plan: Plan) -> str:
    """The query function as tables and figures name it: with those parameters that are not the default."""
    return _label(plan.strategy, STRATEGIES.find(plan.strategy).defaults, plan.parameters)


def learner_label(plan: Plan) -> str:
    """The learner in the same way: ``linear``, ``linear:paper``, ``linear(warm=true)``."""
    return _label(plan.learner.name, LEARNERS.find(plan.learner.name).defaults, plan.learner.parameters)


def _label(name: str, defaults: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    changed = [f"{key}={as_typed(value)}" for key, value in sorted(parameters.items()) if value != defaults.get(key)]
    return f"{name}({', '.join(changed)})" if changed else name


def run_file(folder: Path, plan: Plan) -> Path:
    """Where the rows of a run are, when it is finished."""
    said = f"{strategy_label(plan)} {learner_label(plan)} {plan.variant} b{plan.budget} seed{plan.seed}"
    return folder / RUNS / f"{re.sub('[^a-z0-9]+', '-', said.lower())[:80]}-{plan_key(plan)[:12]}.csv"


def write_run(file: Path, results: Iterable[RoundResult]) -> None:
    """Write the rows of a run as they come; under its name there is only ever a finished one.

    Raises:
        UsageError: there is no room, or the folder cannot be written to.
    """
    part = file.with_suffix(".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out)
            writer.writerow(COLUMNS)
            for result in results:
                writer.writerow(_cells(result))
                out.flush()
        part.replace(file)
    except OSError as error:
        raise _not_written(part, error) from error


def join_runs(folder: Path) -> list[RoundResult]:
    """Write the table of all finished runs of a folder, sorted, and return its rows.

    A longer run with the same beginning as another stands for both.

    Raises:
        UsageError: a file is damaged, or the table cannot be written.
    """
    runs: dict[Any, list[RoundResult]] = {}
    for file in sorted((folder / RUNS).glob("*.csv")):
        for run, rounds in groupby(read_results(file), _run_of):
            runs[run] = max(runs.get(run, []), list(rounds), key=len)
    results = [result for run in sorted(runs) for result in runs[run]]
    table = folder / TABLE
    part = table.with_suffix(".part")
    try:
        with part.open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows([COLUMNS, *map(_cells, results)])
        part.replace(table)
    except OSError as error:
        raise _not_written(table, error) from error
    return results


def read_results(path: Path) -> list[RoundResult]:
    """The rows of a results file, or of the ``rounds.csv`` of a folder.

    Raises:
        UsageError: it is not there, or not such a file.
    """
    file = path / TABLE if path.is_dir() else path
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            return [_result(row) for row in csv.DictReader(lines)]
    except FileNotFoundError as error:
        raise UsageError(
            f"There are no results at {path}.", hint="Make them first: quadrat simulate DATASET --out FOLDER."
        ) from error
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise UsageError(
            f"{file.name} in {file.parent} is damaged, or no table of results.",
            hint="Delete it and start the same simulation again; finished runs are not repeated.",
            details=repr(error),
        ) from error


def _cells(result: RoundResult) -> list[Any]:
    values = (getattr(result, name) for name in COLUMNS)
    return ["" if isinstance(value, float) and math.isnan(value) else value for value in values]


def _result(row: Mapping[str, str]) -> RoundResult:
    return RoundResult(**{name: _READERS[kind](row[name]) for name, kind in _KINDS.items()})


def _read_bool(text: str) -> bool:
    return {"True": True, "False": False}[text]


def _read_float(text: str) -> float:
    return float(text) if text else math.nan


_KINDS = {item.name: str(item.type) for item in fields(RoundResult)}
_READERS: Mapping[str, Any] = {"str": str, "int": int, "float": _read_float, "bool": _read_bool}


def _not_written(file: Path, error: OSError) -> UsageError:
    return UsageError(
        f"The results cannot be written to {file.parent}.",
        hint="Choose another folder (--out), or make room.",
        details=str(error),
    )
