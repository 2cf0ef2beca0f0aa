"""A trained model as a function of CVAT's automatic annotation (cvat-sdk 2.20 or newer, which calls it).

    cvat-cli task auto-annotate 12 --function-module coarseparts.integrations.cvat -p run=str:runs/ants

The task needs a label of type mask, or polygon with ``--conv-mask-to-poly``, for each part, by its name.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from coarseparts.data.formats.outlines import outer_rings, simplified
from coarseparts.inference.model import load
from coarseparts.system.errors import Failed

TOLERANCE = 1.0
"""Pixels by which a polygon may differ from a part's outline."""


def create(run: str, device: str = "auto") -> Any:
    """The function of a run folder, with what CVAT's driver asks for: ``spec``, the labels, and ``detect``.

    Raises Failed where cvat-sdk is missing, else as ``coarseparts.load``.
    """
    try:
        import cvat_sdk.auto_annotation as cvat
        from cvat_sdk.masks import encode_mask
    except ImportError:
        raise Failed("cvat-sdk is not installed, which calls this; run: pip install cvat-sdk") from None
    model = load(run, device)
    names = model.schema.parts

    class Parts:
        """Masks, or polygons where the driver wants these, of the parts of an image."""

        spec = cvat.DetectionFunctionSpec(
            labels=[cvat.label_spec(name, index, type="mask") for index, name in enumerate(names, start=1)]
        )

        def detect(self, context: Any, image: Image.Image) -> list[Any]:
            """CVAT's shapes of one image; parts whose score is below the driver's threshold are left out."""
            parts = model.predict(image)
            least = context.conf_threshold or 0.0
            found: list[Any] = []
            for index, (name, score) in enumerate(zip(names, parts.prediction.scores(), strict=True), start=1):
                mask = parts.masks[name]
                if mask.any() and score >= least:
                    found += polygons(index, mask) if context.conv_mask_to_poly else [whole(index, mask)]
            return found

    def whole(label: int, mask: np.ndarray) -> Any:
        rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
        box = [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
        return cvat.mask(label, encode_mask(mask, box))

    def polygons(label: int, mask: np.ndarray) -> list[Any]:
        outlines = (simplified(ring, TOLERANCE) for ring in outer_rings(mask))
        return [cvat.polygon(label, [value for point in points for value in point]) for points in outlines]

    return Parts()
