"""Section 5.2: what Algorithm 1 starts from. Part model, then posterior, then the learned p(yk|y)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

from coarseparts.data.sample import Batch
from coarseparts.em import Networks, Terms, epoch_means, set_rate, update
from coarseparts.labels import Keypoints, Parts

OnEpoch = Callable[[int, dict[str, float]], None]
Data = TypeVar("Data")


def fit(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[Data, torch.Generator], Terms],
    batches: Callable[[int], Iterable[Data]],
    epochs: int,
    steps: int,
    on_epoch: OnEpoch,
    seed: int = 0,
    start: int = 0,
    clip: float = 1.0,
) -> None:
    """Moves ``network`` down ``loss`` for ``epochs`` epochs of ``steps`` steps; cosine rate, gradients clipped.

    ``batches`` (epoch) gives what ``loss`` takes, a batch or a pair of them.
    ``on_epoch`` gets the epoch, counted from 1, and the mean of each of the loss's named terms.
    Raises ``em.TrainingDiverged`` at the first loss that is not finite.
    """
    for epoch in range(start, epochs):
        generator = torch.Generator().manual_seed(seed * 100_003 + epoch)
        network.train()
        sums: dict[str, Tensor] = {}
        for step, batch in enumerate(batches(epoch)):
            set_rate(optimizer, (epoch + step / steps) / epochs)
            terms = loss(batch, generator)
            update(optimizer, terms, clip)
            for name, value in terms.items():
                sums[name] = sums.get(name, torch.zeros(())).to(value.device) + value.detach()
        on_epoch(epoch + 1, epoch_means(sums, steps, [optimizer]))


def supervised_terms(logits: Tensor, parts: Tensor, y: Parts, overlap: float) -> Terms:
    """Cross entropy with labelled parts (B, H, W), and ``overlap`` times the soft Dice loss."""
    terms = {"labelled": y.supervised(logits, parts)}
    return terms | ({"labelled_overlap": overlap * y.overlap(logits, parts)} if overlap else {})


def part_model_loss(part_model: nn.Module, y: Parts, overlap: float = 0.0) -> Callable[[Batch, torch.Generator], Terms]:
    """f(y|x) from part labels alone: the fine-tuning that everything starts from."""

    def loss(batch: Batch, _: torch.Generator) -> Terms:
        return supervised_terms(part_model(batch.image), batch.parts, y, overlap)

    return loss


def posterior_loss(
    networks: Networks, dropout: float, overlap: float = 0.0
) -> Callable[[Batch, torch.Generator], Terms]:
    """f(y|x, y1..yn) from images that have part labels and coarse labels; labels are hidden at random."""

    def loss(batch: Batch, generator: torch.Generator) -> Terms:
        drawn = networks.draw(batch, dropout, generator)
        return supervised_terms(networks.posterior(batch.image, drawn), batch.parts, networks.y, overlap)

    return loss


def keypoint_loss(detector: nn.Module, style: Keypoints) -> Callable[[Batch, torch.Generator], Terms]:
    """Keypoints from the image alone, ``style`` saying what the detector's maps mean and what a miss costs."""

    def loss(batch: Batch, _: torch.Generator) -> Terms:
        maps = detector(batch.image)
        mean = maps if style.distance == "location" else maps.sigmoid()
        return {"keypoints": (style.loss(batch.labels["keypoints"], mean) * batch.present["keypoints"]).mean()}

    return loss


def label_model_loss(
    networks: Networks, teacher: Callable[[Batch], Tensor]
) -> Callable[[Batch, torch.Generator], Terms]:
    """f(yk|y) from true parts where an image has them and from the ``teacher``'s log_y elsewhere.

    The paper takes two rounds, generated y first and true y after; a batch that mixes both does it in one.
    """

    def loss(batch: Batch, _: torch.Generator) -> Terms:
        with torch.no_grad():
            generated = teacher(batch)
        certain = networks.y.log_certain(batch.parts, generated)
        log_y = torch.where(batch.present["parts"][:, None, None, None], certain, generated)
        return {
            name: (style.loss(batch.labels[name], style.predict(log_y)) * batch.present[name]).mean()
            for name, style in networks.style_items()
            if style.learned
        }

    return loss


@torch.no_grad()
def fit_scales(networks: Networks, held_out: Iterable[Batch]) -> dict[str, Tensor]:
    """Maximum-likelihood scale of every p(yk|y), from true parts of images that no label model was trained on.

    Returns the scales by style and sets them. A style that no held-out image carries keeps the one it has.
    """
    was_training = networks.styles.training
    networks.styles.eval()
    labels: dict[str, list[Tensor]] = {n: [] for n, _ in networks.style_items()}
    means: dict[str, list[Tensor]] = {n: [] for n, _ in networks.style_items()}
    for batch in held_out:
        blank = torch.zeros(len(batch), networks.y.states, *batch.parts.shape[1:], device=batch.parts.device)
        log_y = networks.y.log_certain(batch.parts, blank)
        for name, style in networks.style_items():
            rows = batch.present[name] & batch.present["parts"]
            if rows.any():
                labels[name].append(batch.labels[name][rows])
                means[name].append(style.predict(log_y[rows]))
    fitted = {}
    for name, style in networks.style_items():
        if labels[name]:
            fitted[name] = style.fit(torch.cat(labels[name]), torch.cat(means[name]))
            style.set_scale(fitted[name])
    networks.styles.train(was_training)
    return fitted
