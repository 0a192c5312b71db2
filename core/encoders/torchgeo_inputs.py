"""What torchgeo's weights do not say of themselves: the unit of their input, and wavelengths.

torchgeo's transforms divide by something, so they imply a unit; their makers' texts say which:

* SSL4EO-S12 (MoCo, DINO, MAE, DeCUR, SoftCon ...), SSL4Eco and CLOSP: DN, 10,000 for a reflectance of 1.
* Satlas: the true-colour image for red, green and blue, which for L1C has 255 at a reflectance of 0.3558, and DN up to
  8160 for the others (allenai/satlas, Normalization.md; Sentinel-2 User Guide, definitions, TCI).
* DOFA: the same bands, all as 0-255, less their mean and by their deviation (zhu-xlab/DOFA, README).
* Panopticon: any bands, normalised by the statistics of the data (Panopticon-FM/panopticon, README). Here those of the
  L1C images of SSL4EO-S12.
* SeCo: its makers give the quantiles for blue, green, red (seasonal-contrast, seco_dataset.py), torchgeo uses them in
  the same order for red, green, blue, and nothing says how its 8-bit images were made of DN. So it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..errors import EncoderError

TCI_WHITE = 0.3558
DN_GAIN = 10_000.0
SATLAS_MAXIMUM_DN = 8160.0
TRUE_COLOUR = ("B04", "B03", "B02")
OTHER_TASKS = ("Unet_Weights", "EarthLoc_Weights")

# zhu-xlab/DOFA, README: mean and deviation in 0-255, wavelength in micrometres.
DOFA = {
    "B04": (114.1099739, 77.84352553, 0.665),
    "B03": (114.81779093, 69.96844919, 0.56),
    "B02": (126.63977424, 67.42465279, 0.49),
    "B05": (84.33539309, 64.57022983, 0.705),
    "B06": (97.84789168, 61.72545487, 0.74),
    "B07": (103.94461911, 61.34187099, 0.783),
    "B08": (101.435633, 60.29744676, 0.842),
    "B11": (72.32804172, 47.88519516, 1.61),
    "B12": (56.66528851, 42.55886798, 2.19),
}
# zhu-xlab/SSL4EO-S12, S2C_MEAN and S2C_STD: mean and deviation in DN of L1C. Central wavelength of Sentinel-2A in
# nanometres (Sentinel-2 User Guide), which is how Panopticon tells bands apart.
PANOPTICON = {
    "B01": (1612.9, 791.0, 442.7),
    "B02": (1397.6, 854.3, 492.4),
    "B03": (1322.3, 878.7, 559.8),
    "B04": (1373.1, 1144.9, 664.6),
    "B05": (1561.0, 1127.5, 704.1),
    "B06": (2108.4, 1164.2, 740.5),
    "B07": (2390.7, 1276.0, 782.8),
    "B08": (2318.7, 1249.5, 832.8),
    "B8A": (2581.0, 1345.9, 864.7),
    "B09": (837.7, 577.5, 945.1),
    "B10": (22.0, 47.5, 1373.5),
    "B11": (2195.2, 1340.0, 1613.7),
    "B12": (1537.4, 1142.9, 2202.4),
}


@dataclass(frozen=True)
class Family:
    """How weights want their bands: ``(min(reflectance * gain, ceiling) - mean) / std``, one number a band.

    ``wavelengths`` are for networks that take any bands. ``stand_ins`` as in :class:`.base.EncoderCard`.
    """

    bands: tuple[str, ...]
    gain: tuple[float, ...]
    ceiling: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    wavelengths: tuple[float, ...] = ()
    stand_ins: Mapping[str, float | str] = field(default_factory=dict)

    def with_bands(self, bands: tuple[str, ...]) -> Family:
        """The same for some of the bands, in another order.

        Raises:
            EncoderError: the network takes only all of them, or does not know one.
        """
        if not self.wavelengths:
            raise EncoderError("These weights take just the bands they were trained with.", hint="Leave [...] out.")
        unknown = [band for band in bands if band not in self.bands]
        if unknown or len(set(bands)) != len(bands):
            raise EncoderError(
                f"The bands {', '.join(bands)} cannot be used with these weights.",
                hint=f"Name some of {', '.join(self.bands)}, each once.",
            )
        order = [self.bands.index(band) for band in bands]
        columns = (self.gain, self.ceiling, self.mean, self.std, self.wavelengths)
        gain, ceiling, mean, std, wavelengths = (tuple(column[at] for at in order) for column in columns)
        return Family(bands, gain, ceiling, mean, std, wavelengths)

    def in_unit(self, reflectance: torch.Tensor) -> torch.Tensor:
        """``(B, bands, H, W)`` reflectance in the unit that the transforms expect; a new tensor."""
        gain, ceiling, mean, std = (
            reflectance.new_tensor(values).view(1, -1, 1, 1)
            for values in (self.gain, self.ceiling, self.mean, self.std)
        )
        return torch.minimum(reflectance * gain, ceiling).sub_(mean).div_(std)


def family_of(name: str, meta: Mapping[str, Any]) -> Family:
    """How torchgeo's weights ``name`` want their bands.

    Raises:
        EncoderError: they are not for one Sentinel-2 image, or what they want is not documented.
    """
    if name.endswith("DOFA_MAE"):
        return _any_bands(DOFA, _satlas(tuple(DOFA), 255.0))
    if name.startswith("Panopticon"):
        return _any_bands(PANOPTICON, _dn(tuple(PANOPTICON)))
    bands = tuple(_canonical(band) for band in meta.get("bands", ()))
    # Landsat's bands have names like those of Sentinel-2, but are others.
    sentinel2 = "SENTINEL2" in name and not name.startswith(OTHER_TASKS)
    if not sentinel2 or not set(bands) <= PANOPTICON.keys() or len(bands) != meta.get("in_chans"):
        raise _refused(name, "they are not those of an encoder for Sentinel-2 bands")
    if name.endswith("_SECO"):
        raise _refused(name, "how their input is scaled is documented in contradictory ways")
    if name.endswith("_SATLAS"):
        return _satlas(bands, SATLAS_MAXIMUM_DN)
    return _dn(bands)


def _canonical(band: str) -> str:
    """``B8a``, ``B2`` as ``B8A``, ``B02``."""
    band = band.upper()
    return band if len(band) == 3 else f"B0{band[1:]}"


def _dn(bands: tuple[str, ...]) -> Family:
    n = len(bands)
    # As in the encoder files for SSL4EO-S12: L2A has no B10.
    stand_ins = {"B10": 0.0} if "B10" in bands else {}
    return Family(bands, (DN_GAIN,) * n, (float("inf"),) * n, (0.0,) * n, (1.0,) * n, stand_ins=stand_ins)


def _satlas(bands: tuple[str, ...], maximum: float) -> Family:
    """True colour as 0-255; the other bands' DN up to 8160 as 0-``maximum``."""
    n = len(bands)
    gain = tuple(255.0 / TCI_WHITE if band in TRUE_COLOUR else DN_GAIN * maximum / SATLAS_MAXIMUM_DN for band in bands)
    ceiling = tuple(255.0 if band in TRUE_COLOUR else maximum for band in bands)
    return Family(bands, gain, ceiling, (0.0,) * n, (1.0,) * n)


def _any_bands(facts: Mapping[str, tuple[float, float, float]], family: Family) -> Family:
    """A family that is normalised here and told the wavelengths; nothing stands in for a band it can do without."""
    mean, std, wavelengths = zip(*(facts[band] for band in family.bands), strict=True)
    return replace(family, mean=mean, std=std, wavelengths=wavelengths, stand_ins={})


def _refused(name: str, why: str) -> EncoderError:
    return EncoderError(
        f"The weights {name} cannot be used: {why}.",
        hint="Choose others; quadrat encoders torchgeo lists them.",
    )
