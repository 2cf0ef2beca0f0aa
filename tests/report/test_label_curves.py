"""Label efficiency: curves over the number of part masks, and the multiplier read off them."""

import math

import pytest
from rows import curve_rows, table

from coarseparts.report import figures
from coarseparts.report.label_curves import label_curves, multiplier, multiplier_sentences


def test_the_multiplier_is_read_off_a_logarithmic_axis() -> None:
    line = [(10, 30.0), (100, 50.0)]
    times, found = multiplier(line, 10, 40.0)
    assert found
    assert times == pytest.approx(math.sqrt(10))
    assert multiplier(line, 10, 60.0) == (10.0, False), "not even the most that were tried"
    assert multiplier(line, 50, 20.0) == (0.2, False), "already above it with the fewest"


def test_label_curves_and_what_they_say() -> None:
    [(conditions, lines)] = label_curves(curve_rows()).items()
    assert conditions == ("all", "weights")
    assert [p[0] for p in lines["em"]] == [10, 40, 160]
    first, second = multiplier_sentences(lines)
    assert first == "em with 10 part masks is worth fine-tuning with 40: x4.0"
    assert second.startswith("em with 40 part masks is worth fine-tuning with")
    assert not multiplier_sentences({"em": lines["em"]})
    assert not label_curves(table()), "one number of part masks is no curve"
    svg = figures.label_curve(lines)
    assert svg.startswith("<svg")
    assert "em " in svg
