"""q of each image by itself: steps down the free energy, and draws by Langevin dynamics."""

import pytest
import torch
from em_toy import Y, batch, make, options

from coarseparts import em
from coarseparts.refine import descended

TARGET = torch.tensor([0.7, 0.2, 0.1])


def _away(log_q: torch.Tensor) -> torch.Tensor:
    """KL(q || TARGET), the mean over pixels."""
    return (log_q.exp() * (log_q - TARGET.log()[:, None, None])).sum(1).mean()


def _start(size: int = 4) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0)).log_softmax(1)


def test_enough_steps_end_where_the_energy_is_least():
    q = descended(_away, _start(), Y, steps=300, rate=1.0).exp()
    assert torch.allclose(q, TARGET[:, None, None].expand_as(q), atol=1e-3)


def test_no_step_leaves_q_as_it_is():
    assert torch.allclose(descended(_away, _start(), Y, steps=0, rate=1.0), _start(), atol=1e-6)


def test_langevin_steps_draw_another_q_for_every_seed_and_stay_distributions():
    draws = [
        descended(_away, _start(), Y, 20, 0.1, noise=True, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 1, 0)
    ]
    assert torch.equal(draws[0], draws[2]) and not torch.allclose(draws[0], draws[1], atol=0.1)
    assert torch.allclose(draws[0].exp().sum(1), torch.ones(2, 4, 4))


@pytest.mark.parametrize("condition", [False, True])
def test_an_images_own_steps_lower_its_free_energy_below_the_networks(condition):
    joint, _ = make()
    coarse, o = batch(4, 1), options(refine=10, refine_rate=0.5, condition=condition)
    with torch.no_grad():
        logits, log_q = joint.part_model(coarse.image), joint.infer(coarse)
    better = em.refined(joint, coarse, log_q, logits, o, None)

    def energy(log_q: torch.Tensor) -> float:
        with torch.no_grad():
            return float(sum(em.free_energy(joint, coarse, log_q, logits, o).values()))

    assert condition or energy(better) < energy(log_q) - 1e-3
    assert not better.requires_grad and torch.allclose(better.exp().sum(1), torch.ones(4, 16, 16), atol=1e-4)


def test_a_step_of_algorithm_1_learns_from_the_refined_q():
    coarse, labelled = batch(4, 1), batch(2, 2, labelled=True)
    losses = []
    for refine in (0, 5):
        joint, optimizers = make()
        losses.append(em.em_step(joint, optimizers, coarse, labelled, options(refine=refine)))
    assert losses[0]["e/agreement"] == losses[1]["e/agreement"], "the posterior's own step is the same"
    assert losses[0]["m/coarse"] != losses[1]["m/coarse"]
