"""How to cut rasters into tiles, and which of it cannot be changed once tiles may have answers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UsageError
from .imagery.fingerprints import fingerprint
from .paths import split_layer


@dataclass(frozen=True)
class TilingOptions:
    """How to cut. ``None`` means: as the raster or the project says.

    ``stride_px`` is the distance between the corners of neighbouring tiles; below the tile size they overlap.
    ``validation`` is the share of usable tiles set apart for honest accuracy. ``bands`` names each band by position, or
    chooses among those of a product. Reflectance is ``(DN + offset) * scale``. ``max_cloud`` is the share of a tile's
    valid pixels that may be cloudy, by the product's own mask or by the raster ``mask``, in which ``mask_values`` mean
    cloud.
    """

    size_px: int | None = None
    stride_px: int | None = None
    min_valid: float = 0.9
    validation: float = 0.0
    seed: int = 0
    area: Path | None = None
    bands: Sequence[str] | None = None
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None
    crs: str | None = None
    max_cloud: float | None = None
    mask: Path | None = None
    mask_values: Sequence[int] | None = None


def check_options(options: TilingOptions, size_px: int) -> None:
    """Refuse options without sense, all at once.

    Raises:
        UsageError: ``details`` has a line for each.
    """
    problems = []
    if options.stride_px is not None and not 1 <= options.stride_px <= 8 * size_px:
        problems.append(f"the stride (--stride) must lie between 1 and {8 * size_px} px, not {options.stride_px}")
    if not 0 < options.min_valid <= 1:
        problems.append(
            f"the share of valid pixels (--min-valid) must lie above 0 and up to 1, not {options.min_valid}"
        )
    if not 0 <= options.validation < 1:
        problems.append(f"the validation sample (--validation) must lie between 0 and 1, not {options.validation}")
    if options.scale is not None and options.scale <= 0:
        problems.append(f"the scale (--scale) must be above 0, not {options.scale}")
    if options.max_cloud is not None and not 0 <= options.max_cloud <= 1:
        problems.append(f"the share of cloud (--max-cloud) must lie between 0 and 1, not {options.max_cloud}")
    if options.max_cloud is None and (options.mask or options.mask_values is not None):
        problems.append("a mask (--mask, --mask-values) needs the share of a tile that may be cloudy (--max-cloud)")
    if options.mask_values is not None and not options.mask_values:
        problems.append("there must be at least one number that means cloud (--mask-values)")
    if problems:
        raise UsageError("Some options make no sense.", hint="Correct them.", details="\n".join(problems))


def lasting(options: TilingOptions, size_px: int) -> dict[str, Any]:
    """The options that decided which tiles there are and in which role: they cannot be changed afterwards.

    Files are told by their content, because a project may move together with them.

    Raises:
        ImageryError: the mask cannot be read.
    """
    return {
        "stride": options.stride_px or size_px,
        "min_valid": options.min_valid,
        "validation": options.validation,
        "seed": options.seed,
        "aoi": options.area and _content_of_area(options.area),
        "nodata": options.nodata,
        "max_cloud": options.max_cloud,
        "mask": options.mask and fingerprint(options.mask).digest[:16],
        "mask_values": None if options.mask_values is None else sorted(set(options.mask_values)),
    }


def _content_of_area(area: Path) -> str:
    file, layer = split_layer(area)
    return f"sha256 {hashlib.sha256(file.read_bytes() + layer.encode()).hexdigest()[:16]}"
