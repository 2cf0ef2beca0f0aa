"""Part masks as PNG: every way to write indices is read, everything else is named."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from coarseparts.data.formats.part_files import find_part_masks
from coarseparts.data.formats.part_masks import is_smoothed, read_part_mask
from coarseparts.system.problems import BadInput

PARTS = ("head", "thorax", "eye")
VALUES = np.array([[0, 1, 2, 3], [0, 0, 255, 1], [3, 3, 3, 0]], np.uint8)
SIZE = (4, 3)


def refused(path, size=SIZE) -> list[str]:
    with pytest.raises(BadInput) as caught:
        read_part_mask(path, size, PARTS)
    assert all(p.file == str(path) and p.remedy for p in caught.value.problems)
    return [p.message for p in caught.value.problems]


def test_grey_palette_and_16_bit(tmp_path):
    Image.fromarray(VALUES).save(tmp_path / "grey.png")
    palette = Image.fromarray(VALUES).convert("P")
    palette.putpalette([9, 9, 9, 250, 0, 0, 0, 250, 0, 0, 0, 250] + [7] * 756)
    palette.save(tmp_path / "palette.png")
    Image.fromarray(VALUES.astype(np.uint16)).save(tmp_path / "16.png")
    Image.fromarray(VALUES.astype(np.float32)).save(tmp_path / "float.tif")  # ImageJ's label images
    for name in ("grey.png", "palette.png", "16.png", "float.tif"):
        read = read_part_mask(tmp_path / name, SIZE, PARTS)
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, VALUES)


@pytest.mark.parametrize("odd, said", [(1.5, "holds 1.5"), (np.nan, "holds nan"), (1e20, "beyond all part indices")])
def test_floats_that_are_no_indices_are_named(tmp_path, odd, said):
    values = VALUES.astype(np.float32)
    values[0, 1] = odd
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert said in refused(tmp_path / "a.tif")[0]


def test_black_and_white_is_the_first_part(tmp_path):
    Image.fromarray(VALUES > 1).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_part_mask(tmp_path / "a.png", SIZE, PARTS), VALUES > 1)


def test_unknown_indices_are_named(tmp_path):
    Image.fromarray(np.array([[0, 1, 7, 200], [0, 0, 0, 0], [0, 0, 0, 0]], np.uint8)).save(tmp_path / "a.png")
    (message,) = refused(tmp_path / "a.png")
    assert "7, 200" in message and "0..3 or 255" in message
    Image.fromarray(np.array([[0, 1000, 1, 1]] * 3, np.uint16)).save(tmp_path / "b.png")
    assert "1000" in refused(tmp_path / "b.png")[0]
    many = np.arange(200, dtype=np.uint8).reshape(10, 20)
    Image.fromarray(many).save(tmp_path / "c.png")
    assert "4, 5, 6, 7, 8, 9, 10, 11 and 188 more" in refused(tmp_path / "c.png", (20, 10))[0]


def test_another_size_and_unknown_index_are_both_said(tmp_path):
    Image.fromarray(np.full((2, 5), 9, np.uint8)).save(tmp_path / "a.png")
    size, index = refused(tmp_path / "a.png")
    assert "5x2" in size and "4x3" in size and "index 9" in index


@pytest.mark.parametrize("value", [0, 255])
def test_empty(tmp_path, value):
    Image.fromarray(np.full((3, 4), value, np.uint8)).save(tmp_path / "a.png")
    assert "empty" in refused(tmp_path / "a.png")[0]


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_are_no_indices(tmp_path, mode):
    coloured = np.array([[0, 0, 0], [200, 10, 10], [10, 10, 200], [9, 90, 9]], np.uint8)[VALUES % 4]
    Image.fromarray(coloured).convert(mode).save(tmp_path / "a.png")
    assert "has colours instead of part indices" in refused(tmp_path / "a.png")[0]


def test_jpeg_under_another_name(tmp_path):
    Image.fromarray(VALUES).save(tmp_path / "a.png", "JPEG")
    assert "JPEG" in refused(tmp_path / "a.png")[0]


def test_damaged_and_missing(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert len(refused(tmp_path / "a.png")) == 1
    assert "does not exist" in refused(tmp_path / "b.png")[0]


def test_finding_them(tmp_path):
    for name in ("a.png", "sub/b c.PNG", "d.jpg", "e.gif", "Thumbs.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found, problems = find_part_masks(tmp_path)
    assert found == {"a": tmp_path / "a.png", "sub/b c": tmp_path / "sub/b c.PNG"}
    assert [p.file for p in problems] == [str(tmp_path / "d.jpg"), str(tmp_path / "e.gif")]
    assert "JPEG" in problems[0].message and "PNG" in problems[1].message
    (tmp_path / "a.PNG").write_bytes(b"")
    assert "same stem" in str(find_part_masks(tmp_path)[1][0])


def test_a_folder_without_any(tmp_path):
    assert "holds no PNG" in str(find_part_masks(tmp_path)[1][0])


@pytest.mark.parametrize("change, smoothed", [("none", False), ("nearest", False), ("bilinear", True), ("blur", True)])
def test_smoothed_outlines_are_seen(change, smoothed):
    parts = np.zeros((60, 80), np.uint8)
    parts[10:50, 10:40], parts[20:40, 40:70], parts[25:30, 12:20] = 3, 2, 5
    image = Image.fromarray(parts)
    if change == "blur":
        image = image.filter(ImageFilter.GaussianBlur(1))
    elif change != "none":
        image = image.resize((53, 41), Image.Resampling[change.upper()])
    assert is_smoothed(np.asarray(image)) is smoothed


def test_thin_parts_and_ignored_seams_are_no_smoothing():
    parts = np.zeros((60, 80), np.uint8)
    parts[10:50, 10:40], parts[9:10, 10:40] = 3, 2  # one edge of four has a thin part on it
    assert not is_smoothed(parts)
    parts[:, 39:42] = 255
    assert not is_smoothed(parts) and not is_smoothed(parts[:2, :2])


@pytest.mark.parametrize(
    ("size", "told"), [((6, 9), "turned"), ((6, 8), ""), ((3, 2), "smaller"), ((3, 3), "")], ids=str
)
def test_a_mask_of_the_photograph_on_its_side_or_of_a_smaller_copy_is_told_with_what_to_do(tmp_path, size, told):
    Image.fromarray(np.ones(size, np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(BadInput, match="export it at the size of the image") as refused:
        read_part_mask(tmp_path / "a.png", (6, 9), ("head",))
    assert ("exiftool -Orientation= FOLDER" in str(refused.value)) == (told == "turned")
    assert ("scale it to that by nearest neighbour" in str(refused.value)) == (told == "smaller")
