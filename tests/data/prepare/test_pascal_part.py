"""PASCAL-Part's .mat files: miniatures, damage, and real ones counted independently."""

import random
from collections import Counter

import numpy as np
import pytest
from real_data import SHARED, needs_shared
from scipy.io import loadmat, savemat

from coarseparts.data.prepare.pascal_part import read_pascal_part
from coarseparts.system.problems import BadInput

EXAMPLES = SHARED / "data" / "pascal_part_examples"
AREA = np.zeros((6, 8), np.uint8)
AREA[1:4, 2:7] = 1


def part(name="head", mask=AREA):
    return {"part_name": name, "mask": mask}


def written(tmp_path, *objects, **more):
    """A file with these objects, each (class, mask, parts), as Matlab would write it."""
    found = np.zeros((1, len(objects)), [(name, object) for name in ("class", "class_ind", "mask", "parts")])
    for i, (category, mask, parts) in enumerate(objects):
        inner = np.zeros((1, len(parts)), [("part_name", object), ("mask", object)])
        for j, one in enumerate(parts):
            inner[0, j] = one["part_name"], one["mask"]
        found[0, i] = category, 3, mask, inner if parts else np.zeros((0, 0))
    anno = np.zeros((1, 1), [("imname", object), ("objects", object)])
    anno[0, 0] = "a", found
    savemat(tmp_path / "a.mat", {"anno": anno}, **more)
    return tmp_path / "a.mat"


@pytest.mark.parametrize("compressed", [True, False])
def test_every_object_and_part(tmp_path, compressed):
    eye = np.zeros_like(AREA)
    eye[2, 3] = 1
    path = written(
        tmp_path,
        ("bird", AREA, [part(), part("leye", eye), part("wheel_2", AREA.astype(float))]),
        ("tvmonitor", AREA.astype(bool), []),
        do_compression=compressed,
    )
    bird, monitor = read_pascal_part(path)
    assert bird.category == "bird" and [name for name, _ in bird.parts] == ["head", "leye", "wheel_2"]
    assert bird.mask.dtype == bool and bird.mask.sum() == 15 and np.argwhere(bird.parts[1][1]).tolist() == [[2, 3]]
    assert monitor.category == "tvmonitor" and monitor.parts == ()


@pytest.mark.parametrize(
    "objects, expected",
    [
        ([("bird", AREA * 0, [part()])], ["object 1: the mask of the bird is empty"]),
        ([("bird", AREA, [part(mask=AREA[:, :5])])], ["object 1: the mask of bird head is 5x6, the others are 8x6"]),
        ([("bird", AREA, []), ("dog", AREA[1:], [])], ["object 2: the mask of the dog is 8x5, the others are 8x6"]),
        ([(5, AREA, [])], ["its class is no text"]),
        ([("bird", "x", [])], ["the mask of the bird is no matrix of numbers"]),
        ([("bird", AREA, [part(7)])], ["part 1 of the bird has no name or no mask"]),
        ([("bird", AREA, [part(7)]), ("dog", AREA * 0, [])], ["object 1: part 1", "object 2: the mask of the dog"]),
    ],
)
def test_what_is_wrong_inside_is_all_told(tmp_path, objects, expected):
    path = written(tmp_path, *objects)
    with pytest.raises(BadInput) as bad:
        read_pascal_part(path)
    assert len(bad.value.problems) == len(expected)
    for problem, text in zip(bad.value.problems, expected, strict=True):
        assert problem.file == str(path) and text in problem.message


def test_files_that_are_something_else(tmp_path):
    for content in (b"", b"MATLAB", b"x" * 400, b"\x89HDF\r\n\x1a\n" + b"\0" * 200):
        (tmp_path / "b.mat").write_bytes(content)
        with pytest.raises(BadInput, match=r"b\.mat: "):
            read_pascal_part(tmp_path / "b.mat")
    savemat(tmp_path / "c.mat", {"other": np.zeros(3)})
    with pytest.raises(BadInput, match=r"c\.mat: holds no `anno\.objects`"):
        read_pascal_part(tmp_path / "c.mat")
    savemat(tmp_path / "d.mat", {"anno": {"objects": {"class": "bird"}}})
    with pytest.raises(BadInput, match=r"d\.mat: object 1: has no mask and no parts"):
        read_pascal_part(tmp_path / "d.mat")
    with pytest.raises(BadInput, match=r"e\.mat: cannot be read: No such file"):
        read_pascal_part(tmp_path / "e.mat")
    with pytest.raises(BadInput, match="cannot be read: Is a dir"):
        read_pascal_part(tmp_path)


@needs_shared
def test_every_object_and_part_of_the_real_files():
    paths = sorted(EXAMPLES.glob("*.mat"))
    assert len(paths) == 18
    objects, parts = Counter(), Counter()
    pixels = 0
    for path in paths:
        for found in read_pascal_part(path):
            objects[found.category] += 1
            pixels += int(found.mask.sum())
            for name, area in found.parts:
                parts[found.category, name] += 1
                pixels += int(area.sum())
                assert area.shape == found.mask.shape
    # Counted again, nothing shared with the reader.
    expected, expected_parts, expected_pixels = Counter(), Counter(), 0
    for path in paths:
        flat = loadmat(path, squeeze_me=True, struct_as_record=False, chars_as_strings=True)["anno"].objects
        for one in np.atleast_1d(flat):
            expected[getattr(one, "class")] += 1
            expected_pixels += np.count_nonzero(one.mask)
            for its in np.atleast_1d(one.parts):
                if hasattr(its, "part_name"):
                    expected_parts[getattr(one, "class"), its.part_name] += 1
                    expected_pixels += np.count_nonzero(its.mask)
    assert objects == expected and parts == expected_parts and pixels == expected_pixels
    assert objects.total() == 53 and parts.total() == 398 and objects["bird"] == 4


@needs_shared
def test_damaged_real_files_are_refused_with_a_reason(tmp_path):
    content = (EXAMPLES / "2008_001978.mat").read_bytes()
    drawn = random.Random(0)
    for i in range(200):
        damaged = bytearray(content)
        if i % 2:
            damaged = damaged[: drawn.randrange(len(damaged))]
        else:
            for _ in range(3):
                damaged[drawn.randrange(128, len(damaged))] ^= drawn.randrange(1, 256)
        (tmp_path / "a.mat").write_bytes(damaged)
        with pytest.raises(BadInput, match=r"a\.mat: "):
            read_pascal_part(tmp_path / "a.mat")
