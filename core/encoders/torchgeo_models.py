"""Any of torchgeo's Sentinel-2 networks by the name of its weights, with torchgeo's own transforms and bands.

torchgeo is an optional extra. The name is ``torchgeo:ENUM.MEMBER`` as torchgeo writes it, for example
``torchgeo:ResNet50_Weights.SENTINEL2_RGB_MOCO``. Two things may follow:

* ``[B04,B03,B02]``, for networks that take any bands (DOFA, Panopticon): use these instead of all they know but B10;
* ``@FILE``: weights that were fetched by hand. Otherwise they come from the folder of weights or its address, which
  needs a hash to pin them; torchgeo writes most of them into the file's name.

torchgeo builds the network; the file is read by Quadrat, as tensors only, and never by unpickling.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..architectures import file_sha256, read_state_dict
from ..errors import EncoderError, UnknownEncoderError, nearest
from ..monitor import SILENT, Monitor
from .base import EncoderCard, refused_bands
from .listing import INSTALL_TORCHGEO, EncoderInfo, torchgeo_state
from .networks import NetworkEncoder
from .registry import TORCHGEO
from .torchgeo_inputs import Family, family_of

SIZE_PX = 224
"""What the networks were trained at, where their transforms do not say."""
KNOWN_HASHES = {
    # Of the Git LFS pointer at the revision that torchgeo's address names.
    "B13_rn50_softcon.pth": "5f64839824b539fe9c3d93dc651ffd6bfa2a80fb2a88aca1dad56a37946622e6",
}
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.\w+$")
_NAME = re.compile(r"(?P<weights>\w+\.\w+)(\[(?P<bands>[^\]]*)\])?(@(?P<file>.+))?")


@dataclass(frozen=True)
class Wanted:
    """A name, understood: the network that torchgeo calls ``builder``, its ``weights`` entry, its input, the file."""

    name: str
    builder: str
    weights: Any
    family: Family
    file: Path | None


def load_torchgeo(name: str, device: str = "cpu", monitor: Monitor = SILENT) -> NetworkEncoder:
    """The encoder ``torchgeo:name``; see the module's text.

    Raises:
        EncoderError: torchgeo is not installed or has no such weights, they are not for Sentinel-2, what input they
            want is not documented, or the file is missing, wrong or does not fit.
    """
    wanted = find(name)
    file = wanted.file or _fetched(wanted.weights, monitor)
    preparation = Preparation(wanted.family, wanted.weights.transforms)
    described = json.dumps(
        [str(wanted.weights), asdict(wanted.family), str(wanted.weights.transforms), preparation.size_px]
    )
    card = EncoderCard(
        name=f"{TORCHGEO}{wanted.weights}",
        bands=wanted.family.bands,
        fingerprint=hashlib.sha256(f"{file_sha256(file)} {described}".encode()).hexdigest(),
        source=wanted.weights.url,
        stand_ins=wanted.family.stand_ins,
    )
    return NetworkEncoder(card, _network(wanted, file), preparation, device)


def describe_torchgeo(name: str, bands: Sequence[str] | None = None) -> EncoderInfo:
    """The facts about the encoder ``torchgeo:name``.

    Raises:
        EncoderError: as :func:`load_torchgeo`, but for the file.
    """
    from ..downloads import find_weights

    wanted = find(name)
    meta, url = wanted.weights.meta, wanted.weights.url
    sha256 = published_hash(url)
    lacking = [] if bands is None else refused_bands(wanted.family.bands, bands, wanted.family.stand_ins)
    here = wanted.file is not None or (bool(sha256) and find_weights(_file_name(url), sha256) is not None)
    if lacking:
        reason = f"It needs {', '.join(lacking)}, but the project has only {', '.join(bands or ())}."
    elif here:
        reason = ""
    elif sha256:
        reason = "Its weights are not here yet; they are fetched when it is first used."
    else:
        reason = f"No hash is published for its weights. Get {url} and write {TORCHGEO}{name}@PATH/{_file_name(url)}"
    return EncoderInfo(
        name=f"{TORCHGEO}{name}",
        summary=f"{meta['model']} of torchgeo, trained on {meta.get('dataset', 'images of many sensors')}.",
        dimension=None,
        available=here and not lacking,
        reason=reason,
        downloadable=bool(sha256) and not lacking,
        bands=wanted.family.bands,
        size_px=Preparation(wanted.family, wanted.weights.transforms).size_px,
        architecture=meta["model"],
        licence="see the source",
        source=f"{meta.get('repo', '')} {meta.get('publication', '')}".strip(),
    )


def list_weights() -> dict[str, str]:
    """The weights that torchgeo has for Sentinel-2: ``ENUM.MEMBER``, and why they cannot be used or an empty text."""
    found = {}
    for _, weights in _all_weights():
        try:
            family_of(str(weights), weights.meta)
            found[str(weights)] = ""
        except EncoderError as error:
            if "SENTINEL2" in weights.name:
                found[str(weights)] = error.message.partition(": ")[2]
    return found


def find(name: str) -> Wanted:
    """Understand what stands after ``torchgeo:``."""
    parts = _NAME.fullmatch(name)
    if parts is None:
        raise UnknownEncoderError(
            f"{TORCHGEO}{name} does not name weights.",
            hint=f"Write {TORCHGEO}ENUM.MEMBER, for example {TORCHGEO}ResNet50_Weights.SENTINEL2_RGB_MOCO.",
        )
    by_name = {str(weights): (builder, weights) for builder, weights in _all_weights()}
    if parts["weights"] not in by_name:
        hint = f"{nearest(parts['weights'], by_name)} quadrat encoders torchgeo lists them."
        raise UnknownEncoderError(f"torchgeo has no weights called {parts['weights']!r}.", hint=hint)
    builder, weights = by_name[parts["weights"]]
    family = family_of(str(weights), weights.meta)
    if parts["bands"] is not None:
        family = family.with_bands(tuple(band.strip() for band in parts["bands"].split(",")))
    elif family.wavelengths:
        family = family.with_bands(tuple(band for band in family.bands if band != "B10"))  # L2A has none
    return Wanted(name, builder, weights, family, Path(parts["file"]).expanduser() if parts["file"] else None)


def _all_weights() -> list[tuple[str, Any]]:
    """Every network of torchgeo that has published weights, with each of them."""
    torchgeo = _torchgeo()
    found = []
    for builder in torchgeo.list_models():
        try:
            found += [(builder, weights) for weights in torchgeo.get_model_weights(builder)]
        except KeyError:  # a network without published weights
            continue
    return found


def _torchgeo() -> Any:
    """The module ``torchgeo.models``; it takes seconds to import.

    Raises:
        EncoderError: it is not installed, or broken.
    """
    if torchgeo_state():
        raise EncoderError("torchgeo is not installed.", hint=INSTALL_TORCHGEO)
    try:
        return importlib.import_module("torchgeo.models")
    except ImportError as error:
        raise EncoderError(
            "torchgeo is installed, but cannot be imported.", hint=INSTALL_TORCHGEO, details=str(error)
        ) from error


def published_hash(url: str) -> str:
    """The hash of published weights or its beginning; empty if nobody published one."""
    file = _file_name(url)
    in_name = _HASH_IN_NAME.search(file)
    return KNOWN_HASHES.get(file) or (in_name[1] if in_name else "")


def _file_name(url: str) -> str:
    return url.rsplit("/", 1)[-1]


def _fetched(weights: Any, monitor: Monitor) -> Path:
    from ..downloads import weights_file

    file, sha256 = _file_name(weights.url), published_hash(weights.url)
    if not sha256:
        raise EncoderError(
            f"No hash is published for the weights {weights}, so Quadrat does not fetch them by itself.",
            hint=f"Download {weights.url} and write {TORCHGEO}{weights}@PATH/{file}",
        )
    return weights_file(file, weights.url, sha256, monitor)


@dataclass(frozen=True)
class _Read:
    """Stands in for torchgeo's entry while it builds the network: weights that were read already."""

    meta: Mapping[str, Any]
    state: dict[str, torch.Tensor]

    def get_state_dict(self, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:  # noqa: ARG002
        return self.state


class _AnyBands(nn.Module):
    """DOFA and Panopticon also want to know the wavelengths of the bands."""

    def __init__(self, model: nn.Module, wavelengths: tuple[float, ...], *, in_dict: bool) -> None:
        super().__init__()
        self.model = model
        self.wavelengths = list(wavelengths)
        self.in_dict = in_dict

    def forward(self, prepared: torch.Tensor) -> torch.Tensor:
        if self.in_dict:
            # Panopticon rounds these numbers in place, so it gets new ones each time.
            chn_ids = torch.tensor(self.wavelengths, device=prepared.device).repeat(len(prepared), 1)
            features: torch.Tensor = self.model({"imgs": prepared, "chn_ids": chn_ids})
        else:
            features = self.model(prepared, self.wavelengths)
        return features


def _network(wanted: Wanted, file: Path) -> nn.Module:
    """The network without its classifier, with the weights of ``file``."""
    builder, family = wanted.builder, wanted.family
    read = _Read(wanted.weights.meta, dict(read_state_dict(file)))
    # timm leaves the classifier out if told so; of the others it is taken off afterwards.
    options = {"num_classes": 0} if builder.startswith(("resnet", "vit")) else {}
    try:
        model: nn.Module = _torchgeo().get_model(builder, weights=read, **options)
    except (AssertionError, KeyError, RuntimeError) as error:
        raise EncoderError(
            f"{file.name} does not hold the weights {wanted.weights}.",
            hint=f"Check which file was given; it should be the one from {wanted.weights.url}",
            details="\n".join(line.strip()[:160] for line in str(error).splitlines()[:4]),
        ) from error
    if builder.startswith(("swin", "dofa")):
        model.head = nn.Identity()
    if family.wavelengths:
        return _AnyBands(model, family.wavelengths, in_dict=builder.startswith("panopticon"))
    return model


class Preparation:
    """Reflectance to what the weights were trained on: the family's unit, then torchgeo's own transforms.

    Where these do not resize but cut out the centre, or leave the size alone, the tile is resized before, so that the
    network sees all of it.
    """

    def __init__(self, family: Family, transforms: Any) -> None:
        self.family = family
        self.transforms = transforms
        self.resizes = any("Resize" in type(step).__name__ for step in transforms.modules())
        large = 4 * SIZE_PX
        size: int = transforms(torch.zeros(1, len(family.bands), large, large)).shape[-1]
        self.size_px = SIZE_PX if size == large else size

    def prepare(self, reflectance: torch.Tensor) -> torch.Tensor:
        """``(B, bands, H, W)`` reflectance -> ``(B, bands, size_px, size_px)``."""
        pixels = self.family.in_unit(reflectance)
        size = (self.size_px, self.size_px)
        if not self.resizes and pixels.shape[-2:] != size:
            pixels = nn.functional.interpolate(pixels, size=size, mode="bilinear", antialias=True)
        prepared: torch.Tensor = self.transforms(pixels)
        return prepared
