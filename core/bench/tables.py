"""The measurements as tables for people."""

from __future__ import annotations

from .measure import Outcome
from .runs import Comparison, Growth, Measured, Rival

_MB = 10**6
_GAP = "  "


def comparison_lines(found: Comparison) -> list[str]:
    """One line for each kernel and query function, ours and the others side by side."""
    setting = found.setting
    lines = [
        f"{setting.size:,} x {setting.dim}, b = {setting.budget}, {setting.classes} classes, "
        f"{setting.labelled} labels, {setting.device}: {found.machine}",
        "s: seconds. MB: memory beyond what was there.",
    ]
    rows = [["", "s", "MB"]]
    rows += [[_name(item, setting.mode), *_own(item.ours)] for item in found.measured]
    sides = {
        "plain": ([item.plain for item in found.measured], "vectorised numpy, scikit-learn or torch on the processor"),
        "peer": ([item.peer for item in found.measured], found.peer),
    }
    for side, (rivals, what) in sides.items():
        if any(rivals):
            lines.append(f"{side}: {what}, from float32 in memory.")
            added = [[f"{side} s", "x", "MB", "same"], *map(_other, rivals)]
            rows = [[*row, *more] for row, more in zip(rows, added, strict=True)]
    if len(lines) > 2:
        lines.append(
            "x: its seconds over ours. same: whether its result is ours; - where chance decides; for k-means, how much "
            "farther from the centres ours is."
        )
    return [*lines, "", *_aligned(rows), *_problems(found)]


def _name(item: Measured, mode: str) -> str:
    return item.name if item.mode == mode else f"{item.name} ({item.mode})"


def growth_lines(found: Growth) -> list[str]:
    """Seconds, memory and microseconds a row at every size."""
    first = found.settings[0]
    rows = [["", *(f"{label} {one.size:,}" for one in found.settings for label in ("s", "MB", "us/row"))]]
    for name, outcomes in found.outcomes.items():
        cells = [name]
        for one, outcome in zip(found.settings, outcomes, strict=True):
            each = "" if outcome.seconds is None or outcome.problem else f"{outcome.seconds / one.size * 1e6:.2f}"
            cells += [*_own(outcome), each]
        rows.append(cells)
    title = f"d = {first.dim}, b = {first.budget}, {first.labelled} labels, {first.device}: {found.machine}"
    problems = [f"{name}: {one.problem}" for name, each in found.outcomes.items() for one in each if one.problem]
    return [title, "", *_aligned(rows), *problems]


def _own(outcome: Outcome) -> list[str]:
    return [_seconds(outcome), _memory(outcome)]


def _other(rival: Rival | None) -> list[str]:
    if rival is None:
        return ["", "", "", ""]
    stopped = rival.outcome.problem
    ratio = "" if rival.ratio is None else f"{'>' if stopped else ''}{rival.ratio:.3g}"
    same = "yes" if rival.same else rival.agreement or "-"
    return [_seconds(rival.outcome), ratio, _memory(rival.outcome), "" if stopped else same]


def _seconds(outcome: Outcome) -> str:
    if outcome.problem:
        return outcome.problem if outcome.problem.startswith("over") else "failed"
    return f"{outcome.seconds:.3f}"


def _memory(outcome: Outcome) -> str:
    """Of the process, and of the GPU where there is one."""
    found = "" if outcome.peak_bytes is None else f"{outcome.peak_bytes / _MB:.0f}"
    return found if outcome.device_bytes is None else f"{found}+{outcome.device_bytes / _MB:.0f}"


def _aligned(rows: list[list[str]]) -> list[str]:
    """Columns of one width, the first to the left and numbers to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        _GAP.join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    ]


def _problems(found: Comparison) -> list[str]:
    """What could not be measured, and why."""
    lines = []
    for item in found.measured:
        sides = {"": item.ours, "plain": item.plain and item.plain.outcome, "peer": item.peer and item.peer.outcome}
        for side, outcome in sides.items():
            if outcome and outcome.problem:
                lines.append(f"{item.name}{f' ({side})' if side else ''} was not measured: {outcome.problem}")
    return ["", *lines] if lines else []
