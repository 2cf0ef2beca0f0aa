import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tvf
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode

from coarseparts.data import transforms
from coarseparts.data.batches import Feed
from coarseparts.data.sample import Batch, are_no_parts, joined, no_parts
from coarseparts.data.store import Store
from coarseparts.data.synthetic import birds
from coarseparts.data.transforms import Augmentation, Preprocess, affine_matrix, augment, mirror, to_input, warp
from coarseparts.labels.schema import IGNORE, Schema

SCHEMA = Schema(
    parts=("left_eye", "right_eye", "beak", "tail"),
    mirror=(("left_eye", "right_eye"),),
    keypoints=("left_eye", "beak", "right_eye", "tail"),
    keypoint_mirror=(("left_eye", "right_eye"),),
)
PART_OF_KEYPOINT = (1, 3, 2, 4)
STILL = dict(flip=0.0, scale=(1.0, 1.0), rotation=0.0, shear=0.0, translation=0.0)
COLOURLESS = dict(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, grey=0.0)
few = settings(max_examples=25, deadline=None)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(seed: int = 0, size: int = 4, height: int = 24, width: int = 32) -> Batch:
    """Every label on every sample, all of it noise, with ignored pixels and all four values of v."""
    r = np.random.default_rng(seed)
    parts = r.choice([0, 1, 2, 3, 4, IGNORE], (size, height, width)).astype(np.uint8)
    xy = r.integers(0, 1024 * np.array([width, height]), (size, 4, 2)) / 1024
    v = r.choice([-1, 0, 1, 2], (size, 4, 1))
    corners = np.sort(r.integers(0, 1024 * np.array([width, height]), (size, 2, 2)) / 1024, axis=1)
    return Batch(
        image=torch.from_numpy(r.integers(0, 256, (size, 3, height, width)).astype(np.uint8)),
        parts=torch.from_numpy(parts),
        labels={
            "keypoints": torch.from_numpy(np.concatenate([np.where(v > 0, xy, 0), v], -1).astype(np.float32)),
            "mask": torch.from_numpy(r.integers(0, 256, (size, 1, height, width)).astype(np.uint8)),
            "box": torch.from_numpy(corners.reshape(size, 4).astype(np.float32)),
        },
        present={k: torch.ones(size, dtype=torch.bool) for k in ("parts", "keypoints", "mask", "box")},
        index=torch.arange(size),
    )


def discs(size: int = 3, side: int = 48, radius: float = 3.0, seed: int = 0) -> Batch:
    """Each keypoint in the middle of a disc of its own part, with a grain of its own in the middle of pixels."""
    batch, r = noise(seed, size, side, side), np.random.default_rng(seed)
    yy, xx = np.mgrid[:side, :side] + 0.5
    parts, points = np.zeros((size, side, side), np.uint8), np.zeros((size, 4, 3), np.float32)
    for n in range(size):
        for k, (cx, cy) in enumerate([(12, 12), (36, 12), (12, 36), (36, 36)]):
            x, y = np.array([cx, cy]) + r.uniform(-6, 6, 2)
            parts[n][np.hypot(xx - x, yy - y) <= radius] = PART_OF_KEYPOINT[k]
            points[n, k] = x, y, r.integers(1, 3)
    batch.parts = torch.from_numpy(parts)
    batch.labels["keypoints"] = torch.from_numpy(points)
    batch.labels["mask"] = (batch.parts[:, None] > 0).to(torch.uint8) * 255
    return batch


def everything(batch: Batch) -> dict[str, torch.Tensor]:
    return {
        "image": batch.image,
        "parts": batch.parts,
        "index": batch.index,
        **{f"label {k}": v for k, v in batch.labels.items()},
        **{f"present {k}": v for k, v in batch.present.items()},
    }


def assert_same(a: Batch, b: Batch) -> None:
    for name, value in everything(a).items():
        other = everything(b)[name]
        assert value.dtype == other.dtype and torch.equal(value, other), name


def one_matrix(batch, scale=1.0, rotation=0.0, shear=0.0, translation=(0.0, 0.0)):
    b, (h, w) = len(batch), batch.image.shape[-2:]
    return affine_matrix(
        torch.full((b,), scale),
        torch.full((b,), rotation),
        torch.full((b,), shear),
        torch.tensor(translation).expand(b, 2),
        (w, h),
    )


def no_flip(batch: Batch) -> torch.Tensor:
    return torch.zeros(len(batch), dtype=torch.bool)


# Mirroring


@few
@given(st.integers(0, 10_000), st.integers(1, 33), st.integers(1, 33))
def test_mirroring_twice_is_the_identity_to_the_bit(seed, height, width):
    batch = noise(seed, 3, height, width)
    assert_same(mirror(mirror(batch, SCHEMA), SCHEMA), batch)
    ready = to_input(batch)
    assert_same(mirror(mirror(ready, SCHEMA), SCHEMA), ready)


def test_mirroring_reverses_pixels_and_swaps_left_and_right():
    batch = noise(1)
    width = batch.image.shape[-1]
    flipped = mirror(batch, SCHEMA)
    assert np.array_equal(flipped.image.numpy(), batch.image.numpy()[..., ::-1])
    assert np.array_equal(flipped.labels["mask"].numpy(), batch.labels["mask"].numpy()[..., ::-1])
    swap = {0: 0, 1: 2, 2: 1, 3: 3, 4: 4, IGNORE: IGNORE}
    assert np.array_equal(flipped.parts.numpy(), np.vectorize(swap.get)(batch.parts.numpy()[..., ::-1]))
    for n in range(len(batch)):
        for k, other in enumerate((2, 1, 0, 3)):
            x, y, v = batch.labels["keypoints"][n, other].tolist()
            assert flipped.labels["keypoints"][n, k].tolist() == ([width - x, y, v] if v > 0 else [0, 0, v])
        x0, y0, x1, y1 = batch.labels["box"][n].tolist()
        assert flipped.labels["box"][n].tolist() == [width - x1, y0, width - x0, y1]


def test_mirroring_leaves_the_zeros_of_absent_labels():
    batch = noise(2)
    batch.present["box"][1] = batch.present["keypoints"][1] = False
    batch.labels["box"][1] = batch.labels["keypoints"][1] = 0
    flipped = mirror(batch, SCHEMA)
    assert not flipped.labels["box"][1].any() and not flipped.labels["keypoints"][1].any()


def test_only_the_samples_told_to_flip_are_flipped():
    batch = noise(3)
    flip = torch.tensor([True, False, False, True])
    mixed, plain = warp(batch, None, flip, SCHEMA), warp(batch, None, no_flip(batch), SCHEMA)
    turned = warp(mirror(batch, SCHEMA), None, no_flip(batch), SCHEMA)
    for name, value in everything(mixed).items():
        expected = [everything(turned if f else plain)[name][n] for n, f in enumerate(flip)]
        assert torch.equal(value, torch.stack(expected)), name


def test_a_flip_alone_resamples_nothing():
    batch = noise(4)
    options = Augmentation(**(STILL | COLOURLESS | {"flip": 1.0}))
    assert_same(augment(batch, SCHEMA, seeded(), options), to_input(mirror(batch, SCHEMA)))


def test_with_everything_off_augmentation_is_plain_preprocessing():
    batch = noise(5)
    assert_same(augment(batch, SCHEMA, seeded(), Augmentation(**(STILL | COLOURLESS))), to_input(batch))


# Labels stay with the image


@few
@given(st.integers(0, 2**31), st.floats(0.5, 1.0), st.floats(1.0, 2.0), st.floats(0, 180), st.floats(0, 0.3))
def test_a_keypoint_on_a_part_stays_on_it_under_any_augmentation(seed, low, high, rotation, translation):
    batch = discs(seed=seed % 97)
    options = Augmentation(flip=0.5, scale=(low, high), rotation=rotation, shear=10, translation=translation)
    out = augment(batch, SCHEMA, seeded(seed), options)
    side = out.image.shape[-1]
    for n in range(len(batch)):
        for k in range(4):
            x, y, v = out.labels["keypoints"][n, k].tolist()
            if v > 0:
                row, column = min(int(y), side - 1), min(int(x), side - 1)
                assert out.parts[n, row, column] == PART_OF_KEYPOINT[k]
                assert out.labels["mask"][n, 0, row, column] > 0.5
            else:
                assert (x, y, v) == (0, 0, 0)


@few
@given(st.floats(0.7, 1.4), st.floats(-180, 180), st.floats(-20, 20), st.floats(-6, 6), st.booleans())
def test_image_and_keypoints_move_together_to_a_thousandth_of_a_pixel(scale, rotation, shear, shift, flip):
    h, w = 120, 256
    batch = noise(0, 1, h, w)
    batch.image[:, 0] = torch.arange(w, dtype=torch.uint8)  # red says x - 0.5, green says y - 0.5
    batch.image[:, 1] = torch.arange(h, dtype=torch.uint8)[:, None]
    plain = Schema(parts=SCHEMA.parts, keypoints=SCHEMA.keypoints)
    matrix, flips = one_matrix(batch, scale, rotation, shear, (shift, -shift)), torch.tensor([flip])
    probes = [(60, 128), (50, 100), (70, 160), (80, 125)]
    image = warp(batch, matrix, flips, plain).image[0]
    colours = [image[:2, row, column].tolist() for row, column in probes]
    batch.labels["keypoints"] = torch.tensor([[[red + 0.5, green + 0.5, 2.0] for red, green in colours]])
    points = warp(batch, matrix, flips, plain).labels["keypoints"][0].tolist()
    compared = 0
    for (row, column), (red, green), (x, y, _) in zip(probes, colours, points, strict=True):
        if 1 < red < w - 2 and 1 < green < h - 2:  # the border is repeated: there colour no longer says the place
            assert abs(x - column - 0.5) < 1e-3 and abs(y - row - 0.5) < 1e-3
            compared += 1
    assert compared >= 2


@pytest.mark.parametrize("side", [17, 64, 256])
def test_the_identity_matrix_changes_nothing(side):
    batch = noise(6, 2, side, side + 3)
    moved, plain = warp(batch, one_matrix(batch), no_flip(batch), SCHEMA), to_input(batch)
    assert torch.equal(moved.parts, plain.parts)
    assert torch.equal(moved.labels["keypoints"], plain.labels["keypoints"])
    assert torch.allclose(moved.labels["mask"], plain.labels["mask"], atol=2e-4)
    assert torch.allclose(moved.image, batch.image.float(), atol=0.05)  # of 255: noise jumps by 255 a pixel


def test_a_shift_by_whole_pixels_is_a_shift_of_the_array():
    batch = noise(7)
    out = warp(batch, one_matrix(batch, translation=(5.0, -3.0)), no_flip(batch), SCHEMA)
    assert torch.equal(out.parts[:, :-3, 5:], batch.parts[:, 3:, :-5].long())
    assert torch.allclose(out.image[:, :, :-3, 5:], batch.image[:, :, 3:, :-5].float(), atol=0.05)
    # From outside: the image repeats its border, parts and mask are background.
    assert torch.allclose(out.image[:, :, :-3, :5], batch.image[:, :, 3:, :1].float().expand(-1, -1, -1, 5), atol=0.05)
    assert not out.parts[:, :, :5].any() and not out.parts[:, -3:].any()
    assert not out.labels["mask"][..., :5].any() and not out.labels["mask"][..., -3:, :].any()


def test_keypoints_that_leave_become_unlabelled_and_unannotated_ones_stay_so():
    batch = noise(8, 1)
    batch.labels["keypoints"] = torch.tensor([[[31.0, 12, 2], [5, 12, 1], [0, 0, -1], [0, 0, 0]]])
    out = warp(batch, one_matrix(batch, translation=(10.0, 0.0)), no_flip(batch), SCHEMA)
    assert out.labels["keypoints"].tolist() == [[[0, 0, 0], [15, 12, 1], [0, 0, -1], [0, 0, 0]]]
    flipped = augment(batch, SCHEMA, seeded(), Augmentation(flip=1.0, scale=(0.5, 0.6)))
    assert flipped.labels["keypoints"][0, :, 2].tolist() == [-1, 1, 2, 0]


@few
@given(st.integers(0, 2**31))
def test_unlabelled_parts_stay_ignored_and_ignored_pixels_stay_where_they_belong(seed):
    batch = noise(9, 2)
    batch.parts[0], batch.parts[1] = IGNORE, 2
    batch.parts[1, 8:16, 8:20] = IGNORE
    batch.present["parts"] = torch.tensor([False, True])
    out = augment(batch, SCHEMA, seeded(seed))
    assert (out.parts[0] == IGNORE).all() and out.parts.dtype == torch.int64
    assert set(out.parts[1].unique().tolist()) <= {0, 1, 2, IGNORE} and (out.parts[1] == IGNORE).any()


# torchvision v2 as an independent reference


@few
@given(st.floats(0.6, 1.6), st.floats(-180, 180), st.floats(-20, 20), st.integers(-6, 6), st.integers(-6, 6))
def test_agrees_with_torchvision_on_affine_maps(scale, rotation, shear, right, down):
    batch = noise(10, 1, 40, 56)
    batch.labels["keypoints"][..., 2] = 2
    batch.present["mask"][:] = False  # so that the box follows its corners, as torchvision's does
    matrix = one_matrix(batch, scale, rotation, shear, (float(right), float(down)))
    ours = warp(batch, matrix, no_flip(batch), SCHEMA)

    def theirs(value, interpolation=InterpolationMode.NEAREST):
        return tvf.affine(value, rotation, [right, down], scale, [shear, 0.0], interpolation=interpolation)

    inside = tvf.affine(
        torch.ones(1, 1, 40, 56), rotation, [right, down], scale, [shear, 0.0], InterpolationMode.BILINEAR
    )
    inside = inside[0, 0] > 1 - 1e-6  # torchvision fades to its fill value across the border
    image = theirs(tv_tensors.Image(batch.image.float()), InterpolationMode.BILINEAR)
    assert torch.allclose(ours.image[..., inside], image[..., inside], atol=0.1)  # of 255
    mask = theirs(batch.labels["mask"].float(), InterpolationMode.BILINEAR) / 255
    assert torch.allclose(ours.labels["mask"][..., inside], mask[..., inside], atol=1e-3)
    parts = theirs(tv_tensors.Mask(batch.parts))
    inverse = torch.linalg.inv(matrix[0, :, :2].double())
    at = torch.cartesian_prod(torch.arange(40.0), torch.arange(56.0)).flip(1).double() + 0.5 - matrix[0, :, 2]
    gap = (at @ inverse.T - (at @ inverse.T).round()).abs().amin(1).view(40, 56)
    clear = gap > 1e-3  # of the pixels' edges, where the nearest pixel may be either
    assert (ours.parts == parts)[0, clear].float().mean() > 0.995

    canvas = (40, 56)
    points = theirs(tv_tensors.KeyPoints(batch.labels["keypoints"][0, :, :2], canvas_size=canvas))
    for point, expected in zip(ours.labels["keypoints"][0], points, strict=True):
        if point[2] > 0:
            assert torch.allclose(point[:2], expected.as_subclass(torch.Tensor), atol=1e-3)
        else:
            assert expected[0] <= 0 or expected[0] >= 56 or expected[1] <= 0 or expected[1] >= 40
    box = theirs(tv_tensors.BoundingBoxes(batch.labels["box"], format="XYXY", canvas_size=canvas))
    if ours.present["box"]:
        assert torch.allclose(ours.labels["box"], box.as_subclass(torch.Tensor), atol=1e-2)


def test_agrees_with_torchvision_on_flips():
    batch = noise(11)
    h, w = batch.image.shape[-2:]
    plain = Schema(parts=SCHEMA.parts, keypoints=SCHEMA.keypoints)
    batch.labels["keypoints"][..., 2] = 2
    ours = mirror(batch, plain)
    flip = tvf.horizontal_flip
    assert torch.equal(ours.image, flip(tv_tensors.Image(batch.image)))
    assert torch.equal(ours.parts, flip(tv_tensors.Mask(batch.parts)))
    assert torch.equal(ours.labels["mask"], flip(tv_tensors.Mask(batch.labels["mask"])))
    box = flip(tv_tensors.BoundingBoxes(batch.labels["box"], format="XYXY", canvas_size=(h, w)))
    assert torch.equal(ours.labels["box"], box.as_subclass(torch.Tensor))
    # torchvision flips keypoints as pixel indices (centres at 0), though it turns them with centres at +0.5.
    points = tv_tensors.KeyPoints(batch.labels["keypoints"][..., :2] - 0.5, canvas_size=(h, w))
    assert torch.allclose(ours.labels["keypoints"][..., :2], flip(points).as_subclass(torch.Tensor) + 0.5)


def test_some_samples_are_moved_and_the_others_are_where_they_were():
    batch = noise(3, 400)
    still = {"scale": (1.0, 1.0), "rotation": 0.0, "shear": 0.0, "translation": 0.0}
    none = augment(batch, SCHEMA, seeded(1), Augmentation(**still))
    for chance, least, most in ((0.0, 0, 0), (0.5, 150, 250), (0.9999, 390, 400), (1.0, 400, 400)):
        out = augment(batch, SCHEMA, seeded(1), chance=chance)
        stayed = (out.parts == none.parts).flatten(1).all(1)
        assert least <= 400 - stayed.sum() <= most
        assert torch.allclose(out.image[stayed], none.image[stayed], atol=1e-4), "flipped and recoloured alike"
        assert torch.allclose(out.labels["keypoints"][stayed], none.labels["keypoints"][stayed], atol=1e-4)


def test_the_more_often_an_image_was_seen_the_more_often_it_is_moved():
    store = Store.from_arrays(birds.SCHEMA, **birds.render(20, size=32))
    options = Augmentation(flip=0.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, grey=0.0)
    feed = Feed(store, np.arange(20), 5, 0, augmentation=options)

    def moved(epoch: int) -> int:
        seen = joined(list(feed.epoch(epoch)))
        return int((seen.parts != store.batch(seen.index.numpy()).parts).flatten(1).any(1).sum())

    each = [moved(epoch) for epoch in (0, *range(8, 12), *range(20, 23))]
    assert each[0] <= 2 and 20 < sum(each[1:5]) < 60 and each[5:] == [20, 20, 20]
    assert sum(moved(epoch) for epoch in range(1, 5)) < sum(moved(epoch) for epoch in range(14, 18))
    feed.augmentation = options.model_copy(update={"ramp": 0.0})
    assert moved(0) == 20, "always all"


# Boxes


def test_a_box_with_a_mask_is_drawn_anew_around_the_moved_mask():
    batch = discs(4)
    out = augment(batch, SCHEMA, seeded(3))
    for n in range(4):
        rows, columns = np.nonzero(out.labels["mask"][n, 0].numpy() >= 0.5)
        assert out.labels["box"][n].tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_a_box_without_a_mask_is_scaled_and_shifted_but_never_turned():
    batch = noise(12, 32, 40, 40)
    batch.labels["box"] = torch.tensor([[16.0, 18, 22, 26]]).repeat(32, 1)
    batch.present["mask"] = torch.arange(32) % 2 == 0
    batch.labels["mask"][1::2] = 0
    batch.labels["keypoints"] = torch.tensor([[[16.0, 18, 2], [22, 18, 2], [16, 26, 2], [22, 26, 2]]]).repeat(32, 1, 1)
    plain = Schema(parts=SCHEMA.parts, keypoints=SCHEMA.keypoints)
    options = Augmentation(flip=0.0, scale=(0.8, 1.2), rotation=30.0, shear=10.0)
    out = augment(batch, plain, seeded(1), options)
    tilt = (out.labels["keypoints"][:, 0, 1] - out.labels["keypoints"][:, 1, 1]).abs()
    assert (tilt[0::2] > 1e-3).all() and (tilt[1::2] < 1e-4).all()
    for n in range(1, 32, 2):
        (x0, y0, _), _, _, (x1, y1, _) = out.labels["keypoints"][n].tolist()
        assert out.labels["box"][n].tolist() == pytest.approx([x0, y0, x1, y1], abs=1e-3)
        assert 0.8 <= (x1 - x0) / 6 <= 1.2 and (y1 - y0) / 8 == pytest.approx((x1 - x0) / 6, abs=1e-4)


def test_a_box_is_cut_off_at_the_frame_and_gone_when_outside():
    batch = noise(13, 2, 20, 20)
    batch.present["mask"][:] = False
    batch.labels["box"] = torch.tensor([[2.0, 3, 12, 9], [12, 3, 18, 9]])
    out = warp(batch, one_matrix(batch, translation=(10.0, 0.0)), no_flip(batch), SCHEMA)
    assert torch.allclose(out.labels["box"], torch.tensor([[12.0, 3, 20, 9], [0, 0, 0, 0]]), atol=1e-4)
    assert out.present["box"].tolist() == [True, False] and batch.present["box"].all()


# Colour


def in_between() -> Batch:
    """Colours far enough from black and white that nothing is cut off."""
    batch = noise(14, 8)
    batch.image = (90 + batch.image.float() * 70 / 255).to(torch.uint8)
    return batch


def recoloured(**options: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Colours 0..255 before and after, nothing moved; the preprocessing given leaves them readable."""
    batch = in_between()
    plain = Preprocess(mean=(0, 0, 0), std=(1, 1, 1))
    out = augment(batch, SCHEMA, seeded(5), Augmentation(**(STILL | COLOURLESS | options)), plain)
    return batch.image.float(), out.image * 255


def luma(image: torch.Tensor) -> torch.Tensor:
    return tvf.rgb_to_grayscale(image)


def test_brightness_multiplies():
    before, after = recoloured(brightness=0.3)
    factor = (after / before).flatten(1)
    assert torch.allclose(factor, factor[:, :1].expand_as(factor), atol=1e-4)
    assert ((factor - 1).abs() <= 0.3).all() and factor[:, 0].std() > 0.05


def test_contrast_stretches_about_the_mean_grey_as_torchvision_does():
    before, after = recoloured(contrast=0.3)
    for x, y in zip(before, after, strict=True):
        factor = float((y[0].max() - y[0].min()) / (x[0].max() - x[0].min()))
        assert 0.7 <= factor <= 1.3
        assert torch.allclose(y / 255, tvf.adjust_contrast(x / 255, factor), atol=1e-3)


def test_saturation_and_hue_keep_the_luma():
    before, after = recoloured(saturation=0.5, hue=20.0)
    assert not torch.allclose(before, after, atol=2)
    assert torch.allclose(luma(before), luma(after), atol=0.1)


def test_grey_is_grey():
    before, after = recoloured(grey=1.0)
    assert torch.allclose(after, luma(before).expand_as(after), atol=0.1)


@few
@given(st.integers(0, 2**31))
def test_colours_stay_within_what_an_image_can_hold(seed):
    preprocess = Preprocess(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    options = Augmentation(brightness=0.9, contrast=0.9, saturation=0.9, hue=180)
    out = augment(noise(15), SCHEMA, seeded(seed), options, preprocess).image
    mean, std = torch.tensor(preprocess.mean).view(3, 1, 1), torch.tensor(preprocess.std).view(3, 1, 1)
    values = out * std + mean
    assert values.min() >= -1e-5 and values.max() <= 1 + 1e-5 and out.isfinite().all()


# The rest of the contract


def test_a_seed_fixes_everything_and_the_given_batch_is_left_alone():
    batch, untouched = noise(16), noise(16)
    first, again, other = (augment(batch, SCHEMA, seeded(s)) for s in (1, 1, 2))
    assert_same(first, again)
    assert not torch.equal(first.image, other.image)
    assert_same(batch, untouched)


def test_samples_changed_a_few_at_a_time_are_changed_alike(monkeypatch):
    whole = augment(noise(size=5), SCHEMA, seeded(3))
    monkeypatch.setattr(transforms, "_CACHED", 2 * 24 * 32)
    pieces = augment(noise(size=5), SCHEMA, seeded(3))
    assert_same(whole, pieces)
    assert pieces.image.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("options", [Augmentation(), Augmentation(**STILL)])
def test_samples_without_part_masks_take_no_work_for_them(monkeypatch, options):
    monkeypatch.setattr(transforms, "_CACHED", 2 * 24 * 32)
    there = noise(size=5)
    there.present["parts"][:] = False
    there.parts[:] = IGNORE
    nothing = replace(there, parts=no_parts((5, 24, 32)))
    a, b = augment(there, SCHEMA, seeded(3), options), augment(nothing, SCHEMA, seeded(3), options)
    assert_same(a, b)
    assert are_no_parts(b.parts) and not are_no_parts(a.parts) and a.parts.dtype == b.parts.dtype
    assert all(are_no_parts(some.parts) for some in (nothing[1:4], nothing[torch.tensor([4, 0])], nothing.to("meta")))
    assert nothing[torch.tensor([4, 0])].parts.shape == (2, 24, 32)
    assert are_no_parts(to_input(nothing).parts) and are_no_parts(mirror(nothing, SCHEMA).parts)


def test_types_and_shapes_of_network_input():
    batch = noise(17)
    layouts = torch.contiguous_format, torch.channels_last
    for out, layout in zip((to_input(batch), augment(batch, SCHEMA, seeded())), layouts, strict=True):
        assert out.image.is_contiguous(memory_format=layout)
        assert out.image.dtype == out.labels["mask"].dtype == out.labels["keypoints"].dtype == torch.float32
        assert out.parts.dtype == torch.int64
        assert {k: v.shape for k, v in everything(out).items()} == {k: v.shape for k, v in everything(batch).items()}
        assert 0 <= out.labels["mask"].min() and out.labels["mask"].max() <= 1


def test_labels_may_be_missing_from_the_batch():
    batch = noise(18)
    batch.labels, batch.present = {}, {"parts": batch.present["parts"]}
    out = augment(batch, Schema(parts=SCHEMA.parts), seeded())
    assert out.labels == {} and list(out.present) == ["parts"]


def test_a_schema_without_keypoints_is_fine():
    batch = noise(19)
    batch.labels["keypoints"] = torch.zeros(4, 0, 3)
    out = augment(batch, Schema(parts=SCHEMA.parts, mirror=SCHEMA.mirror), seeded())
    assert out.labels["keypoints"].shape == (4, 0, 3)


def test_autocast_does_not_coarsen_where_things_go():
    batch = noise(20)
    plain = augment(batch, SCHEMA, seeded(1))
    with torch.autocast("cpu", torch.bfloat16):
        assert_same(augment(batch, SCHEMA, seeded(1)), plain)


def test_the_draws_cover_the_ranges_asked_for():
    batch = noise(21, 400, 16, 16)
    batch.present["box"][:] = False
    batch.labels["keypoints"] = torch.tensor([[[8.0, 8, 2], [10, 8, 2], [8, 10, 2], [0, 0, 0]]]).repeat(400, 1, 1)
    plain = Schema(parts=SCHEMA.parts, keypoints=SCHEMA.keypoints)
    options = Augmentation(flip=0.0, scale=(0.5, 2.0), rotation=20.0, shear=0.0, translation=0.1)
    points = augment(batch, plain, seeded(), options).labels["keypoints"]
    centre, arm = points[:, 0, :2], points[:, 1, :2] - points[:, 0, :2]
    zoom, angle = arm.norm(dim=1) / 2, torch.rad2deg(torch.atan2(arm[:, 1], arm[:, 0]))
    for value, low, high in [(zoom, 0.5, 2.0), (angle, -20, 20), (centre[:, 0] - 8, -1.6, 1.6)]:
        margin = 0.03 * (high - low)
        assert low - 1e-3 <= value.min() <= low + margin and high - margin <= value.max() <= high + 1e-3
    assert abs(float(zoom.log().mean())) < 0.1  # as often twice as large as half as large


def test_preprocessing_goes_through_json():
    preprocess = Preprocess(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    assert Preprocess.model_validate_json(preprocess.model_dump_json()) == preprocess
    batch = noise(22)
    expected = (batch.image.numpy() / 255 - np.reshape(preprocess.mean, (3, 1, 1))) / np.reshape(
        preprocess.std, (3, 1, 1)
    )
    assert np.allclose(to_input(batch, preprocess).image.numpy(), expected, atol=1e-5)


def test_what_is_transformed_already_is_refused():
    batch = to_input(noise(23))
    for again in (
        lambda: to_input(batch),
        lambda: augment(batch, SCHEMA, seeded()),
        lambda: warp(batch, None, no_flip(batch), SCHEMA),
    ):
        with pytest.raises(TypeError, match="uint8"):
            again()


@pytest.mark.parametrize(
    "wrong",
    [{"scale": (1.2, 0.8)}, {"scale": (0, 1)}, {"flip": 1.5}, {"rotation": -1}, {"scale": (1, math.inf)}, {"x": 1}],
)
def test_senseless_options_are_refused(wrong):
    with pytest.raises(ValidationError):
        Augmentation(**wrong)
    with pytest.raises(ValidationError, match="above 0"):
        Preprocess(std=(0, 1, 1))
