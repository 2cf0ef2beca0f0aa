"""From photographs to tables: scale, intervals, flags, files."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("skimage", reason="scikit-image is not installed: pip install 'coarseparts[measure]'")

from coarseparts.measurement.formulas import parse
from coarseparts.measurement.intervals import UNCERTAIN, UNLIKE, Calibration, quantile, strangeness
from coarseparts.measurement.measured import Measured, Measurements
from coarseparts.measurement.scale import read_scale, with_line
from coarseparts.measurement.tables import write_dwc, write_long, write_wide
from coarseparts.measurement.traits import dimension_of, flags_of, names_of, unit_of, values_of
from coarseparts.system.problems import BadInput

PARTS = ("head", "tail")


def object_at(x: int, wide: int, error: int = 0) -> dict[str, np.ndarray]:
    masks = {name: np.zeros((60, 120), bool) for name in PARTS}
    masks["head"][10:30, x : x + wide + error] = True
    masks["tail"][30:50, x : x + wide - error] = True
    return masks


def measured(rng: np.random.Generator) -> tuple[dict[str, float], dict[str, float]]:
    image, x, wide = np.full((60, 120, 3), 90, np.uint8), int(rng.integers(5, 20)), int(rng.integers(20, 60))
    error = round(float(rng.normal(0, 4)))
    return values_of(object_at(x, wide, error), image), values_of(object_at(x, wide), image)


def test_intervals_hold_the_true_values_of_nine_in_ten_images_that_were_held_out():
    rng = np.random.default_rng(0)
    several = [measured(rng) for _ in range(400)]
    ratio = parse("head.length / tail.length", PARTS)
    around = Calibration(several[:200]).intervals(["head.length", "head.centroid_x", "distance.head-tail"], [ratio])
    for name in ("head.length", "head.centroid_x", "distance.head-tail"):
        held = [around(p)[name][0] <= t[name] <= around(p)[name][1] for p, t in several[200:]]
        assert 0.85 <= np.mean(held) <= 0.95, name


@pytest.mark.parametrize(
    "text",
    [
        "head.red - tail.red",
        "1000 * head.red",
        "head.length - tail.length",
        "head.area - tail.area",
        "head.length / head.pieces",
        "head.orientation - tail.orientation",
        "2 * head.orientation",
    ],
)
def test_intervals_of_any_formula_hold_the_true_value_and_the_one_that_was_measured(text):
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(1200):
        true = {f"{part}.{name}": rng.uniform(20, 60) for part in PARTS for name in ("length", "red")}
        true |= {f"{part}.area": rng.uniform(200, 900) for part in PARTS} | {"object.area": 2000.0, "head.pieces": 2.0}
        true |= {f"{part}.orientation": rng.uniform(0, 180) for part in PARTS}
        pairs.append(({name: abs(value + rng.normal(0, 3)) for name, value in true.items()}, true))
    formula = parse(text, (*PARTS, "object"))
    around = Calibration(pairs[:600]).intervals([text], [formula])
    held = []
    for predicted, true in pairs[600:]:
        said = formula.of(predicted)
        low, high = around({**predicted, text: said})[text]
        assert low <= said <= high
        away = formula.of(true) + 180.0 * np.arange(-1, 2) * formula.turns
        held.append(((low <= away) & (away <= high)).any())
    assert 0.86 <= np.mean(held) <= 0.94


def test_a_quantile_of_continuous_scores_covers_85_to_95_percent():
    rng = np.random.default_rng(1)
    covered = [np.mean(rng.exponential(size=500) <= quantile(list(rng.exponential(size=200)))) for _ in range(50)]
    assert 0.88 <= np.mean(covered) <= 0.92 and np.mean([0.85 <= c <= 0.95 for c in covered]) >= 0.9


def test_too_few_validation_images_give_no_interval():
    assert quantile([0.1] * 8) == math.inf and quantile([0.1] * 9) == 0.1
    rng = np.random.default_rng(0)
    few = Calibration([measured(rng) for _ in range(8)])
    assert few.intervals(["head.length", "head.red", "head.centroid_x", "head.orientation"])(measured(rng)[0]) == {}


def test_an_image_without_the_object_has_no_interval_whatever_the_formula():
    rng = np.random.default_rng(0)
    texts = [
        "head.length / (head.area - tail.area)",
        "head.length - tail.length",
        "1 / head.area",
        "head.red - tail.red",
    ]
    formulas = [parse(text, (*PARTS, "object")) for text in texts]
    nothing = values_of({name: np.zeros((60, 120), bool) for name in PARTS}, np.zeros((60, 120, 3), np.uint8))
    nothing |= {formula.text: formula.of(nothing) for formula in formulas}
    around = Calibration([measured(rng) for _ in range(40)]).intervals(list(nothing), formulas)
    assert around(nothing) == {} and all(math.isnan(nothing[text]) for text in texts)


def test_a_part_that_was_not_found_has_no_interval_beside_one_that_was():
    rng = np.random.default_rng(0)
    found = object_at(5, 30) | {"tail": np.zeros((60, 120), bool)}
    values = values_of(found, np.full((60, 120, 3), 90, np.uint8))
    around = Calibration([measured(rng) for _ in range(40)]).intervals(list(values))(values)
    assert "head.red" in around and not [name for name in around if name.startswith("tail.")]


def test_what_is_unlike_the_training_images_is_flagged_and_hardly_any_other_image():
    rng = np.random.default_rng(0)

    def seen(count: int, towards: int) -> np.ndarray:
        features = rng.normal(0, 0.2, (count, 16))
        features[:, towards] += 1
        return features / np.linalg.norm(features, axis=1, keepdims=True)

    reference, certainty = seen(40, 0), rng.uniform(0.6, 0.9, 60)
    known = Calibration([], certainty, strangeness(seen(60, 0), reference).tolist(), reference)
    alike = [known.flags(c, f) for c, f in zip(rng.uniform(0.6, 0.9, 500), seen(500, 0), strict=True)]
    assert np.mean([UNLIKE in each for each in alike]) < 0.06 and np.mean([UNCERTAIN in each for each in alike]) < 0.06
    assert known.flags(0.7, seen(1, 5)[0]) == [UNLIKE] and known.flags(0.1, seen(1, 0)[0]) == [UNCERTAIN]
    few = Calibration([], certainty[:19], known.strangeness[:19], reference)
    assert few.flags(0.0, seen(1, 5)[0]) == [], "too few to tell what is rare"


def test_flags_name_what_is_cut_missing_or_broken():
    masks = {name: np.zeros((40, 40), bool) for name in ("a", "b", "c")}
    masks["a"][0:9, 5:9] = True
    masks["b"][3:9, 3:9] = masks["b"][20:30, 20:30] = True
    values = values_of(masks, np.zeros((40, 40, 3), np.uint8))
    assert flags_of(masks, values) == {"a": ["cut by the border"], "b": ["several pieces"], "c": ["not found"]}


def test_names_have_units_by_their_dimension():
    formulas = [parse("head.area / tail.length", PARTS), parse("head.width / tail.width", PARTS)]
    named = {name: unit_of(name, "mm", formulas) for name in names_of(PARTS, formulas)}
    assert named["head.area"] == "mm2" and named["object.length"] == "mm" and named["tail.pieces"] == ""
    assert named["distance.head-tail"] == "mm" and named["head.orientation"] == "deg"
    assert named["head.area / tail.length"] == "mm" and named["head.width / tail.width"] == ""
    assert dimension_of("head.red", formulas) == 0


def test_formulas_of_angles_are_degrees():
    texts = {"180 - head.orientation": "deg", "head.orientation - tail.orientation": "deg"}
    texts |= {"head.orientation / tail.orientation": "", "head.length / head.orientation": "mm deg-1"}
    formulas = [parse(text, PARTS) for text in texts]
    assert {text: unit_of(text, "mm", formulas) for text in texts} == texts
    assert unit_of("head.red / 255", "mm", [parse("head.red / 255", PARTS)]) == ""


def test_a_part_may_be_called_as_a_trait_is_and_a_formula_as_a_value():
    assert [dimension_of(name, []) for name in ("distance.red", "distance.area", "distance.a-distance")] == [0, 2, 1]
    names = names_of(("distance", "b"), [parse(text, ("distance", "b")) for text in ("b.area", "2 * b.area") * 2])
    assert len(names) == len(set(names)) and names[-1] == "2 * b.area"


def test_scales_are_found_by_the_names_that_the_page_writes(tmp_path):
    names = ["=1.jpg", "a, b.jpg", "c\xa0d.jpg", "'e.jpg", "e\u0301.jpg"]
    text = ""
    for i, name in enumerate(names):
        (tmp_path / "scale.csv").write_text(text) if text else None
        text = with_line(tmp_path / "scale.csv", name, i + 1, "mm")
    (tmp_path / "scale.csv").write_text(text)
    scale, _ = read_scale(tmp_path / "scale.csv", [(name, tmp_path / name) for name in names])
    assert [scale.of(name) for name in names] == [1, 2, 3, 4, 5]
    file = tmp_path / "scale.csv"
    file.write_text(file.read_text(encoding="utf-8").replace("e\u0301", "\xe9"), encoding="utf-8")
    assert read_scale(file, [(names[4], tmp_path)])[0].of(names[4]) == 5  # a Mac's file name, typed into a spreadsheet


def test_a_scale_file_is_read_and_all_that_is_wrong_with_it_is_told(tmp_path):
    images = [("a.jpg", tmp_path / "a.jpg"), ("b.jpg", tmp_path / "b.jpg")]
    file = tmp_path / "scale.csv"
    file.write_text("image,pixels_per_unit,unit\na.jpg,10,mm\nb.jpg,2.5,mm\n", encoding="utf-8-sig")
    scale, _ = read_scale(file, images)
    assert (scale.unit, scale.of("a.jpg"), scale.of("b.jpg")) == ("mm", 10, 2.5)
    for lines, said in (
        ("a.jpg,10,mm", "no line for b.jpg"),
        ("a.jpg,10,mm\nb.jpg,1,cm", "the units 'mm', 'cm'"),
        ("a.jpg,10,mm\na.jpg,11,mm", "another scale"),
        ("a.jpg,0,mm\nb.jpg,-1,mm", "line 3"),
        ("a.jpg,nan,mm", "line 2"),
        ("a.jpg,1e999,mm", "line 2"),
        ("a.jpg,1_0,mm", "line 2"),
        ("a.jpg", "line 2"),
        ("a.jpg,10,", "line 2"),
        ("a.jpg,10,mm\nb.jpg,12,5,mm", "line 3 has more cells than the heading; put a number or a name with a comma"),
    ):
        file.write_text(f"image,pixels_per_unit,unit\n{lines}\n")
        with pytest.raises(BadInput) as told:
            read_scale(file, images)
        assert said in str(told.value) and "scale.csv" in str(told.value)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="UTF-8"):
        read_scale(file, images)


@pytest.mark.parametrize(
    ("lines", "first", "second"),
    [
        ("image;pixels_per_unit;unit\na é.jpg;12,5;mm\nb.jpg;1.234,5;mm\n;;\n", 12.5, 1234.5),
        ("image;pixels_per_unit;unit\na é.jpg;1,234;mm\nb.jpg;3;mm\n", 1.234, 3),
        ("image; pixels_per_unit; unit\na é.jpg; 12.5; mm\nb.jpg; 1.234; mm\n", 12.5, 1.234),
        ("image\tpixels_per_unit\tunit\na é.jpg\t12,5\tmm\nb.jpg\t1,5\tmm\n", 12.5, 1.5),
        ('unit;"pixels_per_unit";image\nmm;"12,5";a é.jpg\nmm;2;"b.jpg"\n', 12.5, 2),
    ],
)
def test_a_scale_file_is_read_as_a_spreadsheet_of_any_country_saves_it(tmp_path, lines, first, second):
    images = [(name, tmp_path / name) for name in ("a é.jpg", "b.jpg")]
    file = tmp_path / "scale.csv"
    file.write_text(lines, encoding="utf-8-sig")
    scale, _ = read_scale(file, images)
    assert (scale.unit, scale.of("a é.jpg"), scale.of("b.jpg")) == ("mm", first, second)
    # The page's ruler adds to it, in the same way of writing.
    file.write_text(with_line(file, "c.jpg", 7.25, "mm"), encoding="utf-8")
    scale, _ = read_scale(file, [*images, ("c.jpg", tmp_path / "c.jpg")])
    assert [scale.of(name) for name in ("a é.jpg", "b.jpg", "c.jpg")] == [first, second, 7.25]
    file.write_text(lines, encoding="utf-16")  # as "Unicode text" of Excel
    file.write_text(with_line(file, "c.jpg", 7.25, "mm"), encoding="utf-8")
    assert read_scale(file, [*images, ("c.jpg", tmp_path / "c.jpg")])[0].of("a é.jpg") == first


def test_one_line_may_be_for_all_images_that_have_none(tmp_path):
    images = [(name, tmp_path / name) for name in ("a.jpg", "b.jpg", "c.jpg")]
    file = tmp_path / "scale.csv"
    file.write_text("image,pixels_per_unit,unit\n*,10,mm\nb.jpg,2.5,mm\n")
    scale, _ = read_scale(file, images)
    assert [scale.of(name) for name, _ in images] == [10, 2.5, 10]
    file.write_text("image,pixels_per_unit,unit\n*,10,mm\nb.jpg,2.5,cm\n")
    with pytest.raises(BadInput, match="the units"):
        read_scale(file, images)


@pytest.mark.parametrize("written", ["B.JPG", "sub\\b.jpg", "b.jpg", "photos/sub/b.jpg"])
def test_a_line_for_no_image_is_told_where_the_scale_of_all_others_is_taken(tmp_path, written):
    images = [(name, tmp_path / name) for name in ("a.jpg", "sub/b.jpg")]
    file = tmp_path / "scale.csv"
    file.write_text(f"image,pixels_per_unit,unit\n*,10,mm\na.jpg,3,mm\n{written},2.5,mm\n")
    scale, (note,) = read_scale(file, images)
    assert scale.of("sub/b.jpg") == 10 and note.severity == "note"
    assert "none of these images; it is not used, the one for * is" in note.message and written[-5:] in note.message
    file.write_text(f"image,pixels_per_unit,unit\na.jpg,3,mm\nsub/b.jpg,4,mm\n{written[:-4]}_2,2.5,mm\n")
    assert read_scale(file, images)[1] == []  # all have their own


def test_a_unit_is_the_same_however_its_micro_is_written(tmp_path):
    images = [(name, tmp_path / name) for name in ("a.jpg", "b.jpg", "c.jpg")]
    file = tmp_path / "scale.csv"
    file.write_text(
        "image,pixels_per_unit,unit\na.jpg,1,\N{MICRO SIGN}m\nb.jpg,2,\N{GREEK SMALL LETTER MU}m\nc.jpg,3,um\n",
        encoding="utf-8",
    )
    scale, _ = read_scale(file, images)
    assert (scale.unit, [scale.of(name) for name, _ in images]) == ("\N{MICRO SIGN}m", [1, 2, 3])


def test_a_number_of_a_table_with_tabs_may_have_either_sign(tmp_path):
    file = tmp_path / "scale.csv"
    file.write_text("image\tpixels_per_unit\tunit\na.jpg\t1,234\tmm\n")
    with pytest.raises(BadInput, match=r"1234 or a little more than 1.*write 1234, or 1,2340"):
        read_scale(file, [("a.jpg", tmp_path)])
    file.write_text(file.read_text().replace("1,234", "1,2340"))
    assert read_scale(file, [("a.jpg", tmp_path)])[0].of("a.jpg") == 1.234


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("a.jpg;1.234;mm", "1234 or a little more than 1"),
        ("a.jpg;1,5;mm\nb.jpg;2.5;mm", "line 3"),
        ("a.jpg;1.234.5,5;mm", "line 2"),
        ("a.jpg;1,2,3;mm", "line 2"),
    ],
)
def test_a_number_that_may_mean_two_things_is_not_guessed(tmp_path, lines, said):
    file = tmp_path / "scale.csv"
    file.write_text(f"image;pixels_per_unit;unit\n{lines}\n")
    with pytest.raises(BadInput, match=r"scale\.csv") as told:
        read_scale(file, [("a.jpg", tmp_path / "a.jpg")])
    assert said in str(told.value)
    if "little" in said:
        with pytest.raises(BadInput):
            with_line(file, "b.jpg", 2.5, "mm")


def test_the_resolution_of_a_scan_is_taken_and_that_of_a_screen_is_noted(tmp_path):
    for name, dpi in (("scan.png", 254), ("screen.png", 72)):
        Image.new("RGB", (8, 8)).save(tmp_path / name, dpi=(dpi, dpi))
    Image.new("RGB", (8, 8)).save(tmp_path / "none.png")
    scale, notes = read_scale("dpi", [("scan.png", tmp_path / "scan.png"), ("screen.png", tmp_path / "screen.png")])
    assert scale.unit == "mm" and scale.of("scan.png") == pytest.approx(10, rel=1e-3)
    assert [note.file for note in notes] == [str(tmp_path / "screen.png")]
    with pytest.raises(BadInput, match=r"none\.png"):
        read_scale("dpi", [("none.png", tmp_path / "none.png")])


def test_the_resolution_of_a_photograph_that_is_read_reduced_is_taken(tmp_path, monkeypatch):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.jpg", dpi=(254, 254))
    monkeypatch.setattr("coarseparts.data.images._allowed", 1000)
    scale, _ = read_scale("dpi", [("a.jpg", tmp_path / "a.jpg")])
    assert scale.of("a.jpg") == pytest.approx(10, rel=1e-3)


def test_tables_open_where_people_write_decimal_commas(tmp_path):
    one = Measured("é; 1.jpg", {"a.length": 2.5, "a.red": math.nan}, {"a.length": (1.0, 3.25)}, {"a": ["cut"]})
    table = Measurements(("a",), ("a.length", "a.red"), {"a.length": "mm", "a.red": ""}, [one])
    text = write_wide(tmp_path / "w.csv", table, decimal_comma=True).read_bytes().decode()
    assert (
        text == "\ufeffimage;object;flags;a.length [mm];a.length [mm] low;a.length [mm] high;a.red\n"
        '"é; 1.jpg";1;a: cut;2,5;1,0;3,25;\n'
    )
    text = write_long(tmp_path / "l.csv", table, decimal_comma=True).read_text(encoding="utf-8-sig")
    assert text.splitlines()[1] == '"é; 1.jpg";1;a;length;2,5;1,0;3,25;mm;cut'


def test_tables_hold_the_numbers_and_nothing_that_a_spreadsheet_computes(tmp_path):
    one = Measured("=cmd|1.jpg", {"a.length": 2.0, "a.red": math.nan}, {"a.length": (1.0, 3.0)}, {"a": ["cut"]})
    table = Measurements(("a",), ("a.length", "a.red"), {"a.length": "=mm", "a.red": ""}, [one])
    rows = {}
    for write in (write_wide, write_long, write_dwc):
        with open(write(tmp_path / f"{write.__name__}.csv", table), newline="", encoding="utf-8") as file:
            rows[write.__name__] = list(csv.reader(file))
    assert rows["write_wide"][0] == [
        "image",
        "object",
        "flags",
        "a.length [=mm]",
        "a.length [=mm] low",
        "a.length [=mm] high",
        "a.red",
    ]
    assert rows["write_wide"][1] == ["'=cmd|1.jpg", "1", "a: cut", "2.0", "1.0", "3.0", ""]
    assert rows["write_long"][1] == ["'=cmd|1.jpg", "1", "a", "length", "2.0", "1.0", "3.0", "'=mm", "cut"]
    assert len(rows["write_dwc"]) == 2 and rows["write_dwc"][1][2:5] == ["a.length", "2.0", "1.0"]
