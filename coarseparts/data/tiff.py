"""What microscopes and scanners write: several pages, more than 8 bits, more channels than colours."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from coarseparts.system import limits
from coarseparts.system.problems import BadInput, Problem

SAID = "coarseparts:said"
"""Key of an image's ``info`` under which ``of_channels`` says what it did."""

MOST_CHANNELS, MOST_PAGES = 64, 1000
"""Channels of a page that is read; pages among which the largest is sought, of more the first is used."""

_FEW_BITS = 12


def is_tiff(path: Path) -> bool:
    """Whether a file begins as TIFFs do, the ones above 4 GiB included."""
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def to_largest(image: Image.Image) -> None:
    """Turns a TIFF to its page of most pixels, the first of equal ones: others may be thumbnails, planes or times."""
    if image.format != "TIFF" or not 2 <= (count := getattr(image, "n_frames", 1)) <= MOST_PAGES:
        return
    areas = []
    for page in range(count):
        try:
            image.seek(page)
        except (OSError, SyntaxError):  # a kind of page that Pillow does not know
            areas.append(0)
            continue
        areas.append(image.size[0] * image.size[1])
    image.seek(areas.index(max(areas)))


def of_few_bits(image: Image.Image) -> tuple[Image.Image, int]:
    """A decoded image of 16-bit colour, of which Pillow keeps the upper byte, and by what it was divided: 256. Where
    all pixels are below 4096, 12 bits in 16, it is less, such that the brightest fits into 8 bits."""
    upper = np.asarray(image)
    name = getattr(image, "filename", "")
    if not name or int(upper[..., :3].max()) >= 1 << (_FEW_BITS - 8) or image.mode != "RGB":
        return image, 256
    with Image.open(name, formats=(str(image.format),)) as again:
        again.seek(image.tell())
        swapped = [tile._replace(args=_swapped(tile.args)) for tile in getattr(again, "tile", [])]
        if not swapped or any(tile.args is None for tile in swapped):
            return image, 256
        again.tile = swapped  # type: ignore[attr-defined]
        lower = np.asarray(again)
    values = (upper.astype(np.uint16) << 8) | lower
    shift = max(0, int(values.max()).bit_length() - 8)
    image.paste(Image.fromarray((values >> shift).astype(np.uint8)))  # in place, for what else it says of itself
    return image, 1 << shift


def _swapped(args: Any) -> Any:
    """A decoder's arguments with the byte order of their raw mode changed, so that the lower byte is the one that is
    kept; None where there is none."""
    mode, *others = (args,) if isinstance(args, str) else args
    order = {"N": sys.byteorder[0].upper()}.get(mode[-1:], mode[-1:])
    if not str(mode).endswith(("16L", "16B", "16N")):
        return None
    other = mode[:-1] + ("B" if order == "L" else "L")
    return other if isinstance(args, str) else (other, *others)


def of_numbers(path: Path, refuse: Callable[[tuple[int, int]], None]) -> Image.Image:
    """The first page of a TIFF that Pillow does not know as a mask: of one channel of whole numbers of 64 bits, as
    programs save labels, or of such that are whole, in mode I. ``refuse`` as in ``of_channels``.

    Raises BadInput where tifffile is missing, and for what else it is.
    """
    with _first_page(path, refuse, "save it with 8 or 16 bits: labels.astype(np.uint8)") as page:
        if page.dtype not in (np.int64, np.uint64, np.float64) or page.samplesperpixel > 1 or page.imagedepth > 1:
            count = page.samplesperpixel
            came = f"is a TIFF of {count} channel{'s' * (count > 1)} of {page.dtype}, expected one of whole numbers"
            raise BadInput(Problem(str(path), came, "save the mask alone, as uint8 or uint16"))
        values = np.asarray(page.asarray())
    if not (np.isfinite(values) & (values == np.rint(values)) & (values >= 0) & (values < 2**31)).all():
        came = f"holds {values.min()}..{values.max()}, expected part indices or 0 and 1"
        raise BadInput(Problem(str(path), came, "save the mask alone, as whole numbers"))
    image = Image.fromarray(values.astype(np.int32))
    image.format = "TIFF"
    return image


def of_channels(path: Path, refuse: Callable[[tuple[int, int]], None]) -> Image.Image:
    """The first page of a TIFF of channels that Pillow does not know: of three and more the first three are red, green
    and blue, of two the first is grey. ``refuse`` raises BadInput for a size (width, height) that is too large.

    Raises BadInput where tifffile is missing, or knows it no better.
    """
    remedy = "save it as RGB or grey with 8 or 16 bits"
    with _first_page(path, refuse, remedy) as page:
        count, came = int(page.samplesperpixel), f"{page.samplesperpixel} channels of {page.dtype}"
        if page.dtype not in (np.uint8, np.uint16) or page.imagedepth > 1 or count > MOST_CHANNELS:
            raise BadInput(Problem(str(path), f"is a TIFF of {came}, which is not read", remedy))
        values, last = np.asarray(page.asarray()), page.axes[-1] == "S"
    values = values if last or values.ndim == 2 else np.moveaxis(values, 0, -1)
    return _as_picture(values if values.ndim == 3 else values[..., None])


@contextmanager
def _first_page(path: Path, refuse: Callable[[tuple[int, int]], None], remedy: str) -> Iterator[Any]:
    """tifffile's first page of a file. Raises BadInput where tifffile is missing or cannot read it."""
    try:
        tifffile = importlib.import_module("tifffile")
    except ImportError:
        message = "is a TIFF of channels or bits that Pillow does not read, for which tifffile is missing"
        raise BadInput(
            Problem(str(path), message, f"install it: pip install 'coarseparts[formats]'; or {remedy}")
        ) from None
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it finds odd is told below, or does not matter
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            refuse((int(page.imagewidth), int(page.imagelength)))
            yield page
    except BadInput:
        raise
    except Exception as error:  # tifffile raises what its codecs raise
        if isinstance(error, OSError) and limits.is_machines(error):
            raise
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadInput(Problem(str(path), f"is a TIFF that cannot be read ({said})", remedy)) from None


def _as_picture(channels: np.ndarray) -> Image.Image:
    """Of (H, W, C) uint8 or uint16 the first three, or the first, as an RGB image that says so."""
    count = channels.shape[2]
    kept = channels[..., :3] if count >= 3 else channels[..., :1]
    shift = max(0, int(kept.max()).bit_length() - 8)
    said = f"has {count} channels, " + ("the first three are taken for RGB" if count >= 3 else "the first is used")
    if shift:
        said += f"; 16 bits, divided by {2**shift}"
    picture = Image.fromarray(np.repeat((kept >> shift).astype(np.uint8), 3 // kept.shape[2], axis=2))
    picture.info[SAID] = said
    return picture
