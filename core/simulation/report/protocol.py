"""Sections on how the figures were made: on what, with what, by which commands, and what the columns mean."""

from __future__ import annotations

from collections.abc import Iterator

from ..plan import BALANCED
from .document import Block, Commands, Paragraph, Section, Table
from .material import Material
from .wording import counted, listed, percent, whole

MEANINGS = {
    "dataset": "its name",
    "encoder": "whose vectors were learnt from",
    "variant": "of the pool: balanced is the whole pool; unbalanced-K, where each class lost a random share",
    "strategy": "the query function, with the parameters that are not the default",
    "learner": "what was fitted after every round, in the same way",
    "budget": "tiles a round",
    "initial": "tiles labelled before the first round",
    "initial_by": "the query function that chose these",
    "seed": "of all chance in the run",
    "round": "from 1; 0 is the initial set",
    "labels": "how many there are after the round",
    "classes_seen": "classes with a label",
    "chosen_by": "who chose: not the strategy itself as long as it has nothing to go on",
    "accuracy": "on the test tiles; with several classes a tile, the share with all of them right",
    "macro_f1": "on the test tiles, mean over the classes that occur",
    "micro_f1": "on the test tiles, over all answers; with several classes a tile only",
    "mean_average_precision": "on the test tiles, mean over the classes; with several classes a tile only",
    "validation_labels": "tiles of the sample that the accuracy was estimated on",
    "estimate": "the main score on this sample",
    "estimate_low": "lower end of its 95 % interval",
    "estimate_high": "upper end",
    "agreement": "kappa of the predictions with those of the round before",
    "stop": "whether it was suggested to stop",
    "query_seconds": "of the selection alone",
    "train_seconds": "of the fit",
    "learner_parameters": "numbers that the learner learns",
}
"""Of each column of ``rounds.csv``."""


def title(material: Material) -> str:
    """What was asked, and of what."""
    asked = "Query functions and learners" if material.experiment is None else material.experiment.title
    return f"{asked}: {material.dataset}, {material.encoder}"


def overview(material: Material) -> tuple[Block, ...]:
    """What was compared on what."""
    dataset, split = material.record["dataset"], material.record["split"]
    strategies = list(dict.fromkeys(line.strategy for line in material.lines))
    learners = list(dict.fromkeys(line.learner for line in material.lines))
    validation = max(result.validation_labels for result in material.results)
    seeds = sorted({result.seed for result in material.results})
    runs = sum(map(len, material.runs.values()))
    facts = {
        "dataset": f"{dataset['name']}: {whole(dataset['tiles'])} tiles, "
        f"{counted(len(dataset['classes']), 'class', 'classes')}, {dataset['mode']}-label",
        "encoder": f"{material.encoder}, {material.record['vectors']['dimension']} numbers a tile",
        "tiles": f"{whole(split['pool'])} in the pool, {whole(split['test'])} to test on",
        "validation sample": f"{whole(validation)} tiles of the pool, set apart in each run" if validation else "none",
        "query functions": listed(strategies),
        "learners": listed(learners),
        "tiles a round": listed([str(budget) for budget in sorted({line.budget for line in material.lines})]),
        "seeds": listed([str(seed) for seed in seeds]),
        "runs": whole(runs),
        "labels": f"at most {whole(max(result.labels for result in material.results))} in a run",
        "made": str(material.record["created"]),
        "versions": ", ".join(f"{name} {version}" for name, version in material.record["versions"].items()),
        "hardware": str(material.record["hardware"]),
    }
    return (
        Table("What was compared, and with what.", ("", ""), "ll", tuple(facts.items())),
        *_commands(material),
    )


def _commands(material: Material) -> Iterator[Block]:
    lines = material.record.get("commands", ())
    if lines:
        yield Paragraph("To repeat it:")
        yield Commands(tuple(map(str, lines)))


def method(material: Material) -> Section:
    """The protocol, and what was taken from unbalanced pools."""
    return Section("How it was made", (Paragraph(_protocol(material)), *_removed(material)))


def _protocol(material: Material) -> str:
    split = material.record["split"]
    if split.get("test_path") or split.get("own_test", False):
        drawn = "The test tiles are a set of their own"
    else:
        drawn = (
            f"The test tiles were drawn at random with the seed {split['seed']}"
            if "seed" in split
            else "The test tiles were drawn at random"
        )
    begun = sorted({(line.initial, line.initial_by) for line in material.lines})
    beginnings = listed([f"{count} tiles chosen by {by}" if count else "no label" for count, by in begun])
    return (
        f"{drawn}; they are the same in every run and in no pool, so nothing of them has a part in a choice. Each run "
        f"begins with {beginnings}. In each round the query function chooses tiles of the pool, the oracle answers "
        "with the labels of the archive, and the learner is fitted on all answers and asked about the test tiles. "
        f"{_shared(material)}"
    )


def _shared(material: Material) -> str:
    """What runs with the same seed have in common, as far as it is so here."""
    same = ["the same initial tiles"] if all(line.initial for line in material.lines) else []
    same += ["the same validation sample"] if any(result.validation_labels for result in material.results) else []
    parts = [f"The same seed means {listed(same)} for all lines."] if same else []
    if "unbalanced" in material.groups:
        parts.append("The unbalanced pools are the same for all lines.")
    return " ".join(parts)


def _removed(material: Material) -> Iterator[Block]:
    removed = {name: shares for name, shares in material.record.get("unbalanced", {}).items() if name != BALANCED}
    if removed:
        rows = tuple(
            (kind, *(percent(shares[place]) for shares in removed.values()))
            for place, kind in enumerate(material.record["dataset"]["classes"])
        )
        yield Table(
            "Share of each class that was taken from the pool.", ("class", *removed), "l" + "r" * len(removed), rows
        )


def columns() -> Section:
    """What ``rounds.csv`` holds."""
    return Section(
        "Columns of rounds.csv",
        (Table("A row for every round of every run.", ("column", "meaning"), "ll", tuple(MEANINGS.items())),),
        level=2,
    )
