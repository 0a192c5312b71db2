"""What panels ask the workflow for: plain data, checked by the engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any


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
    encoder: str = "statistics"
    seed: int = 0
    then_query: bool = True


@dataclass(frozen=True)
class QuerySettings:
    """How tiles are asked for; kept in the project, so that the next round is asked for in the same way.

    ``learner`` is empty for the one that the query function was published with, or the engine's default.
    ``validation_budget`` tiles of the validation sample come with each round.
    """

    strategy: str = "margin"
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
