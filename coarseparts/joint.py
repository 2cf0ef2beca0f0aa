"""The joint model p(y, y1..yn | x) = p(y|x) prod_k p(yk|y) and its posterior q(y | x, y1..yn) (section 3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from coarseparts.data.sample import Batch
from coarseparts.labels import LabelStyle, Parts
from coarseparts.system import parallel


@dataclass
class JointModel:
    """theta, theta_q and theta_k, and the drawing of labels for the posterior.

    ``styles``: p(yk|y) by name, in the order of the posterior's channels, whose parameters are ``theta_k``; ``y`` says
    what a part label is, and how many parts there are. ``average``, where there is one, is a posterior in eval() mode
    whose weights follow theta_q's; it infers in its place. ``part_average``, likewise, is a part model that follows
    theta; nothing learns from it, it is what ``parts`` asks. ``subsets`` (N, K) bool: which labels the coarse images
    have, where they differ. ``match_labels``: images with part masks show the posterior such subsets, too. ``teaching``
    (2^K,) float, where there is one: an image's weight in the M-step by the labels that it has, bit k standing for the
    k-th style. ``infer_missing``: in place of labels that an image lacks the posterior sees those that the part model
    and p(yk|y) tell (section 3.2, remark 1).
    """

    part_model: nn.Module
    posterior: nn.Module
    styles: dict[str, LabelStyle]
    y: Parts
    average: AveragedModel | None = None
    part_average: AveragedModel | None = None
    subsets: Tensor | None = None
    teaching: Tensor | None = None
    infer_missing: bool = False
    match_labels: bool = False
    theta_k: nn.ModuleDict = field(init=False)

    def __post_init__(self) -> None:
        self.theta_k = nn.ModuleDict({name: style.theta for name, style in self.styles.items()})

    def follow(self) -> None:
        """After a step of the part model's: its average follows."""
        if self.part_average is not None:
            self.part_average.update_parameters(self.part_model)

    def settle(self) -> None:
        """The averages, which are what was measured, become the networks."""
        for network, average in ((self.posterior, self.average), (self.part_model, self.part_average)):
            if average is not None:
                network.load_state_dict(average.module.state_dict())
        self.average = self.part_average = None

    @property
    def trained(self) -> tuple[nn.Module, nn.Module, nn.Module]:
        """The networks that Algorithm 1 moves."""
        return self.part_model, self.posterior, self.theta_k

    def draw(
        self, batch: Batch, dropout: float = 0.0, generator: torch.Generator | None = None, as_coarse: bool = False
    ) -> Tensor:
        """(B, C, H, W): every style drawn where present, then a presence channel each. Any subset per image.

        ``dropout``: chance that a label which is there is hidden, so that one posterior learns every subset.
        ``as_coarse``, with ``match_labels``: every second image shows no other labels than some coarse image has
        (``subsets``): images with part masks tend to have all labels, those to infer from may have one each.
        """
        styles, size, device = self.styles, batch.image.shape[-1], batch.image.device
        shown = None
        if as_coarse and self.match_labels and self.subsets is not None:
            some, own = self._some_subset(len(batch), 0.5, generator, device)
            shown = some | own[:, None]
        seen: dict[str, Tensor] = {}
        for i, name in enumerate(styles):
            seen[name] = batch.present[name].float()
            if shown is not None:
                seen[name] = seen[name] * shown[:, i]
            if dropout:
                seen[name] = seen[name] * (parallel.rand(len(batch), generator, device) >= dropout)
        told, said = self._completed(batch, seen) if self.infer_missing else (batch.labels, seen)
        channels, at = sum(style.channels for style in styles.values()), 0
        drawn = torch.empty(len(batch), channels + len(styles), size, size, device=device)
        for i, (name, style) in enumerate(styles.items()):
            style.draw_into(drawn[:, at : at + style.channels], told[name], said[name])
            drawn[:, channels + i] = seen[name][:, None, None]
            at += style.channels
        return drawn

    @torch.no_grad()
    def _completed(self, batch: Batch, seen: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The labels of a batch, the likeliest ones in place of those that are not ``seen`` (B,) by style, given the
        others; and 1 where there is something to draw, 0 elsewhere."""
        was_training = self.part_model.training, self.theta_k.training
        self.part_model.eval(), self.theta_k.eval()
        given = replace(batch, present={name: there > 0 for name, there in seen.items()})
        log_y = self.condition(given, self.parts(batch))
        told = self._told(batch, given.present, log_y, self.styles)
        said = {name: torch.ones_like(there) if name in told else there for name, there in seen.items()}
        self.part_model.train(was_training[0]), self.theta_k.train(was_training[1])
        return batch.labels | told, said

    def imputed(self, batch: Batch, log_y: Tensor, chance: float, generator: torch.Generator | None = None) -> Batch:
        """The batch as if, with some ``chance``, an image had the labels that some other coarse image has
        (``subsets``). Those that it lacks are the likeliest ones where its parts are ``log_y`` (B, S, H, W), or stay
        away where p(yk|y) is learned: the posterior and it would believe each other."""
        if not chance or self.subsets is None:
            return batch
        told = self._told(batch, batch.present, log_y, [name for name in self.styles if not self.styles[name].learned])
        other, own = self._some_subset(len(batch), chance, generator, batch.image.device)
        present = dict(batch.present)
        for i, name in enumerate(self.styles):
            imputed = other[:, i] if name in told else other[:, i] & present[name]
            present[name] = torch.where(own, present[name], imputed)
        return replace(batch, labels=batch.labels | told, present=present)

    def _told(self, batch: Batch, there: dict[str, Tensor], log_y: Tensor, styles: Iterable[str]) -> dict[str, Tensor]:
        """The labels of a batch by style, of ``styles`` alone and of those whose labels can be told from parts; where
        they are not ``there`` (B,), the likeliest ones of the parts ``log_y``."""
        told = {}
        for name in styles:
            guess = self.styles[name].likeliest(log_y)
            if guess is not None:
                has = there[name].reshape(-1, *[1] * (guess.dim() - 1))
                told[name] = torch.where(has, batch.labels[name], guess.to(batch.labels[name]))
        return told

    def _some_subset(
        self, count: int, chance: float, generator: torch.Generator | None, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """The labels of some coarse image for each row, (count, K) bool; and the rows, (count,) bool, that are to keep
        their own, all but a share ``chance`` of them."""
        assert self.subsets is not None
        draws = parallel.rand((count, 2), generator, device)
        return self.subsets.to(device)[(draws[:, 0] * len(self.subsets)).long()], draws[:, 1] < 1 - chance

    def bounded(self, batch: Batch) -> Tensor:
        """(B,) bool: where a style (mask, box) says where the object ends.

        Elsewhere nothing but p(y|x) says it, and p(y|x) learns from q: left to each other, both shrink to blobs that
        explain the keypoints and no more, and p(yk|y) learns to read the blobs.
        """
        bounded = torch.zeros(len(batch), dtype=torch.bool, device=batch.image.device)
        for name, style in self.styles.items():
            bounded = bounded | (batch.present[name] & style.bounds)
        return bounded

    def weights(self, batch: Batch) -> Tensor | None:
        """(B,) of the images in the M-step, by the labels that they have; None where all count alike."""
        if self.teaching is None:
            return None
        subset = sum(batch.present[name].long() << k for k, name in enumerate(self.styles))
        return self.teaching.to(batch.image.device)[subset]

    def infer(self, batch: Batch, condition: bool = False) -> Tensor:
        """log q(y|x, y1..yn), (B, S, H, W), from all labels that are there.

        ``condition``: times the likelihood of the styles that have a closed form.
        """
        posterior = self.posterior if self.average is None else self.average
        log_q = self.y.log_probability(posterior(batch.image, self.draw(batch)))
        return self.condition(batch, log_q) if condition else log_q

    def parts(self, batch: Batch) -> Tensor:
        """log p(y|x), (B, S, H, W), as it is measured and kept."""
        part_model = self.part_model if self.part_average is None else self.part_average
        return self.y.log_probability(part_model(batch.image))

    def condition(self, batch: Batch, log_y: Tensor) -> Tensor:
        """log of p(y) prod_k p(yk|y), normalised, over the styles whose product has a closed form."""
        for name, style in self.styles.items():
            present = batch.present[name][:, None, None, None]
            log_y = torch.where(present, style.condition(log_y, batch.labels[name]), log_y)
        return log_y
