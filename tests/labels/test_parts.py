"""y itself: losses with ignored pixels, the entropy's sign, and draws that follow the distribution."""

from __future__ import annotations

import math

import pytest
import torch

from coarseparts.labels import ExclusiveParts

Y = ExclusiveParts(3)


def logits(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def test_cross_entropy_is_the_mean_over_labelled_pixels() -> None:
    scores = logits(2, 4, 3, 3)
    parts = torch.arange(18).reshape(2, 3, 3) % 4
    parts[0, 0] = 255
    by_hand = [
        -scores[b, :, i, j].log_softmax(0)[parts[b, i, j]]
        for b in range(2)
        for i in range(3)
        for j in range(3)
        if parts[b, i, j] != 255
    ]
    assert len(by_hand) == 15
    torch.testing.assert_close(Y.supervised(scores, parts), torch.stack(by_hand).mean())


def test_ignored_pixels_get_no_gradient() -> None:
    scores = logits(1, 4, 3, 3)
    parts = torch.zeros(1, 3, 3, dtype=torch.uint8)  # as stored: bytes
    parts[0, 1, 2] = 255
    (gradient,) = torch.autograd.grad(Y.supervised(scores, parts), scores)
    assert not gradient[0, :, 1, 2].any()
    gradient[0, :, 1, 2] = 1
    assert gradient.all()


def test_a_batch_without_a_labelled_pixel_costs_nothing_and_moves_nothing() -> None:
    scores = logits(2, 4, 3, 3)
    loss = Y.supervised(scores, torch.full((2, 3, 3), 255))
    (gradient,) = torch.autograd.grad(loss, scores)
    assert float(loss.detach()) == 0
    assert not gradient.any(), "zero, and neither NaN nor missing"


def test_log_probabilities_are_normalised_and_finite_for_extreme_logits() -> None:
    log_p = Y.log_probability(torch.tensor([500.0, -500.0, 0.0]).reshape(1, 3, 1, 1))
    assert torch.isfinite(log_p).all()
    torch.testing.assert_close(log_p.exp().sum(1), torch.ones(1, 1, 1))


def test_soft_cross_entropy_with_a_certain_target_is_the_hard_one() -> None:
    scores, parts = logits(2, 4, 3, 3), torch.arange(18).reshape(2, 3, 3) % 4
    target = torch.nn.functional.one_hot(parts, 4).movedim(-1, 1).float()
    each = Y.cross_entropy(target, scores)
    assert each.shape == (2,)
    torch.testing.assert_close(each.mean(), Y.supervised(scores, parts))


def test_overlap_of_hard_labels_is_one_minus_soft_dice_of_each_part_shown() -> None:
    scores, parts = logits(2, 4, 3, 3), torch.arange(18).reshape(2, 3, 3) % 3  # part 3 of 0..3 is nowhere
    p = scores.softmax(1)
    by_hand = []
    for part in (1, 2):
        y = (parts == part).float()
        by_hand.append(1 - 2 * (p[:, part] * y).sum() / (p[:, part].sum() + y.sum()))
    torch.testing.assert_close(Y.dice(scores, parts), torch.stack(by_hand).mean())
    soft = torch.nn.functional.one_hot(parts, 4).movedim(-1, 1).float()
    torch.testing.assert_close(Y.dice(scores, soft), Y.dice(scores, parts))


def test_overlap_is_least_where_the_prediction_equals_a_soft_target() -> None:
    scores = logits(2, 4, 6, 6).detach()
    target = scores.softmax(1)
    assert float(Y.dice(scores, target)) == pytest.approx(0, abs=1e-6)
    for sharper in (0.5, 2.0):
        assert float(Y.dice(scores * sharper, target)) > 0.01


def test_overlap_ignores_what_is_ignored() -> None:
    scores, parts = logits(1, 4, 3, 3), torch.ones(1, 3, 3, dtype=torch.uint8)
    parts[0, 1, 2] = 255
    (gradient,) = torch.autograd.grad(Y.dice(scores, parts), scores)
    assert gradient.any()
    assert not gradient[0, :, 1, 2].any()
    loss = Y.dice(scores, torch.full((1, 3, 3), 255))
    (gradient,) = torch.autograd.grad(loss, scores)
    assert float(loss.detach()) == 0
    assert not gradient.any(), "zero, and neither NaN nor missing"


def test_a_part_of_one_pixel_has_as_much_say_as_a_part_of_a_hundred() -> None:
    parts = torch.zeros(1, 16, 16, dtype=torch.long)
    parts[0, :10, :10], parts[0, 15, 15] = 1, 2
    scores = torch.zeros(1, 3, 16, 16).scatter(1, parts[:, None], 20.0)
    without = [scores.clone(), scores.clone()]
    for part, wrong in zip((1, 2), without, strict=True):
        wrong[:, 0][parts == part] = 60.0
    costs = [float(ExclusiveParts(2).dice(wrong, parts)) for wrong in without]
    assert costs[0] == pytest.approx(costs[1], abs=1e-3)
    assert costs[0] == pytest.approx(0.5, abs=1e-3)


def test_negative_entropy_runs_from_minus_log_classes_to_zero() -> None:
    uniform, sure = torch.zeros(1, 5, 2, 2), torch.zeros(1, 5, 2, 2)
    sure[:, 3] = 200.0
    assert float(Y.negative_entropy(Y.log_probability(uniform))) == pytest.approx(-math.log(5))
    assert float(Y.negative_entropy(Y.log_probability(sure))) == pytest.approx(0, abs=1e-6)


def test_descending_the_negative_entropy_raises_the_entropy() -> None:
    scores = logits(1, 4, 2, 2)
    before = Y.negative_entropy(Y.log_probability(scores))
    (gradient,) = torch.autograd.grad(before.sum(), scores)
    after = Y.negative_entropy(Y.log_probability(scores - 0.1 * gradient))
    assert float(after.detach()) < float(before.detach())  # lower negative entropy: higher entropy
    assert torch.isfinite(gradient).all()


def test_draws_follow_the_distribution() -> None:
    probability = torch.tensor([0.1, 0.6, 0.3])
    scores = probability.log().reshape(1, 3, 1, 1).expand(1, 3, 150, 150)
    drawn = Y.sample(scores, torch.Generator().manual_seed(0))
    assert drawn.shape == (1, 150, 150)
    frequency = torch.bincount(drawn.flatten(), minlength=3) / drawn.numel()
    torch.testing.assert_close(frequency, probability, atol=0.01, rtol=0)  # three standard errors of 22,500 draws
    assert torch.equal(drawn, Y.sample(scores, torch.Generator().manual_seed(0))), "a seed fixes the draw"


def test_the_mode_is_the_most_probable_part() -> None:
    assert Y.mode(torch.tensor([0.2, 0.7, 0.1]).reshape(1, 3, 1, 1)).item() == 1


def test_certain_parts_are_almost_certain_probabilities_and_ignored_ones_take_the_other_value() -> None:
    parts = torch.tensor([[[0, 2], [255, 1]]], dtype=torch.uint8)
    elsewhere = torch.tensor([0.2, 0.5, 0.3]).log().reshape(1, 3, 1, 1).expand(1, 3, 2, 2)
    log_y = ExclusiveParts(2).log_certain(parts, elsewhere)
    assert log_y.shape == (1, 3, 2, 2) and torch.isfinite(log_y).all()
    torch.testing.assert_close(log_y.exp().sum(1), torch.ones(1, 2, 2))
    assert log_y.argmax(1).tolist() == [[[0, 2], [1, 1]]]
    assert float(log_y[0, 2, 0, 1].exp()) > 0.999
    torch.testing.assert_close(log_y[0, :, 1, 0], elsewhere[0, :, 0, 0])
