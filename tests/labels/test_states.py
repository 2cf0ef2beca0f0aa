"""Both kinds of y, one part or more, beside a list of all that a pixel may be: which channel says what, by counting."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from coarseparts.labels import Box, Mask, PartBoxes, Parts, parts_of
from coarseparts.labels.schema import Schema
from coarseparts.training.networks import build
from coarseparts.training.settings import settings

SIZE, STRAY = 6, 0.05
BOX = (1, 2, 4, 5)  # x0, y0, x1, y1: columns 1..3, rows 2..4
KINDS = [(overlapping, count) for overlapping in (False, True) for count in (1, 2, 3)]

kinds = pytest.mark.parametrize(("overlapping", "count"), KINDS, ids=[f"{'or' * o or 'xor'}-{p}" for o, p in KINDS])


def logits(y: Parts, seed: int = 0, images: int = 2) -> Tensor:
    return torch.randn(images, y.outputs, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def worlds(overlapping: bool, count: int) -> list[set[int]]:
    """What a pixel may be: the sets of parts, counted from 0, that may be there together."""
    sets = [set(s) for n in range(count + 1) for s in itertools.combinations(range(count), n)]
    return sets if overlapping else [s for s in sets if len(s) <= 1]


def prior(overlapping: bool, scores: Tensor) -> dict[frozenset[int], Tensor]:
    """p of each of ``worlds``, (B, H, W), from logits: their definition, written out."""
    if not overlapping:
        total = sum(scores[:, c].exp() for c in range(scores.shape[1]))
        return {frozenset({c - 1} - {-1}): scores[:, c].exp() / total for c in range(scores.shape[1])}
    found = {}
    for parts in worlds(True, scores.shape[1]):
        each = [torch.sigmoid(s if p in parts else -s) for p, s in enumerate(scores.unbind(1))]
        found[frozenset(parts)] = math.prod(each[1:], start=each[0])
    return found


def marginal(found: dict[frozenset[int], Tensor], part: int) -> Tensor:
    return sum((p for parts, p in found.items() if part in parts), torch.zeros(()))


def in_box() -> Tensor:
    inside = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    inside[BOX[1] : BOX[3], BOX[0] : BOX[2]] = True
    return inside


def part_boxes(count: int) -> tuple[Tensor, Tensor]:
    """(2, P, 4) labels and where each allows its part, (2, P, H, W): in BOX for the first part and, in the second
    image, for all; the others cannot be seen in the first, so nowhere."""
    label, allowed = torch.zeros(2, count, 4), torch.zeros(2, count, SIZE, SIZE, dtype=torch.bool)
    for image, part in ((0, 0), *((1, p) for p in range(count))):
        label[image, part], allowed[image, part] = torch.tensor(BOX).float(), in_box()
    return label, allowed


@kinds
def test_each_question_is_answered_as_counting_answers_it(overlapping: bool, count: int) -> None:
    y = parts_of(overlapping, count)
    assert (y.count, y.outputs, y.states) == (count, count + (not overlapping), 2 * count if overlapping else count + 1)
    assert y == parts_of(overlapping, count) != parts_of(not overlapping, count)
    found, log_y = prior(overlapping, logits(y)), y.log_probability(logits(y))
    for part in range(count):
        torch.testing.assert_close(y.present(log_y)[:, part].exp(), marginal(found, part))
        torch.testing.assert_close(y.absent(log_y)[:, part].exp(), 1 - marginal(found, part))
    torch.testing.assert_close(y.background(log_y).exp(), found[frozenset()])
    for parts in worlds(overlapping, count):
        label = sum(1 << p for p in parts) if overlapping else max((p + 1 for p in parts), default=0)
        sure = y.log_certain(torch.full((2, SIZE, SIZE), label), torch.zeros_like(log_y))
        assert (y.mode(sure) == label).all()
        assert [bool(p) for p in (y.present(sure).exp() > 0.5)[0, :, 0, 0]] == [p in parts for p in range(count)]
        assert bool((y.background(sure).exp() > 0.5).all()) == (not parts)


@kinds
def test_part_boxes_are_bayes_rule_over_all_that_a_pixel_may_be(overlapping: bool, count: int) -> None:
    """Each part beyond its box is one error, as likely as ``STRAY``; the background is none."""
    y = parts_of(overlapping, count)
    style, (label, allowed) = PartBoxes(y), part_boxes(count)
    style.set_scale(torch.tensor([STRAY, STRAY]))
    before, log_y = prior(overlapping, logits(y)), y.log_probability(logits(y))
    joint = {
        parts: p * math.prod((torch.where(allowed[:, part], 1.0, STRAY) for part in parts), start=torch.ones(()))
        for parts, p in before.items()
    }
    total = sum(joint.values(), torch.zeros(()))
    after = style.condition(log_y, label)
    for part in range(count):
        torch.testing.assert_close(y.present(after)[:, part].exp(), marginal(joint, part) / total)
        torch.testing.assert_close(y.absent(after)[:, part].exp(), 1 - marginal(joint, part) / total)
        change = y.present(after)[:, part].exp() - y.present(log_y)[:, part].exp()
        assert (change[~allowed[:, part]] < 0).all(), "beyond its box a part gets less likely"
        assert (change[allowed[:, part]] > -1e-6).all(), "and within it no less"
    if not overlapping and count > 1:
        gained = (y.present(after) - y.present(log_y))[0, 0][allowed[0, 0]]
        assert (gained > 0).all(), "what the other parts lose there is the first one's"


@kinds
def test_descending_a_part_boxs_likelihood_raises_the_part_within_and_lowers_it_beyond(
    overlapping: bool, count: int
) -> None:
    y = parts_of(overlapping, count)
    style, (label, allowed) = PartBoxes(y), part_boxes(count)
    style.set_scale(torch.tensor([STRAY, STRAY]))
    for misfit in (style.loss, style.nll):
        scores = logits(y).requires_grad_()
        before = y.present(y.probability(scores.detach()))
        for _ in range(60):
            cost = misfit(label, style.predict(y.log_probability(scores))).sum()
            (slope,) = torch.autograd.grad(cost, scores)
            scores = (scores - 5 * slope).detach().requires_grad_()
        change = (y.present(y.probability(scores.detach())) - before)[0]
        assert float(change[0][in_box()].mean()) > 0.01
        assert all(float(change[part][~allowed[0, part]].mean()) < -0.05 for part in range(count))


@kinds
def test_the_true_parts_explain_their_boxes_best_and_leave_the_least_noise(overlapping: bool, count: int) -> None:
    y = parts_of(overlapping, count)
    style, label = PartBoxes(y), part_boxes(count)[0][:1]
    style.set_scale(torch.tensor([STRAY, STRAY]))
    truth = in_box().long()[None]  # the first part alone: index 1, or bit 0
    right, *wrong = (
        style.predict(y.log_certain(parts, torch.zeros(1, y.states, SIZE, SIZE)))
        for parts in (truth, 1 - truth, truth.roll(2, -1), 0 * truth)
    )
    for mean in wrong:
        assert (style.nll(label, right) < style.nll(label, mean) - 0.1).all()
        assert style.fit(label, mean).sum() > style.fit(label, right).sum() + 0.1
    torch.testing.assert_close(style.fit(label, right), torch.full((2,), 1e-3))


@kinds
def test_an_objects_box_is_bayes_rule_over_all_that_a_pixel_may_be(overlapping: bool, count: int) -> None:
    y = parts_of(overlapping, count)
    style = Box(y)
    style.set_scale(torch.tensor([STRAY, STRAY]))
    before, log_y = prior(overlapping, logits(y)), y.log_probability(logits(y))
    torch.testing.assert_close(style.predict(log_y).exp(), before[frozenset()])
    joint = {parts: p * torch.where(in_box(), 1.0, STRAY ** len(parts)) for parts, p in before.items()}
    total = sum(joint.values(), torch.zeros(()))
    after = style.condition(log_y, torch.tensor([BOX, BOX]).float())
    for part in range(count):
        torch.testing.assert_close(y.present(after)[:, part].exp(), marginal(joint, part) / total)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_mask_is_bayes_rule_over_all_that_a_pixel_may_be(count: int) -> None:
    y = parts_of(False, count)
    style = Mask(y)
    style.set_scale(torch.tensor([STRAY]))
    before, log_y = prior(False, logits(y)), y.log_probability(logits(y))
    torch.testing.assert_close(style.predict(log_y)[:, 0].sigmoid(), 1 - before[frozenset()])
    right = torch.where(in_box(), 1 - STRAY, STRAY)
    joint = {parts: p * (right if parts else 1 - right) for parts, p in before.items()}
    total = sum(joint.values(), torch.zeros(()))
    after = style.condition(log_y, in_box().float().expand(2, 1, -1, -1))
    torch.testing.assert_close(y.background(after).exp(), joint[frozenset()] / total)
    for part in range(count):
        torch.testing.assert_close(y.present(after)[:, part].exp(), marginal(joint, part) / total)


@kinds
def test_networks_and_their_styles_share_the_kind_of_parts_that_the_schema_names(overlapping: bool, count: int) -> None:
    schema = Schema(parts=("nose", "wing", "tail")[:count], overlapping=overlapping)
    chosen = settings(changes={"encoder": "resnet10", "stages": 3, "precision": "float32"})
    networks = build(schema, chosen, ["mask", "box", "part_boxes"])
    assert networks.y == parts_of(overlapping, count)
    assert all(style.y == networks.y for _, style in networks.styles.items())  # type: ignore[attr-defined]
    assert networks.styles["part_boxes"].channels == count
    assert networks.part_model.eval()(torch.zeros(1, 3, 32, 32)).shape[1] == networks.y.outputs


def test_states_of_another_kind_or_number_of_parts_are_refused_and_not_reinterpreted() -> None:
    three, six = torch.zeros(1, 3, 2, 2), torch.zeros(1, 6, 2, 2)
    for y, states in ((parts_of(False, 3), six), (parts_of(True, 2), three), (parts_of(True, 2), six)):
        for question in (y.present, y.absent, y.background):
            with pytest.raises(RuntimeError, match="split_sizes"):
                question(states)
    with pytest.raises(ValueError, match="give the model"):
        Mask(parts_of(True, 1))
