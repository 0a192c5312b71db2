"""Sections for the studies: embeddings in the plane, encoders by the share of labels, why one-shot learning fails."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from ..experiments import Findings
from .document import Block, Paragraph, Picture, Section, Table
from .figures import Bar, Cloud, draw_clouds, draw_groups
from .material import Material
from .wording import SCORES, capital, listed, percent, whole

_VIEWS = {"embeddings": "Embeddings", "pixels": "Raw pixels"}


def projection(material: Material) -> Section | None:
    """Embeddings and raw pixels side by side, and what their nearest neighbours say."""
    study = material.findings.get("projection")
    if study is None:
        return None
    facts = study.facts
    score = SCORES[facts["score"]]
    rows = tuple((_VIEWS[name], percent(value)) for name, value in facts["knn"].items())
    table = Table(
        f"{capital(score)} of the majority of the {facts['neighbours']} nearest of {whole(facts['references'])} "
        f"tiles of the pool, by cosine, on {whole(facts['tested'])} test tiles.",
        ("tiles as", score),
        "lr",
        rows,
    )
    return Section("Embeddings and raw pixels", (*_projected(material, study, score), table))


def _projected(material: Material, study: Findings, score: str) -> tuple[Block, ...]:
    """The picture; none where a tile may have several classes and so has no colour."""
    targets, facts = study.arrays["targets"], study.facts
    if targets.ndim > 1:
        return ()
    clouds = [
        Cloud(f"{words}: nearest neighbours {percent(facts['knn'][name])}", study.arrays[name], targets)
        for name, words in _VIEWS.items()
    ]
    return (
        Picture(
            material.file("projection"),
            f"t-SNE of {whole(facts['tiles'])} tiles of the pool: vectors of {facts['encoder']}, and the reflectance "
            "at 16 x 16. Colours are classes; distances between groups mean little.",
            f"Two maps of points. Nearest neighbours have {score} {percent(facts['knn']['embeddings'])} on embeddings "
            f"and {percent(facts['knn']['pixels'])} on raw pixels.",
            partial(draw_clouds, clouds, facts["classes"]),
            dots=True,
        ),
    )


def encoders(material: Material) -> Section | None:
    """A linear model on the vectors of several encoders, by the share of labels."""
    study = material.findings.get("encoders")
    if study is None:
        return None
    facts = study.facts
    score = SCORES[facts["score"]]
    heads = [
        f"{share:.0%} ({whole(count)})".replace("%", " %")
        for share, count in zip(facts["shares"], facts["labels"], strict=True)
    ]
    series = [(row["name"], [_bar(row["name"], draws) for draws in row["scores"]]) for row in facts["encoders"]]
    rows = tuple(
        (row["name"], whole(row["dimension"]), *(_mean_and_spread(draws) for draws in row["scores"]))
        for row in facts["encoders"]
    )
    caption = (
        f"{capital(score)} on {whole(facts['tested'])} test tiles of the learner {facts['learner']} by the share "
        f"of the pool that has a label, drawn at random: mean of {facts['draws']} draws (of all labels there is one)"
    )
    names = listed([row["name"] for row in facts["encoders"]])
    return Section(
        "Encoders by the share of labels",
        (
            Picture(
                material.file("encoders"),
                f"{caption}, from the lowest to the highest draw.",
                f"Bars for {names}; the figures are in the table below.",
                partial(draw_groups, heads, series, score),
            ),
            Table(f"{caption} ± standard deviation.", ("encoder", "numbers", *heads), "lr" + "r" * len(heads), rows),
        ),
    )


def _bar(name: str, draws: list[float]) -> Bar:
    return Bar(name, float(np.mean(draws)), (min(draws), max(draws)) if len(draws) > 1 else None)


def _mean_and_spread(draws: list[float]) -> str:
    spread = f" ± {100 * np.std(draws, ddof=1):.1f}" if len(draws) > 1 else ""
    return percent(float(np.mean(draws))) + spread


def one_shot(material: Material) -> Section | None:
    """Why one-shot active learning fails."""
    study = material.findings.get("one-shot")
    if study is None:
        return None
    facts = study.facts
    functions = list(facts["strategies"])
    clouds = [
        Cloud(name, study.arrays["embeddings"], study.arrays["targets"], _places(study, name)) for name in functions
    ]
    picture = Picture(
        material.file("one-shot"),
        f"The first {facts['budget']} tiles that each function asks for (rings), on the t-SNE of the pool.",
        f"Maps of points for {listed(functions)} with the chosen tiles ringed; the tables below count their classes.",
        partial(draw_clouds, clouds, facts["classes"]),
        dots=True,
    )
    return Section("Why one-shot learning fails", (_clusters(facts), picture, _diversity(facts), _classes(facts)))


def _places(study: Findings, name: str) -> np.ndarray:
    """Where the tiles of the first round are among those shown."""
    return np.flatnonzero(np.isin(study.arrays["rows"], study.arrays[f"picks_{name}"][0]))


def _clusters(facts: Mapping[str, Any]) -> Paragraph:
    values = ", ".join(f"{value:.3f} for {count}" for count, value in facts["silhouettes"].items())
    return Paragraph(
        f"OSAL takes the number of clusters with the highest silhouette ({values}): {facts['clusters']} clusters, "
        f"where there are {len(facts['classes'])} classes. Within each it takes the tiles that lie farthest apart."
    )


def _diversity(facts: Mapping[str, Any]) -> Table:
    rounds = range(facts["rounds"])
    rows = []
    for name, found in facts["strategies"].items():
        for place in rounds:
            cells = (found["entropy_bits"][place], found["classes_seen"][place], found["oddness"][place])
            rows.append((name, str(place + 1), *(f"{cell:.2f}" for cell in cells)))
    return Table(
        f"What is asked for, round by round, means of {facts['draws']} draws. Entropy of the classes in bits (the pool "
        f"has {facts['pool']['entropy_bits']:.2f}); classes seen so far; oddness, the share of the pool that lies "
        "closer to its neighbours than the tile does to its own (0.50 for a tile like any other).",
        ("query function", "round", "entropy", "classes seen", "oddness"),
        "lrrrr",
        tuple(rows),
    )


def _classes(facts: Mapping[str, Any]) -> Table:
    counts = {name: found["counts"][0] for name, found in facts["strategies"].items()}
    total = sum(facts["pool"]["counts"]) or 1
    rows = tuple(
        (kind, percent(facts["pool"]["counts"][place] / total), *(str(each[place]) for each in counts.values()))
        for place, kind in enumerate(facts["classes"])
    )
    return Table(
        f"Classes of the first {facts['budget']} tiles, one draw.",
        ("class", "share of the pool", *counts),
        "l" + "r" * (len(counts) + 1),
        rows,
    )
