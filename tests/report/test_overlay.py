"""Part colours and overlays."""

import numpy as np
import pytest

from coarseparts.labels.part_maps import ExclusiveMaps
from coarseparts.report.overlay import overlay
from coarseparts.report.palette import _lab, colours, font


def test_colours_differ_for_every_reader_and_stay_when_parts_are_added() -> None:
    ten = colours(10)
    assert ten.shape == (10, 3) and ten.dtype == np.uint8
    assert np.array_equal(ten, colours(30)[:10])
    lab = _lab(ten.astype(float))  # (readers, 10, 3): normal sight, protanopia, deuteranopia
    distance = np.linalg.norm(lab[:, :, None] - lab[:, None], axis=-1) + 1e3 * np.eye(10)
    assert distance.min() > 15, "2 is just seen with patches side by side"
    assert len(np.unique(colours(254), axis=0)) == 254
    assert colours(0).shape == (0, 3)


def test_colours_refuse_what_a_part_map_cannot_hold() -> None:
    with pytest.raises(ValueError, match="0 to 254"):
        colours(255)


def test_lab_agrees_with_published_values() -> None:
    white, red = _lab(np.array([[255.0, 255, 255], [255, 0, 0]]))[0]
    assert np.allclose(white, [100, 0, 0], atol=0.02)
    assert np.allclose(red, [53.24, 80.09, 67.20], atol=0.05)


def test_overlay_tints_parts_and_leaves_the_background() -> None:
    image = np.full((6, 8, 3), 100, np.uint8)
    parts = np.zeros((6, 8), int)
    parts[1:5, 1:5] = 2
    palette = np.array([[0, 0, 0], [200, 0, 50]], np.uint8)
    plain = overlay(image, parts, palette, ExclusiveMaps(2), alpha=0.5, outline=False)
    assert plain.dtype == np.uint8
    assert (plain[parts == 0] == 100).all()
    assert (plain[parts == 2] == [150, 50, 75]).all()
    drawn = overlay(image, parts, palette, ExclusiveMaps(2), alpha=0.5)
    assert (drawn[1, 1:5] == [200, 0, 50]).all(), "the edge is opaque"
    assert (drawn[2:4, 2:4] == [150, 50, 75]).all()
    assert (drawn[parts == 0] == 100).all()
    assert (image == 100).all(), "the image itself is not drawn on"


def test_a_part_that_fills_the_picture_has_no_edge() -> None:
    image, parts = np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.uint8)
    drawn = overlay(image, parts, np.array([[100, 100, 100]]), ExclusiveMaps(1), alpha=0.5)
    assert (drawn == 50).all()


def test_overlay_hatches_what_is_ignored() -> None:
    image = np.zeros((12, 12, 3), np.uint8)
    drawn = overlay(image, np.full((12, 12), 255, np.uint8), colours(2), ExclusiveMaps(2))
    grey = drawn[..., 0] > 0
    assert 0.3 < grey.mean() < 0.7
    assert (drawn[..., 0] == drawn[..., 1]).all() and (drawn[..., 0] == drawn[..., 2]).all()


@pytest.mark.parametrize("parts", [np.full((4, 4), 3), np.full((4, 4), -1), np.zeros((4, 5), int)])
def test_overlay_says_what_does_not_fit(parts: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        overlay(np.zeros((4, 4, 3), np.uint8), parts, colours(2), ExclusiveMaps(2))


def test_overlay_wants_bytes() -> None:
    with pytest.raises(ValueError, match="uint8"):
        overlay(np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), int), colours(2), ExclusiveMaps(2))


def test_the_font_has_letters_of_more_than_one_script():
    missing = font(13).getmask("￿", "L")
    for letter in "üßéłЖΩ":
        assert bytes(font(13).getmask(letter, "L")) != bytes(missing)
    assert font(13).getlength("bird\udcff") > 0, "a file name's bytes that are no text"
