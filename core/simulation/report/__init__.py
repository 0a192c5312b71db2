"""The report of experiments: one page that says what was done, what came out, and how sure that is.

:mod:`.material` what it goes on; :mod:`.summary`, :mod:`.learning`, :mod:`.comparisons`, :mod:`.scores`,
:mod:`.papers`, :mod:`.findings`, :mod:`.stopping` and :mod:`.protocol` its sections, of which each is there only if
there are results for it; :mod:`.document` what sections are made of; :mod:`.figures` draws; :mod:`.page` writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...errors import UsageError
from ...monitor import SILENT, Monitor
from . import comparisons, findings, learning, papers, protocol, scores, stopping, summary
from .document import Document, Section
from .material import AS_USUAL, Asked, Material, read_material
from .page import Report, write

__all__ = ["Asked", "Report", "write_report"]

_SECTIONS = (
    learning.learning_curves,
    learning.labels_to_goal,
    comparisons.comparisons,
    scores.by_labels,
    scores.final,
    findings.projection,
    findings.encoders,
    findings.one_shot,
    papers.twins,
    papers.selection_costs,
    papers.beside_the_papers,
    stopping.stopping,
)


def write_report(folders: Sequence[Path], out: Path, monitor: Monitor = SILENT, *, asked: Asked = AS_USUAL) -> Report:
    """Write the report of the results in some folders, in place of the one that was there.

    The same results give the same files, byte for byte.

    Args:
        folders: of results, as :func:`..runs.run_all` and the studies leave them.
        out: gets ``report.html``, ``report.md`` and ``figures/``.
        monitor: progress and cancellation.
        asked: what to compare in place of what is compared by itself.

    Raises:
        UsageError: no folder, a folder without results, damaged ones, nothing that compares as asked, or ``out`` cannot
            be written to.
        Cancelled: the caller asked to stop.
    """
    if not folders:
        raise UsageError("There is nothing to report.", hint="Name a folder of results.")
    alone = len(folders) == 1
    materials = [read_material(folder, number, asked) for number, folder in enumerate(folders, start=1)]
    sections: list[Section] = []
    for place, material in enumerate(materials):
        sections += _part(
            material, alone, monitor.part(0.3 * place / len(materials), 0.3 * (place + 1) / len(materials))
        )
    title = protocol.title(materials[0]) if alone else "Experiments in labelling"
    document = Document(title, (*sections, protocol.columns()))
    try:
        return write(document, out, monitor.part(0.3, 1.0))
    except OSError as error:
        raise UsageError(
            f"The report cannot be written to {out}.", hint="Choose another folder, or make room.", details=str(error)
        ) from error


def _part(material: Material, alone: bool, monitor: Monitor) -> list[Section]:
    """The sections of one folder; of one that is alone the title is the report's."""
    if not material.results:
        raise UsageError(
            f"No run on {material.dataset} is finished.", hint="Start the same simulation again: it goes on."
        )
    found: list[Section | None] = []
    for place, make in enumerate(_SECTIONS):
        monitor.advance(place / len(_SECTIONS), "Comparing")
        found.append(make(material))
    return [
        Section("Overview" if alone else protocol.title(material), protocol.overview(material), level=2),
        summary.summary(material),
        *(section for section in found if section is not None),
        protocol.method(material),
    ]
