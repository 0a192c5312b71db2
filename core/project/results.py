"""Rounds of queries, and predictions for all tiles.

A round is recorded in one transaction. Predictions of a whole granule are many, so they are written in chunks, each a
short transaction, under a new generation number; only when all are in does that generation become the current one,
which the layer ``predicted_tiles`` shows. An answer never waits for longer than a chunk, a killed writer leaves the
old predictions in force, and its leftovers go with the next write.
"""

from __future__ import annotations

import itertools
import json
import math
import numbers
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ProjectError, UsageError
from .database import store_setting, utc_now

if TYPE_CHECKING:
    from .store import Project

# The query function of a round that asks for tiles of the validation sample; also the role of these tiles.
VALIDATION_SAMPLE = "validation"


class Pick(NamedTuple):
    """A tile that a query function asks for: ``rank`` from 1, ``score`` higher is better, ``reason`` in words."""

    tile_id: int
    rank: int
    score: float | None
    reason: str


@dataclass(frozen=True)
class RoundRecord:
    """One query as it was made, with the metrics that were known then or added later."""

    round_id: int
    strategy: str
    parameters: dict[str, Any]
    seed: int | None
    encoder: str | None
    budget: int
    created_at: str
    metrics: dict[str, Any]


class TilePrediction(NamedTuple):
    """What the model says about one tile.

    ``classes`` are the predicted ones, ``(class_id, probability)``: one in single-label mode, any number in
    multi-label mode. ``probability`` is the model's confidence in the whole answer, 0-1; ``uncertainty`` higher = ask.
    """

    tile_id: int
    probability: float
    uncertainty: float
    classes: tuple[tuple[int, float], ...]


def record_round(
    project: Project,
    *,
    strategy: str,
    parameters: Mapping[str, Any],
    seed: int | None,
    encoder: str | None,
    budget: int,
    picks: Sequence[Pick],
    metrics: Mapping[str, Any],
) -> int:
    """Record a query and the tiles it asks for; returns the ``round_id``. One transaction.

    Raises:
        UsageError: a tile is asked for twice, or is no tile of the project.
    """
    tile_ids = [int(pick.tile_id) for pick in picks]
    if len(set(tile_ids)) < len(tile_ids):
        raise UsageError("A round asks for the same tile twice.")
    unknown = sorted(set(tile_ids) - {tile.tile_id for tile in project.tiles()})
    if unknown:
        raise UsageError(f"A round asks for tiles that the project does not have: {', '.join(map(str, unknown[:9]))}.")
    with project.transaction() as connection:
        cursor = connection.execute(
            "INSERT INTO rounds (strategy, parameters, seed, encoder, budget, created_at, metrics)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (strategy, _to_json(parameters), seed, encoder, int(budget), utc_now(), _to_json(metrics)),
        )
        round_id = int(cursor.lastrowid or 0)
        connection.executemany(
            "INSERT INTO queries (round_id, tile_id, rank, score, reason) VALUES (?, ?, ?, ?, ?)",
            [(round_id, int(p.tile_id), int(p.rank), _finite(p.score), p.reason) for p in picks],
        )
    return round_id


def set_round_metrics(project: Project, round_id: int, metrics: Mapping[str, Any]) -> None:
    """Replace the metrics of a round. One transaction.

    Raises:
        UsageError: there is no such round.
    """
    with project.transaction() as connection:
        sql = "UPDATE rounds SET metrics = ? WHERE round_id = ?"
        if not connection.execute(sql, (_to_json(metrics), round_id)).rowcount:
            raise UsageError(f"The project has no round {round_id}.")


def rounds(project: Project) -> list[RoundRecord]:
    """All rounds in order."""
    rows = project.read(
        "SELECT round_id, strategy, parameters, seed, encoder, budget, created_at, metrics FROM rounds"
        " ORDER BY round_id"
    )
    return [
        RoundRecord(round_id, strategy, json.loads(parameters), seed, encoder, budget, created_at, json.loads(metrics))
        for round_id, strategy, parameters, seed, encoder, budget, created_at, metrics in rows
    ]


def picks_of_round(project: Project, round_id: int) -> list[Pick]:
    """The tiles that a round asked for, by rank."""
    sql = "SELECT tile_id, rank, score, reason FROM queries WHERE round_id = ? ORDER BY rank"
    return [Pick(*row) for row in project.read(sql, (round_id,))]


def rounds_asking(project: Project, tile_ids: Collection[int]) -> Iterator[RoundRecord]:
    """The rounds that asked for at least one of these tiles, newest first."""
    for record in reversed(rounds(project)):
        if any(pick.tile_id in tile_ids for pick in picks_of_round(project, record.round_id)):
            yield record


def write_predictions(project: Project, predictions: Iterable[TilePrediction], *, model: str, chunk: int = 2000) -> int:
    """Replace all predictions; returns how many there are now.

    Args:
        project: open for writing.
        predictions: one for each tile; may be a generator.
        model: what predicted, kept in the setting ``prediction_model``.
        chunk: predictions in one transaction.

    Raises:
        ProjectError: the file cannot be written, or another program wrote predictions at the same time. The
            predictions from before stay in force.
    """
    _delete_stale(project, chunk)
    generation = _reserve_generation(project)
    source = iter(predictions)
    n_written = 0
    while block := list(itertools.islice(source, chunk)):
        _write_chunk(project, generation, block)
        n_written += len(block)
    _make_current(project, generation, n_written, model)
    _delete_stale(project, chunk)
    return n_written


def read_predictions(project: Project) -> list[TilePrediction]:
    """The current predictions, by ``tile_id``."""
    rows = project.read(
        "SELECT p.tile_id, p.probability, p.uncertainty, k.class_id, k.probability FROM predictions p"
        " LEFT JOIN prediction_classes k ON k.prediction_id = p.prediction_id WHERE p.generation = ?"
        " ORDER BY p.tile_id, k.id",
        (_current_generation(project),),
    )
    return [
        TilePrediction(tile_id, probability, uncertainty, tuple(row[3:] for row in group if row[3] is not None))
        for (tile_id, probability, uncertainty), group in itertools.groupby(rows, key=lambda row: row[:3])
    ]


def _current_generation(project: Project) -> int:
    return int(project.setting("prediction_generation") or 0)


def _reserve_generation(project: Project) -> int:
    """A number that no writer before or at the same time has."""
    with project.transaction() as connection:
        generation = 1 + int(project.setting("prediction_last_generation") or 0)
        store_setting(connection, "prediction_last_generation", str(generation))
    return generation


def _write_chunk(project: Project, generation: int, block: Sequence[TilePrediction]) -> None:
    with project.transaction() as connection:
        (last,) = connection.execute("SELECT coalesce(max(prediction_id), 0) FROM predictions").fetchone()
        connection.executemany(
            "INSERT INTO predictions (prediction_id, generation, tile_id, probability, uncertainty, n_classes)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [
                (number, generation, int(p.tile_id), float(p.probability), float(p.uncertainty), len(p.classes))
                for number, p in enumerate(block, start=last + 1)
            ],
        )
        connection.executemany(
            "INSERT INTO prediction_classes (prediction_id, class_id, probability) VALUES (?, ?, ?)",
            [
                (number, int(class_id), float(probability))
                for number, p in enumerate(block, start=last + 1)
                for class_id, probability in p.classes
            ],
        )


def _make_current(project: Project, generation: int, n_written: int, model: str) -> None:
    """Put the new generation in force, if it is whole."""
    with project.transaction() as connection:
        (n_there,) = connection.execute(
            "SELECT count(*) FROM predictions WHERE generation = ?", (generation,)
        ).fetchone()
        if n_there != n_written:
            raise ProjectError(
                "Another program wrote predictions into the project at the same time.",
                hint="Predict again when it has finished; the predictions from before are still there.",
            )
        store_setting(connection, "prediction_generation", str(generation))
        store_setting(connection, "prediction_model", model)


def _delete_stale(project: Project, chunk: int) -> None:
    """Delete the predictions of every generation but the current one, a chunk at a time."""
    stale = True
    while stale:
        with project.transaction() as connection:
            stale = bool(
                connection.execute(
                    "DELETE FROM predictions WHERE prediction_id IN (SELECT prediction_id FROM predictions"
                    " WHERE generation <> ? LIMIT ?)",
                    (_current_generation(project), chunk),
                ).rowcount
            )


def _to_json(values: Mapping[str, Any]) -> str:
    return json.dumps(_plain(values), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    """The same value in JSON's types: NumPy numbers become Python's, numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    return _finite(value)


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
