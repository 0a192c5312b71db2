"""What a report says, before it is a page: sections of paragraphs, tables, pictures and commands, all plain text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paragraph:
    """A few sentences."""

    text: str

    kind = "paragraph"


@dataclass(frozen=True)
class Points:
    """Sentences of the same weight, one beneath the other."""

    items: tuple[str, ...]

    kind = "points"


@dataclass(frozen=True)
class Commands:
    """What to type, a command a line."""

    lines: tuple[str, ...]

    kind = "commands"


@dataclass(frozen=True)
class Table:
    """Cells as they are shown; ``align`` has ``l`` or ``r`` for each column. The first column names the rows.

    ``heads`` name the columns; a table of facts has empty ones, and then none is shown.
    """

    caption: str
    heads: tuple[str, ...]
    align: str
    rows: tuple[tuple[str, ...], ...]

    kind = "table"

    @property
    def label(self) -> str:
        """A few words that name it: the beginning of its caption."""
        return re.split(r"[:.;]( |$)", self.caption, maxsplit=1)[0]


@dataclass(frozen=True)
class Picture:
    """A figure. ``name``: of its file, without ending. ``alt``: what it shows, for those who do not see it.

    ``draw`` writes it into a file whose ending decides the format. ``dots``: it has thousands of points, so it is kept
    as pixels.
    """

    name: str
    caption: str
    alt: str
    draw: Callable[[Sequence[Path]], None]
    dots: bool = False

    kind = "picture"

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"{self.name}.{'png' if self.dots else 'svg'}"


Block = Paragraph | Points | Commands | Table | Picture


@dataclass(frozen=True)
class Section:
    """Blocks beneath a title; ``level`` 2 begins an experiment, 3 is a section of it."""

    title: str
    blocks: tuple[Block, ...]
    level: int = 3


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    sections: tuple[Section, ...]

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """In the order in which they are shown."""
        return tuple(block for section in self.sections for block in section.blocks if isinstance(block, Picture))
