"""What the report says of results that are easily misread: stopped early, compared otherwise, begun differently."""

import json
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from quadrat.core.errors import UsageError
from quadrat.core.models import Choice
from quadrat.core.monitor import SILENT
from quadrat.core.simulation.report import Asked, write_report
from quadrat.core.simulation.report.figures import _HUES, INK, Bar, draw_groups
from quadrat.core.simulation.report.scores import evenly
from quadrat.core.simulation.results import join_runs, run_file, write_run

from .made_results import LINEAR, dataset_of, plans_for, results_in, rows_of, sections


def said(folder, **asked):
    """The sections of the report of a folder of results."""
    return sections(write_report([folder], folder / "report", SILENT, asked=Asked(**asked)))


def rewritten(folder, dataset, plans, change):
    """Results of which every round was changed."""
    results_in(folder, dataset, plans, goal=0.8)
    for plan in plans:
        write_run(run_file(folder, plan), [change(each) for each in rows_of(plan, dataset)])
    join_runs(folder)


def test_scores_are_told_at_no_more_than_eight_numbers_of_labels_from_the_first_to_the_last(tmp_path):
    results_in(tmp_path, dataset_of("single"), plans_for(("random", "margin"), budget=10, rounds=25))
    table = said(tmp_path)["Scores by number of labels"]
    assert "| line | 10 | 40 | 80 | 110 | 150 | 180 | 220 | 250 |" in table
    assert re.search(r"^\| margin \|( \d\d\.\d ± \d\.\d \|){8}$", table, flags=re.MULTILINE)
    assert evenly(np.array([64.0])) == [64.0]
    assert evenly(np.arange(5.0)) == [0, 1, 2, 3, 4]


def test_runs_that_stopped_at_the_goal_are_carried_forward_and_that_is_said(tmp_path):
    dataset, plans = dataset_of("single"), plans_for(("random", "margin"), rounds=6)
    results_in(tmp_path, dataset, plans, goal=0.8)
    for plan in plans:
        rows = list(rows_of(plan, dataset))
        end = next(place for place, each in enumerate(rows) if each.score >= 0.8) if plan.seed else len(rows)
        write_run(run_file(tmp_path, plan), rows[: end + 1])
    join_runs(tmp_path)
    found = said(tmp_path)
    for title in ("Learning curves", "Scores by number of labels", "Scores in the end"):
        assert "counts with its last score from there on" in found[title]
    assert re.search(r"\| margin \| 384 \|.*\| 5 \|", found["Scores in the end"])


def test_a_single_run_has_no_spread(tmp_path):
    results_in(tmp_path, dataset_of("single"), plans_for(("random", "margin"), seeds=[0], rounds=3))
    found = said(tmp_path)
    assert re.search(r"\| margin \| 192 \| \d\d\.\d % ± – \| \d\d\.\d % ± – \| 1 \|", found["Scores in the end"])
    assert "over 1 run." in found["Learning curves"]
    assert "counts with its last score" not in found["Learning curves"]


def test_runs_that_had_the_goal_with_the_first_labels_are_counted(tmp_path):
    plans = plans_for(("random", "margin"), rounds=3)
    results_in(tmp_path, dataset_of("single"), plans, skill={"margin": 0.4}, goal=0.88)
    found = said(tmp_path)["Labels to 88.0 %"]
    assert "| margin | 64 | 0 | 5 of 5, 5 with the first labels |" in found
    assert "A run that has it with its first labels counts as these" in found


def test_the_baseline_and_the_labels_that_were_asked_for_are_used_and_named(tmp_path):
    results_in(tmp_path, dataset_of("single"), plans_for(("random", "margin", "mcfps"), rounds=6))
    found = said(tmp_path, baseline="mcfps", start=128, end=256)
    sentence = "the baseline is mcfps and mean scores are taken from 128 to 256 labels"
    assert sentence in found["Summary"]
    assert sentence in found["Compared in pairs"]
    assert "Mean accuracy from 128 to 256 labels, compared with mcfps." in found["Compared in pairs"]
    assert "compared with random" not in found["Compared in pairs"]
    assert "As asked for" not in said(tmp_path)["Summary"]


def test_lines_for_which_the_baseline_that_was_asked_for_was_not_run_are_named(tmp_path):
    plans = [*plans_for(("random", "mcfps"), rounds=3), *plans_for(("random",), learners=(Choice("hidden"),), rounds=3)]
    results_in(tmp_path, dataset_of("single"), plans)
    pairs = said(tmp_path, baseline="mcfps")["Compared in pairs"]
    assert "Not compared, because mcfps was not run in the same way: random (hidden)." in pairs


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"baseline": "mcfsp"}, "mcfsp"),
        ({"start": 256, "end": 128}, "from 256 to 128"),
        ({"start": 128, "end": 128}, "from 128 to 128"),
        ({"end": 10}, "from 64 to 10"),
        ({"start": 64, "end": 1000}, "from 64 to 1000"),
    ],
)
def test_a_baseline_without_results_and_labels_without_scores_are_refused(tmp_path, asked, says):
    results_in(tmp_path, dataset_of("single"), plans_for(("random", "mcfps"), rounds=4))
    with pytest.raises(UsageError, match=says) as caught:
        said(tmp_path, **asked)
    assert "mcfps" in caught.value.hint or "from 64 to 256" in caught.value.hint


def test_the_best_of_the_others_may_be_below_the_baseline(tmp_path):
    results_in(tmp_path, dataset_of("single"), plans_for(("random", "fps", "osal"), rounds=4))
    assert re.search(r"the best of the 2 others is fps .*, below random with", said(tmp_path)["Summary"])


def test_rows_of_both_kinds_of_pools_can_be_told_apart(tmp_path):
    plans = plans_for(("random", "mge", "mge+clustering"), variants=("balanced", "unbalanced-1"), rounds=4)
    results_in(tmp_path, dataset_of("single"), plans)
    table = said(tmp_path)["Clustering and warm start"]
    assert "| mge+clustering (linear) | whole pool | 64 |" in table
    assert "| mge+clustering (linear) | unbalanced pools | 64 |" in table


def test_a_pool_that_is_the_only_kind_has_no_name(tmp_path):
    results_in(tmp_path, dataset_of("single"), plans_for(("random", "margin"), rounds=4))
    found = said(tmp_path)
    del found["Columns of rounds.csv"]
    assert not [text for text in found.values() if "whole pool" in text.lower() or "balanced" in text]


def test_a_function_with_other_parameters_stands_beside_the_paper_too(tmp_path):
    plans = plans_for(("random", "mcfps"), rounds=8)
    plans = [replace(plan, parameters={"passes": 7}) if plan.strategy == "mcfps" else plan for plan in plans]
    results_in(tmp_path, dataset_of("single"), plans, experiment="paper1", goal=0.9)
    assert re.search(r"\| mcfps \| 190 \| mcfps\(passes=7\) ", said(tmp_path)["Beside the paper's figures"])


def test_a_test_set_that_came_with_the_dataset_is_not_said_to_be_drawn(tmp_path):
    results_in(tmp_path, dataset_of("single"), plans_for(("random", "margin"), rounds=2))
    assert "drawn at random with the seed 0" in said(tmp_path)["How it was made"]
    record = json.loads((tmp_path / "experiment.json").read_text(encoding="utf-8"))
    record["split"]["own_test"] = True
    (tmp_path / "experiment.json").write_text(json.dumps(record), encoding="utf-8")
    assert "The test tiles are a set of their own" in said(tmp_path)["How it was made"]


def test_lines_that_begin_with_other_tiles_are_named_where_they_are_compared(tmp_path):
    def begun(each):
        own = each.strategy in ("random", "typiclust")
        return replace(each, chosen_by="kmeans" if each.round == 1 and not own else each.strategy)

    plans = plans_for(("random", "typiclust", "margin"), rounds=3)
    rewritten(tmp_path, dataset_of("single"), plans, begun)
    pairs = said(tmp_path)["Compared in pairs"]
    assert "random and typiclust chose the first tiles by themselves" in pairs
    assert "kmeans chose the first tiles of margin" in pairs
    assert "same initial tiles" not in said(tmp_path)["How it was made"]


def test_with_initial_labels_all_lines_begin_alike(tmp_path):
    results_in(tmp_path, dataset_of("single"), plans_for(("random", "margin"), rounds=3, initial=20))
    found = said(tmp_path)
    assert "do not begin with the same tiles" not in found["Compared in pairs"]
    assert "The same seed means the same initial tiles for all lines." in found["How it was made"]


def test_the_goal_is_drawn_where_its_score_is_and_nowhere_else(tmp_path):
    plans = plans_for(("random", "mge"), rounds=4)
    results_in(tmp_path, dataset_of("multi"), plans, experiment="paper2", goal=0.8)
    assert "The dashed level is the goal, 80.0 % micro F1." in said(tmp_path)["Learning curves"]
    drawing = (tmp_path / "report" / "figures" / "part1-curves-1.svg").read_text(encoding="utf-8")
    assert drawing.count("stroke-dasharray: 4,3.2") == 1


def test_no_number_of_an_experiment_is_told_that_options_may_have_changed(tmp_path):
    plans = plans_for(("margin",), budget=32, rounds=4)
    results_in(tmp_path, dataset_of("single"), plans, experiment="budget")
    assert "512" not in said(tmp_path)["Overview"]


def luminance(colour):
    """Relative luminance of #rrggbb, as WCAG 2.2 defines it."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("colour", _HUES)
def test_lines_stand_out_from_white_and_from_dark_paper(colour):
    assert 1.05 / (luminance(colour) + 0.05) >= 3.0
    assert (luminance(colour) + 0.05) / (luminance("#16191d") + 0.05) >= 3.0
    assert 1.05 / (luminance(INK) + 0.05) >= 3.0


def test_groups_of_bars_are_told_apart_by_more_than_their_colour(tmp_path):
    series = [(name, [Bar(name, 0.5)]) for name in ("one", "two", "three")]
    draw_groups(["2 %"], series, "accuracy", [tmp_path / "bars.svg"])
    assert (tmp_path / "bars.svg").read_text(encoding="utf-8").count("<pattern") == 2


def test_headings_tables_and_regions_can_be_used_without_eyes_or_mouse(tmp_path):
    plans = plans_for(("random", "margin"), learners=(LINEAR, Choice("hidden")), rounds=3)
    results_in(tmp_path, dataset_of("single"), plans, validation=20, goal=0.8)
    page = write_report([tmp_path], tmp_path / "report", SILENT).html.read_text(encoding="utf-8")
    levels = [int(level) for level in re.findall(r"<h(\d)", page)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert not re.search(r"<th[^>]*></th>", page)
    regions = re.findall(r'<(?:div class="scroll"|pre) tabindex="0" role="region" aria-label="([^"]+)"', page)
    assert len(regions) == page.count('class="scroll"') + page.count("<pre")
    assert all(regions)
