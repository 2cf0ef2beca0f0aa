"""Part masks in colours: which colour is which part, as a list beside them says (CVAT's, VOC's, CamVid's)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from coarseparts.data.formats.smoothed import are_lines, codes_of
from coarseparts.labels.schema import IGNORE
from coarseparts.system.documents import DocumentError, encoding_of, load_json
from coarseparts.system.problems import BadInput, Problem, unreadable
from coarseparts.system.text import listed, nearest, short

Colours = tuple[tuple[int, tuple[int, ...]], ...]
"""(part index, (red, green, blue)) of each colour; 0 the background, 255 what is not labelled. Where the source says
which number is which part, (part index, (number,)) of each."""

BACKGROUND = ("background", "_background_")
IGNORED = ("void", "ignore", "__ignore__", "border", "unlabeled", "unlabelled")
"""What labelmaps call what is no part, and what is not labelled, in whatever case."""

BLACK = (0, 0, 0)

OF_MACHINES = "obj_class_to_machine_color.json"

FILES = ("labelmap.txt", "label_colors.txt", "class_dict*.csv", "autosave_label.txt", OF_MACHINES)
"""What lists of colours are called: CVAT's and VOC's, CamVid's, tables of name, red, green, blue, EISeg's, and
Supervisely's."""

_PLAIN = re.compile(r"(?P<name>[^:]+)::.*")
"""A line that leaves the colour out: it is VOC's own of that place."""

_LINES = {
    "labelmap.txt": (r"(?P<name>[^:]+):\s*RGB\s*(:.*)?", r"\s*,\s*", "name:red,green,blue"),
    "autosave_label.txt": (r"\d+\s+(?P<name>.+?)\s+RGB", r"\s+", "number name red green blue"),
    "label_colors.txt": (r"RGB[\s,]+(?P<name>.+)", r"[\s,]+", "red green blue name"),
    "": (r"(?P<name>[^,;]+?)\s*[,;]\s*RGB", r"\s*[,;]\s*", "name,red,green,blue"),
}
_FORMS = {
    file: (re.compile(line.replace("RGB", between.join(rf"(?P<{key}>\d{{1,3}})" for key in "rgb"))), expected)
    for file, (line, between, expected) in _LINES.items()
}
"""By the file's name, how its lines look, and what they are to be."""


def read_labelmap(folder: Path, parts: tuple[str, ...]) -> tuple[Colours, list[Problem]]:
    """The colours that one of ``FILES`` in a folder of masks or beside it gives, in its order, and what is wrong with
    it; () where there is none.

    A line of ``labelmap.txt`` is ``name:red,green,blue``, more fields being passed over, or ``name::`` with VOC's
    colour of its place; one of ``label_colors.txt`` ``red green blue name``; names that are none of ``parts``,
    BACKGROUND and IGNORED are problems.
    """
    file = labelmap_of(folder)
    if file is None:
        return (), []
    try:
        lines = _lines(file)
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError):
            return (), [unreadable(file, error, "give yourself permission to read it")]
        return (), [Problem(str(file), "is no text in UTF-8", "export it again")]
    colours: list[tuple[int, tuple[int, ...]]] = []
    problems: list[Problem] = []
    named: dict[tuple[int, ...], str] = {}
    for number, line, said in lines:
        if said is None:
            came = f"line {number}: is {short(line, 60)}, expected {_form(file)[1]}"
            problems.append(Problem(str(file), came, "write the line so, or export it again"))
            continue
        name, colour = said
        if (other := named.setdefault(colour, name)) != name:
            message = f"line {number}: {short(other, 60)} and {short(name, 60)} have one colour"
            problems.append(Problem(str(file), message, "give each its own in the masks, or leave one of them out"))
        elif name.lower() in BACKGROUND:
            colours.append((0, colour))
        elif name.lower() in IGNORED and name not in parts:
            colours.append((IGNORE, colour))
        elif name in parts:
            colours.append((parts.index(name) + 1, colour))
        else:
            message = f"line {number}: {short(name, 60)} is not among `parts`"
            problems.append(Problem(str(file), message, nearest(name, parts)))
    if colours and not any(index == 0 for index, _ in colours):
        if (IGNORE, BLACK) in colours:
            message = "names no background, and black is not labelled there: nothing says what is no part"
            problems.append(Problem(str(file), message, "call black `background` there, if it is that", "note"))
        elif not any(colour == BLACK for _, colour in colours):
            colours.append((0, BLACK))
            problems.append(Problem(str(file), "names no background: black is taken for it", "", "note"))
    return tuple(colours), problems


def labelmap_of(folder: Path) -> Path | None:
    """The list of colours of a folder of masks, in it or beside it; CamVid's and Supervisely's may lie a folder above
    that, as where each split has a folder."""
    places = [at / name for at in (folder, folder.parent) for name in FILES]
    places += [folder.parent.parent / name for name in (FILES[1], OF_MACHINES)]
    return next((file for at in places for file in sorted(at.parent.glob(at.name))), None)


def _form(file: Path) -> tuple[re.Pattern[str], str]:
    """How a line of a list looks, as a pattern and in words."""
    return _FORMS.get(file.name, _FORMS[""])


def _lines(file: Path) -> list[tuple[int, str, tuple[str, tuple[int, ...]] | None]]:
    """The number of each line of a list of colours, itself, and its name and colour; None where it is no such line.
    Raises OSError and UnicodeDecodeError."""
    found: list[tuple[int, str, tuple[str, tuple[int, ...]] | None]] = []
    if file.name == OF_MACHINES:
        return _of_machines(file)
    table = file.suffix == ".csv"
    for number, line in enumerate(file.read_text(encoding=encoding_of(file)).splitlines()[:10_000], 1):
        line = line.strip()
        if not line or line.startswith("#") or (table and (number == 1 or line.startswith((",", ";")))):
            continue  # headings, and colours without a name
        if said := _form(file)[0].fullmatch(line):
            colour: tuple[int, ...] = tuple(int(said[key]) for key in "rgb")
        elif file.name == FILES[0] and (said := _PLAIN.fullmatch(line)):
            colour = _voc(len(found))
        found.append((number, line, (said["name"].strip(), colour) if said else None))
    return found


def _of_machines(file: Path) -> list[tuple[int, str, tuple[str, tuple[int, ...]] | None]]:
    """The names and colours of Supervisely's file, as ``_lines`` gives them."""
    try:
        whole = load_json(file)
    except DocumentError as error:
        return [(1, str(error), None)]
    pairs = whole.items() if isinstance(whole, dict) else ()
    right = {name: tuple(colour) for name, colour in pairs if isinstance(colour, list) and len(colour) == 3}
    right = {name: colour for name, colour in right.items() if all(type(n) is int and 0 <= n <= 255 for n in colour)}
    return [(i, str(name), (name, right[name]) if name in right else None) for i, (name, _) in enumerate(pairs, 1)]


def _voc(index: int) -> tuple[int, int, int]:
    """The colour of an index in the palette of PASCAL VOC: its bits spread over red, green and blue in turn."""
    red, green, blue = (sum((index >> 3 * bit + channel & 1) << 7 - bit for bit in range(8)) for channel in range(3))
    return red, green, blue


def names_of(folder: Path) -> tuple[str, ...]:
    """The names that the list of colours of a folder of masks gives to them, but for the background's and what is not
    labelled; () where there is none that can be read."""
    file = labelmap_of(folder)
    try:
        names = [said[0] for _, _, said in (_lines(file) if file else ()) if said]
    except (OSError, UnicodeDecodeError):
        return ()
    return tuple(dict.fromkeys(name for name in names if name.lower() not in (*BACKGROUND, *IGNORED)))


FAR = 64.0
"""Distance in RGB of the nearest colour of a labelmap, from which on a pixel of a JPEG is none of them."""

LOST = 0.2
"""Share of such pixels from which on the labelmap is not the mask's."""

SHADES, SURE, MOST_ALIKE = 4, 0.9, 8
"""Colours between two of a labelmap from which on outlines may be smoothed; share of all other pixels that are so, at
least, for where three parts meet lie others; pixels that one of these has, at most."""

BESIDE = 4.0
"""Levels by which such a colour may be off in a channel."""


def was_compressed(pixels: np.ndarray, colours: Colours) -> bool:
    """Whether colours (H, W, 3) uint8 look as if they had been those of a labelmap before JPEG changed them: nearly all
    are near one, and of those that are parts hardly any is one."""
    if not colours:
        return False
    values, distances = _nearest(pixels, colours)
    part = (values > 0) & (values != IGNORE)
    return bool(part.any() and (distances <= FAR / 2).mean() > 0.95 and (distances[part] == 0).mean() < 0.5)


def by_nearest(pixels: np.ndarray, colours: Colours, path: Path) -> np.ndarray:
    """(H, W) int64 part indices of the nearest ``colours``, 255 where none is near. Raises BadInput where that is so of
    many pixels."""
    values, distances = _nearest(pixels, colours)
    far = distances > FAR
    if (share := float(far.mean())) > LOST:
        message = f"{100 * share:.0f} % of its pixels have colours that are far from all that are named"
        raise BadInput(
            Problem(str(path), message, "name its colours in labelmap.txt or by `colours`, or draw with those")
        )
    return np.where(far, IGNORE, values)


def _nearest(pixels: np.ndarray, colours: Colours) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) int64 index of the nearest colour of each pixel, and (H, W) float32 its distance."""
    there, which = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    values, least = np.zeros(len(there), np.int64), np.full(len(there), np.inf, np.float32)
    for index, colour in colours:
        distance = np.sqrt(((there.astype(np.float32) - np.array(colour, np.float32)) ** 2).sum(1))
        values[distance < least], least = index, np.minimum(distance, least)
    shape = pixels.shape[:2]
    return values[which.ravel()].reshape(shape), least[which.ravel()].reshape(shape)


def blends(pixels: np.ndarray, colours: Colours) -> np.ndarray | None:
    """(H, W) bool, which colours (H, W, 3) uint8 are none of a labelmap's but lie between two of them, on lines as
    smoothed outlines are; None where others are anything else, or none."""
    _, distances = _nearest(pixels, colours)
    others = distances > 0
    if not others.any() or others.mean() > LOST:
        return None
    unknown, counts = np.unique(pixels[others], axis=0, return_counts=True)
    there = unknown.astype(np.float32)
    if len(there) < SHADES:
        return None
    least = np.full(len(there), np.inf, np.float32)
    known = np.array([colour for _, colour in colours], np.float32)
    for i, one in enumerate(known):
        for other in known[i + 1 :]:
            way = other - one
            share = np.clip((there - one) @ way / max(float(way @ way), 1.0), 0, 1)
            least = np.minimum(least, np.abs(one + share[:, None] * way - there).max(-1))
    elsewhere = counts[least > BESIDE]
    if elsewhere.sum() > (1 - SURE) * counts.sum() or elsewhere.max(initial=0) > MOST_ALIKE:
        return None
    return others if are_lines(others, codes_of(pixels)) else None


def by_colour(pixels: np.ndarray, colours: Colours, path: Path) -> np.ndarray:
    """(H, W) int64 part indices of colours (H, W, 3) uint8; on smoothed outlines those of the nearest colour, 255 where
    none is near. Raises BadInput naming those that are not among ``colours``, () where there is no labelmap."""
    codes = codes_of(pixels)
    known = {(r << 16) + (g << 8) + b: index for index, (r, g, b) in colours}
    there = np.unique(codes)
    odd = [code for code in there.tolist() if code not in known]
    if odd and colours and blends(pixels, colours) is not None:
        values, distances = _nearest(pixels, colours)
        return np.where(distances > FAR / 2, IGNORE, values)
    if odd:
        told = listed(f"{code >> 16},{code >> 8 & 255},{code & 255}" for code in odd[:8])
        told += f" and {len(odd) - 8} more" if len(odd) > 8 else ""
        where = "labelmap.txt in that folder or beside it, a line name:red,green,blue for each part"
        if colours:
            message = f"has the colours {told}, which are not in labelmap.txt or `colours`"
            remedy = "add them there, or draw with its colours"
        else:
            message = f"has colours instead of part indices: {told}"
            otherwise = "save it as a grey-scale or palette PNG, pixel values 0, 1, 2, ... in the order of `parts`"
            remedy = f"write `colours: {{PART: '#ff0000', ...}}` in this source; or put {where}; or {otherwise}"
        raise BadInput(Problem(str(path), message, remedy))
    values = np.array([known[code] for code in there.tolist()], np.int64)
    return values[np.searchsorted(there, codes)]
