"""Find an encoder by what the analyst says: a name, an encoder file, or a weights file.

* ``statistics``: always there.
* ``FILE.toml``: an encoder file (see :mod:`.networks`), or the name of one of those in ``resources/encoders``.
* ``FILE.pth``, ``.pt`` or ``.safetensors``: weights. What input they want is said by an encoder file of the same name
  beside them, or by the one in ``resources/encoders`` that pins their hash.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import EncoderError

if TYPE_CHECKING:
    from .base import Encoder
    from .networks import NetworkSpec

SHIPPED = Path(__file__).resolve().parents[2] / "resources" / "encoders"
WEIGHTS_SUFFIXES = (".pth", ".pt", ".safetensors")
DEFAULT_ENCODER = "statistics"


def load_encoder(name: str, device: str = "cpu") -> Encoder:
    """The encoder called ``name`` (see the module's text), ready to use on ``device``.

    Raises:
        EncoderError: it is not known, or its files are missing or do not fit together.
    """
    from .networks import NetworkEncoder
    from .statistics import StatisticsEncoder

    if name == "statistics":
        return StatisticsEncoder()
    return NetworkEncoder(find_network(name), device)


def find_network(name: str) -> NetworkSpec:
    """The description of the network encoder called ``name``."""
    path = Path(name).expanduser()
    if path.suffix in WEIGHTS_SUFFIXES:
        return _spec_of_weights(path)
    if path.suffix == ".toml":
        return read_encoder_file(path)
    shipped = SHIPPED / f"{name}.toml"
    if shipped.is_file():
        return read_encoder_file(shipped)
    known = ", ".join(["statistics", *(file.stem for file in shipped_files())])
    raise EncoderError(
        f"There is no encoder called {name!r}.",
        hint=f"Known names: {known}. Or give an encoder file (.toml) or a weights file (.pth, .safetensors).",
    )


def shipped_files() -> Iterator[Path]:
    """The encoder files that come with Quadrat, by name."""
    yield from sorted(SHIPPED.glob("*.toml"))


@dataclass(frozen=True)
class EncoderInfo:
    """What an analyst wants to know before choosing.

    ``dimension``, the numbers for a tile, is None where it depends on the bands; ``reason`` says why an encoder is not
    ``available``.
    """

    name: str
    summary: str
    dimension: int | None
    available: bool
    reason: str = ""


def list_encoders() -> list[EncoderInfo]:
    """The encoders that can be called by name, the default first."""
    summary = "Mean, spread, minimum and maximum of every band. Takes any bands, needs no weights, is fast anywhere."
    return [
        EncoderInfo("statistics", summary, None, True),
        *(_describe(read_encoder_file(file)) for file in shipped_files()),
    ]


def _describe(spec: NetworkSpec) -> EncoderInfo:
    from .networks import dimension_of

    summary = f"A network ({spec.architecture}) that sees texture and shape too. Needs {', '.join(spec.input.bands)}."
    dimension = dimension_of(spec)
    if spec.weights.is_file():
        return EncoderInfo(spec.name, summary, dimension, True)
    where = f" from {spec.source}" if spec.source else ""
    missing = f"Its weights are not here. Get {spec.weights.name}{where}, and choose that file as the encoder."
    return EncoderInfo(spec.name, summary, dimension, False, missing)


def read_encoder_file(path: Path) -> NetworkSpec:
    """Read and check an encoder file."""
    from ..architectures import ARCHITECTURES
    from .networks import InputSpec, NetworkSpec

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EncoderError(
            f"The encoder file {path} cannot be read.", hint="Check the path and the TOML syntax.", details=str(error)
        ) from error
    problems = [f"`{key}` is missing" for key in ("architecture", "weights", "input") if key not in table]
    problems += [f"`{key}` is not known" for key in table.keys() - NetworkSpec.__dataclass_fields__.keys()]
    problems += [
        f"`input.{key}` is not known" for key in table.get("input", {}).keys() - InputSpec.__dataclass_fields__.keys()
    ]
    if table.get("architecture", "resnet18") not in ARCHITECTURES:
        problems.append(f"`architecture` must be one of {', '.join(ARCHITECTURES)}")
    if problems:
        raise EncoderError(
            f"The encoder file {path.name} is not complete.", hint="Correct these.", details="\n".join(sorted(problems))
        )
    return NetworkSpec(
        name=str(table.get("name", path.stem)),
        architecture=table["architecture"],
        weights=path.parent / Path(table["weights"]).expanduser(),
        input=_read_input(path, table["input"]),
        **{key: str(table[key]) for key in ("layer", "sha256", "licence", "source") if key in table},
    )


def _read_input(path: Path, table: dict[str, Any]) -> Any:
    from .networks import InputSpec

    try:
        return InputSpec(
            bands=tuple(str(band) for band in table["bands"]),
            unit=str(table["unit"]),
            mean=tuple(float(value) for value in table["mean"]),
            std=tuple(float(value) for value in table["std"]),
            size_px=int(table["size_px"]),
            white=float(table["white"]) if "white" in table else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EncoderError(
            f"The [input] table of {path.name} is not complete: {error}.",
            hint="It needs bands, unit, mean, std and size_px; unit byte and fraction also need white.",
        ) from error


def _spec_of_weights(weights: Path) -> NetworkSpec:
    """The encoder file beside the weights, else the shipped one that pins their hash."""
    from ..architectures import file_sha256

    beside = weights.with_suffix(".toml")
    if beside.is_file():
        return replace(read_encoder_file(beside), weights=weights)
    digest = file_sha256(weights)
    for file in shipped_files():
        spec = read_encoder_file(file)
        if spec.sha256 and digest.startswith(spec.sha256):
            return replace(spec, weights=weights)
    raise EncoderError(
        f"Quadrat does not know what input the weights {weights.name} want.",
        hint=f"Describe it in {beside.name} beside them: architecture, weights, and [input] with bands, unit, mean, "
        "std, size_px. docs/encoders.md has an example.",
    )
