"""What panels ask the workflow for: plain data, checked by the engine."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..core.paths import exists

AUTO = "auto"  # the encoder that the engine takes to be the best


@dataclass(frozen=True)
class RasterChoice:
    """A raster to be cut into tiles; None means: as the engine finds it."""

    path: Path
    bands: tuple[str, ...] | None = None
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None


@dataclass(frozen=True)
class PrepareRequest:
    """From rasters to the first tiles to label. Rasters that the project has already may be among them, or left out."""

    rasters: tuple[RasterChoice, ...]
    area: Path | None = None
    stride: int | None = None
    min_valid: float = 0.9
    validation: float = 0.1
    encoder: str = AUTO
    seed: int = 0
    max_cloud: float | None = None
    mask: Path | None = None
    then_query: bool = True


@dataclass(frozen=True)
class QuerySettings:
    """How tiles are asked for; kept in the project, so that the next round is asked for in the same way.

    ``strategy`` is empty for the recommended one, ``learner`` for the one that the query function was published with,
    or the engine's default.
    ``validation_budget`` tiles of the validation sample come with each round.
    """

    strategy: str = ""
    budget: int = 64
    parameters: Mapping[str, Any] = field(default_factory=dict)
    validation_budget: int = 8
    seed: int = 0
    device: str = "auto"
    learner: str = ""

    @classmethod
    def from_json(cls, text: str | None) -> QuerySettings:
        """Settings as :meth:`to_json` wrote them; what is missing or of another type becomes the default."""
        try:
            found = json.loads(text or "{}")
        except json.JSONDecodeError:
            found = {}
        if not isinstance(found, dict):
            found = {}
        default = asdict(cls())
        kept = {
            item.name: found[item.name]
            for item in fields(cls)
            if type(found.get(item.name)) is type(default[item.name])
        }
        return cls(**kept)

    def to_json(self) -> str:
        """The settings as text."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class TrainingRequest:
    """An encoder to be trained on the tiles of a project, and the file that it goes into."""

    project: Path
    out: Path
    method: str = "moco"
    epochs: int = 100
    batch: int = 256
    device: str = "auto"
    start: str = ""

    @property
    def name(self) -> str:
        """What the encoder is called."""
        return self.out.stem

    @property
    def checkpoint(self) -> Path:
        """What the engine keeps of a training that is not finished."""
        return self.out.with_suffix(".checkpoint")

    def params(self) -> dict[str, Any]:
        """The parameters of the protocol's ``pretrain``."""
        return {**asdict(self), "project": str(self.project), "out": str(self.out)}

    @classmethod
    def from_json(cls, text: str | None, project: Path) -> TrainingRequest | None:
        """A request as :meth:`to_json` wrote it, perhaps when the project was elsewhere; None if it is none."""
        try:
            found = json.loads(text or "")
            return cls(**{**found, "project": project, "out": project.parent / found["out"]})
        except (ValueError, TypeError, KeyError):
            return None

    def to_json(self) -> str:
        """The request as text, with the file as seen from the project where it lies beside it."""
        kept = {**asdict(self), "out": str(self.out)}
        del kept["project"]
        with contextlib.suppress(ValueError):
            kept["out"] = self.out.relative_to(self.project.parent).as_posix()
        return json.dumps(kept)


def encoders_folder(project: Path) -> Path:
    """Where encoders go that are trained for a project; it need not be there."""
    return project.with_suffix(".quadrat") / "encoders"


def trained_encoders(project: Path) -> list[Path]:
    """The encoders that were trained for a project and are where they belong, by name."""
    return sorted(encoders_folder(project).glob("*.safetensors"))


def free_encoder_file(project: Path) -> Path:
    """A name for the next encoder of a project that no other has."""
    names = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    files = (encoders_folder(project) / f"{project.stem}-encoder{name}.safetensors" for name in names)
    return next(file for file in files if not exists(file))
