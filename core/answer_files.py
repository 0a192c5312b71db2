"""Answers from files: a CSV with a line a tile, or a polygon layer with a class column.

CSV columns (any order, more may be there): ``label``, and ``tile_id``, or ``raster,row,col``, or ``row,col`` where the
project has one raster. A label is a class name; several are joined by ``;``. ``none``, ``skip`` and ``unsure`` mean
what they mean in the plugin; an empty label means: not answered. The same format serves as the truth of an oracle.

Nothing is recorded here: a file is read whole, every problem in it is listed by line, and only a file without a problem
yields answers.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import AnswerError, UsageError
from .paths import check_name, split_layer
from .project.answers import Answer
from .project.classes import ANSWER_WORDS, LabelClass, match_class
from .project.store import Project

_TO_FILL_IN = "`quadrat query --out FILE.csv` makes such a file to fill in."
_A_TRUTH = "A truth has a line for each tile, with its true class."
CSV_SUFFIXES = (".csv", ".tsv", ".txt")
# A polygon counts for a tile from this share of the tile on: one class must dominate, several may share.
MIN_OVERLAP = {"single": 0.5, "multi": 0.1}
MAX_LISTED = 50


@dataclass(frozen=True)
class AnswerFile:
    """What a file says: its answers, how many lines were left blank, how many spoke of tiles the project has not."""

    answers: list[Answer]
    blank: int = 0
    elsewhere: int = 0


def read_answers(
    project: Project, path: Path, *, class_column: str = "label", min_overlap: float | None = None
) -> AnswerFile:
    """Read a CSV or a polygon layer, decided by the file's ending.

    Raises:
        AnswerError: the file cannot be read, a column is missing, or a line is wrong; all lines are listed.
    """
    if path.suffix.lower() in CSV_SUFFIXES:
        return read_csv(project, path, class_column=class_column)
    return read_polygons(project, path, class_column=class_column, min_overlap=min_overlap)


def read_csv(project: Project, path: Path, *, class_column: str = "label", as_truth: bool = False) -> AnswerFile:
    """Read a CSV, as :func:`read_answers`.

    ``as_truth``: its answers are not to be imported, but looked up; it may speak of tiles that the project has not.
    """
    locate = _locator(project)
    parse = _label_parser(project.classes(), project.mode)
    answers: dict[int, tuple[int, Answer]] = {}
    problems: list[str] = []
    blank = elsewhere = 0
    for line, row in _csv_rows(path, class_column, _A_TRUTH if as_truth else _TO_FILL_IN):
        if not row[class_column].strip():
            blank += 1
            continue
        try:
            tile_id = locate(row)
            if tile_id in answers:
                raise ValueError(f"the tile was answered before, in line {answers[tile_id][0]}")
            answers[tile_id] = (line, Answer(tile_id, *parse(row[class_column])))
        except _NoSuchTile as problem:
            elsewhere += 1
            if not as_truth:
                problems.append(f"line {line}: {problem}")
        except ValueError as problem:
            problems.append(f"line {line}: {problem}")
    if as_truth:
        _refuse(path, problems, "it cannot be the truth of this project", "Correct them, and name the file again.")
    else:
        _refuse(path, problems)
    return AnswerFile([answer for _, answer in answers.values()], blank, elsewhere)


def read_polygons(project: Project, path: Path, *, class_column: str, min_overlap: float | None = None) -> AnswerFile:
    """Read a polygon layer: a tile gets the class that covers most of it (single) or every class (multi), from
    ``min_overlap`` (share of the tile) on.
    """
    import geopandas as gpd
    import pandas as pd

    threshold = MIN_OVERLAP[project.mode] if min_overlap is None else min_overlap
    if not 0 < threshold <= 1:
        raise UsageError(f"--min-overlap is a share above 0 and up to 1, not {threshold}.", hint="Try 0.5.")
    features = _read_layer(path, class_column)
    with project.lent() as file:
        tiles = gpd.read_file(file, layer="tiles", fid_as_index=True).rename_axis("tile_id").reset_index()
    tiles = tiles[tiles["role"] != "excluded"]
    classes = project.classes()
    named = features[features[class_column].notna()].to_crs(tiles.crs)
    named = named.assign(**{class_column: named[class_column].astype(str).str.split(";")}).explode(class_column)
    by_name = {name: match_class(name.strip(), classes) for name in named[class_column].unique()}
    unknown = sorted(name.strip() for name, found in by_name.items() if found is None)
    _refuse(path, [f"class {name!r} is not in the project" for name in unknown])
    named = named.assign(class_id=[by_name[name].class_id for name in named[class_column]])  # type: ignore[union-attr]
    merged = named[["class_id", "geometry"]].dissolve("class_id").reset_index()
    pieces = gpd.overlay(tiles[["tile_id", "geometry"]], merged, how="intersection", keep_geom_type=True)
    whole = pd.Series(tiles.geometry.area.to_numpy(), index=tiles["tile_id"])
    pieces["share"] = pieces.geometry.area / pieces["tile_id"].map(whole)
    kept = pieces[pieces["share"] >= threshold].sort_values(["tile_id", "share"], ascending=[True, False])
    if project.mode == "single":
        twice = kept[kept["tile_id"].duplicated(keep=False)]
        name = {item.class_id: item.name for item in classes}
        _refuse(
            path,
            [
                f"tile {tile_id}: {' and '.join(f'{name[x.class_id]} {x.share:.0%}' for x in of_tile.itertuples())}, "
                "but this project takes one class a tile"
                for tile_id, of_tile in twice.groupby("tile_id")
            ],
        )
    answers = [
        Answer(int(tile_id), "classes", tuple(int(value) for value in group["class_id"]))
        for tile_id, group in kept.groupby("tile_id")
    ]
    if not answers:
        raise AnswerError(
            f"No polygon of {path.name} covers {threshold:.0%} of a tile.",
            hint="Check that the layer lies on the rasters, or lower --min-overlap.",
        )
    return AnswerFile(answers, blank=int(features[class_column].isna().sum()))


def _read_layer(path: Path, class_column: str):  # type: ignore[no-untyped-def]  # geopandas has no types
    import geopandas as gpd

    path, layer = split_layer(path)
    check_name(path)
    try:
        layers = gpd.list_layers(path)["name"].tolist()
        if len(layers) > 1 and not layer:
            raise AnswerError(
                f"{path.name} has several layers: {', '.join(layers[:10])}.",
                hint=f"Name one: '{path}|layername={layers[0]}'",
            )
        features = gpd.read_file(path, layer=layer or None)
    except AnswerError:
        raise
    except Exception as error:  # GDAL's drivers raise whatever they like
        raise AnswerError(
            f"{path.name} cannot be read as a table or a polygon layer.",
            hint="Give a .csv file, or a vector file such as .gpkg, .geojson or .shp.",
            details=str(error)[:500],
        ) from error
    if class_column not in features.columns:
        columns = ", ".join(str(column) for column in features.columns if column != "geometry")
        raise AnswerError(
            f"{path.name} has no column {class_column!r}.",
            hint=f"Name the class column: --class-column. It has {columns}.",
        )
    if features.crs is None or features.geometry.isna().all():
        raise AnswerError(
            f"{path.name} has no polygons with a CRS.", hint="Set the layer's CRS in your GIS and save it again."
        )
    return features[features.geometry.notna()]


def _csv_rows(path: Path, class_column: str, what_it_is: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and columns of each line, column names in lower case."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AnswerError(
            f"{path} cannot be read.", hint="Check the path, and save the file as UTF-8.", details=str(error)
        ) from error
    if text.lower().startswith("sep="):  # a line that Excel adds and reads
        text = text.partition("\n")[2]
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="")
    columns = [name.strip().lower() for name in reader.fieldnames or []]
    if class_column.lower() not in columns or not ({"tile_id"} <= set(columns) or {"row", "col"} <= set(columns)):
        raise AnswerError(
            f"{path.name} needs the columns {class_column}, and tile_id or row,col or raster,row,col.",
            hint=f"Write them into the first line. {what_it_is}",
            details=f"its first line is: {header.strip()[:200]}",
        )
    reader.fieldnames = [class_column if name == class_column.lower() else name for name in columns]
    try:
        for row in reader:
            yield reader.line_num, {name: value or "" for name, value in row.items() if isinstance(value, str)}
    except csv.Error as error:
        raise AnswerError(
            f"{path.name} cannot be read on from line {reader.line_num}.",
            hint="Save it again as a plain CSV.",
            details=str(error),
        ) from error


class _NoSuchTile(ValueError):
    """A line speaks of a tile that the project does not have, or that was set aside."""


def _locator(project: Project) -> Callable[[dict[str, str]], int]:
    """From a CSV line to a tile's number; raises ValueError with what is wrong."""
    rasters: dict[str, set[int]] = {}
    for record in project.rasters():
        file = Path(record.path)
        for name in (record.path, file.name, file.stem, record.name, str(record.raster_id)):
            rasters.setdefault(name, set()).add(record.raster_id)
    every = {record.raster_id for record in project.rasters()}
    tiles = {tile.tile_id: tile for tile in project.tiles()}
    at = {(tile.raster_id, tile.row, tile.col): tile.tile_id for tile in tiles.values()}

    def find(row: dict[str, str]) -> int | None:
        if row.get("tile_id", "").strip():
            return _whole_number(row, "tile_id")
        if "row" not in row:
            raise ValueError("tile_id is empty")
        name = row.get("raster", "").strip()
        meant = rasters.get(name, set()) if name else every
        if len(meant) > 1:
            raise ValueError("several rasters are meant: fill in the column raster, with the whole path if need be")
        place = (_whole_number(row, "row"), _whole_number(row, "col"))
        return next((at.get((raster_id, *place)) for raster_id in meant), None)

    def locate(row: dict[str, str]) -> int:
        tile = tiles.get(find(row) or 0)
        if tile is None:
            raise _NoSuchTile(f"the project has no such tile ({_where(row)})")
        if tile.role == "excluded":
            raise _NoSuchTile(f"the tile was set aside when its raster was tiled ({_where(row)})")
        return tile.tile_id

    return locate


def _whole_number(row: dict[str, str], column: str) -> int:
    try:
        return int(row[column])
    except ValueError:
        raise ValueError(f"{column} {row[column]!r} is not a whole number") from None


def _label_parser(classes: Sequence[LabelClass], mode: str) -> Callable[[str], tuple[str, tuple[int, ...]]]:
    """From the text of a label to the kind of answer and its classes."""

    def parse(text: str) -> tuple[str, tuple[int, ...]]:
        if text.strip().lower() in ANSWER_WORDS:
            return text.strip().lower(), ()
        class_ids = []
        for name in filter(None, (part.strip() for part in text.split(";"))):
            found = match_class(name, classes)
            if found is None:
                raise ValueError(f"class {name!r} is not in the project")
            class_ids.append(found.class_id)
        distinct = tuple(dict.fromkeys(class_ids))
        if not distinct:
            raise ValueError(f"{text!r} names no class")
        if mode == "single" and len(distinct) > 1:
            raise ValueError(f"{len(distinct)} classes for one tile, but this project takes one")
        return "classes", distinct

    return parse


def _where(row: dict[str, str]) -> str:
    return ", ".join(
        f"{key} {row[key].strip()}" for key in ("tile_id", "raster", "row", "col") if row.get(key, "").strip()
    )


def _refuse(
    path: Path,
    problems: Sequence[str],
    so: str = "nothing was imported",
    hint: str = "Correct them and import the file again.",
) -> None:
    if problems:
        more = [f"... and {len(problems) - MAX_LISTED} more"] if len(problems) > MAX_LISTED else []
        raise AnswerError(
            f"{path.name} has {len(problems)} wrong {'line' if len(problems) == 1 else 'lines'}; {so}.",
            hint=hint,
            details="\n".join([*problems[:MAX_LISTED], *more]),
        )
