"""A tiny discrete world in which everything can be counted: F(q, theta) of Eq. 2, the exact E-step, the exact M-step.

Six images of 2x2 pixels, three colours, three classes (background and two parts). The part model is a table,
p(class | colour); the mask's likelihood is a Bernoulli per pixel. Sums over all 3^4 labellings of an image are the
reference for the package's own terms: no formula of the package is used in them.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from coarseparts import em, updates
from coarseparts.data.sample import Batch
from coarseparts.em import Options
from coarseparts.joint import JointModel
from coarseparts.labels import ExclusiveParts, Mask

IMAGES, COLOURS, CLASSES, NOISE = 6, 3, 3, 0.15
Y = ExclusiveParts(CLASSES - 1)
LABELLINGS = torch.tensor(list(itertools.product(range(CLASSES), repeat=4)))  # (81, 4)
EQ2 = Options(
    unbounded=1.0,
    alpha=1.0,
    gamma=1.0,
    evidence=1.0,
    supervise=0.0,
    agreement="elbo",
    entropy="raise",
    dice=0.0,
)


class Table(nn.Module):
    """p(class | colour): logits (COLOURS, CLASSES), looked up at every pixel of an image (B, 1, 2, 2) of colours."""

    def __init__(self, generator: torch.Generator):
        super().__init__()
        self.logits = nn.Parameter(torch.randn(COLOURS, CLASSES, generator=generator))

    def forward(self, image: Tensor) -> Tensor:
        return self.logits[image[:, 0].long()].movedim(-1, 1)


def world(seed: int, likelihood: str = "expected") -> tuple[JointModel, Batch, Batch]:
    """Networks, coarse images (the last without a mask) and two part-labelled ones, one pixel of which is ignored."""
    generator = torch.Generator().manual_seed(seed)

    def images(count: int, labelled: bool) -> Batch:
        colours = torch.randint(COLOURS, (count, 2, 2), generator=generator)
        other = torch.randint(CLASSES, (count, 2, 2), generator=generator)
        parts = torch.where(torch.rand(count, 2, 2, generator=generator) < 0.7, colours, other)
        flipped = torch.rand(count, 2, 2, generator=generator) < NOISE
        present = torch.ones(count, dtype=torch.bool)
        present[-1] = labelled
        if labelled:
            parts[0, 0, 0] = 255
        return Batch(
            colours.float()[:, None],
            parts if labelled else torch.full_like(parts, 255),
            {"mask": ((parts > 0) ^ flipped).float()[:, None]},
            {"mask": present, "parts": torch.full((count,), labelled)},
            torch.arange(count),
        )

    style = Mask(Y, likelihood)  # type: ignore[arg-type]
    style.set_scale(torch.tensor([NOISE]))
    networks = JointModel(Table(generator), nn.Identity(), {"mask": style}, Y)
    return networks, images(IMAGES, False), images(2, True)


def log_joint(networks: JointModel, batch: Batch) -> Tensor:
    """(B, 81): log p(y|x) p(mask|y) of every labelling y of every image, by counting."""
    log_table = networks.part_model.state_dict()["logits"].log_softmax(1)
    out = torch.zeros(len(batch), len(LABELLINGS))
    for i in range(len(batch)):
        colours, mask = batch.image[i].flatten().long(), batch.labels["mask"][i].flatten()
        for pixel in range(4):
            part = LABELLINGS[:, pixel]
            out[i] += log_table[colours[pixel], part]
            if batch.present["mask"][i]:
                agrees = (part > 0) == (mask[pixel] > 0)
                out[i] += torch.where(agrees, math.log(1 - NOISE), math.log(NOISE))
    return out


def bound(networks: JointModel, batch: Batch, log_q: Tensor) -> float:
    """F = sum_y q(y) [log p(y, mask | x) - log q(y)], summed over labellings, per image and pixel."""
    per_pixel = log_q.detach().flatten(2)  # (B, C, 4)
    log_qy = sum(per_pixel[:, LABELLINGS[:, pixel], pixel] for pixel in range(4))  # (B, 81): q is a product of pixels
    assert isinstance(log_qy, Tensor)
    return float((log_qy.exp() * (log_joint(networks, batch) - log_qy)).sum()) / (4 * len(batch))


def minus_terms(networks: JointModel, batch: Batch, labelled: Batch, log_q: Tensor) -> float:
    """What em.e_step calls -F, with its sign turned."""
    logits = networks.part_model(batch.image)
    terms = em.e_step(networks, batch, log_q, logits, labelled, networks.part_model(labelled.image), EQ2)
    return -float(torch.stack(list(terms.values())).sum().detach())


def some_q(seed: int, sharp: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (sharp * torch.randn(IMAGES, CLASSES, 2, 2, generator=generator)).log_softmax(1)


def exact_e_step(networks: JointModel, batch: Batch) -> Tensor:
    return networks.condition(batch, networks.part_model(batch.image).detach().log_softmax(1))


def exact_m_step(networks: JointModel, batch: Batch, labelled: Batch, log_q: Tensor, o: Options) -> None:
    """The table that minimises m_step's terms: frequencies of the classes under q and the labels, by colour."""
    counts = torch.zeros(COLOURS, CLASSES)
    for colour in range(COLOURS):
        here = (batch.image[:, 0] == colour)[:, None]  # (B, 1, 2, 2)
        counts[colour] += o.delta2 * (log_q.exp() * here).sum(dim=(0, 2, 3)) / (4 * len(batch))
        known = labelled.parts != 255
        for part in range(CLASSES):
            hit = (labelled.image[:, 0] == colour) & (labelled.parts == part)
            counts[colour, part] += o.delta1 * float(hit.sum()) / float(known.sum())
    with torch.no_grad():
        networks.part_model.state_dict()["logits"].copy_(counts.clamp_min(1e-12).log())


@pytest.mark.parametrize("sharp", [0.0, 1.0, 6.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_e_steps_terms_are_the_bound_counted_over_all_labellings(seed: int, sharp: float) -> None:
    networks, batch, labelled = world(seed)
    log_q = some_q(seed + 10, sharp)
    counted = bound(networks, batch, log_q)
    assert minus_terms(networks, batch, labelled, log_q) == pytest.approx(counted, abs=1e-5)


def test_the_exact_e_step_closes_the_gap_to_the_likelihood_and_no_q_does_better() -> None:
    networks, batch, labelled = world(0)
    evidence = float(log_joint(networks, batch).logsumexp(1).sum()) / (4 * IMAGES)
    assert minus_terms(networks, batch, labelled, exact_e_step(networks, batch)) == pytest.approx(evidence, abs=1e-5)
    for seed in range(8):
        assert minus_terms(networks, batch, labelled, some_q(seed, 2.0)) < evidence


def test_descending_the_e_steps_terms_finds_the_exact_posterior() -> None:
    """The amortized E-step follows these gradients: with a free q they lead to Bayes' rule."""
    networks, batch, labelled = world(1)
    free = torch.zeros(IMAGES, CLASSES, 2, 2, requires_grad=True)
    optimizer, logits = torch.optim.Adam([free], 0.3), networks.part_model(batch.image).detach()
    for _ in range(120):
        terms = em.e_step(networks, batch, free.log_softmax(1), logits, labelled, logits[:2], EQ2)
        updates.update(optimizer, terms)
    torch.testing.assert_close(free.detach().softmax(1), exact_e_step(networks, batch).exp(), atol=2e-3, rtol=0)


def test_the_exact_m_step_is_where_the_m_steps_gradient_vanishes() -> None:
    networks, batch, labelled = world(2)
    o, log_q = Options(delta1=0.7, delta2=1.3, dice=0.0), exact_e_step(networks, batch)

    def slope() -> float:
        logits, logits_p = networks.part_model(batch.image), networks.part_model(labelled.image)
        loss = torch.stack(list(em.m_step(networks.y, log_q, logits, labelled, logits_p, o).values())).sum()
        (gradient,) = torch.autograd.grad(loss, list(networks.part_model.parameters()))
        return float(gradient.abs().max())

    assert slope() > 1e-2
    exact_m_step(networks, batch, labelled, log_q, o)
    assert slope() < 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_the_bound_never_falls(seed: int) -> None:
    """Exact E- and M-steps in turn: each may only raise the bound, and the likelihood of what was seen rises with it.

    With part-labelled images the bound has their log-likelihood added, as line 17 has.
    """
    networks, batch, labelled = world(seed)
    o = Options(delta1=0.5, delta2=1.0, target="soft", dice=0.0)

    def whole(log_q: Tensor) -> float:
        logits, logits_p = networks.part_model(batch.image), networks.part_model(labelled.image)
        supervised = em.m_step(networks.y, log_q, logits, labelled, logits_p, o)["labelled"]
        ours = minus_terms(networks, batch, labelled, log_q)
        assert ours == pytest.approx(bound(networks, batch, log_q), abs=1e-5)
        return ours - float(supervised.detach())

    log_q = some_q(seed)
    values = [whole(log_q)]
    for _ in range(6):
        log_q = exact_e_step(networks, batch)
        values.append(whole(log_q))
        exact_m_step(networks, batch, labelled, log_q, o)
        values.append(whole(log_q))
    for before, after in itertools.pairwise(values):
        assert after >= before - 1e-6
    assert values[2] > values[0] + 0.05, "and at first it rises by much"
    assert values[-1] - values[-3] < 0.02, "until it has nowhere to rise"


def test_a_wrong_sign_of_the_entropy_lets_the_bound_fall() -> None:
    """The released code's sign: the best q of those terms is a mode, which the test above would not let pass."""
    networks, batch, labelled = world(0)
    exact = exact_e_step(networks, batch)
    mode = torch.where(nn.functional.one_hot(exact.argmax(1), CLASSES).movedim(-1, 1) > 0, 0.0, -30.0)

    def cost(log_q: Tensor, direction: str) -> float:
        logits = networks.part_model(batch.image)
        o = EQ2.model_copy(update={"entropy": direction})
        return float(torch.stack(list(em.e_step(networks, batch, log_q, logits, labelled, logits, o).values())).sum())

    with torch.no_grad():
        assert cost(mode, "lower") < cost(exact, "lower")
        assert cost(mode, "raise") > cost(exact, "raise")
    assert bound(networks, batch, mode) < bound(networks, batch, exact)


def test_the_mask_loss_of_the_mean_is_the_bound_only_where_the_foreground_is_certain() -> None:
    """Algorithm 1 asks the mean of q for the mask, which is not Eq. 2's expectation: never below it, by Jensen."""
    networks, batch, labelled = world(0, "of_mean")
    for seed in range(3):
        log_q = some_q(seed)
        assert minus_terms(networks, batch, labelled, log_q) > bound(networks, batch, log_q) + 1e-3
    parts_only = some_q(0)
    parts_only[:, 0] = -40.0  # foreground everywhere, of which part is open
    log_q = parts_only.log_softmax(1)
    assert minus_terms(networks, batch, labelled, log_q) == pytest.approx(bound(networks, batch, log_q), abs=1e-5)
