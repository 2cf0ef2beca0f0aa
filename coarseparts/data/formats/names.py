"""A list of image names: a text file with one a line, as the key ``only`` of a source names it."""

from __future__ import annotations

from pathlib import Path

from coarseparts.data.formats.annotation import inside
from coarseparts.system.documents import encoding_of
from coarseparts.system.problems import BadInput, Problem, unreadable


def read_lines(path: Path, unreadable_remedy: str, form: str = "") -> list[str]:
    """The lines of a text file in UTF-8, of the ``form`` that remedies tell. Raises BadInput where it is none."""
    try:
        return path.read_text(encoding=encoding_of(path)).splitlines()
    except OSError as error:
        raise BadInput(unreadable(path, error, unreadable_remedy)) from None
    except UnicodeDecodeError:
        raise BadInput(Problem(str(path), "is not text in UTF-8", f"save it as UTF-8{form}")) from None


def read_names(path: Path) -> tuple[list[str], list[Problem]]:
    """The names, relative to the image folder, with forward slashes, in the file's order, each once; and problems:
    lines that name no file of that folder. Empty lines are passed over. Raises BadInput where the file is none."""
    lines = read_lines(path, "give yourself permission to read it", ", one image name a line")
    names: dict[str, None] = {}
    problems = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            name = inside(line.strip())
        except ValueError as error:
            problems.append(Problem(str(path), f"line {number}: {error}", "write paths relative to the image folder"))
            continue
        if name in names:
            problems.append(Problem(str(path), f"line {number}: {name!r} stands twice, used once", "", "note"))
        names[name] = None
    if not names and not problems:
        raise BadInput(Problem(str(path), "names no image", "write image names into it, one a line"))
    return list(names), problems
