"""Traits of shapes whose measures are known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("skimage", reason="scikit-image is not installed: pip install 'coarseparts[measure]'")

from coarseparts.measurement.formulas import parse
from coarseparts.measurement.shapes import TRAITS, shape
from coarseparts.system.problems import BadInput

Y, X = np.mgrid[:200, :240] + 0.5
GREY = np.full((200, 240, 3), (10, 20, 30), np.uint8)


def turned(degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along an axis that lies ``degrees`` anticlockwise from x, and across it, around (120, 100)."""
    angle = np.radians(degrees)
    x, y = X - 120, 100 - Y
    return x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)


@pytest.mark.parametrize("degrees", [0, 17, 45, 90, 120, 175])
def test_a_turned_rectangle_has_its_sides_its_angle_and_its_centre(degrees):
    along, across = turned(degrees)
    found = shape((abs(along) < 60) & (abs(across) < 15), GREY)
    assert found["area"] == pytest.approx(3600, rel=0.02)
    assert found["length"] == pytest.approx(120, abs=2) and found["width"] == pytest.approx(30, abs=2)
    assert found["feret"] == pytest.approx(np.hypot(120, 30), abs=2)
    assert found["perimeter"] == pytest.approx(300, rel=0.06)
    assert abs((found["orientation"] - degrees + 90) % 180 - 90) < 1
    assert (found["centroid_x"], found["centroid_y"]) == pytest.approx((120, 100), abs=0.3)
    assert (found["red"], found["green"], found["blue"], found["pieces"]) == (10, 20, 30, 1)


def test_an_ellipse_has_its_axes_and_its_circumference():
    along, across = turned(30)
    found = shape((along / 80) ** 2 + (across / 40) ** 2 < 1, GREY)
    assert found["area"] == pytest.approx(np.pi * 80 * 40, rel=0.01)
    assert found["length"] == pytest.approx(160, abs=2) and found["width"] == pytest.approx(80, abs=2)
    assert found["perimeter"] == pytest.approx(387.5, rel=0.03)


def test_a_curved_band_is_measured_along_its_curve():
    radius, angle = np.hypot(X - 120, Y - 150), np.arctan2(150 - Y, X - 120)
    found = shape((abs(radius - 80) < 6) & (angle > 0), GREY)
    assert found["curve_length"] == pytest.approx(np.pi * 80, rel=0.06)
    assert found["curve_width"] == pytest.approx(12, rel=0.08)
    assert found["length"] < 175


def test_a_single_pixel_and_no_pixel_have_measures():
    one = np.zeros((200, 240), bool)
    nothing = shape(one, GREY)
    assert (nothing["area"], nothing["pieces"]) == (0, 0) and np.isnan(nothing["length"])
    one[0, 0] = True
    found = shape(one, GREY)
    assert (found["area"], found["length"], found["width"], found["centroid_x"]) == (1, 1, 1, 0.5)
    assert set(found) == set(TRAITS) == set(nothing) and np.isfinite(list(found.values())).all()


def test_crumbs_are_no_pieces():
    two = np.zeros((200, 240), bool)
    two[10:60, 10:60] = two[100:150, 100:150] = two[190, 230] = True
    assert shape(two, GREY)["pieces"] == 2


def test_a_ratio_is_read_as_it_is_written():
    values = {"head.width": 6.0, "left wing.length": 4.0, "head.centroid_x": 0.0, "head.centroid_y": 0.0}
    values |= {"left wing.centroid_x": 3.0, "left wing.centroid_y": 4.0}
    parts = ("head", "left wing")
    assert parse('head.width / "left wing".length', parts).of(values) == 1.5
    assert parse('2 * (head.width + "left wing".length) / 4', parts).of(values) == 5
    apart = parse('distance(head, "left wing") * head.width', parts)
    assert apart.of(values) == 30 and apart.dimension == 2
    assert np.isnan(parse("head.width / head.centroid_x", parts).of(values))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("__import__('os').system('true')", "no part of a formula"),
        ("head.width / thorx.length", "did you mean 'thorax'"),
        ("head.widht", "did you mean 'width'"),
        ("head.width +", "the end"),
        ("head.width + head.area", "different units"),
        ("head.width + head.orientation", "different units"),
        ("2e3 * head.width", "has 'e3' where an operator"),
        ("(" * 40 + "1" + ")" * 40, "brackets"),
        ("1+" * 400 + "1", "characters"),
        ("head.width ** 2", "expected"),
        ("head", "the end"),
    ],
)
def test_what_is_no_ratio_is_refused_by_name(text, said):
    with pytest.raises(BadInput, match="--ratio") as told:
        parse(text, ("head", "thorax"))
    assert said in str(told.value)
