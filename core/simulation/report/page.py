"""A document as files: one HTML page that needs nothing beside it, and Markdown with its pictures in a folder.

In the page, drawings are part of the text: their ink and paper become the page's, light or dark. A drawing's
identifiers get its name in front, because those of all drawings share the page.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...monitor import Monitor
from .document import Document, Picture
from .figures import INK

PICTURES = "figures"
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#])")


@dataclass(frozen=True)
class Report:
    """Where a report lies."""

    html: Path
    markdown: Path


def write(document: Document, out: Path, monitor: Monitor) -> Report:
    """Write ``report.html``, ``report.md`` and the pictures into a folder, in place of what was there."""
    from markupsafe import Markup

    out.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(document.pictures):
        monitor.advance(number / (len(document.pictures) + 1), f"Drawing {picture.name}")
        picture.draw([out / PICTURES / picture.file])

    def embedded(picture: Picture) -> Markup:
        return Markup(_inline(picture, out / PICTURES / picture.file))  # noqa: S704 (our own drawing)

    for old in (out / PICTURES).glob("part*-*.*"):
        if old.name not in {picture.file for picture in document.pictures}:
            old.unlink()
    report = Report(out / "report.html", out / "report.md")
    _render(report.html, document, True, {"embedded": embedded})
    _render(report.markdown, document, False, {"plain": _escaped, "folder": PICTURES})
    monitor.advance(1.0, "Report written")
    return report


def _render(file: Path, document: Document, autoescape: bool, names: dict[str, Callable[..., Any] | str]) -> None:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=autoescape,  # noqa: S701 (Markdown has an escape of its own)
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = environment.get_template(f"{file.name}.j2")
    file.write_text(template.render(document=document, **names), encoding="utf-8")


def _inline(picture: Picture, file: Path) -> str:
    """The picture as a piece of HTML."""
    from markupsafe import escape

    if picture.dots:
        data = base64.b64encode(file.read_bytes()).decode("ascii")
        return f'<img alt="{escape(picture.alt)}" src="data:image/png;base64,{data}">'
    drawing = file.read_text(encoding="utf-8")
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{picture.name}-", drawing)
    drawing = drawing.replace("fill: #ffffff", "fill: none").replace(INK, "currentColor")
    return drawing.replace("<svg", f'<svg role="img" aria-label="{escape(picture.alt)}"', 1)


def _escaped(text: str) -> str:
    """Text in which Markdown sees no signs of its own."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
