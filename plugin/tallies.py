"""What the project adds up to: answers, open tiles, what can be learnt, how good it is.

Each function is one or two small SQL queries, so that panels may ask in the main thread after every answer; nothing
here reads all tiles. What the engine decides on arrays in ``core/pool.py`` (what is a label, what may be asked) is said
here in SQL, so that nothing is asked of the engine that it would refuse.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from ..core.project.results import VALIDATION_SAMPLE, RoundRecord, rounds
from ..core.project.scores import known_interval, main_score
from ..core.project.stopping import advise, goal_of, history
from ..core.project.store import Project

# A tile that was skipped before its round asked for it waits for an answer again: skipping means "not now".
_HAS_ANSWER = (
    "EXISTS (SELECT 1 FROM labels l JOIN label_events e USING (event_id)"
    " WHERE l.tile_id = q.tile_id AND NOT (l.answer = 'skip' AND e.answered_at < n.created_at))"
)
# A label is an answer that can be learnt from; "none of these" is one only where a tile may have no class at all.
_IS_LABEL = "(l.answer = 'classes' OR (l.answer = 'none' AND ? = 'multi'))"


@dataclass(frozen=True)
class RoundTally:
    """One round and what became of it.

    ``number`` counts the rounds of query functions as analysts do, who did not ask for those of the validation sample;
    these have None. ``score`` is None until the round was checked on labelled validation tiles.
    """

    number: int | None
    record: RoundRecord
    tiles: int
    answered: int
    labels: int | None
    validation_labels: int
    score: float | None

    @property
    def seconds(self) -> float | None:
        """How long the engine took to choose the tiles and to learn from their answers."""
        metrics = self.record.metrics
        known = [metrics[name] for name in ("query_seconds", "train_seconds") if metrics.get(name) is not None]
        return sum(known) if known else None


@dataclass(frozen=True)
class ClassTally:
    """How many tiles an analyst gave a class, and how many the model did."""

    class_id: int
    name: str
    colour: str
    labelled: int
    predicted: int


def round_tallies(project: Project) -> list[RoundTally]:
    """All rounds in order."""
    counted = {
        round_id: (tiles, answered)
        for round_id, tiles, answered in project.read(
            f"SELECT q.round_id, count(*), sum({_HAS_ANSWER})"  # noqa: S608
            " FROM queries q JOIN rounds n USING (round_id) GROUP BY q.round_id"
        )
    }
    score = main_score(project.mode)
    numbers = itertools.count(1)
    return [
        RoundTally(
            None if record.strategy == VALIDATION_SAMPLE else next(numbers),
            record,
            *counted.get(record.round_id, (0, 0)),
            labels=record.metrics.get("labels"),
            validation_labels=record.metrics.get("validation_labels") or 0,
            score=record.metrics.get(score),
        )
        for record in rounds(project)
    ]


def round_name(project: Project, round_id: int) -> str:
    """What analysts call a round: ``round 2``, or ``validation``. See :class:`RoundTally`."""
    ((asked, is_query),) = project.read(
        "SELECT count(*), coalesce(max(round_id) = ?, 0) FROM rounds WHERE round_id <= ? AND strategy <> ?",
        (round_id, round_id, VALIDATION_SAMPLE),
    )
    return f"round {asked}" if is_query else "validation"


def open_tiles(project: Project, *, validation: bool = False) -> list[int]:
    """Tiles without an answer of the latest round: that of the query function, or that of the validation sample."""
    sign = "=" if validation else "<>"
    rows = project.read(
        "SELECT q.tile_id FROM queries q JOIN rounds n USING (round_id)"  # noqa: S608
        f" WHERE q.round_id = (SELECT max(round_id) FROM rounds WHERE strategy {sign} ?) AND NOT {_HAS_ANSWER}"
        " ORDER BY q.rank",
        (VALIDATION_SAMPLE,),
    )
    return [tile_id for (tile_id,) in rows]


def unanswered(project: Project, role: str) -> int:
    """Tiles of ``role`` that may still be asked; a skipped tile of the pool may be asked again."""
    if not project.has_tiles():
        return 0
    sql = "SELECT count(*) FROM tiles WHERE role = ? AND raster_id IN (SELECT raster_id FROM rasters)"
    ((tiles,),) = project.read(sql, (role,))
    ((answered,),) = project.read(
        "SELECT count(DISTINCT l.tile_id) FROM labels l JOIN tiles t ON t.tile_id = l.tile_id"
        " WHERE t.role = ? AND (l.answer <> 'skip' OR t.role <> 'pool')",
        (role,),
    )
    return int(tiles) - int(answered)


def why_nothing_to_learn(project: Project) -> str:
    """Why the model cannot be trained yet; empty if it can."""
    if not project.has_tiles():
        return "There are no tiles yet."
    ((labels, classes),) = project.read(
        "SELECT count(DISTINCT l.tile_id), count(DISTINCT l.class_id) FROM labels l"  # noqa: S608
        f" JOIN tiles t ON t.tile_id = l.tile_id WHERE t.role = 'pool' AND {_IS_LABEL}",
        (project.mode,),
    )
    if not labels:
        return "No tile has a label to learn from yet."
    if classes < 2 and project.mode == "single":
        return "All labels so far are of one class; the model needs a second one to tell apart."
    return ""


def class_tallies(project: Project) -> list[ClassTally]:
    """The classes in their order, with the answers and the current predictions of each."""
    labelled = dict(project.read("SELECT class_id, count(*) FROM labels WHERE class_id IS NOT NULL GROUP BY class_id"))
    predicted = dict(
        project.read(
            "SELECT k.class_id, count(*) FROM predictions p JOIN prediction_classes k USING (prediction_id)"
            " WHERE p.generation = ? GROUP BY k.class_id",
            (int(project.setting("prediction_generation") or 0),),
        )
    )
    return [
        ClassTally(c.class_id, c.name, c.colour, labelled.get(c.class_id, 0), predicted.get(c.class_id, 0))
        for c in project.classes()
    ]


def score_in_words(project: Project, tallies: list[RoundTally]) -> str:
    """The latest score, what it rests on and how sure it is; empty if no round was scored."""
    scored = [tally for tally in tallies if tally.score is not None and tally.validation_labels]
    if not scored:
        return ""
    latest = scored[-1]
    assert latest.score is not None
    basis = f"of {latest.validation_labels} validation tiles, after {latest.labels} labels"
    interval = known_interval(latest.record.metrics, project.mode)
    if project.mode == "single":
        low, high = interval or (0.0, 1.0)
        return f"Accuracy {latest.score:.0%} (95% interval {low:.0%} to {high:.0%}) {basis}."
    sure = f" (95% interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
    all_right = latest.record.metrics.get("accuracy", 0.0)
    return f"Micro-F1 {latest.score:.3f}{sure}; every class right on {all_right:.0%} {basis}."


def advice_in_words(project: Project) -> str:
    """Whether the predictions still change and whether to stop; empty if nothing was learnt yet."""
    trained = history(project)
    if not trained:
        return ""
    agreement = trained[-1].agreement
    calm = "" if agreement is None else f"The predictions agree to {agreement:.2f} with those of the round before. "
    return f"{calm}Suggestion: {advise(trained, goal_of(project)).sentence}"
