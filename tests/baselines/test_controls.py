"""What else could explain the gain: self-training, AdaBN, closed-form EM, shuffled labels; and UniMatch."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from em_toy import PARTS, Pointwise, Y, batch, make, moved, options, style_of, weights
from toy import toy

from coarseparts.baselines import ada_bn, taught, uni_match
from coarseparts.baselines.taught import Taught
from coarseparts.baselines.uni_match import UniMatch
from coarseparts.networks import Encoder, PartModel
from coarseparts.training import methods
from coarseparts.training.run_folder import RunFolder
from coarseparts.training.task import Task


def pair() -> tuple:
    return batch(2, 50, labelled=True), batch(4, 1)


def test_self_training_repeats_what_the_model_said_before_and_sees_no_coarse_label() -> None:
    torch.manual_seed(0)
    network = Pointwise(3).eval()
    labelled, coarse = pair()
    said = copy.deepcopy(network)(coarse.image).softmax(1).detach()
    baseline = Taught(network, taught.itself(network, Y), options(), Y).train()
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.1)  # learning moves the pupil, not the teacher
    blind = batch(4, 1, present=False)
    for name in blind.labels:
        blind.labels[name] = torch.full_like(blind.labels[name], float("nan"))
    terms = baseline.terms(labelled, blind, torch.Generator())
    logits = copy.deepcopy(network).train()(torch.cat([coarse.image, labelled.image]))
    torch.testing.assert_close(terms["coarse"], Y.cross_entropy(said, logits[:4]).mean())
    torch.testing.assert_close(terms["labelled"], Y.supervised(logits[4:], labelled.parts))
    assert {id(p) for p in baseline.parameters()} == {id(p) for p in network.parameters()}, "the teacher learns nothing"


def test_distillation_repeats_what_the_posterior_said_before() -> None:
    networks, _ = make()
    labelled, coarse = pair()
    for module in networks.trained:
        module.eval()
    said = networks.infer(coarse, condition=True).exp().detach()
    baseline = Taught(networks.part_model, taught.posterior(networks, True), options(), Y).train()
    with torch.no_grad():
        for p in networks.posterior.parameters():
            p.add_(0.1)
    terms = baseline.terms(labelled, coarse, torch.Generator())
    logits = copy.deepcopy(networks.part_model)(torch.cat([coarse.image, labelled.image]))
    torch.testing.assert_close(terms["coarse"], Y.cross_entropy(said, logits[:4]).mean())
    torch.testing.assert_close(terms["labelled"], Y.supervised(logits[4:], labelled.parts))


def test_mask_only_is_taught_by_the_part_model_times_the_mask_and_box_likelihood() -> None:
    networks, _ = make()
    labelled, coarse = pair()
    coarse.present["box"] = torch.tensor([True, True, False, False])
    posterior = weights(networks.posterior)
    baseline = Taught(networks.part_model, taught.closed_form(networks), options(), Y).train()
    terms = baseline.terms(labelled, coarse, torch.Generator())
    logits = copy.deepcopy(networks.part_model)(torch.cat([coarse.image, labelled.image]))[:4].detach()
    log_q = style_of(networks, "mask").condition(logits.log_softmax(1), coarse.labels["mask"])
    log_q[:2] = style_of(networks, "box").condition(log_q, coarse.labels["box"])[:2]
    torch.testing.assert_close(terms["coarse"].detach(), -(log_q.exp() * logits.log_softmax(1)).sum(1).mean())
    assert not moved(networks.posterior, posterior, buffers=True), "the network is not asked"


def test_ada_bn_takes_the_images_statistics_and_touches_nothing_else() -> None:
    torch.manual_seed(0)
    network = Pointwise(3).eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    seen = batch(8, 3)
    adapted = ada_bn.adapted(network, [seen])
    assert all(torch.equal(v, network.state_dict()[k]) for k, v in before.items()), "the original stays"
    assert all(torch.equal(p, q) for p, q in zip(adapted.parameters(), network.parameters(), strict=True))
    inside = network.layers[0](seen.image)
    torch.testing.assert_close(adapted.layers[1].running_mean, inside.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(adapted.layers[1].running_var, inside.var((0, 2, 3)), rtol=1e-4, atol=1e-5)


def small(**options: Any) -> UniMatch:
    torch.manual_seed(0)
    return UniMatch(
        PartModel(Encoder("resnet10", stages=3), PARTS + 1), [0, 2, 1, *range(3, 256)], uni_match.Options(**options), Y
    )


def test_uni_match_counts_confident_pixels_alone() -> None:
    labelled, coarse = pair()
    unsure = small(confidence=0.999).train().terms(labelled, coarse, torch.Generator().manual_seed(0))
    assert sorted(unsure) == ["dropped", "labelled", "strong1", "strong2"]
    assert float(unsure["strong1"].detach()) == float(unsure["dropped"].detach()) == 0
    sure = small(confidence=0.0).train().terms(labelled, coarse, torch.Generator().manual_seed(0))
    assert all(float(v.detach()) > 0 for v in sure.values())


def test_uni_matchs_teacher_follows_the_part_model_slowly_and_learns_nothing_itself() -> None:
    baseline = small(momentum=0.9).train()
    labelled, coarse = pair()
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):  # past the first steps, in which a young average forgets fast
        terms = baseline.terms(labelled, coarse, generator)
    name = "decoder.head.weight"
    teacher, pupil = baseline.teacher.module.state_dict(), baseline.part_model.state_dict()
    before = teacher[name].clone()
    gradients = torch.autograd.grad(
        torch.stack(list(terms.values())).sum(), list(baseline.part_model.parameters()), allow_unused=True
    )
    assert any(g is not None and g.any() for g in gradients)
    with torch.no_grad():
        pupil[name].add_(1.0)
    baseline.terms(labelled, coarse, generator)
    torch.testing.assert_close(baseline.teacher.module.state_dict()[name], before + 0.1, rtol=1e-4, atol=1e-5)


def test_a_strong_view_and_its_labels_move_together() -> None:
    """Pictures of their own labels: colours change, but what was painted for part 1 must still carry part 1 or, in a
    mirrored view, part 2."""
    baseline = small(colour=0.0)
    labels = batch(16, 4, labelled=True).parts
    image = labels[:, None].float().expand(-1, 3, -1, -1).contiguous()
    generator = torch.Generator().manual_seed(1)
    view, parts = baseline._strong(image, labels, generator)
    assert not torch.equal(parts, labels), "something was mirrored or pasted"
    swapped = torch.tensor([0, 2, 1])[parts]
    painted = view[:, 0]
    fits = torch.minimum((painted - parts).abs(), (painted - swapped).abs())
    assert (fits < 0.2).float().mean() > 0.85, "but for edges, which were blurred or sheared off"
    inside = painted > 0.99
    assert (parts[inside] > 0).float().mean() > 0.98, "foreground stays foreground"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[Task, RunFolder]:
    folder = tmp_path_factory.mktemp("controls")
    return toy(folder / "store", folder / "run", **{"part_epochs": 1, "posterior_epochs": 1, "em_epochs": 1})


def test_every_control_runs(opened: tuple[Task, RunFolder]) -> None:
    for name in ("shuffled-labels", "mask-only", "ada-bn", "em"):
        _, rows = methods.train(*opened, name)
        assert rows[-1]["method"] == name
        assert 0 <= rows[-1]["part_miou"] <= 100
        assert rows[-1]["seconds"] > 0
    stages = opened[1].stages
    assert stages["shuffled-labels"].epoch == stages["mask-only"].epoch == stages["em"].epoch
    assert not [k for _, k, _ in stages["mask-only"].history[2:] if "posterior" in k], "it has no posterior to measure"


def test_shuffled_labels_are_seen_by_label_models_and_em_but_not_by_the_evaluation(
    opened: tuple[Task, RunFolder],
) -> None:
    task = opened[0]
    shuffled = task.with_labels_shuffled()
    ours, theirs = task.store.label("mask"), shuffled.store.label("mask")
    assert not np.array_equal(theirs[task.rows.coarse], ours[task.rows.coarse])
    for rows in (task.rows.part, task.rows.val):
        np.testing.assert_array_equal(theirs[rows], ours[rows])
    assert shuffled.coarse_feed.store is shuffled.store is not task.store is task.coarse_feed.store


def test_every_method_says_what_it_is(tmp_path: Path) -> None:
    for name, method in methods.METHODS.items():
        assert len(method.text) > 10, name
    assert [n for n, m in methods.METHODS.items() if m.posterior] == ["em", "distillation"]
