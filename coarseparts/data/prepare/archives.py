"""The archives that PASCUB is made of: where they lie, and the lists in them and about them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from coarseparts.data.formats.names import read_lines
from coarseparts.system.problems import BadInput, Problem

SPLITS = ("train", "val", "test")


_FOLDERS = {
    "cub": ("images.txt", ("CUB_200_2011",), "name the folder CUB_200_2011 of CUB_200_2011.tgz"),
    "parts": ("images_*", ("CUB_Parts",), "name the folder CUB_Parts of PASCUB's archive"),
    "voc": ("JPEGImages", ("VOC2010", "VOCdevkit/VOC2010"), "name VOC 2010's folder VOC2010"),
    "pascal_parts": ("*.mat", ("Annotations_Part",), "name PASCAL-Part's folder Annotations_Part"),
    "pascal_crops": ("images_*", ("PASCAL_Parts",), "name the folder PASCAL_Parts of PASCUB's archive"),
}
"""By archive: what its folder holds, where below the folder that is given it may lie, and what to do without it."""


@dataclass(frozen=True)
class Archives:
    """The unpacked archives: ``cub``: CUB_200_2011; ``parts``: CUB_Parts; ``voc``: VOC2010; ``pascal_parts``: the
    folder of PASCAL-Part's .mat files; ``segmentations``: CUB's figure-ground masks, looked for in ``cub`` and beside
    it if not given; ``pascal_crops``: PASCAL_Parts, the authors' own crops, instead of ``voc`` and ``pascal_parts``."""

    cub: Path
    parts: Path
    voc: Path | None = None
    pascal_parts: Path | None = None
    segmentations: Path | None = None
    pascal_crops: Path | None = None


def locate(archives: Archives) -> Archives:
    """The folders that hold what is looked for, those given or well-known ones below them. Raises BadInput naming all
    that were not found."""
    problems: list[Problem] = []
    cub = folder_of("cub", archives.cub, problems)
    parts = folder_of("parts", archives.parts, problems)
    voc, pascal_parts, crops = archives.voc, archives.pascal_parts, archives.pascal_crops
    if crops is not None:
        crops = folder_of("pascal_crops", crops, problems)
    if voc is not None:
        voc = folder_of("voc", voc, problems)
    if pascal_parts is not None:
        pascal_parts = folder_of("pascal_parts", pascal_parts, problems)
    if (voc is None, pascal_parts is None) != (crops is not None,) * 2:
        message = "PASCAL's birds come from VOC 2010 and PASCAL-Part, or from the authors' crops"
        problems.append(Problem("PASCAL", message, "give --voc and --pascal-parts, or --pascal-crops"))
    segmentations = segmentations_of(cub, archives.segmentations, problems)
    if problems:
        raise BadInput(problems)
    return Archives(cub, parts, voc, pascal_parts, segmentations, crops)


def folder_of(name: str, folder: Path, problems: list[Problem]) -> Path:
    """The folder that holds what is looked for of an archive, a field of ``Archives``: that given, or a well-known one
    below it. A problem more, and the one given, where there is none."""
    pattern, below, remedy = _FOLDERS[name]
    for candidate in (folder, *(folder / each for each in below)):
        if candidate.is_dir() and next(candidate.glob(pattern), None) is not None:
            return candidate
    came = f"holds no {pattern}" if folder.is_dir() else "is no folder" if folder.exists() else "does not exist"
    problems.append(Problem(str(folder), came, remedy))
    return folder


def segmentations_of(cub: Path, given: Path | None, problems: list[Problem]) -> Path | None:
    """The folder of CUB's figure-ground masks: that given, or one in CUB's folder or beside it; None without any."""
    beside = (cub / "segmentations", cub.parent / "segmentations")
    found = given or next((folder for folder in beside if folder.is_dir()), None)
    if found is not None and not found.is_dir():
        remedy = "name the folder of segmentations.tgz, with a folder per species"
        problems.append(Problem(str(found), "is no folder", remedy))
    return found


def read_split_file(path: Path) -> dict[str, str]:
    """Lines "name split" as name -> split; suffixes of PASCAL's names are left out. Raises BadInput."""
    splits: dict[str, str] = {}
    problems = []
    for number, line in enumerate(read_lines(path, "name an existing text file"), 1):
        words = line.rsplit(maxsplit=1)
        if not words:
            continue
        if len(words) != 2 or words[1] not in SPLITS:
            message = f"line {number} is {line[:60]!r}, expected a name and train, val or test"
            problems.append(Problem(str(path), message, "write e.g. 2010_005511-2 val"))
            continue
        name = words[0] if "/" in words[0] else words[0].removesuffix(".jpg").removesuffix(".png")
        if splits.get(name, words[1]) != words[1]:
            message = f"line {number}: {name!r} is in {splits[name]} and in {words[1]}"
            problems.append(Problem(str(path), message, "keep one of them"))
        splits[name] = words[1]
    if problems:
        raise BadInput(problems)
    return splits


def read_image_set(voc: Path, name: str, problems: list[Problem]) -> set[str]:
    """The photographs of VOC's own list ``name``.txt; what is wrong with it goes to ``problems``."""
    path = voc / "ImageSets" / "Main" / f"{name}.txt"
    try:
        found = {line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}
        said = "" if found else "names no photograph"
    except (OSError, UnicodeDecodeError) as error:
        found, said = set(), f"cannot be read ({getattr(error, 'strerror', None) or 'no text in UTF-8'})"
    if said:
        problems.append(Problem(str(path), said, "unpack VOC 2010's ImageSets again"))
    return found
