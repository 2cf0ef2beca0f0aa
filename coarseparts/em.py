"""Algorithm 1: amortized variational EM for a part model from coarse labels.

    paper     here            what
    x, xp     batch, labelled  images with coarse labels; images with part labels
    mu        logits           f(y|x, theta), the part model
    mu_q      log_q            f(y|x, y1..yn, theta_q), the posterior; log-probabilities
    mu_k      style.predict    f(yk|y, theta_k), one factor per label style
    alpha     o.alpha          weight of log p(y|x) in the E-step
    lambda_k  o.lambdas[k]     weight of a label style, 1 where it is not named
    gamma     o.gamma          weight of the entropy
    delta1/2  o.delta1/2       weights of the labelled and the coarse images in the M-step

Numbers at the right margin are the lines of Algorithm 1. No label style, data set or path is named here.
Losses are means over pixels and images, in nats; a label that an image lacks adds nothing (Eq. 2 is a sum).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from coarseparts.data.sample import Batch
from coarseparts.data.transforms import blanked, viewed
from coarseparts.joint import JointModel
from coarseparts.labels import Parts
from coarseparts.refine import descended
from coarseparts.updates import Epochs, Terms, frozen, on_both, train_epochs, update


@dataclass
class Optimizers:
    """One optimizer per network (lines 12, 17, 18); ``styles`` is None when nothing in p(yk|y) is learned."""

    part_model: torch.optim.Optimizer
    posterior: torch.optim.Optimizer
    styles: torch.optim.Optimizer | None = None

    def each(self) -> list[torch.optim.Optimizer]:
        """Those that exist."""
        return [o for o in (self.part_model, self.posterior, self.styles) if o is not None]


def em_step(
    joint: JointModel,
    optimizers: Optimizers,
    batch: Batch,
    labelled: Batch,
    o: Options,
    generator: torch.Generator | None = None,
) -> Terms:
    """Lines 6-18 for one pair of batches. Returns the detached terms, "e/..." "m/..." "l/...".

    Networks that are trained are in train() mode, so that batch norm uses the batch's own statistics.
    """
    style_optimizer = optimizers.styles if o.train_label_models else None
    joint.theta_k.train(style_optimizer is not None)  # what rests keeps its running statistics, too
    x, xp = batch.image, labelled.image
    known = inferred(joint, batch, o) if o.consistency else None
    told = batch if known is None else joint.imputed(batch, known, o.impute, generator)
    drawn = joint.draw(told, o.label_dropout, generator)
    drawn_p = joint.draw(labelled, o.label_dropout, generator, as_coarse=True)
    # theta rests during the E-step, so one forward pass serves line 8 and lines 15, 17.
    logits, logits_p = on_both(joint.part_model, (viewed(x, o.views, generator),), (xp,), o.joint_forward)  # 8, 15
    seen_p = blanked(xp, o.blank, generator)
    with frozen(joint.theta_k):
        q, q_p = on_both(joint.posterior, (x, drawn), (seen_p, drawn_p), o.joint_forward)  #                7
        e_terms = e_step(joint, batch, joint.y.log_probability(q), logits, labelled, q_p, o)  #             11
        if known is not None:
            e_terms |= consistency_terms(joint, batch, drawn, q, known, o)
        update(optimizers.posterior, e_terms, o.clip)  #                                                    12
        if joint.average is not None:
            joint.average.update_parameters(joint.posterior)
    log_q = inferred(joint, batch, o) if known is None else known  #                                        14
    if o.refine:
        log_q = refined(joint, batch, log_q, logits, o, generator)
    m_terms = m_step(joint.y, log_q, logits, labelled, logits_p, o, generator, joint.weights(batch))
    update(optimizers.part_model, m_terms, o.clip)  #                                                       17
    l_terms: Terms = {}
    if style_optimizer is not None:
        l_terms = label_step(joint, batch, log_q, o)
        update(style_optimizer, l_terms, o.clip)  #                                                         18
    each = {"e": e_terms, "m": m_terms, "l": l_terms}
    return {f"{step}/{name}": value.detach() for step, terms in each.items() for name, value in terms.items()}


def inferred(joint: JointModel, batch: Batch, o: Options) -> Tensor:
    """Line 14: log_q (B, S, H, W) given all labels that are there, which is taken as it is."""
    with torch.no_grad():
        return joint.infer(batch, o.condition and not o.refine)


def consistency_terms(joint: JointModel, batch: Batch, drawn: Tensor, q: Tensor, known: Tensor, o: Options) -> Terms:
    """What the posterior that has seen other labels of an image than there are, ``q`` (logits) given ``drawn``, learns
    from what it says given those, ``known``: q(y|x, some) is the mean of q(y|x, all) over the labels that are hidden.

    Thus the posterior learns from coarse images what the image alone tells, as the part model does in the M-step, and,
    where labels were ``imputed``, what those tell that other images have.
    """
    shown = drawn[:, -len(joint.styles) :, 0, 0] > 0
    there = torch.stack([batch.present[name] for name in joint.styles], 1)
    others, weights = (there ^ shown).any(1).float(), joint.weights(batch)
    others = others if weights is None else others * weights
    terms = {"consistency": o.consistency * (joint.y.cross_entropy(known.exp(), q) * others).mean()}
    if o.dice:
        terms["consistency_dice"] = o.consistency * o.dice * joint.y.dice(q, known.exp(), others)
    return terms


def e_step(
    joint: JointModel, batch: Batch, log_q: Tensor, logits: Tensor, labelled: Batch, logits_qp: Tensor, o: Options
) -> Terms:
    """The E-step's loss in named terms: -F(q, theta) of Eq. 2, weighted, and the posterior's supervised anchor.

    As Algorithm 1 prints it, p(yk|y) is taken at the mean of q (``style.predict(log_q)``); ``Mask(y, "expected")`` has
    Eq. 2's expectation under q instead, with which the terms are the bound itself.

    ``log_q`` (B, S, H, W) carries the gradient; ``logits`` of the part model is taken as given;
    ``logits_qp`` is the posterior on the part-labelled images.
    """
    terms = free_energy(joint, batch, log_q, logits, o)
    if o.supervise:
        terms["supervised"] = o.supervise * joint.y.supervised(logits_qp, labelled.parts)
        if o.dice:
            terms["supervised_dice"] = o.supervise * o.dice * joint.y.dice(logits_qp, labelled.parts)
    return terms


def free_energy(joint: JointModel, batch: Batch, log_q: Tensor, logits: Tensor, o: Options) -> Terms:
    """-F(q, theta) of Eq. 2 in named terms; arguments as of ``e_step``."""
    y, logits = joint.y, logits.detach()
    if o.agreement == "elbo":
        agreement = y.cross_entropy(log_q.exp(), logits)  # -E_q log p(y|x)
    else:
        agreement = -(y.log_probability(logits).exp() * log_q).sum(1).mean((1, 2))
    sign = 1.0 if o.entropy == "raise" else -1.0
    bounded = torch.where(joint.bounded(batch), 1.0, o.unbounded)
    terms = {
        "agreement": o.alpha * (agreement * bounded).mean(),
        "entropy": sign * o.gamma * (y.negative_entropy(log_q) * bounded).mean(),  # l_q
    }
    for name, style in joint.styles.items():
        mean, label = style.predict(log_q), batch.labels[name]  #                                        9, 10
        misfit = style.loss(label, mean) if o.misfit == "plain" else o.evidence * style.nll(label, mean)
        terms[name] = o.lambdas.get(name, 1.0) * (misfit * batch.present[name]).mean()
    return terms


def refined(
    joint: JointModel, batch: Batch, log_q: Tensor, logits: Tensor, o: Options, generator: torch.Generator | None
) -> Tensor:
    """log_q, from where the network left it, after steps down the free energy, image by image (section 3.2)."""

    def energy(log_q: Tensor) -> Tensor:
        return torch.stack(list(free_energy(joint, batch, log_q, logits, o).values())).sum()

    with frozen(joint.theta_k):
        log_q = descended(energy, log_q, joint.y, o.refine, o.refine_rate, o.langevin, generator)
    return joint.condition(batch, log_q) if o.condition else log_q


def m_step(
    y: Parts,
    log_q: Tensor,
    logits: Tensor,
    labelled: Batch,
    logits_p: Tensor,
    o: Options,
    generator: torch.Generator | None = None,
    weights: Tensor | None = None,
) -> Terms:
    """The part model's loss in named terms (line 17): l(yp, mu_p) and l(mu_q, mu), q being fixed; ``weights`` (B,): of
    the coarse images, where they do not count alike."""
    if o.target == "soft":
        q = (log_q if o.sharpness == 1 else y.normalised(o.sharpness * log_q)).exp()
    else:
        hard = y.mode(log_q) if o.target == "mode" else y.sample(log_q, generator)
        q = y.certain(hard).to(log_q.dtype)
    terms = {
        "labelled": o.delta1 * y.supervised(logits_p, labelled.parts),
        "coarse": o.delta2 * (y.cross_entropy(q, logits) * (1 if weights is None else weights)).mean(),
    }
    if o.dice:
        terms["labelled_dice"] = o.delta1 * o.dice * y.dice(logits_p, labelled.parts)
        terms["coarse_dice"] = o.delta2 * o.dice * y.dice(logits, q, weights)
    return terms


def label_step(joint: JointModel, batch: Batch, log_q: Tensor, o: Options) -> Terms:
    """The learned p(yk|y)'s losses by style (line 18), q being fixed."""
    learns = joint.bounded(batch) | o.learn_unbounded
    return {
        name: (style.loss(batch.labels[name], style.predict(log_q)) * (batch.present[name] * learns)).mean()  # 16
        for name, style in joint.styles.items()
        if style.learned
    }


def train(joint: JointModel, optimizers: Optimizers, o: Options, epochs: Epochs[tuple[Batch, Batch]]) -> None:
    """The whole of Algorithm 1; ``epochs`` gives (part-labelled, coarse) pairs of batches, augmented."""

    def step(pair: tuple[Batch, Batch], generator: torch.Generator) -> Terms:  #                          4, 5
        labelled, batch = pair
        return em_step(joint, optimizers, batch, labelled, o, generator)

    train_epochs(step, joint.trained, optimizers.each(), epochs)  #                                          3


class Options(BaseModel):
    """What may be chosen in Algorithm 1. Presets are in ``training/settings.py``; defaults are ``default``'s."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def where(self, labels_differ: bool) -> Options:
        """Those that hold where coarse images differ in the labels that they have, or all have all."""
        if not self.consistency:
            return self
        changes = {"label_dropout": self.consistency_dropout} if labels_differ else {"consistency": 0.0}
        return self.model_copy(update=changes)

    alpha: float = Field(0.1, ge=0, description="weight of the part model's opinion in the E-step")
    lambdas: dict[str, float] = Field(
        default_factory=dict, description="weights of label styles by name in the E-step; 1 for those not named"
    )
    misfit: Literal["likelihood", "plain"] = Field(
        "likelihood",
        description="of a label in the E-step; likelihood: -log p(yk|y), its scale fitted; plain: Algorithm 1's l_k",
    )
    evidence: float = Field(
        0.1, gt=0, description="with misfit likelihood: share of a label's elements that count as independent"
    )
    gamma: float = Field(0.1, ge=0, description="weight of the entropy in the E-step")
    entropy: Literal["raise", "lower"] = Field("raise", description="raise: the ELBO's +H(q); lower: as released")
    agreement: Literal["elbo", "reverse"] = Field(
        "elbo", description="elbo: -E_q log p(y|x); reverse: -E_p log q(y), as released"
    )
    unbounded: float = Field(0.1, ge=0, le=1, description="factor on alpha and gamma for images without mask and box")
    learn_unbounded: bool = Field(False, description="whether p(yk|y) learns from images without mask and box, too")
    supervise: float = Field(1.0, ge=0, description="weight of the posterior's own loss on part-labelled images")
    target: Literal["soft", "mode", "sample"] = Field("soft", description="what of q the M-step learns from")
    teach: Literal["better", "all"] = Field(
        "better",
        description="weight of a coarse image in the M-step; better: less, the worse the posterior is than the part "
        "model given such labels, on validation images; all: 1",
    )
    sharpness: float = Field(1.0, gt=0, description="exponent of the soft q that the M-step learns from")
    dice: float = Field(
        3.0, ge=0, description="weight of the soft Dice loss beside each cross entropy that trains parts; 0: as printed"
    )
    delta1: float = Field(1.0, ge=0, description="weight of the part-labelled images in the M-step")
    delta2: float = Field(1.0, ge=0, description="weight of the coarse images in the M-step")
    train_label_models: bool = Field(True, description="line 18; false: p(yk|y) stays as initialised")
    condition: bool = Field(
        True, description="multiply the network's q by the deterministic styles' exact likelihood, too"
    )
    average: float = Field(
        0.98,
        ge=0,
        lt=1,
        description="line 14 infers with theta_q's moving average, which keeps this share a step; 0: no",
    )
    joint_forward: bool = Field(True, description="both batches in one forward pass, sharing batch-norm statistics")
    refine: int = Field(0, ge=0, description="line 14: so many gradient steps on each image's q; 0: the network's")
    refine_rate: float = Field(1.0, gt=0, description="of these steps, in log-probability a pixel")
    langevin: bool = Field(False, description="noise in these steps: a draw from q by Langevin dynamics")
    label_dropout: float = Field(0.1, ge=0, lt=1, description="chance that a label is hidden from the posterior")
    consistency: float = Field(
        1.0,
        ge=0,
        description="weight of what the posterior, labels hidden from it, learns of its answer to all of them; in "
        "trainings whose coarse images have not all labels",
    )
    consistency_dropout: float = Field(
        0.5, ge=0, lt=1, description="label_dropout in such trainings, unless consistency is 0"
    )
    impute: float = Field(
        0.5,
        ge=0,
        le=1,
        description="with consistency, the chance that an image shows the posterior labels as another one has them, "
        "masks and boxes that it lacks being those of its likeliest parts",
    )
    blank: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of the images with part masks of which the posterior sees patches blank, before EM, too",
    )
    views: float = Field(0.0, ge=0, description="strength of recolouring in what the part model sees of coarse images")
    clip: float = Field(1.0, gt=0, description="largest norm of a gradient")
