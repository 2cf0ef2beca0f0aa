"""The page of `measure --report`: distributions, flags counted, unusual objects pictured; a name is never markup."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from coarseparts.measurement.intervals import UNLIKE
from coarseparts.measurement.measured import Measured, Measurements
from coarseparts.measurement.outliers import outliers
from coarseparts.measurement.page import write_page

HOSTILE = "<script>alert(1)</script>.jpg"


def measured(i: int, length: float, flags: dict[str, list[str]] | None = None) -> Measured:
    values = {"head.length": length, "head.red": 90.0, "head.centroid_x": 3.0 * i, "distance.head-tail": 5.0 + i % 3}
    values["head.length / 2"] = length / 2
    return Measured(f"{i:02}.jpg" if i else HOSTILE, values, {"head.length": (0.9 * length, 1.1 * length)}, flags or {})


def a_table() -> Measurements:
    several = [measured(i, 10 + 0.1 * i) for i in range(12)]
    several[0] = measured(0, 40.0, {"head": ["several pieces"]})
    several[3] = measured(3, 10.3, {"object": [UNLIKE], "tail": ["several pieces"]})
    several[5] = measured(5, math.nan, {"head": ["not found"]})
    names = tuple(several[0].values)
    units = {name: "mm" if "length" in name or "distance" in name else "" for name in names}
    pictures = {(HOSTILE, 1): np.full((20, 30, 3), 90, np.uint8)}
    return Measurements(("head", "tail"), names, units, several, [], pictures)


def test_flagged_objects_come_first_then_those_with_values_far_from_the_others() -> None:
    found = outliers(a_table(), 5)
    assert [one.measured.image for one in found] == ["03.jpg", HOSTILE]
    assert [name for name, *_ in found[1].far] == ["head.length", "head.length / 2"] and not found[0].far
    _, value, median, apart = found[1].far[0]
    assert value == 40 and 10 < median < 11.5 and apart > 10
    assert len(outliers(a_table(), 1)) == 1


def test_the_page_shows_distributions_flags_and_pictures_and_needs_nothing_else(tmp_path: Path) -> None:
    text = write_page(tmp_path / "traits.html", a_table(), f"{HOSTILE}: traits").read_text()
    assert "<script" not in text and "http" not in text and text.count("&lt;script&gt;") >= 3
    assert re.findall(r"<figcaption>([\w. /-]+?)(?: <span|</figcaption)", text) == [
        "length", "red", "head.length / 2", "head-tail"
    ], "where something is has no distribution"  # fmt: skip
    assert text.count('src="data:image/') == 1 and "± 10 %" in text and "11 objects" in text
    rows = re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td><td>(\d+)</td>', text)
    assert sorted(rows) == [
        ("head", "not found", "1"),
        ("head", "several pieces", "1"),
        ("object", UNLIKE, "1"),
        ("tail", "several pieces", "1"),
    ]


def test_a_formula_is_compared_whatever_it_ends_with_and_however_it_is_signed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = ("head.length / head.red", "head.length - tail.length")
    several = []
    for i in range(12):
        ratio, difference = float(rng.normal(5, 0.1)), float(rng.normal(0, 1))
        several.append(Measured(f"{i}.jpg", dict(zip(names, (ratio, difference), strict=True)), {}, {}))
    several[4].values[names[0]], several[7].values[names[1]] = 9.0, -30.0
    several[8].values[names[1]] = 1e-6  # near 0, which is where most are
    table = Measurements(("head", "tail"), names, dict.fromkeys(names, ""), several)
    found = {one.measured.image: [name for name, *_ in one.far] for one in outliers(table, 5)}
    assert found == {"4.jpg": [names[0]], "7.jpg": [names[1]]}
    assert "-30" in write_page(tmp_path / "traits.html", table, "t").read_text()


def test_values_that_differ_by_the_noise_of_computing_have_a_distribution(tmp_path: Path) -> None:
    several = [Measured(f"{i}.jpg", {"head.width": 0.3 if i % 2 else 0.1 + 0.2}, {}, {}) for i in range(60)]
    table = Measurements(("head",), ("head.width",), {"head.width": "mm"}, several)
    assert "<figcaption>width" in write_page(tmp_path / "traits.html", table, "t").read_text()
