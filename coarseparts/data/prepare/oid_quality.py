"""How well the part labels of an OID Aircraft photograph fit together, by its polygons alone.

The paper's OID Part is 300 photographs chosen by eye because the part labels are noisy (section 4.2); which ones is not
published. This ranking does the first sifting: most mistakes of labels show as parts that are missing, doubled, outside
the aeroplane or of an odd size. It cannot see whether a polygon follows the photograph, which is left to a person. The
ranges are our own, from the proportions of aeroplanes; they have not been fitted to judgements of people.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from coarseparts.data.prepare import polygons
from coarseparts.data.prepare.oid_annotations import SPLITS, OidImage

WANTED = {"train": 150, "val": 75, "test": 75}
"""How many photographs of each split the paper's OID Part has."""

_SIDE = 512  # pixels of the longer side at which areas are counted
_COUNTS = {"nose": (1, 1), "wings": (1, 2), "wheels": (1, 8), "vertical stabilizer": (1, 1)}
_SHARES = {  # of the outline's pixels, a polygon: less and more are odd
    "nose": (0.005, 0.25),
    "wings": (0.003, 0.6),
    "wheels": (0.0005, 0.05),
    "vertical stabilizer": (0.01, 0.35),
}


def quality(image: OidImage, banner: int) -> dict[str, float]:
    """How well each of some expectations is met, 0..1; the product of the values is the photograph's score.

    alone: one aeroplane; complete: no polygon was left out; counts: as many polygons of each part as an aeroplane
    shows; inside: the parts lie within the outline; sizes: parts have plausible shares of the outline; simple: polygons
    do not cross themselves; apart: no part is drawn twice, and nose and vertical stabilizer are at different ends;
    whole: the outline does not touch the photograph's border; large: it fills a good part of the photograph.
    ``banner``: rows at the bottom that do not belong to the photograph.
    """
    width, height = image.size[0], image.size[1] - banner
    if len(image.outlines) != 1 or not image.complete:
        return {"alone" if image.complete else "complete": 0.0}
    found: dict[str, float] = {"counts": 1.0, "inside": 1.0, "sizes": 1.0, "simple": 1.0, "apart": 1.0}
    scale = _SIDE / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    outline = polygons.cut(image.outlines[0] * scale, *size)
    if outline is None:
        return {"whole": 0.0}
    body = polygons.run_lengths([outline], *size)
    area = polygons.covered(body)
    if not area:
        return {"large": 0.0}
    found["simple"] = _simple(outline, area)
    centres = {}
    for part, drawn in image.parts.items():
        low, high = _COUNTS[part]
        count = len(drawn)
        found["counts"] *= (count + 0.5) / low if count < low else high / max(count, high)
        codes = []
        for polygon in drawn:
            inside = polygons.cut(polygon * scale, *size)
            code = None if inside is None else polygons.run_lengths([inside], *size)
            pixels = 0 if code is None else polygons.covered(code)
            if code is None or inside is None or not pixels:
                found["inside"] = 0.0  # in the banner, or outside the photograph
                continue
            codes.append(code)
            least, most = _SHARES[part]
            share = pixels / area
            found["inside"] = min(found["inside"], polygons.common(code, body) / pixels)
            found["sizes"] = min(found["sizes"], share / least, most / share)
            found["simple"] = min(found["simple"], _simple(inside, pixels))
            centres[part] = inside.mean(0)
        for one, other in combinations(codes, 2):
            shared = polygons.common(one, other)
            overlap = shared / (polygons.covered(one) + polygons.covered(other) - shared)
            found["apart"] = min(found["apart"], 1 - overlap)
    extent = np.ptp(outline, axis=0)
    if {"nose", "vertical stabilizer"} <= centres.keys():
        far = float(np.abs(centres["nose"] - centres["vertical stabilizer"]).max() / extent.max())
        found["apart"] = min(found["apart"], far / 0.3)
    touched = (outline.min(0) <= 1).sum() + (outline.max(0) >= np.array(size) - 1).sum()
    found["whole"] = 0.5 ** int(touched)
    found["large"] = min(1.0, float(extent.max() / _SIDE) / 0.5)
    return found


def proposal(images: list[OidImage], banner: int) -> str:
    """A list for ``--clean``: of each official split the photographs with the best labels, as many as the paper's OID
    Part has, and as many again as comments, to take the place of those that a person strikes out."""
    lines = [
        "# Photographs whose part labels look right, proposed by how well the polygons fit together; best first.",
        "# Look through them: strike out lines, and take the # away from reserves instead.",
        "# split, photograph  # score, and what it was lowered by",
    ]
    for split in SPLITS:
        scored = []
        for image in images:
            if image.split == split:
                found = quality(image, banner)
                scored.append((float(np.prod(list(found.values()))), image.name, found))
        scored = sorted(((s, n, f) for s, n, f in scored if s > 0), key=lambda row: (-row[0], row[1]))
        for rank, (score, name, found) in enumerate(scored[: 2 * WANTED[split]]):
            low = ", ".join(f"{what} {value:.2f}" for what, value in sorted(found.items()) if value < 0.995)
            reserve = "# reserve: " if rank >= WANTED[split] else ""
            lines.append(f"{reserve}{split} {name}  # {score:.3f}{': ' if low else ''}{low}")
    return "\n".join(lines) + "\n"


def _simple(polygon: np.ndarray, pixels: int) -> float:
    """1 where a polygon's edges enclose as much as it covers, give or take the pixels on its border."""
    border = np.linalg.norm(polygon - np.roll(polygon, 1, 0), axis=1).sum()
    differs = abs(polygons.enclosed(polygon) - pixels)
    return float(1 - max(0.0, differs - border / 2) / max(polygons.enclosed(polygon), pixels))
