"""What lies in folders and exports that somebody names: photographs, exports of tools, folders of masks."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType

from coarseparts.data.arrays import ARRAYS
from coarseparts.data.formats import deeplabcut, index_names, label_studio, labelmap, labelme, yolo, yolo_layout
from coarseparts.data.formats.document import Document, contents_of
from coarseparts.data.formats.document_builder import head
from coarseparts.data.formats.known_by_name import NAMELESS, UNREAD
from coarseparts.data.formats.registry import FORMATS, MOST_FILES, SUFFIXES, not_read, read_export
from coarseparts.data.formats.unpacked import is_archive
from coarseparts.data.images import list_images
from coarseparts.data.suffixes import IMAGES
from coarseparts.system.problems import BadInput, Problem, errors, unreadable

SPLITS = {
    **dict.fromkeys(("train", "training", "train2017", "imagestr", "labelstr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "val2017"), "val"),
    **dict.fromkeys(("test", "testing", "test2017", "imagests", "labelsts"), "test"),
}
"""Names of folders that say which split is in them."""

ORDER = tuple(dict.fromkeys(SPLITS.values()))
"""The splits, from that for training on."""

TOGETHER = (labelme, deeplabcut)
"""Formats whose files in several folders are one export."""

_WORDS = re.compile("[_.-]")

_LISTS = (index_names.TABLE, index_names.NNUNET, *labelmap.FILES)
"""What lists are called that name the parts of masks, and are no labels."""

MOST_PATHS = 200_000
"""Files below the folders that are named."""


@dataclass(frozen=True)
class Export:
    """Labels as a tool exports them: ``path`` as a source's ``labels`` has it, and the ``split`` that it is of, None
    where nothing says so."""

    path: Path
    name: str
    document: Document
    split: str | None


@dataclass
class Survey:
    """What was found: ``exports``; ``folders``: the files that are images by their names, by the folder in which they
    lie directly, and ``arrays``: those that NumPy saved; ``passed_over``: archives and exports in which there are no
    labels that can be used, with what was said of each; ``twice``: exports that say what another one says, by their
    paths; ``lists``: text files that are called as splits are, and the split of each; ``not_read``: files of formats
    that are known by name alone; ``unknown``: of no known format."""

    exports: list[Export] = field(default_factory=list)
    folders: dict[Path, list[Path]] = field(default_factory=dict)
    arrays: dict[Path, list[Path]] = field(default_factory=dict)
    passed_over: dict[Path, list[Problem]] = field(default_factory=dict)
    twice: dict[Path, Path] = field(default_factory=dict)
    lists: dict[Path, str] = field(default_factory=dict)
    not_read: list[Problem] = field(default_factory=list)
    unknown: list[Problem] = field(default_factory=list)

    @property
    def told(self) -> list[Problem]:
        """What may be why labels were not found: errors and notes of what was read, and what was not."""
        said = [problem for own in self.passed_over.values() for problem in own]
        return [
            *self.not_read,
            *self.unknown,
            *said,
            *(problem for export in self.exports for problem in export.document.problems),
        ]


def survey(paths: Sequence[Path]) -> Survey:
    """What lies at the paths and below; photographs are looked for beside an export, too, where no folder is named.
    Nothing is followed through links to folders. Raises BadInput with everything that is none of these."""
    found, problems = Survey(), list[Problem]()
    exports: dict[Path, str | None] = {}
    unknown: list[Path] = []
    for path in paths:
        try:
            if not path.exists():
                problems.append(Problem(str(path), "does not exist", "name a folder or an export"))
            elif path.is_dir():
                files = list(_files(path))
                exports |= _exports_below(path, files, unknown)
                found.lists |= {f: SPLITS[f.stem.lower()] for f in files if _is_list(f)}
                _add_images(found, files)
            else:
                _refuse_others(path)
                exports[path] = _split(_WORDS.sub("/", path.stem))
        except BadInput as bad:
            problems += bad.problems
        except OSError as error:
            problems.append(unreadable(path, error, "give yourself permission to read it"))
    for path, split in exports.items():
        try:
            document = read_export(path)
        except BadInput as bad:
            if path in paths or not is_archive(path):
                problems += [told for told in bad.problems if told not in problems]  # of a file of several splits
            else:
                found.passed_over[path] = bad.problems
            continue
        if path in paths and not document.annotations and errors(document.problems):
            problems += document.problems
        elif not path.is_dir() and (other := _same(document, split, found.exports)) is not None:
            found.twice[path] = other.path
        elif document.annotations:
            found.exports.append(Export(path, document.format, document, split))
        else:
            found.passed_over[path] = document.problems
    if problems:
        raise BadInput(problems)
    found.not_read, found.unknown = not_read(unknown)
    if not found.folders:
        for parent in {path if path.is_dir() else path.parent for path in exports}:
            _add_images(found, list(_files(parent)))
    return found


def _same(document: Document, split: str | None, others: Sequence[Export]) -> Export | None:
    """The one of other exports in files that says the same of the same images, where there is one and it says
    something: a folder's own images are its own."""
    number = len(document.annotations)
    files = [other for other in others if other.split == split and not other.path.is_dir()]
    alike = [other for other in files if len(other.document.annotations) == number]
    said = contents_of(document) if alike and document.annotations else []
    return next((other for other in alike if said and contents_of(other.document) == said), None)


def split_of(path: Path) -> str | None:
    """The split that the last folder so called in a path is of."""
    return _split(path.as_posix())


def _is_list(file: Path) -> bool:
    return file.suffix.lower() == ".txt" and file.stem.lower() in SPLITS


def _split(path: str) -> str | None:
    return next((SPLITS[word] for word in reversed(path.lower().split("/")) if word in SPLITS), None)


def _files(folder: Path) -> Iterator[Path]:
    """The files in a folder and below, without hidden ones. Raises BadInput where there are very many."""
    count = 0
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        for name in sorted(files):
            if not name.startswith("."):
                count += 1
                yield Path(parent, name)
        if count > MOST_PATHS:
            message = f"holds more than {MOST_PATHS:,} files"
            raise BadInput(Problem(str(folder), message, "name the folders of photographs and labels in it"))


def _add_images(found: Survey, files: Sequence[Path]) -> None:
    for suffixes, by_folder in ((IMAGES, found.folders), (ARRAYS, found.arrays)):
        for file in files:
            if file.name.lower().endswith(suffixes):
                own = by_folder.setdefault(file.parent, [])
                if file not in own[-1:]:
                    own.append(file)
        for folder, own in by_folder.items():
            by_folder[folder] = list(dict.fromkeys(own))


def _refuse_others(file: Path) -> None:
    """Raises BadInput for a file that is a dataset file or an image."""
    if file.name.lower().endswith(IMAGES):
        raise BadInput(Problem(str(file), "is an image", "name its folder"))
    begin = head(file)
    if file.suffix.lower() in (".yaml", ".yml") and b"sources:" in begin and b"parts:" in begin:
        raise BadInput(Problem(str(file), "is a dataset file already", "run coarseparts check on it"))


def _exports_below(folder: Path, files: Sequence[Path], unknown: list[Path]) -> dict[Path, str | None]:
    """What a source's ``labels`` is to name for each export in a folder, and its split; files that may be labels of a
    format that is not read are added to ``unknown``."""
    found: dict[Path, str | None] = {}
    roots: list[Path] = []
    several: dict[tuple[ModuleType, str | None], list[Path]] = defaultdict(list)
    parents = (file.parent for file in files)
    for parent in dict.fromkeys(one.parent if one.name == "labels" and one != folder else one for one in parents):
        within = any(root == parent or root in parent.parents for root in roots)
        if not within and _is_root(parent):
            roots.append(parent)
            found |= _of_yolo(parent)
    numbered = {file.parent for file in files if file.name.isdecimal()}  # as Label Studio's storages have them
    found |= {parent: split_of(parent.relative_to(folder)) for parent in numbered if label_studio.recognises(parent)}
    labels = [file for file in files if file.name.lower().endswith((*SUFFIXES, ".zip"))]
    if len(labels) > MOST_FILES:
        message = f"holds more than {MOST_FILES:,} files that may be labels"
        raise BadInput(Problem(str(folder), message, "name the file or folder of the labels"))
    for file in labels:
        module = next((each for each in FORMATS if each is not yolo and each.recognises(file)), None)
        split = _split(_WORDS.sub("/", file.relative_to(folder).with_suffix("").as_posix()))
        if module in TOGETHER:
            several[module, split_of(file.parent.relative_to(folder))].append(file)
        elif module is not None:
            found[file] = split
        elif file.suffix.lower() == ".zip" and is_archive(file):
            found[file] = split
        elif not any(fnmatch(file.name, name) for name in _LISTS):
            unknown.append(file)
    unknown += [file for file in files if file.name.lower().endswith(UNREAD) and file.with_suffix(".csv") not in labels]
    unknown += _nameless([file for file in files if not any(root in file.parents for root in roots)])
    for (_, split), own in several.items():
        found[own[0] if len(own) == 1 else Path(os.path.commonpath([file.parent for file in own]))] = split
    return found


def _nameless(files: Sequence[Path]) -> list[Path]:
    """The texts called as images that begin as YOLO's labels do, where nothing names their classes."""
    stems = {file.stem for file in files if file.name.lower().endswith(IMAGES)}
    texts = [file for file in files if file.suffix.lower() == ".txt" and file.stem in stems]
    return [file for file in texts if re.match(NAMELESS, head(file))]


def _is_root(parent: Path) -> bool:
    """Whether what names the classes of a YOLO data set lies in a folder, or in its folder of labels."""
    there = [*os.listdir(parent), *(os.listdir(parent / "labels") if (parent / "labels").is_dir() else ())]
    return any(name in yolo_layout.LISTS or name.endswith((".yaml", ".yml")) for name in there) and yolo.recognises(
        parent
    )


def _of_yolo(root: Path) -> dict[Path, str | None]:
    """The folders of the splits of a YOLO data set, called so or named by data.yaml, or itself; and their splits."""
    for under in (root, root / "images"):
        own = [path for path in sorted(under.iterdir()) if path.name.lower() in SPLITS] if under.is_dir() else []
        if own := [path for path in own if path.is_dir() and list_images(path)]:
            return {path: split_of(path.relative_to(root)) for path in own}
    splits = {
        folder: split for file in sorted(root.glob("*.y*ml")) for folder, split in yolo_layout.splits_of(file).items()
    }
    return {**splits} if len(set(splits.values())) > 1 else {root: None}
