"""What learning leaves beside the project: ``NAME.quadrat/models``. Losing any of it costs time only.

* ``fit-KEY/``: a fitted learner, under a key made of everything it depends on. The newest are kept to be used again,
  and the newest network because the next one may start from it.
* ``kept-NAME-KEY.npz``: what depends on the embeddings alone, for example their neighbour graph.
* ``probabilities*.npz``: what was thought of every tile at the last two queries, for functions that ask what changed.
* ``stop-set-of-round-ID.npz``: what was decided of a sample of tiles after the labels of the last two rounds, to see
  whether predictions change.

Everything is written under a temporary name first, so half a file is never taken for a whole one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from .errors import LearningError
from .kernels import Device, Floats
from .learners.base import Arrays, Fitted
from .learners.head import Head

FITS = 2
_LATEST, _BEFORE = "probabilities.npz", "probabilities-before.npz"
_STOP_SET = "stop-set-of-round-"
_DAMAGED = (OSError, ValueError, KeyError, EOFError, BadZipFile, SafetensorError, LearningError)
"""What the readers raise on files that are cut off or were tampered with. Such files are made again."""


class ModelFiles:
    """The folder of one project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, key: str, device: Device) -> tuple[Fitted, float | None] | None:
        """The fitted learner with that key and its temperature, as far as they are known."""
        place = self._fit(key)
        try:
            about = json.loads((place / "about.json").read_text())
            fitted = Fitted(
                Head.load(place / "head.safetensors", device),
                _array(place / "features.npy"),
                _array(place / "losses.npy"),
            )
            return fitted, about["temperature"]
        except _DAMAGED:
            return None

    def save(self, key: str, family: str, fitted: Fitted) -> None:
        """Keep a fitted learner; ``family`` is what it has in common with those from which it may start.

        Raises:
            OSError, SafetensorError: there is no room.
        """
        place = self._fit(key)
        part = place.with_name(place.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        fitted.head.save(part / "head.safetensors")
        for name, array in (("features", fitted.features), ("losses", fitted.losses)):
            if array is not None:
                np.save(part / f"{name}.npy", array)
        if fitted.state:
            save_file({name: tensor.contiguous() for name, tensor in fitted.state.items()}, part / "state.safetensors")
        (part / "about.json").write_text(json.dumps({"family": family, "temperature": None}))
        shutil.rmtree(place, ignore_errors=True)
        part.replace(place)
        places = self._newest_first()
        networks = [place for place in places if (place / "state.safetensors").exists()]
        for old in set(places[FITS:]) - set(networks[:1]):
            shutil.rmtree(old, ignore_errors=True)

    def set_temperature(self, key: str, temperature: float) -> None:
        """Remember how a fitted learner is calibrated."""
        file = self._fit(key) / "about.json"
        with suppress(*_DAMAGED):
            about = {**json.loads(file.read_text()), "temperature": temperature}
            part = file.with_suffix(".part")
            part.write_text(json.dumps(about))
            part.replace(file)

    def start_for(self, family: str) -> dict[str, torch.Tensor] | None:
        """The parameters of the newest fitted learner of that family, to start from."""
        for place in self._newest_first():
            with suppress(*_DAMAGED):
                if json.loads((place / "about.json").read_text())["family"] == family:
                    state = place / "state.safetensors"
                    return load_file(state) if state.exists() else None
        return None

    def keep(self, name: str, embeddings_key: str, make: Callable[[], Arrays]) -> Arrays:
        """What ``make`` returned when it was first called for this name and these embeddings."""
        file = self.folder / f"kept-{name}-{embeddings_key[:16]}.npz"
        found = _arrays(file)
        if found is not None:
            return found
        made = make()
        for stale in self.folder.glob(f"kept-{name}-*.npz"):
            stale.unlink(missing_ok=True)
        with suppress(OSError):
            _write(file, made)
        return made

    def previous(self, key: str, family: str, embeddings_key: str, class_ids: list[int]) -> Floats | None:
        """Probabilities (N, C) that were last remembered of another fit of the same family.

        Columns are those of ``class_ids`` (C,); a class that did not exist then has NaN.
        """
        for name in (_LATEST, _BEFORE):
            found = _arrays(self.folder / name)
            if found is None or str(found["key"]) == key:
                continue
            if (str(found["family"]), str(found["embeddings"])) != (family, embeddings_key):
                return None
            return _columns(found["probabilities"], found["class_ids"], class_ids, np.nan)
        return None

    def remember(self, key: str, family: str, embeddings_key: str, class_ids: list[int], thought: Floats) -> None:
        """Keep the probabilities (N, C) of this fit, and those of the fit before it."""
        latest = self.folder / _LATEST
        found = _arrays(latest)
        if found is not None and str(found["key"]) == key:
            return
        facts = {"key": key, "family": family, "embeddings": embeddings_key, "class_ids": class_ids}
        with suppress(OSError):
            if found is not None:
                latest.replace(self.folder / _BEFORE)
            _write(latest, {**facts, "probabilities": thought})

    def decided_before(
        self, round_id: int, family: str, embeddings_key: str, class_ids: list[int]
    ) -> NDArray[np.bool_] | None:
        """Decisions (n, C) that were kept of the newest round before this one, if they are of the same family.

        Columns are those of ``class_ids`` (C,); a class that did not exist then was not decided for.
        """
        earlier = [number for number in self._decided_rounds() if number < round_id]
        found = _arrays(self._decided(max(earlier))) if earlier else None
        if found is None or (str(found["family"]), str(found["embeddings"])) != (family, embeddings_key):
            return None
        return _columns(found["decided"], found["class_ids"], class_ids, False)

    def keep_decided(
        self, round_id: int, family: str, embeddings_key: str, class_ids: list[int], decided: NDArray[np.bool_]
    ) -> None:
        """Keep the decisions (n, C) that the labels of this round led to, in place of those of an earlier training.

        Those of the newest round before it stay. Those of later rounds go: their answers were taken back.
        """
        facts = {"family": family, "embeddings": embeddings_key, "class_ids": class_ids}
        with suppress(OSError):
            _write(self._decided(round_id), {**facts, "decided": decided})
            earlier = [number for number in self._decided_rounds() if number < round_id]
            kept = {self._decided(number) for number in (round_id, *sorted(earlier)[-1:])}
            for stale in set(self.folder.glob("stop-set*.npz")) - kept:
                stale.unlink(missing_ok=True)

    def _decided(self, round_id: int) -> Path:
        return self.folder / f"{_STOP_SET}{round_id}.npz"

    def _decided_rounds(self) -> list[int]:
        return [int(file.stem.removeprefix(_STOP_SET)) for file in self.folder.glob(f"{_STOP_SET}*.npz")]

    def _fit(self, key: str) -> Path:
        return self.folder / f"fit-{key[:24]}"

    def _newest_first(self) -> list[Path]:
        places = [place for place in self.folder.glob("fit-*") if not place.name.endswith(".part")]
        return sorted(places, key=lambda place: place.stat().st_mtime_ns, reverse=True)


def _columns(then: NDArray[Any], ids_then: NDArray[Any], class_ids: list[int], unknown: float) -> NDArray[Any]:
    """The columns of ``then`` (N, C') for the classes ``class_ids`` (C,) of today: (N, C)."""
    columns = {int(class_id): column for column, class_id in enumerate(ids_then)}
    missing = np.full(len(then), unknown, then.dtype)
    return np.stack([then[:, columns[c]] if c in columns else missing for c in class_ids], axis=1)


def _array(file: Path) -> np.ndarray[Any, Any] | None:
    return np.load(file, mmap_mode="r") if file.exists() else None


def _arrays(file: Path) -> Arrays | None:
    """The arrays of an .npz file; None if it is not there or damaged."""
    try:
        with np.load(file) as opened:
            return {name: opened[name] for name in opened.files}
    except _DAMAGED:
        return None


def _write(file: Path, arrays: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    with part.open("wb") as out:
        np.savez(out, **arrays)
    part.replace(file)
