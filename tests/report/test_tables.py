"""The tables: spread over seeds, margins, cost, and their forms for the terminal, Markdown and in words."""

import io
import math

import pytest
from rich.console import Console
from rows import curve_rows, result, row, table

from coarseparts.report import results
from coarseparts.report.tables import (
    condition_tables,
    duration,
    overview,
    print_tables,
    result_tables,
    run_table,
    sentences,
    to_markdown,
)

ROWS = [
    *(row("fine-tuning", s, v, seconds=60) for s, v in enumerate((30.0, 32.0, 31.0))),
    *(row("em", s, v, "ours", seconds=252) for s, v in enumerate((41.0, 40.0, 43.0))),
    row("upper bound", 0, 55.0, "bound"),
]


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ("all", "all labels"),
        ("keypoints+mask", "keypoints + mask"),
        ("one-of-all", "one label each"),
        ("two-of-all", "two labels each"),
        ("two-of-box+mask", "two of box + mask each"),
    ],
)
def test_a_title_says_the_labels_in_words(labels: str, told: str) -> None:
    assert results.title((30, labels, "random")) == f"30 part masks, {told}, from random"


def test_tables_say_margin_time_and_memory() -> None:
    [(title, heads, body)] = condition_tables(table())
    assert title == "30 part masks, all labels, from weights"
    assert heads[5] == "Over distillation, points"
    lines = {line[0]: line for line in body}
    assert lines["distillation"][5] == "-"
    assert lines["em"][5].startswith("+")
    assert "to" in lines["em"][5]
    assert lines["em"][-3:] == ["2", "1 min 01 s", "2.0 GiB"]
    text = to_markdown(table(), "toy")
    assert "Over distillation, points" in text
    assert text.startswith("# toy")
    assert "| em | ours |" in text


def test_means_deviations_and_differences_are_over_the_seeds() -> None:
    [(_, heads, body)] = condition_tables(ROWS)
    assert heads[5] == "Over fine-tuning, points"
    fine, em, upper = body
    assert em == ["em", "ours", "41.3 ± 1.5", "39.3 to 43.3", "46.3 ± 1.5", "+10.3", "3", "4 min 12 s", "2.0 GiB"]
    assert fine[5] == "-" and fine[2] == "31.0 ± 1.0"
    # One seed: compared with the same seed of the rival, not with the rival's mean.
    assert upper[5] == "+25.0" and upper[2] == "55.0"


def test_numbers_that_are_missing_are_dashes_and_enter_no_mean() -> None:
    rows = [row("a", 0, 10.0, peak_mib=math.nan), row("a", 1, math.nan, peak_mib=math.nan)]
    [(_, _, [line])] = condition_tables(rows)
    assert line[2] == "10.0" and line[-2:] == ["2", "1 min 01 s"], "no memory is known"
    [(_, _, [_, line])] = condition_tables([row("b", 0, 1.0), rows[0]])
    assert line[-1] == "-"
    [(_, _, [line])] = condition_tables([row("a", 0, math.nan, seconds=math.nan, ci95_low=math.nan)])
    assert line[2:5] == ["-", "-", "-"] and line[-2] == "-"


def test_without_a_rival_no_margin_is_told() -> None:
    ours = [row("em", 0, 41.0, "ours")]
    assert "Over" not in to_markdown(ours)
    assert sentences(ours) == ["em: 41.0 % part mIoU, 1 seed"]


def test_several_conditions_have_an_overview() -> None:
    tables = result_tables(curve_rows())
    assert len(tables) == 4 and tables[0] == overview(curve_rows())
    assert tables[0].heads[1:] == [t.title for t in tables[1:]] and [r[0] for r in tables[0].body] == [
        "em",
        "fine-tuning",
    ]
    assert len(result_tables(table())) == 1
    assert "x4.0" in to_markdown(curve_rows(), "toy")


def test_each_run_has_a_row() -> None:
    found = run_table(ROWS)
    assert len(found.body) == len(ROWS)
    assert found.body[3][:2] == ["em", "0"] and "41.00" in found.body[3] and found.body[3][-1] == "4 min 12 s"


def test_the_main_result_in_words() -> None:
    assert sentences(ROWS) == ["em: 41.3 ± 1.5 % part mIoU, 10.3 points above fine-tuning, 3 seeds"]
    worse = [row("fine-tuning", 0, 30.0), row("em", 0, 28.0, "ours")]
    assert sentences(worse) == ["em: 28.0 % part mIoU, 2.0 points below fine-tuning, 1 seed"]
    [sentence] = sentences(table())
    assert "points above distillation (+" in sentence and "points above fine-tuning (+" in sentence
    assert sentences([row("fine-tuning", 0, 30.0)]) == ["fine-tuning: 30.0 % part mIoU, 1 seed"]
    assert sentences([]) == [] and sentences([row("em", 0, math.nan)]) == []


def test_markdown_is_a_table_whatever_the_names() -> None:
    text = to_markdown([*ROWS, row("a|b\nc", 0, 1.0)])
    lines = text.splitlines()
    assert len(lines) == 2 + 4
    assert {line.replace(r"\|", "").count("|") for line in lines} == {10}


def test_printed_tables_take_names_literally() -> None:
    out = io.StringIO()
    print_tables(result_tables([*ROWS, row("[red]x[/red]", 0, 1.0)]), Console(file=out, width=160))
    text = out.getvalue()
    assert "[red]x[/red]" in text and "30 part masks, all labels, from weights" in text
    assert "+10.3" in text and "-29.0" in text


def test_the_papers_numbers_have_a_column_where_there_are_any() -> None:
    paper = {("all", "weights", "em"): 48.05}
    [(_, heads, body)] = condition_tables(table(), published=paper)
    assert heads[5] == "Paper, %" and [line[5] for line in body] == ["48.0", "-", "-", "-"]
    [(_, heads, _)] = condition_tables([result("em", "ours", 50, labels="mask")], published=paper)
    assert "Paper, %" not in heads


def test_durations() -> None:
    assert [duration(s) for s in (8.6, 59.7, 252, 7500, math.nan)] == [
        "9 s",
        "1 min 00 s",
        "4 min 12 s",
        "2 h 05 min",
        "-",
    ]
