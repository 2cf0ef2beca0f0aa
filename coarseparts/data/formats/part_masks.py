"""Part masks read from their files: one for each photograph, the pixel value being the part's index; or one for each of
its parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from coarseparts.data import arrays
from coarseparts.data.formats.colours import are_numbers, by_number
from coarseparts.data.formats.labelmap import Colours, blends, by_colour, by_nearest, was_compressed
from coarseparts.data.formats.part_files import JPEGS, PartFiles
from coarseparts.data.formats.smoothed import coverage
from coarseparts.data.images import opened_mask, orientation_of
from coarseparts.labels.given import AS_STORED
from coarseparts.labels.part_maps import maps_of
from coarseparts.labels.schema import IGNORE
from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import short

_INDEXED = ("1", "L", "P", "I", "F", "I;16", "I;16B", "I;16L")

_FORMATS = ("PNG", "TIFF", "BMP", arrays.FORMAT)


def read_part_files(
    files: PartFiles, size: tuple[int, int], parts: tuple[str, ...], colours: Colours = (), overlapping: bool = True
) -> tuple[np.ndarray, list[Problem]]:
    """(H, W) uint8 part map of an image of ``size`` (width, height), and notes on it. Of files that hold a part each, a
    part is where its file is not 0, in a JPEG, and where outlines are smoothed, from 128 on; where parts do not overlap
    the smaller one is on top.

    Raises BadInput with all that is wrong: damaged files, colours, other sizes, no pixel of any part.
    """
    (index, file), *_ = files
    if index == 0:
        whole, notes = read_part_mask(file, size, parts, colours), []
        if is_smoothed(whole):
            message = "its outlines are smoothed: between two indices lie pixels of the indices between them"
            remedy = "export it without anti-aliasing, and resize masks by nearest neighbour only"
            notes.append(Problem(str(file), message, remedy, "note"))
        background = background_elsewhere(whole, parts) if not are_numbers(colours) else None
        if background is not None:
            fills = f"{IGNORE}, not labelled," if background == IGNORE else f"part {short(parts[-1])}"
            message = f"{fills} fills the border of the image, and 0 lies inside the object alone"
            called = "the last index" if background == len(parts) else str(background)
            remedy = f"is the background {called}? It has to be 0, and {short(parts[0])} 1, or be said by `colours`"
            notes.append(Problem(str(file), message, remedy, "note"))
        return whole, notes + _compressed(file, whole, colours)
    drawn: list[tuple[int, np.ndarray]] = []
    problems: list[Problem] = []
    for index, path in files:
        try:
            mask = part_in(path)
        except BadInput as bad:
            problems += bad.problems
            continue
        if wrong := _of_another_size(path, mask, size):
            problems += wrong
            continue
        drawn.append((index, mask))
    if not problems and not any(mask.any() for _, mask in drawn):
        message = "is empty, and so are the masks of the image's other parts"
        problems.append(Problem(str(file), message, "draw the parts or remove the files"))
    if problems:
        raise BadInput(problems)
    return maps_of(overlapping, len(parts)).drawn(drawn, size), [] if overlapping else _shared(file, drawn)


def _shared(file: Path, drawn: list[tuple[int, np.ndarray]]) -> list[Problem]:
    """A note where masks of parts that should exclude each other share more than their borders."""
    count = np.sum([mask for _, mask in drawn], axis=0)
    several, labelled = int((count > 1).sum()), int((count > 0).sum())
    if several <= SHARED * labelled:
        return []
    message = f"{several:,} of {labelled:,} labelled pixels are of several parts; the smaller part is on top"
    return [Problem(str(file), message, "write `overlapping: true` if parts may cover each other", "note")]


SHARED = 0.02
"""Share of an object's pixels up to which the masks of its parts may share them at their borders."""


def _compressed(file: Path, parts: np.ndarray, colours: Colours) -> list[Problem]:
    """What is to be told of a part mask in colours that is a JPEG, or was one once, or has smoothed outlines."""
    if not colours or are_numbers(colours):
        return []
    with opened_mask(file) as image:
        if image.format != "JPEG" and not _was_compressed(image, colours):
            between = blends(np.asarray(image.convert("RGB")), colours) if image.mode in ("RGB", "RGBA") else None
            if between is None:
                return []
            message = f"its outlines are smoothed: {int(between.sum()):,} pixels are between two colours"
            return [Problem(str(file), f"{message}, and not labelled where they are near none", severity="repaired")]
    lost = int((parts == IGNORE).sum())
    message = f"JPEG has changed its colours: each pixel is of the nearest one that is named, {lost:,} are not labelled"
    return [Problem(str(file), message, severity="repaired")]


def _was_compressed(image: Image.Image, colours: Colours) -> bool:
    return bool(colours) and image.mode in ("RGB", "RGBA") and was_compressed(np.asarray(image.convert("RGB")), colours)


def part_in(path: Path) -> np.ndarray:
    """(H, W) bool, where the mask of a part is not 0, or one that is painted neither transparent nor black; where its
    outlines are smoothed, what is painted by half. Raises BadInput."""
    remedy = "save it as a grey-scale or black-and-white PNG: 0 = the part is not there, all else = it is"
    mask = _painted(path)
    if mask is None:
        values = _pixels(path, "a mask", remedy)
        painted = coverage(values)
        lossy = path.suffix.lower() in JPEGS
        mask = values >= (128 if lossy else 1) if painted is None or lossy else painted >= 128
    return mask


def _painted(path: Path) -> np.ndarray | None:
    """(H, W) bool, where a mask with transparency is opaque, one in one colour is not black; None for any other."""
    with opened_mask(path) as image:
        if image.mode not in ("RGB", "RGBA", "LA"):
            return None
        pixels = np.asarray(image.convert("RGBA"))
        if (pixels[..., 3] < 128).any():
            return pixels[..., 3] >= 128
        brightest = pixels[..., :3].max(-1)
        if image.format == "JPEG":
            return brightest >= 128
        if (share := coverage(pixels[..., :3])) is not None:
            return share >= 128
        there = brightest > 0
        painted = pixels[there, :3]
        return there if not len(painted) or (not there.all() and (painted == painted[0]).all()) else None


def _pixels(path: Path, expected: str, remedy: str) -> np.ndarray:
    """(H, W) the numbers of a PNG, or the grey levels of a JPEG, of one channel. Raises BadInput where it is something
    else or damaged."""
    with opened_mask(path) as image:
        kind, mode = image.format, image.mode
        if (kind == "JPEG" and mode in ("L", "RGB")) or (kind in _FORMATS and mode == "RGB" and _all_grey(image)):
            return np.asarray(image.convert("L"))
        if kind not in _FORMATS or mode not in _INDEXED:
            came = f"a {kind} of mode {mode}, colours instead of {expected}" if kind in _FORMATS else f"a {kind} file"
            raise BadInput(Problem(str(path), f"is {came}", remedy))
        return whole_numbers(image, path)


def _of_another_size(path: Path, values: np.ndarray, size: tuple[int, int]) -> list[Problem]:
    """A problem where values (H, W) are not of ``size`` (width, height)."""
    if values.shape == size[::-1]:
        return []
    message = f"is {values.shape[1]}x{values.shape[0]} pixels, its image is {size[0]}x{size[1]}"
    remedy = "export it at the size of the image (upright, as EXIF says)"
    if values.shape[1] * size[1] == values.shape[0] * size[0]:
        remedy += ", or scale it to that by nearest neighbour"
    return [Problem(str(path), message, f"{remedy}; {AS_STORED}" if values.shape == size else remedy)]


def read_part_mask(path: Path, size: tuple[int, int], parts: tuple[str, ...], colours: Colours = ()) -> np.ndarray:
    """(H, W) uint8 part index, 255 = ignore, of an image of ``size`` (width, height).

    Palettes and grey-scale PNGs of 1 to 16 bits, also those saved as colours, are read by their numbers; colours, and
    palettes where a labelmap names ``colours``, by these. Raises BadInput with all that is wrong: damaged, no index or
    known colour per pixel, another size, unknown indices, no pixel of any part. Colours that JPEG has changed are the
    nearest ones; 255 beside 0 alone is the part where there is but one.
    """
    by_numbers = are_numbers(colours)
    with opened_mask(path) as image:
        values = _numbers(image, path, () if by_numbers else colours)
    if by_numbers:
        values = by_number(values, colours, path)
    elif len(parts) == 1 and values.max() == IGNORE and not ((values > 0) & (values < IGNORE)).any():
        values = np.where(values == IGNORE, 1, 0)
    check_indices(path, values, size, parts)
    return values.astype(np.uint8)


def _numbers(image: Image.Image, path: Path, colours: Colours) -> np.ndarray:
    """(H, W) int64 what the pixels of a part mask say: part indices by ``colours``, else numbers. Raises BadInput."""
    lossy = image.format == "JPEG" or image.info.get("compression") in ("jpeg", "tiff_jpeg")
    if (lossy and not colours) or image.format not in (*_FORMATS, "JPEG"):
        came = "is compressed as JPEG" if image.format == "TIFF" else f"is a {image.format} file"
        raise BadInput(Problem(str(path), f"{came}, expected a PNG of part indices", "export part masks as PNG"))
    refuse_doubtful(image, path)
    if lossy or _was_compressed(image, colours):
        return by_nearest(np.asarray(image.convert("RGB")), colours, path)
    if image.mode in ("RGB", "RGBA", "LA") or (image.mode == "P" and colours):
        return _of_colours(np.asarray(image.convert("RGBA")), colours, path)
    if image.mode in _INDEXED:
        values = whole_numbers(image, path).astype(np.int64)
        return _of_greys(values, values // _stretched(path), colours, path)
    message = f"is a {image.format} of mode {image.mode}, expected part indices"
    remedy = "save it as a grey-scale or palette PNG, pixel values 0, 1, 2, ... in the order of `parts`"
    raise BadInput(Problem(str(path), message, remedy))


def _of_greys(greys: np.ndarray, numbers: np.ndarray, colours: Colours, path: Path) -> np.ndarray:
    """(H, W) int64 part indices of an image of grey levels where colours are known: by these, if they name all of its
    levels, else its ``numbers``. Raises BadInput where the colours' list has another order than `parts`, whose numbers
    they may be."""
    known = {colour[0]: index for index, colour in colours if len(set(colour)) == 1}
    there = np.unique(greys)
    if there.any() and known.keys() >= {*there.tolist()}:
        return np.array([known[level] for level in there.tolist()], np.int64)[np.searchsorted(there, greys)]
    order = [index for index, _ in colours if 0 < index < IGNORE]
    if order == list(range(1, len(order) + 1)):
        return numbers
    message = "holds numbers, and the list of colours has the parts in another order than `parts`"
    raise BadInput(Problem(str(path), message, "say which number is which part by `colours` in this source"))


def whole_numbers(image: Image.Image, path: Path) -> np.ndarray:
    """(H, W) the numbers of an image of one channel; those of ImageJ's label images are 32-bit floats. Raises BadInput
    where some are no whole numbers."""
    values = np.asarray(image)
    if image.mode == "F" and not (np.isfinite(values) & (values == np.rint(values)) & (abs(values) < 2**31)).all():
        odd = values[~(values == np.rint(values))][:1]
        message = f"holds {odd[0]:g}, expected part indices" if odd.size else "holds numbers beyond all part indices"
        raise BadInput(Problem(str(path), message, "save it as a grey-scale PNG of whole numbers"))
    return values


def refuse_doubtful(image: Image.Image, path: Path) -> None:
    """Raises BadInput for a mask of several pages, or of which nothing says whether it is upright; of one on its side
    its size does."""
    if (pages := getattr(image, "n_frames", 1)) > 1:
        raise BadInput(Problem(str(path), f"has {pages} pages, expected one", "save the page of the mask alone"))
    turned = orientation_of(image)
    if 1 < turned < 5 or (turned > 4 and image.size[0] == image.size[1]):
        message = f"says that it is to be turned (EXIF orientation {turned}), as programs write that turned it already"
        raise BadInput(Problem(str(path), message, "save it upright, without EXIF"))


def numbers_of(path: Path) -> np.ndarray | None:
    """(H, W) int64 the numbers that the pixels of an index mask hold; None where it has colours. Raises BadInput where
    it is damaged or no such file."""
    with opened_mask(path) as image:
        if image.mode in ("RGB", "RGBA") and not _all_grey(image):
            return None
        return _numbers(image, path, ())


def _all_grey(image: Image.Image) -> bool:
    pixels = np.asarray(image.convert("RGB"))
    return bool((pixels == pixels[..., :1]).all())


def _of_colours(pixels: np.ndarray, colours: Colours, path: Path) -> np.ndarray:
    """(H, W) int64 of RGBA pixels: their grey level where all are grey and no colours are known; what is transparent is
    background. Raises BadInput where several colours are."""
    hidden = np.unique(pixels[pixels[..., 3] == 0][:, :3], axis=0)
    if (hidden.min(-1, initial=255) < hidden.max(-1, initial=0)).sum() > 1:
        message = "has colours where it is transparent: are its four channels a part each?"
        remedy = "if so, save a file for each part, or one of part indices; if not, save it without transparency"
        raise BadInput(Problem(str(path), message, remedy))
    seen = np.where(pixels[..., 3:] > 0, pixels[..., :3], 0)
    if not colours and (seen == seen[..., :1]).all():
        return seen[..., 0].astype(np.int64)
    return by_colour(seen, colours, path)


def _stretched(path: Path) -> int:
    """By what a decoder multiplies the numbers of a grey-scale PNG of 2 or 4 bits, to fill a byte; 1 for all others."""
    with path.open("rb") as file:
        head = file.read(26)  # signature, length and name of IHDR, width, height, then bits and kind of colour
    is_grey = head[:4] == b"\x89PNG" and head[25:26] == b"\0"
    return {2: 85, 4: 17}.get(head[24], 1) if is_grey else 1


def background_elsewhere(values: np.ndarray, parts: tuple[str, ...]) -> int | None:
    """The index that seems to be the background of a part mask (H, W) whose parts began at 0: the last part, or 255,
    fills the border, and 0 lies inside alone. None where it is 0, as it has to be."""
    border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    if not (values == 0).any() or (border == 0).any():
        return None
    return next((index for index in (len(parts), IGNORE) if (border == index).mean() > 0.95), None)


def is_smoothed(parts: np.ndarray) -> bool:
    """Whether a part mask (H, W) looks interpolated: from one index to another by way of the ones between them, more
    often than at a clean edge. Neighbouring indices cannot tell."""
    between = clean = 0
    known = parts.astype(np.int16)
    for lines in (known, known.T):
        a, b, c, d = lines[:, :-3], lines[:, 1:-2], lines[:, 2:-1], lines[:, 3:]
        labelled = (a != IGNORE) & (b != IGNORE) & (c != IGNORE) & (d != IGNORE)
        between += int((labelled & (((a < b) & (b < c)) | ((a > b) & (b > c)))).sum())
        clean += int((labelled & (a == b) & (c == d) & (np.abs(b - c) > 1)).sum())
    return between > 20 and between > clean


def check_indices(path: Path, values: np.ndarray, size: tuple[int, int], parts: tuple[str, ...]) -> None:
    """Whether whole numbers (H, W) are the part mask of an image of ``size`` (width, height): raises BadInput with all
    that is wrong: another size, unknown indices, no pixel of any part. ``path`` is for the messages."""
    problems = _of_another_size(path, values, size)
    # Values of up to 16 bits: counting is one pass, sorting them would be many.
    small = values.min() >= 0 and values.max() <= 0xFFFF
    counts = np.bincount(values.ravel(), minlength=IGNORE + 1) if small else np.zeros(0, int)
    present = np.flatnonzero(counts) if counts.size else np.unique(values)
    unknown = [int(v) for v in present if v != IGNORE and not 0 <= v <= len(parts)]
    if unknown:
        named = ", ".join(map(str, unknown[:8])) + (f" and {len(unknown) - 8} more" if len(unknown) > 8 else "")
        message = f"holds the unknown part index {named}, expected 0..{len(parts)} or {IGNORE}"
        remedy = f"index 1 is {parts[0]!r}, {len(parts)} is {parts[-1]!r}: correct the mask or the list `parts`"
        problems.append(Problem(str(path), message, remedy))
    elif not any(0 < v <= len(parts) for v in present):
        message, remedy = "is empty: no pixel of any part", "draw the parts or remove the file"
        if {0, IGNORE} == set(present.tolist()):
            message = f"is empty: it holds 0 and {IGNORE} alone, and {IGNORE} is not labelled"
            remedy = (
                "if it shows the whole object, name its folder by `masks`; if a part, see to it that its folder or "
            )
            remedy += "name says which"
        problems.append(Problem(str(path), message, remedy))
    if problems:
        raise BadInput(problems)
