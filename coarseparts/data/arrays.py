"""Masks that NumPy saved: the array of a ``.npy`` or ``.npz`` file as an image, or refused with a reason. Nothing in
such a file is run."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np
from PIL import Image

from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import abridged, listed, short

ARRAYS = (".npy", ".npz")
"""How files of arrays end."""

FORMAT = "NPY"
"""What ``Image.format`` says of them."""

_REMEDY = "save the mask alone, of shape (height, width), as whole numbers: np.save(file, mask.astype(np.uint8))"


def image_of(path: Path, refuse_large: Callable[[tuple[int, int]], None]) -> Image.Image:
    """The array (H, W) of whole numbers or bool in a file as an image of mode L, or I where one is not within 0..255;
    sides of 1 before and behind are dropped. ``refuse_large`` is asked about (width, height) before it is read.

    Raises BadInput for another shape, numbers that are not whole, objects, and several arrays in a file; what NumPy
    raises where it is damaged.
    """
    with _opened(path) as file:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        try:
            shape, _, kind = read_header[version](file) if version in read_header else ((), False, np.dtype(object))
        except TokenError:
            raise ValueError("its header is broken") from None
        if kind.hasobject:
            came = "holds Python objects, which can run code when they are opened (Cellpose's _seg.npy?)"
            raise BadInput(Problem(str(path), came, _REMEDY))
        sides = [side for side in shape if side != 1] if len(shape) > 2 else list(shape)
        if len(sides) != 2 or 0 in sides or kind.kind not in "biuf":
            came = f"holds {abridged(kind.name, 40)} of shape {short(shape, 60)}, expected a mask (height, width)"
            raise BadInput(Problem(str(path), came, _REMEDY))
        refuse_large((sides[1], sides[0]))
        file.seek(0)
        values = np.lib.format.read_array(file, allow_pickle=False).reshape(sides)
    if kind.kind == "f" and not (np.isfinite(values) & (values == np.rint(values))).all():
        odd = values[~(values == np.rint(values))].flat[0]
        raise BadInput(Problem(str(path), f"holds {odd:g}, expected whole numbers", _REMEDY))
    least, most = values.min(), values.max()
    if least < -(2**31) or most >= 2**31:
        raise BadInput(Problem(str(path), f"holds {least}..{most}, expected part indices or 0 and 1", _REMEDY))
    image = Image.fromarray(values.astype(np.uint8 if least >= 0 and most <= 255 else np.int32))
    image.format = FORMAT
    return image


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The one array of a file, as ``np.save`` writes it."""
    if path.suffix.lower() != ".npz":
        with path.open("rb") as file:
            yield file
        return
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        if len(names) != 1:
            came = f"holds {len(names)} arrays ({listed((short(name[:-4], 40) for name in names), 8)}), expected one"
            raise BadInput(Problem(str(path), came, _REMEDY))
        with archive.open(names[0]) as file:
            yield file
