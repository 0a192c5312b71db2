"""Kill QGIS at random while an analyst labels, again and again, and see that no acknowledged answer is lost.

The child is a QGIS without a window: the real map canvas, labelling and key presses. It says on its standard output
which answer it has acknowledged, that is, when the key press has returned and the next tile is shown. The parent kills
it (SIGKILL) after a random number of answers, and reads the history of the project from outside.

    .venv-qgis/bin/python tests/plugin/kill_labelling.py PROJECT.gpkg --answers 10000 --kills 50
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Outcome:
    """What was acknowledged and what the project holds; ``lost`` is what should be there and is not."""

    acknowledged: int
    recorded: int
    kills: int
    lost: list[str]
    problems: list[str]


def kill_again_and_again(project: Path, answers: int, kills: int, seed: int = 0) -> Outcome:
    """Let ``answers`` answers be given in a QGIS that is killed ``kills`` times on the way."""
    rng = random.Random(seed)
    acknowledged: list[str] = []
    lost: list[str] = []
    for life in range(kills):
        left = max(1, answers - len(acknowledged))
        share = left // (kills - life)
        count = left if life == kills - 1 else rng.randint(max(1, share // 2), max(1, share * 3 // 2))
        before = _history(project)
        said = _one_life(project, count, rng)
        new = _history(project)[len(before) :]
        # The kill may fall between the disk and the acknowledgement: one more is recorded then, never one less.
        lost += [f"life {life}: {line}" for line, there in zip(said, [*new, *[""] * len(said)]) if line != there]
        acknowledged += said
    return Outcome(len(acknowledged), len(_history(project)), kills, lost, _damage(project))


def _one_life(project: Path, count: int, rng: random.Random) -> list[str]:
    """What was acknowledged by a QGIS that is killed a moment after ``count`` answers."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["QT_QPA_PLATFORM"] = "offscreen"
    command = [sys.executable, __file__, str(project), "--child", str(rng.randrange(10**6))]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.decode().strip())
        if len(lines) == count:
            time.sleep(rng.random() * 0.02)  # so that the kill falls anywhere in the work on an answer
            process.kill()
            break
    lines += [line.decode().strip() for line in process.stdout if line.endswith(b"\n")]
    process.stdout.close()
    process.wait()
    assert len(lines) >= count, f"the child ended by itself after {len(lines)} answers"
    return lines


def _history(project: Path) -> list[str]:
    """Every event as the child tells it, in order."""
    connection = sqlite3.connect(project)
    try:
        rows = connection.execute("SELECT action, tile_id, answer, class_ids FROM label_events ORDER BY event_id")
        return [" ".join(map(str, row)) if row[0] == "answer" else str(row[0]) for row in rows]
    finally:
        connection.close()


def _damage(project: Path) -> list[str]:
    connection = sqlite3.connect(project)
    try:
        return [text for (text,) in connection.execute("PRAGMA integrity_check") if text != "ok"]
    finally:
        connection.close()


def _label_until_killed(project: Path, seed: int) -> None:
    """The child: press keys for ever."""
    folder = tempfile.mkdtemp(prefix="quadrat-killed-")
    (Path(folder) / "quadrat").symlink_to(ROOT, target_is_directory=True)
    sys.path[:0] = [folder, str(ROOT)]
    from qgis.core import QgsApplication

    application = QgsApplication([], True)
    application.initQgis()
    from qgis.PyQt.QtCore import Qt

    from tests.plugin.labeling_desk import Desk
    from tests.plugin.projects import ReadyProject, Scene

    rng = random.Random(seed)
    desk = Desk(ReadyProject(project, Scene(project, {}), {}))
    desk.labelling.start()
    tiles = [tile.tile_id for tile in desk.project.tiles(("pool",))]
    keys = {item.key: f"classes [{item.class_id}]" for item in desk.project.classes()}
    keys.update({"s": "skip []", "u": "unsure []", "n": "none []"})
    told: list[list[int]] = []
    desk.job.answers_changed.connect(told.append)
    while True:
        if desk.session.current is None:
            desk.labelling.go_to(rng.choice(tiles))
        told.clear()
        key, expected = rng.choice(list(keys.items())), "undo"
        if rng.random() < 0.1:
            desk.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        else:
            expected = f"answer {desk.tile_id} {key[1]}"
            desk.type(key[0])
        if told:  # what the analyst sees as done
            os.write(1, f"{expected}\n".encode())


def main() -> int:
    """Parent or child, as the options say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("--answers", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", type=int, default=None, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child is not None:
        _label_until_killed(chosen.project, chosen.child)
    outcome = kill_again_and_again(chosen.project, chosen.answers, chosen.kills, chosen.seed)
    print(  # noqa: T201
        f"{outcome.kills} kills, {outcome.acknowledged} answers acknowledged, {outcome.recorded} recorded, "
        f"{len(outcome.lost)} lost, {len(outcome.problems)} damages"
    )
    return 1 if outcome.lost or outcome.problems else 0


if __name__ == "__main__":
    sys.exit(main())
