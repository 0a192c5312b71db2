"""Class lists: presets, files, what is refused, and editing them in a project that is in use."""

import unicodedata
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quadrat.core.errors import UsageError
from quadrat.core.project.answers import Answer, current_answers, record_answers, undo
from quadrat.core.project.class_editing import (
    add_class,
    recolour_class,
    remove_class,
    rename_class,
    reorder_classes,
    set_class_key,
)
from quadrat.core.project.classes import (
    PRESETS,
    ClassDraft,
    LabelClass,
    check_class_list,
    match_class,
    read_class_list,
)

from .project_factory import make_project

COMMANDS = {"s", "u", "n"}


def drafts(*names):
    return [ClassDraft(name) for name in names]


def refusal(function, *arguments):
    with pytest.raises(UsageError) as caught:
        function(*arguments)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_have_as_many_distinct_classes_as_they_say(preset):
    classes = read_class_list(preset)
    number = preset.rsplit("-", 1)[1]
    assert len(classes) == (5 if preset == "corine-level-1" else int(number))
    assert len({c.colour for c in classes}) == len(classes)
    assert len({c.key for c in classes} - COMMANDS - {""}) == len(classes)


def test_presets_use_the_official_names():
    assert [c.name for c in read_class_list("eurosat-10")][:3] == ["AnnualCrop", "Forest", "HerbaceousVegetation"]
    assert "Moors, heathland and sclerophyllous vegetation" in [c.name for c in read_class_list("bigearthnet-19")]
    assert "Bare / sparse vegetation" in [c.name for c in read_class_list("worldcover-11")]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_a_text_file_has_a_name_a_line(tmp_path, bom):
    (tmp_path / "c.TXT").write_bytes(bom + 'Wald\r\n\r\n  Müll, alt \r\nc/d "e" 🌲\n'.encode())
    classes = read_class_list(str(tmp_path / "c.TXT"))
    assert [c.name for c in classes] == ["Wald", "Müll, alt", 'c/d "e" 🌲']
    assert [c.key for c in classes] == ["1", "2", "3"]


@pytest.mark.parametrize(
    "text",
    [
        'name,colour,key\n"Wood, old",#00ff00,w\nSea,,\n',
        "Key;Name;Color\nw;Wood, old;#00ff00\n;Sea;\n",
        '\ufeffname\tcolour\tkey\textra\r\n"Wood, old"\t#00FF00\tW\tx\r\n\r\nSea\r\n',
    ],
)
def test_a_table_may_have_colours_and_keys(tmp_path, text):
    (tmp_path / "c.csv").write_text(text, encoding="utf-8", newline="")
    wood, sea = read_class_list(str(tmp_path / "c.csv"))
    assert wood == ClassDraft("Wood, old", "#00FF00", "w")
    assert sea.name == "Sea"
    assert sea.key == "1"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("c.csv", b"colour,key\n#000000,1\n", "no column called name"),
        ("c.csv", b"", "no column called name"),
        ("c.csv", b"name\n", "is empty"),
        ("c.txt", b"\n \n", "is empty"),
        ("c.txt", b"Wald\nM\xfcll\n", "UTF-8"),
        ("c.csv", b'name\n"a\n' + b"x" * 200_000, "not a proper CSV"),
    ],
)
def test_unusable_files_are_refused(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    assert words in refusal(read_class_list, str(tmp_path / name)).message


def test_a_missing_list_names_the_presets(tmp_path):
    for source in ("eurosat", str(tmp_path / "no.csv"), str(tmp_path)):
        assert "worldcover-11" in refusal(read_class_list, source).hint


def test_problems_in_a_file_are_told_by_line(tmp_path):
    (tmp_path / "c.csv").write_text("name,colour,key\nSea,blue,\n\nsea,,s\nLand,#112233,1\nIce,,1\n")
    details = refusal(read_class_list, str(tmp_path / "c.csv")).details.splitlines()
    assert [line.split(":")[0] for line in details] == ["line 2", "line 4", "line 4", "line 6"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a", " "], "empty"),
        (["a", "a"], "repeated"),
        (["Bare Soil", "baresoil"], "repeated"),
        (["é", "e\u0301"], "repeated"),
        (["x" * 101], "101 characters"),
        (["a;b"], "semicolon"),
        (["a\nb"], "control"),
        (["a\0"], "control"),
        (["a\ud800"], "control"),
        (["None"], "word for an answer"),
    ],
)
def test_impossible_names_are_refused(names, words):
    assert words in refusal(check_class_list, drafts(*names)).details


@pytest.mark.parametrize(
    ("draft", "words"),
    [
        (ClassDraft("b", "red"), "#RRGGBB"),
        (ClassDraft("b", "#12345g"), "#RRGGBB"),
        (ClassDraft("b", "", "U"), "unsure"),
        (ClassDraft("b", "", "ab"), "single character"),
        (ClassDraft("b", "", "q"), "repeated"),
    ],
)
def test_impossible_colours_and_keys_are_refused(draft, words):
    assert words in refusal(check_class_list, [ClassDraft("a", "", "Q"), draft]).details


def test_every_problem_is_told_at_once():
    error = refusal(check_class_list, [*drafts("a", "a", "", "b;c"), ClassDraft("d", "x", "yy")])
    assert len(error.details.splitlines()) == 5
    assert "5 problems" in error.message


def test_empty_and_endless_lists_are_refused():
    assert "empty" in refusal(check_class_list, []).message
    assert "1000 are the most" in refusal(check_class_list, drafts(*map(str, range(1001)))).details


def test_a_list_of_a_thousand_classes_is_completed():
    classes = check_class_list(drafts(*(f"class {i}" for i in range(1000))))
    assert len({c.colour for c in classes}) == 1000
    assert "".join(c.key for c in classes) == "123456789abcdefghijklmopqrtvwxyz"


def test_the_colours_of_a_long_list_can_be_told_apart():
    def levels(colour):
        return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]

    colours = [levels(c.colour) for c in check_class_list(drafts(*map(str, range(40))))]
    assert min(max(abs(a - b) for a, b in zip(x, y, strict=True)) for x, y in combinations(colours, 2)) >= 26


NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters=";"), max_size=20)


@given(st.lists(NAMES, min_size=1, max_size=40))
def test_a_list_is_completed_or_refused_never_half(names):
    spaceless = ["".join(unicodedata.normalize("NFC", name).casefold().split()) for name in names]
    if "" in spaceless or len(set(spaceless)) < len(names) or {"none", "skip", "unsure"} & set(spaceless):
        assert refusal(check_class_list, drafts(*names)).details
        return
    classes = check_class_list(drafts(*names))
    assert len(classes) == len(names)
    assert len({c.name for c in classes}) == len({c.colour for c in classes}) == len(classes)
    keys = [c.key for c in classes if c.key]
    assert len(set(keys)) == len(keys)
    assert not COMMANDS & set(keys)
    assert check_class_list(classes) == classes


def test_names_are_matched_exactly_first_and_loosely_if_there_is_one():
    names = ["Bare soil", "bare-soil", "SeaLake", "É"]
    classes = [LabelClass(i, name, "", "", i) for i, name in enumerate(names)]
    matches = {
        "Bare soil": 0, " bare-soil ": 1, "BARE_SOIL": None, "sea lake": 2, "sea_LAKE": 2, "e\u0301": 3, "Sea": None,
        "": None,
    }  # fmt: skip
    for name, expected in matches.items():
        found = match_class(name, classes)
        assert (found.class_id if found else None) == expected, name


@pytest.fixture
def project(tmp_path):
    with make_project(tmp_path / "p.gpkg", "multi") as project:
        yield project


def test_classes_are_added_changed_and_reordered(project):
    added = add_class(project, ClassDraft("Sand, 'white' / \"dry\" 🏖"))
    assert (added.class_id, added.position, added.key) == (4, 3, "4")
    assert rename_class(project, 2, "Wood").name == "Wood"
    assert recolour_class(project, 2, "#abcdef").colour == "#ABCDEF"
    assert set_class_key(project, 2, "w").key == "w"
    reorder_classes(project, [4, 2, 1, 3])
    assert [(c.class_id, c.position) for c in project.classes()] == [(4, 0), (2, 1), (1, 2), (3, 3)]
    assert project.classes()[1] == LabelClass(2, "Wood", "#ABCDEF", "w", 1)


def test_changes_that_would_break_the_list_are_refused(project):
    before = project.classes()
    refusal(rename_class, project, 1, "forest")
    refusal(recolour_class, project, 1, "blue")
    refusal(set_class_key, project, 1, "s")
    refusal(add_class, project, ClassDraft("Water"))
    for change in (
        lambda: rename_class(project, 9, "x"),
        lambda: remove_class(project, 9),
        lambda: reorder_classes(project, [1, 2]),
        lambda: reorder_classes(project, [1, 2, 2]),
    ):
        with pytest.raises(UsageError):
            change()
    assert project.classes() == before


def test_a_class_is_removed_only_if_no_answer_ever_used_it(project):
    record_answers(project, [Answer(1, "classes", (1, 2)), Answer(2, "classes", (2,))], annotator="a", source="map")
    undo(project)
    assert "2 answers use it" in refusal(remove_class, project, 2).message
    assert "1 answer uses it" in refusal(remove_class, project, 1).message
    remove_class(project, 3)
    assert [c.class_id for c in project.classes()] == [1, 2]
    assert add_class(project, ClassDraft("New")).class_id == 4, "numbers are never given twice"


def test_the_last_class_stays(project):
    remove_class(project, 1)
    remove_class(project, 2)
    assert "last class" in refusal(remove_class, project, 3).message


def test_answers_keep_their_class_when_it_is_renamed(project):
    record_answers(project, [Answer(1, "classes", (3, 1))], annotator="a", source="map")
    rename_class(project, 1, "Sea")
    reorder_classes(project, [3, 2, 1])
    assert current_answers(project)[1].class_ids == (3, 1)
