"""How long a pixel is: of a CSV file with a line an image, or of the resolution that an image file states."""

from __future__ import annotations

import csv
import io
import math
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from coarseparts.data.images import opened
from coarseparts.report.sheets import Sheet, number_of, read_sheet
from coarseparts.system.limits import is_machines
from coarseparts.system.problems import BadInput, Problem, capped
from coarseparts.system.text import csv_cell, from_csv_cell, listed, readable, short, strangers

NUMBER = "pixels_per_unit"
COLUMNS = ("image", NUMBER, "unit")
LARGEST = 1_000_000
"""Pixels per unit, at most, and one by it at least."""

OTHERS = "*"
"""The name in a line for all images that have none of their own."""

OWN = "dpi"
"""In place of a file: what each image says of itself."""

SCREEN = (72, 96)
"""Dots per inch that cameras and programs write where nothing was measured."""

_REMEDY = f"write lines such as IMG_1.jpg,12.5,mm (or *,12.5,mm for all others) under the heading {','.join(COLUMNS)}"


@dataclass(frozen=True)
class Scale:
    """``unit``: of a length, "px" where nothing was said; ``per_unit``: pixels per unit by the image's name."""

    unit: str = "px"
    per_unit: dict[str, float] | None = None

    def of(self, name: str) -> float:
        """Pixels per unit in an image, 1 without a scale."""
        return 1.0 if self.per_unit is None else self.per_unit[name]


def read_scale(given: str | Path | None, images: Iterable[tuple[str, Path]]) -> tuple[Scale, list[Problem]]:
    """The scale of images (name, path), and notes. ``given``: a CSV file with ``COLUMNS``, ``OWN``, or None.

    Raises BadInput with everything that is wrong: an image without a scale, one with two, numbers that are none or
    beyond reason, several units."""
    if given is None:
        return Scale(), []
    if str(given) == OWN:
        return _own(images)
    lines = _read(Path(given))
    images = list(images)
    others = lines.get(OTHERS)
    found = {name: line for name, _ in images if (line := lines.get(_plain(name), others)) is not None}
    missing = [Problem(str(given), f"has no line for {name}", _REMEDY) for name, _ in images if name not in found]
    if missing:
        raise BadInput(capped(missing))
    units = list({_spelt(found[name][1]): found[name][1] for name, _ in reversed(images)}.values())[::-1]
    if len(units) > 1:
        message = f"has the units {listed(map(short, units))}, expected one"
        raise BadInput(Problem(str(given), message, "state all images in the same unit"))
    scale = Scale(units[0] if units else "px", {name: found[name][0] for name, _ in images})
    plain = [_plain(name) for name, _ in images]
    if lines.keys() >= set(plain):
        return scale, []
    # Some took the line for all others, though a line may have been meant for them.
    message = f"has a line for {{}}, which is none of these images; it is not used, the one for {OTHERS} is"
    strange = strangers([name for name in lines if name != OTHERS], plain)
    return scale, [Problem(str(given), message.format(name), near, "note") for name, near in strange]


def _spelt(unit: str) -> str:
    """A unit however its micro is written: there are two such letters, and u stands for them."""
    return unicodedata.normalize("NFKC", unit).replace("\N{GREEK SMALL LETTER MU}", "u")


def with_line(file: Path, name: str, pixels_per_unit: float, unit: str) -> str:
    """The text of a file of scales, which may be missing, with this line for an image in place of any that it has;
    what else stands there stays. Raises BadInput where it is no such file."""
    sheet = _sheet(file) if file.exists() else Sheet(list(COLUMNS), [], ",")
    number = f"{pixels_per_unit:.8g}".replace(".", sheet.decimal(NUMBER))
    own = dict(zip(COLUMNS, (csv_cell(name), number, unit), strict=True))
    kept = [cells for _, cells in sheet.lines]
    there = [cells for cells in kept if _named(cells) == _plain(name)]
    for cells in there or [{}]:
        cells |= own
        if not there:
            kept.append(cells)
    out = io.StringIO()
    writer = csv.DictWriter(out, sheet.columns, restval="", lineterminator="\n", delimiter=sheet.separator)
    writer.writeheader()
    writer.writerows({column: cells.get(column) or "" for column in sheet.columns} for cells in kept)
    return out.getvalue()


def _named(cells: dict[str, str]) -> str:
    """The image of a line, as ``_plain`` has it."""
    return _plain(from_csv_cell(cells["image"].strip()))


def _plain(name: str) -> str:
    """A name as it is looked up, however a system or a spreadsheet encodes its accents."""
    return unicodedata.normalize("NFC", readable(name))


def _sheet(file: Path) -> Sheet:
    """A file of scales. Raises BadInput."""
    sheet = read_sheet(file, COLUMNS, "name a CSV file, or dpi, with --scale", _REMEDY)
    if doubt := sheet.ambiguous(NUMBER):
        raise BadInput(Problem(str(file), *doubt))
    return sheet


def _read(file: Path) -> dict[str, tuple[float, str]]:
    """Pixels per unit and the unit, by the image's name (``_plain``). Raises BadInput."""
    found: dict[str, tuple[float, str]] = {}
    problems = []
    sheet = _sheet(file)
    decimal = sheet.decimal(NUMBER)
    for line, cells in sheet.lines:
        name = _named(cells)
        number, unit = (cells[column].strip() for column in COLUMNS[1:])
        pixels = number_of(number, decimal)
        if not name or not 1 / LARGEST <= pixels <= LARGEST or not unit or len(unit) > 20:
            came = short([name, number, unit], 80)
            message = f"line {line} is {came}, expected an image, a number from {1 / LARGEST:g} to {LARGEST:,}, a unit"
            problems.append(Problem(str(file), message, _REMEDY))
        elif found.setdefault(name, (pixels, unit)) != (pixels, unit):
            message = f"line {line} gives {short(name)} another scale than a line before"
            problems.append(Problem(str(file), message, "keep one"))
    if problems:
        raise BadInput(capped(problems))
    return found


def _own(images: Iterable[tuple[str, Path]]) -> tuple[Scale, list[Problem]]:
    found, problems, notes = {}, [], []
    for name, path in images:
        across, down = _resolution(path)
        ok = all(math.isfinite(v) and 25.4 / LARGEST <= v <= 25.4 * LARGEST for v in (across, down))
        if not ok or abs(across - down) > 0.01 * across:
            message = f"states the resolution {across:g} x {down:g} dots per inch, expected one for both directions"
            problems.append(Problem(str(path), message, "write its scale into a CSV file and name that with --scale"))
            continue
        if round(across) in SCREEN:
            message = f"states {across:g} dots per inch, which programs write where nothing was measured"
            notes.append(Problem(str(path), message, "compare with a ruler in the picture", "note"))
        found[name] = across / 25.4
    if problems:
        raise BadInput(capped(problems))
    return Scale("mm", found), capped(notes)


def _resolution(path: Path) -> tuple[float, float]:
    """Dots per inch across and down as a file states them, 0 where it does not; what a turned photograph says of its
    two directions is checked to be the same, so that the turn does not matter."""
    try:
        with opened(path, reduced=True) as image:
            across, down = image.info.get("dpi", (0, 0))
            return float(across), float(down)
    except (OSError, ValueError, TypeError, ZeroDivisionError) as error:
        if is_machines(error) or isinstance(error, BadInput):
            raise
        return 0.0, 0.0
