"""A study finds out what no run does: a picture of the embeddings, encoders compared, how a query function fails.

It writes its numbers to ``NAME.json`` and its arrays, if it has any, to ``NAME.npz``. The table has a key of everything
that the study was made from; as long as that is the same, nothing is computed again.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...architectures import file_sha256
from ...catalogue import Mode
from ...errors import UsageError
from ...kernels import Device, Indices, finite_rows
from ...monitor import SILENT, Monitor
from ...paths import is_file
from ..dataset import Dataset, Vectors
from ..runs import KEPT
from ..splits import Split

Arrays = Mapping[str, NDArray[Any]]
_DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Material:
    """What a study looks at.

    dataset: with classes. vectors: of its rows. encoders: names or files of encoders to compare beside the one that
    made ``vectors``. folder: of the findings. seed: of all chance. device: where to compute. monitor: progress,
    cancellation and remarks.
    """

    dataset: Dataset
    vectors: Vectors
    split: Split
    folder: Path
    encoders: tuple[str, ...] = ()
    seed: int = 0
    device: Device = "cpu"
    monitor: Monitor = SILENT

    @cached_property
    def pool(self) -> Indices:
        """The rows of the pool that have finite vectors."""
        return self._finite(self.split.pool)

    @cached_property
    def test(self) -> Indices:
        """The test rows that have finite vectors."""
        return self._finite(self.split.test)

    def _finite(self, rows: Indices) -> Indices:
        return rows[finite_rows(self.vectors.matrix[rows])]

    @property
    def kept(self) -> Path:
        """Where to put what takes long to make and may be deleted."""
        return self.folder / KEPT


@dataclass(frozen=True)
class Findings:
    """What was found out: ``facts`` as they go into JSON, ``arrays`` by name."""

    facts: Mapping[str, Any]
    arrays: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """A study by name.

    make: finds it out. version: to be raised when the same material would give other findings. uses_encoders: whether
    it looks at ``Material.encoders``.
    """

    name: str
    title: str
    summary: str
    make: Callable[[Material], Findings]
    version: int = 1
    uses_encoders: bool = False
    modes: tuple[Mode, ...] = ("single", "multi")

    def run(self, material: Material) -> Findings:
        """Find it out, or read what was found out from the same things before.

        Args:
            material: the pool is looked at, the test rows are asked about. Its encoders are for studies that compare
                them, and of no account to the others.

        Raises:
            UsageError: the study has no meaning for this label mode, or the folder cannot be written to.
            EncoderError, ImageryError: an encoder or an image cannot be used.
            Cancelled: the caller asked to stop.
        """
        if material.dataset.mode not in self.modes:
            raise UsageError(
                f"The study {self.name} has no meaning for {material.dataset.mode}-label datasets.",
                hint="Leave it out, or use another dataset.",
            )
        if not self.uses_encoders:
            material = replace(material, encoders=())
        key = self._key(material)
        found = _read(material.folder, self.name, key)
        if found is None:
            found = self.make(material)
            _write(material.folder, self.name, key, found)
        return found

    def _key(self, material: Material) -> str:
        rows = np.concatenate([material.split.pool, [-1], material.split.test]).astype(np.int64)
        parts = [
            self.name,
            self.version,
            material.dataset.fingerprint,
            material.vectors.key,
            hashlib.sha256(rows.tobytes()).hexdigest(),
            [file_sha256(Path(name)) if is_file(name) else name for name in material.encoders],
            material.seed,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def read_findings(folder: Path, name: str) -> Findings | None:
    """What the study ``name`` has found out in this folder, whatever it was made from; None if it has not run."""
    return _read(folder, name)


def _read(folder: Path, name: str, key: str | None = None) -> Findings | None:
    """Findings that are there, whole, and made from what ``key`` says."""
    try:
        table = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        if key not in (None, table["key"]):
            return None
        arrays: dict[str, NDArray[Any]] = {}
        if table["arrays"]:
            with np.load(folder / f"{name}.npz") as opened:
                arrays = {each: opened[each] for each in table["arrays"]}
        return Findings(table["facts"], arrays)
    except _DAMAGED:
        return None


def _write(folder: Path, name: str, key: str, found: Findings) -> None:
    """Write the arrays and then the table, which says that all is there; each appears whole or not at all.

    Raises:
        UsageError: the folder cannot be written to.
    """
    table = {"key": key, "arrays": sorted(found.arrays), "facts": found.facts}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").unlink(missing_ok=True)
        part = folder / f"{name}.part"
        if found.arrays:
            with part.open("wb") as out:
                np.savez_compressed(out, **found.arrays)  # type: ignore[arg-type]
            part.replace(folder / f"{name}.npz")
        part.write_text(json.dumps(table, indent=1, ensure_ascii=False), encoding="utf-8")
        part.replace(folder / f"{name}.json")
    except OSError as error:
        raise UsageError(
            f"The findings of {name} cannot be written to {folder}.",
            hint="Choose another folder, or make room.",
            details=str(error),
        ) from error
