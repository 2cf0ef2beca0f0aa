"""All synthetic worlds: reproducible image by image, whatever is drawn beside it, boxes tight around what is seen."""

import numpy as np
import pytest
import torch

from coarseparts.data.synthetic import WORLDS

MAPS = {"birds": ("parts", "mask"), "aircraft": ("parts", "noisy_parts", "mask")}


@pytest.fixture(params=WORLDS)
def name(request) -> str:
    return request.param


@pytest.fixture
def render(name):
    return WORLDS[name].render


def test_types_and_shapes(name, render):
    kinds = {k: (v.shape, v.dtype) for k, v in render(3, size=40).items()}
    assert kinds == {
        "image": ((3, 40, 40, 3), np.uint8),
        **dict.fromkeys(MAPS[name], ((3, 40, 40), np.uint8)),
        "keypoints": ((3, len(WORLDS[name].schema.keypoints), 3), np.float32),
        "box": ((3, 4), np.float32),
    }
    assert render(0, size=40)["image"].shape == (0, 40, 40, 3)


@pytest.mark.parametrize("chunk", [1, 3, 20])
def test_an_image_depends_on_its_number_alone(render, chunk):
    whole = render(12, size=40, seed=3)
    again = render(12, size=40, seed=3, chunk=chunk)
    later = render(5, size=40, seed=3, first=7, chunk=chunk)
    for key in whole:
        np.testing.assert_array_equal(whole[key], again[key], err_msg=key)
        np.testing.assert_array_equal(whole[key][7:], later[key], err_msg=key)


def test_seeds_and_numbers_give_different_images(render):
    images = render(4, size=32, seed=1)["image"]
    assert len({image.tobytes() for image in images}) == 4
    assert (images != render(4, size=32, seed=2)["image"]).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("name, least", [("birds", 0.93), ("aircraft", 0.95)])
def test_size_changes_the_resolution_only(name, render, least):
    small, large = render(12, size=48, seed=5), render(12, size=96, seed=5)
    for key in MAPS[name]:
        assert (small[key] == large[key][:, ::2, ::2]).mean() > least, key
    both = (small["keypoints"][..., 2] == 2) & (large["keypoints"][..., 2] == 2)
    assert np.abs(2 * small["keypoints"] - large["keypoints"])[both][:, :2].max() < 0.01


def test_the_number_of_threads_is_left_as_it_was(render):
    before = torch.get_num_threads()
    render(2, size=32)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("wrong", [{"count": -1}, {"seed": -1}, {"first": -2}, {"chunk": 0}, {"size": 8}])
def test_numbers_that_make_no_sense_are_refused(render, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        render(**{"count": 1, **wrong})


def assert_boxes_tight(world: dict[str, np.ndarray], least: float, most: float) -> None:
    """Each box ends where its mask does; nine in ten are longer than ``least`` of the frame, none than ``most``."""
    longest = []
    for mask, box in zip(world["mask"] > 0, world["box"], strict=True):
        x0, y0, x1, y1 = box.astype(int)
        inside = mask[y0:y1, x0:x1]
        assert inside.sum() == mask.sum()
        assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()
        longest.append(max(x1 - x0, y1 - y0) / mask.shape[0])
    assert np.quantile(longest, 0.1) > least and max(longest) <= most
