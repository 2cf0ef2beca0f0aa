"""Crop and back: nothing moves, not even by half a pixel."""

import numpy as np
import pytest

from coarseparts.data.crops import crop_and_resize, square_crop
from coarseparts.data.loading import object_crop, with_parts
from coarseparts.data.sample import Sample
from coarseparts.labels.part_maps import ExclusiveMaps
from coarseparts.labels.uncrop import uncrop, uncrop_largest


def disc(width, height, cx, cy, radius, step=8):
    """(H, W) share of each pixel that a disc covers, by ``step`` x ``step`` points per pixel."""
    x = (np.arange(width * step) + 0.5) / step
    y = (np.arange(height * step) + 0.5) / step
    inside = (x[None] - cx) ** 2 + (y[:, None] - cy) ** 2 <= radius**2
    return inside.reshape(height, step, width, step).mean((1, 3))


def one_hot(parts, count):
    return (np.arange(count)[:, None, None] == parts).astype(np.float32)


def centroid(weights):
    y, x = np.indices(weights.shape) + 0.5
    return np.array([(x * weights).sum(), (y * weights).sum()]) / weights.sum()


def make(width=90, height=60, centre=(40.3, 30.7), radius=12, crop=(20, 12, 62, 50)):
    cover = disc(width, height, *centre, radius)
    return Sample(
        name="disc",
        image=np.repeat((cover * 255).round().astype(np.uint8)[..., None], 3, 2),
        parts=(cover > 0.5).astype(np.uint8) * 3,
        labels={
            "mask": (cover * 255).round().astype(np.uint8),
            "keypoints": np.array([[*centre, 2], [1, 1, 2], [5, 5, 0], [0, 0, -1]], np.float32),
            "box": np.array([centre[0] - 12, centre[1] - 12, centre[0] + 12, centre[1] + 12], np.float32),
        },
        crop=None if crop is None else np.array(crop, np.float32),
    )


@pytest.mark.parametrize("size", [16, 31, 42, 100])
@pytest.mark.parametrize("crop", [(20, 12, 62, 50), (20.3, 11.6, 60.1, 51.9), (-9, 5, 70, 66), None])
def test_image_masks_keypoints_and_box_stay_on_each_other(size, crop):
    out = crop_and_resize(make(crop=crop), size, ExclusiveMaps(4))
    scale = size / (out["crop"][2] - out["crop"][0])
    keypoint, tolerance = out["keypoints"][0], 0.1 * max(1, scale)
    assert keypoint[2] == 2
    np.testing.assert_allclose(keypoint[:2], (np.array([40.3, 30.7]) - out["crop"][:2]) * scale, atol=1e-4)
    np.testing.assert_allclose(centroid(out["mask"].astype(float)), keypoint[:2], atol=tolerance)
    np.testing.assert_allclose(centroid(out["image"][..., 1].astype(float)), keypoint[:2], atol=tolerance)
    np.testing.assert_allclose((out["box"][:2] + out["box"][2:]) / 2, keypoint[:2], atol=1e-3)
    np.testing.assert_allclose(out["mask"].sum() / 255 / scale**2, np.pi * 12**2, rtol=0.02)


@pytest.mark.parametrize("size", [24, 42, 97])
def test_there_and_back(size):
    """The edge of a part is rounded to whole pixels, so single centroids scatter; over many places of the pixel grid
    the mean must not: a shift by half a pixel, of either size, would show as 0.5 or more."""
    rng = np.random.default_rng(size)
    forth, there, mask = [], [], []
    for _ in range(30):
        x0, y0 = rng.uniform(-5, 15, 2)
        side, centre = rng.uniform(50, 60), rng.uniform(25, 35, 2)
        sample = make(centre=centre, crop=(x0, y0, x0 + side, y0 + side), radius=9)
        original = centroid((sample.parts == 3) * 1.0)
        out = crop_and_resize(sample, size, ExclusiveMaps(4))
        scale = size / side
        forth.append(centroid((out["parts"] == 3) * 1.0) / scale + (x0, y0) - original)
        back = uncrop_largest(one_hot(out["parts"], 4), out["crop"], (90, 60))
        assert back.shape == (60, 90) and back.dtype == np.uint8 and set(np.unique(back)) == {0, 3}
        there.append(centroid((back == 3) * 1.0) - original)
        back = uncrop(out["mask"][None] / np.float32(255), out["crop"], (90, 60))
        assert back.shape == (1, 60, 90) and back.dtype == np.float32
        mask.append(centroid(back[0]) - centre)
    pixel = max(1, 50 / size)  # the larger of the two kinds of pixel
    for errors in (forth, there):
        assert np.abs(errors).max() < pixel / 2, "a single one"
        assert np.abs(np.mean(errors, 0)).max() < 0.1, "on average"
    assert np.abs(mask).max() < 0.05, "soft masks are not rounded to pixels"


def test_a_crop_at_the_images_own_scale_is_a_cut():
    rng = np.random.default_rng(0)
    image, parts = rng.integers(0, 256, (20, 30, 3)).astype(np.uint8), rng.integers(0, 5, (20, 30)).astype(np.uint8)
    mask = rng.integers(0, 256, (20, 30)).astype(np.uint8)
    sample = Sample("cut", image, parts, {"mask": mask}, np.array([5, 4, 17, 16]))
    out = crop_and_resize(sample, 12, ExclusiveMaps(4))
    np.testing.assert_array_equal(out["image"], image[4:16, 5:17])
    np.testing.assert_array_equal(out["parts"], parts[4:16, 5:17])
    np.testing.assert_array_equal(out["mask"], mask[4:16, 5:17])
    back = uncrop_largest(one_hot(out["parts"], 5), out["crop"], (30, 20))
    np.testing.assert_array_equal(back[4:16, 5:17], parts[4:16, 5:17])
    back[4:16, 5:17] = 0
    assert not back.any(), "background beyond the crop"


def test_a_large_probability_map_is_put_back_in_strips_without_seams():
    rng = np.random.default_rng(1)
    probabilities = rng.random((3, 9, 9)).astype(np.float32)
    crop = np.array([3, -20, 603, 580], np.float32)
    back = uncrop_largest(probabilities, crop, (400, 600))
    expected = uncrop(probabilities, crop, (400, 600)).argmax(0)
    np.testing.assert_array_equal(back, expected)


def test_beyond_the_image():
    sample = Sample(
        "corner",
        image=np.full((10, 10, 3), 200, np.uint8),
        parts=np.full((10, 10), 2, np.uint8),
        labels={"mask": np.full((10, 10), 255, np.uint8)},
        crop=np.array([-5, -5, 5, 5]),
    )
    out = crop_and_resize(sample, 10, ExclusiveMaps(4))
    assert (out["image"] == 200).all(), "the border is repeated"
    inside = np.zeros((10, 10), bool)
    inside[5:, 5:] = True
    np.testing.assert_array_equal(out["parts"], np.where(inside, 2, 0))
    np.testing.assert_array_equal(out["mask"], np.where(inside, 255, 0))
    assert out["keypoints"] is None and out["box"] is None


def test_parts_by_area():
    parts = np.zeros((8, 8), np.uint8)
    parts[0:2, 0:2] = 1  # half of the 4 x 4 block is 4: 1 (4 pixels), 0 (4 pixels), 4 (8 pixels)
    parts[2:4, 0:4] = 4
    parts[0, 4:8] = parts[2, 4:8] = 3  # a tie between 0 and 3
    parts[4:8, 0:4] = 255
    parts[5:7, 5:8] = 2  # an eye-like spot that point sampling at a coarse grid may miss: 6 of 16
    parts[4, 4:8] = 1
    image = np.zeros((8, 8, 3), np.uint8)
    small = crop_and_resize(Sample("a", image, parts), 2, ExclusiveMaps(4))["parts"]
    np.testing.assert_array_equal(small, [[4, 0], [255, 0]])
    parts[7, 5:8] = 2
    assert crop_and_resize(Sample("a", image, parts), 2, ExclusiveMaps(4))["parts"][1, 1] == 2


def test_the_aspect_ratio_is_kept():
    np.testing.assert_allclose(square_crop(None, 90, 60), [0, -15, 90, 75])
    np.testing.assert_allclose(square_crop(np.array([10, 10, 20, 50]), 90, 60), [-5, 10, 35, 50])


def test_keypoints_and_boxes_at_the_border():
    sample = make()
    sample.labels["keypoints"] = np.array(
        [[20, 10, 1], [61.9, 51.9, 2], [62, 30, 2], [19.9, 30, 2], [9, 9, -1]], np.float32
    )
    sample.crop = np.array([20, 10, 62, 52])
    sample.labels["box"] = np.array([0, 20, 41, 80], np.float32)
    out = crop_and_resize(sample, 84, ExclusiveMaps(4))
    np.testing.assert_allclose(
        out["keypoints"], [[0, 0, 1], [83.8, 83.8, 2], [0, 0, 0], [0, 0, 0], [0, 0, -1]], atol=1e-4
    )
    np.testing.assert_allclose(out["box"], [0, 20, 42, 84])
    sample.labels["box"] = np.array([0, 0, 19, 9], np.float32)
    assert crop_and_resize(sample, 84, ExclusiveMaps(4))["box"] is None


@pytest.mark.parametrize(
    "crop, message",
    [
        ((5, 5, 5, 9), "empty"),
        ((0, 0, np.nan, 9), "not finite"),
        ((100, 0, 120, 20), "outside"),
        ((-900, -900, 900, 900), "far larger"),
    ],
)
def test_impossible_crops_are_refused(crop, message):
    with pytest.raises(ValueError, match=message):
        square_crop(np.array(crop), 90, 60)


def test_uncropped_probabilities_are_interpolated_and_then_compared() -> None:
    random = np.random.default_rng(0)
    coarse = random.random((5, 9, 9)).repeat(3, 1).repeat(3, 2)  # patches in which one class is the largest
    prediction = (coarse + 0.1 * random.random((5, 27, 27))).astype(np.float32)
    crop, native = np.array([-3.5, 2.25, 57.0, 62.75], np.float32), (70, 61)
    whole = uncrop(prediction, crop, native)
    found = uncrop_largest(prediction, crop, native)
    assert np.array_equal(found, whole.argmax(0)) and len(np.unique(found)) == 5


def test_a_crop_around_keypoints_cuts_no_part_off():
    parts = np.zeros((100, 100), np.uint8)
    parts[20:30, 10:90] = 1
    keypoints = np.array([[15, 25, 2], [30, 25, 2], [45, 25, 2], [0, 0, 0]], np.float32)
    crop = object_crop((100, 100), 0, keypoints=keypoints, parts=parts)
    whole = with_parts(crop, parts, 0)
    assert crop[2] < 60 and whole[2] == 90 and whole[0] == min(crop[0], 10) and whole[1] == crop[1]
    assert with_parts(crop, np.zeros_like(parts), 0) is crop
