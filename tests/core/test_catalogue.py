"""Functions by name: where their parameters come from, presets, limits, and what a refusal says."""

from dataclasses import dataclass
from typing import Annotated

import pytest

from quadrat.core.catalogue import Catalogue, Entry, Preset, Within, as_typed, parameters_of
from quadrat.core.errors import UsageError


@dataclass(frozen=True)
class Recipe(Entry):
    """An entry with a field of its own."""

    oven: str = "any"


def bake(
    dough,
    *,
    minutes: Annotated[int, Within(1)] = 40,
    heat: Annotated[float, Within(0.0, 250.0)] = 180.0,
    shape: Annotated[str, Within(words=("round", "long"))] = "round",
    salted: bool = True,
    note: str = "",
):
    return dough, minutes, heat, shape, salted, note


@pytest.fixture
def recipes():
    made = Catalogue("recipe")
    presets = {"crisp": Preset("Crisp bread.", {"minutes": 60}, {"oven": "stone"})}
    made.register(Recipe("bread", bake, "Bread.", "-", "minutes", presets=presets))
    made.register(Recipe("air", lambda dough: dough, "Nothing.", "-", "nothing"))
    return made


def settings(recipes, name="bread", **parameters):
    return recipes.settings(recipes.find(name), parameters)


def test_parameters_are_the_keyword_only_arguments_with_their_defaults(recipes):
    assert settings(recipes) == {"minutes": 40, "heat": 180.0, "shape": "round", "salted": True, "note": ""}
    assert settings(recipes, "air") == {}


def test_limits_are_those_of_the_annotations_and_nothing_else():
    assert parameters_of(bake).limits == {
        "minutes": Within(1),
        "heat": Within(0.0, 250.0),
        "shape": Within(words=("round", "long")),
    }

    def annotated(*, plain: Annotated[int, "a remark"] = 1):
        return plain

    assert parameters_of(annotated).limits == {}


def test_an_entry_may_bring_parameters_that_its_function_passes_on():
    def outer(dough, *, times: Annotated[int, Within(1)] = 2, **inner):
        return [bake(dough, **inner)] * times

    made = Catalogue("recipe")
    inner = parameters_of(bake)
    made.register(Recipe("batch", outer, "Many.", "-", "times", defaults=inner.defaults, limits=inner.limits))
    assert made.settings(made.find("batch"), {"minutes": 5})["minutes"] == 5
    assert set(made.find("batch").limits) == {"times", "minutes", "heat", "shape"}


def test_names_are_in_order_with_their_presets(recipes):
    assert recipes.names() == ("air", "bread", "bread:crisp")
    assert [entry.name for entry in recipes.entries()] == ["air", "bread"]


def test_a_preset_changes_parameters_fields_and_summary_and_nothing_else(recipes):
    plain, crisp = recipes.find("bread"), recipes.find("bread:crisp")
    assert (crisp.name, crisp.summary, crisp.oven) == ("bread:crisp", "Crisp bread.", "stone")
    assert {**plain.defaults, "minutes": 60} == crisp.defaults
    assert crisp.limits == plain.limits
    assert plain.oven == "any"


def test_the_parameters_of_a_preset_may_be_changed_too(recipes):
    assert settings(recipes, "bread:crisp", heat=200.0) == {**settings(recipes, "bread:crisp"), "heat": 200.0}


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("braed", "bread"),
        ("bread:crips", "bread:crisp"),
        ("air:crisp", "bread:crisp"),
        ("?", "air, bread"),
        ("", "air"),
    ],
)
def test_an_unknown_name_gets_the_nearest_one_or_all(recipes, asked, hint):
    with pytest.raises(UsageError, match="no recipe called") as refusal:
        recipes.find(asked)
    assert hint in refusal.value.hint


@pytest.mark.parametrize(
    ("name", "asked", "hint"),
    [("bread", "minuets", "minutes"), ("bread", "zzz", "heat"), ("air", "minutes", "It has no parameters.")],
)
def test_an_unknown_parameter_gets_the_nearest_one_or_all(recipes, name, asked, hint):
    with pytest.raises(UsageError, match=asked) as refusal:
        settings(recipes, name, **{asked: 1})
    assert hint in refusal.value.hint


@pytest.mark.parametrize(
    "wrong",
    [
        {"minutes": 4.0},
        {"minutes": True},
        {"minutes": "40"},
        {"minutes": None},
        {"heat": "hot"},
        {"heat": True},
        {"salted": 1},
        {"shape": 3},
        {"note": ["a"]},
    ],
)
def test_a_value_of_another_type_is_refused_with_the_default(recipes, wrong):
    with pytest.raises(UsageError, match=r"should be (a whole number|a number|true or false|a text)") as refusal:
        settings(recipes, **wrong)
    default = recipes.find("bread").defaults[next(iter(wrong))]
    assert (as_typed(default) or "empty") in refusal.value.hint


@pytest.mark.parametrize(
    ("beyond", "rule"),
    [
        ({"minutes": 0}, "at least 1"),
        ({"heat": -0.1}, "from 0 to 250"),
        ({"heat": 250.1}, "from 0 to 250"),
        ({"heat": float("nan")}, "from 0 to 250"),
        ({"heat": float("inf")}, "from 0 to 250"),
        ({"shape": "square"}, "one of round, long"),
    ],
)
def test_a_value_beyond_its_limits_is_refused_with_the_rule(recipes, beyond, rule):
    with pytest.raises(UsageError, match=rule):
        settings(recipes, **beyond)


def test_values_at_the_limits_are_allowed_and_whole_numbers_become_fractions(recipes):
    found = settings(recipes, minutes=1, heat=250)
    assert (found["minutes"], found["heat"]) == (1, 250.0)
    assert isinstance(found["heat"], float)


def test_a_limit_on_one_side_says_so():
    assert Within(most=5).rule() == "at most 5"
    assert Within(most=5).allows(5)
    assert not Within(most=5).allows(6)


def test_asking_changes_no_default(recipes):
    settings(recipes, minutes=5)
    assert settings(recipes)["minutes"] == 40
