"""Products with ESA's metadata: ``.SAFE`` folders and zips of them, and the granules of old ones.

The main metadata file lists the images of each granule; those of the chosen granule are found among the files by their
names, which are unique in a product. So it does not matter in which folders they lie, nor whether somebody turned the
JPEG 2000 files into GeoTIFFs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from ..errors import ImageryError
from .band_images import IMAGES, BandImage, band_image, best_images, mask_image
from .product import BandFile, Product
from .product_files import ProductFiles
from .product_metadata import MAIN_METADATA, Baseline, Granule, Metadata, read_metadata

_CLOUD_MASK = "MSK_CLASSI_B00"


def is_main_metadata(name: str) -> bool:
    """Whether a file, by its name, is the main metadata file of a product."""
    return MAIN_METADATA.fullmatch(PurePosixPath(name).name) is not None


def safe_product(path: Path, files: ProductFiles, granule_folder: str = "") -> Product:
    """The product whose main metadata file is among ``files``, not in a folder of them.

    Args:
        path: what the product is to be known by.
        granule_folder: name of the folder of the granule to take, needed where there are several.

    Raises:
        ImageryError: damaged metadata, several granules, a band file that is missing.
    """
    name = next(name for name in files.names if "/" not in name and is_main_metadata(name))
    metadata = read_metadata(files.read(name), name)
    stems = {PurePosixPath(file).stem: file for file in files.names if file.lower().endswith(IMAGES)}
    granule = _granule(path, files, metadata, stems, granule_folder)
    images = _images(path, granule, stems)
    # A product that was unpacked without its folders has everything in one place.
    within = [file for file in files.names if f"/{granule.folder}/" in f"/{file}"] or list(files.names)
    scl = mask_image(within, "SCL")
    clouds = next((file for file in within if file.lower().endswith(IMAGES) and _CLOUD_MASK in file), None)
    return Product(
        path=path,
        name=files.title.removesuffix(".SAFE") if len(metadata.granules) == 1 else granule.folder,
        level=metadata.level,
        baseline=metadata.baseline,
        tile=granule.tile,
        sensed=metadata.sensed,
        bands=tuple(
            BandFile(image.band, files.source(image.name), image.resolution_m, _offset(metadata, image.band))
            for image in images
        ),
        scale=metadata.scale,
        nodata=metadata.nodata,
        scl=files.source(scl) if scl else None,
        clouds=files.source(clouds) if clouds else None,
        files=tuple(dict.fromkeys(files.on_disk(image.name) for image in images)),
    )


def _granule(path: Path, files: ProductFiles, metadata: Metadata, stems: Mapping[str, str], folder: str) -> Granule:
    """The granule to read. Of an old product, some may have been left out or deleted."""
    if folder:
        there = [granule for granule in metadata.granules if granule.folder == folder]
    else:
        there = [granule for granule in metadata.granules if not stems.keys().isdisjoint(granule.images)]
    if len(there) == 1:
        return there[0]
    if not there:
        raise ImageryError(
            f"{path.name} has none of the images that its metadata lists.",
            hint="Copy or download the product again.",
        )
    example = files.root / "GRANULE" / there[0].folder
    raise ImageryError(
        f"{path.name} holds {len(there)} granules: {', '.join(granule.tile for granule in there)}.",
        hint=f"Give the folder of one{' after unpacking the zip' if files.zipped else f', for example {example}'}.",
        details="\n".join(granule.folder for granule in there),
    )


def _images(path: Path, granule: Granule, stems: Mapping[str, str]) -> list[BandImage]:
    """The best image of each band that the metadata lists, by its name among the files."""
    listed = [image for image in (band_image(f"{stem}{IMAGES[0]}") for stem in granule.images) if image]
    best = [candidates[0] for candidates in best_images(listed).values()]
    missing = [image for image in best if PurePosixPath(image.name).stem not in stems]
    if missing or not best:
        raise ImageryError(
            f"{path.name} lacks the file of {', '.join(image.band for image in missing) or 'every band'}, "
            "which its metadata lists.",
            hint="Copy or download the product again; or give the folder that holds the files of its bands (IMG_DATA).",
            details="\n".join(image.name for image in missing),
        )
    return [BandImage(image.band, stems[PurePosixPath(image.name).stem], image.resolution_m) for image in best]


def _offset(metadata: Metadata, band: str) -> float | None:
    """DN to add to a band. From baseline 04.00 on, metadata that do not say it leave a doubt."""
    return metadata.offsets.get(band, 0.0 if _before_offsets(metadata.baseline) else None)


def _before_offsets(baseline: Baseline | tuple[()]) -> bool:
    return baseline != () and baseline < (4, 0)
