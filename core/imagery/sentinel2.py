"""What is particular to Sentinel-2: the names of its bands, and how its stored numbers become reflectance.

Rasters come from many hands, so a band is recognised by any of its usual descriptions (``B02``, ``b2``, ``blue``,
``Band 2 - Blue``, ``T33TUL_..._B02_10m``), and reflectance is ``(stored + offset) * scale``, where scale and offset
are guessed from what the file says about itself. Wrong units or wrong bands cost accuracy silently, so whatever is
doubtful is an error that says which option settles it, never a guess.

Sources: Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD) for bands, DN 0 as no data and the radiometric
offset of processing baseline 04.00; STAC ``eo:common_name`` for the common names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageryError, UsageError

BANDS: tuple[str, ...] = (
    *("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A"),
    *("B09", "B10", "B11", "B12"),
)

QUANTIFICATION_SCALE = 1e-4
"""Reflectance of one DN in every Sentinel-2 product."""

BASELINE_4_OFFSET = -1000.0
"""DN to add since processing baseline 04.00 (January 2022)."""

SENTINEL2_NODATA = 0.0
"""DN that no valid pixel of a Sentinel-2 product has."""

_NUMBERED = re.compile(r"(?<![a-z0-9])b(?:and)?[\s_:#-]*0?(8\s?a|1[0-2]|[1-9])(?![a-z0-9])")
_POSITION_ONLY = re.compile(r"\s*band[\s_:#-]*0*(\d+)\s*", re.IGNORECASE)
_SATELLITE = re.compile(r"sentinel[\s_-]*2[abc]?|(?<![a-z0-9])s2[abc]?(?![a-z0-9])")
_LENGTH = re.compile(r"(?<![a-z0-9])\d+(?:\.\d+)?\s*n?m(?![a-z])")
_BASELINE_TAG = re.compile(r"\s*N?(\d{2})\.?(\d{2})\s*")
_BASELINE_IN_NAME = re.compile(r"_N(0\d)(\d{2})(?=_|\.|$)")

_FILLERS = {
    "band",
    "reflectance",
    "surface",
    "sr",
    "toa",
    "boa",
    "l1c",
    "l2a",
    "central",
    "wavelength",
    "mean",
    "median",
}
_NOT_REFLECTANCE = {"alpha", "angle", "aot", "cld", "mask", "msk", "qa", "qa10", "qa20", "qa60", "quality", "scl"}
_NOT_REFLECTANCE |= {"snw", "std", "stddev", "stdev", "tci", "uncertainty", "wvp"}

_WORDS = {
    "B01": ("coastal", "coastalaerosol", "aerosol", "aerosols", "ultrablue"),
    "B02": ("blue",),
    "B03": ("green",),
    "B04": ("red",),
    "B05": ("rededge1", "vegetationrededge1", "re1", "vre1"),
    "B06": ("rededge2", "vegetationrededge2", "re2", "vre2"),
    "B07": ("rededge3", "vegetationrededge3", "re3", "vre3"),
    "B08": ("nir", "nir1", "nearinfrared", "nearir", "nirbroad", "broadnir", "widenir", "nirwide"),
    "B8A": ("nir08", "nir8a", "nir2", "narrownir", "nirnarrow", "narrownearinfrared", "rededge4", "vegetationrededge4"),
    "B09": ("nir09", "watervapour", "watervapor"),
    "B10": ("cirrus", "swircirrus", "cirrusswir"),
    "B11": ("swir1", "swir16", "swir11", "shortwaveinfrared1"),
    "B12": ("swir2", "swir22", "shortwaveinfrared2"),
}
_BAND_OF_WORD = {word: band for band, words in _WORDS.items() for word in words}
_NEAR_INFRARED = {"B07", "B08", "B8A", "B09"}


@dataclass(frozen=True)
class Band:
    """A Sentinel-2 band of a raster: canonical ``name`` and 1-based ``index`` in the raster."""

    name: str
    index: int


@dataclass(frozen=True)
class Radiometry:
    """How stored numbers become reflectance: ``(stored + offset) * scale``; ``nodata`` is a stored number.

    ``nodata`` is None when no stored number means "no data".
    """

    scale: float
    offset: float
    nodata: float | None


def canonical_band(description: str | None) -> str | None:
    """The member of ``BANDS`` that a band description means, or None if it means none, or more than one.

    A colour word outweighs a number (``Band 1 - Blue`` is B02: the number is only a position), except in the near
    infrared, where four bands share the words.
    """
    text = (description or "").lower()
    if _NOT_REFLECTANCE & set(re.findall(r"[a-z0-9]+", text)):
        return None
    numbered = {_numbered_name(number) for number in _NUMBERED.findall(text)}
    if len(numbered) > 1:
        return None
    by_number = next(iter(numbered), None)
    by_word = _BAND_OF_WORD.get(_bare_words(text))
    if by_number in _NEAR_INFRARED and by_word in _NEAR_INFRARED:
        return by_number
    return by_word or by_number


def _numbered_name(number: str) -> str:
    return "B8A" if number.endswith("a") else f"B{int(number):02d}"


def _bare_words(text: str) -> str:
    """The description without satellite, band number, lengths and filler words, run together: ``rededge1``."""
    for pattern in (_SATELLITE, _NUMBERED, _LENGTH):
        text = pattern.sub(" ", text)
    return "".join(word for word in re.findall(r"[a-z0-9]+", text) if word not in _FILLERS)


def find_bands(
    descriptions: Sequence[str | None], chosen: Sequence[str] | None = None, source: str = "the raster"
) -> tuple[Band, ...]:
    """The Sentinel-2 bands of a raster, in the raster's order; bands that are none are left out.

    Args:
        descriptions: one for each band of the raster, None or empty where it has none.
        chosen: the names by position instead, one for each band of the raster, ``-`` for one not to use.
        source: the raster's name in messages.

    Raises:
        ImageryError: nothing recognised, a wrong number of names, an unknown name, or two bands of the same name.
    """
    if chosen is not None:
        _check_chosen(descriptions, chosen, source)
        names = [canonical_band(name) for name in chosen]
    else:
        names = recognised_bands(descriptions)
    bands = tuple(Band(name, index) for index, name in enumerate(names, start=1) if name)
    if not bands:
        raise _band_error(f"No Sentinel-2 band is recognised in {source}.", descriptions)
    repeated = sorted({band.name for band in bands if names.count(band.name) > 1}, key=BANDS.index)
    if repeated:
        raise _band_error(f"More than one band of {source} is called {', '.join(repeated)}.", descriptions)
    return bands


def choose_bands(names: Sequence[str], chosen: Sequence[str] | None, source: str) -> tuple[Band, ...]:
    """The bands to use of a product, which knows the names of its bands, in its order.

    Args:
        names: canonical names of the product's bands.
        chosen: any names of the bands wanted, ``-`` standing for none; all of them by default.
        source: the product's name in messages.

    Raises:
        ImageryError: an unknown name, a band that the product has not, or no band at all.
    """
    wanted = names if chosen is None else [canonical_band(name) or name for name in chosen if name.strip() != "-"]
    missing = [name for name in wanted if name not in names]
    if missing or not wanted:
        raise ImageryError(
            f"{source} has no band {', '.join(missing)}." if missing else f"No band of {source} was chosen.",
            hint=f"Choose among its bands by name, in any order (--bands): {', '.join(names)}.",
        )
    return tuple(Band(name, index) for index, name in enumerate(names, start=1) if name in wanted)


def recognised_bands(descriptions: Sequence[str | None]) -> list[str | None]:
    """The canonical name of each band of a raster, None where the description says nothing."""
    if _only_positions(descriptions):
        # Some drivers call the bands of any stack "Band 1", "Band 2", ...; that says nothing about what they show.
        return [None] * len(descriptions)
    return [canonical_band(description) for description in descriptions]


def _only_positions(descriptions: Sequence[str | None]) -> bool:
    numbers = [_POSITION_ONLY.fullmatch(description or "") for description in descriptions]
    return all(number and int(number[1]) == index for index, number in enumerate(numbers, start=1))


def _check_chosen(descriptions: Sequence[str | None], chosen: Sequence[str], source: str) -> None:
    if len(chosen) != len(descriptions):
        raise _band_error(f"{source} has {len(descriptions)} bands, but {len(chosen)} names were given.", descriptions)
    unknown = [name for name in chosen if name.strip() != "-" and canonical_band(name) is None]
    if unknown:
        listed = ", ".join(f"'{name}'" for name in unknown)
        raise _band_error(f"Not the name of a Sentinel-2 band: {listed}.", descriptions)


def _band_error(message: str, descriptions: Sequence[str | None]) -> ImageryError:
    names = [canonical_band(description) for description in descriptions]
    caution = ""
    if _only_positions(descriptions) or not any(names):
        names = _usual_order(len(descriptions))
        caution = " Be sure of the order: EuroSAT's files, for one, have B8A last."
    example = [name if name and names.index(name) == position else "-" for position, name in enumerate(names)]
    found = ", ".join(f"{index}: {text or 'no name'}" for index, text in enumerate(descriptions, start=1))
    return ImageryError(
        f"{message} Its bands: {found}.",
        hint="Name every band by its position, '-' for one that is not to be used, "
        f"for example: {','.join(example)} (--bands). Known names: {', '.join(BANDS)}.{caution}",
    )


def _usual_order(count: int) -> list[str | None]:
    """The bands that a stack of so many usually has, to show in an example."""
    if count == len(BANDS):
        return list(BANDS)
    if count == len(BANDS) - 1:  # level 2A has no B10
        return [band for band in BANDS if band != "B10"]
    common = ("B02", "B03", "B04", "B08", "B11", "B12")
    return [common[position] if position < len(common) else None for position in range(count)]


def guess_radiometry(
    dtype: str,
    *,
    nodata: float | None = None,
    gdal_scaling: Iterable[tuple[float, float]] = (),
    tags: Mapping[str, str] | None = None,
    names: Iterable[str] = (),
    has_mask: bool = False,
    scale: float | None = None,
    offset: float | None = None,
    source: str = "the raster",
) -> Radiometry:
    """How a raster's stored numbers become reflectance.

    ``scale`` and ``offset``, given by the analyst, always win. Otherwise GDAL's scale and offset tags count where
    they say anything; else floating point is reflectance already, and integers are DN of 1/10000, minus 1000 from
    processing baseline 04.00 on. Integers without any declared nodata or mask have DN 0 as nodata, as the products do.

    Args:
        dtype: numpy name of the stored type.
        nodata: what the dataset declares, or the analyst; NaN for "no stored number is nodata".
        gdal_scaling: (scale, offset) of each used band, where GDAL's value is ``stored * scale + offset``.
        tags: metadata that may hold ``PROCESSING_BASELINE`` or a product name.
        names: file and folder names that may be, or contain, a product name.
        has_mask: the dataset tells valid pixels by a mask or an alpha band.

    Raises:
        UsageError: a scale or offset that cannot be.
        ImageryError: 8-bit without a scale, or bands scaled differently.
    """
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise UsageError(f"A scale of {scale:g} makes no sense.", hint="Give a number above 0, for example 0.0001.")
    if offset is not None and not math.isfinite(offset):
        raise UsageError(f"An offset of {offset:g} makes no sense.", hint="Give a number of DN, for example -1000.")

    integer = np.dtype(dtype).kind in "iu"
    declared = _declared_scaling(gdal_scaling, source) if scale is None or offset is None else None
    if declared is None:
        if scale is None and np.dtype(dtype).itemsize == 1:
            raise ImageryError(
                f"{source} is 8-bit: what its levels are worth cannot be known.",
                hint="Use the original 16-bit data, or give the scale, the reflectance of one level, "
                "for example 0.00107 for Sentinel-2 true-colour JPEG (--scale).",
            )
        after_baseline_4 = integer and _baseline(tags or {}, names) >= (4, 0)
        declared = (QUANTIFICATION_SCALE if integer else 1.0, BASELINE_4_OFFSET if after_baseline_4 else 0.0)
    if nodata is None and integer and not has_mask:
        nodata = SENTINEL2_NODATA
    return Radiometry(
        scale=declared[0] if scale is None else float(scale),
        offset=declared[1] if offset is None else float(offset),
        nodata=nodata,
    )


def _declared_scaling(gdal_scaling: Iterable[tuple[float, float]], source: str) -> tuple[float, float] | None:
    """GDAL's ``stored * scale + offset`` as our (scale, offset), or None if it says nothing."""
    distinct = set(gdal_scaling)
    if not distinct or distinct == {(1.0, 0.0)}:
        return None
    if len(distinct) > 1:
        raise ImageryError(
            f"The bands of {source} are scaled differently: {sorted(distinct)}.",
            hint="Bring them to one unit, or give one scale and offset for all of them (--scale, --offset).",
        )
    scale, offset = distinct.pop()
    if not (math.isfinite(scale) and scale > 0 and math.isfinite(offset)):
        raise ImageryError(
            f"{source} declares a scale of {scale:g} and an offset of {offset:g}, which make no sense.",
            hint="Give the right ones, for example scale 0.0001 and offset 0 (--scale, --offset).",
        )
    return scale, offset / scale


def _baseline(tags: Mapping[str, str], names: Iterable[str]) -> tuple[int, int]:
    """The newest processing baseline that is told, (0, 0) if none is. 99.99 marks tests and is not told from newer."""
    tagged = [_BASELINE_TAG.fullmatch(value) for key, value in tags.items() if key.upper() == "PROCESSING_BASELINE"]
    named = [_BASELINE_IN_NAME.search(text.upper()) for text in (*tags.values(), *names)]
    return max(((int(found[1]), int(found[2])) for found in (*tagged, *named) if found), default=(0, 0))


def baseline_name(baseline: Sequence[int]) -> str:
    """A processing baseline as ESA writes it: ``(5, 9)`` is ``05.09``; empty if it is not known."""
    return ".".join(f"{number:02d}" for number in baseline)


def check_reflectance(reflectance: NDArray[np.floating], source: str = "the raster") -> None:
    """See to it that a sample of pixels has the magnitude of reflectance, whatever it shows.

    Clouds and snow reach 1.5, dark water stays near 0.01; a wrong scale is wrong by thousands.

    Args:
        reflectance: (n_pixels, n_bands); values that are not finite are ignored.

    Raises:
        ImageryError: the numbers are far too small, far too large, or mostly below zero.
    """
    values = reflectance[np.isfinite(reflectance)]
    if not values.size:
        return
    median, brightest = np.percentile(values, (50, 99))
    told = f"reflectance would be {median:.3g} in the median and {brightest:.3g} in the brightest 1 %"
    if median > 1.6:
        raise ImageryError(
            f"{source} looks like DN read as reflectance: {told}.",
            hint="Give the reflectance of one DN as the scale: 0.0001 for Sentinel-2 (--scale).",
        )
    if median < -0.02:
        raise ImageryError(
            f"{source} looks as if an offset were taken off twice: {told}.",
            hint="If the 1000 DN of processing baseline 04.00 are gone already, give the offset 0 (--offset).",
        )
    if brightest < 0.002:
        raise ImageryError(
            f"{source} looks like reflectance (0-1) read as DN: {told}.",
            hint="If it holds reflectance, give the scale 1 (--scale).",
        )
