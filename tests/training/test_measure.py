"""Keypoints read off parts: near ones count, far ones do not, and who lacks labels is left out."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from em_toy import POINTS, SIZE, Y, batch

from coarseparts.inference.evaluate import _Points
from coarseparts.labels import Keypoints


class Known(Keypoints):
    """A keypoint model that says where the points are, ``shift`` pixels further right."""

    def __init__(self, truth: torch.Tensor, shift: float):
        super().__init__(POINTS, lambda y: y, sigma=0.05, stride=1, distance="l1")
        self.truth, self.shift = truth, shift

    def predict(self, log_y: torch.Tensor) -> torch.Tensor:
        moved = self.truth.clone()
        moved[..., 0] += self.shift
        return self._gaussians(moved, SIZE, SIZE, torch.ones(moved.shape[:2]))


@pytest.mark.parametrize(("shift", "percent"), [(0.0, 100.0), (0.5, 100.0), (2.5, 0.0)])
def test_points_count_within_a_tenth_of_the_object(shift: float, percent: float) -> None:
    seen = batch(4, 3, labelled=True)  # squares of 8 pixels: 0.8 pixels are near enough
    points = _Points(Y)
    points.add(seen, Known(seen.labels["keypoints"], shift), torch.zeros(4, 3, SIZE, SIZE))
    assert points.measured() == {"from_parts": percent, "from_image": percent, "points": 4 * POINTS}


def test_images_without_keypoints_are_left_out() -> None:
    seen: Any = batch(4, 3, labelled=True)
    nobody = dataclasses.replace(seen, present=seen.present | {"keypoints": torch.zeros(4, dtype=torch.bool)})
    points = _Points(Y)
    points.add(nobody, Known(seen.labels["keypoints"], 0.0), torch.zeros(4, 3, SIZE, SIZE))
    assert points.measured() is None
