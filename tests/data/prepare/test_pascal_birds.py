"""Appendix A's steps, one by one, and on real birds."""

import shutil

import numpy as np
import pytest
from PIL import Image
from real_data import SHARED, needs_shared
from scipy.io import loadmat

from coarseparts.data.prepare import pascal_birds
from coarseparts.data.prepare.pascal_birds import (
    Rules,
    bird_items,
    draw,
    funnel,
    judge,
    mostly_head,
    split_birds,
)
from coarseparts.data.prepare.pascal_part import PascalObject, read_pascal_part
from coarseparts.data.synthetic.anatomy import PARTS

EXAMPLES = SHARED / "data" / "pascal_part_examples"
SIZE = (300, 200)  # width, height


def area(x0, y0, x1, y1):
    mask = np.zeros(SIZE[::-1], bool)
    mask[y0:y1, x0:x1] = True
    return mask


def bird(x0=100, y0=60, x1=200, y1=140, category="bird", parts=("torso",)):
    return PascalObject(category, area(x0, y0, x1, y1), tuple((name, area(x0, y0, x1, y1)) for name in parts))


def test_the_margin_is_twenty_pixels_and_ends_at_the_image():
    assert judge(bird(), [], Rules())[:2] == ("kept", (80, 40, 220, 160))
    assert judge(bird(5, 60, 200, 190), [], Rules())[1] == (0, 40, 220, 200)


@pytest.mark.parametrize("x, outcome", [(219, "others"), (220, "kept")])
def test_another_instance_in_the_crop_be_it_one_pixel(x, outcome):
    other = PascalObject("person", area(x, 150, x + 30, 190), ())
    assert judge(bird(), [other], Rules())[0] == outcome


@pytest.mark.parametrize(
    "found, outcome",
    [
        (bird(category="cat"), "class"),
        (bird(parts=()), "unlabelled"),
        (bird(100, 60, 140, 160), "small"),  # 80 wide with its margins
        (bird(100, 60, 141, 160), "kept"),
        (bird(100, 60, 200, 100), "small"),
        (bird(100, 60, 200, 101), "kept"),
    ],
)
def test_each_step(found, outcome):
    assert judge(found, [], Rules())[0] == outcome


def test_the_order_of_the_steps_is_the_papers():
    """What fails several steps is counted at the first."""
    other = bird(150, 60, 160, 70)
    assert judge(bird(category="cat", parts=()), [other], Rules())[0] == "others"
    assert judge(bird(category="cat", parts=()), [], Rules())[0] == "class"
    assert judge(bird(100, 60, 110, 70, parts=()), [], Rules())[0] == "unlabelled"
    assert funnel(["kept", "others", "head", "kept", "class"]) == [
        ("objects", 0, 5),
        (pascal_birds.STEPS["others"], 1, 4),
        (pascal_birds.STEPS["class"], 1, 3),
        (pascal_birds.STEPS["unlabelled"], 0, 3),
        (pascal_birds.STEPS["small"], 0, 3),
        (pascal_birds.STEPS["head"], 1, 2),
    ]


@pytest.mark.parametrize("torso, dropped", [(94, True), (95, True), (96, False)])
def test_mostly_head_is_a_ratio_of_at_most_095(torso, dropped):
    parts = np.zeros((20, 20), np.uint8)
    parts.ravel()[:100] = PARTS.index("head") + 1
    parts.ravel()[100 : 100 + torso] = PARTS.index("torso") + 1
    assert mostly_head(parts, "torso") == dropped
    parts.ravel()[300:310] = PARTS.index("left_wing") + 1
    assert mostly_head(parts, "torso") == dropped and not mostly_head(parts, "rest")
    assert not mostly_head(np.where(parts == PARTS.index("head") + 1, 0, parts), "torso"), "no head, no close-up"


def test_thirteen_names_become_ten_and_the_smaller_part_is_on_top():
    whole = np.ones((8, 8), bool)
    small = np.zeros((8, 8), bool)
    small[2, 3] = True
    for name, part in pascal_birds.PART_OF.items():
        parts = draw([(name, small), ("torso", whole)], (8, 8))
        assert parts[2, 3] == PARTS.index(part) + 1 and (parts == PARTS.index("torso") + 1).sum() >= 63
    assert len(pascal_birds.PART_OF) == 13 and set(pascal_birds.PART_OF.values()) == set(PARTS)


def test_a_neck_alone_is_no_part_where_it_is_dropped():
    assert judge(bird(parts=("neck",)), [], Rules("drop"))[0] == "unlabelled"
    with pytest.raises(ValueError, match="unknown part elbow"):
        judge(bird(parts=("elbow",)), [], Rules())


def test_half_of_the_other_crops_validate():
    crops = {f"p{i:03d}": [f"p{i:03d}-{j}" for j in range(1, 2 + (i % 5 == 0))] for i in range(200)}
    train = {f"p{i:03d}" for i in range(0, 200, 2)}
    for seed in range(5):
        splits = split_birds(crops, train, seed)
        counts = [list(splits.values()).count(split) for split in ("train", "val", "test")]
        assert counts == [120, 60, 60] and splits == split_birds(crops, train, seed)
        assert all(len({splits[name] for name in names}) == 1 for names in crops.values())


@needs_shared
def test_real_birds_through_the_funnel(tmp_path):
    (tmp_path / "JPEGImages").mkdir()
    for path in EXAMPLES.glob("*.jpg"):
        shutil.copyfile(path, tmp_path / "JPEGImages" / path.name)
    made = {item.name: item.make() for item in bird_items(tmp_path, EXAMPLES, Rules())}
    assert len(made) == 18 and not any(one.problems for one in made.values())
    outcomes = [outcome for one in made.values() for outcome in one.facts["outcomes"]]
    # One gull of 20 x 23 pixels, and three birds that stand in one another's way.
    assert made["pascal/2008_001978"].facts == {"outcomes": ["small"], "birds": 1}
    assert made["pascal/2010_005511"].facts == {"outcomes": ["others"] * 3, "birds": 3}
    assert [row[1:] for row in funnel(outcomes)] == [(0, 53), (41, 12), (11, 1), (0, 1), (1, 0), (0, 0)]


@needs_shared
@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_masks_of_real_birds_lie_where_the_file_has_them(number):
    """Against the file read in another way: no flip, no shift, no wrong name."""
    path = EXAMPLES / "2010_005511.mat"
    found = read_pascal_part(path)[number - 1]
    outcome, (x0, y0, x1, y1), parts = judge(found, [], Rules())
    assert outcome == "kept"
    image = Image.open(path.with_suffix(".jpg"))
    whole = np.zeros((image.height, image.width), np.uint8)
    whole[y0:y1, x0:x1] = parts
    raw = loadmat(path, squeeze_me=True, struct_as_record=False)["anno"].objects[number - 1]
    masks = {part.part_name: part.mask > 0 for part in raw.parts}
    assert not whole[~np.any(list(masks.values()), 0)].any()
    for name, part in (("beak", "beak"), ("reye", "right_eye"), ("rleg", "right_leg"), ("tail", "tail")):
        if name in masks:
            assert ((whole == PARTS.index(part) + 1) == masks[name]).mean() > 0.999
    assert not np.isin(whole, [PARTS.index(p) + 1 for p in ("left_eye", "left_wing", "right_wing")]).any()
    ys, xs = np.nonzero(raw.mask)
    margins = [xs.min() - x0, ys.min() - y0, x1 - 1 - xs.max(), y1 - 1 - ys.max()]
    at_border = [x0 == 0, y0 == 0, x1 == image.width, y1 == image.height]
    assert all(margin == 20 or border for margin, border in zip(margins, at_border, strict=True))
