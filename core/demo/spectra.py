"""What the demo's land is made of: the 13 bands, the materials' spectra, the classes of the truth.

A pixel of the demo has one *material* (what reflects) and one *class* (what an analyst calls the place): a garden
in a town is grass by material and "Town" by class. Reflectance at the ground is turned into what the satellite sees
by a plain one-layer atmosphere, ``top = path + transmission * ground``.

The magnitudes are typical of those in published spectral libraries (USGS Spectral Library Version 7, Kokaly et al.
2017; ECOSTRESS, Meerdink et al. 2019), rounded to what a 10 m pixel shows in late April in Central Europe. Path and
transmission are fitted by eye to clear level-1C scenes of the region with the sun about 45 degrees high.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Band:
    """One spectral band of the instrument.

    ``centre_um`` is its wavelength in micrometres and ``pixel_m`` its true ground sampling in metres. ``path`` and
    ``transmission`` describe the air, ``redden`` and ``wetting`` say how strongly hue (-1 to 1) and moisture (0 to 1)
    change what the ground reflects, ``cloud`` is the reflectance of an opaque cloud.
    """

    name: str
    centre_um: float
    pixel_m: int
    path: float
    transmission: float
    redden: float
    wetting: float
    cloud: float


BANDS = (
    Band("B01", 0.443, 60, 0.096, 0.78, -0.06, 0.25, 0.58),
    Band("B02", 0.490, 10, 0.064, 0.84, -0.08, 0.27, 0.58),
    Band("B03", 0.560, 10, 0.036, 0.88, -0.05, 0.30, 0.58),
    Band("B04", 0.665, 10, 0.020, 0.92, 0.06, 0.32, 0.60),
    Band("B05", 0.705, 20, 0.016, 0.92, 0.06, 0.33, 0.61),
    Band("B06", 0.740, 20, 0.013, 0.92, 0.03, 0.33, 0.62),
    Band("B07", 0.783, 20, 0.011, 0.94, 0.02, 0.33, 0.63),
    Band("B08", 0.842, 10, 0.009, 0.93, 0.01, 0.33, 0.62),
    Band("B8A", 0.865, 20, 0.008, 0.97, 0.01, 0.34, 0.63),
    Band("B09", 0.945, 60, 0.004, 0.36, 0.01, 0.35, 0.40),
    Band("B10", 1.375, 60, 0.0011, 0.001, 0.0, 0.0, 0.012),
    Band("B11", 1.610, 20, 0.003, 0.96, 0.07, 0.50, 0.42),
    Band("B12", 2.190, 20, 0.001, 0.94, 0.09, 0.58, 0.33),
)

# Ground reflectance in the order of BANDS: 443 490 560 665 705 740 783 842 865 945 1375 1610 2190 nm.
_SPECTRA: dict[str, tuple[float, ...]] = {
    "lake water": (0.022, 0.028, 0.030, 0.014, 0.011, 0.008, 0.007, 0.006, 0.005, 0.004, 0.002, 0.003, 0.002),
    "river water": (0.030, 0.042, 0.058, 0.040, 0.034, 0.022, 0.020, 0.017, 0.015, 0.012, 0.004, 0.007, 0.005),
    "broadleaf": (0.014, 0.019, 0.040, 0.022, 0.074, 0.250, 0.325, 0.348, 0.362, 0.356, 0.180, 0.150, 0.062),
    "conifer": (0.011, 0.014, 0.026, 0.017, 0.048, 0.155, 0.195, 0.212, 0.224, 0.222, 0.095, 0.092, 0.040),
    "scrub": (0.019, 0.027, 0.050, 0.040, 0.090, 0.185, 0.225, 0.240, 0.252, 0.250, 0.190, 0.185, 0.105),
    "grass": (0.023, 0.033, 0.072, 0.050, 0.118, 0.250, 0.300, 0.318, 0.334, 0.330, 0.240, 0.228, 0.126),
    "winter cereal": (0.018, 0.026, 0.064, 0.030, 0.102, 0.345, 0.460, 0.485, 0.505, 0.490, 0.230, 0.182, 0.082),
    "rapeseed": (0.024, 0.034, 0.112, 0.088, 0.170, 0.330, 0.410, 0.435, 0.450, 0.440, 0.240, 0.200, 0.098),
    "stubble": (0.058, 0.084, 0.130, 0.178, 0.205, 0.235, 0.255, 0.275, 0.290, 0.295, 0.300, 0.350, 0.262),
    "ploughed soil": (0.060, 0.080, 0.115, 0.152, 0.172, 0.188, 0.200, 0.214, 0.225, 0.230, 0.260, 0.290, 0.252),
    "seedbed": (0.084, 0.114, 0.162, 0.212, 0.236, 0.254, 0.268, 0.284, 0.296, 0.300, 0.320, 0.360, 0.318),
    "orchard rows": (0.034, 0.047, 0.072, 0.084, 0.122, 0.180, 0.205, 0.218, 0.230, 0.232, 0.250, 0.292, 0.208),
    "reed": (0.030, 0.043, 0.072, 0.086, 0.104, 0.150, 0.172, 0.190, 0.203, 0.200, 0.160, 0.172, 0.104),
    "gravel": (0.135, 0.165, 0.200, 0.225, 0.236, 0.244, 0.250, 0.256, 0.260, 0.260, 0.262, 0.275, 0.240),
    "tiled roof": (0.066, 0.078, 0.100, 0.158, 0.175, 0.190, 0.200, 0.210, 0.216, 0.218, 0.230, 0.262, 0.232),
    "slate roof": (0.064, 0.072, 0.080, 0.086, 0.090, 0.094, 0.097, 0.100, 0.104, 0.105, 0.112, 0.124, 0.120),
    "metal roof": (0.300, 0.340, 0.368, 0.384, 0.388, 0.394, 0.400, 0.408, 0.412, 0.412, 0.400, 0.392, 0.340),
    "concrete": (0.130, 0.156, 0.184, 0.204, 0.212, 0.220, 0.226, 0.232, 0.236, 0.238, 0.245, 0.268, 0.252),
    "asphalt": (0.074, 0.086, 0.098, 0.108, 0.114, 0.120, 0.124, 0.128, 0.132, 0.133, 0.140, 0.154, 0.146),
}

MATERIALS = tuple(_SPECTRA)
REFLECTANCE: NDArray[np.float32] = np.array(list(_SPECTRA.values()), np.float32)  # (materials, bands)


@dataclass(frozen=True)
class LandClass:
    """A class of the truth: its name, map colour and shortcut key.

    ``weight`` multiplies its share of a tile when the tile's one class is decided, ``threshold`` is the share from
    which it counts among the tile's several classes.
    """

    name: str
    colour: str
    key: str
    weight: float = 1.0
    threshold: float = 0.10


CLASSES = (
    LandClass("Annual crop", "#d9c84a", "a"),
    LandClass("Bare soil", "#b98b5e", "b"),
    LandClass("Pasture", "#9fd35f", "p"),
    LandClass("Orchard or vineyard", "#c77fbf", "o"),
    LandClass("Broadleaf forest", "#3c9a3f", "f"),
    LandClass("Conifer forest", "#14532d", "c"),
    LandClass("Wetland", "#58b8a8", "w"),
    LandClass("Town", "#d7301f", "t"),
    LandClass("Industry", "#7b3294", "i"),
    LandClass("Road", "#4d4d4d", "m", weight=20.0, threshold=0.03),
    LandClass("River", "#3f8fd2", "r", weight=5.0, threshold=0.03),
    LandClass("Lake", "#173f8a", "l"),
)


def material(name: str) -> int:
    """The index of a material in :data:`REFLECTANCE`."""
    return MATERIALS.index(name)


def land_class(name: str) -> int:
    """The index of a class in :data:`CLASSES`."""
    return [known.name for known in CLASSES].index(name)
