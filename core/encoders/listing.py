"""Which encoders there are, and whether each can be used now. Needs no torch, so that asking is quick."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from .registry import FLOOR, how_to_get_weights, missing_for, shipped_files, weights_here
from .spec import EncoderSpec, read_spec

INSTALL_TORCHGEO = 'Install it into the engine\'s Python: pip install "quadrat[torchgeo]".'


@dataclass(frozen=True)
class EncoderInfo:
    """What an analyst wants to know before choosing.

    ``bands`` is None for an encoder that takes any; ``dimension``, the numbers a tile, is None where it depends on the
    bands. ``missing`` says for bands what may stand in for them. ``available`` means usable now, without a network;
    ``reason`` says why not, and what to do. ``downloadable`` means that its weights come by themselves at first use;
    ``trainable`` that a training can go on from it.
    """

    name: str
    summary: str
    dimension: int | None
    available: bool
    reason: str = ""
    downloadable: bool = False
    bands: tuple[str, ...] | None = None
    missing: tuple[tuple[str, str], ...] = ()
    size_px: int | None = None
    unit: str = ""
    architecture: str = ""
    licence: str = ""
    source: str = ""
    trainable: bool = False


TRAINABLE = ("densenet121", "resnet18", "resnet18_half", "resnet50")
"""The networks of ``architectures.STAGES``; to ask there would take the second that torch takes to import."""


def list_encoders(bands: Sequence[str] | None = None) -> list[EncoderInfo]:
    """The encoders that can be called by name; with the ``bands`` of some imagery, whether they suit it."""
    return [describe_statistics(bands), *(describe(read_spec(file), bands) for file in shipped_files())]


def describe_statistics(bands: Sequence[str] | None = None) -> EncoderInfo:
    """The facts about the encoder ``statistics``."""
    summary = "Mean, spread, minimum and maximum of every band. Takes any bands, needs no weights, is fast anywhere."
    dimension = None if bands is None else 4 * len(bands)
    return EncoderInfo(FLOOR, summary, dimension, True, unit="reflectance", licence="none needed")


def describe(spec: EncoderSpec, bands: Sequence[str] | None = None) -> EncoderInfo:
    """The facts about a network encoder."""
    lacking = missing_for(spec, bands) if bands is not None else []
    here = weights_here(spec) is not None
    if lacking:
        reason = f"It needs {', '.join(lacking)}, but the project has only {', '.join(bands or ())}."
    elif not here and spec.url:
        reason = "Its weights are not here yet; they are fetched when it is first used."
    elif not here:
        reason = f"Its weights are not here. {how_to_get_weights(spec)}"
    else:
        reason = ""
    return EncoderInfo(
        name=spec.name,
        summary=spec.summary or f"A network ({spec.architecture}) that sees texture and shape too.",
        dimension=spec.dimension,
        available=here and not lacking,
        reason=reason,
        downloadable=bool(spec.url) and not lacking,
        bands=spec.input.bands,
        missing=tuple(spec.input.missing.items()),
        size_px=spec.input.size_px,
        unit=spec.input.unit,
        architecture=spec.architecture,
        licence=spec.licence,
        source=spec.source,
        trainable=spec.architecture in TRAINABLE,
    )


def torchgeo_state() -> str:
    """Why torchgeo's encoders cannot be used, and what to do; empty if they can."""
    if importlib.util.find_spec("torchgeo") is not None:
        return ""
    return f"torchgeo is not installed. {INSTALL_TORCHGEO}"
