"""NABirds' own text files: a miniature in exactly that layout."""

import time
import uuid
from functools import partial

import numpy as np
import pytest

from coarseparts.data.prepare.bird_tables import NABIRDS, NABIRDS_KEYPOINTS, read_annotations

read_nabirds = partial(read_annotations, NABIRDS)

A, B, C = "0000139e-21dc-4d0c-bfe1-4cae3c85c829", "0000d9fc-4e02-4c06-a0af-a55cfb16b12b", "00019306-9d83-4334-b255-a44"


def image(identity: str) -> str:
    return f"0817/{identity.replace('-', '')}.jpg"


FILES = {
    "images.txt": "".join(f"{i} {image(i)}\n" for i in (A, B, C)),
    "train_test_split.txt": f"{A} 0\n{B} 1\n{C} 1\n",
    "bounding_boxes.txt": f"{A} 83 59 128 228\n{B} 328 88 163 298\n{C} 174 367 219 378\n",
    "sizes.txt": f"{A} 296 341\n{B} 640 427\n{C} 341 1024\n",
    "parts/parts.txt": "".join(f"{number} {name}\n" for number, name in enumerate(NABIRDS_KEYPOINTS)),
    "parts/part_locs.txt": f"{A} 0 124 63 1\n{B} 0 468 121 1\n{B} 3 -1 -1 0\n{B} 10 401 200 1\n{C} 8 5 6 0\n",
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "parts").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_official_split_and_exact_coordinates(folder):
    (first, last), problems = read_nabirds(folder, "train")
    assert problems == []
    assert (first.image, first.object_id, first.size, first.alone) == (image(B), B, (640, 427), True)
    assert first.keypoint_names == NABIRDS_KEYPOINTS and len(NABIRDS_KEYPOINTS) == 11
    expected = np.zeros((11, 3))
    expected[0], expected[10] = [468, 121, 2], [401, 200, 2]
    np.testing.assert_array_equal(first.keypoints, expected)
    np.testing.assert_array_equal(first.label("box"), [328, 88, 491, 386])
    assert last.keypoints is None and last.label("mask") is None
    (test,), _ = read_nabirds(folder, "test")
    assert test.object_id == A and [a.image for a in read_nabirds(folder, "val")[0]] == [test.image]


@pytest.mark.parametrize("name", FILES)
def test_missing_files_are_all_named(folder, name):
    (folder / name).unlink()
    (folder / "images.txt").unlink(missing_ok=True)
    annotations, problems = read_nabirds(folder, "train")
    assert annotations == [] and {p.file for p in problems} == {str(folder / name), str(folder / "images.txt")}
    assert all("nabirds.tar.gz" in p.remedy for p in problems)


@pytest.mark.parametrize(
    "name, old, new, expected, left",
    [
        ("images.txt", B, "image", "line 2 is 'image 0817", 0),
        ("images.txt", B, A, f"line 2: UUID {A} stands twice", 0),
        ("bounding_boxes.txt", "163 298", "163", "line 2 is '0000d9fc", 0),
        ("parts/part_locs.txt", "121 1", "121 yes", "line 2", 0),
        ("sizes.txt", "640", "nan", "expected a UUID and 2 finite numbers", 0),
        ("train_test_split.txt", f"{C} 1\n", "", f"image {C}: no 0 or 1 for it", 1),
        ("images.txt", "0817", "../..", "leads out of the image folder", 2),
        ("parts/part_locs.txt", " 10 401", " 11 401", "1 lines of parts not listed, the first is line 4", 2),
        ("bounding_boxes.txt", A, A.replace("9", "8"), "1 lines of images not listed, the first is line 1", 2),
        ("bounding_boxes.txt", "163 298", "0 298", "no box with an area", 2),
    ],
)
def test_damaged_lines_are_named(folder, name, old, new, expected, left):
    (folder / name).write_text(FILES[name].replace(old, new, 1))
    annotations, problems = read_nabirds(folder, "train")
    assert len(annotations) == left
    assert any(p.file == str(folder / name) and expected in p.message for p in problems)


def test_as_many_lines_as_the_real_archive_are_read_in_seconds(tmp_path):
    rng = np.random.default_rng(0)
    ids = [str(uuid.UUID(bytes=rng.bytes(16))) for _ in range(48_562)]
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "parts.txt").write_text(FILES["parts/parts.txt"])
    (tmp_path / "images.txt").write_text("".join(f"{i} {image(i)}\n" for i in ids))
    (tmp_path / "train_test_split.txt").write_text("".join(f"{i} {n % 2}\n" for n, i in enumerate(ids)))
    (tmp_path / "bounding_boxes.txt").write_text("".join(f"{i} 10 20 30 40\n" for i in ids))
    (tmp_path / "sizes.txt").write_text("".join(f"{i} 640 480\n" for i in ids))
    lines = (f"{i} {part} {n % 640} {part} {int(part != 3)}\n" for n, i in enumerate(ids) for part in range(11))
    (tmp_path / "parts" / "part_locs.txt").write_text("".join(lines))
    start = time.process_time()
    annotations, problems = read_nabirds(tmp_path, "train")
    assert time.process_time() - start < 30, "5 s when this was written"
    assert problems == [] and len(annotations) == 24_281 and annotations[7].keypoints[8].tolist() == [15, 8, 2]
