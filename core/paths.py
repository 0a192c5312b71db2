"""File names that GDAL would not understand as they are meant.

pyogrio takes ``!`` for the border of an archive and reads what follows ``;`` as the parameters of an address, so such a
name leads to another file than the one meant. Nothing is written anywhere before the name is checked.
"""

from __future__ import annotations

from pathlib import Path

from .errors import UsageError

MISREAD = ("!", ";", "\n", "\r")


def split_layer(path: str | Path) -> tuple[Path, str]:
    """``FILE|layername=NAME``, as QGIS writes it, as the file and the layer's name; empty if none is named."""
    file, _, layer = str(path).partition("|layername=")
    return Path(file), layer


def check_name(path: Path) -> None:
    """Refuse a path that GDAL would misread.

    Raises:
        UsageError: it names the character.
    """
    found = [repr(character) for character in MISREAD if character in str(path.absolute())]
    if found:
        raise UsageError(
            f"The path {path} has {' and '.join(found)} in it, which GDAL takes for something else.",
            hint="Rename the file or folder without it.",
        )
