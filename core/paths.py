"""File names that GDAL would not understand as they are meant, and questions about files that may go unanswered.

pyogrio takes ``!`` for the border of an archive and reads what follows ``;`` as the parameters of an address, so such a
name leads to another file than the one meant. Nothing is written anywhere before the name is checked.
"""

from __future__ import annotations

import os
from pathlib import Path

from .errors import UsageError

MISREAD = ("!", ";", "\n", "\r")


def is_file(path: str | Path) -> bool:
    """Whether a file is there; False too where that cannot be found out: no permission, a drive that is gone."""
    return os.path.isfile(path)  # noqa: PTH113 - pathlib raises in these cases


def is_folder(path: str | Path) -> bool:
    """Whether a folder is there, as :func:`is_file`."""
    return os.path.isdir(path)  # noqa: PTH112


def exists(path: str | Path) -> bool:
    """Whether anything is there, as :func:`is_file`."""
    return os.path.exists(path)  # noqa: PTH110


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
