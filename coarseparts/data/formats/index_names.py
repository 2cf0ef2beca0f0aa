"""Files beside index masks that say which number is what: Roboflow's ``_classes.csv`` (number, name), nnU-Net's
``dataset.json`` (``labels``), and lists of names in the order of the numbers, as labelme's converter to VOC writes them
(``class_names.txt``); EISeg's list (number, name, red, green, blue)."""

from __future__ import annotations

import re
from pathlib import Path

from coarseparts.data.formats.labelmap import BACKGROUND, IGNORED, Colours
from coarseparts.data.formats.spelling import Spelling
from coarseparts.labels.schema import IGNORE
from coarseparts.system.documents import DocumentError, encoding_of, load_json
from coarseparts.system.problems import Problem
from coarseparts.system.text import listed, nearest, short

TABLE, NNUNET, EISEG, LISTS = "_classes.csv", "dataset.json", "autosave_label.txt", ("class_names.txt", "classes.txt")
"""What these files are called."""

_ROW = re.compile(r"^\s*(\d{1,3})\s*[,;]\s*(.+?)\s*$")
_OF_EISEG = re.compile(r"^\s*(\d{1,3})\s+(.+?)(?:\s+\d{1,3}){3}\s*$")


def index_names(folder: Path) -> tuple[Path | None, dict[int, str]]:
    """The file in a folder of masks, or beside it, and the name of each number; none where there is no such file that
    can be read. A list without a background does not say whether it begins at 0 or 1, and says nothing."""
    for file in (at / name for name in (TABLE, NNUNET, EISEG, *LISTS) for at in (folder, folder.parent)):
        try:
            lines = file.read_text(encoding=encoding_of(file)).splitlines()[:1000] if file.is_file() else []
        except (OSError, UnicodeDecodeError):
            continue
        if file.name in (TABLE, EISEG):
            form = _ROW if file.name == TABLE else _OF_EISEG
            found = {int(row[1]): row[2] for line in lines if (row := form.match(line))}
        elif file.name == NNUNET:
            found = _of_labels(file) if lines else {}
        else:
            names = [line.strip() for line in lines if line.strip()]
            if names and names[0].lower() in IGNORED:  # -1 there, which a byte holds as 255
                names = names[1:]
            found = dict(enumerate(names)) if names and names[0].lower() in BACKGROUND else {}
        if any(name.lower() not in BACKGROUND for name in found.values()):
            return file, found
    return None, {}


def _of_labels(file: Path) -> dict[int, str]:
    """The numbers that nnU-Net's file gives to names, or names to numbers; none where it is another file."""
    try:
        whole = load_json(file)
    except (OSError, DocumentError):
        return {}
    labels = whole.get("labels") if isinstance(whole, dict) else None
    pairs = [(str(a), str(b)) for a, b in labels.items()] if isinstance(labels, dict) else []
    pairs = [(a, b) if a.isdecimal() else (b, a) for a, b in pairs]
    return {int(number): name for number, name in pairs if number.isdecimal() and len(number) < 4}


def numbers_named(folder: Path, parts: tuple[str, ...]) -> tuple[Colours, list[Problem]]:
    """The number of each part in index masks as such a file says it, and what is wrong with it; () where there is none,
    or where it names no part at all, which is told."""
    file, names = index_names(folder)
    if file is None:
        return (), []
    spelling = Spelling(parts)
    numbers: list[tuple[int, tuple[int, ...]]] = []
    strange: list[str] = []
    for number, name in names.items():
        if name.lower() in (*BACKGROUND, *IGNORED):
            numbers.append((0 if name.lower() in BACKGROUND else IGNORE, (number,)))
        elif (index := spelling.index(name)) is not None:
            numbers.append((index, (number,)))
        else:
            strange.append(name)
    if not any(0 < index < IGNORE for index, _ in numbers):
        message = f"names none of `parts`: {listed(short(name, 60) for name in strange)}"
        return (), [Problem(str(file), message, "the masks' numbers are taken for the parts in their order", "note")]
    if strange:
        problems = (f"{short(name, 60)} is not among `parts`" for name in strange)
        remedies = (nearest(name, parts) for name in strange)
        return (), [Problem(str(file), *told) for told in zip(problems, remedies, strict=True)]
    if not any(index == 0 for index, _ in numbers):
        numbers.append((0, (0,)))
    if all(index == own for index, (own, *_) in numbers):
        return (), []  # as without the file
    told = listed(f"{number} is {parts[index - 1]}" for index, (number, *_) in numbers if 0 < index < IGNORE)
    return tuple(numbers), [Problem(str(file), f"says what the masks' numbers are: {told}", "", "note")]
