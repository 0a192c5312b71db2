"""Class lists: what an analyst labels with, read from a preset or a file and checked before it goes into a project.

A class has a name, a colour ``#RRGGBB`` and a key to press. A name may hold quotes, commas, slashes and emoji, but no
semicolon, which separates the names of a multi-label answer, and it is not one of the words for other answers.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import UsageError
from .palette import COMMAND_KEYS, KEYS, colours

PRESETS = ("eurosat-10", "bigearthnet-19", "corine-level-1", "ucmerced-17", "worldcover-11")
MAX_NAME_LENGTH = 100
MAX_CLASSES = 1000
ANSWER_WORDS = ("none", "skip", "unsure")

_PRESET_FOLDER = Path(__file__).parents[2] / "resources" / "classes"
_COLOUR = re.compile(r"#[0-9A-F]{6}")
_LINE_BREAKS_AND_CONTROLS = ("Cc", "Cs", "Zl", "Zp")  # Unicode categories; Cs cannot be written as UTF-8


@dataclass(frozen=True)
class ClassDraft:
    """A class before it is in a project; an empty colour or key is filled in by :func:`check_class_list`."""

    name: str
    colour: str = ""
    key: str = ""


@dataclass(frozen=True)
class LabelClass:
    """A class of a project. ``class_id`` never changes and is never given twice; ``position`` counts from 0."""

    class_id: int
    name: str
    colour: str
    key: str
    position: int


def read_class_list(source: str) -> list[ClassDraft]:
    """The classes of a preset or file, checked and complete.

    Args:
        source: one of :data:`PRESETS`, or the path of a ``.txt`` (a name a line) or ``.csv`` (header
            ``name[,colour[,key]]``, separated by commas, semicolons or tabs), in UTF-8.

    Raises:
        UsageError: no such preset or file, not UTF-8, no column ``name``, or classes that :func:`check_class_list`
            refuses; ``details`` names the lines.
    """
    path = _PRESET_FOLDER / f"{source}.csv" if source in PRESETS else Path(source)
    text = _read_text(path, source)
    rows = list(_csv_rows(text, path.name) if path.suffix.lower() == ".csv" else _text_rows(text))
    drafts, problems = _completed([draft for _, draft in rows])
    if problems:
        lines = [f"line {rows[index][0]}: {problem}" for index, problem in problems]
        raise _refusal(f"The class list {path.name} cannot be used", lines)
    if not drafts:
        raise UsageError(f"The class list {path.name} is empty.", hint="Write at least one class name into it.")
    return drafts


def check_class_list(drafts: Sequence[ClassDraft]) -> list[ClassDraft]:
    """The same classes with tidy names and with colours and keys where they had none.

    Names are stripped and brought to Unicode form NFC; colours become upper case. Missing colours come from a
    palette that colour-blind people can tell apart, missing keys are 1-9 and then letters that are not commands
    (s, u, n); classes beyond those 32 keys have none.

    Raises:
        UsageError: no class at all, or more than 1000; names that are empty, longer than 100 characters, repeated
            (also but for case and spaces), with semicolons or control characters; colours that are not ``#RRGGBB``;
            keys that are repeated, commands or not one character. ``details`` has a line for each problem.
    """
    completed, problems = _completed(drafts)
    if problems:
        lines = [f"class {index + 1} ({drafts[index].name[:40]!r}): {problem}" for index, problem in problems]
        raise _refusal("The class list cannot be used", lines)
    if not completed:
        raise UsageError("The class list is empty.", hint="Give at least one class.")
    return completed


def match_class(name: str, classes: Iterable[LabelClass]) -> LabelClass | None:
    """The class called ``name``: exactly, or else but for case, spaces, ``_`` and ``-`` if only one fits."""
    tidy = _tidy(name)
    classes = list(classes)
    for label_class in classes:
        if label_class.name == tidy:
            return label_class
    wanted = _loose(tidy)
    alike = [label_class for label_class in classes if _loose(label_class.name) == wanted]
    return alike[0] if len(alike) == 1 else None


def _completed(drafts: Sequence[ClassDraft]) -> tuple[list[ClassDraft], list[tuple[int, str]]]:
    """The tidied and completed drafts, and ``(index, problem)`` of all that is wrong with them."""
    tidy = [ClassDraft(_tidy(draft.name), draft.colour.strip().upper(), draft.key.strip().lower()) for draft in drafts]
    problems = sorted((*_name_problems(tidy), *_colour_problems(tidy), *_key_problems(tidy)))
    if len(tidy) > MAX_CLASSES:
        problems.append((MAX_CLASSES, f"this is one class too many; {MAX_CLASSES} are the most"))
        return tidy, problems
    used = {value for draft in tidy for value in (draft.colour, draft.key)}
    free_colours = (colour for colour in colours() if colour not in used)
    free_keys = (key for key in KEYS if key not in used)
    completed = [
        replace(draft, colour=draft.colour or next(free_colours), key=draft.key or next(free_keys, ""))
        for draft in tidy
    ]
    return completed, problems


def _name_problems(drafts: Sequence[ClassDraft]) -> Iterator[tuple[int, str]]:
    first_of: dict[str, str] = {}
    for index, draft in enumerate(drafts):
        name = draft.name
        spaceless = "".join(name.casefold().split())
        if not name:
            yield index, "the name is empty"
        elif spaceless in first_of:
            yield index, f"the name {_short(name)} is repeated (also written {_short(first_of[spaceless])})"
        first_of.setdefault(spaceless, name)
        if len(name) > MAX_NAME_LENGTH:
            yield index, f"the name has {len(name)} characters; {MAX_NAME_LENGTH} are the most"
        if ";" in name:
            yield index, "a name cannot hold a semicolon, because it separates the names of several classes"
        if any(unicodedata.category(letter) in _LINE_BREAKS_AND_CONTROLS for letter in name):
            yield index, "the name holds a control character"
        if name.casefold() in ANSWER_WORDS:
            yield index, f"{_short(name)} is a word for an answer that is no class; call it otherwise"


def _colour_problems(drafts: Sequence[ClassDraft]) -> Iterator[tuple[int, str]]:
    for index, draft in enumerate(drafts):
        if draft.colour and not _COLOUR.fullmatch(draft.colour):
            yield index, f"the colour {_short(draft.colour)} is not of the form #RRGGBB"


def _key_problems(drafts: Sequence[ClassDraft]) -> Iterator[tuple[int, str]]:
    owner: dict[str, str] = {}
    for index, draft in enumerate(drafts):
        key = draft.key
        if not key:
            continue
        if len(key) != 1 or not key.isprintable():
            yield index, f"the key {_short(key)} is not a single character"
        elif key in COMMAND_KEYS:
            yield index, f"the key {key} is taken: it answers {COMMAND_KEYS[key]!r}"
        elif key in owner:
            yield index, f"the key {key} is repeated (also for {_short(owner[key])})"
        owner.setdefault(key, draft.name)


def _read_text(path: Path, source: str) -> str:
    if path.suffix.lower() not in (".txt", ".csv") or not path.is_file():
        raise UsageError(
            f"There is no class list {source}.",
            hint=f"Give a .txt or .csv file, or one of the presets {', '.join(PRESETS)}.",
        )
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"{path.name} cannot be read.", hint="Check that you may read it.", details=str(error)
        ) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UsageError(
            f"{path.name} is not a UTF-8 text.", hint='Save it again as "UTF-8" text or CSV.', details=f"line {line}"
        ) from error


def _text_rows(text: str) -> Iterator[tuple[int, ClassDraft]]:
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if line.strip():
            yield number, ClassDraft(line)


def _csv_rows(text: str, file_name: str) -> Iterator[tuple[int, ClassDraft]]:
    header = text.split("\n", 1)[0]
    delimiter = next((mark for mark in ";\t" if mark in header), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = [column.strip().casefold().replace("color", "colour") for column in next(reader, [])]
    if "name" not in columns:
        raise UsageError(
            f"{file_name} has no column called name.",
            hint="Its first line should be: name,colour,key",
            details="line 1",
        )
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                row = dict(zip(columns, cells))
                yield reader.line_num, ClassDraft(row.get("name", ""), row.get("colour", ""), row.get("key", ""))
    except csv.Error as error:
        raise UsageError(
            f"{file_name} is not a proper CSV file.",
            hint="Save it again as CSV.",
            details=f"line {reader.line_num}: {error}",
        ) from error


def _refusal(sentence: str, lines: Sequence[str]) -> UsageError:
    number = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    return UsageError(f"{sentence}: {number}.", hint="Correct what the lines below say.", details="\n".join(lines))


def _tidy(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()


def _loose(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.casefold())


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")
