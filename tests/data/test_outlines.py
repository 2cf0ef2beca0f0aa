"""Outlines along the edges of pixels enclose exactly the mask, pieces and holes included."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coarseparts.data.formats.drawing import draw
from coarseparts.data.formats.outlines import bridged, rings


def test_a_square_has_four_corners():
    mask = np.zeros((5, 6), bool)
    mask[1:4, 2:5] = True
    (ring,) = rings(mask)
    assert sorted(ring) == [(2, 1), (2, 4), (5, 1), (5, 4)]


@pytest.mark.parametrize(
    "pixels, number", [("#.#", 2), ("#./.#", 2), ("###/#.#/###", 2), ("...", 0), ("###/#.#/##.", 1)]
)
def test_every_piece_and_every_hole_is_a_ring(pixels, number):
    mask = np.array([[pixel == "#" for pixel in row] for row in pixels.split("/")])
    assert len(rings(mask)) == number


@given(st.integers(1, 15), st.integers(1, 15), st.integers(0, 2**31))
def test_the_polygon_of_a_mask_is_the_mask(width, height, seed):
    generator = np.random.default_rng(seed)
    mask = generator.random((height, width)) < generator.random()
    mask[0, 0] = True
    polygon = [float(number) for corner in bridged(rings(mask)) for number in corner]
    np.testing.assert_array_equal(draw([polygon], (width, height)), mask)
