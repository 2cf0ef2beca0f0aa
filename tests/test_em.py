"""Algorithm 1 step by step: what moves, what rests, one pass or two, and the loop. Its terms: ``test_em_terms.py``."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import pytest
import torch
from em_toy import Y, batch, make, moved, of, options, step, style_of, weights
from torch import nn

from coarseparts import em, updates
from coarseparts.data.sample import Batch
from coarseparts.em import Options
from coarseparts.updates import Epochs, TrainingDiverged, frozen

# --- each update moves one network ------------------------------------------------------------------------------------


@pytest.mark.parametrize("real", [False, True], ids=["stand-ins", "resnets"])
def test_each_update_moves_one_network_and_leaves_no_gradient(real: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    networks, optimizers = make(real)
    owner = {id(optimizers.posterior): "posterior", id(optimizers.part_model): "part_model"}
    owner[id(optimizers.styles)] = "styles"
    order: list[str] = []
    plain = updates.update

    def watched(optimizer: torch.optim.Optimizer, *rest: object, **more: object) -> object:
        before = {name: weights(network) for name, network in of(networks).items()}
        result = plain(optimizer, *rest, **more)  # type: ignore[arg-type]
        changed = {name for name, network in of(networks).items() if moved(network, before[name])}
        assert changed == {owner[id(optimizer)]}
        for name, network in of(networks).items():
            assert all(p.grad is None for p in network.parameters()), name
        order.extend(changed)
        return result

    monkeypatch.setattr(em, "update", watched)
    log = step(networks, optimizers, options())
    assert order == ["posterior", "part_model", "styles"], "lines 12, 17, 18"
    assert all(p.requires_grad for network in of(networks).values() for p in network.parameters())
    assert {name.split("/")[0] for name in log} == {"e", "m", "l"}
    assert all(not value.requires_grad and torch.isfinite(value) for value in log.values())


def test_the_log_names_every_term() -> None:
    networks, optimizers = make()
    log = step(networks, optimizers, options())
    e = {"agreement", "entropy", "keypoints", "mask", "box", "supervised"}
    assert set(log) == {f"e/{name}" for name in e} | {"m/labelled", "m/coarse", "l/keypoints"}


def test_an_update_moves_nothing_but_its_own_parameters_even_through_a_shared_graph() -> None:
    a, b = nn.Linear(3, 3), nn.Linear(3, 3)
    before = weights(b)
    updates.update(torch.optim.SGD(a.parameters(), 0.1), {"loss": b(a(torch.ones(2, 3))).square().mean()})
    assert not moved(b, before)
    assert all(p.grad is None for p in b.parameters())


def test_an_update_goes_down_and_is_clipped() -> None:
    p = nn.Parameter(torch.tensor([3.0, -4.0]))
    updates.update(torch.optim.SGD([p], 1.0), {"a": 50 * p.square().sum(), "b": 50 * p.square().sum()}, clip=1.0)
    torch.testing.assert_close(p.detach(), torch.tensor([3.0, -4.0]) * (1 - 1 / 5))  # a step of length 1, downhill


# --- a loss that is not a number --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_term_that_is_not_finite_is_named_and_nothing_moves(bad: float) -> None:
    layer = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters(), 0.1)
    before, loss = weights(layer), layer(torch.ones(1, 2)).sum()
    with pytest.raises(TrainingDiverged, match="keypoints") as caught:
        updates.update(optimizer, {"agreement": loss, "keypoints": loss * bad, "mask": loss})
    assert "agreement" not in str(caught.value) and "mask" not in str(caught.value)
    assert not moved(layer, before)
    assert all(p.grad is None for p in layer.parameters())


def test_a_broken_label_model_stops_the_step_before_anything_moves() -> None:
    networks, optimizers = make()
    style_of(networks, "keypoints").scale.fill_(math.nan)
    before = {name: weights(network) for name, network in of(networks).items()}
    with pytest.raises(TrainingDiverged, match=r"\(terms: keypoints\)"):
        step(networks, optimizers, options())
    assert not any(moved(network, before[name]) for name, network in of(networks).items())


# --- what rests when it is told to rest -------------------------------------------------------------------------------


def test_label_models_rest_when_they_are_not_to_be_trained() -> None:
    networks, optimizers = make()
    styles, posterior = weights(networks.theta_k), weights(networks.posterior)
    log = step(networks, optimizers, options(train_label_models=False))
    assert not moved(networks.theta_k, styles, buffers=True)
    assert moved(networks.posterior, posterior), "they still teach the posterior"
    assert not any(name.startswith("l/") for name in log)


def test_without_an_optimizer_for_label_models_there_is_no_label_step() -> None:
    networks, optimizers = make()
    optimizers.styles = None
    assert len(optimizers.each()) == 2
    assert not any(name.startswith("l/") for name in step(networks, optimizers, options()))


def test_frozen_keeps_weights_from_gradients_and_lets_them_through() -> None:
    layer, x = nn.Linear(2, 2), torch.ones(1, 2, requires_grad=True)
    layer.bias.requires_grad_(False)
    with frozen(layer):
        layer(x).sum().backward()
    assert layer.weight.grad is None and x.grad is not None
    assert layer.weight.requires_grad and not layer.bias.requires_grad, "as it was before"


# --- one forward pass or two ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("joint", [False, True])
def test_one_forward_pass_shares_batch_statistics_and_two_do_not(joint: bool) -> None:
    networks, optimizers = make()
    coarse, labelled = batch(4, 1), batch(2, 51, labelled=True)
    twin = copy.deepcopy(networks)
    log = em.em_step(networks, optimizers, coarse, labelled, options(joint_forward=joint))

    drawn, drawn_p = twin.draw(coarse), twin.draw(labelled)
    if joint:
        logits, logits_p = twin.part_model(torch.cat([coarse.image, labelled.image])).split([4, 2])
        both = twin.posterior(torch.cat([coarse.image, labelled.image]), torch.cat([drawn, drawn_p]))
        q, q_p = both.split([4, 2])
    else:
        logits, logits_p = twin.part_model(coarse.image), twin.part_model(labelled.image)
        q, q_p = twin.posterior(coarse.image, drawn), twin.posterior(labelled.image, drawn_p)
    close = torch.testing.assert_close
    close(log["m/labelled"], Y.supervised(logits_p, labelled.parts).detach())
    close(log["e/supervised"], Y.supervised(q_p, labelled.parts).detach())
    log_q = q.log_softmax(1)
    close(log["e/agreement"], -(log_q.exp() * logits.log_softmax(1)).sum(1).mean().detach())
    close(log["e/entropy"], (log_q.exp() * log_q).sum(1).mean().detach())


def test_an_average_of_the_posterior_follows_it_and_infers_in_its_place() -> None:
    networks, optimizers = make()
    networks.average = updates.moving_average(networks.posterior, lambda _: 0.75)
    coarse, labelled = batch(4, 1), batch(2, 51, labelled=True)
    first = copy.deepcopy(networks.posterior.state_dict())
    part_model = copy.deepcopy(networks.part_model)
    log = em.em_step(networks, optimizers, coarse, labelled, options(joint_forward=False))
    for name, own in networks.average.module.state_dict().items():
        now = networks.posterior.state_dict()[name]
        torch.testing.assert_close(own, 0.75 * first[name] + 0.25 * now if own.is_floating_point() else now)
    assert not networks.average.training and networks.posterior.training
    with torch.no_grad():
        log_q = networks.average(coarse.image, networks.draw(coarse)).log_softmax(1)
        q = (networks.condition(coarse, log_q) if options().condition else log_q).exp()
        torch.testing.assert_close(log["m/coarse"], Y.cross_entropy(q, part_model(coarse.image)).mean())
        torch.testing.assert_close(networks.infer(coarse), log_q)


def test_the_two_ways_differ_only_by_batch_norm() -> None:
    """In eval mode, where images do not meet in batch norm, one pass gives what two give."""
    networks, _ = make()
    for network in of(networks).values():
        network.eval()
    a, b = batch(4, 1).image, batch(2, 2).image
    joint, apart = (updates.on_both(networks.part_model, (a,), (b,), j) for j in (True, False))
    for x, y in zip(joint, apart, strict=True):
        torch.testing.assert_close(x, y)


# --- the whole loop ---------------------------------------------------------------------------------------------------


def pairs(epoch: int) -> Iterator[tuple[Batch, Batch]]:
    for i in range(2):
        yield batch(2, 10 * epoch + i + 100, labelled=True), batch(4, 10 * epoch + i)


def test_the_rate_follows_its_schedule_from_each_groups_own_base() -> None:
    a, b = nn.Linear(1, 1), nn.Linear(1, 1)
    optimizer = torch.optim.SGD([{"params": a.parameters(), "lr": 0.4}, {"params": b.parameters(), "lr": 0.1}])
    for progress, share in ((0.0, 1.0), (0.5, 0.5), (1 / 3, 0.75), (1.0, 0.0), (2.0, 0.0)):
        updates.set_rate(optimizer, progress)
        assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.4 * share, 0.1 * share])
    for progress, share in ((0.0, 1.0), (0.75, 1.0), (0.9, 0.4), (1.0, 0.0), (2.0, 0.0)):
        updates.set_rate(optimizer, progress, decay=0.25)
        assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.4 * share, 0.1 * share])


def test_training_calls_back_after_each_epoch_with_the_means() -> None:
    networks, optimizers = make()
    seen: list[tuple[int, dict[str, float]]] = []
    epochs = Epochs(pairs, 2, 2, lambda epoch, means: seen.append((epoch, means)))
    em.train(networks, optimizers, options(), epochs)
    assert [epoch for epoch, _ in seen] == [1, 2]
    assert all(math.isfinite(value) for _, means in seen for value in means.values())
    assert set(seen[0][1]) == set(step(networks, optimizers, options()))


def test_the_step_lowers_the_part_models_losses_on_a_toy() -> None:
    networks, optimizers = make(optimizer="adam")
    seen: list[dict[str, float]] = []
    em.train(networks, optimizers, options(), Epochs(pairs, 6, 2, lambda _, means: seen.append(means)))
    assert seen[-1]["m/labelled"] < 0.85 * seen[0]["m/labelled"]
    assert seen[-1]["e/mask"] < seen[0]["e/mask"]


@pytest.mark.parametrize("target", ["soft", "sample"])
def test_training_resumed_after_an_epoch_ends_at_the_same_weights(target: str) -> None:
    o = options(target=target, label_dropout=0.3)
    whole, whole_optimizers = make(optimizer="adam")
    em.train(whole, whole_optimizers, o, Epochs(pairs, 2, 2, lambda *_: None, seed=7))

    first, first_optimizers = make(optimizer="adam")

    class Killed(Exception):
        pass

    def stop(epoch: int, _: dict[str, float]) -> None:
        raise Killed

    with pytest.raises(Killed):
        em.train(first, first_optimizers, o, Epochs(pairs, 2, 2, stop, seed=7))
    second, second_optimizers = make(optimizer="adam")
    torch.rand(17)  # the global generator is not where it was: nothing may depend on it
    for name, network in of(second).items():
        network.load_state_dict(of(first)[name].state_dict())
    for new, old in zip(second_optimizers.each(), first_optimizers.each(), strict=True):
        new.load_state_dict(old.state_dict())
    em.train(second, second_optimizers, o, Epochs(pairs, 2, 2, lambda *_: None, seed=7, start=1))
    for name, network in of(second).items():
        assert not moved(network, weights(of(whole)[name]), buffers=True), name


def test_options_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ValueError, match="lamda"):
        Options(lamda=1.0)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="target"):
        Options(target="hardest")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="label_dropout"):
        Options(label_dropout=1.0)
