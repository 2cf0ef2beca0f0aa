"""The synthetic birds: reproducible, labelled as they look, and not solved by colour."""

import numpy as np
import pytest
import torch
from test_synthetic_worlds import assert_boxes_tight

from coarseparts.data.synthetic import birds
from coarseparts.data.synthetic.backgrounds import BEHIND
from coarseparts.data.synthetic.birds import SCHEMA, render
from coarseparts.data.synthetic.ellipsoids import NOTHING, cast, quadric

PART = {name: i + 1 for i, name in enumerate(SCHEMA.parts)}
POINT = {name: k for k, name in enumerate(SCHEMA.keypoints)}


@pytest.fixture(scope="module")
def world() -> dict[str, np.ndarray]:
    return render(300, size=48, seed=11)


def around(parts: np.ndarray, x: float, y: float) -> set[int]:
    """The part indices in the 3x3 pixels around a point."""
    i, j = int(y), int(x)
    return set(parts[max(0, i - 1) : i + 2, max(0, j - 1) : j + 2].ravel().tolist())


def test_the_schema_is_the_papers_parts_and_cubs_keypoints():
    sides = [f"{side}_{part}" for side in ("left", "right") for part in ("eye", "leg", "wing")]
    assert list(SCHEMA.parts) == ["beak", "head", *sides, "tail", "torso"]
    assert list(SCHEMA.keypoints) == sorted(SCHEMA.keypoints) and len(SCHEMA.keypoints) == 15
    for pairs in (SCHEMA.mirror, SCHEMA.keypoint_mirror):
        assert [(a.replace("left", "right"), len(pairs)) for a, _ in pairs] == [(b, 3) for _, b in pairs]


def test_every_part_has_a_birds_share(world):
    bird = world["parts"][world["parts"] > 0]
    share = {name: float((bird == i).mean()) for name, i in PART.items()}
    limits = {"torso": (0.3, 0.6), "head": (0.06, 0.2), "beak": (0.01, 0.08), "tail": (0.02, 0.15)}
    limits |= {f"{s}_wing": (0.05, 0.2) for s in ("left", "right")}
    limits |= {f"{s}_leg": (0.01, 0.1) for s in ("left", "right")}
    limits |= {f"{s}_eye": (0.001, 0.015) for s in ("left", "right")}
    assert {n: s for n, s in share.items() if not limits[n][0] < s < limits[n][1]} == {}
    assert 0.08 < (world["mask"] > 0).mean() < 0.5


def test_an_eye_that_is_seen_has_a_few_pixels():
    world = render(60, size=64, seed=4)
    pixels = []
    for parts, points in zip(world["parts"], world["keypoints"], strict=True):
        pixels += [(parts == PART[f"{s}_eye"]).sum() for s in ("left", "right") if points[POINT[f"{s} eye"], 2]]
    assert np.median(pixels) >= 4 and np.median(pixels) < 64 * 64 * 0.01


def test_the_mask_is_where_parts_are(world):
    assert set(np.unique(world["mask"])) == {0, 255}
    np.testing.assert_array_equal(world["mask"] > 0, world["parts"] > 0)
    assert world["parts"].max() == len(SCHEMA.parts)


def test_the_box_is_tight_and_fills_the_frame(world):
    assert_boxes_tight(world, 0.65, 0.98)  # a leaf in front may hide an end


def test_keypoints_lie_on_what_they_name(world):
    may_be_on = {
        "back": "torso left_wing right_wing", "belly": "torso left_leg right_leg left_wing right_wing",
        "breast": "torso left_wing right_wing head", "crown": "head", "forehead": "head beak",
        "nape": "head torso", "throat": "head torso beak", "tail": "tail", "beak": "beak",
    }  # fmt: skip
    off = []
    for parts, points in zip(world["parts"], world["keypoints"], strict=True):
        for name, (x, y, v) in zip(SCHEMA.keypoints, points, strict=True):
            if v == 0:
                assert x == 0 and y == 0
                continue
            assert v == 2 and parts[int(y), int(x)] > 0, f"{name} is off the mask"
            own = {PART[p] for p in may_be_on.get(name, name.replace(" ", "_")).split()}
            off.append((name, not own & around(parts, x, y)))
    for name in SCHEMA.keypoints:
        wrong = [bad for n, bad in off if n == name]
        assert len(wrong) > 50, f"{name} is seldom seen"
        # At 48 pixels an eye in profile may win none of its pixels in the vote of their samples.
        assert np.mean(wrong) < 0.06, f"{name} often lies on another part"


def test_left_is_the_birds_own_left(world):
    """A face that looks to the viewer's right, crown up, shows its right eye; one that looks left, its left eye."""
    seen = []
    for points in world["keypoints"]:
        at = {name: points[k] for name, k in POINT.items()}
        one_eye = (at["left eye"][2] > 0) != (at["right eye"][2] > 0)
        if not one_eye or min(at[n][2] for n in ("beak", "nape", "crown", "throat")) == 0:
            continue
        ahead = at["beak"][0] - at["nape"][0]
        if abs(ahead) > 4 and at["crown"][1] < at["throat"][1] - 3:
            seen.append((ahead > 0) == (at["right eye"][2] > 0))
    assert len(seen) > 25 and all(seen)


def test_what_is_hidden_is_not_labelled(world):
    hidden = (world["keypoints"][..., 2] == 0).mean(axis=0)
    assert ((0.05 < hidden) & (hidden < 0.8)).all()
    both = (world["keypoints"][:, [POINT["left eye"], POINT["right eye"]], 2] > 0).all(axis=1)
    assert 0.02 < both.mean() < 0.4  # only faces seen from the front show two eyes


@pytest.mark.parametrize("fair", [False, True], ids=["natural prior", "uniform prior"])
def test_colour_alone_does_not_tell_the_part(fair):
    """A classifier of single pixels by a histogram of colours, the best there is without context, stays poor."""
    world = render(300, size=32, seed=8)
    colour = (world["image"] // 32).astype(int) @ np.array([64, 8, 1])  # 512 bins
    parts, classes = world["parts"].astype(int), len(SCHEMA.parts) + 1
    counts = np.zeros((512, classes))
    np.add.at(counts, (colour[:200].ravel(), parts[:200].ravel()), 1)
    guess = (counts / counts.sum(0) if fair else counts).argmax(1)[colour[200:]]
    iou = []
    for c in range(1, classes):
        a, b = guess == c, parts[200:] == c
        iou.append((a & b).sum() / max(1, (a | b).sum()))
    assert np.mean(iou) < 0.06


def test_some_images_have_something_in_front_of_the_bird():
    scenes = [birds._scene(np.random.default_rng([0, i]), 32) for i in range(200)]
    occluded = np.mean([s.backdrop.shapes[BEHIND:, 8].any() for s in scenes])
    assert 0.08 < occluded < 0.5


def test_ray_casting_agrees_with_solving_each_ray():
    """Against the textbook: substitute the ray into |form (p - c)|^2 = 1, take the nearer root."""
    rng = np.random.default_rng(0)
    images, slots, size = 2, 4, 24
    centre = rng.uniform(4, 20, (images, slots, 3))
    forms = rng.normal(0, 0.12, (images, slots, 3, 3)) + 0.15 * np.eye(3)
    surface = np.stack([quadric(f) for f in forms])
    depth, which = cast(torch.from_numpy(centre).float(), torch.from_numpy(surface).float(), size)
    hits = 0
    for b in range(images):
        for i in range(size):
            for j in range(size):
                best, who = NOTHING, -1
                for e in range(slots):
                    start = forms[b, e] @ (np.array([j + 0.5, i + 0.5, 0]) - centre[b, e])
                    ray = forms[b, e][:, 2]
                    root = (start @ ray) ** 2 - (ray @ ray) * (start @ start - 1)
                    z = (-(start @ ray) + np.sqrt(root)) / (ray @ ray) if root > 0 else NOTHING
                    if z > best:
                        best, who = z, e
                hits += who >= 0
                assert which[b, i, j] == who
                assert depth[b, i, j] == pytest.approx(best, rel=1e-3, abs=1e-2)
    assert hits > 100
