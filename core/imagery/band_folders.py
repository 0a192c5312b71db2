"""Folders of single-band files: which file is which band, and what their names and the files beside them tell.

AWS delivers ``R10m/B02.jp2`` with ``tileInfo.json``, Earth Search ``B02.tif`` or ``blue.tif`` with a STAC item, others
``T33TUL_20230615T100031_B02_10m.jp2``. Nothing in such a folder says what belongs together, so files of different
tiles or days, and two files for one band, are refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ..errors import ImageryError
from .band_images import BandImage, band_image, best_images, mask_image
from .product import BandFile, Product
from .product_files import ProductFiles
from .product_metadata import BASELINE_4_FROM, Facts, facts_of_name, facts_of_product_name, facts_of_sidecar
from .sentinel2 import BASELINE_4_OFFSET

BAND_FOLDERS = ("IMG_DATA", "R10m", "R20m", "R60m")
"""Folders within a folder of band files, or a granule, that hold band files too."""


def band_folder_product(path: Path, files: ProductFiles) -> Product | None:
    """The product that single-band files make, or None if no file is a band.

    Raises:
        ImageryError: of different tiles or days, or two equally good files of a band.
    """
    images = _one_image_each([image for image in map(band_image, files.names) if image], path.name)
    if not images:
        return None
    facts = _facts(files, images)
    scl = mask_image(files.names, "SCL")
    offset = _offset(facts)
    return Product(
        path=path,
        name=files.title,
        level=facts.level or ("L2A" if scl else ""),
        baseline=facts.baseline,
        tile=facts.tile,
        sensed=facts.sensed,
        bands=tuple(BandFile(image.band, files.source(image.name), image.resolution_m, offset) for image in images),
        scale=None,
        nodata=None,
        scl=files.source(scl) if scl else None,
        clouds=None,
        files=tuple(dict.fromkeys(files.on_disk(image.name) for image in images)),
    )


def _offset(facts: Facts) -> float | None:
    """DN to add, or None if it cannot be known: the day of the image leaves it open who processed it last, and how."""
    if facts.offset_applied:
        return 0.0
    if facts.baseline:
        return BASELINE_4_OFFSET if facts.baseline >= (4, 0) else 0.0
    return 0.0 if "" < facts.sensed < BASELINE_4_FROM else None


def _one_image_each(images: Iterable[BandImage], title: str) -> list[BandImage]:
    """The best image of each band.

    Raises:
        ImageryError: of different tiles or days, or two equally good ones of a band.
    """
    images = list(images)
    facts = [facts_of_name(PurePosixPath(image.name).name) for image in images]
    _refuse_mixture("tiles", {fact.tile for fact in facts}, title)
    _refuse_mixture("dates", {fact.sensed for fact in facts}, title)
    chosen = []
    for band, candidates in best_images(images).items():
        if len(candidates) > 1 and candidates[0].resolution_m == candidates[1].resolution_m:
            raise ImageryError(
                f"{title} has two files for {band}: {candidates[0].name} and {candidates[1].name}.",
                hint="Keep the files of one product in a folder of their own, one for each band.",
            )
        chosen.append(candidates[0])
    return chosen


def _refuse_mixture(what: str, found: set[str], title: str) -> None:
    found.discard("")
    if len(found) > 1:
        raise ImageryError(
            f"{title} holds files of {len(found)} {what}: {', '.join(sorted(found)[:5])}.",
            hint="Give each product a folder of its own, and name one of them.",
        )


def _facts(files: ProductFiles, images: Iterable[BandImage]) -> Facts:
    """What files beside the bands, the bands' own names and the folders above tell, in this order of trust."""
    facts = Facts()
    for name in files.names:
        path = PurePosixPath(name)
        if len(path.parts) == 1 and path.suffix.lower() in (".json", ".xml") and files.is_small(name):
            facts = facts.else_from(facts_of_sidecar(files.read(name)))
    for image in images:
        facts = facts.else_from(facts_of_name(PurePosixPath(image.name).name))
    for folder in reversed((*files.root.absolute().parts, *PurePosixPath(files.inner).parts)):
        facts = facts.else_from(facts_of_product_name(folder))
    return facts.else_from(facts_of_name(files.title))
