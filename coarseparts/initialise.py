"""Section 5.2: what Algorithm 1 starts from. Part model, then posterior, then the learned p(yk|y)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from coarseparts.data.sample import Batch
from coarseparts.data.transforms import blanked
from coarseparts.joint import JointModel
from coarseparts.labels import Keypoints, Parts
from coarseparts.updates import Terms


def supervised_terms(logits: Tensor, parts: Tensor, y: Parts, dice: float) -> Terms:
    """Cross entropy with labelled parts (B, H, W), and ``dice`` times the soft Dice loss."""
    terms = {"labelled": y.supervised(logits, parts)}
    return terms | ({"labelled_dice": dice * y.dice(logits, parts)} if dice else {})


def part_model_loss(part_model: nn.Module, y: Parts, dice: float = 0.0) -> Callable[[Batch, torch.Generator], Terms]:
    """f(y|x) from part labels alone: the fine-tuning that everything starts from."""

    def loss(batch: Batch, _: torch.Generator) -> Terms:
        return supervised_terms(part_model(batch.image), batch.parts, y, dice)

    return loss


def posterior_loss(
    joint: JointModel, dropout: float, dice: float = 0.0, blank: float = 0.0
) -> Callable[[Batch, torch.Generator], Terms]:
    """f(y|x, y1..yn) from images that have part labels and coarse labels. Labels are hidden at random, and patches of a
    share ``blank`` of the images: the network knows the few images by heart and would not look at their labels."""

    def loss(batch: Batch, generator: torch.Generator) -> Terms:
        drawn = joint.draw(batch, dropout, generator, as_coarse=True)
        image = blanked(batch.image, blank, generator)
        return supervised_terms(joint.posterior(image, drawn), batch.parts, joint.y, dice)

    return loss


def keypoint_loss(detector: nn.Module, style: Keypoints) -> Callable[[Batch, torch.Generator], Terms]:
    """Keypoints from the image alone, ``style`` saying what the detector's maps mean and what a miss costs."""

    def loss(batch: Batch, _: torch.Generator) -> Terms:
        maps = detector(batch.image)
        mean = maps if style.distance == "location" else maps.sigmoid()
        return {"keypoints": (style.loss(batch.labels["keypoints"], mean) * batch.present["keypoints"]).mean()}

    return loss


def label_model_loss(
    joint: JointModel, teacher: Callable[[Batch], Tensor]
) -> Callable[[Batch, torch.Generator], Terms]:
    """f(yk|y) from true parts where an image has them and from the ``teacher``'s log_y elsewhere.

    The paper takes two rounds, generated y first and true y after; a batch that mixes both does it in one.
    """

    def loss(batch: Batch, _: torch.Generator) -> Terms:
        with torch.no_grad():
            generated = teacher(batch)
        certain = joint.y.log_certain(batch.parts, generated)
        log_y = torch.where(batch.present["parts"][:, None, None, None], certain, generated)
        return {
            name: (style.loss(batch.labels[name], style.predict(log_y)) * batch.present[name]).mean()
            for name, style in joint.styles.items()
            if style.learned
        }

    return loss


@torch.no_grad()
def fit_scales(joint: JointModel, held_out: Iterable[Batch]) -> dict[str, Tensor]:
    """Maximum-likelihood scale of every p(yk|y), from true parts of images that no label model was trained on.

    Returns the scales by style and sets them. A style that no held-out image carries keeps the one it has.
    """
    was_training = joint.theta_k.training
    joint.theta_k.eval()
    labels: dict[str, list[Tensor]] = {n: [] for n, _ in joint.styles.items()}
    means: dict[str, list[Tensor]] = {n: [] for n, _ in joint.styles.items()}
    for batch in held_out:
        blank = torch.zeros(len(batch), joint.y.states, *batch.parts.shape[1:], device=batch.parts.device)
        log_y = joint.y.log_certain(batch.parts, blank)
        for name, style in joint.styles.items():
            rows = batch.present[name] & batch.present["parts"]
            if rows.any():
                labels[name].append(batch.labels[name][rows])
                means[name].append(style.predict(log_y[rows]))
    fitted = {}
    for name, style in joint.styles.items():
        if labels[name]:
            fitted[name] = style.fit(torch.cat(labels[name]), torch.cat(means[name]))
            style.set_scale(fitted[name])
    joint.theta_k.train(was_training)
    return fitted
