"""``experiment.json``: what the numbers in a folder of results depend on, and how they were made.

A folder holds the runs of one experiment on one dataset, seen by one encoder, split in one way. Query functions,
learners, budgets, pools, seeds and rounds may be added; anything else would put numbers side by side that cannot be
compared, and is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..about import version
from ..errors import UsageError
from .dataset import Dataset, Vectors
from .plan import BALANCED, Plan
from .results import plan_facts
from .splits import Split, thinned

RECORD = "experiment.json"
_FIXED = {
    "dataset": ("dataset", "fingerprint"),
    "encoder": ("vectors", "key"),
    "split into pool and test tiles": ("split", "digest"),
}
"""What must stay the same in a folder, in words, and where its key is in the record."""
_AGREED = {
    "experiment": "the experiment",
    "goal": "the goal (--goal)",
    "validation": "the validation sample (--validation)",
    "initial": "the tiles labelled before the first round (--initial)",
    "initial_by": "the query function that chooses these (--initial-by)",
}
"""What the runs of a folder have in common, in words, by its name in the record."""


def keep_record(
    folder: Path,
    dataset: Dataset,
    vectors: Vectors,
    split: Split,
    plans: Sequence[Plan],
    device: str,
    notes: Mapping[str, Any],
) -> list[str]:
    """Write down what the runs of a folder depend on, or add to what is written there.

    Args:
        folder: for the results.
        dataset, vectors, split: what the runs are made on.
        plans: the runs; others may be there already.
        device: where they are computed.
        notes: what only the caller knows. ``command``, what was typed, is added to the list ``commands``; ``split``,
            how it was drawn, goes into that part; all else stands as it is.

    Returns:
        Remarks: what is not as it was when the first runs were made.

    Raises:
        UsageError: the folder holds results of another dataset, encoder, split or experiment, or cannot be written to.
    """
    new = _described(dataset, vectors, split, device)
    agreed = {**agreed_by(plans), **{name: note for name, note in notes.items() if name not in ("command", "split")}}
    old = read_record(folder) if (folder / RECORD).exists() else {}
    if old:
        _check_same(folder, old, new)
        _check_agreed(folder, old, agreed)
    kept = {**new, **old, **agreed}
    kept["split"] = {**new["split"], **old.get("split", {}), **notes.get("split", {})}
    commands = [*old.get("commands", ()), *([notes["command"]] if notes.get("command") else [])]
    kept["commands"] = list(dict.fromkeys(commands))
    known = {json.dumps(facts, sort_keys=True): facts for facts in old.get("plans", ())}
    known |= {json.dumps(facts, sort_keys=True): facts for facts in map(plan_facts, plans)}
    kept["plans"] = list(known.values())
    kept["unbalanced"] = _removed(dataset, split, (facts["variant"] for facts in kept["plans"]))
    _write(folder, kept)
    before = {**old.get("versions", {}), **({"the machine": old["hardware"]} if "hardware" in old else {})}
    now = {**new["versions"], "the machine": new["hardware"]}
    return [
        f"The first results here were made with {name} {then}; this is {now.get(name)}."
        for name, then in before.items()
        if then != now.get(name)
    ]


def agreed_by(plans: Sequence[Plan]) -> dict[str, Any]:
    """What the plans of a setting have in common and may not change in a folder, beside what only its maker knows."""
    first = plans[0] if plans else None
    return {} if first is None else {name: vars(first)[name] for name in ("validation", "initial", "initial_by")}


def check_agreed(folder: Path, agreed: Mapping[str, Any]) -> None:
    """Refuse a folder whose runs were made for another experiment, goal, sample or beginning.

    Raises:
        UsageError: they were, or the record is damaged.
    """
    if (folder / RECORD).exists():
        _check_agreed(folder, read_record(folder), agreed)


def _check_agreed(folder: Path, old: Mapping[str, Any], agreed: Mapping[str, Any]) -> None:
    other = [name for name in _AGREED if name in old and name in agreed and old[name] != agreed[name]]
    if other:
        raise UsageError(
            f"The results in {folder.name} were made with something else for {_AGREED[other[0]]}.",
            hint="Use another folder (--out), or the same options as before.",
            details="\n".join(
                f"{_AGREED[name]}: {_said(old[name])} before, {_said(agreed[name])} now" for name in other
            ),
        )


def _said(value: Any) -> str:
    return "none" if value is None else str(value)


def check_record(folder: Path, dataset: Dataset, encoder: str, key: str, split: Split) -> None:
    """Refuse a folder that holds results of something else, before vectors with this ``key`` are computed.

    Raises:
        UsageError: it does, or its record is damaged.
    """
    if (folder / RECORD).exists():
        _check_same(folder, read_record(folder), _subject(dataset, encoder, key, split))


def read_record(folder: Path) -> dict[str, Any]:
    """What :func:`keep_record` wrote.

    Raises:
        UsageError: there is no record, or it is damaged.
    """
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        for part, key in _FIXED.values():
            record[part][key]
        return record
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(
            f"There are no results of an experiment in {folder}.",
            hint="Make them first: quadrat simulate DATASET --out FOLDER.",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{RECORD} in {folder} is damaged, so nobody can say what the results there depend on.",
            hint="Use another folder (--out).",
            details=repr(error),
        ) from error


def split_digest(split: Split) -> str:
    """Changes with any row of any part."""
    digest = hashlib.sha256()
    for rows in (split.pool, split.test):
        digest.update(np.ascontiguousarray(rows, dtype=np.int64).tobytes() + b"|")
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Of Quadrat and of what its numbers may depend on."""
    import scipy
    import sklearn
    import torch

    return {
        "quadrat": version(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
        "torch": torch.__version__,
    }


def hardware(device: str) -> str:
    """The machine in a line: processor, cores, memory, and the GPU if it is used."""
    import psutil

    parts = [
        _processor(),
        f"{psutil.cpu_count(logical=True)} cores",
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
    ]
    if device != "cpu":
        from ..devices import find_gpu

        parts.append(find_gpu().name or device)
    return ", ".join(parts)


def _processor() -> str:
    """The name of the processor; Linux says it in a file alone."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _subject(dataset: Dataset, encoder: str, key: str, split: Split) -> dict[str, Any]:
    """What must stay the same in a folder, and what tells of it."""
    return {
        "dataset": {
            "name": dataset.name,
            "mode": dataset.mode,
            "classes": list(dataset.classes),
            "tiles": len(dataset),
            "fingerprint": dataset.fingerprint,
        },
        "vectors": {"encoder": encoder, "key": key},
        "split": {
            "pool": len(split.pool),
            "test": len(split.test),
            "digest": split_digest(split),
        },
    }


def _described(dataset: Dataset, vectors: Vectors, split: Split, device: str) -> dict[str, Any]:
    subject = _subject(dataset, vectors.encoder, vectors.key, split)
    subject["vectors"]["dimension"] = int(vectors.matrix.shape[1])
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **subject,
        "versions": versions(),
        "hardware": hardware(device),
    }


def _check_same(folder: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Refuse what cannot stand beside the results that are there."""
    other = [words for words, (part, key) in _FIXED.items() if old[part][key] != new[part][key]]
    if other[:1] == ["dataset"]:
        # Vectors and splits are of a dataset, so that those of another one always differ and say nothing more.
        other = other[:1]
    if other:
        raise UsageError(
            f"The results in {folder.name} were made with another {' and another '.join(other)}.",
            hint="Use another folder (--out), or the same options as before.",
            details="\n".join(_difference(old, new)),
        )


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[str]:
    """A line for each thing that can be seen to differ."""
    for part, key in (("dataset", "name"), ("dataset", "tiles"), ("vectors", "encoder"), *_parts_of_split()):
        if old[part].get(key) != new[part].get(key):
            yield f"{part}, {key}: {old[part].get(key)} before, {new[part].get(key)} now"
    if old["dataset"] == new["dataset"]:
        if old["vectors"]["encoder"] == new["vectors"]["encoder"] and old["vectors"]["key"] != new["vectors"]["key"]:
            yield "vectors: an encoder of the same name, with other weights or another input"
        if old["split"]["digest"] != new["split"]["digest"]:
            yield "split: other tiles in at least one of the parts"


def _parts_of_split() -> list[tuple[str, str]]:
    return [("split", name) for name in ("pool", "test")]


def _removed(dataset: Dataset, split: Split, variants: Iterable[str]) -> dict[str, list[float]]:
    """The share of each class that is taken from the pool in each variant that is not balanced."""
    return {
        variant: thinned(dataset.targets, split.pool, dataset.n_classes, variant).removed_shares.tolist()
        for variant in sorted(set(variants) - {BALANCED})
    }


def _write(folder: Path, record: Mapping[str, Any]) -> None:
    part = folder / f".{RECORD}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(record, indent=1, ensure_ascii=False, default=os.fspath), encoding="utf-8")
        part.replace(folder / RECORD)
    except OSError as error:
        raise UsageError(
            f"The results cannot be written to {folder}.",
            hint="Choose another folder (--out), or make room.",
            details=str(error),
        ) from error
