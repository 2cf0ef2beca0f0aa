"""Masks in a box of their own, as COCO's run-length code of the whole image and back."""

import numpy as np
import pytest
from documents import rle
from hypothesis import given
from hypothesis import strategies as st

from coarseparts.data.formats.drawing import Outline, draw
from coarseparts.data.formats.shapes import cut_out, placed


@given(st.data())
def test_a_mask_lies_where_it_was_put_as_far_as_the_image_goes(data):
    width, height = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    rows, columns = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    left, top = data.draw(st.integers(-9, 9)), data.draw(st.integers(-9, 9))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns)))
    mask = mask.reshape(rows, columns)
    whole = np.zeros((height, width), bool)
    for y, x in np.argwhere(mask):
        if 0 <= y + top < height and 0 <= x + left < width:
            whole[y + top, x + left] = True
    if not whole.any():
        with pytest.raises(ValueError, match="empty"):
            placed(mask, left, top, (width, height))
        return
    code = placed(mask, left, top, (width, height))
    assert code == rle(whole)
    again, x, y = cut_out(code, (width, height))
    assert again.sum() == whole.sum() and whole[y : y + again.shape[0], x : x + again.shape[1]].sum() == whole.sum()
    rows, columns = np.flatnonzero(whole.any(1)), np.flatnonzero(whole.any(0))
    extent = Outline(code, "a.json", "here").extent
    assert extent is not None and extent[[0, 2]].tolist() == [columns[0], columns[-1] + 1]
    # A run that goes on in the next column reaches the image's edges; otherwise the rows are exact.
    assert extent[1] <= rows[0] and extent[3] >= rows[-1] + 1
    assert np.array_equal(draw(code, (width, height)), whole)


def test_the_extent_of_a_broken_mask_is_unknown():
    for counts in ("\x7f", [12], [], [-3, 15]):
        assert Outline({"size": [3, 4], "counts": counts}, "a.json", "here").extent is None or counts == [-3, 15]
