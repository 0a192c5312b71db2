"""The parts that panels work with, handed to each of them once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine.engine import Engine
    from .job import Job
    from .labeling.labelling import Labelling
    from .labeling.overlay import Overlay
    from .messages import Messages
    from .workflow import Workflow


@dataclass(frozen=True)
class Context:
    """One of each: QGIS's interface, the open project, the engine, what runs when, the map, the messages."""

    iface: Any
    job: Job
    engine: Engine
    workflow: Workflow
    overlay: Overlay
    labelling: Labelling
    messages: Messages
