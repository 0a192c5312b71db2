"""Which encoder the project's tiles were embedded with, and how the files of vectors are called.

The vectors themselves are the engine's matter (:mod:`core.embedding`); QGIS only asks whether they are there.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ..paths import is_file

if TYPE_CHECKING:
    from .store import Project

FOLDER = "embeddings"
PARTIAL = ".partial.npy"
_SETTING = "encoder"


@dataclass(frozen=True)
class ProjectEncoder:
    """The encoder as the project remembers it.

    ``source`` is how the analyst named it, so that it can be loaded; ``source_relative`` is the path of its file from
    the project's folder, with forward slashes, where the file moves with the project, else empty.
    """

    name: str
    fingerprint: str
    source: str
    source_relative: str = ""


def encoder_of(project: Project) -> ProjectEncoder | None:
    """The project's encoder; None before its tiles were embedded."""
    stored = project.setting(_SETTING)
    return None if stored is None else ProjectEncoder(**json.loads(stored))


def source_now(project: Project, encoder: ProjectEncoder) -> str:
    """How the project's encoder is named now, also where the project was moved together with the encoder's file."""
    moved = project.path.absolute().parent / encoder.source_relative
    return str(moved) if encoder.source_relative and is_file(moved) else encoder.source


def remember_encoder(project: Project, encoder: ProjectEncoder) -> None:
    """Make it the project's encoder. One transaction."""
    project.set_setting(_SETTING, json.dumps(asdict(encoder)))


def vectors_file(raster_id: int, encoder_name: str, key: str) -> str:
    """The name of a finished file of vectors; ``key`` tells what they were made of."""
    safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in encoder_name)
    return f"raster{raster_id}-{safe}-{key}.npy"


def has_vectors(project: Project) -> bool:
    """Whether each raster has a finished file of vectors; whether it is the right one, only the engine can say."""
    encoder = encoder_of(project)
    if encoder is None:
        return False
    folder = project.path.with_suffix(".quadrat") / FOLDER
    return all(
        any(not file.name.endswith(PARTIAL) for file in folder.glob(vectors_file(item.raster_id, encoder.name, "*")))
        for item in project.rasters()
    )
