"""Figure-ground mask: the union of the parts, nothing to learn (section 3.2); learned where parts do not fill it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from coarseparts.labels.arguments import plane
from coarseparts.labels.frames import CropFrame, Move
from coarseparts.labels.given import Canvas, Decoded, Given
from coarseparts.labels.parts import Parts
from coarseparts.labels.schema import Schema
from coarseparts.labels.style import LabelNetwork, LabelStyle, Pen, StyleSettings
from coarseparts.system.errors import WrongArgument
from coarseparts.system.lazy import Lazy
from coarseparts.system.problems import BadInput

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F
else:
    torch, F = Lazy("torch"), Lazy("torch.nn.functional")


HALF = 128
"""Grey levels from here on are rather the object's than the background's."""


class Mask(LabelStyle):
    """Labels are (B, 1, H, W) in 0..1, soft where annotators disagreed.

    p(ymask|y) is a Bernoulli per pixel around the foreground probability, seen through a symmetric label noise
    ``scale`` (one number, 0..0.5): the share of pixels at which a held-out mask contradicts the parts. Without noise
    a single pixel of a coarse outline could outweigh all else.

    ``likelihood``: what ``nll`` returns for parts that are uncertain themselves. "of_mean" is -log p(ymask | E_q y),
    Algorithm 1's l_mask on the mean mu_mask; "expected" is -E_q log p(ymask | y), the term of the bound (Eq. 2), whose
    best q is exactly ``condition``. The first is never above the second (Jensen) and equals it where q is certain.

    ``model`` maps part probabilities (B, S, H, W) to the logit of "foreground" (B, 1, H, W) where the parts overlap or
    leave some of the object out (section 5.2, aircraft): p(ymask|y) is then learned, and has no closed form. Without it
    ``y``, which says what the parts are, must be exclusive.
    """

    name = "mask"
    key = "masks"
    folder = True
    is_plane = True
    described = "folder of figure-ground masks with the photographs' stems: 0 or not 0, or grey 0..255 as soft"
    channels = 1
    outlines = True

    @staticmethod
    def layout(schema: Schema, size: int) -> tuple[np.dtype, tuple[int, ...]]:
        return np.dtype(np.uint8), (size, size)

    @staticmethod
    def labelled(rows: np.ndarray) -> np.ndarray:
        """All: a mask without a pixel says that there is no object."""
        return np.ones(len(rows), bool)

    @staticmethod
    def cropped(label: np.ndarray, frame: CropFrame) -> np.ndarray:
        return np.rint(frame.area_mean(label)).astype(np.uint8)

    @staticmethod
    def read(given: Given, canvas: Canvas) -> np.ndarray | None:
        """(H, W) uint8, 0..255."""
        try:
            mask: np.ndarray = given.value.grey(canvas.size)
        except BadInput as bad:
            canvas.problems += bad.problems
            return None
        if (highest := int(mask.max())) < HALF:
            message = f"its brightest grey is {highest} of 255: nowhere rather the object than the background"
            canvas.add_problem(given, message, "if all that is not 0 is the object, make it 255", "note", where="")
        return mask

    @staticmethod
    def argument(value: Any, canvas: Canvas, name: str) -> Decoded:
        """(H, W) bool or uint8 (of 0 and 1 alone, or 0..255 soft), or a grey-scale picture; of one with a palette, all
        but the first colour."""
        if isinstance(value, Image.Image):
            if value.mode not in ("1", "L", "P"):
                raise WrongArgument(f"{name}: an image of mode {value.mode}, expected a grey-scale one, mode L")
            value = np.asarray(value) != 0 if value.mode == "P" else np.asarray(value)
        if not isinstance(value, np.ndarray):
            expected = "expected a path, a PIL image or an array"
            remedy = "; of a tensor give tensor.cpu().numpy()" if hasattr(value, "numpy") else ""
            raise WrongArgument(f"{name}: is of type {type(value).__name__}, {expected}{remedy}")
        values = plane(value, name, canvas.size)
        if not values.any():
            raise WrongArgument(f"{name}: is empty, expected a pixel of the object at least; leave it out")
        if 1 < (highest := int(values.max())) < HALF:
            message = f"its highest value is {highest}, expected 255 on the object; give mask > 0"
            raise WrongArgument(f"{name}: {message}")
        return Decoded(np.array(values, np.uint8) * (255 if highest == 1 else 1))

    @staticmethod
    def sketch(label: np.ndarray, pen: Pen) -> None:
        """Its outline, where it passes one half."""
        pen.outline(label >= HALF)

    @staticmethod
    def stacked(rows: Tensor) -> Tensor:
        return rows[:, None]

    @staticmethod
    def as_input(label: Tensor) -> Tensor:
        return label.float() / 255

    @staticmethod
    def mirror(label: Tensor, size: int, schema: Schema) -> Tensor:
        return label.flip(-1)

    @staticmethod
    def moved(
        label: Tensor, present: Tensor, move: Move, others: Mapping[str, tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        return label * (move.inside[:, None] / 255), present

    @classmethod
    def of(cls, schema: Schema, y: Parts, settings: StyleSettings, network: LabelNetwork) -> Mask:
        return cls(y, model=None if y.exclusive else network(1, True))  # overlapping parts do not fill the object

    def __init__(
        self, y: Parts, likelihood: Literal["of_mean", "expected"] = "of_mean", model: nn.Module | None = None
    ) -> None:
        if likelihood not in ("of_mean", "expected"):
            raise ValueError(f"likelihood is {likelihood!r}; choose 'of_mean' (Algorithm 1) or 'expected' (Eq. 2)")
        if model is not None and likelihood == "expected":
            raise ValueError("likelihood 'expected' has no closed form where the mask is learned; take 'of_mean'")
        if model is None and not y.exclusive:
            raise ValueError("parts that may overlap do not fill a mask; give the model that learns p(ymask|y)")
        super().__init__(torch.zeros(1), model)
        self.y, self.likelihood = y, likelihood

    def draw(self, label: Tensor, size: int) -> Tensor:
        if label.shape[-1] == size:
            return label
        return F.interpolate(label, size=(size, size), mode="bilinear", antialias=True)

    def predict(self, log_y: Tensor) -> Tensor:
        """The logit of "foreground", (B, 1, H, W); the union by log-sum-exp over the parts: no second softmax."""
        if self.model is not None:
            logit: Tensor = self.model(log_y.exp())
            return logit
        return self.y.present(log_y).logsumexp(dim=1, keepdim=True) - self.y.background(log_y)[:, None]

    def likeliest(self, log_y: Tensor) -> Tensor:
        return (self.predict(log_y) > 0).to(log_y)

    def loss(self, label: Tensor, mean: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(mean, label, reduction="none").mean(dim=(1, 2, 3))

    def nll(self, label: Tensor, mean: Tensor) -> Tensor:
        if self.likelihood == "expected":
            if_out, if_in = self._log_likelihood(label)
            foreground = mean.sigmoid()
            return -(foreground * if_in + (1 - foreground) * if_out).mean(dim=(1, 2, 3))
        noise = self.scale.clamp(1e-4, 0.4999)
        log_in, log_out = F.logsigmoid(mean), F.logsigmoid(-mean)
        keep, swap = (1 - noise).log(), noise.log()
        said_in = torch.logaddexp(keep + log_in, swap + log_out)
        said_out = torch.logaddexp(swap + log_in, keep + log_out)
        return -(label * said_in + (1 - label) * said_out).mean(dim=(1, 2, 3))

    @property
    def bounds(self) -> bool:
        return True

    def fit(self, label: Tensor, mean: Tensor) -> Tensor:
        # The maximum-likelihood flip rate where the foreground is known: how often the mask says otherwise. Pixels
        # whose part is ignored come as a flat distribution over P + 1 <= 255 classes, a logit below log 254 = 5.5.
        known = torch.ones_like(mean) if self.learned else (mean.abs() > 6).float()
        wrong = (label - (mean > 0).float()).abs() * known
        return (wrong.sum() / known.sum().clamp_min(1)).clamp(1e-3, 0.4).reshape(1)

    def condition(self, log_y: Tensor, label: Tensor) -> Tensor:
        if self.model is not None:
            return log_y
        if_out, if_in = self._log_likelihood(label)
        return self.y.given(log_y, if_in, if_out)

    def _log_likelihood(self, label: Tensor) -> tuple[Tensor, Tensor]:
        """log p(this mask value | the pixel is background) and the same for foreground, (B, 1, H, W) each."""
        # A mask is soft in its own right where annotators disagreed, and the noise bounds its certainty.
        noise = self.scale.clamp(1e-4, 0.4999)
        belief = label * (1 - noise) + (1 - label) * noise
        return (1 - belief).log(), belief.log()
