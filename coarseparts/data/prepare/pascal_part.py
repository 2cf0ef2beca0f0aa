"""PASCAL-Part: a .mat file per photograph of PASCAL VOC 2010, with a mask of every object and of its parts.

A file holds ``anno.objects``, each with ``class`` ("bird"), ``class_ind`` (3), ``mask`` and ``parts``, each of those
with ``part_name`` ("lleg"; wheels, windows and such are numbered: "wheel_2") and ``mask``. Masks are as large as the
photograph; those of an object's parts overlap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coarseparts.data.prepare.mat import read_mat
from coarseparts.system.problems import BadInput, Problem, unreadable

_RESTORE = "unpack it again from the PASCAL-Part archive"


@dataclass(frozen=True)
class PascalObject:
    """One object: ``category`` as PASCAL-Part calls it, ``mask`` (H, W) bool with at least one pixel, and ``parts``:
    name and mask (H, W) bool of each, in the file's order."""

    category: str
    mask: np.ndarray
    parts: tuple[tuple[str, np.ndarray], ...]


def read_pascal_part(path: Path) -> list[PascalObject]:
    """All objects of a file, in its order. Raises BadInput with everything that is wrong with it."""
    try:
        found = read_mat(path).get("anno")
    except OSError as error:
        raise BadInput(unreadable(path, error, _RESTORE)) from None
    except MemoryError:
        raise BadInput(Problem(str(path), "needs more memory than there is", _RESTORE)) from None
    except ValueError as error:
        raise BadInput(Problem(str(path), f"is no whole .mat file: {error}", _RESTORE)) from None
    annotation = next(_elements(found), {})
    if "objects" not in annotation:
        raise BadInput(Problem(str(path), "holds no `anno.objects`, expected PASCAL-Part's annotation", _RESTORE))
    objects: list[PascalObject] = []
    wrong: list[str] = []
    for number, element in enumerate(_elements(annotation["objects"]), 1):
        try:
            objects.append(_object(element, objects[0].mask.shape if objects else None))
        except ValueError as error:
            wrong += [f"object {number}: {line}" for line in str(error).splitlines()]
    if wrong:
        raise BadInput(Problem(str(path), message, _RESTORE) for message in wrong)
    return objects


def _object(element: dict[str, Any], shape: tuple[int, ...] | None) -> PascalObject:
    """One of ``anno.objects``, its masks of ``shape`` where that is known. Raises ValueError, a problem a line."""
    lacking = [name for name in ("class", "mask", "parts") if name not in element]
    if lacking:
        raise ValueError(f"has no {' and no '.join(lacking)}")
    wrong: list[str] = []
    category = _text(element["class"])
    if not category:
        wrong.append("its class is no text")
    mask = _mask(element["mask"], shape, f"the mask of the {category}", wrong)
    parts = []
    for number, part in enumerate(_elements(element["parts"]), 1):
        name = _text(part.get("part_name")) if "mask" in part else ""
        if not name:
            wrong.append(f"part {number} of the {category} has no name or no mask")
            continue
        area = _mask(part["mask"], mask.shape if mask is not None else shape, f"the mask of {category} {name}", wrong)
        if area is not None:
            parts.append((name, area))
    if mask is not None and not mask.any():
        wrong.append(f"the mask of the {category} is empty")
    if wrong or mask is None:
        raise ValueError("\n".join(wrong))
    return PascalObject(category, mask, tuple(parts))


def _mask(value: Any, shape: tuple[int, ...] | None, what: str, wrong: list[str]) -> np.ndarray | None:
    """(H, W) bool; None and a line more in ``wrong`` where it is something else."""
    if not isinstance(value, np.ndarray) or value.ndim != 2 or value.dtype.kind not in "buif":
        wrong.append(f"{what} is no matrix of numbers")
        return None
    if shape is not None and value.shape != shape:
        wrong.append(f"{what} is {value.shape[1]}x{value.shape[0]}, the others are {shape[1]}x{shape[0]}")
        return None
    return value > 0


def _elements(value: Any) -> Iterator[dict[str, Any]]:
    """The structs of a Matlab array of structs; none where it is something else (an empty array is no struct)."""
    if isinstance(value, list):
        yield from (element for element in value if isinstance(element, dict))


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
