"""Tables of a benchmark: margins that are paired, the best rival, label curves and the multiplier read off them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coarseparts.evaluation.iou import iou, paired
from coarseparts.report import comparison, figures
from coarseparts.report.comparison import Result, multiplier
from coarseparts.report.pages import write_benchmark_report


def counts(right: float, seed: int, images: int = 40) -> np.ndarray:
    """Confusions of images whose parts are right with a chance that differs from image to image."""
    rng = np.random.default_rng(seed)
    share = np.clip(right + rng.normal(0, 0.15, images), 0, 1)
    conf = np.zeros((images, 3, 3), np.int64)
    for i, s in enumerate(share):
        hit = int(100 * s)
        conf[i] = [[300, 0, 0], [100 - hit, hit, 0], [0, 100 - hit, hit]]
    return conf


def result(method: str, role: str, value: float, seed: int = 0, parts: int = 30, **more: Any) -> Result:
    conf = counts(value / 100, seed)
    score = 100 * float(np.nanmean(iou(conf)[1:]))
    given = {"labels": "all", "start": "weights", "ci95_low": score - 2, "ci95_high": score + 2, "counts": conf, **more}
    return Result(
        parts=parts,
        role=role,
        method=method,
        seed=seed,
        part_miou=score,
        miou=score,
        seconds=61.0,
        peak_mib=2048.0,
        **given,
    )


def table() -> list[Result]:
    rows = []
    for seed in (0, 1):
        rows += [result("em", "ours", 70, seed), result("fine-tuning", "baseline", 50, seed)]
        rows += [result("distillation", "control", 60, seed), result("upper-bound", "bound", 90, seed)]
    return rows


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
    found = comparison.by_conditions(table())
    methods = found[(30, "all", "weights")]
    assert comparison.best_rivals(methods)[0] == "distillation", "a control"
    assert methods[comparison.best_rivals(methods)[1]][0].role in ("baseline", "opponent")
    difference, low, _ = comparison.margin(methods, "em", "distillation")
    assert difference == pytest.approx(
        np.mean([r.part_miou for r in methods["em"]]) - np.mean([r.part_miou for r in methods["distillation"]])
    )
    assert low > 0


def test_tables_say_margin_time_and_memory() -> None:
    [(title, heads, body)] = comparison.condition_tables(table())
    assert title == "30 part masks, all, from weights"
    assert heads[5] == "Over distillation, points"
    lines = {line[0]: line for line in body}
    assert lines["distillation"][5] == "-"
    assert lines["em"][5].startswith("+")
    assert "to" in lines["em"][5]
    assert lines["em"][-3:] == ["2", "1 min 01 s", "2.0 GiB"]
    text = comparison.to_markdown(table(), "toy")
    assert "Over distillation, points" in text
    assert text.startswith("# toy")
    assert "| em | ours |" in text


def test_csv_gives_back_what_it_was_given(tmp_path: Path) -> None:
    rows = [*table(), result("em", "ours", 50, 7, ci95_low=math.nan)]
    comparison.write_csv(tmp_path / "r.csv", rows)
    back = comparison.read_csv(tmp_path / "r.csv")
    assert [(r.method, r.seed, r.parts, r.role) for r in back] == [(r.method, r.seed, r.parts, r.role) for r in rows]
    assert [r.part_miou for r in back] == pytest.approx([r.part_miou for r in rows], abs=1e-4)
    (tmp_path / "bad.csv").write_text((tmp_path / "r.csv").read_text().replace(",em,0,", ",em,zero,", 1))
    with pytest.raises(ValueError, match=r"bad\.csv"):
        comparison.read_csv(tmp_path / "bad.csv")
    (tmp_path / "less.csv").write_text("method,seed\n")
    with pytest.raises(ValueError, match="are missing"):
        comparison.read_csv(tmp_path / "less.csv")


def test_tables_made_again_from_the_files_are_the_same(tmp_path: Path) -> None:
    rows = table()
    comparison.write_csv(tmp_path / "r.csv", rows)
    comparison.write_margins(tmp_path / "m.csv", comparison.margins(rows))
    back, known = comparison.read_csv(tmp_path / "r.csv"), comparison.read_margins(tmp_path / "m.csv")
    assert comparison.to_markdown(back, "toy", known) == comparison.to_markdown(rows, "toy")
    assert "+" in comparison.to_markdown(back, "", known)
    (tmp_path / "m.csv").write_text("parts,labels\n30,all\n")
    with pytest.raises(ValueError, match=r"m\.csv: is damaged"):
        comparison.read_margins(tmp_path / "m.csv")


def test_the_multiplier_is_read_off_a_logarithmic_axis() -> None:
    line = [(10, 30.0), (100, 50.0)]
    times, found = multiplier(line, 10, 40.0)
    assert found
    assert times == pytest.approx(math.sqrt(10))
    assert multiplier(line, 10, 60.0) == (10.0, False), "not even the most that were tried"
    assert multiplier(line, 50, 20.0) == (0.2, False), "already above it with the fewest"


def curve_rows() -> list[Result]:
    rows = []
    for parts, ours, theirs in ((10, 55, 40), (40, 70, 55), (160, 80, 72)):
        rows += [result("em", "ours", ours, parts=parts), result("fine-tuning", "baseline", theirs, parts=parts)]
    return rows


def test_label_curves_and_what_they_say() -> None:
    [(conditions, lines)] = comparison.label_curves(curve_rows()).items()
    assert conditions == ("all", "weights")
    assert [p[0] for p in lines["em"]] == [10, 40, 160]
    first, second = comparison.multiplier_sentence(lines, "em", "fine-tuning")
    assert first == "em with 10 part masks is worth fine-tuning with 40: x4.0"
    assert second.startswith("em with 40 part masks is worth fine-tuning with")
    assert not comparison.multiplier_sentence({"em": lines["em"]}, "em", "fine-tuning")
    assert not comparison.label_curves(table()), "one number of part masks is no curve"
    svg = figures.label_curve(lines)
    assert svg.startswith("<svg")
    assert "em " in svg


def test_the_report_of_a_benchmark_is_one_page_that_needs_nothing_else(tmp_path: Path) -> None:
    page = write_benchmark_report(tmp_path / "r.html", "toy <b>", curve_rows(), {"machine": "two cores"}).read_text()
    assert "toy &lt;b&gt;" in page
    assert page.count("<table") == 4, "an overview and one table for each number of part masks"
    assert "<svg" in page
    assert "two cores" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "x4.0" in page


def test_the_iou_of_each_part_is_the_mean_over_the_seeds(tmp_path: Path) -> None:
    first = np.array([[[9, 0, 0, 0], [0, 6, 2, 0], [0, 0, 4, 0], [0, 0, 0, 0]]])  # wing 6 of 8, tail 4 of 6, no leg
    second = np.array([[[9, 0, 0, 0], [0, 8, 0, 0], [0, 0, 4, 0], [0, 0, 0, 0]]])
    names = ("wing", "tail", "leg")
    rows = [replace(result("em", "ours", 50, seed=i), counts=c, names=names) for i, c in enumerate((first, second))]
    rows.append(replace(result("fine-tuning", "baseline", 40), counts=None))  # read from a file: has no counts
    found = comparison.by_part(rows)
    [(conditions, methods)] = found.items()
    assert conditions == rows[0].conditions and list(methods) == ["em"]
    assert methods["em"]["wing"] == pytest.approx(87.5) and methods["em"]["tail"] == pytest.approx(
        100 * (4 / 6 + 1) / 2
    )
    [(_, heads, body)] = comparison.part_tables(found)
    assert heads == ["Method", *names] and body == [["em", "87.5", "83.3", "-"]]
    file = comparison.write_parts(tmp_path / "by_part.csv", found)
    assert comparison.part_tables(comparison.read_parts(file)) == comparison.part_tables(found)
    lines = file.read_text().splitlines()
    assert lines[0] == "parts,labels,start,method,part,iou" and lines[1].endswith("em,wing,87.5000")
    assert lines[3].endswith("em,leg,")
    file.write_text(file.read_text().replace("87.5000", "much"))
    with pytest.raises(ValueError, match=r"by_part\.csv: is damaged"):
        comparison.read_parts(file)
    page = write_benchmark_report(tmp_path / "r.html", "toy", rows).read_text()
    assert page.count("<table") == 2 and '<th scope="col">tail</th>' in page
