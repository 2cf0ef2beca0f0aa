"""Synthetic aircraft: the same whatever the batch, parts that overlap and lie where they are drawn, noisy labels."""

from __future__ import annotations

import numpy as np
import pytest

from coarseparts.data.synthetic import WORLDS
from coarseparts.data.synthetic.aircraft import SCHEMA, render

SIZE, N = 64, 80


@pytest.fixture(scope="module")
def made() -> dict[str, np.ndarray]:
    return render(N, size=SIZE, seed=2)


def test_shapes_types_and_ranges(made: dict[str, np.ndarray]) -> None:
    shapes = {"image": (N, SIZE, SIZE, 3), "keypoints": (N, len(SCHEMA.keypoints), 3), "box": (N, 4)}
    shapes |= dict.fromkeys(("parts", "noisy_parts", "mask"), (N, SIZE, SIZE))
    assert {name: array.shape for name, array in made.items()} == shapes
    for name, array in made.items():
        assert array.dtype == (np.float32 if name in ("keypoints", "box") else np.uint8), name
    assert SCHEMA.overlapping and made["parts"].max() < 1 << len(SCHEMA.parts) > made["noisy_parts"].max()
    assert set(np.unique(made["mask"])) == {0, 255}
    assert WORLDS["aircraft"].schema is SCHEMA


def test_an_image_depends_on_its_number_alone(made: dict[str, np.ndarray]) -> None:
    some = render(5, size=SIZE, seed=2, first=17, chunk=2)
    for name, array in made.items():
        np.testing.assert_array_equal(some[name], array[17:22], err_msg=name)
    assert (render(5, size=SIZE, seed=3, first=17)["image"] != some["image"]).any((1, 2, 3)).all()
    assert not render(0, size=SIZE)["image"].size


def test_parts_overlap_and_leave_the_fuselage_out(made: dict[str, np.ndarray]) -> None:
    bits, inside = made["parts"], made["mask"] > 0
    assert not bits[~inside].any(), "parts lie within the aircraft"
    twice = bits & (bits - np.minimum(bits, 1)) != 0
    assert 0.3 < twice.any((1, 2)).mean() < 0.9, "in many images two parts share a pixel"
    assert 0.2 < (bits[inside] > 0).mean() < 0.7, "the fuselage belongs to none"
    for index, name in enumerate(SCHEMA.parts, 1):
        shown = SCHEMA.shows(bits, index).sum((1, 2))
        assert (shown > 0).mean() > 0.6 and np.median(shown[shown > 0]) > 8, name
    wheel = SCHEMA.shows(bits, SCHEMA.parts.index("wheel") + 1)
    assert (~wheel.any((1, 2))).any(), "some have retracted theirs"


def test_boxes_and_keypoints_fit_the_masks(made: dict[str, np.ndarray]) -> None:
    for mask, box, points in zip(made["mask"] > 0, made["box"], made["keypoints"], strict=True):
        ys, xs = np.nonzero(mask)
        assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        for x, y, v in points:
            assert v in (0, 2) and (not v or mask[int(y), int(x)])
    assert (made["keypoints"][..., 2] == 2).mean() > 0.5


def test_aircraft_face_both_ways(made: dict[str, np.ndarray]) -> None:
    nose = SCHEMA.shows(made["parts"], SCHEMA.parts.index("nose") + 1)
    tail = SCHEMA.shows(made["parts"], SCHEMA.parts.index("vertical stabilizer") + 1)
    x = np.arange(SIZE)
    left = (nose * x).sum((1, 2)) / nose.sum((1, 2)) < (tail * x).sum((1, 2)) / tail.sum((1, 2)).clip(1)
    assert 0.25 < left.mean() < 0.75


def test_noisy_labels_differ_but_mean_the_same(made: dict[str, np.ndarray]) -> None:
    agreement = []
    for index, name in enumerate(SCHEMA.parts, 1):
        clean, noisy = (SCHEMA.shows(made[key], index) for key in ("parts", "noisy_parts"))
        shown = clean.any((1, 2))
        iou = (clean & noisy).sum((1, 2))[shown] / (clean | noisy).sum((1, 2))[shown]
        assert 0.4 < iou.mean() < 0.9, name
        agreement.append((clean == noisy).all((1, 2)))
    assert np.mean(np.all(agreement, 0)) < 0.25, "few images are free of noise"


def test_numbers_that_make_no_sense_are_refused() -> None:
    for wrong in ({"count": -1}, {"size": 8}, {"seed": -1}, {"first": -1}, {"chunk": 0}):
        with pytest.raises(ValueError, match="must be"):
            render(**{"count": 1, **wrong})
