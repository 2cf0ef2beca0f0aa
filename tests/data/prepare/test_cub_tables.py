"""CUB-200-2011's own text files: a miniature in exactly that layout, and the real ones counted independently."""

import csv
import shutil
import time
from collections import Counter
from functools import partial

import numpy as np
import pytest
from conftest import SHARED, needs_shared

from coarseparts.data.prepare.bird_tables import CUB, read_annotations

read_cub = partial(read_annotations, CUB)

FILES = {
    "images.txt": "1 001.Alba tross/A_1.jpg\n2 001.Alba tross/A_2.jpg\n4 002.Crow/C 4.jpg\n",
    "train_test_split.txt": "1 1\n2 0\n4 1\n",
    "bounding_boxes.txt": "1 60.0 27.0 325.0 304.0\n2 1.0 2.0 3.0 4.0\n4 5.5 6.5 10.0 20.0\n",
    "parts/parts.txt": "1 beak\n2 left eye\n3 right eye\n",
    "parts/part_locs.txt": "1 1 312.0 182.0 1\n1 2 0.0 0.0 0\n1 3 186.5 45.0 1\n"
    "2 1 7.0 8.0 1\n2 2 1.0 1.0 1\n2 3 9.0 9.0 0\n4 1 0.0 0.0 0\n4 2 0.0 0.0 0\n4 3 0.0 0.0 0\n",
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "parts").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_official_split_and_exact_coordinates(folder):
    (first, last), problems = read_cub(folder, "train")
    assert problems == []
    assert (first.image, first.object_id, first.alone) == ("001.Alba tross/A_1.jpg", "1", True)
    assert first.keypoint_names == ("beak", "left eye", "right eye")
    np.testing.assert_array_equal(first.keypoints, [[312, 182, 2], [0, 0, 0], [186.5, 45, 2]])
    np.testing.assert_array_equal(first.label("box"), [60, 27, 385, 331])
    assert last.keypoints is None and last.image == "002.Crow/C 4.jpg"
    (test,), _ = read_cub(folder, "test")
    np.testing.assert_array_equal(test.keypoints, [[7, 8, 2], [1, 1, 2], [0, 0, 0]])
    assert [a.image for a in read_cub(folder, "val")[0]] == [test.image]


def test_segmentations_where_they_are(folder):
    (folder / "segmentations" / "002.Crow").mkdir(parents=True)
    (folder / "segmentations" / "002.Crow" / "C 4.png").write_bytes(b"x")
    first, last = read_cub(folder, "train", folder / "segmentations")[0]
    assert first.label("mask") is None and last.label("mask").path == folder / "segmentations" / "002.Crow" / "C 4.png"


@pytest.mark.parametrize("name", FILES)
def test_missing_files_are_all_named(folder, name):
    (folder / name).unlink()
    (folder / "images.txt").unlink(missing_ok=True)
    annotations, problems = read_cub(folder, "train")
    assert annotations == [] and {p.file for p in problems} == {str(folder / name), str(folder / "images.txt")}


@pytest.mark.parametrize(
    "name, old, new, expected",
    [
        ("images.txt", "2 001", "two 001", "line 2 is 'two 001.Alba tross/A_2.jpg'"),
        ("images.txt", "2 001", "1 001", "number 1 stands twice"),
        ("bounding_boxes.txt", "3.0 4.0", "3.0", "line 2 is '2 1.0 2.0 3.0', expected 5 finite numbers"),
        ("bounding_boxes.txt", "304.0", "nan", "line 1"),
        ("parts/part_locs.txt", "8.0 1", "8.0 yes", "line 4"),
        ("train_test_split.txt", "2 0", "2 0 0", "line 2"),
        ("train_test_split.txt", FILES["train_test_split.txt"], "\n", "holds nothing"),
    ],
)
def test_malformed_lines_are_named(folder, name, old, new, expected):
    (folder / name).write_text(FILES[name].replace(old, new, 1))
    annotations, (problem,) = read_cub(folder, "train")
    assert annotations == [] and problem.file == str(folder / name) and expected in problem.message


@pytest.mark.parametrize(
    "name, old, new, expected, left",
    [
        ("images.txt", "001.Alba tross/A_1", "../A_1", "leads out of the image folder", 1),
        ("train_test_split.txt", "1 1\n", "", "its split is unknown", 1),
        ("bounding_boxes.txt", "4 5.5", "9 5.5", "1 lines of images not listed, the first is line 3", 2),
        ("parts/part_locs.txt", "1 3 186.5", "1 7 186.5", "1 lines of parts not listed, the first is line 3", 2),
        ("bounding_boxes.txt", "325.0", "-1.0", "no box with an area", 2),
    ],
)
def test_lines_that_do_not_fit_together(folder, name, old, new, expected, left):
    (folder / name).write_text(FILES[name].replace(old, new, 1))
    annotations, problems = read_cub(folder, "train")
    assert len(annotations) == left
    assert any(p.file == str(folder / name) and expected in p.message for p in problems)


@needs_shared
def test_all_of_cub():
    folder = SHARED / "data" / "cub_annotations"
    start = time.process_time()
    train, problems = read_cub(folder, "train")
    test, more = read_cub(folder, "test")
    assert time.process_time() - start < 4, "0.3 s each when this was written; 2 s are the limit"
    assert problems == more == [] and (len(train), len(test)) == (5994, 5794)

    # Counted again with the csv module, nothing shared with the reader.
    def rows(name):
        with (folder / name).open() as file:
            return list(csv.reader(file, delimiter=" "))

    names = {int(n): " ".join(words) for n, *words in rows("parts/parts.txt")}
    official = {int(n) for n, train_ in rows("train_test_split.txt") if train_ == "1"}
    for annotations, mine in ((train, official), (test, None)):
        visible: Counter = Counter()
        for image, part, _, _, seen in rows("parts/part_locs.txt"):
            if (int(image) in official) == (mine is not None):
                visible[names[int(part)]] += int(seen)
        counted: Counter = Counter()
        for annotation in annotations:
            if annotation.keypoints is not None:
                for name, seen in zip(annotation.keypoint_names, annotation.keypoints[:, 2] == 2, strict=True):
                    counted[name] += int(seen)
        assert counted == visible and len(visible) == 15 and "left eye" in visible
    by_number = {a.object_id: a for a in [*train, *test]}
    for number, x, y, w, h in rows("bounding_boxes.txt")[::997]:
        box = [float(x), float(y), float(x) + float(w), float(y) + float(h)]
        np.testing.assert_allclose(by_number[number].label("box"), box, rtol=1e-6)
    for number, part, x, y, seen in rows("parts/part_locs.txt")[::1013]:
        expected = [float(x), float(y), 2] if seen == "1" else [0, 0, 0]
        np.testing.assert_allclose(by_number[number].keypoints[int(part) - 1], expected, rtol=1e-6)


@needs_shared
def test_a_real_file_with_a_line_missing(tmp_path):
    shutil.copytree(SHARED / "data" / "cub_annotations", tmp_path / "cub", copy_function=shutil.copyfile)
    split = tmp_path / "cub" / "train_test_split.txt"
    split.write_text(split.read_text().replace("\n77 1\n", "\n").replace("\n77 0\n", "\n"))
    annotations, problems = read_cub(tmp_path / "cub", "train")
    assert [p.message for p in problems] == ["image 77: no 0 or 1 for it, so its split is unknown"]
    assert len(annotations) in (5993, 5994)
