"""From stored bytes to network input: normalisation, and random changes applied jointly to image and every label.

A whole batch at a time, on whichever device the batch lies. One affine matrix per sample, in pixel coordinates with
centres at +0.5 (``data/sample.py``), moves image, part mask, figure-ground mask, keypoints and box alike; a flip is an
exact reversal of the pixels and swaps the names of mirrored parts and keypoints (``Schema.part_flip``).
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import Tensor

from coarseparts.data.sample import Batch, are_no_parts, joined, no_parts
from coarseparts.labels import STYLES
from coarseparts.labels.frames import Move
from coarseparts.labels.schema import IGNORE, Schema
from coarseparts.system import parallel
from coarseparts.system.device import constant

_CACHED = 2**19
"""Pixels that a CPU changes at a time: many passes over them find them in its cache."""
PATCHES = 8
"""In a row and in a column of an image: what ``blanked`` takes away."""
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma
_TO_YIQ = (_GREY, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
_FROM_YIQ = tuple(tuple(row) for row in torch.linalg.inv(torch.tensor(_TO_YIQ, dtype=torch.float64)).tolist())


class Preprocess(BaseModel):
    """How bytes become network input: (value / 255 - mean) / std per channel, RGB. Saved with every model.

    The defaults are ImageNet's, which the encoders' published weights expect. ``model_dump_json`` and
    ``model_validate_json`` are its JSON form.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: tuple[float, float, float] = Field(default=(0.485, 0.456, 0.406), description="subtracted, RGB in 0..1")
    std: tuple[float, float, float] = Field(default=(0.229, 0.224, 0.225), description="divided by, RGB in 0..1")

    @field_validator("std")
    @classmethod
    def _positive(cls, std: tuple[float, float, float]) -> tuple[float, float, float]:
        if not all(s > 0 for s in std):
            raise ValueError(f"std is {std}, but every channel is divided by it; give three numbers above 0")
        return std

    def normalise(self, image: Tensor) -> Tensor:
        """(..., 3, H, W), uint8 or float, 0..255 -> the same shape in float32, normalised."""
        scale, shift = self._scale_and_shift(image.device)
        return torch.addcmul(shift, image.float(), scale)

    def _scale_and_shift(self, device: torch.device) -> tuple[Tensor, Tensor]:
        mean, std = constant(self.mean, device).view(3, 1, 1), constant(self.std, device).view(3, 1, 1)
        return 1 / (255 * std), -mean / std


class Augmentation(BaseModel):
    """Strengths of the random changes, drawn anew for each sample. The defaults suit crops of one object."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flip: float = Field(default=0.5, ge=0, le=1, description="probability of mirroring left and right")
    scale: tuple[float, float] = Field(default=(0.8, 1.25), description="least and greatest zoom factor, log-uniform")
    rotation: float = Field(default=15.0, ge=0, le=180, description="greatest turn to either side, degrees")
    shear: float = Field(default=5.0, ge=0, lt=80, description="greatest horizontal shear to either side, degrees")
    translation: float = Field(default=0.08, ge=0, le=1, description="greatest shift, fraction of the image's side")
    ramp: float = Field(
        default=20.0,
        ge=0,
        description="times that a stage sees each image until all samples are scaled, turned, sheared and shifted; "
        "before, a share that grows from 0; 0: always all",
    )
    brightness: float = Field(default=0.25, ge=0, lt=1, description="values are multiplied by 1 ± this at most")
    contrast: float = Field(
        default=0.25, ge=0, lt=1, description="distance from the mean grey is multiplied by 1 ± this"
    )
    saturation: float = Field(default=0.25, ge=0, lt=1, description="distance from grey is multiplied by 1 ± this")
    hue: float = Field(default=10.0, ge=0, le=180, description="greatest turn of the hue to either side, degrees")
    grey: float = Field(default=0.05, ge=0, le=1, description="probability of losing all colour")
    background: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="probability that an image with a part mask gets the background of another one",
    )
    part_colours: float = Field(
        default=0.5, ge=0, le=1, description="probability that each of its parts gets colours of its own"
    )

    @model_validator(mode="after")
    def _scales_in_order(self) -> Augmentation:
        low, high = self.scale
        if not 0 < low <= high < math.inf:
            raise ValueError(f"scale is {self.scale}; give the least and the greatest factor, 0 < least <= greatest")
        return self

    @property
    def moves(self) -> bool:
        """Whether any sample may be scaled, turned, sheared or shifted."""
        return self.scale != (1.0, 1.0) or max(self.rotation, self.shear, self.translation) > 0

    def chance(self, seen: float) -> float:
        """Share of samples that are moved where each image has been ``seen`` so many times before, 0..1."""
        return min(1.0, seen / self.ramp) if self.ramp else 1.0

    @property
    def recolours(self) -> bool:
        """Whether any sample's colours may change."""
        return max(self.brightness, self.contrast, self.saturation, self.hue, self.grey) > 0


@torch.no_grad()
def to_input(batch: Batch, preprocess: Preprocess | None = None) -> Batch:
    """A stored batch as network input, nothing moved: float32 normalised image, float32 mask in 0..1, int64 parts.

    Raises TypeError where the batch's image is not uint8 (it has been through here already).
    """
    _require_bytes(batch)
    return replace(
        batch,
        image=(preprocess or Preprocess()).normalise(batch.image),
        parts=_indices(batch.parts),
        labels=_as_input(batch.labels),
    )


@torch.no_grad()
def augment(
    batch: Batch,
    schema: Schema,
    generator: torch.Generator,
    options: Augmentation | None = None,
    preprocess: Preprocess | None = None,
    chance: float = 1.0,
) -> Batch:
    """A stored batch, randomly flipped, moved and recoloured, as network input of the same size (see ``to_input``).

    Its image lies in memory channels last, as networks want it.

    ``chance``: share of the samples that are scaled, turned, sheared and shifted, 0..1; all are flipped and recoloured.
    ``generator`` lies on the CPU whatever the batch's device, so that a seed gives the same changes everywhere; each
    call draws the same amount of random numbers per sample, one more where ``chance`` is below 1. Samples with part
    boxes, or with a box but no mask, are neither turned nor sheared: the tight box of a turned object cannot be told
    from its box. The batch given is left as it is. Raises TypeError where the batch's image is not uint8.
    """
    _require_bytes(batch)
    options, preprocess = options or Augmentation(), preprocess or Preprocess()
    device = batch.image.device
    draws = parallel.rand((len(batch), 11), generator, device).T
    moves = torch.ones(len(batch), dtype=torch.bool, device=device)
    if options.moves and chance < 1:
        moves = parallel.rand(len(batch), generator, device) < chance
    height, width = batch.image.shape[-2:]
    some = len(batch) if batch.image.is_cuda else max(1, _CACHED // (height * width))
    image = torch.empty(batch.image.shape, device=device, memory_format=torch.channels_last)
    pieces = []
    for i in range(0, max(1, len(batch)), some):
        now = slice(i, i + some)
        piece = _changed(batch[now], draws[:, now], moves[now], schema, options, preprocess)
        image[now] = piece.image
        pieces.append(replace(piece, image=piece.image[:, :0]))  # they are together already
    return replace(joined(pieces), image=image)


def viewed(image: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Normalised images (B, 3, H, W), recoloured strongly: most get another brightness, contrast and tint, by
    ``strength`` (of the images' standard deviation) at most, a fifth loses its colour, half is blurred. 0: as it is."""
    if not strength:
        return image

    def draw(*shape: int) -> Tensor:
        return parallel.rand(shape, generator, image.device)

    def chance(p: float) -> Tensor:
        return (draw(len(image)) < p)[:, None, None, None]

    each = len(image)
    gain, shift = 1 + strength * (2 * draw(each, 1, 1, 1) - 1), strength * (2 * draw(each, 3, 1, 1) - 1)
    centre = image.mean(dim=(1, 2, 3), keepdim=True)
    view = torch.where(chance(0.8), (image - centre) * gain + centre + shift, image)
    view = torch.where(chance(0.2), view.mean(dim=1, keepdim=True).expand_as(view), view)
    return torch.where(chance(0.5), F.avg_pool2d(F.pad(view, (1, 1, 1, 1), mode="replicate"), 3, 1), view)


def blanked(image: Tensor, share: float, generator: torch.Generator | None = None) -> Tensor:
    """Normalised images (B, 3, H, W), of which a ``share`` (0..1) loses patches, an eighth of the side each: any number
    between none and all of an image's become 0, the mean colour. Share 0: as they are."""
    if not share:
        return image
    count = len(image)
    draws = parallel.rand((count, 2 + PATCHES**2), generator, image.device)
    lost = torch.where(draws[:, 0] < share, draws[:, 1], 0)
    kept = (draws[:, 2:] >= lost[:, None]).to(image.dtype).view(count, 1, PATCHES, PATCHES)
    return image * F.interpolate(kept, size=image.shape[-2:], mode="nearest")


def _changed(
    batch: Batch,
    draws: Tensor,
    moves: Tensor,
    schema: Schema,
    options: Augmentation,
    preprocess: Preprocess,
) -> Batch:
    """``augment`` with ``draws`` (11, B), uniform in 0..1, said, and which samples it ``moves`` (B,)."""
    device = batch.image.device
    height, width = batch.image.shape[-2:]
    u = draws * 2 - 1  # in -1..1

    matrix = None
    if options.moves:
        low, high = (math.log(s) for s in options.scale)
        upright = torch.zeros(len(batch), dtype=torch.bool, device=device)
        for name in batch.labels:
            stays = STYLES[name].must_stay_upright(batch.present)
            upright = upright if stays is None else upright | stays
        matrix = affine_matrix(
            scale=torch.exp(low + (high - low) * draws[0]),
            rotation=(options.rotation * u[1]).masked_fill(upright, 0),
            shear=(options.shear * u[2]).masked_fill(upright, 0),
            translation=options.translation * u[3:5].T * constant((width, height), device),
            size=(width, height),
        )
        matrix = torch.where(moves[:, None, None], matrix, torch.eye(2, 3, device=device))
    moved = warp(batch, matrix, draws[5] < options.flip, schema)

    if not options.recolours:
        return replace(moved, image=preprocess.normalise(moved.image))
    colour, offset = _colour_matrix(
        brightness=1 + options.brightness * u[6],
        contrast=1 + options.contrast * u[7],
        saturation=(1 + options.saturation * u[8]).masked_fill(draws[9] < options.grey, 0),
        hue=options.hue * u[10],
        mean=moved.image.mean((2, 3)),
    )
    return replace(moved, image=_recolour(moved.image, colour, offset, preprocess))


@torch.no_grad()
def mirror(batch: Batch, schema: Schema) -> Batch:
    """Every sample mirrored left to right, names of mirrored parts and keypoints swapped; dtypes stay as they are.

    Twice is the identity: to the bit for image, parts and mask; for keypoints and boxes to the bit where coordinates
    are multiples of 2^-10 px (and sides below 8192 px), else to float32 rounding.
    """
    return _flip(batch, torch.ones(len(batch), dtype=torch.bool, device=batch.image.device), schema)


@torch.no_grad()
def warp(batch: Batch, matrix: Tensor | None, flip: Tensor, schema: Schema) -> Batch:
    """Flip the samples where ``flip`` (B,) bool says so, then move all by ``matrix``; nothing is random here.

    ``matrix`` (B, 2, 3) float takes a point (x, y, 1) of the image, already flipped, to its new place, in pixels with
    centres at +0.5; None moves nothing and resamples nothing. A stored (uint8) batch goes in; out come image float32
    0..255 (bilinear, the border repeated outward), parts int64 (nearest, 0 from outside, 255 stays 255), mask float32
    0..1 (bilinear, 0 from outside), keypoints (out of the frame: 0, 0, 0; those with v <= 0 as they were) and box:
    tight around mask >= 0.5 where the sample has a mask, else around its moved corners, cut off at the frame;
    a box wholly outside is (0, 0, 0, 0) and no longer present. Raises TypeError where the image is not uint8.
    """
    _require_bytes(batch)
    batch = _flip(batch, flip.to(batch.image.device), schema)
    if matrix is None:
        return replace(batch, image=batch.image.float(), parts=_indices(batch.parts), labels=_as_input(batch.labels))

    b, _, h, w = batch.image.shape
    move = Move(matrix.to(batch.image.device, torch.float32), h, w)

    # The image and all planes share one grid_sample: finding the neighbours is most of its cost.
    planes = [name for name in batch.labels if STYLES[name].is_plane]
    maps = torch.empty(b, 3 + len(planes), h, w, device=batch.image.device)
    maps[:, :3] = batch.image
    for i, name in enumerate(planes, 3):
        maps[:, i : i + 1] = batch.labels[name]
    grid = torch.empty(b, h, w, 2, device=move.x.device)
    torch.add(-1, move.x, alpha=2 / w, out=grid[..., 0])
    torch.add(-1, move.y, alpha=2 / h, out=grid[..., 1])
    maps = F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)

    parts = _indices(batch.parts)
    if not are_no_parts(batch.parts):
        parts = move.nearest(batch.parts, torch.where(batch.present["parts"], 0, IGNORE).view(b, 1, 1)).long()
    resampled = {name: maps[:, i : i + 1] for i, name in enumerate(planes, 3)}
    moved: dict[str, tuple[Tensor, Tensor]] = {}
    for name, label in batch.labels.items():
        moved[name] = STYLES[name].moved(resampled.get(name, label), batch.present[name], move, moved)
    labels = {name: label for name, (label, _) in moved.items()}
    present = batch.present | {name: there for name, (_, there) in moved.items()}
    return replace(batch, image=maps[:, :3], parts=parts, labels=labels, present=present)


def affine_matrix(scale: Tensor, rotation: Tensor, shear: Tensor, translation: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, 2, 3) matrices for ``warp``: about the image's centre sheared, turned and scaled, then shifted.

    ``scale`` (B,) factor; ``rotation`` (B,) degrees, clockwise as seen on the screen; ``shear`` (B,) degrees, the top
    to the right; ``translation`` (B, 2) pixels right and down; ``size`` (width, height) in pixels.
    """
    angle, slope = torch.deg2rad(rotation), -torch.tan(torch.deg2rad(shear))
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    linear = torch.stack((cos, cos * slope - sin, sin, sin * slope + cos), -1).view(-1, 2, 2)
    centre = constant(size, linear.device, linear.dtype) / 2
    shift = centre + translation - (linear * centre).sum(-1)
    return torch.cat((linear, shift[..., None]), -1)


def _require_bytes(batch: Batch) -> None:
    if batch.image.dtype != torch.uint8:
        raise TypeError(
            f"the batch's image is {batch.image.dtype}, expected uint8 as stored; "
            "it seems to be transformed already: pass what Store.batch returns"
        )


def _as_input(labels: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: STYLES[name].as_input(label) for name, label in labels.items()}


def _indices(parts: Tensor) -> Tensor:
    """uint8 -> int64, without making something of nothing."""
    return no_parts(parts.shape, torch.int64, parts.device) if are_no_parts(parts) else parts.long()


def _flip(batch: Batch, flip: Tensor, schema: Schema) -> Batch:
    """Mirror the samples where ``flip`` (B,) bool, by index; dtypes stay as they are."""
    b, width = len(batch), batch.image.shape[-1]

    def reversed_rows(t: Tensor) -> Tensor:
        return torch.where(flip.view(b, *[1] * (t.ndim - 1)), t.flip(-1), t)

    parts, labels = batch.parts, dict(batch.labels)
    if not are_no_parts(parts):
        parts = reversed_rows(parts)
        if schema.mirror:
            values = constant(tuple(schema.value_flip()), parts.device, torch.int64)
            table = torch.where(flip[:, None], values, torch.arange(256, device=parts.device))  # (B, 256)
            parts = table.to(parts.dtype).gather(1, parts.reshape(b, -1).long()).view_as(parts)
    for name, label in labels.items():
        mirrored = STYLES[name].mirror(label, width, schema)
        labels[name] = torch.where(flip.view(b, *[1] * (label.ndim - 1)), mirrored, label)
    return replace(batch, image=reversed_rows(batch.image), parts=parts, labels=labels)


def _colour_matrix(
    brightness: Tensor, contrast: Tensor, saturation: Tensor, hue: Tensor, mean: Tensor
) -> tuple[Tensor, Tensor]:
    """All colour changes as one matrix (B, 3, 3) and offset (B, 3) on RGB 0..255: each is affine in RGB.

    Hue turns and saturation stretches the chroma plane of YIQ; contrast keeps the mean grey, of the image's ``mean``
    (B, 3). Factors are (B,), ``hue`` in degrees.
    """
    angle = torch.deg2rad(hue)
    cos, sin = saturation * torch.cos(angle), saturation * torch.sin(angle)
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    turn = torch.stack((one, zero, zero, zero, cos, -sin, zero, sin, cos), -1).view(-1, 3, 3)
    to_yiq, from_yiq = (constant(values, turn.device, turn.dtype) for values in (_TO_YIQ, _FROM_YIQ))
    with torch.autocast(mean.device.type, enabled=False):
        matrix = from_yiq @ turn @ to_yiq * (brightness * contrast).view(-1, 1, 1)
    grey = (mean * to_yiq[0]).sum(-1)  # turning and stretching the chroma leaves the luma
    offset = (brightness * (1 - contrast) * grey)[:, None].expand(-1, 3)
    return matrix, offset


def _recolour(image: Tensor, matrix: Tensor, offset: Tensor, preprocess: Preprocess) -> Tensor:
    """(B, 3, H, W) 0..255 -> recoloured, cut off at 0 and 255, normalised; in one product and one clamp."""
    scale, shift = preprocess._scale_and_shift(image.device)
    matrix = matrix * scale.view(1, 3, 1)
    offset = offset[..., None] * scale.view(1, 3, 1) + shift.view(1, 3, 1)
    with torch.autocast(image.device.type, enabled=False):
        changed = torch.baddbmm(offset, matrix, image.flatten(2)).view_as(image)
    return changed.clamp(min=shift, max=255 * scale + shift)
