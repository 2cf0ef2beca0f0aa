"""How long a pixel is: of a CSV file with a line an image, or of the resolution that an image file states."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from coarseparts.data.images import opened
from coarseparts.system.limits import is_machines
from coarseparts.system.problems import BadInput, Problem, capped, unreadable
from coarseparts.system.text import csv_cell, from_csv_cell, listed, readable, short

COLUMNS = ("image", "pixels_per_unit", "unit")
LARGEST = 1_000_000
"""Pixels per unit, at most, and one by it at least."""

MOST_BYTES = 100_000_000
OWN = "dpi"
"""In place of a file: what each image says of itself."""

SCREEN = (72, 96)
"""Dots per inch that cameras and programs write where nothing was measured."""

_REMEDY = f"write lines such as IMG_1.jpg,12.5,mm under the heading {','.join(COLUMNS)}"


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
    found = {name: lines[readable(name)] for name, _ in images if readable(name) in lines}
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
    columns, rows = _rows(file) if file.exists() else (list(COLUMNS), [])
    own = dict(zip(COLUMNS, (csv_cell(name), f"{pixels_per_unit:.8g}", unit), strict=True))
    kept = [cells for _, cells in rows]
    there = [cells for cells in kept if _named(cells) == readable(name)]
    for cells in there or [{}]:
        cells |= own
        if not there:
            kept.append(cells)
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: cells.get(column) or "" for column in columns} for cells in kept)
    return out.getvalue()


def _named(cells: dict[str, str]) -> str:
    """The image of a line, as ``readable`` shows it."""
    return readable(from_csv_cell((cells["image"] or "").strip()))


def _rows(file: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The columns of a file of scales, and each line's number and cells. Raises BadInput."""
    try:
        if (size := file.stat().st_size) > MOST_BYTES:
            raise BadInput(Problem(str(file), f"has {size:,} bytes, expected at most {MOST_BYTES:,}", _REMEDY))
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise BadInput(unreadable(file, error, "name a CSV file, or dpi, with --scale")) from None
    except UnicodeDecodeError:
        raise BadInput(Problem(str(file), "is not text in UTF-8", "save it as CSV in UTF-8")) from None
    try:
        reader = csv.DictReader(text.splitlines())
        columns = list(reader.fieldnames or ())
        if absent := [column for column in COLUMNS if column not in columns]:
            raise BadInput(Problem(str(file), f"lacks the columns {listed(absent)}", _REMEDY))
        return columns, [(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        raise BadInput(Problem(str(file), f"is no CSV ({error})", _REMEDY)) from None


def _read(file: Path) -> dict[str, tuple[float, str]]:
    """Pixels per unit and the unit, by the image's ``readable`` name. Raises BadInput."""
    found: dict[str, tuple[float, str]] = {}
    problems = []
    for line, cells in _rows(file)[1]:
        name = _named(cells)
        number, unit = ((cells[column] or "").strip() for column in COLUMNS[1:])
        pixels = _number(number)
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


def _number(text: str) -> float | None:
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
