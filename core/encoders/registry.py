"""Find an encoder by what the analyst says: a name, an encoder file, or a weights file.

* ``statistics``: always there.
* ``NAME``: an encoder that comes with Quadrat, ``resources/encoders/NAME.toml`` or ``NAME.safetensors``.
* ``FILE.toml``: an encoder file; ``FILE.pth``, ``.pt`` or ``.safetensors``: weights. What input weights want is said by
  an encoder file of the same name beside them, by their own metadata, or by the shipped encoder that pins their hash.
* ``torchgeo:NAME``: one of torchgeo's weights, see :mod:`.torchgeo_models`.

Weights that are not beside their encoder file are looked for in the folder of weights, and fetched if the encoder says
from where.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EncoderError, UnknownEncoderError
from ..monitor import SILENT, Monitor
from .base import refused_bands
from .spec import EncoderSpec, has_spec, read_spec

if TYPE_CHECKING:
    from .base import Encoder

SHIPPED = Path(__file__).resolve().parents[2] / "resources" / "encoders"
WEIGHTS_SUFFIXES = (".pth", ".pt", ".safetensors")
AUTO = "auto"
"""Stands for the encoder that a project already has, else for the best one that is at hand."""
DEFAULT_ENCODER = AUTO
FLOOR = "statistics"
PREFERRED = ("quadrat-rgb",)
"""Shipped with their weights, the best first."""
TORCHGEO = "torchgeo:"


def load_encoder(name: str, device: str = "cpu", monitor: Monitor = SILENT) -> Encoder:
    """The encoder called ``name`` (see the module's text), ready to use on ``device``.

    ``monitor`` is told of a download.

    Raises:
        EncoderError: it is not known, its files are missing or do not fit together, or cannot be fetched.
    """
    if name == FLOOR:
        from .statistics import StatisticsEncoder

        return StatisticsEncoder()
    if name.startswith(TORCHGEO):
        from .torchgeo_models import load_torchgeo

        return load_torchgeo(name.removeprefix(TORCHGEO), device, monitor)
    from .networks import load_network

    return load_network(find_network_with_weights(name, monitor), device)


def best_available(bands: Sequence[str]) -> str:
    """The name of the best encoder that needs nothing but what is here, for imagery with these bands."""
    for name in PREFERRED:
        path = SHIPPED / f"{name}.safetensors"
        if path.is_file() and not missing_for(read_spec(path), bands):
            return name
    return FLOOR


def names_file(name: str) -> bool:
    """Whether an encoder is named by a path."""
    return not name.startswith(TORCHGEO) and Path(name).suffix in (".toml", *WEIGHTS_SUFFIXES)


def absolute(name: str) -> str:
    """The name of an encoder such that it means the same in every folder."""
    if name.startswith(TORCHGEO) and "@" in name:
        weights, _, file = name.partition("@")
        return f"{weights}@{Path(file).expanduser().absolute()}"
    return str(Path(name).expanduser().absolute()) if names_file(name) else name


def missing_for(spec: EncoderSpec, bands: Sequence[str]) -> list[str]:
    """The bands that an encoder must have and ``bands`` lack."""
    return refused_bands(spec.input.bands, bands, spec.input.stand_ins())


def find_network(name: str) -> EncoderSpec:
    """The specification of the network encoder called ``name``.

    Raises:
        UnknownEncoderError: there is none.
        EncoderError: the file that is named is missing or damaged.
    """
    path = Path(name).expanduser()
    if path.suffix in WEIGHTS_SUFFIXES:
        return _spec_of_weights(path)
    if path.suffix == ".toml":
        return read_spec(path)
    for file in shipped_files():
        if file.stem == name:
            return read_spec(file)
    known = ", ".join([FLOOR, *(file.stem for file in shipped_files()), f"{TORCHGEO}NAME"])
    raise UnknownEncoderError(
        f"There is no encoder called {name!r}.",
        hint=f"Known names: {known}. Or give an encoder file (.toml) or a weights file (.pth, .safetensors).",
    )


def shipped_files() -> Iterator[Path]:
    """The encoders that come with Quadrat, by name: encoder files, and weights that carry their specification."""
    files = [*SHIPPED.glob("*.toml"), *filter(has_spec, SHIPPED.glob("*.safetensors"))]
    yield from sorted(files, key=lambda file: file.stem)


def weights_here(spec: EncoderSpec) -> Path | None:
    """Where the weights of an encoder lie: as it says, or in the folder of weights; None if nowhere."""
    from ..downloads import find_weights

    if spec.weights.is_file():
        return spec.weights
    return find_weights(spec.weights.name, spec.sha256) if spec.sha256 else None


def how_to_get_weights(spec: EncoderSpec) -> str:
    """What to do where the weights of an encoder are neither here nor published under an address, in a sentence.

    To name the file itself as the encoder would do for one of the encoders that share it, not for the others.
    """
    from ..downloads import FOLDER_VARIABLE, weights_folder

    source = f" from {spec.source}" if spec.source else ""
    if spec.sha256:
        place = f"into the folder of weights, {weights_folder()} ({FOLDER_VARIABLE} names another one)"
    else:
        place = f"into {spec.weights.parent}"
    return f"Get {spec.weights.name}{source}, put it {place}, and name the encoder again."


def find_network_with_weights(name: str, monitor: Monitor) -> EncoderSpec:
    """The same as :func:`find_network`, with the weights where they are, fetched if need be.

    Raises:
        EncoderError: there is no such encoder, or its weights cannot be fetched.
    """
    from ..downloads import weights_file

    spec = find_network(name)
    here = weights_here(spec)
    if here is None and spec.url:
        here = weights_file(spec.weights.name, spec.url, spec.sha256, monitor)
    return spec if here is None else replace(spec, weights=here)


def _spec_of_weights(weights: Path) -> EncoderSpec:
    """What stands beside the weights wins, then what stands in them, then the shipped one that pins their hash."""
    from ..architectures import file_sha256

    beside = weights.with_suffix(".toml")
    if beside.is_file():
        return replace(read_spec(beside), weights=weights)
    digest = file_sha256(weights)
    if has_spec(weights):
        return read_spec(weights)
    for file in shipped_files():
        spec = read_spec(file)
        if spec.sha256 and digest.startswith(spec.sha256):
            return replace(spec, weights=weights)
    raise EncoderError(
        f"Quadrat does not know what input the weights {weights.name} want.",
        hint=f"Describe it in {beside.name} beside them: architecture, weights, and [input] with bands, unit, mean, "
        "std, size_px. docs/encoders.md has an example.",
    )
