"""Algorithm 1: amortized variational EM for a part model from coarse labels.

    paper     here            what
    x, xp     batch, labelled  images with coarse labels; images with part labels
    mu        logits           f(y|x, theta), the part model
    mu_q      log_q            f(y|x, y1..yn, theta_q), the posterior; log-probabilities
    mu_k      style.predict    f(yk|y, theta_k), one factor per label style
    alpha     o.alpha          weight of log p(y|x) in the E-step
    lambda_k  o.coarse[k]      weight of l_k, of a style that o.coarse names
              o.evidence       of any other: weight of -log p(yk|y) in nats, lambda_k being inside its fitted scale
    gamma     o.gamma          weight of the entropy
    delta1/2  o.delta1/2       weights of the labelled and the coarse images in the M-step

Numbers at the right margin are the lines of Algorithm 1. No label style, data set or path is named here.
Losses are means over pixels and images, in nats; a label that an image lacks adds nothing (Eq. 2 is a sum).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from coarseparts.data.sample import Batch
from coarseparts.labels import LabelStyle, Parts
from coarseparts.system import device, parallel
from coarseparts.system.errors import CoarsepartsError

Terms = dict[str, Tensor]


class Options(BaseModel):
    """What may be chosen in Algorithm 1. Presets are in ``presets.py``; defaults here are the ``default`` preset's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alpha: float = Field(0.1, ge=0, description="weight of the part model's opinion in the E-step")
    coarse: dict[str, float] | None = Field(
        None,
        description="lambda of label styles by name, on their plain loss; a style that is not named counts as without "
        "this option: by evidence and its held-out fit",
    )
    evidence: float = Field(
        0.1, gt=0, description="with fitted scales: share of a label's elements that count as independent"
    )
    gamma: float = Field(0.1, ge=0, description="weight of the entropy in the E-step")
    entropy: Literal["raise", "lower"] = Field("raise", description="raise: the ELBO's +H(q); lower: as released")
    agreement: Literal["elbo", "reverse"] = Field(
        "elbo", description="elbo: -E_q log p(y|x); reverse: -E_p log q(y), as released"
    )
    unbounded: float = Field(
        0.1,
        ge=0,
        le=1,
        description="factor on alpha and gamma for images without mask and box; below 1, no p(yk|y) learns from them",
    )
    supervise: float = Field(1.0, ge=0, description="weight of the posterior's own loss on part-labelled images")
    target: Literal["soft", "mode", "sample"] = Field("soft", description="what of q the M-step learns from")
    overlap: float = Field(
        3.0, ge=0, description="weight of the soft Dice loss beside each cross entropy that trains parts; 0: as printed"
    )
    delta1: float = Field(1.0, ge=0, description="weight of the part-labelled images in the M-step")
    delta2: float = Field(1.0, ge=0, description="weight of the coarse images in the M-step")
    train_label_models: bool = Field(True, description="line 18; false: p(yk|y) stays as initialised")
    posterior: Literal["network", "exact"] = Field(
        "network", description="exact: q in closed form from p(y|x) and the deterministic styles (mask, box)"
    )
    condition: bool = Field(
        True, description="multiply the network's q by the deterministic styles' exact likelihood, too"
    )
    average: float = Field(
        0.98,
        ge=0,
        lt=1,
        description="line 14 infers with theta_q's moving average, which keeps this share a step; 0: no",
    )
    infer_again: bool = Field(
        True, description="line 14; false: q as it was before line 12's update, one forward pass less"
    )
    frozen_posterior: bool = Field(False, description="no E-step: distillation, a control and not EM")
    joint_forward: bool = Field(True, description="both batches in one forward pass, sharing batch-norm statistics")
    label_dropout: float = Field(0.1, ge=0, lt=1, description="chance that a label is hidden from the posterior")
    clip: float = Field(1.0, gt=0, description="largest norm of a gradient")


@dataclass
class Networks:
    """theta, theta_q and theta_k, and the drawing of labels for the posterior.

    ``styles`` is a ModuleDict of ``LabelStyle`` by name, in the order of the posterior's channels; ``y`` says what a
    part label is, and how many parts there are. ``average``, where there is one, is a posterior in eval() mode whose
    weights follow theta_q's; it infers in its place.
    """

    part_model: nn.Module
    posterior: nn.Module
    styles: nn.ModuleDict
    y: Parts
    average: nn.Module | None = None

    def style_items(self) -> list[tuple[str, LabelStyle]]:
        """(name, style) pairs, typed."""
        return [(n, s) for n, s in self.styles.items() if isinstance(s, LabelStyle)]

    def draw(self, batch: Batch, dropout: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """(B, C, H, W): every style drawn where present, then a presence channel each. Any subset per image.

        ``dropout``: chance that a label which is there is hidden, so that one posterior learns every subset.
        """
        styles, size = self.style_items(), batch.image.shape[-1]
        channels, at = sum(style.channels for _, style in styles), 0
        drawn = torch.empty(len(batch), channels + len(styles), size, size, device=batch.image.device)
        for i, (name, style) in enumerate(styles):
            seen = batch.present[name].float()
            if dropout:
                seen = seen * (parallel.rand(len(batch), generator, seen.device) >= dropout)
            style.draw_into(drawn[:, at : at + style.channels], batch.labels[name], seen)
            drawn[:, channels + i] = seen[:, None, None]
            at += style.channels
        return drawn

    def bounded(self, batch: Batch, otherwise: float) -> Tensor:
        """(B,) 1 where a style (mask, box) says where the object ends, ``otherwise`` elsewhere.

        Elsewhere nothing but p(y|x) says it, and p(y|x) learns from q: left to each other, both shrink to blobs that
        explain the keypoints and no more, and p(yk|y) learns to read the blobs.
        """
        there = torch.zeros(len(batch), dtype=torch.bool, device=batch.image.device)
        for name, style in self.style_items():
            there = there | (batch.present[name] & style.bounds)
        return torch.where(there, 1.0, otherwise)

    def infer(self, batch: Batch, condition: bool = False) -> Tensor:
        """log q(y|x, y1..yn), (B, S, H, W), from all labels that are there."""
        posterior = self.posterior if self.average is None else self.average
        log_q = self.y.log_probability(posterior(batch.image, self.draw(batch)))
        return self.condition(batch, log_q) if condition else log_q

    def condition(self, batch: Batch, log_y: Tensor) -> Tensor:
        """log of p(y) prod_k p(yk|y), normalised, over the styles whose product has a closed form."""
        for name, style in self.style_items():
            there = batch.present[name][:, None, None, None]
            log_y = torch.where(there, style.condition(log_y, batch.labels[name]), log_y)
        return log_y


@dataclass
class Optimizers:
    """One optimizer per network (lines 12, 17, 18); ``styles`` is None when nothing in p(yk|y) is learned."""

    part_model: torch.optim.Optimizer
    posterior: torch.optim.Optimizer
    styles: torch.optim.Optimizer | None = None

    def each(self) -> list[torch.optim.Optimizer]:
        """Those that exist."""
        return [o for o in (self.part_model, self.posterior, self.styles) if o is not None]


class TrainingDiverged(CoarsepartsError, RuntimeError):
    """A loss is no longer finite."""

    exit_code = 1


def update(optimizer: torch.optim.Optimizer, terms: Mapping[str, Tensor], clip: float = math.inf) -> None:
    """Moves what ``optimizer`` holds down the sum of ``terms``, and nothing else; leaves no gradient behind.

    Raises TrainingDiverged, naming the terms, when one is not finite; the weights are then as they were. On a GPU such
    a step is left out without a word, so that the host need not wait, and ``epoch_means`` raises.
    """
    loss = torch.stack(list(terms.values())).sum()
    unwatched = device.unwatched(optimizer)
    if not unwatched and not torch.isfinite(loss):
        raise _diverged(name for name, value in terms.items() if not torch.isfinite(value))
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, parallel.averaged(gradients, parameters), strict=True):
        parameter.grad = gradient
    norm = nn.utils.clip_grad_norm_(parameters, clip)
    if unwatched:
        device.leave_out_where(~torch.isfinite(loss + norm), optimizer)
    elif not torch.isfinite(norm):
        optimizer.zero_grad(set_to_none=True)
        raise TrainingDiverged(f"the gradient is not finite (terms: {', '.join(terms)}); lower the learning rate")
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    """Moves an average of a network's weights and running statistics a step towards them: keep it, 1 - keep them."""
    for own, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if own.is_floating_point():
            own.lerp_(new, 1 - keep)
        else:
            own.copy_(new)


def epoch_means(
    sums: Mapping[str, Tensor], steps: int, optimizers: Iterable[torch.optim.Optimizer]
) -> dict[str, float]:
    """The mean of each term over an epoch. Raises TrainingDiverged where a step of it was left out."""
    means = {name: float(value) / steps for name, value in sums.items()}
    if number := device.left_out(optimizers):
        raise _diverged((name for name, value in means.items() if not math.isfinite(value)), number)
    return means


def _diverged(terms: Iterable[str], steps: int = 1) -> TrainingDiverged:
    return TrainingDiverged(
        f"the loss is not finite (terms: {', '.join(terms) or 'their sum'}{f'; {steps} steps' if steps > 1 else ''}); "
        "lower the learning rate (part_lr, em_part_lr, ... of `coarseparts settings`) in a new run folder"
    )


def e_step(
    networks: Networks, batch: Batch, log_q: Tensor, logits: Tensor, labelled: Batch, logits_qp: Tensor, o: Options
) -> Terms:
    """The E-step's loss in named terms: -F(q, theta) of Eq. 2, weighted, and the posterior's supervised anchor.

    As Algorithm 1 prints it, p(yk|y) is taken at the mean of q (``style.predict(log_q)``); ``Mask(y, "expected")`` has
    Eq. 2's expectation under q instead, with which the terms are the bound itself.

    ``log_q`` (B, S, H, W) carries the gradient; ``logits`` of the part model is taken as given;
    ``logits_qp`` is the posterior on the part-labelled images.
    """
    y, logits = networks.y, logits.detach()
    if o.agreement == "elbo":
        agreement = y.cross_entropy(log_q.exp(), logits)  # -E_q log p(y|x)
    else:
        agreement = -(y.log_probability(logits).exp() * log_q).sum(1).mean((1, 2))
    sign, bounded = 1.0 if o.entropy == "raise" else -1.0, networks.bounded(batch, o.unbounded)
    terms = {
        "agreement": o.alpha * (agreement * bounded).mean(),
        "entropy": sign * o.gamma * (y.negative_entropy(log_q) * bounded).mean(),  # l_q
    }
    for name, style in networks.style_items():
        mean, label = style.predict(log_q), batch.labels[name]  #                                       9, 10
        by_hand = (o.coarse or {}).get(name)
        misfit = o.evidence * style.nll(label, mean) if by_hand is None else style.loss(label, mean)
        terms[name] = (1.0 if by_hand is None else by_hand) * (misfit * batch.present[name]).mean()
    if o.supervise:
        terms["supervised"] = o.supervise * y.supervised(logits_qp, labelled.parts)
        if o.overlap:
            terms["supervised_overlap"] = o.supervise * o.overlap * y.overlap(logits_qp, labelled.parts)
    return terms


def m_step(
    networks: Networks,
    log_q: Tensor,
    logits: Tensor,
    labelled: Batch,
    logits_p: Tensor,
    o: Options,
    generator: torch.Generator | None = None,
) -> Terms:
    """The part model's loss in named terms (line 17): l(yp, mu_p) and l(mu_q, mu), q being fixed."""
    y = networks.y
    if o.target == "soft":
        q = log_q.exp()
    else:
        hard = y.mode(log_q) if o.target == "mode" else y.sample(log_q, generator)
        q = y.certain(hard).to(log_q.dtype)
    terms = {
        "labelled": o.delta1 * y.supervised(logits_p, labelled.parts),
        "coarse": o.delta2 * y.cross_entropy(q, logits).mean(),
    }
    if o.overlap:
        terms["labelled_overlap"] = o.delta1 * o.overlap * y.overlap(logits_p, labelled.parts)
        terms["coarse_overlap"] = o.delta2 * o.overlap * y.overlap(logits, q)
    return terms


def label_step(networks: Networks, batch: Batch, log_q: Tensor, o: Options) -> Terms:
    """The learned p(yk|y)'s losses by style (line 18), q being fixed."""
    learns = networks.bounded(batch, float(o.unbounded == 1))
    return {
        name: (style.loss(batch.labels[name], style.predict(log_q)) * (batch.present[name] * learns)).mean()  # 16
        for name, style in networks.style_items()
        if style.learned
    }


def em_step(
    networks: Networks,
    optimizers: Optimizers,
    batch: Batch,
    labelled: Batch,
    o: Options,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Lines 6-18 for one pair of batches. Returns the detached terms, "e/..." "m/..." "l/...".

    Networks that are trained are in train() mode, so that batch norm uses the batch's own statistics.
    """
    # What rests is in eval() mode, so that its running statistics rest, too.
    trains_styles = optimizers.styles is not None and o.train_label_models and not o.frozen_posterior
    networks.posterior.train(o.posterior == "network" and not o.frozen_posterior)
    networks.styles.train(trains_styles)
    x = batch.image
    log: dict[str, Tensor] = {}
    # theta rests during the E-step, so one forward pass serves line 8 and lines 15, 17.
    logits, logits_p = _both(networks.part_model, (x,), (labelled.image,), o.joint_forward)  #           8, 15
    drawn = networks.draw(batch, o.label_dropout, generator)
    drawn_p = networks.draw(labelled, o.label_dropout, generator)

    if o.posterior == "exact":
        log_q = networks.condition(batch, networks.y.log_probability(logits.detach()))
    else:
        if not o.frozen_posterior:
            with frozen(networks.styles):
                q, q_p = _both(networks.posterior, (x, drawn), (labelled.image, drawn_p), o.joint_forward)  # 7
                log_q = networks.y.log_probability(q)
                terms = e_step(networks, batch, log_q, logits, labelled, q_p, o)  #                          11
                update(optimizers.posterior, terms, o.clip)  #                                               12
                if networks.average is not None:
                    follow(networks.average, networks.posterior, o.average)
            log |= {f"e/{k}": v.detach() for k, v in terms.items()}
        with torch.no_grad():
            if o.infer_again or o.frozen_posterior:
                log_q = networks.infer(batch, o.condition)  #                                            14
            else:
                log_q = networks.condition(batch, log_q.detach()) if o.condition else log_q.detach()

    terms = m_step(networks, log_q, logits, labelled, logits_p, o, generator)
    update(optimizers.part_model, terms, o.clip)  #                                                          17
    log |= {f"m/{k}": v.detach() for k, v in terms.items()}
    if trains_styles:
        assert optimizers.styles is not None
        terms = label_step(networks, batch, log_q, o)
        update(optimizers.styles, terms, o.clip)  #                                                          18
        log |= {f"l/{k}": v.detach() for k, v in terms.items()}
    return log


Batches = Callable[[int], Iterable[tuple[Batch, Batch]]]
"""epoch -> (part-labelled, coarse) batches, augmented; the same epoch gives the same batches."""


def train(
    networks: Networks,
    optimizers: Optimizers,
    batches: Batches,
    o: Options,
    epochs: int,
    steps: int,
    on_epoch: Callable[[int, dict[str, float]], None],
    seed: int = 0,
    start: int = 0,
) -> None:
    """The whole of Algorithm 1: ``epochs`` epochs of ``steps`` steps from ``start`` on, cosine learning rates.

    ``on_epoch`` gets the epoch (counted from 1) and the mean of each term; it evaluates, saves and re-estimates.
    """
    for epoch in range(start, epochs):  #                                                                    3
        generator = torch.Generator().manual_seed(seed * 100_003 + epoch)
        for network in (networks.part_model, networks.posterior, networks.styles):
            network.train()
        sums: dict[str, Tensor] = {}
        for step, (labelled, batch) in enumerate(batches(epoch)):  #                                      4, 5
            for optimizer in optimizers.each():
                set_rate(optimizer, (epoch + step / steps) / epochs)
            for name, value in em_step(networks, optimizers, batch, labelled, o, generator).items():
                sums[name] = sums.get(name, torch.zeros(())).to(value.device) + value
        on_epoch(epoch + 1, epoch_means(sums, steps, optimizers.each()))


def set_rate(optimizer: torch.optim.Optimizer, progress: float) -> None:
    """Cosine schedule in closed form from each group's base rate; ``progress`` runs from 0 to 1."""
    for group in optimizer.param_groups:
        base = group.setdefault("base_lr", group["lr"])
        group["lr"] = base * (0.5 + 0.5 * math.cos(math.pi * min(progress, 1.0)))


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """No gradients to a module's weights inside; what flows through it to its input still does."""
    wanted = [p for p in module.parameters() if p.requires_grad]
    for p in wanted:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in wanted:
            p.requires_grad_(True)


def _both(network: nn.Module, a: tuple[Tensor, ...], b: tuple[Tensor, ...], joint: bool) -> tuple[Tensor, Tensor]:
    """Outputs on two batches, in one forward pass (shared batch-norm statistics) or in two."""
    if not joint:
        return network(*a), network(*b)
    out = network(*(torch.cat(pair) for pair in zip(a, b, strict=True)))
    return out[: len(a[0])], out[len(a[0]) :]
