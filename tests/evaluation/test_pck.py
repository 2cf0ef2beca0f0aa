import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coarseparts.evaluation.pck import pck
from coarseparts.labels.keypoints import peaks


def case(seed=0, n=20, k=4):
    r = np.random.default_rng(seed)
    target = np.concatenate([r.uniform(0, 100, (n, k, 2)), r.choice([-1, 0, 1, 2], (n, k, 1))], -1)
    pred = target + r.normal(0, 6, target.shape)
    return pred, target, r.uniform(40, 100, n)


@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("visibility", [1, 2])
@pytest.mark.parametrize("as_type", [np.asarray, torch.from_numpy])
def test_agrees_with_counting_point_by_point(threshold, visibility, as_type):
    pred, target, size = case()
    right, points = [0] * 4, [0] * 4
    for n in range(20):
        for k in range(4):
            if target[n, k, 2] >= visibility:
                points[k] += 1
                right[k] += math.dist(pred[n, k, :2], target[n, k, :2]) <= threshold * size[n]
    result = pck(as_type(pred), as_type(target), as_type(size), threshold, visibility)
    assert result.points.tolist() == points
    assert result.per_keypoint.tolist() == pytest.approx([100 * a / b for a, b in zip(right, points, strict=True)])
    assert result.mean == pytest.approx(100 * sum(right) / sum(points))


def test_the_threshold_itself_is_within():
    target = np.array([[[10.0, 10, 2], [50, 50, 2]]])
    pred = target[..., :2] + [[3, 4], [3, 4.01]]
    assert pck(pred, target, np.array([50.0])).per_keypoint.tolist() == [100, 0]


def test_a_keypoint_never_seen_is_nan_and_enters_no_mean():
    target = np.array([[[10.0, 10, 2], [0, 0, 0]], [[10, 10, 2], [9, 9, -1]]])
    result = pck(target, target, np.array([20.0, 20.0]))
    assert result.per_keypoint[0] == 100 and math.isnan(result.per_keypoint[1])
    assert result.mean == 100 and result.points.tolist() == [2, 0]
    assert math.isnan(pck(target[:, 1:], target[:, 1:], np.array([20.0, 20.0])).mean)


def test_a_prediction_of_nan_is_wrong_and_a_row_without_points_needs_no_box():
    target = np.array([[[10.0, 10, 2]], [[10, 10, 2]], [[0, 0, 0]]])
    pred = target[..., :2].copy()
    pred[0] = np.nan
    assert pck(pred, target, np.array([20.0, 20.0, 0.0])).mean == 50


def test_wrong_input_is_refused():
    pred, target, size = case()
    for bad in [
        (pred[:3], target, size),
        (pred, target[..., :2], size),
        (pred, target, size[:2]),
        (pred[0], target[0], 1),
    ]:
        with pytest.raises(ValueError, match="expected"):
            pck(*(np.asarray(b) for b in bad))
    target[3, 0, 2], size[3] = 2, 0
    with pytest.raises(ValueError, match=r"row 3 is 0\.0"):
        pck(pred, target, size)


def gaussian(x, y, sigma, h, w, stride=1.0):
    """Heat map over cells of ``stride`` pixels of a point at (x, y) pixels, drawn cell by cell."""
    rows = []
    for i in range(h):
        rows.append([])
        for j in range(w):
            dx, dy = (j + 0.5) * stride - x, (i + 0.5) * stride - y
            rows[-1].append(math.exp(-(dx**2 + dy**2) / (2 * (sigma * stride) ** 2)))
    return torch.tensor(rows)


@settings(max_examples=30, deadline=None)
@given(st.floats(2, 10), st.floats(2, 7), st.floats(0.8, 3), st.sampled_from([1, 4, 16]))
def test_a_gaussian_is_found_to_a_fraction_of_a_cell(x, y, sigma, stride):
    found = peaks(gaussian(x * stride, y * stride, sigma, 9, 12, stride)[None, None], stride)
    assert found.shape == (1, 1, 3)
    assert found[0, 0, :2].tolist() == pytest.approx([x * stride, y * stride], abs=0.01 * stride)


def test_every_map_has_its_own_peak_and_its_height():
    points = [[(3.3, 4.7, 0.9), (7.1, 2.2, 0.4)], [(6.0, 6.0, 0.7), (4.5, 3.5, 0.1)]]
    maps = torch.stack([torch.stack([v * gaussian(x, y, 1.5, 9, 11) for x, y, v in row]) for row in points])
    found = peaks(maps)
    for n in range(2):
        for k in range(2):
            assert found[n, k, :2].tolist() == pytest.approx(points[n][k][:2], abs=0.01)
            assert found[n, k, 2] == maps[n, k].max()


@pytest.mark.parametrize("cell", [(0, 0), (0, 6), (4, 0), (4, 6), (0, 3), (2, 6)])
def test_a_peak_at_the_border_stays_in_its_cell(cell):
    maps = torch.zeros(1, 1, 5, 7)
    maps[0, 0][cell] = 1
    x, y, height = peaks(maps, 4)[0, 0].tolist()
    assert (x, y, height) == ((cell[1] + 0.5) * 4, (cell[0] + 0.5) * 4, 1)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_any_map_gives_a_point_within_its_highest_cell(seed, signed):
    maps = torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(seed)) - (0.5 if signed else 0)
    maps = (maps * 4).round() / 4 if seed % 2 else maps  # with plateaus
    for sample, row in zip(maps, peaks(maps), strict=True):
        for heat, (x, y, height) in zip(sample, row.tolist(), strict=True):
            assert height == heat.max() and 0 <= x <= 6 and 0 <= y <= 5
            # On a cell's edge the point is as much its neighbour's, so look a little to every side.
            near = [(int(y + b), int(x + a)) for a in (-1e-4, 1e-4) for b in (-1e-4, 1e-4)]
            assert any(heat[min(max(i, 0), 4), min(max(j, 0), 5)] == height for i, j in near)


def test_a_flat_map_and_low_precision_are_fine():
    assert peaks(torch.zeros(1, 1, 3, 3))[0, 0].isfinite().all()
    half = peaks(gaussian(5.0, 4.0, 1.5, 9, 11)[None, None].bfloat16())
    assert half.dtype == torch.float32 and half[0, 0, :2].tolist() == pytest.approx([5, 4], abs=0.1)
