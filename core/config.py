"""The file that ``quadrat run`` takes: TOML in, one frozen description of the whole job out.

Paths are relative to the file. A key that is not known is an error that names the nearest one that is: a misspelt
option that is silently ignored costs more than any other mistake in a batch.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .catalogue import Mode, label_mode
from .defaults import BUDGET, default_learner, default_strategy
from .encoders.registry import DEFAULT_ENCODER, names_file
from .errors import UsageError
from .export import LAYERS
from .models import Choice
from .paths import product_of_source
from .tiling_options import TilingOptions

TABLES: dict[str, tuple[str, ...]] = {
    "": ("project", "rasters", "classes", "mode", "tile", "embed", "query", "learner", "oracle", "output", "export"),
    "tile": (
        *("size", "stride", "aoi", "bands", "scale", "offset", "nodata", "min_valid", "validation", "seed", "crs"),
        *("max_cloud", "mask", "mask_values"),
    ),
    "embed": ("encoder",),
    "query": ("strategy", "budget", "rounds", "seed", "parameters"),
    "learner": ("name", "parameters"),
    "oracle": ("truth",),
    "output": ("folder",),
    "export": tuple(LAYERS),
}


@dataclass(frozen=True)
class BatchConfig:
    """One batch. ``strategies`` times ``seeds`` are compared, each on its own copy of the project, if more than one."""

    project: Path
    rasters: tuple[Path, ...]
    classes: str
    mode: str
    folder: Path
    tiling: TilingOptions = field(default_factory=TilingOptions)
    encoder: str = DEFAULT_ENCODER
    strategies: tuple[str, ...] = (default_strategy("single"),)
    seeds: tuple[int, ...] = (0,)
    budget: int = BUDGET
    rounds: int = 8
    parameters: Mapping[str, Any] = field(default_factory=dict)
    learner: Choice | None = None
    truth: Path | None = None
    exports: tuple[tuple[str, Path], ...] = ()


def read_config(path: Path) -> BatchConfig:
    """Read and check a configuration file.

    Raises:
        UsageError: it cannot be read, a key is unknown or missing, or a value is of the wrong kind; all are listed.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read.", hint="Check the path and the TOML syntax.", details=str(error)
        ) from error
    problems = _unknown_keys(tables)
    problems += [f"`{key}` is missing" for key in ("project", "rasters", "classes") if key not in tables]
    problems += ["`truth` of the table [oracle] is missing"] if tables.get("oracle", {"truth": 0}) == {} else []
    problems += ["`rasters` is empty"] if tables.get("rasters") == [] else []
    if problems:
        raise _not_usable(path, problems)
    reader = _Reader(path.parent, tables)
    mode = label_mode(reader.get("", "mode", _text, "single"))
    config = BatchConfig(
        project=reader.get("", "project", reader.path, Path()),
        rasters=reader.get("", "rasters", reader.many(reader.raster), ()),
        classes=reader.get("", "classes", reader.classes, ""),
        mode=reader.get("", "mode", _text, "single"),
        folder=reader.get("output", "folder", reader.path, path.parent / "results"),
        tiling=_read_tiling(reader),
        encoder=reader.get("embed", "encoder", reader.encoder, DEFAULT_ENCODER),
        strategies=reader.get("query", "strategy", reader.many(_text), (default_strategy(mode),)),
        seeds=reader.get("query", "seed", reader.many(_whole), (0,)),
        budget=reader.get("query", "budget", _whole, BUDGET),
        rounds=reader.get("query", "rounds", _whole, 8),
        parameters=reader.get("query", "parameters", _table, {}),
        learner=_read_learner(reader, mode),
        truth=reader.get("oracle", "truth", reader.path, None),
        exports=tuple(
            (layer, target)
            for layer in LAYERS
            for target in reader.get("export", layer, reader.many(reader.output), ())
        ),
    )
    if reader.problems:
        raise _not_usable(path, reader.problems)
    return config


def _read_tiling(reader: _Reader) -> TilingOptions:
    return TilingOptions(
        size_px=reader.get("tile", "size", _whole, None),
        stride_px=reader.get("tile", "stride", _whole, None),
        min_valid=reader.get("tile", "min_valid", _number, 0.9),
        validation=reader.get("tile", "validation", _number, 0.0),
        seed=reader.get("tile", "seed", _whole, 0),
        area=reader.get("tile", "aoi", reader.path, None),
        bands=reader.get("tile", "bands", reader.many(_text), None),
        scale=reader.get("tile", "scale", _number, None),
        offset=reader.get("tile", "offset", _number, None),
        nodata=reader.get("tile", "nodata", _number, None),
        crs=reader.get("tile", "crs", _text, None),
        max_cloud=reader.get("tile", "max_cloud", _number, None),
        mask=reader.get("tile", "mask", reader.path, None),
        mask_values=reader.get("tile", "mask_values", reader.many(_whole), None),
    )


def _read_learner(reader: _Reader, mode: Mode) -> Choice | None:
    """The learner, if the table is there; otherwise each query function has its own, or the default."""
    if "learner" not in reader.tables:
        return None
    parameters = reader.get("learner", "parameters", _table, {})
    if isinstance(parameters.get("weights"), str) and parameters["weights"]:
        parameters["weights"] = str(reader.path(parameters["weights"]))
    return Choice(reader.get("learner", "name", _text, default_learner(mode).name), parameters)


class _Reader:
    """Takes values out of the tables, converts them, and collects what is wrong."""

    def __init__(self, base: Path, tables: dict[str, Any]) -> None:
        self.base = base
        self.tables = tables
        self.problems: list[str] = []

    def get(self, table: str, key: str, convert: Callable[[Any], Any], default: Any) -> Any:
        values = self.tables.get(table, {}) if table else self.tables
        if key not in values:
            return default
        try:
            return convert(values[key])
        except (TypeError, ValueError) as error:
            self.problems.append(f"`{f'{table}.' if table else ''}{key}`: {error}")
            return default

    def path(self, value: Any) -> Path:
        return self.base / Path(_text(value)).expanduser()

    def raster(self, value: Any) -> Path:
        """A raster's path, or the product that a source as QGIS writes it belongs to."""
        product = product_of_source(_text(value))
        return self.path(value) if product is None else self.base / product

    def output(self, value: Any) -> Path:
        folder = self.tables.get("output", {}).get("folder", "results")
        return self.path(folder) / Path(_text(value)).expanduser()

    def classes(self, value: Any) -> str:
        """A preset's name, or a file relative to the configuration."""
        file = self.path(value)
        return str(file) if file.is_file() else str(value)

    def encoder(self, value: Any) -> str:
        return str(self.path(value)) if names_file(_text(value)) else str(value)

    def many(self, convert: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
        """One value or a list of them."""
        return lambda value: tuple(convert(item) for item in (value if isinstance(value, list) else [value]))


def _expect(value: Any, kinds: tuple[type, ...], meant: str) -> Any:
    """The value if it is of a kind that TOML has for it; true and false are no numbers."""
    if type(value) not in kinds:
        raise TypeError(f"{value!r} is not {meant}")
    return value


def _text(value: Any) -> str:
    return str(_expect(value, (str,), "a text"))


def _whole(value: Any) -> int:
    return int(_expect(value, (int,), "a whole number"))


def _number(value: Any) -> float:
    return float(_expect(value, (int, float), "a number"))


def _table(value: Any) -> dict[str, Any]:
    return dict(_expect(value, (dict,), "a table"))


def _unknown_keys(tables: Mapping[str, Any]) -> list[str]:
    problems = []
    for table, known in TABLES.items():
        values = tables.get(table, {}) if table else tables
        if not isinstance(values, Mapping):
            problems.append(f"`{table}` must be a table: [{table}]")
            continue
        unknown = (key for key in values if key not in known)
        problems += [f"`{f'{table}.' if table else ''}{key}` is not known{_meant(key, known)}" for key in unknown]
    return problems


def _meant(key: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    elsewhere = [f"`{key}` of the table [{table}]" for table, keys in TABLES.items() if table and key in keys]
    if elsewhere or near:
        return f"; did you mean {' or '.join(elsewhere) or f'`{near[0]}`'}?"
    return f"; known are {', '.join(known)}"


def _not_usable(path: Path, problems: list[str]) -> UsageError:
    return UsageError(f"{path.name} cannot be run as it is.", hint="Correct these.", details="\n".join(problems))
