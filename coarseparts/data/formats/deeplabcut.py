"""DeepLabCut's tables of labelled frames, CollectedData_NAME.csv: keypoints of one animal or of several."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coarseparts.data.formats.document import Document
from coarseparts.data.formats.document_builder import DocumentBuilder, Keypoints, finite, head, plain_path
from coarseparts.data.formats.table import rows_of
from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import abridged, listed, short

NAME = "DeepLabCut"

REMEDY = "name DeepLabCut's project, a folder of its labeled-data, or a CollectedData_NAME.csv"

HEADER = ("scorer", "individuals", "bodyparts", "coords")
"""Rows that say what the columns are, by their first cell; individuals where there are several animals."""

ANIMAL, UNIQUE = "animal", "single"
"""The category of animals, and what DeepLabCut calls the individual that has the keypoints that are in no animal."""

ABSENT = {"", "nan", "na", "none", "null"}


def recognises(path: Path) -> bool:
    """Whether a file begins as such a table does, or a folder or its labeled-data holds one that does."""
    return any(_begins(file) for file in _files(path)[:3])


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    pattern = "CollectedData*.csv"
    own = sorted(path.glob(pattern))
    return own or sorted(path.glob(f"*/{pattern}")) or sorted(path.glob(f"labeled-data/*/{pattern}"))


def _begins(file: Path) -> bool:
    lines = head(file).replace(b'"', b"").lower().split(b"\n")[:4]
    first = [line.replace(b";", b",").replace(b"\t", b",").partition(b",")[0].strip() for line in lines]
    return first[0] == b"scorer" and b"bodyparts" in first and b"coords" in first


def read(path: Path) -> Document:
    """What a table, or all tables of a project, say: a keypoint with coordinates is visible, one without is absent.
    Raises BadInput."""
    files = _files(path)
    if not files:
        raise BadInput(Problem(str(path), "holds no CollectedData_NAME.csv", REMEDY))
    builder = DocumentBuilder(path)
    seen: dict[str, Path] = {}
    for file in files:
        rows = rows_of(file, REMEDY, decimal_comma=True)
        columns = _columns(file, rows)
        for name in dict.fromkeys(one.individual for one in columns.points):
            builder.category(_category(name), [one.bodypart for one in columns.points if one.individual == name])
        for number, row in rows:
            image = _image(row[: columns.index])
            if image in seen:
                message = f"row {number}: {abridged(image)} stands in {seen[image]}, too"
                builder.say(message, "keep one row for each image", file=file)
            elif (key := builder.image(image)) is not None:
                seen[image] = file
                _add(builder, file, number, key, row, columns)
    return builder.document()


@dataclass(frozen=True)
class _Point:
    """A keypoint of an individual ("" where there is but one animal), and the columns of its x and y."""

    individual: str
    bodypart: str
    x: int
    y: int


@dataclass(frozen=True)
class _Columns:
    """What the columns of a table are: the first ``index`` name the image."""

    index: int
    points: list[_Point]


def _category(individual: str) -> str:
    return UNIQUE if individual == UNIQUE else ANIMAL


def _columns(file: Path, rows: Iterator[tuple[int, list[str]]]) -> _Columns:
    """What the columns are, as the rows of the header say, which are read. Raises BadInput."""
    header: dict[str, list[str]] = {}
    for _, row in rows:
        header[row[0].strip().lower()] = [cell.strip() for cell in row]
        if "coords" in header:
            break
        if list(header)[-1] not in HEADER:
            break
    lacking = [name for name in HEADER if name not in header and name != "individuals"]
    if lacking or set(header) - set(HEADER):
        message = f"has no row {listed(lacking or ['coords'])} on top, expected {listed(HEADER)}"
        raise BadInput(Problem(str(file), message, REMEDY))
    filled = max(i for row in header.values() for i, cell in enumerate(row, 1) if cell)
    header = {name: row[:filled] for name, row in header.items()}  # spreadsheets save empty columns behind the last
    coords = [cell.lower() for cell in header["coords"]]
    if "likelihood" in coords:
        message = "holds predictions on a video (likelihood), expected labels of frames"
        raise BadInput(Problem(str(file), message, REMEDY))
    index = next((i for i, cell in enumerate(coords) if cell in ("x", "y")), len(coords))
    width = min(map(len, header.values()))
    scorers = set(header["scorer"][index:]) - {""}
    if len(scorers) > 1:
        message = f"has labels of several people: {listed(map(abridged, sorted(scorers)))}"
        raise BadInput(Problem(str(file), message, "keep the columns of one of them"))
    found: dict[tuple[str, str], dict[str, int]] = {}
    for i in range(index, width):
        key = (header["individuals"][i] if "individuals" in header else "", header["bodyparts"][i])
        axes = found.setdefault(key, {})
        if coords[i] not in ("x", "y") or coords[i] in axes:
            raise BadInput(Problem(str(file), f"column {i + 1}: is {short(coords[i])}, expected x and y once", REMEDY))
        axes[coords[i]] = i
    odd = [bodypart for (_, bodypart), axes in found.items() if len(axes) < 2]
    if odd or not found or width < max(map(len, header.values())):
        message = f"has no x and y for {listed(map(abridged, odd)) or 'any keypoint'}"
        raise BadInput(Problem(str(file), message, REMEDY))
    return _Columns(index, [_Point(*key, axes["x"], axes["y"]) for key, axes in found.items()])


def _image(cells: list[str]) -> str:
    """The relative path in a row's first cells: one, or one a folder; of another machine's path its last three."""
    path, elsewhere = plain_path("/".join(cell.strip() for cell in cells if cell.strip()))
    return "/".join(path.split("/")[-3:]) if elsewhere else path


def _add(builder: DocumentBuilder, file: Path, number: int, image: int, row: list[str], columns: _Columns) -> None:
    """Adds the individuals of a row; those without a keypoint are not there."""
    of: dict[str, Keypoints] = {}
    for point in columns.points:
        cells = [row[i].strip() if i < len(row) else "" for i in (point.x, point.y)]
        if all(cell.lower() in ABSENT for cell in cells):
            continue
        try:
            x, y = (finite(float(cell)) for cell in cells)
        except ValueError:
            x = y = None
        if x is None or y is None:
            came = f"{abridged(point.bodypart)} is {short(cells[0])}, {short(cells[1])}"
            message = f"row {number}: {came}, expected two numbers or two empty cells"
            builder.say(message, "correct the cells, or empty both", file=file)
            continue
        of.setdefault(point.individual, {})[point.bodypart] = (x, y, 2)
    for individual, keypoints in of.items():
        builder.add(image, _category(individual), keypoints=keypoints)
    if not of:
        builder.pass_over("images have no keypoint: they are unlabelled")
