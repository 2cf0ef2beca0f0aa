"""One contract, run over every label style: a new style is one more row in ``CASES``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from coarseparts.data.sample import Batch
from coarseparts.joint import JointModel
from coarseparts.labels import STYLES, Box, ExclusiveParts, Keypoints, LabelStyle, Mask, PartBoxes, Scribbles
from coarseparts.labels.schema import Schema

SIZE, STRIDE = 32, 4
Y = ExclusiveParts(2)
FLIP = [1, 0]  # the two keypoints are a left and a right one, and so are the parts
SCHEMA = Schema(parts=("a", "b"), mirror=(("a", "b"),), keypoints=("l", "r"), keypoint_mirror=(("l", "r"),))


def world(count: int = 4, seed: int = 0) -> Tensor:
    """(count, SIZE, SIZE) part maps: a rectangle well inside the frame, its left half part 1, its right half part 2."""
    generator = torch.Generator().manual_seed(seed)
    parts = torch.zeros(count, SIZE, SIZE, dtype=torch.int64)
    for i in range(count):
        x, y = (int(v) for v in torch.randint(6, 11, (2,), generator=generator))
        w, h = (int(v) for v in torch.randint(4, 7, (2,), generator=generator))
        parts[i, y : y + h, x : x + w] = 1
        parts[i, y : y + h, x + w : x + 2 * w] = 2
    return parts


def certain(parts: Tensor, doubt: float = 1e-3) -> Tensor:
    """log p(y) of parts that are all but certain, (B, 3, H, W)."""
    hot = nn.functional.one_hot(parts, 3).movedim(-1, 1).float()
    return ((1 - doubt) * hot + doubt / 3).log()


def centroids(probability: Tensor) -> Tensor:
    """(B, 2, 2) x, y of the centre of mass of parts 1 and 2; the centre of the image where there is none."""
    at = torch.arange(SIZE, device=probability.device) + 0.5
    mass = (probability[:, 1:] - 0.02).clamp_min(0) + 1e-6
    total = mass.sum(dim=(2, 3))
    return torch.stack([(mass.sum(2) * at).sum(-1) / total, (mass.sum(3) * at).sum(-1) / total], dim=-1)


def log_maps_of_centroids(probability: Tensor) -> Tensor:
    """A keypoint model that needs no training: each part's keypoint is its centre. Log heat maps, at stride 4."""
    points = centroids(probability) / STRIDE
    at = torch.arange(SIZE // STRIDE, device=probability.device) + 0.5
    # Wide as Keypoints(sigma=0.1) draws: 0.1 of the width.
    profile = -0.5 * ((at - points[..., None]) / (0.1 * SIZE / STRIDE)) ** 2  # (B, 2, xy, 8)
    return profile[:, :, 1, :, None] + profile[:, :, 0, None, :]


def maps_of_centroids(probability: Tensor) -> Tensor:
    """The same as logits of heights 0..1."""
    return log_maps_of_centroids(probability).exp().clamp(1e-4, 1 - 1e-4).logit()


def places_of_centroids(probability: Tensor) -> Tensor:
    """The same as logits of a distribution over places, far above the logit 0 of "absent"."""
    return log_maps_of_centroids(probability) + 8


def true_box(parts: Tensor) -> Tensor:
    """(B, 4), found by looking at every pixel: the reference for the box style."""
    boxes = []
    for image in parts:
        ys, xs = torch.nonzero(image, as_tuple=True)
        boxes.append([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
    return torch.tensor(boxes).float()


def true_keypoints(parts: Tensor) -> Tensor:
    """(B, 2, 3): the centres of parts 1 and 2, visible."""
    points = centroids(certain(parts, 1e-6).exp())
    return torch.cat([points, torch.full_like(points[..., :1], 2.0)], dim=-1)


@dataclass(frozen=True)
class Case:
    """A style, the labels of a world and its scale; ``drawn_mirror`` mirrors a drawing, or None where none can."""

    style: Callable[[], LabelStyle]
    label: Callable[[Tensor], Tensor]
    scale: tuple[float, ...]
    drawn_mirror: Callable[[Tensor], Tensor] | None = lambda drawn: drawn.flip(-1)


def keypoints(distance: str, stride: int = STRIDE) -> Keypoints:
    model = places_of_centroids if distance == "location" else maps_of_centroids
    return Keypoints(2, model, sigma=0.1, stride=stride, distance=distance)  # type: ignore[arg-type]


def _keypoints_case(distance: str, scale: float) -> Case:
    return Case(lambda: keypoints(distance), true_keypoints, (scale, scale), lambda drawn: drawn[:, FLIP].flip(-1))


def true_mask(parts: Tensor) -> Tensor:
    return (parts > 0).float()[:, None]


CASES = {
    "keypoints-location": _keypoints_case("location", 1.0),
    "keypoints-l1": _keypoints_case("l1", 0.05),
    "keypoints-squared": _keypoints_case("squared", 0.01),
    "mask": Case(lambda: Mask(Y), true_mask, (0.05,)),
    "mask-expected": Case(lambda: Mask(Y, "expected"), true_mask, (0.05,)),
    "box": Case(lambda: Box(Y), true_box, (0.05, 0.05)),
    # The mirror image of a drawn top-left corner would be a top-right one, which this drawing does not show.
    "box-corners": Case(lambda: Box(Y, corners=True), true_box, (0.05, 0.05), None),
}


def true_part_boxes(parts: Tensor) -> Tensor:
    """(B, 2, 4): the box of part 1 and that of part 2."""
    return torch.stack([true_box(parts == 1), true_box(parts == 2)], dim=1)


CASES["part_boxes"] = Case(lambda: PartBoxes(Y), true_part_boxes, (0.05, 0.05), lambda drawn: drawn[:, FLIP].flip(-1))


def true_scribbles(parts: Tensor) -> Tensor:
    """(B, 1, H, W): the object is scribbled over, and two rows of the background are."""
    marks = torch.full_like(parts, 255)
    for i, image in enumerate(parts):
        ys = torch.nonzero(image.any(1))[:, 0]
        marks[i, ys] = torch.where(image[ys] > 0, image[ys], 255)
        marks[i, 2], marks[i, -3] = 0, 0
    return marks[:, None]


CASES["scribbles"] = Case(
    lambda: Scribbles(Y), true_scribbles, (0.05,), lambda drawn: drawn[:, [0, *(1 + f for f in FLIP)]].flip(-1)
)


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def made(case: Case) -> LabelStyle:
    style = case.style()
    style.set_scale(torch.tensor(case.scale))
    return style


def test_every_style_has_a_row_here() -> None:
    assert {type(made(case)) for case in CASES.values()} == set(STYLES.values())
    assert all(cls.name == name for name, cls in STYLES.items())


def test_a_drawing_has_the_promised_shape_and_range(case: Case) -> None:
    style, label = made(case), case.label(world())
    for size in (SIZE, 16):
        scaled = label if size == SIZE or label.dim() == 4 else label * torch.tensor(size / SIZE)
        drawn = style.draw(scaled, size)
        assert drawn.shape == (4, style.channels, size, size)
        assert drawn.dtype == torch.float32
        assert float(drawn.min()) >= 0 and float(drawn.max()) <= 1
        assert float(drawn.flatten(1).amax(1).min()) > 0.3, "every image's label can be seen in its drawing"


def test_mirrored_twice_is_the_label_itself(case: Case) -> None:
    style, label = made(case), case.label(world())
    assert not torch.equal(style.mirror(label, SIZE, SCHEMA), label)
    torch.testing.assert_close(style.mirror(style.mirror(label, SIZE, SCHEMA), SIZE, SCHEMA), label)


def test_the_mirrored_label_is_that_of_the_mirrored_parts(case: Case) -> None:
    style, parts = made(case), world()
    swapped = torch.tensor([0, 2, 1])[parts].flip(-1)  # left and right parts swap their names, too
    torch.testing.assert_close(style.mirror(case.label(parts), SIZE, SCHEMA), case.label(swapped), atol=1e-4, rtol=1e-5)


def test_mirroring_and_drawing_commute(case: Case) -> None:
    if case.drawn_mirror is None:
        pytest.skip("two named corners have no mirrored drawing")
    style, label = made(case), case.label(world())
    torch.testing.assert_close(
        style.draw(style.mirror(label, SIZE, SCHEMA), SIZE), case.drawn_mirror(style.draw(label, SIZE))
    )


def test_the_likeliest_label_of_certain_parts_is_the_true_one(case: Case) -> None:
    style, parts = made(case), world()
    told = style.likeliest(certain(parts))
    if isinstance(style, Scribbles):
        assert told is None, "where somebody scribbles cannot be told from parts"
        return
    assert told is not None
    near = STRIDE / 4 if isinstance(style, Keypoints) else 0.0  # peaks of a coarse map
    torch.testing.assert_close(told, case.label(parts), atol=near, rtol=0)


def test_an_absent_part_has_no_likeliest_box_and_an_absent_point_no_likeliest_place() -> None:
    nothing = certain(torch.zeros(1, SIZE, SIZE, dtype=torch.int64))
    assert not PartBoxes(Y).likeliest(nothing).any()
    assert not Box(Y).likeliest(nothing).any()
    assert not Keypoints(2, lambda p: places_of_centroids(p) - 30, sigma=0.1, stride=STRIDE).likeliest(nothing).any()


def test_what_is_absent_can_be_drawn_as_the_part_model_tells_it_and_is_flagged(case: Case) -> None:
    style, parts = made(case), world()
    label = case.label(parts)
    there = torch.tensor([True, False, True, False])
    given = torch.where(there.reshape(-1, *[1] * (label.dim() - 1)), label, torch.zeros_like(label))
    batch = Batch(torch.zeros(4, 3, SIZE, SIZE), parts, {style.name: given}, {style.name: there}, torch.arange(4))
    part_model = nn.BatchNorm2d(3)
    networks = JointModel(part_model, nn.Identity(), {style.name: style}, Y, infer_missing=True)
    networks.parts = lambda _: certain(parts)  # type: ignore[method-assign]
    drawn = networks.draw(batch)
    assert part_model.training, "it is as it was"
    assert torch.equal(drawn[:, -1].amax(dim=(1, 2)), there.float())
    assert torch.equal(drawn[there, :-1], style.draw(label, SIZE)[there])
    told = style.likeliest(certain(parts))
    meant = torch.zeros_like(drawn[:, :-1]) if told is None else style.draw(told, SIZE)
    torch.testing.assert_close(drawn[~there, :-1], meant[~there])


def test_what_is_absent_is_drawn_as_nothing_and_flagged(case: Case) -> None:
    style, label = made(case), case.label(world())
    there = torch.tensor([True, False, True, False])
    blank = nn.Identity()
    networks = JointModel(blank, blank, {style.name: style}, Y)
    batch = Batch(torch.zeros(4, 3, SIZE, SIZE), world(), {style.name: label}, {style.name: there}, torch.arange(4))
    drawn = networks.draw(batch)
    assert drawn.shape == (4, style.channels + 1, SIZE, SIZE)
    assert torch.equal(drawn[:, -1].amax(dim=(1, 2)), there.float()), "the last channel says whether it is there"
    assert torch.equal(drawn[:, -1].amin(dim=(1, 2)), there.float())
    assert not drawn[~there].any()
    assert torch.equal(drawn[there, :-1], style.draw(label, SIZE)[there])


def wrong_worlds(parts: Tensor) -> dict[str, Tensor]:
    """What the parts might be taken for."""
    swollen = nn.functional.max_pool2d(parts[:, None].float(), 5, 1, 2)[:, 0].long()
    return {
        "shifted to the right": parts.roll(5, 2),
        "shifted up": parts.roll(-5, 1),
        "far away": parts.roll((9, 7), (1, 2)),
        "nothing at all": torch.zeros_like(parts),
        "all over the image": torch.where(parts > 0, parts, 1),
        "swollen": swollen,
    }


def test_nothing_explains_a_label_better_than_the_truth(case: Case) -> None:
    style, parts = made(case), world()
    label = case.label(parts)
    for misfit in (style.loss, style.nll):
        best = misfit(label, style.predict(certain(parts)))
        assert best.shape == (4,)
        for what, wrong in wrong_worlds(parts).items():
            cost = misfit(label, style.predict(certain(wrong)))
            assert (cost >= best - 1e-5).all(), what
        far = misfit(label, style.predict(certain(wrong_worlds(parts)["far away"])))
        assert (far > best + 1e-3).all(), "and the difference can be felt"


@pytest.mark.parametrize("belief", [0.1, 0.4, 0.8])
def test_moving_mass_towards_the_truth_lowers_the_cost(case: Case, belief: float) -> None:
    style, parts = made(case), world()
    label, truth = case.label(parts), certain(parts).exp()
    # Far, so that no row or column of the truth is covered: the box asks each only for its best pixel.
    elsewhere = certain(wrong_worlds(parts)["far away"]).exp()
    for misfit in (style.loss, style.nll):
        share = torch.full((4,), belief, requires_grad=True)
        weight = share[:, None, None, None]
        log_y = (weight * truth + (1 - weight) * elsewhere).log()
        (slope,) = torch.autograd.grad(misfit(label, style.predict(log_y)).sum(), share)
        assert (slope < 0).all(), misfit.__name__


def test_a_gradient_stays_finite_when_the_parts_are_certain(case: Case) -> None:
    style, parts = made(case), world()
    logits = (60.0 * nn.functional.one_hot(wrong_worlds(parts)["far away"], 3).movedim(-1, 1)).requires_grad_()
    for misfit in (style.loss, style.nll):
        cost = misfit(case.label(parts), style.predict(logits.log_softmax(1)))
        (gradient,) = torch.autograd.grad(cost.sum(), logits)
        assert torch.isfinite(cost).all() and torch.isfinite(gradient).all(), misfit.__name__


def test_each_image_costs_for_itself(case: Case) -> None:
    style, parts = made(case), world()
    label, mean = case.label(parts), style.predict(certain(parts.roll(3, 2)))
    for misfit in (style.loss, style.nll):
        together = misfit(label, mean)
        alone = torch.cat([misfit(label[i : i + 1], mean[i : i + 1]) for i in range(4)])
        torch.testing.assert_close(together, alone)


def test_conditioning_gives_a_distribution_and_never_doubts_a_right_belief(case: Case) -> None:
    style, parts = made(case), world()
    prior = torch.full((4, 3, SIZE, SIZE), 1 / 3).log()
    posterior = style.condition(prior, case.label(parts))
    torch.testing.assert_close(posterior.exp().sum(1), torch.ones(4, SIZE, SIZE))
    on_truth = posterior.gather(1, parts[:, None]).mean()
    assert float(on_truth) >= math.log(1 / 3) - 1e-5


def test_keypoints_leave_the_parts_as_they_are() -> None:
    style, log_y = made(CASES["keypoints-l1"]), certain(world(), 0.3)
    assert torch.equal(style.condition(log_y, true_keypoints(world())), log_y)


@pytest.mark.parametrize("name", ["mask", "mask-expected"])
def test_conditioning_on_a_mask_is_bayes_rule_over_all_worlds(name: str) -> None:
    """Every labelling of four pixels, weighed by prior times the style's own likelihood, marginalised per pixel."""
    style = made(CASES[name])
    generator = torch.Generator().manual_seed(0)
    prior = torch.randn(1, 3, 2, 2, generator=generator).log_softmax(1)
    mask = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    worlds = torch.tensor(list(itertools.product(range(3), repeat=4))).reshape(81, 2, 2)
    hot = nn.functional.one_hot(worlds, 3).movedim(-1, 1)  # (81, 3, 2, 2)
    log_y = torch.where(hot > 0, 0.0, -80.0)
    log_likelihood = -4 * style.nll(mask.expand(81, -1, -1, -1), style.predict(log_y))  # nll is a mean over 4 pixels
    joint = ((prior * hot).sum(dim=(1, 2, 3)) + log_likelihood).exp()
    total = (joint[:, None, None, None] * hot).sum(0).reshape(3, 4)
    expected = (total / total.sum(0)).reshape(1, 3, 2, 2)
    torch.testing.assert_close(style.condition(prior, mask).exp(), expected, atol=1e-5, rtol=1e-4)


def test_a_soft_mask_says_less_than_a_hard_one() -> None:
    style = Mask(ExclusiveParts(1))
    style.set_scale(torch.tensor([0.05]))  # 5 % noise
    prior = torch.full((1, 2, 1, 4), 0.5).log()
    values = torch.tensor([0.0, 0.5, 0.8, 1.0]).reshape(1, 1, 1, 4)
    belief = style.condition(prior, values).exp()[0, 1, 0]
    torch.testing.assert_close(belief, torch.tensor([0.05, 0.5, 0.8 * 0.95 + 0.2 * 0.05, 0.95]))


def test_conditioning_on_a_box_is_bayes_rule_at_every_pixel() -> None:
    """Outside, a part is 5 % as likely as it was against the background; inside nothing is said of single pixels."""
    style, parts = made(CASES["box"]), world()
    prior = torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)).log_softmax(1)
    box = true_box(parts)
    posterior = style.condition(prior, box).exp()
    for i, (x0, y0, x1, y1) in enumerate(box.int().tolist()):
        likelihood = torch.full((3, SIZE, SIZE), 0.05)
        likelihood[0] = 1
        likelihood[:, y0:y1, x0:x1] = 1
        expected = prior[i].exp() * likelihood
        torch.testing.assert_close(posterior[i], expected / expected.sum(0))


def test_the_expected_mask_likelihood_is_an_expectation_over_parts() -> None:
    """-E_q log p(mask|y), summed by hand; the mean's likelihood is never above it, and equal where q is certain."""
    of_mean, expected = made(CASES["mask"]), made(CASES["mask-expected"])
    q = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    q = q / q.sum(1, keepdim=True)
    mask = (torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(3)) > 0.5).float()
    agrees = torch.stack([1 - mask[:, 0], mask[:, 0], mask[:, 0]], dim=1)  # does class c agree with the mask here
    by_hand = -(q * (agrees * math.log(0.95) + (1 - agrees) * math.log(0.05))).sum(1).mean(dim=(1, 2))
    torch.testing.assert_close(expected.nll(mask, expected.predict(q.log())), by_hand)
    assert (of_mean.nll(mask, of_mean.predict(q.log())) < by_hand).all()

    sure = certain(q.argmax(1), 1e-7)
    torch.testing.assert_close(
        of_mean.nll(mask, of_mean.predict(sure)), expected.nll(mask, expected.predict(sure)), atol=1e-4, rtol=1e-4
    )


def test_the_masks_noise_is_found_again() -> None:
    style, parts = Mask(Y), world(60)
    flipped = torch.rand(60, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) < 0.12
    label = torch.where(flipped, 1 - true_mask(parts), true_mask(parts))
    assert float(style.fit(label, style.predict(certain(parts)))) == pytest.approx(0.12, abs=0.01)


@pytest.mark.parametrize(("distance", "spread"), [("l1", 0.05), ("squared", 0.05**2)])
def test_the_heat_maps_spread_is_found_again(distance: str, spread: float) -> None:
    """Laplace with b = 0.05, or Gaussian with s = 0.05, added to what the label draws; twice as wide at keypoint 2."""
    style = keypoints(distance, stride=1)
    label = true_keypoints(world(40))
    generator = torch.Generator().manual_seed(0)
    uniform = torch.rand(40, 2, SIZE, SIZE, generator=generator) - 0.5
    laplace = -0.05 * uniform.sign() * torch.log1p(-2 * uniform.abs())
    normal = 0.05 * torch.randn(40, 2, SIZE, SIZE, generator=generator)
    noise = (laplace if distance == "l1" else normal) * torch.tensor([1.0, 2.0])[:, None, None]
    fitted = style.fit(label, style.draw(label, SIZE) + noise)
    expected = spread * torch.tensor([1.0, 2.0 if distance == "l1" else 4.0])
    torch.testing.assert_close(fitted, expected, rtol=0.02, atol=0)


def test_the_temperature_of_places_is_found_again() -> None:
    """Places drawn from softmax(logits / T): the fit names T, to within a step of its grid."""
    generator = torch.Generator().manual_seed(0)
    style = Keypoints(2, maps_of_centroids, sigma=0.01, stride=1, distance="location")
    logits = 2 * torch.randn(800, 2, 6, 6, generator=generator)
    temperature = torch.tensor([0.5, 3.0])
    everywhere = torch.cat([logits.flatten(2), torch.zeros(800, 2, 1)], dim=-1)  # "absent" has logit 0 at the start
    cell = torch.multinomial((everywhere / temperature[:, None]).softmax(-1).flatten(0, 1), 1, generator=generator)
    cell = cell.reshape(800, 2)
    label = torch.stack([cell % 6 + 0.5, cell // 6 + 0.5, torch.where(cell < 36, 2.0, 0.0)], dim=-1)
    label[cell == 36] = 0
    with torch.no_grad():
        fitted = style.fit(label, logits)
    assert ((fitted / temperature).log().abs() < math.log(8) / 10 * 1.5).all(), fitted.tolist()


def test_the_boxs_noise_is_found_again() -> None:
    """7 % of the pixels outside hold parts; of the 100 images' covered rows, and of no column, 20 % are empty."""
    generator = torch.Generator().manual_seed(0)
    box = torch.tensor([[10.0, 10.0, 20.0, 20.0]]).repeat(100, 1)
    parts = (torch.rand(100, SIZE, SIZE, generator=generator) < 0.07).long()
    parts[:, 10:20, :] = 0  # these rows are spoken of by the box, and so is their emptiness
    parts[:, :, 10:20] = 0
    parts[:, 10:20, 10:20] = 1
    parts[:, 10:12, :] = 0  # two rows of ten
    outside = torch.ones(SIZE, SIZE, dtype=torch.bool)
    outside[10:20, 10:20] = False
    share = float(parts[:, outside].float().mean())
    style = Box(Y)
    stray, empty = style.fit(box, style.predict(certain(parts))).tolist()
    assert stray == pytest.approx(share, abs=1e-3)
    assert empty == pytest.approx(200 / 2000, abs=1e-3)  # two of ten rows, none of ten columns


@pytest.mark.parametrize("distance", ["l1", "squared", "location"])
def test_hidden_and_unknown_keypoints_cost_nothing(distance: str) -> None:
    style = keypoints(distance)
    label, mean = true_keypoints(world()), style.predict(certain(world().roll(5, 2)))
    for v in (1.0, -1.0):
        label[:, :, 2] = v
        assert not style.loss(label, mean).any(), v
    one = true_keypoints(world())
    one[:, 1, 2] = -1
    other = one.clone()
    other[:, 1, :2] += 9
    assert torch.equal(style.loss(one, mean), style.loss(other, mean))
    absent = one.clone()
    absent[:, 0, 2] = 0
    assert (style.loss(absent, mean) > 0).all(), "an absent point is a statement: there is nothing to see"


def test_a_hidden_point_is_drawn_half_as_high() -> None:
    style = Keypoints(4, maps_of_centroids, stride=STRIDE)
    label = torch.tensor([[[16.5, 16.5, v] for v in (2.0, 1.0, 0.0, -1.0)]])
    assert style.draw(label, SIZE)[0, :, 16, 16].tolist() == [1.0, 0.5, 0.0, 0.0]


def test_corners_are_drawn_where_the_corners_are() -> None:
    drawn = Box(Y, corners=True).draw(torch.tensor([[4.5, 7.5, 20.5, 25.5]]), SIZE)[0]
    assert divmod(int(drawn[0].argmax()), SIZE) == (7, 4)
    assert divmod(int(drawn[1].argmax()), SIZE) == (25, 20)


def test_a_wrong_choice_names_the_choices() -> None:
    with pytest.raises(ValueError, match="l1"):
        Keypoints(2, maps_of_centroids, distance="l3")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="of_mean"):
        Mask(Y, "mean")  # type: ignore[arg-type]
