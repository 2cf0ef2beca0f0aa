"""Maps of parts: both kinds say of each pixel what was drawn there, and keep it through files, mirrors and crops."""

import numpy as np
import pytest

from coarseparts.labels.frames import CropFrame
from coarseparts.labels.part_maps import IGNORE, ExclusiveMaps, OverlappingMaps, PartMaps, maps_of
from coarseparts.report.palette import colours

kinds = pytest.mark.parametrize("maps", [ExclusiveMaps(3), OverlappingMaps(3)], ids=["exclusive", "overlapping"])
SIZE = (8, 6)


def rectangle(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros(SIZE[::-1], bool)
    mask[y0:y1, x0:x1] = True
    return mask


HEAD, EYE, TAIL = rectangle(0, 0, 4, 4), rectangle(1, 1, 3, 3), rectangle(5, 2, 8, 6)


@kinds
def test_a_map_shows_what_was_drawn(maps: PartMaps) -> None:
    parts = maps.drawn([(2, EYE), (1, HEAD), (3, TAIL)], SIZE)
    parts[0, 7] = IGNORE
    shown = [maps.shows(parts, index) for index in (1, 2, 3)]
    head = HEAD & ~EYE if isinstance(maps, ExclusiveMaps) else HEAD
    np.testing.assert_array_equal(shown, [head, EYE, TAIL])
    assert not maps.stray(parts).any() and maps.stray(np.array([-1, maps.largest + 1, IGNORE])).tolist() == [1, 1, 0]
    np.testing.assert_array_equal(maps.cropped(parts, CropFrame(np.array([0, 0, 8, 8], np.float32), 8))[:6], parts)


@kinds
def test_files_mirrors_and_joins_keep_it(maps: PartMaps) -> None:
    parts, tail = maps.drawn([(1, HEAD), (2, EYE)], SIZE), maps.drawn([(3, TAIL)], SIZE)
    names = ("head", "eye", "tail")
    pictures = maps.pictures(parts, colours(3))
    assert len(pictures) == len(maps.folders(names) or [""])
    np.testing.assert_array_equal(maps.of_pictures([np.asarray(picture) for picture in pictures]), parts)
    np.testing.assert_array_equal(maps.joined(parts, tail), maps.drawn([(1, HEAD), (2, EYE), (3, TAIL)], SIZE))
    table = np.array(maps.flip([0, 2, 1, 3]))
    for index, other in ((1, 2), (2, 1), (3, 3)):
        np.testing.assert_array_equal(maps.shows(table[parts], other), maps.shows(parts, index))
    assert table[IGNORE] == IGNORE and (table[table] == np.arange(256)).all()


@kinds
def test_a_map_agrees_with_the_figure_that_it_was_drawn_in(maps: PartMaps) -> None:
    parts = maps.drawn([(1, HEAD), (2, EYE)], SIZE)
    assert maps.agreement(parts, HEAD)[0] == 1 and maps.agreement(parts, TAIL)[0] == 0
    whole, words = maps.agreement(parts, np.ones_like(HEAD))
    assert (whole == 16 / 48) == isinstance(maps, ExclusiveMaps) and "figure-ground mask" in words
    assert maps == maps_of(isinstance(maps, OverlappingMaps), 3)


@kinds
def test_a_crops_probabilities_come_back_to_the_image_as_the_map_they_are_of(maps: PartMaps) -> None:
    """A crop at the image's own scale, of which a row and two columns lie beyond the image."""
    parts, crop = maps.drawn([(1, HEAD), (2, EYE), (3, TAIL)], SIZE), np.array([3, -1, 10, 6], np.float32)
    overlap = isinstance(maps, OverlappingMaps)
    sample = maps.cropped(parts, CropFrame(crop, 7))
    shown = np.stack([maps.shows(sample, index) for index in (1, 2, 3)]).astype(np.float32)
    given = shown if overlap else np.concatenate([(sample == 0)[None], shown]).astype(np.float32)
    expected = np.where(np.arange(8) >= 3, parts, 0)
    np.testing.assert_array_equal(maps.most_probable(given, crop, SIZE), expected)
    back = maps.uncropped(given, crop, SIZE)
    assert back.shape == (len(given), *SIZE[::-1]) and back.dtype == np.float32
    np.testing.assert_array_equal(back[-3:], [maps.shows(expected, index) for index in (1, 2, 3)])
    assert overlap or (back.sum(0) == 1).all(), "certainly background beyond the crop"
    if overlap:
        with pytest.raises(AttributeError, match="use masks"):
            maps.index(expected)
    else:
        assert maps.index(expected) is expected
