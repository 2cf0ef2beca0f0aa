"""What all pictures share: a colour for each part, told apart by readers who see colours differently, and a font."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import ImageFont

from coarseparts.system.text import readable

# The palette of Okabe and Ito (2008), made for colour-blind readers, without its black: a dark outline on a dark
# photograph is not seen. Its order is changed so that the first few, the ones most often needed, differ most.
_FIRST = ((230, 159, 0), (86, 180, 233), (213, 94, 0), (0, 158, 115), (240, 228, 66), (0, 114, 178), (204, 121, 167))
# What a protanope and a deuteranope see of linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
_SEEN_BY = (
    np.eye(3),
    np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
)
_RGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = _RGB_TO_XYZ.sum(1)


def colours(n: int) -> np.ndarray:
    """(n, 3) uint8: the colour of each part; part i (1..n) has row i - 1, the background has none.

    The first seven are Okabe and Ito's. Each further one is the candidate farthest, in CIELAB, from all before it as
    the worst off of three readers sees it (normal sight, protanopia, deuteranopia), so ``colours(k)`` are always the
    first k of ``colours(n)``. Beyond a dozen or so no palette serves every reader: name the parts, too. Raises
    ValueError unless 0 <= n <= 254.
    """
    if not 0 <= n <= 254:
        raise ValueError(f"colours for {n} parts were asked for; part maps have 0 to 254 parts")
    return np.array(_palette()[:n], np.uint8).reshape(n, 3)


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans of ``size`` pixels, as matplotlib brings it: names of files and parts may be in many scripts."""
    import matplotlib  # here, for it takes a while to import

    file = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    # The simple layout takes every text; Raqm, where there is one, refuses bytes of a file name that are no text.
    return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)


def fitting(text: str, width: float, size: int) -> str:
    """``text`` to be drawn within ``width`` pixels in ``font(size)``: ``readable``, and where it is too long its end,
    for file names differ there."""
    text = readable(text)
    end = text[-2 * max(1, int(width)) :]  # no letter is narrower than half a pixel; Pillow measures no endless text
    if end == text and font(size).getlength(text) <= width:
        return text
    while end and font(size).getlength("..." + end) > width:
        end = end[1:]
    return "..." + end


@lru_cache(maxsize=1)
def _palette() -> list[tuple[int, ...]]:
    levels = np.linspace(0, 255, 9).round()
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    lab = _lab(candidates)
    chroma = np.hypot(lab[0, :, 1], lab[0, :, 2])
    # Neither so dark nor so pale nor so grey that it is lost in a photograph.
    candidates = candidates[(lab[0, :, 0] > 30) & (lab[0, :, 0] < 93) & (chroma > 20)]
    lab = _lab(candidates)
    chosen = [tuple(c) for c in _FIRST]
    first = _lab(np.array(_FIRST, float))
    distance = np.linalg.norm(lab[:, :, None] - first[:, None], axis=-1).min(axis=(0, 2))  # (candidates,)
    while len(chosen) < 254:
        best = int(distance.argmax())
        chosen.append(tuple(candidates[best].astype(int).tolist()))
        distance = np.minimum(distance, np.linalg.norm(lab - lab[:, best : best + 1], axis=-1).min(0))
    return chosen


def _lab(rgb: np.ndarray) -> np.ndarray:
    """(n, 3) sRGB in 0..255 -> (3 readers, n, 3) CIELAB."""
    s = rgb / 255
    linear = np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)
    seen = np.stack([np.clip(linear @ m.T, 0, 1) for m in _SEEN_BY])
    t = seen @ _RGB_TO_XYZ.T / _WHITE
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)
