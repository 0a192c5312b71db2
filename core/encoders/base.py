"""What every encoder is: a name, the bands it sees, and one function from reflectance to vectors.

The public method :meth:`Encoder.encode` checks its input and then calls the hook :meth:`Encoder._forward`, so that no
encoder can forget the checks. Wrong units silently cost tens of points of accuracy; here they are an error.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import EncoderError

# Typical reflectance lies between 0.01 and 1; clouds and snow reach 1.5, glint and hot spots a little more. A batch
# whose median is beyond this is not reflectance but digital numbers.
IMPLAUSIBLE_MEDIAN = 3.0


@dataclass(frozen=True)
class EncoderCard:
    """What is known of an encoder without loading it.

    ``bands`` is None for an encoder that takes whatever bands there are. ``fingerprint`` changes whenever the same
    tile could get another vector; cached embeddings are keyed by it.
    """

    name: str
    bands: tuple[str, ...] | None
    fingerprint: str
    licence: str = ""
    source: str = ""


class Encoder(ABC):
    """Turns tiles into vectors. Frozen: it learns nothing from the analyst's labels."""

    def __init__(self, card: EncoderCard) -> None:
        self.card = card

    @property
    def tiles_together(self) -> int:
        """How many tiles are encoded fastest at a time."""
        return 256

    def encode(self, reflectance: np.ndarray, bands: Sequence[str]) -> np.ndarray:
        """Embed a batch of tiles.

        Args:
            reflectance: ``(B, bands, H, W)`` float32, finite, surface or top-of-atmosphere reflectance (about 0-1).
            bands: the name of each band, in the order of axis 1.

        Returns:
            ``(B, d)`` float32.

        Raises:
            EncoderError: a band is missing, the values cannot be reflectance, or the shape is wrong.
        """
        if reflectance.ndim != 4 or reflectance.shape[1] != len(bands):
            raise EncoderError(
                f"Encoder {self.card.name} was given an array of shape {reflectance.shape} for {len(bands)} bands.",
                hint="This is a fault in Quadrat; please report it.",
            )
        _check_values(self.card.name, reflectance)
        order = self.band_order(bands)
        in_order = order == list(range(len(bands)))  # then a copy of all pixels is saved
        return self._forward(reflectance if in_order else reflectance[:, order])

    def band_order(self, bands: Sequence[str]) -> list[int]:
        """Positions in ``bands`` of the bands this encoder wants, in its own order."""
        wanted = self.card.bands if self.card.bands is not None else tuple(bands)
        missing = [band for band in wanted if band not in bands]
        if missing:
            raise EncoderError(
                f"Encoder {self.card.name} needs {', '.join(missing)}, but the project has only {', '.join(bands)}.",
                hint="Tile a raster that has these bands, or choose the encoder 'statistics', which takes any bands.",
            )
        return [list(bands).index(band) for band in wanted]

    @abstractmethod
    def _forward(self, reflectance: np.ndarray) -> np.ndarray:
        """``(B, bands, H, W)`` checked reflectance, bands in the encoder's order -> ``(B, d)`` float32."""


def _check_values(name: str, reflectance: np.ndarray) -> None:
    """Refuse what cannot be reflectance; every 16th pixel of each axis is enough to see it."""
    sample = reflectance[:, :, ::16, ::16]
    if sample.size and not np.isfinite(sample).all():
        raise EncoderError(
            f"Encoder {name} was given pixels that are not finite.",
            hint="This is a fault in Quadrat; please report it.",
        )
    if sample.size and float(np.median(np.abs(sample))) > IMPLAUSIBLE_MEDIAN:
        raise EncoderError(
            f"Encoder {name} expects reflectance (about 0 to 1) but got values around {np.median(sample):.4g}.",
            hint="Tile the raster again with the right scale, for example 0.0001 for digital numbers (--scale).",
        )
