"""What every encoder is: a name, the bands it sees, and one function from reflectance to vectors.

The public method :meth:`Encoder.encode` checks its input and then calls the hook :meth:`Encoder._forward`, so that no
encoder can forget the checks. Wrong units silently cost tens of points of accuracy; here they are an error.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import EncoderError

# Typical reflectance lies between 0.01 and 1; clouds and snow reach 1.5, glint and hot spots a little more. A batch
# whose median is beyond this is not reflectance but digital numbers.
IMPLAUSIBLE_MEDIAN = 3.0


@dataclass(frozen=True)
class EncoderCard:
    """What is known of an encoder without loading it.

    ``bands`` is None for an encoder that takes whatever bands there are. ``fingerprint`` changes whenever the same
    tile could get another vector; cached embeddings are keyed by it. ``stand_ins`` says for bands that may be missing
    what is put there: a reflectance, or the name of a band to copy.
    """

    name: str
    bands: tuple[str, ...] | None
    fingerprint: str
    licence: str = ""
    source: str = ""
    stand_ins: Mapping[str, float | str] = field(default_factory=dict)


class Encoder(ABC):
    """Turns tiles into vectors. Frozen: it learns nothing from the analyst's labels."""

    def __init__(self, card: EncoderCard) -> None:
        self.card = card

    @property
    def tiles_together(self) -> int:
        """How many tiles are encoded fastest at a time."""
        return 256

    @property
    def remark(self) -> str:
        """What the analyst may want to know of how the vectors are computed; empty if nothing."""
        return ""

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
        return self._forward(self.arrange(reflectance, bands))

    def arrange(self, reflectance: np.ndarray, bands: Sequence[str]) -> np.ndarray:
        """``(B, bands, H, W)`` in the order of this encoder's own bands, with something in place of missing ones.

        Raises:
            EncoderError: as :meth:`missing_bands`.
        """
        wanted = self.card.bands if self.card.bands is not None else tuple(bands)
        if wanted == tuple(bands):
            return reflectance  # a copy of all pixels is saved
        missing = self.missing_bands(bands)
        arranged = np.empty((len(reflectance), len(wanted), *reflectance.shape[2:]), np.float32)
        for position, band in enumerate(wanted):
            source = missing.get(band, band)
            arranged[:, position] = reflectance[:, bands.index(source)] if isinstance(source, str) else source
        return arranged

    def missing_bands(self, bands: Sequence[str]) -> dict[str, float | str]:
        """The bands this encoder wants and ``bands`` lacks, with what its specification puts in their place.

        Raises:
            EncoderError: nothing may stand in for a band, or what should be copied is not there either.
        """
        wanted = self.card.bands if self.card.bands is not None else tuple(bands)
        refused = refused_bands(wanted, bands, self.card.stand_ins)
        if refused:
            raise EncoderError(
                f"Encoder {self.card.name} needs {', '.join(refused)}, but the project has only {', '.join(bands)}.",
                hint="Tile a raster that has these bands, choose an encoder that needs fewer (quadrat encoders lists "
                "them; 'statistics' takes any), or say in the encoder file what stands in for them ([input.missing]).",
            )
        return {band: self.card.stand_ins[band] for band in wanted if band not in bands}

    @abstractmethod
    def _forward(self, reflectance: np.ndarray) -> np.ndarray:
        """``(B, bands, H, W)`` checked reflectance, bands in the encoder's order -> ``(B, d)`` float32."""


def refused_bands(wanted: Sequence[str], bands: Sequence[str], stand_ins: Mapping[str, float | str]) -> list[str]:
    """Those of the ``wanted`` bands that are not among ``bands`` and for which nothing can stand in."""
    return [
        band
        for band in wanted
        if band not in bands
        and (band not in stand_ins or (isinstance(stand_ins[band], str) and stand_ins[band] not in bands))
    ]


def say_stand_ins(name: str, stand_ins: Mapping[str, float | str]) -> str:
    """One sentence on what an encoder gets in place of missing bands; empty if none is missing."""
    parts = [
        f"{band} is a copy of {source}" if isinstance(source, str) else f"{band} is {source:.4g} everywhere"
        for band, source in stand_ins.items()
    ]
    return f"The imagery lacks bands that {name} was trained with; in their place {', '.join(parts)}." if parts else ""


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
