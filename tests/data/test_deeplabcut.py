"""DeepLabCut's tables: each individual is an object, an empty cell an absent keypoint."""

import csv

import pytest
from documents import objects_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from judges import asked

from coarseparts.data.formats import deeplabcut
from coarseparts.system.problems import BadInput, errors

ONE = [
    ["scorer", "Ann", "Ann", "Ann", "Ann"],
    ["bodyparts", "head", "head", "tail", "tail"],
    ["coords", "x", "y", "x", "y"],
]
SEVERAL = [
    ["scorer", "", "", *["Ann"] * 8],
    ["individuals", "", "", *["ant1"] * 4, *["ant2"] * 2, *["single"] * 2],
    ["bodyparts", "", "", "head", "head", "tail", "tail", "head", "head", "corner", "corner"],
    ["coords", "", "", *["x", "y"] * 4],
]


def table(tmp_path, *rows, name="CollectedData_Ann.csv", **style):
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "w", newline="") as opened:
        csv.writer(opened, **style).writerows(rows)
    return file


def test_one_animal(tmp_path):
    file = table(
        tmp_path,
        *ONE,
        ["labeled-data/film/img1.png", 1.5, 2, 30, 40.25],
        ["labeled-data/film/img2.png", "", "", 3, 4],
        ["labeled-data/film/img3.png", "", "", "NaN", "NaN"],
    )
    assert deeplabcut.recognises(file) and deeplabcut.recognises(tmp_path)
    found = deeplabcut.read(file)
    assert objects_of(found) == {
        "labeled-data/film/img1.png": [([], [("head", (1.5, 2, 2)), ("tail", (30, 40.25, 2))])],
        "labeled-data/film/img2.png": [([], [("tail", (3, 4, 2))])],
        "labeled-data/film/img3.png": [],
    }
    assert found.categories == [{"id": 1, "name": "animal", "keypoints": ["head", "tail"]}]
    assert [str(problem.severity) for problem in found.problems] == ["note"]


def test_a_table_that_excel_saved_as_unicode_text(tmp_path):
    plain = deeplabcut.read(table(tmp_path, *ONE, ["labeled-data/film/img1.png", 1.5, 2, 30, 40.25]))
    file = table(tmp_path, *ONE, ["labeled-data/film/img1.png", 1.5, 2, 30, 40.25], delimiter="\t")
    file.write_bytes(file.read_text().encode("utf-16"))
    assert deeplabcut.recognises(file) and deeplabcut.read(file).annotations == plain.annotations


def test_several_animals_and_points_of_none(tmp_path):
    file = table(
        tmp_path,
        *SEVERAL,
        ["labeled-data", "film", "img1.png", 1, 2, 3, 4, 5, 6, 7, 8],
        ["labeled-data", "film", "img2.png", 1, 2, "", "", "", "", "", ""],
    )
    found = deeplabcut.read(file)
    assert objects_of(found) == {
        "labeled-data/film/img1.png": [
            ([], [("corner", (7, 8, 2))]),
            ([], [("head", (1, 2, 2)), ("tail", (3, 4, 2))]),
            ([], [("head", (5, 6, 2))]),
        ],
        "labeled-data/film/img2.png": [([], [("head", (1, 2, 2))])],
    }
    names = [(entry["name"], entry["keypoints"]) for entry in found.categories]
    assert names == [("animal", ["head", "tail"]), ("single", ["corner"])]


@pytest.mark.parametrize(
    "written, name",
    [
        ("labeled-data\\film\\a.png", "labeled-data/film/a.png"),
        ("C:\\Users\\me\\project\\labeled-data\\film\\a.png", "labeled-data/film/a.png"),
        ("/home/me/project/labeled-data/film/a.png", "labeled-data/film/a.png"),
        ("a.png", "a.png"),
    ],
)
def test_names_of_images(tmp_path, written, name):
    found = deeplabcut.read(table(tmp_path, *ONE, [written, 1, 2, 3, 4]))
    assert [entry["file_name"] for entry in found.images] == [name]


def test_all_tables_of_a_project(tmp_path):
    for film in "ab":
        rows = [*ONE, [f"labeled-data/{film}/1.png", 1, 2, 3, 4]]
        table(tmp_path, *rows, name=f"labeled-data/{film}/CollectedData_Ann.csv")
    for folder in (tmp_path, tmp_path / "labeled-data"):
        assert deeplabcut.recognises(folder)
        assert len(deeplabcut.read(folder).annotations) == 2
    assert len(deeplabcut.read(tmp_path / "labeled-data/a").annotations) == 1


def test_a_spreadsheet_may_have_saved_it_with_semicolons(tmp_path):
    file = table(tmp_path, *ONE, ["a.png", "1,5", "2", "", ""], delimiter=";")
    assert deeplabcut.recognises(file)
    assert objects_of(deeplabcut.read(file)) == {"a.png": [([], [("head", (1.5, 2, 2))])]}


@pytest.mark.parametrize("cells", [("1", ""), ("x", "2"), ("inf", "1"), ("1e99", "1")])
def test_half_a_keypoint_is_named_and_the_rest_is_read(tmp_path, cells):
    found = deeplabcut.read(table(tmp_path, *ONE, ["a.png", *cells, 3, 4]))
    (problem,) = errors(found.problems)
    assert "row 4: head is" in str(problem) and "CollectedData_Ann.csv" in str(problem)
    assert objects_of(found) == {"a.png": [([], [("tail", (3, 4, 2))])]}


def test_an_image_that_stands_twice_is_an_error(tmp_path):
    found = deeplabcut.read(table(tmp_path, *ONE, ["a.png", 1, 2, 3, 4], ["a.png", 5, 6, 7, 8]))
    assert len(found.annotations) == 1 and "row 5: a.png stands in" in str(errors(found.problems)[0])


@pytest.mark.parametrize(
    "rows, message",
    [
        ([], "has no row"),
        ([["a", "b"]], "has no row"),
        (ONE[:2], "has no row coords"),
        ([ONE[0], ONE[1], ["coords", "x", "y", "likelihood", "x"]], "predictions on a video"),
        ([ONE[0], ONE[1], ["coords", "x", "y", "x", "x"]], "expected x and y once"),
        ([ONE[0], ONE[1], ["coords", "x", "y", "x"]], "has no x and y for tail"),
        ([["scorer", "Ann", "Ann", "Bob", "Bob"], *ONE[1:]], "labels of several people"),
        ([ONE[0], ["bodyparts", "head", "head"], ONE[2]], "has no x and y"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(tmp_path, rows, message):
    file = table(tmp_path, *rows, ["a.png", 1, 2, 3, 4])
    with pytest.raises(BadInput) as caught:
        deeplabcut.read(file)
    assert message in str(caught.value) and "CollectedData_Ann.csv" in str(caught.value)


def test_other_files_are_not_taken_for_it(tmp_path):
    (tmp_path / "a.csv").write_text("name,x,y\nhead,1,2\n")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path, tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "absent.csv"):
        assert not deeplabcut.recognises(path)
    with pytest.raises(BadInput, match=r"holds no CollectedData_NAME\.csv"):
        deeplabcut.read(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(st.binary(max_size=60), st.integers(0, 90), st.integers(0, 30))
def test_no_damage_crashes_the_reader(tmp_path, bytes_, at, length):
    whole = table(tmp_path, *ONE, ["a.png", 1, 2, 3, 4]).read_bytes()
    (tmp_path / "b.csv").write_bytes(whole[:at] + bytes_ + whole[at + length :])
    deeplabcut.recognises(tmp_path / "b.csv")
    try:
        deeplabcut.read(tmp_path / "b.csv")
    except BadInput as error:
        assert "b.csv" in str(error)


def test_tables_that_pandas_writes_as_deeplabcut_does_are_read(tmp_path):
    script = """
import sys, numpy as np, pandas as pd
points = np.array([[1.5, 2, 3, 4], [np.nan, np.nan, 7, 8]])
parts = [["Ann"], ["ant1", "ant2"], ["head"], ["x", "y"]]
columns = pd.MultiIndex.from_product(parts, names=["scorer", "individuals", "bodyparts", "coords"])
index = pd.MultiIndex.from_tuples([("labeled-data", "film", f"img{i}.png") for i in (0, 1)])
pd.DataFrame(points, index=index, columns=columns).to_csv(sys.argv[1] + "/CollectedData_several.csv")
columns = pd.MultiIndex.from_product([["Ann"], ["head", "tail"], ["x", "y"]], names=["scorer", "bodyparts", "coords"])
index = [f"labeled-data/film/img{i}.png" for i in (0, 1)]
pd.DataFrame(points, index=index, columns=columns).to_csv(sys.argv[1] + "/CollectedData_one.csv")
print("{}")
"""
    asked("pandas", script, tmp_path)
    several = deeplabcut.read(tmp_path / "CollectedData_several.csv")
    assert objects_of(several) == {
        "labeled-data/film/img0.png": [([], [("head", (1.5, 2, 2))]), ([], [("head", (3, 4, 2))])],
        "labeled-data/film/img1.png": [([], [("head", (7, 8, 2))])],
    }
    one = deeplabcut.read(tmp_path / "CollectedData_one.csv")
    assert objects_of(one)["labeled-data/film/img0.png"] == [([], [("head", (1.5, 2, 2)), ("tail", (3, 4, 2))])]


def test_empty_columns_that_a_spreadsheet_saved_say_nothing(tmp_path):
    rows = [*ONE, ["labeled-data/film/img1.png", 1.5, 2, 30, 40.25]]
    plain = deeplabcut.read(table(tmp_path, *rows))
    assert deeplabcut.read(table(tmp_path, *([*row, "", "", ""] for row in rows))).annotations == plain.annotations
    with pytest.raises(BadInput, match="has no row bodyparts"):
        deeplabcut.read(table(tmp_path, ["scorer", "", ""], ["coords", "", ""]))
