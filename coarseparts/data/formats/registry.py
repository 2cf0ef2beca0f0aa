"""The formats of other tools: which one it is, told from content; read, and written."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from coarseparts.data.formats import (
    coco_document,
    cvat,
    deeplabcut,
    label_studio,
    labelme,
    sleap,
    via,
    yolo,
    yolo_folder,
)
from coarseparts.data.formats.document import Document, content_of
from coarseparts.data.formats.known_by_name import UNREAD, known_by_name
from coarseparts.data.formats.unpacked import is_archive, unpacked
from coarseparts.data.images import list_images
from coarseparts.system.documents import no_garbage
from coarseparts.system.problems import BadInput, Problem, unreadable
from coarseparts.system.text import abridged, listed, nearest

FORMATS: tuple[ModuleType, ...] = (cvat, labelme, label_studio, via, yolo, deeplabcut, sleap, coco_document)
"""Modules of formats, in the order in which they are asked."""

WRITERS = {
    "coco": (coco_document.write, "coco.json"),
    "cvat": (cvat.write, "annotations.xml"),
    "labelme": (labelme.write, "labelme"),
    "label-studio": (label_studio.write, "label_studio.json"),
    "via": (via.write, "via_project.json"),
    "yolo": (yolo_folder.write, "yolo"),
}
"""By the name of an export: the function that writes it, and what the file or folder is called."""

MOST_FILES = 20_000
"""Files of a folder that are looked at."""

SUFFIXES = (".json", ".xml", ".csv", ".tsv", ".slp", ".yaml", ".yml")
"""How files end that may be labels."""


def read_export(path: Path) -> Document:
    """What an export says, a file, a folder or a zip archive; its format is told from its content. Several files of
    one format in a folder are one export. Raises BadInput."""
    try:
        if not is_archive(path):
            with no_garbage():
                return _read(path)
        with unpacked(path) as folder, no_garbage():
            try:
                document = _read(folder)
            except BadInput as bad:
                raise BadInput(_of_archive(bad.problems, folder, path)) from None
            return replace(document, problems=_of_archive(document.problems, folder, path))
    except OSError as error:
        raise BadInput(unreadable(path, error, "name an existing export")) from None


def _of_archive(problems: Iterable[Problem], folder: Path, archive: Path) -> list[Problem]:
    """Problems of files in the folder that an archive was unpacked to, as problems of the archive."""

    def plain(text: str) -> str:
        return text.replace(f"{folder}{os.sep}", f"{archive}{os.sep}").replace(str(folder), str(archive))

    return [replace(problem, file=plain(problem.file), message=plain(problem.message)) for problem in problems]


def _read(path: Path) -> Document:
    if (own := format_of(path)) is not None:
        return replace(own.read(path), format=own.NAME)
    if not path.is_dir():
        raise BadInput(_unknown(path, [path]))
    files = _files(path)
    found: dict[str, list[tuple[ModuleType, Path]]] = defaultdict(list)
    for file in files:
        if (own := format_of(file)) is not None:
            found[own.NAME].append((own, file))
    if not found and (named := _not_read(path, files)) is not None:
        raise BadInput(named)
    if not found:
        folders = [entry for entry in sorted(path.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
        if len(folders) == 1:
            return _read(folders[0])
        raise BadInput(_unknown(path, files))
    if len(found) > 1:
        told = listed(f"{name} ({abridged(several[0][1], 200)})" for name, several in found.items())
        raise BadInput(Problem(str(path), f"holds exports of several formats: {told}", "name one of them"))
    ((name, several),) = found.items()
    documents = [module.read(file) for module, file in several]
    if len(documents) > 1 and name != coco_document.NAME:
        documents = [_apart(document, number) for number, document in enumerate(documents)]
    return replace(_merged(path, documents), format=name)


def _apart(document: Document, number: int) -> Document:
    """A document whose groups are its own: tools number them anew in each file."""
    entries = [
        entry | {"group": f"{number}/{entry['group']}"} if isinstance(entry, dict) and entry.get("group") else entry
        for entry in document.annotations
    ]
    return replace(document, annotations=entries)


def format_of(path: Path) -> ModuleType | None:
    """The module of the format that a file or folder has; None if it has none that is known."""
    return next((module for module in FORMATS if module.recognises(path)), None)


def _files(folder: Path) -> list[Path]:
    """The files in a folder and below it that may be exports. Raises BadInput where there are very many."""
    found = []
    for file in _files_called(folder, SUFFIXES):
        found.append(file)
        if len(found) > MOST_FILES:
            came = f"holds more than {MOST_FILES:,} files that may be labels"
            raise BadInput(Problem(str(folder), came, "name the file or folder of the labels"))
    return found


def _files_called(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """The files in a folder and below that end so, without hidden ones."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        yield from (Path(parent, name) for name in sorted(files) if name.lower().endswith(suffixes))


def _unknown(path: Path, files: Sequence[Path]) -> Problem:
    names = listed(module.NAME for module in FORMATS)
    if not files and path.is_dir() and list_images(path):
        message = "holds images, and no labels that a tool exported"
        return Problem(
            str(path), message, "if they are masks, unpack them and name their folder by part_masks or masks"
        )
    if not files and path.is_dir() and (inner := list(_files_called(path, (".zip",)))):
        return Problem(str(path), f"holds the archive {abridged(inner[0].name, 200)}", "unpack it, and name that")
    others = list(_files_called(path, UNREAD)) if path.is_dir() and not files else files
    return _not_read(path, others) or Problem(
        str(path), "has no format that is known", f"export it as one of these: {names}"
    )


def _not_read(path: Path, files: Iterable[Path]) -> Problem | None:
    """The problem of files of a format that is known by name alone; None where there are none."""
    for file in list(files)[:20]:
        if told := known_by_name(file):
            at = "" if file == path else f"{abridged(file, 200)} "
            return Problem(str(path), f"{at}looks like {told[0]}, which is not read", f"export it as {told[1]}")
    return None


def not_read(files: Iterable[Path]) -> tuple[list[Problem], list[Problem]]:
    """A problem for each format that some of the files have, of those that are known by name alone; and one of those
    that have none that is known, but for YAML, which settings are written in."""
    found: dict[str, list[tuple[Path, str]]] = defaultdict(list)
    unknown = []
    for file in files:
        if told := known_by_name(file):
            found[told[0]].append((file, told[1]))
        elif file.suffix.lower() not in (".yaml", ".yml"):
            unknown.append(file)
    problems = []
    for name, own in found.items():
        more = f" (and {len(own) - 1:,} more files)" if len(own) > 1 else ""
        message = f"looks like {name}, which is not read{more}"
        problems.append(Problem(str(own[0][0]), message, f"export it as {own[0][1]}"))
    if not unknown:
        return problems, []
    more = f" (and {len(unknown) - 1:,} more files)" if len(unknown) > 1 else ""
    remedy = f"if it holds labels, export them as one of these: {listed(module.NAME for module in FORMATS)}"
    return problems, [Problem(str(unknown[0]), f"has no format that is known{more}", remedy, "note")]


def _merged(folder: Path, documents: list[Document]) -> Document:
    """Several files of one export as one: an image that several of them name is one image."""
    if len(documents) == 1:
        return documents[0]
    whole, images, twice = Document(), dict[Any, str](), 0
    said: set[str] = set()
    for number, document in enumerate(documents):

        def key(entry: Any, name: str, number: int = number) -> Any:
            value = entry.get(name)
            return f"{number}/{value}" if isinstance(value, int | float | str) and value is not True else value

        same: dict[Any, Any] = {}
        for entry in document.images:
            if not isinstance(entry, dict) or not isinstance(key(entry, "id"), str):
                whole.images.append(entry)
                continue
            image, file = key(entry, "id"), entry.get("file_name")
            if isinstance(file, str) and file in images:
                same[image] = images[file]
                continue
            images |= {file: image} if isinstance(file, str) else {}
            whole.images.append(entry | {"id": image})
        for entry in document.categories:
            whole.categories.append(entry | {"id": key(entry, "id")} if isinstance(entry, dict) else entry)
        categories = {str(key(one, "id")): one for one in document.categories if isinstance(one, dict)}
        own: set[str] = set()
        for entry in document.annotations:
            if isinstance(entry, dict):
                image = key(entry, "image_id")
                keys = {
                    "id": key(entry, "id"),
                    "image_id": same.get(image, image) if isinstance(image, str) else image,
                } | {"category_id": key(entry, "category_id")}
                entry = {name: value for name, value in (entry | keys).items() if value is not None}
                alone = {name: value for name, value in entry.items() if name != "group"}
                own.add(content := content_of(alone, categories.get(str(entry.get("category_id")), {})))
                if content in said:
                    twice += 1
                    continue
            whole.annotations.append(entry)
        said |= own
        whole.problems.extend(document.problems)
        whole.mirror.extend(pair for pair in document.mirror if pair not in whole.mirror)
    if twice:
        message = f"{twice:,} annotations stand in several files, used once"
        whole.problems.append(Problem(str(folder), message, "", "note"))
    return whole


def refuse_export(name: str, folder: Path) -> None:
    """Raises BadInput for a name that is none of ``WRITERS``, and where the export is there already: somebody may have
    corrected it."""
    if name not in WRITERS:
        raise BadInput(Problem("export", f"got {abridged(name)}", nearest(name, WRITERS)))
    if (file := folder / WRITERS[name][1]).exists():
        raise BadInput(
            Problem(str(file), "is there and would be written over", "move it away, or choose another folder")
        )


def write_export(name: str, document: Document, folder: Path) -> Path:
    """Writes a document into a folder in the format of a ``name`` of ``WRITERS``; returns where. Raises BadInput."""
    write, file = WRITERS[name]
    write(document, folder / file)
    return folder / file
