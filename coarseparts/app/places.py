"""Which photographs are looked at: of folders and files that a person names, or of a run's own dataset file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.images import list_images, stem
from coarseparts.data.source_paths import kind
from coarseparts.data.suffixes import IMAGES
from coarseparts.system.locks import Tell, hold, silent
from coarseparts.system.problems import BadInput, Problem
from coarseparts.training.claims import read_config

REMEDY = "name a folder of photographs"


def photographs(run: Path, given: Sequence[Path]) -> tuple[Path, list[tuple[str, Path]]]:
    """The folder that all of them lie in, and (name relative to it, path) of each, sorted. ``given``: folders and
    files; none of them: the training images of ``run``'s dataset file. Raises BadInput."""
    places = _places(run, given)
    problems = [Problem(str(path), "is missing", REMEDY) for path in places if kind(path) is None]
    others = (path for path in places if kind(path) == "file" and not path.name.lower().endswith(IMAGES))
    problems += [Problem(str(path), "is no image", REMEDY) for path in others]
    if problems:
        raise BadInput(problems)
    folders = [path if kind(path) == "folder" else path.parent for path in places]
    common = Path(os.path.commonpath(folders))
    found: dict[Path, None] = {}
    for path in places:
        found |= dict.fromkeys([each for _, each in list_images(path)] if kind(path) == "folder" else [path])
    if not found:
        raise BadInput(Problem(", ".join(map(str, places)), "holds no image", REMEDY))
    return common, sorted((path.relative_to(common).as_posix(), path) for path in found)


def refuse_inside(run: Path, given: Sequence[Path], out: Path) -> None:
    """Raises BadInput where corrections in ``out`` would lie in a folder of photographs (arguments as of
    ``photographs``)."""
    folder = Path(os.path.realpath(out))
    for place in _places(run, given):
        within = folder.relative_to(place).parts if folder.is_relative_to(place) else None
        if within is not None and kind(place) == "folder" and not any(part.startswith(".") for part in within):
            message = "is in the folder of the images: the next time, its part masks would be taken for photographs"
            raise BadInput(Problem(str(out), message, "choose a folder elsewhere with --out"))


def _places(run: Path, given: Sequence[Path]) -> list[Path]:
    return [Path(os.path.realpath(path)) for path in given] or _of_run(run)


def _of_run(run: Path) -> list[Path]:
    file = run / "config.yaml"
    data = read_config(file).get("data") if file.is_file() else None
    if not isinstance(data, str) or not Path(data).is_file():
        raise BadInput(Problem(str(run), "was not trained on a dataset file that is still there", REMEDY))
    sources = load_dataset_file(Path(data)).sources
    places = [Path(os.path.realpath(s.images)) for s in sources if s.split == "train" and isinstance(s.images, Path)]
    if not places:
        raise BadInput(Problem(data, "has no folder of photographs", REMEDY))
    return list(dict.fromkeys(places))


def queued(names: Sequence[str], photographs: Sequence[tuple[str, Path]]) -> list[str]:
    """The photographs that a queue's ``names`` mean, in its order: as ``coarseparts next`` writes them, without suffix
    and with the number of their source where several have that name. Those that fit none, or several, are left out."""
    exact = {name: name for name, _ in photographs} | {stem(name): name for name, _ in photographs}
    ends: dict[str, list[str]] = {}
    for name, _ in photographs:
        ends.setdefault(stem(name).rpartition("/")[2], []).append(name)
    found = []
    for name in names:
        alike = [exact[name]] if name in exact else ends.get(re.sub(r"^s\d+/", "", name), [])
        found += alike if len(alike) == 1 else []
    return list(dict.fromkeys(found))


def beside(place: Path) -> Path:
    """Where corrections of the photographs in a folder are kept by default: beside it, for in it they would be taken
    for photographs."""
    return place.parent / f"{place.name or 'images'}_corrected"


@contextmanager
def alone_in(folder: Path, tell: Tell = silent) -> Iterator[None]:
    """Inside, the folder of the corrections is there and no other process has it; one that was made for this, and in
    which nothing was saved, is gone afterwards. Raises as ``locks.hold`` does; OSError where it cannot be made."""
    made, lock = not folder.exists(), ".lock"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with hold(folder / lock, 0, tell):
            yield
    finally:
        with suppress(OSError):  # whatever is in it stays
            if made and os.listdir(folder) in ([lock], []):
                (folder / lock).unlink(missing_ok=True)
                folder.rmdir()
