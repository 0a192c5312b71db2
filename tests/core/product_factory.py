"""Sentinel-2 products that ``core.bench.safe`` does not write: folders of bands, and products with old, long names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from quadrat.core.imagery.band_images import RESOLUTIONS

OLD_NAME = "S2A_OPER_PRD_MSIL1C_PDMC_20160905T104813_R002_V20160905T005712_20160905T010424.SAFE"


def write_band(
    path: Path,
    pixels: np.ndarray,
    metres: float = 10,
    *,
    origin: tuple[float, float] = (300_000, 5_100_000),
    crs: str | None = "EPSG:32633",
    nodata: float | None = None,
    scaling: tuple[float, float] | None = None,
    **creation: object,
) -> Path:
    """A raster of ``pixels`` (rows, columns), or (bands, rows, columns); ``creation`` options are the driver's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stack = pixels if pixels.ndim == 3 else pixels[None]
    transform = Affine(metres, 0, origin[0], 0, -metres, origin[1])
    count, height, width = stack.shape
    profile = {"count": count, "height": height, "width": width, "dtype": stack.dtype, "nodata": nodata}
    profile |= creation
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=transform, **profile) as file:
        if scaling:
            file.scales, file.offsets = [scaling[0]] * count, [scaling[1]] * count
        file.write(stack)
    return path


def write_bands(folder: Path, names: dict[str, str], *, size_px: int = 24, seed: int = 0) -> Path:
    """A folder of band files: ``names`` gives the file of each band; ``size_px`` counts pixels of 10 m."""
    rng = np.random.default_rng(seed)
    for band, name in names.items():
        metres = RESOLUTIONS.get(band, 20)
        side = size_px * 10 // metres
        write_band(folder / name, rng.integers(1100, 4000, (side, side)).astype(np.uint16), metres)
    return folder


def write_old_safe(folder: Path, tiles: Sequence[str] = ("T53HLA", "T53HMA"), bands: Sequence[str] = ()) -> Path:
    """A product of level 1C with the names of before December 2016, of several granules."""
    root = folder / OLD_NAME
    granules = []
    for number, tile in enumerate(tiles):
        stem = f"S2A_OPER_MSI_L1C_TL_SGS__20160905T073438_A006291_{tile}"
        names = {band: f"{stem}_{band}.tif" for band in bands or RESOLUTIONS}
        write_bands(root / f"GRANULE/{stem}_N02.04/IMG_DATA", names, seed=number)
        images = "".join(f"<IMAGE_ID>{stem}_{band}</IMAGE_ID>" for band in sorted(names, reverse=True))
        granules.append(
            f'<Granule_List><Granules granuleIdentifier="{stem}_N02.04" imageFormat="JPEG2000">{images}</Granules>'
            "</Granule_List>"
        )
    name = OLD_NAME.replace("PRD_MSI", "MTD_SAF").replace(".SAFE", ".xml")
    (root / name).write_text(
        f"""<n1:Level-1C_User_Product xmlns:n1="https://psd-13.sentinel2.eo.esa.int/PSD/User_Product_Level-1C.xsd">
    <n1:General_Info>
        <Product_Info>
            <PRODUCT_START_TIME>2016-09-05T00:57:12.026Z</PRODUCT_START_TIME>
            <PROCESSING_LEVEL>Level-1C</PROCESSING_LEVEL>
            <PROCESSING_BASELINE>02.04</PROCESSING_BASELINE>
            <Product_Organisation>{"".join(granules)}</Product_Organisation>
        </Product_Info>
        <Product_Image_Characteristics>
            <Special_Values>
                <SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT>
                <SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX>
            </Special_Values>
            <QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>
        </Product_Image_Characteristics>
    </n1:General_Info>
</n1:Level-1C_User_Product>
""",
        encoding="utf-8",
    )
    return root
