"""Parts that may overlap: bit fields, a sigmoid a part, and the same answers as for binary masks one by one."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from coarseparts.labels import Box, Mask, OverlappingParts, parts_of
from coarseparts.labels.parts import pack, unpack

P = 3
Y = OverlappingParts(P)


def logits(seed: int = 0, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, P, 4, 5, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def labels(seed: int = 1) -> torch.Tensor:
    return torch.randint(0, 1 << P, (2, 4, 5), generator=torch.Generator().manual_seed(seed))


def test_bits_are_packed_and_unpacked() -> None:
    parts = torch.arange(1 << P).reshape(1, 2, 4)
    there = unpack(parts, P)
    assert there[0, :, 1, 1].tolist() == [True, False, True], "5 = 1 + 4: parts 1 and 3"
    assert torch.equal(pack(there), parts)
    assert parts_of(True, P) == Y and Y.outputs == P and Y.states == 2 * P


def test_supervised_is_the_sum_over_parts_of_binary_cross_entropies() -> None:
    scores, parts = logits(), labels()
    parts[0, 1] = 255
    by_hand = []
    for b in range(2):
        for i in range(4):
            for j in range(5):
                if parts[b, i, j] != 255:
                    there = torch.tensor([int(parts[b, i, j]) >> p & 1 for p in range(P)]).float()
                    by_hand.append(F.binary_cross_entropy_with_logits(scores[b, :, i, j], there, reduction="sum"))
    assert len(by_hand) == 35
    loss = Y.supervised(scores, parts)
    torch.testing.assert_close(loss, torch.stack(by_hand).mean())
    (gradient,) = torch.autograd.grad(loss, scores)
    assert not gradient[0, :, 1].any() and gradient[1].all(), "ignored pixels move nothing"
    nothing = Y.supervised(scores, torch.full((2, 4, 5), 255))
    assert float(nothing.detach()) == 0


def test_states_are_probabilities_of_there_and_not_there() -> None:
    scores = torch.tensor([400.0, -400.0, 0.3]).reshape(1, P, 1, 1)
    log_y = Y.log_probability(scores)
    assert torch.isfinite(log_y).all()
    there, not_there = log_y.exp().chunk(2, dim=1)
    torch.testing.assert_close(there + not_there, torch.ones(1, P, 1, 1))
    torch.testing.assert_close(there, scores.sigmoid())
    torch.testing.assert_close(Y.probability(scores), log_y.exp())
    assert Y.mode(log_y).item() == 0b101
    torch.testing.assert_close(Y.confidence(log_y).flatten(), torch.tensor([0.3]).sigmoid())


def test_cross_entropy_with_certain_targets_is_the_supervised_loss() -> None:
    scores, parts = logits(), labels()
    each = Y.cross_entropy(Y.certain(parts), scores)
    assert each.shape == (2,)
    torch.testing.assert_close(each.mean(), Y.supervised(scores, parts))


def test_certain_labels_come_back_as_the_mode_and_ignored_ones_take_the_other_value() -> None:
    parts, elsewhere = labels(), Y.log_probability(logits(3)).detach()
    parts[1, 2] = 255
    log_y = Y.log_certain(parts, elsewhere)
    known = parts != 255
    assert torch.equal(Y.mode(log_y)[known], parts[known])
    assert torch.equal(log_y[1, :, 2], elsewhere[1, :, 2])
    there, not_there = log_y.exp().chunk(2, dim=1)
    torch.testing.assert_close(there + not_there, torch.ones_like(there))


def test_draws_follow_the_distribution() -> None:
    log_y = Y.log_probability(torch.tensor([2.0, 0.0, -1.0]).reshape(1, P, 1, 1).expand(1, P, 100, 100))
    drawn = unpack(Y.sample(log_y, torch.Generator().manual_seed(0)), P).float().mean((0, 2, 3))
    torch.testing.assert_close(drawn, torch.tensor([2.0, 0.0, -1.0]).sigmoid(), atol=0.02, rtol=0)


def test_entropy_is_that_of_independent_coins() -> None:
    log_y = Y.log_probability(torch.zeros(2, P, 4, 5))
    torch.testing.assert_close(Y.negative_entropy(log_y), torch.full((2,), -P * 0.693147))


def test_overlap_loss_is_nothing_for_the_truth_and_one_for_its_opposite() -> None:
    parts = labels()
    truth = (Y.certain(parts)[:, :P] * 2 - 1) * 50
    assert float(Y.dice(truth, parts)) < 1e-6
    assert float(Y.dice(-truth, parts)) > 0.999 * P, "a sum over the parts"
    torch.testing.assert_close(Y.dice(truth / 50, parts), Y.dice(truth / 50, Y.certain(parts)))


def test_points_say_that_one_part_is_there_and_nothing_of_the_others() -> None:
    scores, marked = logits(), torch.full((2, 4, 5), 255)
    marked[0, 1, 2] = 3
    loss = Y.at_points(scores, marked)
    torch.testing.assert_close(loss, -F.logsigmoid(scores[0, 2, 1, 2]))
    (gradient,) = torch.autograd.grad(loss, scores)
    assert int((gradient != 0).sum()) == 1


class Foreground(torch.nn.Module):
    """Logit of "some part is there", with one weight to learn."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(8.0))

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        return self.weight * (y.chunk(2, dim=1)[0].amax(1, keepdim=True) - 0.5)


def test_a_learned_mask_is_what_its_model_says_and_has_no_closed_form() -> None:
    style = Mask(Y, model=Foreground())
    assert style.learned and style.bounds
    log_y = Y.log_certain(torch.tensor([[[0, 1], [2, 5]]]), torch.zeros(1, 2 * P, 2, 2))
    assert (style.predict(log_y) > 0).squeeze().tolist() == [[False, True], [True, True]]
    label = torch.tensor([[[[0.0, 1.0], [1.0, 1.0]]]])
    assert style.condition(log_y, label) is log_y
    assert float(style.loss(label, style.predict(log_y)).detach()) < float(
        style.loss(1 - label, style.predict(log_y)).detach()
    )
    torch.testing.assert_close(style.fit(label, style.predict(log_y)), torch.tensor([1e-3]))
    with pytest.raises(ValueError, match="no closed form"):
        Mask(Y, "expected", model=Foreground())


def test_a_box_rules_every_part_out_beyond_it() -> None:
    style = Box(Y, model=Foreground())
    style.set_scale(torch.tensor([1e-4, 1e-4]))
    log_y = Y.log_probability(torch.zeros(1, P, 4, 4))
    ruled = style.condition(log_y, torch.tensor([[0.0, 0.0, 2.0, 4.0]])).exp()
    there, not_there = ruled.chunk(2, dim=1)
    torch.testing.assert_close(there + not_there, torch.ones_like(there))
    torch.testing.assert_close(there[..., :2], torch.full((1, P, 4, 2), 0.5))
    assert float(there[..., 2:].max()) < 1e-3
    sure = Y.log_certain(torch.tensor([[[1, 1, 0, 0]] * 4]), torch.zeros(1, 2 * P, 4, 4))
    fits, wrong = torch.tensor([[0.0, 0.0, 2.0, 4.0]]), torch.tensor([[2.0, 0.0, 4.0, 4.0]])
    assert float(style.nll(fits, style.predict(sure))) < float(style.nll(wrong, style.predict(sure)))
