"""What is known about each pixel of the demo before an instrument looks at it, and how it is painted there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .noise import Field
from .spectra import land_class, material


@dataclass(frozen=True)
class Canvas:
    """Maps (H, W) that the painters fill in, one after another, later over earlier.

    ``material`` and ``land`` index :data:`spectra.MATERIALS` and :data:`spectra.CLASSES`; ``bareness`` 0-1 is the
    share of soil that shows between plants, ``moisture`` 0-1 how wet it is, ``hue`` about -1 to 1 how reddish;
    ``tone`` multiplies the brightness; ``grain`` is how much a material varies from pixel to pixel; ``water`` and
    ``road`` 0-1 are lines that lie over everything else, with their share of the pixel.
    """

    material: NDArray[np.uint8]
    land: NDArray[np.uint8]
    bareness: Field
    moisture: Field
    hue: Field
    tone: Field
    grain: Field
    water: Field
    road: Field

    @classmethod
    def blank(cls, size_px: int) -> Canvas:
        """An empty canvas: dry grass everywhere."""
        shape = (size_px, size_px)
        zeros = [np.zeros(shape, np.float32) for _ in range(6)]
        return cls(
            material=np.full(shape, material("grass"), np.uint8),
            land=np.full(shape, land_class("Pasture"), np.uint8),
            bareness=zeros[0],
            moisture=zeros[1],
            hue=zeros[2],
            tone=np.ones(shape, np.float32),
            grain=zeros[3],
            water=zeros[4],
            road=zeros[5],
        )

    def paint(self, where: NDArray[np.bool_], of: str, land: str | None = None, *, grain: float = 0.05) -> None:
        """Cover pixels with a material, and give them a class unless the place keeps the one it has."""
        self.material[where] = material(of)
        if land is not None:
            self.land[where] = land_class(land)
        for quality in (self.bareness, self.moisture, self.hue):
            quality[where] = 0
        self.tone[where] = 1
        self.grain[where] = grain
