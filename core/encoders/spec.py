"""What a network encoder is, apart from its numbers: architecture, weights, and above all its input.

A weights file says nothing about what it was trained on: which bands, in which order, in which unit, how normalised,
at which size. The specification says so. It stands in an encoder file (TOML) that names the weights, or as JSON in the
metadata of a ``.safetensors`` file, which then is a whole encoder by itself::

    name = "resnet50-sentinel2-all-moco"
    architecture = "resnet50"                 # see core/architectures.py
    layers = ["layer3", "layer4"]             # optional: pool these blocks instead of the last one, side by side
    pooling = ["mean", "std"]                 # optional, with layers: what is made of each channel; the mean alone
    weights = "resnet50_all.pth"              # beside this file, or an absolute path
    sha256 = "..."                            # optional: the whole hash or its beginning
    url = "https://..."                       # optional: where to fetch the weights if they are not here
    dimension = 2048                          # optional: numbers a tile

    [input]
    bands = ["B02", "B03", "B04"]             # in the order of the network's channels
    unit = "byte"                             # reflectance | dn | byte (0-255) | fraction (0-1)
    white = 0.27285                           # byte and fraction: the reflectance that becomes 255 or 1
    clip = [0.0, 1.0]                         # optional: reflectance is cut to this first
    mean = [104.0, 117.0, 123.0]              # in that unit, one a band
    std = [1.0, 1.0, 1.0]
    size_px = 128                             # tiles are resized to this

    [input.missing]                           # optional: what stands in for a band that the imagery lacks
    B10 = "zero"                              # "zero" reflectance, "mean" of this file, or a copy of another band

Listing encoders reads many specifications, so nothing here imports torch before it is needed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import EncoderError

if TYPE_CHECKING:
    import torch

# Input units per unit of reflectance; for byte and fraction the reflectance `white` becomes the unit's maximum.
UNIT_MAXIMUM = {"byte": 255.0, "fraction": 1.0}
UNIT_GAIN = {"reflectance": 1.0, "dn": 10_000.0}
UNITS = (*UNIT_GAIN, *UNIT_MAXIMUM)
_BAND = re.compile(r"B(\d\d|8A)")
METADATA_KEY = "quadrat"
POOLING = ("mean", "std")
"""What can be made of each channel of a block; the first is made unless something else is said."""
"""Under which a ``.safetensors`` file keeps its specification."""


@dataclass(frozen=True)
class InputSpec:
    """What a network expects at its input: ``(x - mean) / std`` with ``x`` in ``unit``, ``size_px`` square.

    ``clip`` is in reflectance. ``missing`` says what stands in for a band that the imagery lacks: ``zero`` reflectance,
    the ``mean`` of this specification, or the name of a band to copy. A band that is not in it must be there.
    """

    bands: tuple[str, ...]
    unit: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size_px: int
    white: float | None = None
    clip: tuple[float, ...] | None = None
    missing: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = [problem for problem in self._problems() if problem]
        if problems:
            raise EncoderError(
                "The encoder's input specification is not usable.",
                hint="Correct the [input] table of the encoder file.",
                details="\n".join(problems),
            )

    def _problems(self) -> list[str]:
        counts = {len(self.mean), len(self.std), len(self.bands)}
        scaled = self.unit in UNIT_MAXIMUM
        return [
            "" if self.bands and len(set(self.bands)) == len(self.bands) else "bands must name each band once",
            "" if self.unit in UNITS else f"unit must be one of {', '.join(UNITS)}, not {self.unit!r}",
            f"unit {self.unit} needs `white`, the reflectance that becomes {UNIT_MAXIMUM[self.unit]:g}"
            if scaled and not (self.white and self.white > 0)
            else "",
            "" if len(counts) == 1 else "mean and std need one number a band",
            "" if all(value > 0 for value in self.std) else "std must be above 0",
            "" if self.size_px >= 32 else "size_px must be 32 or more",
            "" if self.clip is None or _rising(self.clip) else "clip must be two rising reflectances",
            *(self._policy_problem(band, policy) for band, policy in self.missing.items()),
        ]

    def _policy_problem(self, band: str, policy: str) -> str:
        if band not in self.bands:
            return f"missing.{band} is none of the bands"
        if policy in ("zero", "mean") or (_BAND.fullmatch(policy) and policy != band):
            return ""
        return f"missing.{band} must be zero, mean, or another band, not {policy!r}"

    @property
    def gain(self) -> float:
        """Input units per unit of reflectance."""
        return (
            UNIT_MAXIMUM[self.unit] / self.white if self.white and self.unit in UNIT_MAXIMUM else UNIT_GAIN[self.unit]
        )

    def stand_ins(self) -> dict[str, float | str]:
        """By band that may be missing, the reflectance to put there or the band to copy."""
        means = dict(zip(self.bands, self.mean, strict=True))
        values: dict[str, float | str] = {}
        for band, policy in self.missing.items():
            values[band] = {"zero": 0.0, "mean": means[band] / self.gain}.get(policy, policy)
        return values

    def prepare(self, reflectance: torch.Tensor) -> torch.Tensor:
        """``(B, bands, H, W)`` reflectance -> ``(B, bands, size_px, size_px)`` in the network's unit, normalised."""
        from ..resizing import resized

        pixels = (reflectance if self.clip is None else reflectance.clamp(*self.clip)) * self.gain
        if self.unit in UNIT_MAXIMUM:
            pixels = pixels.clamp_(0, UNIT_MAXIMUM[self.unit])
        mean, std = (pixels.new_tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        pixels = pixels.sub_(mean).div_(std)
        return resized(pixels, self.size_px)


def _rising(limits: tuple[float, ...]) -> bool:
    return len(limits) == 2 and limits[0] < limits[1]


@dataclass(frozen=True)
class EncoderSpec:
    """A network encoder: the network, its weights, its input, and where it comes from.

    ``weights`` is the path of the weights file; ``layers`` are the blocks whose pooled features make the vector, none
    for the last, and ``pooling`` says how, see :data:`POOLING`. ``dimension``, the numbers a tile, is None where nobody
    wrote it down.
    """

    name: str
    architecture: str
    input: InputSpec
    weights: Path = Path()
    layers: tuple[str, ...] = ()
    pooling: tuple[str, ...] = POOLING[:1]
    sha256: str = ""
    url: str = ""
    dimension: int | None = None
    licence: str = ""
    source: str = ""
    summary: str = ""

    def __post_init__(self) -> None:
        if not self.pooling or set(self.pooling) - set(POOLING) or len(set(self.pooling)) < len(self.pooling):
            raise _not_complete(self.weights, f"pooling is a list of {' and '.join(POOLING)}, not {self.pooling}")
        if self.pooling != POOLING[:1] and not self.layers:
            raise _not_complete(self.weights, "pooling needs `layers`: the last features have one number a channel")

    def to_json(self) -> str:
        """The specification as it goes into a weights file: without the file's own path, hash and address."""
        table = asdict(self)
        for key in ("weights", "sha256", "url", *(("pooling",) if self.pooling == POOLING[:1] else ())):
            del table[key]
        kept = {key: value for key, value in table.items() if value not in ("", None, ())}
        kept["input"] = {key: value for key, value in table["input"].items() if value not in (None, {})}
        return json.dumps(kept, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, weights: Path = Path()) -> EncoderSpec:
        """What :meth:`to_json` wrote into the file ``weights``.

        Raises:
            EncoderError: it is not JSON, or not a complete specification.
        """
        try:
            table = json.loads(text)
        except ValueError as error:
            raise _unreadable(weights, error) from error
        if not isinstance(table, dict):
            raise _unreadable(weights, TypeError("no table"))
        return _from_table({**table, "weights": weights.name}, weights)

    @classmethod
    def from_toml(cls, path: Path) -> EncoderSpec:
        """An encoder file, read and checked.

        Raises:
            EncoderError: it cannot be read, is not TOML, or not a complete specification.
        """
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise _unreadable(path, error) from error
        return _from_table(table, path)


def read_spec(path: Path) -> EncoderSpec:
    """The specification in an encoder file (``.toml``) or in the metadata of a ``.safetensors`` file.

    Raises:
        EncoderError: it cannot be read, or says nothing of the input that the weights want.
    """
    if path.suffix == ".toml":
        return EncoderSpec.from_toml(path)
    text = _metadata(path).get(METADATA_KEY)
    if text is None:
        raise EncoderError(
            f"{path.name} holds weights but no word about the input that they want.",
            hint=f"Describe it in {path.with_suffix('.toml').name} beside it; docs/encoders.md has an example.",
        )
    return EncoderSpec.from_json(text, path)


def has_spec(path: Path) -> bool:
    """Whether a weights file carries its specification with it."""
    return path.suffix == ".safetensors" and METADATA_KEY in _metadata(path)


def save_encoder(path: Path, state: Mapping[str, torch.Tensor], spec: EncoderSpec) -> None:
    """Write one ``.safetensors`` file that is a whole encoder: the weights, and the specification as metadata.

    The file appears whole or not at all. ``state`` is the network's ``state_dict``; whether the classifier is in it
    does not matter. ``spec.weights``, ``sha256`` and ``url`` are not written, as they speak of another file.

    Raises:
        EncoderError: the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, partial, {METADATA_KEY: replace(spec, weights=path).to_json(), "format": "pt"})
        # The library makes files for their owner alone; others may want to use the encoder.
        partial.chmod(0o666 & ~_umask())
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        raise EncoderError(
            f"The encoder cannot be written to {path}.", hint="Check the folder and the space.", details=str(error)
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _umask() -> int:
    """The permissions that new files do not get; asking for it means setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _metadata(path: Path) -> dict[str, str]:
    """The metadata of a ``.safetensors`` file; only its first bytes are read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise EncoderError(
            f"{path.name} is not a whole .safetensors file.",
            hint="Get the file again; it may have been cut off on the way.",
            details=str(error),
        ) from error


def _unreadable(path: Path, error: Exception) -> EncoderError:
    return EncoderError(
        f"The specification of the encoder in {path} cannot be read.",
        hint="Check the path, and in an encoder file the TOML syntax.",
        details=str(error),
    )


def _from_table(table: Mapping[str, Any], path: Path) -> EncoderSpec:
    """A specification from the table that stood in ``path``; all its problems are told at once."""
    known, known_input = EncoderSpec.__dataclass_fields__.keys(), InputSpec.__dataclass_fields__.keys()
    given_input = table.get("input", {})
    problems = [f"`{key}` is missing" for key in ("architecture", "weights", "input") if key not in table]
    problems += [f"`{key}` is not known" for key in table.keys() - known]
    if isinstance(given_input, Mapping):
        problems += [f"`input.{key}` is not known" for key in given_input.keys() - known_input]
        required = ("bands", "unit", "mean", "std", "size_px") if "input" in table else ()
        problems += [f"`input.{key}` is missing" for key in required if key not in given_input]
    else:
        problems.append("`input` must be a table")
    if problems:
        raise _not_complete(path, "\n".join(sorted(problems)))
    try:
        texts = {key: str(table[key]) for key in ("sha256", "url", "licence", "source", "summary") if key in table}
        return EncoderSpec(
            name=str(table.get("name", path.stem)),
            architecture=str(table["architecture"]),
            weights=path.parent / Path(table["weights"]).expanduser(),
            layers=_names(table.get("layers", ()), "layers"),
            pooling=_names(table.get("pooling", POOLING[:1]), "pooling"),
            input=_input_from(given_input),
            dimension=int(table["dimension"]) if "dimension" in table else None,
            **texts,
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise _not_complete(path, str(error)) from error


def _names(value: Any, key: str) -> tuple[str, ...]:
    """A list of names; a single text would be taken for its letters."""
    if isinstance(value, str):
        raise TypeError(f'`{key}` is a list: ["{value}"]')
    return tuple(str(name) for name in value)


def _input_from(table: Mapping[str, Any]) -> InputSpec:
    clip = table.get("clip")
    return InputSpec(
        bands=tuple(str(band) for band in table["bands"]),
        unit=str(table["unit"]),
        mean=tuple(float(value) for value in table["mean"]),
        std=tuple(float(value) for value in table["std"]),
        size_px=int(table["size_px"]),
        white=float(table["white"]) if "white" in table else None,
        clip=None if clip is None else tuple(float(value) for value in clip),
        missing={str(band): str(policy) for band, policy in table.get("missing", {}).items()},
    )


def _not_complete(path: Path, details: str) -> EncoderError:
    return EncoderError(
        f"The specification of the encoder in {path.name} is not complete or not correct.",
        hint="Correct what is listed. An encoder needs architecture, weights, and [input] with bands, unit, mean, std "
        "and size_px; the units byte and fraction also need white.",
        details=details,
    )
