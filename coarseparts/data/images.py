"""Photographs from strangers: decoded to RGB bytes or refused with a reason, never a crash, never a bomb."""

from __future__ import annotations

import importlib
import os
import struct
import threading
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from coarseparts.data import arrays, tiff
from coarseparts.data.suffixes import IMAGES, RAW
from coarseparts.system import limits
from coarseparts.system.problems import BadInput, Problem

MAX_PIXELS = 100_000_000
"""Larger images are refused from their header alone: a few kilobytes can claim more pixels than memory holds. What
``allow`` says goes before it."""

HALVINGS = {"JPEG": 3, "MPO": 3, "JPEG2000": 5}
"""How often the sides of an image can be halved while it is decoded, by its format."""

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "PPM", "JPEG2000")
"""What is decoded, and HEIF and AVIF where they can be (``_of_phones``). Others are left out on purpose: some of
Pillow's decoders start other programs."""

_allowed = MAX_PIXELS
_LOCK = threading.Lock()
_ORIENTATION = 0x0112  # the EXIF tag
_WHITE_IS_0 = 262  # the tag of TIFF that says so by 0
_EXTRA = 338  # that of channels beside colours, 0 being what nobody says

# What Pillow's decoders raise on damaged files, by experience.
_DAMAGE = (
    OSError,
    RuntimeError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    SyntaxError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)


def allow(pixels: int) -> None:
    """Takes images of up to so many pixels in this process from now on. Decoding needs 3 to 12 bytes for each."""
    global _allowed
    _allowed = pixels


def allowed() -> int:
    """How many pixels an image may have."""
    return _allowed


@contextmanager
def opened(
    path: str | Path, formats: tuple[str, ...] = FORMATS, reduced: bool = False, numbers: bool = False
) -> Iterator[Image.Image]:
    """The image, its header read and its size found acceptable, its pixels not yet decoded; where ``reduced``, one that
    is too large passes if its format can be decoded at an acceptable size. ``numbers``: it is a mask (``tiff``).

    Raises BadInput for a missing, empty, foreign, corrupt or oversized file; also when decoding inside the
    ``with`` block fails. OSError where the machine refuses, of which no image can tell (``limits.is_machines``).
    """
    path = Path(path)
    with _told(str(path), formats):
        if not path.is_file():
            came = "is a folder" if path.is_dir() else "is not a file" if path.exists() else "does not exist"
            remedy = "name an image in it" if path.is_dir() else "restore it or remove what refers to it"
            raise BadInput(Problem(str(path), f"{came}, expected an image", remedy))
        if path.stat().st_size == 0:
            raise BadInput(Problem(str(path), "is empty (0 bytes), expected an image", "copy it again"))
        if (suffix := path.suffix.lower()) in RAW:  # many are TIFFs, of which Pillow would find a thumbnail
            remedy = "export it as JPEG, PNG or TIFF, upright and of full size, and name that file"
            raise BadInput(Problem(str(path), f"is a camera's raw file ({suffix}), which is not read", remedy))
        with _open(path, formats, numbers) as image:
            if not reduced or _halvings(image) is None:
                refuse_large(str(path), image.size)
            yield image


@contextmanager
def opened_mask(path: Path) -> Iterator[Image.Image]:
    """``opened``, and an array that NumPy saved. Of what ImageJ shows inverted the numbers are the stored ones."""
    if path.suffix.lower() not in arrays.ARRAYS:
        with opened(path, numbers=True) as image:
            if getattr(image, "tag_v2", {}).get(_EXTRA) in (0, (0,)):
                came = "has channels that are neither colours nor transparency, expected one"
                raise BadInput(Problem(str(path), came, "save a file for each part, or one of part indices"))
            _as_stored(image)
            yield image
        return
    with _told(str(path)):
        yield arrays.image_of(path, lambda size: refuse_large(str(path), size))


def _as_stored(image: Image.Image) -> None:
    """Undoes that white is 0, in a palette that runs from white to black, and in a TIFF where it would make the border
    of the image that of an object: programs that show masks so, or save truths as bits, mean the stored numbers."""
    if image.mode == "P" and image.getpalette() == [255 - level for level in range(256) for _ in "rgb"]:
        image.load()
        image.putpalette([level for level in range(256) for _ in "rgb"])
    elif image.format == "TIFF" and image.mode in ("1", "L") and image.tag_v2.get(_WHITE_IS_0) == 0:  # type: ignore[attr-defined]
        values = np.asarray(image)
        border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
        if (border > 0).mean() > 0.5:
            image.paste(Image.fromarray(~values))


def _halvings(image: Image.Image) -> int | None:
    """How often the sides of an image have to be halved to be allowed, None where its format cannot do that."""
    pixels, most = image.size[0] * image.size[1], HALVINGS.get(str(image.format), 0)
    return next((n for n in range(most + 1) if pixels >> 2 * n <= _allowed), None)


def open_own(path: Path) -> Image.Image:
    """A PNG that this program wrote, of whatever size. Raises what Pillow raises."""
    return _open(path, ("PNG",))


def _open(path: Path, formats: tuple[str, ...], numbers: bool = False) -> Image.Image:
    """The image, its header read. Its size is judged by ``refuse_large``, not by Pillow."""
    phones = _of_phones(path) if formats == FORMATS else ()
    try:
        with _quiet():
            bomb, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                return Image.open(path, formats=phones or formats)
            finally:
                Image.MAX_IMAGE_PIXELS = bomb
    except UnidentifiedImageError:
        if "TIFF" in formats and tiff.is_tiff(path):
            read = tiff.of_numbers if numbers else tiff.of_channels
            return read(path, lambda size: refuse_large(str(path), size))
        if phones:
            raise OSError(f"no {phones[0]} image can be found in it") from None
        raise


def _of_phones(path: Path) -> tuple[str, ...]:
    """The format of a file in the container that HEIF and AVIF share, () for all others. Raises BadInput where what
    decodes it is not installed."""
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] != b"ftyp":
        return ()
    if head[8:12] in (b"avif", b"avis"):
        if features.check("avif"):
            return ("AVIF",)
        raise BadInput(Problem(str(path), "is an AVIF photograph, which this Pillow cannot decode", GET_AVIF))
    if head[8:12] not in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"):
        return ()
    try:
        pillow_heif = importlib.import_module("pillow_heif")
    except ImportError:
        raise BadInput(Problem(str(path), "is a HEIC photograph, for which pillow-heif is missing", GET_HEIF)) from None
    pillow_heif.register_heif_opener()
    return ("HEIF",)


GET_HEIF = "install it: pip install 'coarseparts[formats]'; or export as JPEG"
GET_AVIF = "install a newer one: pip install --upgrade pillow; or export as JPEG"


@contextmanager
def _told(name: str, formats: tuple[str, ...] = FORMATS) -> Iterator[None]:
    """What goes wrong with an image inside, as BadInput that names it."""
    try:
        yield
    except BadInput:
        raise
    except Image.DecompressionBombError:
        raise _too_large(name, f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels") from None
    except UnidentifiedImageError:
        wanted = [*formats, *(("AVIF", "HEIC") if formats == FORMATS else ())]
        message = f"is no image, expected one of {', '.join(wanted)}"
        raise BadInput(Problem(name, message, "convert it, or remove it and what refers to it")) from None
    except PermissionError:
        raise BadInput(Problem(name, "may not be read", "give yourself permission to read it")) from None
    except MemoryError:
        raise BadInput(Problem(name, "needs more memory than there is", "scale it down")) from None
    except _DAMAGE as error:
        if limits.is_machines(error):
            raise
        said = " ".join(str(error).split()) or type(error).__name__
        message = f"is damaged ({said}), expected a whole image"
        raise BadInput(Problem(name, message, "copy it again or remove it")) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings: Pillow's are of bombs below our own limit and of odd metadata. One thread at a time, because
    ``catch_warnings`` replaces the process's filters."""
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _to_largest(image: Image.Image) -> None:
    with _quiet():
        tiff.to_largest(image)


def probe(path: str | Path) -> tuple[int, int]:
    """(width, height) of a photograph, EXIF rotation applied, from the header alone; its own size where
    ``read_photograph`` reads it at a reduced one. Raises BadInput."""
    with opened(path, reduced=True) as image:
        _to_largest(image)
        width, height = image.size
        return (height, width) if orientation_of(image) >= 5 else (width, height)


def orientation(path: str | Path) -> int:
    """The EXIF orientation of an image, 1..8; from 5 on its sides change places. 1 where it cannot be read."""
    try:
        with opened(path, reduced=True) as image:
            return orientation_of(image)
    except BadInput:
        return 1


def decode(path: str | Path) -> tuple[np.ndarray, list[Problem]]:
    """(H, W, 3) uint8 RGB, and what had to be converted to get there (severity "repaired").

    An EXIF rotation is applied: labels are taken to be in the upright image, as annotation tools show it.
    Grey-scale, palette, CMYK and 16-bit images are converted, transparency is laid over white, of several frames
    the first is used, of several pages of a TIFF the largest, the first of equal ones. 16-bit grey, and 16-bit colour
    of 12 bits or fewer, is divided by a power of two such that its brightest pixel fits into 8 bits. Raises BadInput.
    """
    with opened(path) as image:
        _to_largest(image)
        return pixels(image, str(path))


@dataclass(frozen=True)
class Photograph:
    """``array`` (H, W, 3) uint8 RGB, upright; the photograph's own ``size`` (width, height), which is that of the array
    but where it was too large and decoded at a reduced one; and what had to be converted."""

    array: np.ndarray
    size: tuple[int, int]
    problems: list[Problem]


def read_photograph(path: str | Path) -> Photograph:
    """``decode``, but a photograph of too many pixels is read at a half, a quarter, ... of its size where its format
    allows that. Raises BadInput."""
    with opened(path, reduced=True) as image:
        _to_largest(image)
        size = image.size[::-1] if orientation_of(image) >= 5 else image.size
        times = _halvings(image) or 0
        if times and image.format == "JPEG2000":
            image.reduce = times  # type: ignore[assignment]
        elif times:
            image.draft(None, (image.size[0] >> times, image.size[1] >> times))
        array, problems = pixels(image, str(path), refuse=not times)
    if times:
        message = f"has {size[0]}x{size[1]} pixels, more than {_allowed:,}, and was read at {array.shape[1]}x"
        message += f"{array.shape[0]}; labels are scaled"
        remedy = f"to read all of it, allow --max-pixels {size[0] * size[1]}"
        problems.append(Problem(str(path), message, remedy, "repaired"))
    return Photograph(array, size, problems)


def pixels(image: Image.Image, name: str, refuse: bool = True) -> tuple[np.ndarray, list[Problem]]:
    """``decode`` of an image that is open already, of several frames the one that it stands at. ``name`` is what
    messages call it; ``refuse``: what is too large. Raises BadInput."""
    done: list[str] = []
    with _told(name):
        if refuse:
            refuse_large(name, image.size)
        raw_modes = [_raw_mode(tile[3]) for tile in getattr(image, "tile", [])]  # gone once the pixels are decoded
        image.load()
        with _quiet():
            frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format not in ("MPO", "HEIF"):  # a phone's file may carry a second view
            done.append(f"has {frames} frames, {f'number {image.tell() + 1}' if image.tell() else 'the first'} is used")
        if said := image.info.get(tiff.SAID):
            done.append(said)
        orientation = orientation_of(image)
        if image.mode in ("RGB", "RGBA") and any("16" in raw for raw in raw_modes):
            image, by = tiff.of_few_bits(image)
            done.append(f"16-bit colour, {f'divided by {by}' if by < 256 else 'converted to 8 bits'}")
        array = _to_rgb(image, name, done)
        if orientation > 1:
            done.append(f"EXIF orientation {orientation} applied; labels are taken to be in the upright image")
    return array, [Problem(name, text, severity="repaired") for text in done]


def list_images(folder: Path, more: tuple[str, ...] = ()) -> list[tuple[str, Path]]:
    """(path relative to ``folder`` with forward slashes, path) of all image files in it and below, sorted.

    Which files are images is told from their suffix, ``more`` being others; hidden files and folders are passed over.
    """
    found = [(name, below / file) for name, below, file in _images_below(folder, more)]
    return sorted(found, key=lambda pair: pair[0])


def image_names(folder: Path) -> list[str]:
    """The names that ``list_images`` gives."""
    return sorted(name for name, _, _ in _images_below(folder))


def _images_below(folder: Path, more: tuple[str, ...] = ()) -> Iterator[tuple[str, Path, str]]:
    """The name of each image file relative to ``folder``, the folder in which it lies, and its own."""
    for parent, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(".")]
        below = Path(parent)
        prefix = "" if below == folder else f"{below.relative_to(folder).as_posix()}/"
        for file in files:
            if not file.startswith(".") and file.lower().endswith((*IMAGES, *more)):
                yield prefix + file, below, file


def stem(name: str) -> str:
    """A relative path without the suffix of its last component."""
    head, dot, tail = name.rpartition(".")
    return head if dot and "/" not in tail and head and not head.endswith("/") else name


def _raw_mode(given: Any) -> str:
    """How pixels are stored, of what a decoder is given: that alone, or before numbers such as the file's length."""
    return str(given[0] if isinstance(given, tuple) and given else given)


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 1..8; 1 when there is none or it is damaged."""
    try:
        with _quiet():
            value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged metadata is no reason to refuse the pixels
        return 1
    return value if value in range(1, 9) else 1


def _to_rgb(image: Image.Image, file: str, done: list[str]) -> np.ndarray:
    if orientation_of(image) > 1:
        image = ImageOps.exif_transpose(image)
    mode = image.mode
    if mode == "RGB":
        pass
    elif mode == "F":
        remedy = "save it with 8 or 16 bits per channel"
        raise BadInput(Problem(file, "has floating-point pixels, whose range is not defined", remedy))
    elif mode == "I" or mode.startswith("I;"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            remedy = "save it with 8 or 16 bits per channel"
            raise BadInput(Problem(file, f"has values {values.min()}..{values.max()}, expected 0..65535", remedy))
        shift = max(0, int(values.max()).bit_length() - 8)
        done.append(f"16-bit grey-scale, divided by {2**shift} and repeated in three channels")
        image = Image.fromarray((values >> shift).astype(np.uint8)).convert("RGB")
    elif mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        opaque = image.getchannel("A").getextrema() == (255, 255)
        done.append(f"{_NAMES.get(mode, mode)}, " + ("converted to RGB" if opaque else "laid over white"))
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    else:
        done.append(f"{_NAMES.get(mode, mode)}, converted to RGB")
        image = image.convert("RGB")
    return np.array(image)


_NAMES = {
    "L": "grey-scale",
    "1": "black and white",
    "P": "palette image",
    "CMYK": "CMYK",
    "RGBA": "has an alpha channel",
    "LA": "grey-scale with an alpha channel",
    "PA": "palette image with an alpha channel",
}


def refuse_large(name: str, size: tuple[int, int]) -> None:
    """Raises BadInput naming an image whose ``size`` (width, height) has more pixels than ``allowed``."""
    if size[0] * size[1] > _allowed:
        raise _too_large(name, f"{size[0]}x{size[1]} pixels")


def _too_large(name: str, came: str) -> BadInput:
    remedy = "scale it down, or allow it with --max-pixels where there is memory for it"
    return BadInput(Problem(name, f"has {came}, expected at most {_allowed:,}", remedy))
