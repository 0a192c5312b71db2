"""What somebody asks for, as plans: a named experiment or none, and what is to be changed in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..catalogue import Catalogue, Entry, Mode
from ..defaults import default_strategy
from ..errors import UsageError, nearest
from ..learners.registry import LEARNERS
from ..models import Choice
from ..strategies.registry import STRATEGIES
from .experiments import Experiment, Setting
from .plan import BALANCED, Plan
from .results import plan_facts

BY_HAND = Setting(rounds=8, goal=0.9)
"""What is compared if nothing is said: the default query function with random tiles."""


def make_plans(
    experiment: Experiment | None, wanted: Mapping[str, Any], parameters: Mapping[str, Any]
) -> tuple[Setting, list[Plan]]:
    """The setting and its runs.

    Args:
        experiment: whose setting and runs they are; without one, each query function is run with each learner.
        wanted: fields of the setting to be changed.
        parameters: of the query functions; each gets those that it has.

    Raises:
        UsageError: something that is not known, or does not suit the label mode or the experiment.
    """
    if experiment is None:
        setting = replace(BY_HAND, **wanted)
        plans = list(setting.plans(setting.pairs(("random", default_strategy(setting.mode)))))
    else:
        setting = replace(experiment.defaults, **wanted)
        plans = experiment.plans(setting)
    given = dict(zip(names_of(plans), owned(STRATEGIES, names_of(plans), parameters), strict=True))
    return setting, [replace(plan, parameters=given[plan.strategy]) for plan in plans]


def check_asked(experiment: Experiment | None, wanted: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Refuse what no dataset would make right, before one is looked through; the arguments are those of make_plans.

    Raises:
        UsageError: something that is not known, or suits neither label mode.
    """
    modes: tuple[Mode, ...] = ("single", "multi") if experiment is None else experiment.modes
    refused: list[UsageError] = []
    for mode in modes:
        try:
            setting, plans = make_plans(experiment, {**wanted, "mode": mode}, parameters)
            STRATEGIES.find(setting.initial_by)
            for plan in plans:
                plan_facts(plan)
            return
        except UsageError as error:
            refused.append(error)
    raise refused[0]


def names_of(plans: Iterable[Plan]) -> list[str]:
    """Their query functions, each once."""
    return list(dict.fromkeys(plan.strategy for plan in plans))


def make_learners(names: Sequence[str], parameters: Mapping[str, Any]) -> tuple[Choice, ...]:
    """Learners by name; each gets those parameters that it has.

    Raises:
        UsageError: an unknown learner, a parameter that none has, or parameters without a learner.
    """
    if parameters and not names:
        raise UsageError("Parameters of a learner need its name.", hint="Say which: --learner NAME.")
    pairs = zip(names, owned(LEARNERS, names, parameters), strict=True)
    return tuple(Choice(name, own) for name, own in pairs)


def owned(catalogue: Catalogue[Any], names: Sequence[str], parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each of the entries, those of the parameters that it has.

    Raises:
        UsageError: an entry that is not known, or a parameter that none of them has.
    """
    entries: list[Entry] = [catalogue.find(name) for name in names]
    known = {key for entry in entries for key in entry.defaults}
    for key in parameters:
        if key not in known:
            hint = nearest(key, sorted(known)) if known else f"Leave it out: {', '.join(names)} have no parameters."
            raise UsageError(f"No {catalogue.kind} here has a parameter {key!r}.", hint=hint)
    return [{key: value for key, value in parameters.items() if key in entry.defaults} for entry in entries]


def parse_seeds(text: str) -> tuple[int, ...]:
    """``5`` as the first five seeds, ``0,3,7`` as these three.

    Raises:
        UsageError: neither.
    """
    numbers = parse_numbers(text, "seeds", least=0)
    seeds = numbers if "," in text else tuple(range(numbers[0]))
    if not seeds:
        raise UsageError("Without a seed there is no run.", hint="For example --seeds 5, or --seeds 0,3,7.")
    return tuple(dict.fromkeys(seeds))


def parse_numbers(text: str, what: str, least: int = 1) -> tuple[int, ...]:
    """``10,20`` as whole numbers; a comma at the end makes a list of one.

    Raises:
        UsageError: it is no such list, or a number is below ``least``.
    """
    try:
        numbers = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < least:
        raise UsageError(
            f"{text!r} is no list of {what}.", hint=f"Whole numbers from {least} on, separated by commas: 10,20,40."
        )
    return numbers


def variants_of(unbalanced: int) -> tuple[str, ...]:
    """The balanced pool and so many others."""
    return (BALANCED, *(f"unbalanced-{number}" for number in range(1, unbalanced + 1)))
