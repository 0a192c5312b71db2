"""What is asked at present, and what was answered: small reads of the project, tile by tile or round by round.

The work list is the latest round of a query function, and the latest round of validation tiles as far as it is newer or
not finished. A tile that was skipped before its round asked for it is open again: skipping means "not now".
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.project.results import VALIDATION_SAMPLE
from ...core.project.store import Project
from .route import Place, visiting_order

# SQLite allows 999 parameters in a statement where it was built with its old limits.
_AT_ONCE = 900


@dataclass(frozen=True)
class AskedTile:
    """A tile and, if a round asked for it, which one and why; the latest round counts."""

    tile_id: int
    raster_id: int
    row: int
    col: int
    role: str
    round_id: int | None = None
    strategy: str = ""
    reason: str = ""
    asked_at: str = ""

    @property
    def is_validation(self) -> bool:
        """Whether the tile checks the model, which must therefore not suggest anything."""
        return self.role == VALIDATION_SAMPLE

    @property
    def is_set_aside(self) -> bool:
        """Whether the tile cannot be answered, because too few of its pixels have data."""
        return self.role == "excluded"

    def is_open_with(self, answer: GivenAnswer | None) -> bool:
        """Whether the tile still waits for an answer if this is the one it has."""
        return answer is None or (answer.kind == "skip" and answer.answered_at < self.asked_at)


@dataclass(frozen=True)
class GivenAnswer:
    """A tile's answer as it stands; ``class_ids`` in the order of the class list."""

    kind: str
    class_ids: tuple[int, ...]
    answered_at: str


@dataclass(frozen=True)
class Progress:
    """How many of the asked tiles have an answer, and the number of the round (None if none asks)."""

    answered: int
    asked: int
    round_id: int | None


def work_list(project: Project) -> tuple[AskedTile, ...]:
    """What is asked at present, in the order of visiting; empty before the first round."""
    tiles = _asked_tiles(project) if project.has_tiles() else []
    order = visiting_order([Place(tile.raster_id, tile.row, tile.col) for tile in tiles])
    return tuple(tiles[index] for index in order)


def progress_of(tiles: Sequence[AskedTile], answers: Mapping[int, GivenAnswer]) -> Progress:
    """How far a work list is answered."""
    asked = [tile for tile in tiles if tile.strategy != VALIDATION_SAMPLE] or tiles
    answered = sum(not tile.is_open_with(answers.get(tile.tile_id)) for tile in tiles)
    return Progress(answered, len(tiles), asked[0].round_id if asked else None)


def find_tiles(project: Project, tile_ids: Collection[int]) -> list[AskedTile]:
    """Any tiles of the project, also those that were never asked for, by ``tile_id``; missing ones are left out."""
    if not project.has_tiles():
        return []
    found: list[AskedTile] = []
    for places, block in _blocks(tile_ids):
        rows = project.read(
            'SELECT t.tile_id, t.raster_id, t."row", t."col", t.role, q.round_id, coalesce(n.strategy, \'\'),'  # noqa: S608
            " coalesce(q.reason, ''), coalesce(n.created_at, '')"
            " FROM tiles t JOIN rasters r ON r.raster_id = t.raster_id"
            " LEFT JOIN queries q ON q.query_id = (SELECT max(k.query_id) FROM queries k WHERE k.tile_id = t.tile_id)"
            " LEFT JOIN rounds n ON n.round_id = q.round_id"
            f" WHERE t.tile_id IN ({places}) ORDER BY t.tile_id",
            block,
        )
        found.extend(AskedTile(*row) for row in rows)
    return found


def answers_of(project: Project, tile_ids: Collection[int]) -> dict[int, GivenAnswer]:
    """The answers of these tiles as they stand; tiles without one are absent."""
    answers: dict[int, GivenAnswer] = {}
    for places, block in _blocks(tile_ids):
        rows = project.read(
            "SELECT l.tile_id, l.answer, l.class_id, e.answered_at FROM labels l"  # noqa: S608
            " JOIN label_events e ON e.event_id = l.event_id LEFT JOIN classes c ON c.class_id = l.class_id"
            f" WHERE l.tile_id IN ({places}) ORDER BY l.tile_id, c.position",
            block,
        )
        for tile_id, group in itertools.groupby(rows, key=lambda row: row[0]):
            parts = list(group)
            class_ids = tuple(class_id for _, _, class_id, _ in parts if class_id is not None)
            answers[tile_id] = GivenAnswer(parts[0][1], class_ids, parts[0][3])
    return answers


def _asked_tiles(project: Project) -> list[AskedTile]:
    ((query_round, validation_round),) = project.read(
        "SELECT max(CASE WHEN strategy <> ? THEN round_id END), max(CASE WHEN strategy = ? THEN round_id END)"
        " FROM rounds",
        (VALIDATION_SAMPLE, VALIDATION_SAMPLE),
    )
    tiles = _tiles_of_round(project, query_round) if query_round else []
    if validation_round:
        checks = _tiles_of_round(project, validation_round)
        if validation_round < (query_round or 0):
            answered = answers_of(project, [tile.tile_id for tile in checks])
            checks = [tile for tile in checks if tile.tile_id not in answered]
        tiles += checks
    return tiles


def _tiles_of_round(project: Project, round_id: int) -> list[AskedTile]:
    rows = project.read(
        'SELECT t.tile_id, t.raster_id, t."row", t."col", t.role, q.round_id, n.strategy, q.reason, n.created_at'
        " FROM queries q JOIN rounds n ON n.round_id = q.round_id JOIN tiles t ON t.tile_id = q.tile_id"
        " JOIN rasters r ON r.raster_id = t.raster_id"
        " WHERE q.round_id = ? AND t.role <> 'excluded' ORDER BY q.rank",
        (round_id,),
    )
    return [AskedTile(*row) for row in rows]


def _blocks(tile_ids: Collection[int]) -> Iterator[tuple[str, Sequence[Any]]]:
    """The numbers in portions that a statement takes, each with its question marks."""
    numbers = sorted(tile_ids)
    for start in range(0, len(numbers), _AT_ONCE):
        block = numbers[start : start + _AT_ONCE]
        yield ", ".join("?" * len(block)), block
