"""File names that GDAL would not understand as they are meant, and questions about files that may go unanswered.

pyogrio takes ``!`` for the border of an archive and reads what follows ``;`` as the parameters of an address, so such a
name leads to another file than the one meant. Nothing is written anywhere before the name is checked.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from .errors import UsageError

MISREAD = ("!", ";", "\n", "\r")

_PRODUCT_SOURCE = re.compile(r"SENTINEL2_(?:L1C|L1C_TILE|L2A):(.+?\.xml\"?)(?::[^:/\\|]*){0,2}(?:\|.*)?", re.IGNORECASE)
_ZIPPED = re.compile(r"/vsizip/(\{.+?\}|.+?\.zip)(?=[/\\])", re.IGNORECASE)


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


def product_of_source(text: str) -> Path | None:
    """The folder or zip of the Sentinel-2 product that a source in the words of GDAL belongs to, or None.

    ``SENTINEL2_L2A:/data/X.SAFE/MTD_MSIL2A.xml:10m:EPSG_32633``, as QGIS shows for one layer of a product, is
    ``/data/X.SAFE``; ``SENTINEL2_L1C:/vsizip//data/X.zip/X.SAFE/MTD_MSIL1C.xml:10m:EPSG_32633`` is ``/data/X.zip``.
    A granule's source (``SENTINEL2_L1C_TILE``) is the granule's folder.
    """
    found = _PRODUCT_SOURCE.fullmatch(text)
    if not found:
        return None
    metadata = found[1].strip('"')
    zipped = _ZIPPED.match(metadata)
    if not zipped:
        return Path(metadata).parent
    archive = zipped[1].strip("{}")
    # pathlib makes one slash of two, so an absolute path may look like a relative one.
    return Path(f"/{archive}") if not exists(archive) and exists(f"/{archive}") else Path(archive)
