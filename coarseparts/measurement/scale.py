"""How long a pixel is: of a CSV file with a line an image, or of the resolution that an image file states."""

from __future__ import annotations

import csv
import io
import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from coarseparts.data.images import opened
from coarseparts.report.csv_files import Sheet, read_sheet
from coarseparts.system.limits import is_machines
from coarseparts.system.problems import BadInput, Problem, capped, unreadable
from coarseparts.system.text import csv_cell, from_csv_cell, listed, readable, short

COLUMNS = ("image", "pixels_per_unit", "unit")
LARGEST = 1_000_000
"""Pixels per unit, at most, and one by it at least."""

MOST_BYTES = 100_000_000
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
    units = list(dict.fromkeys(found[name][1] for name, _ in images))
    if len(units) > 1:
        message = f"has the units {listed(map(short, units))}, expected one"
        raise BadInput(Problem(str(given), message, "state all images in the same unit"))
    return Scale(units[0] if units else "px", {name: found[name][0] for name, _ in images}), []


def with_line(file: Path, name: str, pixels_per_unit: float, unit: str) -> str:
    """The text of a file of scales, which may be missing, with this line for an image in place of any that it has;
    what else stands there stays. Raises BadInput where it is no such file."""
    sheet = _sheet(file) if file.exists() else Sheet(list(COLUMNS), [], ",")
    number = f"{pixels_per_unit:.8g}".replace(".", _decimal(sheet))
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
    try:
        if (size := file.stat().st_size) > MOST_BYTES:
            raise BadInput(Problem(str(file), f"has {size:,} bytes, expected at most {MOST_BYTES:,}", _REMEDY))
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise BadInput(unreadable(file, error, "name a CSV file, or dpi, with --scale")) from None
    except UnicodeDecodeError:
        raise BadInput(Problem(str(file), "is not text in UTF-8", "save it as CSV in UTF-8")) from None
    try:
        sheet = read_sheet(text, COLUMNS)
    except csv.Error as error:
        raise BadInput(Problem(str(file), f"is no CSV ({error})", _REMEDY)) from None
    if absent := [column for column in COLUMNS if column not in sheet.columns]:
        raise BadInput(Problem(str(file), f"lacks the columns {listed(absent)}", _REMEDY))
    if (number := _ambiguous(sheet)) is not None:
        one, more = re.split("[.,]", number)[0], re.sub("[.,]", "", number)
        message = f"has {short(number)} and nothing that tells whether it is {more} or a little more than {one}"
        raise BadInput(Problem(str(file), message, f"write {more}, or {number}0"))
    return sheet


def _read(file: Path) -> dict[str, tuple[float, str]]:
    """Pixels per unit and the unit, by the image's name (``_plain``). Raises BadInput."""
    found: dict[str, tuple[float, str]] = {}
    problems = []
    sheet = _sheet(file)
    decimal = _decimal(sheet)
    for line, cells in sheet.lines:
        name = _named(cells)
        number, unit = (cells[column].strip() for column in COLUMNS[1:])
        pixels = _number(number, decimal)
        if not name or pixels is None or not unit or len(unit) > 20:
            came = short([name, number, unit], 80)
            message = f"line {line} is {came}, expected an image, a number from {1 / LARGEST:g} to {LARGEST:,}, a unit"
            problems.append(Problem(str(file), message, _REMEDY))
        elif found.setdefault(name, (pixels, unit)) != (pixels, unit):
            message = f"line {line} gives {short(name)} another scale than a line before"
            problems.append(Problem(str(file), message, "keep one"))
    if problems:
        raise BadInput(capped(problems))
    return found


_GROUPED = re.compile(r"[1-9]\d{0,2}([.,]\d{3})+")
"""A whole number as some write it, 1.234 or 1,234 for 1234; others mean a little more than 1 by it."""


def _decimal(sheet: Sheet) -> str:
    """The decimal sign of the numbers: a comma where semicolons or tabs part the cells, unless they have points."""
    numbers = _numbers(sheet)
    with_points = any("." in number for number in numbers) and not any("," in number for number in numbers)
    return "." if sheet.separator == "," or with_points else ","


def _numbers(sheet: Sheet) -> list[str]:
    return [cells["pixels_per_unit"].strip() for _, cells in sheet.lines]


def _ambiguous(sheet: Sheet) -> str | None:
    """A number whose sign may be a decimal one or stand for thousands, where no other number tells which: a point
    beside semicolons, either beside tabs."""
    sign = _decimal(sheet)
    signed = [number for number in _numbers(sheet) if sign in number]
    told = sheet.separator == "," or (sheet.separator, sign) == (";", ",")
    return None if told or not all(map(_GROUPED.fullmatch, signed)) else next(iter(signed), None)


def _number(text: str, decimal: str) -> float | None:
    """None where it is none, or beyond reason."""
    if decimal == ",":
        whole, comma, rest = text.partition(",")
        if "." in text and not _GROUPED.fullmatch(whole):
            return None
        text = f"{whole.replace('.', '')}{comma and '.'}{rest}"
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and 1 / LARGEST <= value <= LARGEST else None


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
