"""results.csv, comparison over seeds, and the table in its forms."""

import io
import math
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from coarseparts.report.tables import (
    COLUMNS,
    duration,
    headline,
    main_method,
    method_table,
    print_table,
    read_results_csv,
    to_markdown,
    write_results_csv,
    write_text,
)


def row(method: str, seed: int, part_miou: float, seconds: float = 10.0) -> dict[str, Any]:
    low, high = part_miou - 2, part_miou + 2
    values = (method, seed, part_miou, part_miou + 5, low, high, seconds)
    return dict(zip(COLUMNS, values, strict=True))


ROWS = [
    *(row("fine-tuning", s, v, 60) for s, v in enumerate((30.0, 32.0, 31.0))),
    *(row("em", s, v, 252) for s, v in enumerate((41.0, 40.0, 43.0))),
    row("upper bound", 0, 55.0),
]


def test_csv_comes_back_as_written(tmp_path: Path) -> None:
    rows = [
        *ROWS,
        row('a "method", with a comma', 7, 12.34567),
        {**row("x", 0, 1.0), "ci95_low": math.nan, "miou": None},
    ]
    path = write_results_csv(tmp_path / "new" / "results.csv", rows)
    assert path.read_text().splitlines()[0] == "method,seed,part_miou,miou,ci95_low,ci95_high,seconds"
    back = read_results_csv(path)
    assert len(back) == len(rows)
    assert back[0] == ROWS[0]
    assert back[-2]["method"] == 'a "method", with a comma' and back[-2]["part_miou"] == pytest.approx(12.3457)
    assert math.isnan(back[-1]["ci95_low"]) and math.isnan(back[-1]["miou"])


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_results_csv(tmp_path / "results.csv", ROWS)
    before = path.read_bytes()

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(
        ValueError, match=r"results\.csv: cannot be written \(No space left on device\); free some space"
    ):
        write_results_csv(path, ROWS[:1])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["results.csv"]


def test_what_lies_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "folder", tmp_path / "file" / "a.csv", tmp_path / ("x" * 300), Path(".")):
        with pytest.raises(ValueError, match="cannot be written") as caught:
            write_text(path, "text")
        assert str(caught.value).startswith(f"{path}: ")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_csv_refuses_other_columns(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected"):
        write_results_csv(tmp_path / "r.csv", [{**row("a", 0, 1.0), "extra": 1}])
    assert not list(tmp_path.iterdir())
    (tmp_path / "r.csv").write_text("method,seed\na,1\n")
    with pytest.raises(ValueError, match=r"r\.csv.*part_miou"):
        read_results_csv(tmp_path / "r.csv")
    (tmp_path / "r.csv").write_text(",".join(COLUMNS) + "\na,0,1,1,1,1,1\na,1,many,1,1,1,1\n")
    with pytest.raises(ValueError, match=r"r\.csv, line 3.*many"):
        read_results_csv(tmp_path / "r.csv")


def test_table_has_means_deviations_and_paired_differences() -> None:
    fine, em, upper = method_table(ROWS)
    assert [fine["method"], em["method"], upper["method"]] == ["fine-tuning", "em", "upper bound"]
    assert em["seeds"] == 3
    assert em["part_miou"] == pytest.approx(124 / 3)
    assert em["part_miou_std"] == pytest.approx(math.sqrt(((1 / 3) ** 2 + (4 / 3) ** 2 + (5 / 3) ** 2) / 2))
    assert em["miou"] == pytest.approx(124 / 3 + 5) and em["seconds"] == 252
    assert em["difference"] == pytest.approx((11 + 8 + 12) / 3)
    assert em["difference_seeds"] == em["better_seeds"] == 3
    assert math.isnan(fine["difference"]) and fine["difference_seeds"] == 0
    # One seed: compared with the same seed of the reference, not with the reference's mean.
    assert upper["difference"] == pytest.approx(25) and math.isnan(upper["difference_std"])
    assert math.isnan(upper["part_miou_std"])


def test_reference_is_found_under_another_spelling_and_may_be_absent() -> None:
    assert method_table(ROWS, "Fine Tuning")[1]["difference"] == pytest.approx(31 / 3)
    assert all(math.isnan(line["difference"]) for line in method_table(ROWS, "multi-task"))
    assert "Over" not in to_markdown(ROWS, reference=None)


def test_missing_numbers_enter_no_mean() -> None:
    rows = [row("a", 0, 10.0), {**row("a", 1, 99.0), "part_miou": math.nan}]
    (line,) = method_table(rows)
    assert line["part_miou"] == 10 and line["seeds"] == 2


def test_a_seed_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'em' has seed 1 twice"):
        method_table([*ROWS, row("em", 1, 3.0)])


def test_headline_compares_em_with_the_reference() -> None:
    assert headline(ROWS) == "em: 41.3 % part mIoU, 10.3 points above fine-tuning (3 seeds, above it in 3 of 3)"
    worse = [row("fine-tuning", 0, 30.0), row("em", 0, 28.0)]
    assert headline(worse) == (
        "em: 28.0 % part mIoU, 2.0 points below fine-tuning (1 seed, 95 % interval over images 26.0 to 30.0)"
    )
    assert headline(ROWS, main="upper bound").startswith("upper bound: 55.0 %")
    assert headline([row("fine-tuning", 0, 30.0)]).startswith("fine-tuning: 30.0 % part mIoU (1 seed")
    assert headline([]) == "" and headline([row("em", 0, math.nan)]) == ""


def test_main_method_is_the_named_one_then_em_then_the_last() -> None:
    assert main_method(["a", "EM (default)", "b"]) == "EM (default)"
    assert main_method(["a", "embedding"]) == "embedding" and main_method(["embedding", "b"]) == "b"
    assert main_method(["a", "em"], "A") == "a"
    assert main_method([]) is None


def test_markdown_is_a_table_whatever_the_names() -> None:
    text = to_markdown([*ROWS, row("a|b\nc", 0, 1.0)])
    lines = text.splitlines()
    assert len(lines) == 2 + 4
    assert {line.replace(r"\|", "").count("|") for line in lines} == {8}
    assert "| em | 41.3 ± 1.5 | 39.3 to 43.3 | 46.3 ± 1.5 | +10.3 ± 2.1 (3 of 3) | 3 | 4 min 12 s |" in lines


def test_printed_table_takes_names_literally() -> None:
    out = io.StringIO()
    print_table([*ROWS, row("[red]x[/red]", 0, 1.0)], Console(file=out, width=160), title="Synthetic birds")
    text = out.getvalue()
    assert "[red]x[/red]" in text and "Synthetic birds" in text
    assert "+10.3 ± 2.1 (3 of 3)" in text and "-29.0" in text


def test_durations() -> None:
    assert [duration(s) for s in (8.6, 59.7, 252, 7500, math.nan)] == [
        "9 s",
        "1 min 00 s",
        "4 min 12 s",
        "2 h 05 min",
        "-",
    ]
