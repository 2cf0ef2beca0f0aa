"""The named terms of the E-step and the M-step, and what every option makes of them. The bound: ``test_bound.py``."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from em_toy import POINTS, SIZE, Y, batch, make, options, step, style_of
from torch import Tensor

from coarseparts import em
from coarseparts.data.sample import Batch
from coarseparts.data.transforms import blanked
from coarseparts.em import Options
from coarseparts.joint import JointModel
from coarseparts.training.settings import settings

# --- the E-step's terms -----------------------------------------------------------------------------------------------


def terms_of(o: Options, **changes: Batch) -> tuple[dict[str, Tensor], Tensor]:
    """e_step's terms and the log_q that they are functions of."""
    networks, _ = make()
    torch.manual_seed(3)
    log_q = torch.randn(4, 3, SIZE, SIZE).log_softmax(1).requires_grad_()
    logits, logits_qp = torch.randn(4, 3, SIZE, SIZE), torch.randn(2, 3, SIZE, SIZE)
    coarse, labelled = changes.get("coarse", batch(4, 1)), changes.get("labelled", batch(2, 2, labelled=True))
    networks.theta_k.eval()
    return em.e_step(networks, coarse, log_q, logits, labelled, logits_qp, o), log_q


def test_agreement_has_a_direction() -> None:
    torch.manual_seed(3)
    log_q, logits = torch.randn(4, 3, SIZE, SIZE).log_softmax(1), torch.randn(4, 3, SIZE, SIZE)
    log_p = logits.log_softmax(1)
    elbo, _ = terms_of(options(agreement="elbo", alpha=2.0))
    reverse, _ = terms_of(options(agreement="reverse", alpha=2.0))
    torch.testing.assert_close(elbo["agreement"].detach(), -2 * (log_q.exp() * log_p).sum(1).mean())
    torch.testing.assert_close(reverse["agreement"].detach(), -2 * (log_p.exp() * log_q).sum(1).mean())


@pytest.mark.parametrize("agreement", ["elbo", "reverse"])
def test_either_agreement_pulls_the_posterior_to_the_part_model_and_never_the_other_way(agreement: str) -> None:
    networks, _ = make()
    wanted = torch.randn(4, 3, SIZE, SIZE, requires_grad=True)
    q = torch.zeros(4, 3, SIZE, SIZE, requires_grad=True)
    o = options(agreement=agreement, gamma=0.0, supervise=0.0)
    absent = batch(4, 1, present=False)
    terms = em.e_step(networks, absent, q.log_softmax(1), wanted, batch(2, 2, labelled=True), q[:2], o)
    to_q, to_p = torch.autograd.grad(terms["agreement"], (q, wanted), allow_unused=True)
    assert to_p is None
    assert float((-to_q * (wanted - wanted.mean(1, keepdim=True)).detach()).sum()) > 0


@pytest.mark.parametrize(("direction", "sign"), [("raise", 1.0), ("lower", -1.0)])
def test_the_entropy_has_a_sign(direction: str, sign: float) -> None:
    terms, log_q = terms_of(options(entropy=direction, gamma=0.3))
    torch.testing.assert_close(terms["entropy"], sign * 0.3 * (log_q.exp() * log_q).sum(1).mean())


@pytest.mark.parametrize("direction", ["raise", "lower"])
def test_steps_move_the_posteriors_entropy_in_the_named_direction(direction: str) -> None:
    networks, optimizers = make(optimizer="adam")
    optimizers.styles = None
    o = options(entropy=direction, gamma=50.0, supervise=0.0, label_dropout=0.0, evidence=1e-3)

    def entropy() -> float:
        with torch.no_grad():
            return -float(Y.negative_entropy(networks.infer(batch(4, 1))).mean())

    before = entropy()
    for _ in range(4):
        step(networks, optimizers, o)
    assert entropy() > before + 1e-3 if direction == "raise" else entropy() < before - 1e-3


@pytest.mark.parametrize("misfit", ["plain", "likelihood"])
def test_lambdas_multiply_the_misfit_that_was_chosen(misfit: str) -> None:
    networks, _ = make()
    networks.theta_k.eval()
    lambdas = {"mask": 3.0, "keypoints": 0.0}
    terms, log_q = terms_of(options(lambdas=lambdas, misfit=misfit, evidence=0.5))
    for name, style in networks.styles.items():
        mean, label = style.predict(log_q), batch(4, 1).labels[name]
        cost = style.loss(label, mean) if misfit == "plain" else 0.5 * style.nll(label, mean)
        torch.testing.assert_close(terms[name], lambdas.get(name, 1.0) * cost.mean())


NAMED = [{}, {"mask": 3.0}, {"mask": 1.0, "keypoints": 50.0}, {"box": 0.0}]


@pytest.mark.parametrize("named", NAMED, ids=lambda named: "+".join(named) or "none")
def test_a_style_that_is_not_named_counts_as_it_does_without_lambdas(named: dict[str, float]) -> None:
    """To the last bit, with its gradient: naming the mask's weight says nothing of the box's."""
    networks, _ = make()
    networks.theta_k.eval()
    plain, log_q_plain = terms_of(options(evidence=0.25))
    mixed, log_q = terms_of(options(lambdas=named, evidence=0.25))
    assert list(mixed) == list(plain)
    for name, _ in networks.styles.items():
        if name in named:
            torch.testing.assert_close(mixed[name], named[name] * plain[name])
        else:
            assert torch.equal(mixed[name], plain[name]), name
            (a,), (b,) = torch.autograd.grad(mixed[name], log_q), torch.autograd.grad(plain[name], log_q_plain)
            assert torch.equal(a, b), name


def test_the_papers_weights_are_those_of_keypoints_and_mask_and_a_boxs_is_1() -> None:
    networks, _ = make()
    networks.theta_k.eval()
    o = settings("paper").em
    terms, log_q = terms_of(o)
    for name, style in networks.styles.items():
        mean, label = style.predict(log_q), batch(4, 1).labels[name]
        expected = {
            "keypoints": lambda style=style, label=label, mean=mean: 50 * style.loss(label, mean),
            "mask": lambda style=style, label=label, mean=mean: style.loss(label, mean),
            "box": lambda style=style, label=label, mean=mean: style.loss(label, mean),
        }[name]()
        torch.testing.assert_close(terms[name], expected.mean())


def test_a_label_that_fits_better_weighs_more() -> None:
    """A tenth of the spread on held-out images makes ten times the slope: nobody sets lambda."""
    networks, _ = make()
    networks.theta_k.eval()
    style, label = style_of(networks, "keypoints"), batch(4, 1).labels["keypoints"]
    mean = style.predict(torch.zeros(4, 3, SIZE, SIZE).log_softmax(1))
    loose = style.nll(label, mean)
    style.set_scale(style.scale / 10)
    torch.testing.assert_close(style.nll(label, mean), 10 * loose)


def test_the_posteriors_supervised_term_can_be_weighed_and_left_out() -> None:
    assert "supervised" not in terms_of(options(supervise=0.0))[0]
    one, two = (terms_of(options(supervise=w))[0]["supervised"] for w in (1.0, 2.0))
    torch.testing.assert_close(two, 2 * one)
    torch.manual_seed(3)
    torch.randn(4, 3, SIZE, SIZE), torch.randn(4, 3, SIZE, SIZE)
    logits_qp = torch.randn(2, 3, SIZE, SIZE)
    torch.testing.assert_close(one, Y.supervised(logits_qp, batch(2, 2, labelled=True).parts))
    unlabelled, _ = terms_of(options(), labelled=batch(2, 2, labelled=False))
    assert float(unlabelled["supervised"].detach()) == 0


# --- missing labels ---------------------------------------------------------------------------------------------------


def test_a_missing_label_adds_nothing_whatever_stands_in_its_place() -> None:
    coarse = batch(4, 1)
    full, _ = terms_of(options(), coarse=coarse)
    for name in ("keypoints", "mask", "box"):
        partly = copy.deepcopy(coarse)
        partly.present[name] = torch.tensor([True, False, True, False])
        blank = copy.deepcopy(partly)
        blank.labels[name][1::2] = 0
        (a, log_q), (b, _) = terms_of(options(), coarse=partly), terms_of(options(), coarse=blank)
        torch.testing.assert_close(a[name], b[name])
        assert float(a[name].detach()) < float(full[name].detach())
        (gradient,) = torch.autograd.grad(a[name], log_q)
        assert not gradient[1::2].any() and gradient[0::2].any()
        assert all(torch.equal(a[other], full[other]) for other in a if other != name)


def test_where_nothing_bounds_the_object_the_part_model_says_less_and_label_models_rest() -> None:
    coarse = batch(4, 1)
    coarse.present["mask"] = torch.tensor([True, False, False, False])
    coarse.present["box"] = torch.tensor([False, True, False, False])  # images 2 and 3 have keypoints alone
    (whole, log_q), (partly, again) = (terms_of(options(unbounded=u), coarse=coarse) for u in (1.0, 0.25))
    for name in ("agreement", "entropy"):
        (a,), (b,) = (
            torch.autograd.grad(whole[name], log_q, retain_graph=True),
            torch.autograd.grad(partly[name], again, retain_graph=True),
        )
        torch.testing.assert_close(b[:2], a[:2])
        torch.testing.assert_close(b[2:], 0.25 * a[2:])
    assert torch.equal(whole["keypoints"], partly["keypoints"]), "the label itself counts as it did"
    networks, _ = make()
    networks.theta_k.eval()
    fixed = log_q.detach()
    costs = {u: em.label_step(networks, coarse, fixed, options(learn_unbounded=u))["keypoints"] for u in (True, False)}
    assert 0 < float(costs[False].detach()) < float(costs[True].detach())
    for i in (2, 3):
        coarse.labels["keypoints"][i] += 3  # what nobody learns from may be anything
    changed = em.label_step(networks, coarse, fixed, options(learn_unbounded=False))["keypoints"]
    assert torch.equal(changed, costs[False])


def test_images_without_any_label_still_make_a_step() -> None:
    networks, optimizers = make()
    log = em.em_step(networks, optimizers, batch(4, 1, present=False), batch(2, 2, labelled=True), options())
    assert all(float(log[f"e/{name}"]) == 0 for name in ("keypoints", "mask", "box"))
    assert float(log["l/keypoints"]) == 0
    assert all(torch.isfinite(v) for v in log.values())


def test_dropout_hides_labels_at_the_named_rate_and_tells_the_posterior() -> None:
    networks, _ = make()
    many = batch(4, 1)[torch.arange(4).repeat(100)]
    many.present["box"] = torch.zeros(400, dtype=torch.bool)
    plain = networks.draw(many)
    hidden = networks.draw(many, 0.3, torch.Generator().manual_seed(0))
    assert plain.shape == (400, POINTS + 1 + 1 + 3, SIZE, SIZE)
    ranges = {"keypoints": slice(0, POINTS), "mask": slice(POINTS, POINTS + 1), "box": slice(POINTS + 1, POINTS + 2)}
    for i, (name, channels) in enumerate(ranges.items()):
        flag = hidden[:, POINTS + 2 + i, 0, 0].bool()
        assert not hidden[~flag][:, channels].any()
        assert torch.equal(hidden[flag][:, channels], plain[flag][:, channels])
        share = 0.0 if name == "box" else 0.7
        assert float(flag.float().mean()) == pytest.approx(share, abs=0.07 if share else 0)
    again = networks.draw(many, 0.3, torch.Generator().manual_seed(0))
    assert torch.equal(hidden, again), "the generator fixes what is hidden"


def test_dropped_labels_still_count_in_the_likelihood() -> None:
    """Dropout hides labels from the posterior's input; the bound goes on asking that q explains them."""
    networks, optimizers = make()
    log = step(networks, optimizers, options(label_dropout=0.99))
    assert all(float(log[f"e/{name}"]) > 0 for name in ("keypoints", "mask", "box"))


@pytest.mark.parametrize("dice", [0.0, 3.0])
def test_a_posterior_that_sees_less_learns_from_what_it_says_given_all(dice: float) -> None:
    networks, optimizers = make()
    coarse, labelled = batch(4, 1), batch(2, 51, labelled=True)
    chosen = options(consistency=2.0, label_dropout=0.99, dice=dice, joint_forward=False)
    twin = copy.deepcopy(networks)
    log = em.em_step(networks, optimizers, coarse, labelled, chosen, torch.Generator().manual_seed(0))
    known = em.inferred(twin, coarse, chosen).exp()
    drawn = twin.draw(coarse, 0.99, torch.Generator().manual_seed(0))
    assert not drawn[:, -3:].any(), "all labels are hidden"
    q = twin.posterior(coarse.image, drawn)
    torch.testing.assert_close(log["e/consistency"], 2 * Y.cross_entropy(known, q).mean().detach())
    assert ("e/consistency_dice" in log) == bool(dice)
    if dice:
        torch.testing.assert_close(log["e/consistency_dice"], 6 * Y.dice(q, known).detach())


def test_a_posterior_that_sees_all_labels_learns_nothing_of_itself() -> None:
    networks, optimizers = make()
    same = step(networks, optimizers, options(consistency=1.0, dice=1.0, label_dropout=0.0))
    assert float(same["e/consistency"]) == float(same["e/consistency_dice"]) == 0
    assert "e/consistency" not in step(*make(), options(label_dropout=0.5))


def test_an_image_shows_the_posterior_the_mask_of_its_parts_where_others_have_masks() -> None:
    networks, _ = make()
    coarse = batch(600, 1)
    own = {"keypoints": torch.arange(600) % 2 == 0, "mask": torch.arange(600) % 2 == 1, "box": torch.zeros(600) > 0}
    coarse = replace(coarse, present=coarse.present | own)
    log_y = Y.log_certain(batch(600, 2, labelled=True).parts, torch.zeros(600, 3, SIZE, SIZE))
    assert networks.imputed(coarse, log_y, 1.0) is coarse, "all coarse images have the same labels"
    networks.subsets = torch.tensor([[True, False, False], [False, True, True]])
    assert networks.imputed(coarse, log_y, 0.0) is coarse
    told = networks.imputed(coarse, log_y, 0.5, torch.Generator().manual_seed(0))
    assert torch.equal(told.labels["keypoints"], coarse.labels["keypoints"])
    assert not (told.present["keypoints"] & ~own["keypoints"]).any(), "what is learned is not believed"
    assert torch.equal(told.labels["mask"][own["mask"]], coarse.labels["mask"][own["mask"]]), "what is known stays"
    seen = told.present["mask"] & ~own["mask"]
    assert torch.equal(seen, told.present["box"] & ~own["mask"]), "a subset comes as a whole"
    assert 50 < seen.sum() < 100, "a quarter: every second one, of which every second one is as the others are"
    assert torch.equal(told.labels["mask"][seen, 0].bool(), log_y[seen].argmax(1) > 0)
    assert torch.equal(told.labels["box"][seen], networks.styles["box"].likeliest(log_y)[seen])
    kept = own["keypoints"] & told.present["keypoints"]
    assert not (kept & seen).any() and 200 < kept.sum() < 250


def test_what_a_mask_tells_is_learned_where_no_image_has_keypoints_and_a_mask() -> None:
    networks, optimizers = make()
    coarse, labelled = batch(4, 1), batch(2, 51, labelled=True)
    coarse.present |= {"mask": torch.zeros(4, dtype=torch.bool), "box": torch.zeros(4, dtype=torch.bool)}
    networks.subsets = torch.tensor([[False, True, False]])
    chosen = options(consistency=2.0, impute=1.0, joint_forward=False)
    twin = copy.deepcopy(networks)
    log = em.em_step(networks, optimizers, coarse, labelled, chosen, torch.Generator().manual_seed(0))
    known = em.inferred(twin, coarse, chosen)
    q = twin.posterior(coarse.image, twin.draw(twin.imputed(coarse, known, 1.0)))
    torch.testing.assert_close(log["e/consistency"], 2 * Y.cross_entropy(known.exp(), q).mean().detach())
    assert float(log["e/mask"]) == float(log["e/box"]) == 0, "a label that nobody gave is no evidence"


def test_an_image_without_any_label_shows_those_of_its_parts_and_others_may_show_none() -> None:
    networks, _ = make()
    coarse = batch(200, 1)
    bare, none = torch.arange(200) < 100, torch.zeros(200, dtype=torch.bool)
    coarse = replace(coarse, present=coarse.present | {"keypoints": none, "mask": ~bare, "box": none})
    log_y = Y.log_certain(batch(200, 2, labelled=True).parts, torch.zeros(200, 3, SIZE, SIZE))
    networks.subsets = torch.tensor([[False, False, False], [False, True, False]])
    told = networks.imputed(coarse, log_y, 1.0, torch.Generator().manual_seed(0))
    assert not told.present["keypoints"].any() and not told.present["box"].any()
    for some in (bare, ~bare):
        assert 30 < told.present["mask"][some].sum() < 70, "half are as those without labels are, half show a mask"
    assert torch.equal(told.labels["mask"][bare, 0].bool(), log_y[bare].argmax(1) > 0)
    assert torch.equal(told.labels["mask"][~bare], coarse.labels["mask"][~bare])


def test_the_posterior_alone_sees_patches_of_images_with_part_masks_blank() -> None:
    networks, optimizers = make()
    coarse, labelled = batch(4, 1), batch(2, 51, labelled=True)
    twin = copy.deepcopy(networks)
    chosen = options(supervise=1.0, blank=1.0, joint_forward=False)
    log = em.em_step(networks, optimizers, coarse, labelled, chosen, torch.Generator().manual_seed(0))
    twin.posterior(coarse.image, twin.draw(coarse))  # as batch norm saw it
    seen = blanked(labelled.image, 1.0, torch.Generator().manual_seed(0))
    assert not torch.equal(seen, labelled.image)
    q = twin.posterior(seen, twin.draw(labelled))
    torch.testing.assert_close(log["e/supervised"], Y.supervised(q, labelled.parts).detach())
    known = Y.supervised(twin.part_model(labelled.image), labelled.parts).detach()
    torch.testing.assert_close(log["m/labelled"], chosen.delta1 * known)


def test_subsets_of_labels_are_learned_where_coarse_images_differ_in_them() -> None:
    o = Options()
    mixed, alike = o.where(labels_differ=True), o.where(labels_differ=False)
    assert (mixed.consistency, mixed.label_dropout) == (o.consistency, o.consistency_dropout) == (1.0, 0.5)
    assert (alike.consistency, alike.label_dropout) == (0.0, o.label_dropout) == (0.0, 0.1)
    off = Options(consistency=0.0)
    assert off.where(True) == off.where(False) == off


# --- the M-step -------------------------------------------------------------------------------------------------------


def m_coarse(networks: JointModel, log_q: Tensor, logits: Tensor, o: Options) -> Tensor:
    return em.m_step(networks.y, log_q, logits, batch(2, 2, labelled=True), torch.zeros(2, 3, SIZE, SIZE), o)["coarse"]


def test_the_m_step_learns_from_probabilities_the_mode_or_a_draw() -> None:
    networks, _ = make()
    torch.manual_seed(5)
    logits = 2 * torch.randn(4, 3, SIZE, SIZE)
    log_q = (logits + torch.randn(4, 3, SIZE, SIZE)).log_softmax(1)  # so that the mode suits the part model
    log_p = logits.log_softmax(1)
    soft = -(log_q.exp() * log_p).sum(1).mean()
    mode = -log_p.gather(1, log_q.argmax(1, keepdim=True)).mean()
    torch.testing.assert_close(m_coarse(networks, log_q, logits, options(target="soft")), soft)
    torch.testing.assert_close(m_coarse(networks, log_q, logits, options(target="mode")), mode)
    draws = torch.stack([m_coarse(networks, log_q, logits, options(target="sample")) for _ in range(60)])
    torch.testing.assert_close(draws.mean(), soft, atol=0.02, rtol=0)  # a draw is right on average
    assert not torch.isclose(mode, soft, atol=0.05)


def test_delta1_and_delta2_weigh_the_labelled_and_the_coarse_images() -> None:
    networks, _ = make()
    torch.manual_seed(5)
    log_q, logits = torch.randn(4, 3, SIZE, SIZE).log_softmax(1), torch.randn(4, 3, SIZE, SIZE)
    logits_p, labelled = torch.randn(2, 3, SIZE, SIZE), batch(2, 2, labelled=True)
    one = em.m_step(networks.y, log_q, logits, labelled, logits_p, options())
    two = em.m_step(networks.y, log_q, logits, labelled, logits_p, options(delta1=2.0, delta2=5.0))
    torch.testing.assert_close(one["labelled"], Y.supervised(logits_p, labelled.parts))
    torch.testing.assert_close(two["labelled"], 2 * one["labelled"])
    torch.testing.assert_close(two["coarse"], 5 * one["coarse"])


def test_the_overlap_stands_beside_each_cross_entropy_that_trains_parts() -> None:
    networks, _ = make()
    torch.manual_seed(5)
    log_q, logits = torch.randn(4, 3, SIZE, SIZE).log_softmax(1), torch.randn(4, 3, SIZE, SIZE)
    logits_p, labelled = torch.randn(2, 3, SIZE, SIZE), batch(2, 2, labelled=True)
    o = options(dice=0.3, delta1=2.0, delta2=5.0)
    terms = em.m_step(networks.y, log_q, logits, labelled, logits_p, o)
    torch.testing.assert_close(terms["labelled_dice"], 0.6 * Y.dice(logits_p, labelled.parts))
    torch.testing.assert_close(terms["coarse_dice"], 1.5 * Y.dice(logits, log_q.exp()))
    terms, _ = terms_of(options(dice=0.3, supervise=2.0))
    assert 0 < float(terms["supervised_dice"].detach()) <= 0.6
    assert not [name for name in terms_of(options(dice=0.0))[0] if "dice" in name]


def test_conditioning_multiplies_the_networks_posterior_by_the_exact_likelihood() -> None:
    networks, _ = make()
    coarse = batch(4, 1)
    plain, conditioned = networks.infer(coarse), networks.infer(coarse, condition=True)
    torch.testing.assert_close(conditioned, networks.condition(coarse, plain))
    foreground = coarse.labels["mask"][:, 0] > 0.5

    def right(log_q: Tensor) -> Tensor:
        return torch.where(foreground, 1 - log_q[:, 0].exp(), log_q[:, 0].exp()).mean()

    assert float(right(conditioned).detach()) > float(right(plain).detach()) + 0.1


@pytest.mark.parametrize("condition", [False, True])
def test_the_m_step_learns_from_the_conditioned_posterior_when_asked(condition: bool) -> None:
    networks, optimizers = make()
    optimizers.posterior = torch.optim.SGD(networks.posterior.parameters(), 0.0)  # so that it can be asked afterwards
    coarse, labelled = batch(4, 1), batch(2, 51, labelled=True)
    twin = copy.deepcopy(networks)
    log = em.em_step(networks, optimizers, coarse, labelled, options(condition=condition))
    logits = twin.part_model(torch.cat([coarse.image, labelled.image]))[:4]
    expected = Y.cross_entropy(twin.infer(coarse, condition).exp(), logits).mean()
    torch.testing.assert_close(log["m/coarse"], expected.detach())
