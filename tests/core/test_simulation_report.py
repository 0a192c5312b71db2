"""The report of experiments: complete, sober, self-contained, and the same every time."""

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from quadrat.core.errors import Cancelled, UsageError
from quadrat.core.models import Choice
from quadrat.core.monitor import SILENT, Monitor
from quadrat.core.simulation.experiments.one_shot import ONE_SHOT
from quadrat.core.simulation.experiments.projection import PROJECTION
from quadrat.core.simulation.experiments.studies import Material
from quadrat.core.simulation.plan import COLUMNS
from quadrat.core.simulation.report import write_report
from quadrat.core.simulation.report.figures import Bar, draw_points
from quadrat.core.simulation.report.protocol import MEANINGS
from quadrat.core.simulation.report.wording import seconds

from .made_results import LINEAR, dataset_of, encoder_shares, plans_for, results_in, sections, vectors_of

VOID = {"meta", "img", "br", "hr", "link", "input"}


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """The first paper's experiment, small, with its studies."""
    folder = tmp_path_factory.mktemp("single")
    dataset = dataset_of("single")
    plans = plans_for(
        ("random", "margin", "mcfps", "fps", "osal"), variants=("balanced", "unbalanced-1", "unbalanced-2"), rounds=6
    )
    parts = results_in(folder, dataset, plans, experiment="paper1", goal=0.85)
    for study in (PROJECTION, ONE_SHOT):
        study.run(Material(dataset, vectors_of(dataset), parts, folder))
    encoder_shares(folder)
    return folder


@pytest.fixture(scope="module")
def multi(tmp_path_factory):
    """The second paper's experiment, small."""
    folder = tmp_path_factory.mktemp("multi")
    plans = [
        plan
        for budget in (10, 20)
        for plan in plans_for(
            ("random", "margin", "mge", "mge+clustering"),
            learners=(LINEAR, Choice("linear", {"warm": True})),
            seeds=range(3),
            budget=budget,
            rounds=200 // budget,
            initial=40,
        )
    ]
    results_in(folder, dataset_of("multi"), plans, experiment="paper2")
    return folder


@pytest.fixture(scope="module")
def report(single, multi, tmp_path_factory):
    return write_report([single, multi], tmp_path_factory.mktemp("report"), SILENT)


class Reader(HTMLParser):
    """Reads a page, and sees to it that every tag is closed in its turn."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.open, self.said, self.pictures, self.identifiers, self.links = [], [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.identifiers += [values["id"]] if "id" in values else []
        self.links += [value for name, value in attributes if name in ("href", "xlink:href", "src") and value]
        if tag in ("img", "svg"):
            self.pictures.append(values.get("alt") or values.get("aria-label"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.said.append(data)


@pytest.fixture(scope="module")
def page(report):
    return Reader(report.html.read_text(encoding="utf-8"))


def test_the_page_is_whole_and_closed(page):
    assert page.open == []
    assert len(page.identifiers) == len(set(page.identifiers))


def test_the_page_needs_nothing_beside_it(report, page):
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    text = report.html.read_text(encoding="utf-8")
    assert "<script" not in text
    assert not re.search(r"url\((?!#)", text)
    assert "@import" not in text


def test_what_the_page_points_at_is_there(report, page):
    text = report.html.read_text(encoding="utf-8")
    wanted = [link[1:] for link in page.links if link.startswith("#")] + re.findall(r"url\(#([^)]+)\)", text)
    assert wanted
    assert set(wanted) <= set(page.identifiers)


def test_every_picture_says_what_it_shows(page):
    assert len(page.pictures) >= 8
    assert all(page.pictures)


def test_class_names_are_text_and_never_markup(report, page):
    assert "<b>Forest</b>" in page.said
    assert "b" not in page.open
    markdown = report.markdown.read_text(encoding="utf-8")
    assert r"\<b\>Forest\</b\>" in markdown
    assert r"Sea \| Lake" in markdown
    assert r"Highway\_\*new\*" in markdown


def test_every_picture_of_the_markdown_lies_beside_it(report):
    files = re.findall(r"^!\[.+\]\((.+)\)$", report.markdown.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(files) >= 8
    assert all((report.markdown.parent / file).stat().st_size for file in files)
    assert sorted(files) == sorted(f"figures/{file.name}" for file in (report.markdown.parent / "figures").iterdir())


def test_rows_of_markdown_tables_are_as_long_as_their_heads(report):
    lines = report.markdown.read_text(encoding="utf-8").splitlines()
    widths = [len(re.findall(r"(?<!\\)\|", line)) for line in lines if line.startswith("|")]
    rulers = [place for place, line in enumerate(lines) if line.startswith(("| ---", "| ---:"))]
    assert len(rulers) >= 8
    for place in rulers:
        end = next(at for at in range(place, len(lines) + 1) if at == len(lines) or not lines[at].startswith("|"))
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines[place - 1 : end]}) == 1
        assert end > place + 1
    assert widths


def test_the_same_results_give_the_same_bytes(single, multi, report, tmp_path):
    again = write_report([single, multi], tmp_path / "again", SILENT)
    files = [path.relative_to(report.html.parent) for path in report.html.parent.rglob("*") if path.is_file()]
    assert all((again.html.parent / file).read_bytes() == (report.html.parent / file).read_bytes() for file in files)


def test_what_was_done_and_with_what_is_said(report):
    text = report.markdown.read_text(encoding="utf-8")
    assert "2024-05-06T07:08:09+00:00" in text
    assert "quadrat simulate Made single --out results" in text
    assert re.search(r"torch \d", text)
    assert "| seeds | 0, 1, 2, 3 and 4 |" in text
    assert "Share of each class that was taken from the pool." in text


def test_sections_of_both_papers_are_there(report):
    titles = set(sections(report))
    assert {
        "Summary",
        "Learning curves",
        r"Labels to 85.0 %",
        "Compared in pairs",
        "Embeddings and raw pixels",
        "Encoders by the share of labels",
        "Why one-shot learning fails",
        "Clustering and warm start",
        "What a selection costs",
        "Beside the paper's figures",
        "How it was made",
        "Columns of rounds.csv",
    } <= titles
    assert "When to stop" not in titles


def test_a_difference_is_told_with_its_interval(report):
    summary = sections(report)["Summary"]
    assert re.search(r"the best of the 4 others is margin with \d\d\.\d % mean accuracy.*, above random with", summary)
    assert re.search(r"\+\d\.\d points, 95 % interval \+\d\.\d to \+\d\.\d, 5 pairs", summary)
    assert re.search(r"margin reaches 85\.0 % accuracy with \d+ labels, random with \d+", summary)
    assert "averaged over its pools first, and the pairs are the seeds" in sections(report)["Compared in pairs"]


def test_no_difference_is_claimed_where_none_could_be_shown(tmp_path):
    plans = plans_for(("random", "margin"), rounds=3)
    results_in(tmp_path, dataset_of("single"), plans, skill={}, goal=0.8)
    summary = sections(write_report([tmp_path], tmp_path / "report", SILENT))["Summary"]
    assert "no difference could be shown" in summary


def test_one_seed_says_nothing_of_chance(tmp_path):
    results_in(tmp_path, dataset_of("single"), plans_for(("random", "margin"), seeds=[3], rounds=3))
    found = sections(write_report([tmp_path], tmp_path / "report", SILENT))
    assert "one pair says nothing of chance" in found["Summary"]
    assert "nan" not in found["Compared in pairs"]


def test_a_goal_that_nobody_reaches_is_not_called_reached(tmp_path):
    results_in(tmp_path, dataset_of("single"), plans_for(("random", "margin"), rounds=2), goal=0.99)
    found = sections(write_report([tmp_path], tmp_path / "report", SILENT))
    assert "no run of margin reaches 99.0 % accuracy" in found["Summary"]
    assert r"\> 128" in found["Labels to 99.0 %"]
    assert "Labels to" not in found["Compared in pairs"]


def test_labels_of_runs_that_end_below_the_goal_are_no_number(tmp_path):
    plans = plans_for(("random", "margin", "osal"), rounds=4)
    results_in(tmp_path, dataset_of("single"), plans, skill={"margin": 0.2}, goal=0.88)
    found = sections(write_report([tmp_path], tmp_path / "report", SILENT))
    assert "no run of random does within 256" in found["Summary"]
    row = next(line for line in found["Compared in pairs"].splitlines() if line.startswith("| osal | \\> 256"))
    assert row.endswith("| – | – | – | 5 and 5 of 5 runs |")


def test_runs_without_a_rival_are_shown_and_not_compared(tmp_path):
    results_in(tmp_path, dataset_of("single"), plans_for(("margin",), rounds=3))
    found = sections(write_report([tmp_path], tmp_path / "report", SILENT))
    assert "nothing to compare" in found["Summary"]
    assert "Learning curves" in found
    assert "Compared in pairs" not in found


def test_lines_with_missing_runs_are_named_and_not_compared(tmp_path):
    plans = [*plans_for(("random", "margin"), rounds=3), *plans_for(("mcfps",), seeds=range(2), rounds=3)]
    results_in(tmp_path, dataset_of("single"), plans)
    pairs = sections(write_report([tmp_path], tmp_path / "report", SILENT))["Compared in pairs"]
    assert "Not compared, because runs are missing or had no score: mcfps." in pairs
    assert "| margin |" in pairs
    assert "| mcfps |" not in pairs


def test_more_seeds_of_one_line_leave_the_others_comparable(tmp_path):
    plans = [
        *plans_for(("random", "mcfps"), seeds=range(3), rounds=3),
        *plans_for(("margin",), seeds=range(6), rounds=3),
    ]
    results_in(tmp_path, dataset_of("single"), plans)
    pairs = sections(write_report([tmp_path], tmp_path / "report", SILENT))["Compared in pairs"]
    assert all(re.search(rf"^\| {name} \|.*\| 3 \|$", pairs, flags=re.MULTILINE) for name in ("mcfps", "margin"))


def test_pictures_of_an_earlier_report_do_not_stay(tmp_path):
    for folder, goal in (("with", 0.6), ("without", None)):
        plans = plans_for(("random", "margin"), rounds=2)
        results_in(tmp_path / folder, dataset_of("single"), plans, goal=goal)
        write_report([tmp_path / folder], tmp_path / "report", SILENT)
        assert (tmp_path / "report" / "figures" / "part1-goal-1.svg").exists() == (folder == "with")


def test_single_rounds_are_points_and_no_curves(tmp_path):
    plans = [
        plan for budget in (40, 64) for plan in plans_for(("random", "kmeans", "typiclust"), budget=budget, rounds=1)
    ]
    results_in(tmp_path, dataset_of("single"), plans, experiment="cold-start")
    found = sections(write_report([tmp_path], tmp_path / "report", SILENT))
    assert "with 40 labels" in found["Accuracy of the first labels"]
    assert "with 64 labels" in found["Accuracy of the first labels"]
    assert "Learning curves" not in found


def test_budgets_are_compared_with_the_experiments_own(tmp_path):
    plans = [plan for b in (16, 64) for plan in plans_for(("margin",), budget=b, rounds=256 // b)]
    results_in(tmp_path, dataset_of("single"), plans, experiment="budget")
    pairs = sections(write_report([tmp_path], tmp_path / "report", SILENT))["Compared in pairs"]
    assert "compared with b = 64" in pairs
    assert "| b = 16 |" in pairs


def test_many_lines_are_shown_eight_at_a_time_with_random(tmp_path):
    names = ("random", "margin", "mcfps", "fps", "osal", "entropy", "badge", "typiclust", "uherding", "kmeans", "bald")
    results_in(tmp_path, dataset_of("single"), plans_for(names, seeds=range(2), rounds=3))
    written = write_report([tmp_path], tmp_path / "report", SILENT)
    pictures = re.findall(r"Learning curves of (.+); the figures", written.markdown.read_text(encoding="utf-8"))
    assert pictures
    for named in pictures:
        lines = re.split(r", | and ", named)
        assert len(lines) <= 8
        assert "random" in lines
    assert all(f"| {name} |" in sections(written)["Scores in the end"] for name in names)


def test_suggestions_to_stop_are_judged(tmp_path):
    plans = plans_for(("random", "margin"), rounds=10)
    results_in(tmp_path, dataset_of("single"), plans, validation=50, experiment="stopping")
    text = sections(write_report([tmp_path], tmp_path / "report", SILENT))["When to stop"]
    assert (
        "In 10 of 10 runs it was suggested to stop. Of 10 suggestions that can be judged, 0 were right: 0.0 %" in text
    )
    assert re.search(
        r"In \d+ of 10 runs the estimate said for certain that 90\.0 % are reached; .* 95 % interval", text
    )
    assert "rounds of a run share one validation sample" in text
    assert "They save 320 labels on average" in text
    assert "of 100 rounds" in text


def test_pictures_of_several_learners_say_of_which_they_are(tmp_path):
    plans = plans_for(("random", "margin"), learners=(LINEAR, Choice("hidden")))
    results_in(tmp_path / "results", dataset_of("single"), plans)
    text = write_report([tmp_path / "results"], tmp_path / "report").markdown.read_text(encoding="utf-8")
    captions = re.findall(r"^(.*)ccuracy less that of random: mean and 95 % interval", text, re.MULTILINE)
    assert sorted(captions) == ["Hidden: a", "Linear: a"]


def test_differences_are_drawn_in_percentage_points_and_shares_in_percent(tmp_path):
    bars = [Bar("margin", 0.021, (-0.052, 0.094))]
    for name, options in (("share", {}), ("difference", {"at": 0.0})):
        draw_points([("", bars)], "accuracy", [tmp_path / f"{name}.svg"], **options)
    ticks = {
        file.stem: re.findall(r"<!-- ([−\d. %]+) -->", file.read_text(encoding="utf-8")) for file in tmp_path.iterdir()
    }
    assert "5 %" in ticks["share"]
    assert "5" in ticks["difference"]
    assert not any("%" in tick for tick in ticks["difference"])


@pytest.mark.parametrize(
    ("duration", "text"), [(0.0, "0.000"), (0.0004, "< 0.001"), (0.0123, "0.012"), (7.254, "7.25"), (math.nan, "–")]
)
def test_what_took_any_time_never_took_none(duration, text):
    assert seconds(duration) == text


def test_every_column_of_the_table_is_explained():
    assert tuple(MEANINGS) == COLUMNS


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(UsageError):
        write_report([tmp_path], tmp_path / "report", SILENT)
    with pytest.raises(UsageError):
        write_report([], tmp_path / "report", SILENT)


def test_a_report_that_cannot_be_written_is_an_error_with_a_hint(tmp_path):
    results_in(tmp_path, dataset_of("single"), plans_for(("margin",), seeds=[0], rounds=2))
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        write_report([tmp_path], tmp_path / "file" / "report", SILENT)
    assert caught.value.hint


def test_it_stops_when_asked_to(single, tmp_path):
    with pytest.raises(Cancelled):
        write_report([single], tmp_path / "report", Monitor(is_cancelled=lambda: True))


def test_drawings_take_the_colours_of_the_page(report):
    text = report.html.read_text(encoding="utf-8")
    drawings = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert drawings
    assert all("currentColor" in drawing and "#262626" not in drawing for drawing in drawings)
    file = next(Path(report.html.parent / "figures").glob("*.svg"))
    assert "#262626" in file.read_text(encoding="utf-8")
