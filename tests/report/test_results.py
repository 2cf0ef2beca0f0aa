"""Rows of results: kept as CSV, margins that are paired, the best rival, the IoU of each part."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rows import counts, result, row, table

from coarseparts.evaluation.iou import iou, paired
from coarseparts.report import results
from coarseparts.report.pages import Page, write_report
from coarseparts.report.tables import part_tables, to_markdown


def test_csv_gives_back_what_it_was_given(tmp_path: Path) -> None:
    rows = [
        *table(),
        result("em", "ours", 50, 7, ci95_low=math.nan),
        row('a "method", with a comma', 7, 12.34567, peak_mib=math.nan),
    ]
    path = results.write_results(tmp_path / "new" / "results.csv", rows)
    heads = "parts,labels,start,role,method,seed,part_miou,miou,ci95_low,ci95_high,seconds,peak_mib"
    assert path.read_text().splitlines()[0] == heads
    back = results.read_results(path)
    for name in ("method", "seed", "role", "conditions"):
        assert [getattr(r, name) for r in back] == [getattr(r, name) for r in rows]
    assert [r.part_miou for r in back] == pytest.approx([r.part_miou for r in rows], abs=1e-4)
    assert math.isnan(back[-2].ci95_low) and math.isnan(back[-1].peak_mib) and back[-1].part_miou == 12.3457
    assert back[0].counts is None


def test_csv_with_other_columns_or_no_numbers_is_refused(tmp_path: Path) -> None:
    path = results.write_results(tmp_path / "r.csv", table())
    (tmp_path / "bad.csv").write_text(path.read_text().replace(",em,1,", ",em,many,", 1))
    with pytest.raises(ValueError, match=r"bad\.csv, line 6: .*many"):
        results.read_results(tmp_path / "bad.csv")
    (tmp_path / "less.csv").write_text("method,seed\na,1\n")
    with pytest.raises(ValueError, match=r"less\.csv.*part_miou.*are missing"):
        results.read_results(tmp_path / "less.csv")


def test_a_paired_interval_is_narrower_than_the_images_spread_and_has_the_right_sign() -> None:
    a, b = [counts(0.7, 1)], [counts(0.6, 1)]  # the same images are hard for both
    difference, low, high = paired(a, b)
    expected = 100 * (np.nanmean(iou(a[0])[1:]) - np.nanmean(iou(b[0])[1:]))
    assert difference == pytest.approx(expected)
    assert 0 < low < difference < high
    back = paired(b, a)
    assert back[0] == pytest.approx(-difference)
    assert high - low < 5
    assert paired(a, a) == (0, 0, 0)
    with pytest.raises(ValueError, match="same seeds and images"):
        paired(a, [counts(0.6, 1, images=39)])


def test_the_best_rival_is_neither_ours_nor_a_bound() -> None:
    methods = results.by_conditions(table())[(30, "all", "weights")]
    assert results.best_rivals(methods)[0] == "distillation", "a control"
    assert methods[results.best_rivals(methods)[1]][0].role in ("baseline", "opponent")
    difference, low, _ = results.margin(methods, "em", "distillation")
    assert difference == pytest.approx(
        np.mean([r.part_miou for r in methods["em"]]) - np.mean([r.part_miou for r in methods["distillation"]])
    )
    assert low > 0
    seeing = [row("fine-tuning", 0, 1.0), row("nothing", 0, math.nan), row("posterior", 0, 99.0, "posterior")]
    assert results.best_rivals(results.by_conditions(seeing)[(30, "all", "weights")]) == ["fine-tuning"]


def test_margins_are_over_the_seeds_that_both_have() -> None:
    rows = [row("fine-tuning", s, v) for s, v in enumerate((30.0, 32.0, 31.0))]
    methods = results.by_conditions([*rows, row("em", 1, 55.0, "ours"), row("em", 9, 0.0, "ours")])
    [found] = methods.values()
    difference, low, high = results.margin(found, "em", "fine-tuning")
    assert difference == pytest.approx(23) and math.isnan(low) and math.isnan(high), "no counts, no interval"
    [found] = results.by_conditions([*rows, row("em", 9, 0.0, "ours")]).values()
    assert all(math.isnan(v) for v in results.margin(found, "em", "fine-tuning"))


def test_a_seed_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'em' has seed 1 twice"):
        results.by_conditions([*table(), row("em", 1, 3.0)])


def test_missing_numbers_enter_no_mean() -> None:
    rows = [row("a", 0, 10.0), row("a", 1, math.nan)]
    assert results.mean(rows, "part_miou") == 10
    assert math.isnan(results.mean(rows[1:], "part_miou"))


def test_the_main_method_is_em_then_the_last() -> None:
    assert results.main_method(["a", "em", "b"]) == "em"
    assert results.main_method(["a", "embedding"]) == "embedding" and results.main_method(["embedding", "b"]) == "b"
    assert results.main_method([]) == ""


def test_tables_made_again_from_the_files_are_the_same(tmp_path: Path) -> None:
    rows = table()
    results.write_results(tmp_path / "r.csv", rows)
    results.write_margins(tmp_path / "m.csv", results.margins(rows))
    back, told = results.read_results(tmp_path / "r.csv"), results.read_margins(tmp_path / "m.csv")
    assert to_markdown(back, "toy", told) == to_markdown(rows, "toy")
    assert "+" in to_markdown(back, "", told)
    (tmp_path / "m.csv").write_text("parts,labels\n30,all\n")
    with pytest.raises(ValueError, match=r"m\.csv: is damaged"):
        results.read_margins(tmp_path / "m.csv")


def test_the_iou_of_each_part_is_the_mean_over_the_seeds(tmp_path: Path) -> None:
    first = np.array([[[9, 0, 0, 0], [0, 6, 2, 0], [0, 0, 4, 0], [0, 0, 0, 0]]])  # wing 6 of 8, tail 4 of 6, no leg
    second = np.array([[[9, 0, 0, 0], [0, 8, 0, 0], [0, 0, 4, 0], [0, 0, 0, 0]]])
    names = ("wing", "tail", "leg")
    rows = [replace(result("em", "ours", 50, seed=i), counts=c, names=names) for i, c in enumerate((first, second))]
    rows.append(row("fine-tuning", 0, 40.0))  # read from a file: has no counts
    found = results.by_part(rows)
    [(conditions, methods)] = found.items()
    assert conditions == rows[0].conditions and list(methods) == ["em"]
    assert methods["em"]["wing"] == pytest.approx(87.5) and methods["em"]["tail"] == pytest.approx(
        100 * (4 / 6 + 1) / 2
    )
    [(_, heads, body)] = part_tables(found)
    assert heads == ["Method", *names] and body == [["em", "87.5", "83.3", "-"]]
    file = results.write_parts(tmp_path / "by_part.csv", found)
    assert part_tables(results.read_parts(file)) == part_tables(found)
    lines = file.read_text().splitlines()
    assert lines[0] == "parts,labels,start,method,part,iou" and lines[1].endswith("em,wing,87.5")
    assert lines[3].endswith("em,leg,")
    file.write_text(file.read_text().replace("87.5", "much"))
    with pytest.raises(ValueError, match=r"by_part\.csv, line 2: is damaged .*much"):
        results.read_parts(file)
    page = write_report(tmp_path / "r.html", rows, Page("toy")).read_text()
    assert page.count("<table") == 3 and '<th scope="col">tail</th>' in page, "results, each run, parts"
