"""The contract of a coarse label style: what its label is, how it moves with the image, how it follows from the parts.

Section 3: p(y, y1..yn | x) = p(y|x) prod_k p(yk|y). One style is one factor p(yk|y). A class says what the label is:
its methods need no instance and, but for those that take tensors, no torch. An instance is p(yk|y). ``log_y`` below is
always the log-probability of the parts' states, (B, S, H, W) as in ``labels.parts``: log q(y) in the E-step, that of
certain parts in exact use.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np

from coarseparts.labels.frames import CropFrame, Move
from coarseparts.labels.given import Canvas, Given
from coarseparts.labels.parts import Parts
from coarseparts.labels.schema import Schema
from coarseparts.system.lazy import Lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = Lazy("torch")


class StyleSettings(Protocol):
    """The settings (``training/settings.py``) that label styles read; one more has a line in both."""

    @property
    def distance(self) -> Literal["l1", "squared", "location"]: ...
    @property
    def sigma(self) -> float: ...
    @property
    def box_corners(self) -> bool: ...


class Pen(Protocol):
    """What draws on a picture of a sample; colours are the picture's own: of a part by its index from 1, 0 for what is
    of the object as a whole."""

    def outline(self, inside: np.ndarray) -> None:
        """The border of a region (S, S) bool."""

    def box(self, box: np.ndarray, part: int = 0) -> None:
        """A box (x0, y0, x1, y1)."""

    def point(self, x: float, y: float, number: int = 0, filled: bool = True, part: int = 0) -> None:
        """A dot, or a ring if it is not ``filled``, with the number of a keypoint, from 1, or in a part's colour."""

    def fill(self, region: np.ndarray, part: int) -> None:
        """A region (S, S) bool in a part's colour; 0: the background's."""


LabelNetwork = Callable[[int, bool], Any]
"""(maps, full) -> a network from part probabilities (B, S, H, W) to logits of maps, at full resolution or at its own
``stride``: where p(yk|y) has to be learned."""


class LabelStyle(ABC):
    """One style of coarse label. Final classes implement the abstract members, override those of the others whose
    default does not hold for them (``bounds`` above all), and add nothing public.

    ``name``: the style's name in dataset files. ``key``: of a source that has such labels in files of their own, ""
    where they come with the objects of a COCO file; ``folder``: whether that may be a folder with a map for each image;
    ``coco``: what is read of a COCO file with a category for each part, "" where it may be no such file (another
    thing to read is a line in ``_OF_PARTS`` of ``data/formats/coco.py``); ``of_background``: whether one may be called
    "background", index 0; ``complete``: whether a part without an annotation there cannot be seen, nothing being said
    of it otherwise. ``described``: the key in words. ``of_image``: it is said of the image as a whole, whatever objects
    it shows. ``outlines``: as input it says how much of each pixel is the object's, (B, 1, H, W) 0..1. ``is_plane``:
    its label is a map that is resampled with the image. ``channels``: those of ``draw``, set by ``__init__``.
    ``theta``: what of p(yk|y) is learned or fitted, with ``scale``, the (n,) scales of its likelihood, and ``model``, a
    network or None.

    What a method makes of the rows of images without the label, zeros as a rule, is not used, but has to be finite.
    """

    name: ClassVar[str]
    key: ClassVar[str] = ""
    folder: ClassVar[bool] = False
    coco: ClassVar[Literal["", "bbox", "polylines"]] = ""
    of_background: ClassVar[bool] = False
    complete: ClassVar[bool] = False
    of_image: ClassVar[bool] = False
    outlines: ClassVar[bool] = False
    described: ClassVar[str] = ""
    is_plane: ClassVar[bool] = False
    channels: int

    # ---- what a label is: arrays, one sample or several rows --------------------------------------------------------

    @staticmethod
    @abstractmethod
    def layout(schema: Schema, size: int) -> tuple[np.dtype, tuple[int, ...]]:
        """Type and shape of one sample's label at ``size`` x ``size`` pixels, as it is stored."""

    @staticmethod
    @abstractmethod
    def labelled(rows: np.ndarray) -> np.ndarray:
        """(N,) bool: which of (N, ...) stored rows say anything; asked of arrays that come without "present"."""

    @staticmethod
    @abstractmethod
    def cropped(label: np.ndarray, frame: CropFrame) -> np.ndarray | None:
        """The label of the whole image, in its pixels, as that of a crop of it; None if nothing of it is left."""

    # ---- how it is read: from files, from a caller, and looked at ---------------------------------------------------

    @staticmethod
    def says_something(value: Any, keypoints: Collection[str]) -> bool:
        """Whether what a file gives is a label at all, of keypoints those of these names being used."""
        return True

    @staticmethod
    @abstractmethod
    def read(given: Given, canvas: Canvas) -> np.ndarray | None:
        """The label of the whole image, in its pixels, checked against it; None if there is none, or it is wrong, which
        ``canvas`` is told; of an ``of_image`` style what of it is this object's (``canvas.region``).

        ``given.value``: of what comes with objects as the file's reader gives it; of a style with a ``key`` a ``Drawn``
        or a tuple of ``OfPart`` in the file's order, a part any number of times, whose values are for "bbox" a box (4,)
        x0, y0, x1, y1, for "polylines" a list of lines (n, 2), all in pixels and wherever they lie."""

    @staticmethod
    @abstractmethod
    def argument(value: Any, canvas: Canvas, name: str) -> Any:
        """What ``read`` takes as ``given.value``, from the argument ``name`` of ``Model.predict``, a file of a
        ``folder`` style being opened as a PIL image; None if it says nothing. Raises WrongArgument for a wrong form."""

    @staticmethod
    @abstractmethod
    def sketch(label: np.ndarray, pen: Pen) -> None:
        """Draws a cropped label for somebody who looks through the data."""

    # ---- what happens to it in a batch: tensors ---------------------------------------------------------------------

    @staticmethod
    def stacked(rows: Tensor) -> Tensor:
        """Stored rows as a batch holds them, (B, ...)."""
        return rows

    @staticmethod
    def as_input(label: Tensor) -> Tensor:
        """The stacked label in float32, as losses and drawings take it."""
        return label.float()

    @staticmethod
    @abstractmethod
    def mirror(label: Tensor, size: int, schema: Schema) -> Tensor:
        """The labels of images of width ``size`` mirrored left to right, as stored or as input; absent ones stay."""

    @staticmethod
    @abstractmethod
    def moved(
        label: Tensor, present: Tensor, move: Move, others: Mapping[str, tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """The label and its presence (B,) after a move, as input. ``label``: stacked; of a plane as it was resampled,
        0..255, with the border repeated. ``others``: moved label and presence of the styles before it."""

    @staticmethod
    def must_stay_upright(present: Mapping[str, Tensor]) -> Tensor | None:
        """(B,) bool: which samples must not be turned or sheared, for their label could not be known then."""
        return None

    # ---- p(yk|y) ----------------------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def of(cls, schema: Schema, y: Parts, settings: StyleSettings, network: LabelNetwork) -> LabelStyle:
        """p(yk|y) for a data set's schema."""

    def __init__(self, scale: Tensor, model: nn.Module | None = None) -> None:
        """``scale`` (n,): that of the likelihood until it is fitted."""
        theta: Any = torch.nn.Module()
        theta.register_buffer("scale", scale)
        theta.model = model
        self.theta = theta

    @property
    def scale(self) -> Tensor:
        """(n,) scales of the likelihood, by maximum likelihood on held-out images (``fit``)."""
        scale: Tensor = self.theta.scale
        return scale

    @property
    def model(self) -> nn.Module | None:
        """The network of p(yk|y), where it has one."""
        model: nn.Module | None = self.theta.model
        return model

    @abstractmethod
    def draw(self, label: Tensor, size: int) -> Tensor:
        """The label as the posterior sees it: (B, channels, size, size), 0..1. Coordinates are pixels of ``size``."""

    def draw_into(self, out: Tensor, label: Tensor, seen: Tensor) -> None:
        """Writes ``draw`` times ``seen`` (B,) 0 or 1 into ``out`` (B, channels, size, size), an uninitialised slice."""
        torch.mul(self.draw(label, out.shape[-1]), seen[:, None, None, None], out=out)

    @abstractmethod
    def predict(self, log_y: Tensor) -> Tensor:
        """mu_k = f(yk | y), what this label is expected to be where the parts are ``log_y`` (B, S, H, W), in whatever
        form ``loss``, ``nll`` and ``fit`` take it as ``mean``; it does not see the label."""

    def likeliest(self, log_y: Tensor) -> Tensor | None:
        """The label, as input, that is to be expected most where the parts are ``log_y``; None for a style whose labels
        cannot be told from parts."""
        return None

    @abstractmethod
    def loss(self, label: Tensor, mean: Tensor) -> Tensor:
        """(B,) misfit between a label and its prediction, the l_k of Algorithm 1, averaged over its elements."""

    @abstractmethod
    def nll(self, label: Tensor, mean: Tensor) -> Tensor:
        """(B,) -log p(yk | y) with the fitted ``scale``, in nats, averaged as ``loss`` is."""

    @abstractmethod
    def fit(self, label: Tensor, mean: Tensor) -> Tensor:
        """(n,) maximum-likelihood scale of ``label`` (N, ...) around ``mean`` (N, ...)."""

    def condition(self, log_y: Tensor, label: Tensor) -> Tensor:
        """log of p(y) p(yk|y), normalised at each pixel, where that has a closed form; else ``log_y`` itself."""
        return log_y

    def set_scale(self, scale: Tensor) -> None:
        """Takes over a fitted scale (n,); it is a buffer, saved with the model."""
        with torch.no_grad():
            self.scale.copy_(scale)

    @property
    def learned(self) -> bool:
        """Whether p(yk|y) has parameters (theta_k) that training moves."""
        return any(True for _ in self.theta.parameters())

    @property
    def bounds(self) -> bool:
        """Whether the label says where the object ends. By default what is not ``learned`` does; a style that speaks of
        some pixels alone has to deny it."""
        return not self.learned
