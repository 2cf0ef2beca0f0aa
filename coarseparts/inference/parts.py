"""The parts of one photograph, as ``Model.predict`` hands them out: maps, masks, probabilities, a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from PIL import Image

from coarseparts.inference.predict import Prediction
from coarseparts.labels.schema import Schema
from coarseparts.report.notebook import with_legend
from coarseparts.report.overlay import overlay
from coarseparts.report.palette import colours
from coarseparts.system.problems import Problem
from coarseparts.system.text import abridged, listed

SHOWN = 800
"""Pixels of the longer side of the picture that a notebook shows, at most."""


class Parts:
    """The parts of one photograph of H x W pixels (upright, as EXIF says). Everything is computed when it is asked for.

    ``names``: of the parts, index 1..P. ``image`` (H, W, 3) uint8: the photograph as it was looked at. ``notes``: what
    was converted or moved on the way (an image with transparency, a box that reached beyond the image). ``prediction``:
    what the model said at the size of its crop.

        parts = model.predict("photo.jpg")
        area = parts.masks["head"].sum()             # pixels
        doubtful = parts.probability.max(0) < 0.6    # (H, W) bool
    """

    def __init__(self, prediction: Prediction, schema: Schema, image: np.ndarray, notes: Sequence[Problem] = ()):
        self.prediction = prediction
        self._schema = schema
        self.image = image
        self.notes = tuple(notes)

    @property
    def names(self) -> tuple[str, ...]:
        """The parts' names; ``names[0]`` has index 1."""
        return self._schema.parts

    @property
    def index(self) -> np.ndarray:
        """(H, W) uint8 index of each pixel's part, 0 = background. AttributeError where parts overlap."""
        return self._schema.maps.index(self._map)

    @cached_property
    def masks(self) -> dict[str, np.ndarray]:
        """(H, W) bool by the part's name: where it is."""
        return {name: self._schema.maps.shows(self._map, index) for index, name in enumerate(self.names, 1)}

    @cached_property
    def probability(self) -> np.ndarray:
        """(P + 1, H, W) float32 in 0..1, row 0 the background, which sum to 1 at each pixel; of parts that overlap
        (P, H, W), each by itself. Certainly background outside of the region that was looked at."""
        return self.prediction.at_native()

    @cached_property
    def _map(self) -> np.ndarray:
        """(H, W) uint8 indices; bit fields where parts overlap."""
        return self.prediction.part_map()

    def overlay(self) -> Image.Image:
        """The photograph with the parts laid over it in colours, (W, H) pixels, RGB."""
        return Image.fromarray(overlay(self.image, self._map, self._colours, self._schema.maps))

    @property
    def _colours(self) -> np.ndarray:
        return colours(len(self.names))

    def __repr__(self) -> str:
        height, width = self._map.shape
        shares = {name: mask.mean() for name, mask in self.masks.items() if mask.any()}
        told = listed((f"{abridged(name)} {100 * share:.1f} %" for name, share in shares.items()), 6)
        return f"<Parts of {width}x{height} pixels: {told or 'none to be seen'}>"

    def _repr_png_(self) -> bytes:
        picture = self.overlay()
        picture.thumbnail((SHOWN, SHOWN))
        file = io.BytesIO()
        picture.save(file, "PNG")
        return file.getvalue()

    def _repr_html_(self) -> str:
        return with_legend(self._repr_png_(), dict(zip(self.names, self._colours.tolist(), strict=True)))
