"""Which files are part masks: PNG, TIFF, BMP or NPY files of the photograph's stem, one for each photograph; or one for
each photograph and part, in a folder named after the part, or with its name behind the stem."""

from __future__ import annotations

from pathlib import Path

from coarseparts.data import arrays
from coarseparts.data.formats.mask_names import pictures, without_part
from coarseparts.data.formats.spelling import Spelling
from coarseparts.data.images import list_images, stem
from coarseparts.system.problems import Problem
from coarseparts.system.text import nearest, short

JPEGS = (".jpg", ".jpeg", ".jpe", ".jfif")

LOSSLESS = (".png", ".tif", ".tiff", ".bmp", *arrays.ARRAYS)
"""How files end that can hold indices."""

OVERLAY = ".overlay.png"
"""How the pictures to look at end that ``predict --overlay`` writes beside its part maps."""


def find_part_masks(folder: Path, ending: str = "", lossy: bool = False) -> tuple[dict[str, Path], list[Problem]]:
    """The PNG, TIFF, BMP and NPY files in ``folder`` and below, by their path relative to it without the suffix; with
    an ``ending`` those alone whose stems have it, for photographs lie beside them.

    Images of another kind are problems: JPEG cannot hold indices, but colours and black and white (``lossy``), and
    nothing else is expected here. Other files and hidden ones are passed over, and so are pictures of masks: the
    overlays that ``predict --overlay`` puts beside its part maps, and EISeg's.
    """
    found: dict[str, Path] = {}
    problems = []
    images = [(name, path) for name, path in list_images(folder, arrays.ARRAYS) if stem(name).endswith(ending)]
    looks = {*pictures([path for _, path in images])}
    images = [(name, path) for name, path in images if path not in looks]
    masks = {stem(name) for name, _ in images}
    for name, path in images:
        if name.endswith(OVERLAY) and name.removesuffix(OVERLAY) in masks:
            continue
        if path.suffix.lower() in JPEGS and not lossy:
            remedy = "export the part masks as PNG: JPEG compression changes the indices"
            problems.append(Problem(str(path), "is a JPEG, expected a PNG with part indices", remedy))
        elif path.suffix.lower() not in (*LOSSLESS, *JPEGS):
            message = "is no PNG, TIFF, BMP or NPY"
            problems.append(Problem(str(path), message, "export the part masks as PNG, value = part index"))
        elif stem(name) in found:
            message = f"has the same stem as {found[stem(name)].name}"
            problems.append(Problem(str(path), message, "keep one part mask per image"))
        else:
            found[stem(name)] = path
    if not found and not problems:
        problems.append(Problem(str(folder), "holds no PNG", "name the folder of the part masks"))
    return found, problems


PartFiles = tuple[tuple[int, Path], ...]
"""(index, file) of the parts that an image shows, or one file with all of them and 0 as its index."""


def find_part_files(
    folder: Path, parts: tuple[str, ...], ending: str = "", lossy: bool = False
) -> tuple[dict[str, PartFiles], list[Problem]]:
    """The files in the folders ``folder/<part>``, or of no ``parts`` in ``folder`` itself, by stem. ``ending`` and
    ``lossy`` as in ``find_part_masks``; what holds a part alone may be a JPEG.

    An image that has a file in one of the folders counts as labelled, and the parts without one as not to be seen.
    """
    if not parts:
        whole, problems = find_part_masks(folder, ending, lossy)
        return {name: ((0, path),) for name, path in whole.items()}, problems
    folders, problems = _part_folders(folder, parts)
    found: dict[str, list[tuple[int, Path]]] = {}
    for index, part in enumerate(parts, 1):
        if index in folders:
            of_part, wrong = find_part_masks(folders[index], ending, lossy=True)
            problems += wrong
            bare = {name: without_part(name, folders[index].name) for name in of_part}
            if all(name != plain for name, plain in bare.items()):  # head/photo_head.png
                of_part = {bare[name]: path for name, path in of_part.items()}
            for name, path in of_part.items():
                found.setdefault(name, []).append((index, path))
        elif (folder / part).is_file():
            remedy = "put the masks of this part into a folder of this name"
            problems.append(Problem(str(folder / part), "is a file, expected a folder of PNGs", remedy))
        elif folders:
            remedy = "it counts as not to be seen in these images"
            problems.append(Problem(str(folder), f"has no folder {part!r}", remedy, "note"))
    if not found and not problems:
        remedy = f"give every part a folder of PNGs there: {parts[0]}/photo.png and so on, or take part_coco"
        problems.append(Problem(str(folder), "has no folder named after a part", remedy))
    return {name: tuple(files) for name, files in found.items()}, problems


def _part_folders(folder: Path, parts: tuple[str, ...]) -> tuple[dict[int, Path], list[Problem]]:
    """The folders of the parts in ``folder`` by index, and what is wrong with the others."""
    spelling = Spelling(parts)
    found: dict[int, Path] = {}
    problems = []
    for path in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        index = spelling.index(path.name)
        if index is None:
            inside = [file.name for file in path.rglob("*") if file.is_file()]
            if not inside or not all(name.endswith(OVERLAY) for name in inside):  # of photographs in folders
                problems.append(Problem(str(path), "is not named after a part", nearest(path.name, parts)))
        elif index in found:
            message = f"and {found[index].name} are both called as the part {short(parts[index - 1], 60)} is"
            problems.append(Problem(str(path), message, "put their masks into one folder"))
        else:
            found[index] = path
            if path.name != parts[index - 1]:
                message = f"is spelt otherwise than the part {short(parts[index - 1], 60)}, and taken for it"
                problems.append(Problem(str(path), message, "", "note"))
    return found, problems
