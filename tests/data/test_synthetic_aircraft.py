"""The synthetic aircraft: reproducible, labelled as they look, with overlapping parts and a noisy second labelling."""

import numpy as np
import pytest
import torch
from test_synthetic_worlds import assert_boxes_tight

from coarseparts.data.synthetic import aircraft
from coarseparts.data.synthetic.aircraft import SCHEMA, render
from coarseparts.data.synthetic.airfields import PLATES_BEHIND
from coarseparts.data.synthetic.airframes import KINDS, LAYERS, OUTLINES, draw_aircraft
from coarseparts.data.synthetic.annotators import HAND, SIDES, draw_hands, redraw
from coarseparts.data.synthetic.backgrounds import BEHIND
from coarseparts.data.synthetic.ellipsoids import NOTHING
from coarseparts.data.synthetic.solids import cast_layers, cut

BIT = {name: p for p, name in enumerate(SCHEMA.parts)}
POINT = {name: k for k, name in enumerate(SCHEMA.keypoints)}


@pytest.fixture(scope="module")
def world() -> dict[str, np.ndarray]:
    return render(300, size=64, seed=11)


def planes(bits: np.ndarray) -> np.ndarray:
    """(N, P, S, S) bool from a bit field (N, S, S)."""
    return np.stack([(bits >> p & 1).astype(bool) for p in range(len(SCHEMA.parts))], axis=1)


def test_the_schema_is_the_papers_four_overlapping_parts():
    assert SCHEMA.parts == ("nose", "wing", "wheel", "vertical stabilizer")
    assert SCHEMA.overlapping and SCHEMA.mirror == ()
    assert len(SCHEMA.keypoints) == 6
    assert [(a.replace("left", "right"), b) for a, b in SCHEMA.keypoint_mirror] == [
        ("right wing tip", "right wing tip"),
        ("right wheel", "right wheel"),
    ]


def test_every_part_is_seen_and_has_its_share(world):
    parts = planes(world["parts"])
    assert world["parts"].max() < 1 << len(SCHEMA.parts)
    assert world["noisy_parts"].max() < 1 << len(SCHEMA.parts)
    pixels = parts.sum(axis=(2, 3))
    present = {"nose": 0.95, "wing": 0.98, "wheel": 0.6, "vertical stabilizer": 0.95}
    limits = {"nose": (15, 80), "wing": (30, 140), "wheel": (12, 60), "vertical stabilizer": (30, 120)}
    for name, p in BIT.items():
        seen = pixels[:, p] > 0
        assert seen.mean() > present[name], name
        assert limits[name][0] < np.median(pixels[seen, p]) < limits[name][1], name
    assert 0.1 < (pixels[:, BIT["wheel"]] == 0).mean() < 0.4  # wheels are up


def test_parts_overlap_lie_in_the_mask_and_leave_the_fuselage_out(world):
    parts, mask = planes(world["parts"]), world["mask"] > 0
    assert set(np.unique(world["mask"])) == {0, 255}
    assert not (parts.any(1) & ~mask).any()
    assert 0.25 < (parts.any(1) & mask).sum() / mask.sum() < 0.6
    overlap = (parts.sum(1) > 1).any(axis=(1, 2))
    assert 0.25 < overlap.mean() < 0.7
    together = {
        (a, b): (parts[:, i] & parts[:, j]).any(axis=(1, 2)).mean() for a, i in BIT.items() for b, j in BIT.items()
    }
    assert together["wheel", "wing"] > 0.15
    assert together["vertical stabilizer", "wing"] > 0.08
    assert together["nose", "vertical stabilizer"] < 0.02


def test_the_box_is_tight_and_fills_the_frame(world):
    assert_boxes_tight(world, 0.75, 1.0)


def test_keypoints_lie_on_what_they_name(world):
    own = {"nose tip": "nose", "fin tip": "vertical stabilizer", "left wing tip": "wing", "left wheel": "wheel"}
    parts, mask = planes(world["parts"]), world["mask"] > 0
    for name, k in POINT.items():
        part = BIT[own[name.replace("right", "left")]]
        points = world["keypoints"][:, k]
        seen = points[:, 2] > 0
        assert 0.4 < seen.mean() < 0.95, name
        assert set(points[:, 2]) <= {0, 2} and (points[~seen] == 0).all()
        column, row = points[:, 0].astype(int), points[:, 1].astype(int)
        assert mask[np.arange(len(mask)), row, column][seen].all()
        near = [parts[i, part, max(0, r - 1) : r + 2, max(0, c - 1) : c + 2].any()
                for i, (r, c) in enumerate(zip(row, column, strict=True))]  # fmt: skip
        assert np.mean(np.array(near)[seen]) > 0.95, name


def test_aircraft_face_both_ways_and_left_is_their_own(world):
    """An aircraft that faces left shows its left side: of its wing tips, the right one is the one that hides."""
    points, box = world["keypoints"], world["box"]
    nose, fin = points[:, POINT["nose tip"]], points[:, POINT["fin tip"]]
    known = (nose[:, 2] > 0) & (fin[:, 2] > 0) & (np.abs(nose[:, 0] - fin[:, 0]) > 0.3 * (box[:, 2] - box[:, 0]))
    right = nose[known, 0] > fin[known, 0]
    assert known.mean() > 0.5 and 0.4 < right.mean() < 0.6
    tips = points[known][:, [POINT["left wing tip"], POINT["right wing tip"]], 2] > 0
    one = tips[:, 0] != tips[:, 1]
    assert one.sum() > 20 and np.mean(tips[one, 1] == right[one]) > 0.8
    mirrored = np.abs(world["image"][known][right].mean((0, 3)) - world["image"][known][~right].mean((0, 3))[:, ::-1])
    assert mirrored.mean() < 12  # neither way has a look of its own


def test_noisy_labels_differ_but_agree_on_average(world):
    clean, noisy = planes(world["parts"]), planes(world["noisy_parts"])
    assert (world["parts"] != world["noisy_parts"]).any(axis=(1, 2)).mean() > 0.9
    for name, p in BIT.items():
        a, b = clean[:, p], noisy[:, p]
        assert 0.4 < (a & b).sum() / (a | b).sum() < 0.9, name
        drawn = a.any(axis=(1, 2))
        assert not b[~drawn].any(), f"{name} is drawn where none is seen"
        assert (b.sum((1, 2)) > 1.5 * a.sum((1, 2)))[drawn].mean() > 0.02, f"{name} is never drawn too large"
        assert 0.0 < (a == b).all(axis=(1, 2))[drawn].mean() < 0.5, f"{name}: some annotators are careful"
    nose = clean[:, BIT["nose"]].any(axis=(1, 2))
    assert 0.01 < (~noisy[nose, BIT["nose"]].any(axis=(1, 2))).mean() < 0.25  # forgotten


def test_a_hand_redraws_a_square_as_told():
    square = torch.zeros(1, 3, 24, 24, dtype=torch.bool)
    square[0, :, 8:16, 8:16] = True
    hands = np.zeros((1, 3, HAND))
    angle = np.arange(SIDES) * 2 * np.pi / SIDES
    hands[0, :, :SIDES], hands[0, :, SIDES : 2 * SIDES] = np.cos(angle), np.sin(angle)
    hands[0, :, 3 * SIDES] = (1.0, 1.5, 1.0)  # scale
    hands[0, 2, 3 * SIDES + 1] = 0.5  # half of its half width to the right
    hands[0, :, -1] = 1
    redrawn = redraw(square, torch.from_numpy(hands).float())[0]
    assert torch.equal(redrawn[0], square[0, 0])
    rows, columns = redrawn[1].any(1).nonzero()[:, 0], redrawn[2].any(0).nonzero()[:, 0]
    assert rows.tolist() == list(range(6, 18)) and columns.tolist() == list(range(10, 18))
    hands[0, :, -1] = (0, 2, 1)
    redrawn = redraw(square, torch.from_numpy(hands).float())[0]
    assert torch.equal(redrawn[0], square[0, 0]) and not redrawn[1].any()
    nothing = redraw(torch.zeros_like(square), torch.from_numpy(hands).float())
    assert not nothing.any()


def test_hands_are_steadier_on_some_images_than_on_others():
    axis = np.tile([1.0, 0.0], (len(OUTLINES), 1))
    spread = [np.abs(draw_hands(np.random.default_rng(i), axis)[:, 2 * SIDES : 3 * SIDES]).mean() for i in range(60)]
    assert np.quantile(spread, 0.9) > 2 * np.quantile(spread, 0.1)


def test_all_kinds_stand_and_fly():
    crafts = [draw_aircraft(np.random.default_rng(i)) for i in range(300)]
    for kind in KINDS:
        states = {(c.flies, c.wheels) for c in crafts if c.kind == kind}
        assert {(False, True), (True, True)} <= states and (False, False) not in states
    assert all((c.ground is None) == c.flies for c in crafts)
    third = LAYERS.index("third wheel")
    assert all((third in c.layer) == c.wheels for c in crafts)


def test_some_images_have_something_in_front_of_the_aircraft():
    scenes = [aircraft._scene(np.random.default_rng([0, i]), 32) for i in range(150)]
    front = [
        s.surroundings.backdrop.shapes[BEHIND:, 8].any() or s.surroundings.plates[PLATES_BEHIND:, 15].any()
        for s in scenes
    ]
    assert 0.1 < np.mean(front) < 0.5


def test_colour_alone_does_not_tell_the_part(world):
    """The best threshold on how often a colour is a part's, the best there is without context, stays poor."""
    colour = (world["image"] // 32).astype(int) @ np.array([64, 8, 1])  # 512 bins
    parts = planes(world["parts"])
    known, often = slice(0, 200), np.bincount(colour[:200].ravel(), minlength=512)
    for name, p in BIT.items():
        share = np.bincount(colour[known].ravel(), parts[known, p].ravel(), 512) / np.maximum(1, often)
        guess, truth = share[colour[200:]], parts[200:, p]
        best = max(((guess > t) & truth).sum() / ((guess > t) | truth).sum() for t in np.linspace(0.005, 0.4, 30))
        assert best < 0.16, name


def test_casting_agrees_with_walking_along_each_ray():
    """Against brute force: points along the ray, tested one by one against every bound of every solid."""
    rng = np.random.default_rng(0)
    solids, size, layer = 5, 20, [0, 0, 1, 1, 1]
    centre = rng.uniform(6, 14, (solids, 3))
    forms = rng.normal(0, 0.06, (solids, 3, 3)) + 0.16 * np.eye(3)
    faces = np.zeros((solids, 6, 5))
    faces[:3, :2, :3] = rng.normal(size=(3, 2, 3))
    faces[:3, :2, 3] = 2.0
    forms[3:] = 0  # planes alone: a slanted box
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    faces[3:, :, :3] = np.concatenate([turn, -turn])
    faces[3:, :, 3] = [2, 3, 4, 2, 3, 4]
    length = np.linalg.norm(faces[..., :3], axis=2, keepdims=True)
    faces[..., :3] /= np.where(length > 0, length, 1)
    box = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    ready = cut(centre, forms, faces, centre[:, None] + 20.0 * box)
    fields = (ready.centre, ready.surface, ready.upper, ready.lower, ready.window)
    depth, which = cast_layers(*(torch.from_numpy(f[None]).float() for f in fields), layer, size)
    along = np.arange(-15, 35, 0.01)[::-1]
    hits = 0
    for i in range(size):
        for j in range(size):
            best, who = [NOTHING, NOTHING], [-1, -1]
            for e in range(solids):
                d = np.stack([np.full_like(along, j + 0.5), np.full_like(along, i + 0.5), along], 1) - centre[e]
                inside = ((d @ forms[e].T) ** 2).sum(1) <= 1
                inside &= (d @ faces[e, :, :3].T <= np.where(faces[e, :, :3].any(1), faces[e, :, 3], 1e9)).all(1)
                z = along[inside.argmax()] if inside.any() else NOTHING
                if z > best[layer[e]]:
                    best[layer[e]], who[layer[e]] = z, e
            for g in (0, 1):
                found = float(depth[0, g, i, j])
                if who[g] < 0:
                    continue  # walking may step over a sliver that the exact solution sees
                hits += 1
                assert found == pytest.approx(best[g], abs=0.03)
                assert which[0, g, i, j] == who[g] or abs(found - best[g]) < 0.03
    assert hits > 100 and int((which >= 0).sum()) < hits + 20
