"""How a YOLO data set is laid out: what names its classes, where its splits are, which files of labels are whose."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coarseparts.data.formats.document_builder import DocumentBuilder, head, plain_path
from coarseparts.data.images import stem
from coarseparts.data.namesakes import meant
from coarseparts.data.suffixes import IMAGES
from coarseparts.system.documents import DocumentError, load_yaml
from coarseparts.system.text import listed

LISTS = ("classes.txt", "obj.names")
"""Where the names of classes stand, a line each, in folders without data.yaml."""

YAMLS = ("data", "dataset")
"""What the file is mostly called that names the classes; others beside it are of trainings."""

NEAR, FAR = 2, 5
"""Folders above that of a split in which what names the classes is looked for; so far where it names the split."""

NO_LABELS = (*LISTS, "train.txt", "val.txt", "valid.txt", "test.txt", "train.list", "notes.txt")


def root_of(path: Path) -> tuple[Path, Path] | None:
    """The folder of a data set and what names its classes; ``path`` may be either, or a split's folder in it."""
    if path.is_file():
        return (path.parent, path) if _is_yaml(path) else None
    if not path.is_dir():
        return None
    if found := _names_in(path, path):
        return path, found
    inner = _has(path, ("images", "labels"))  # train/ of a data set; or images/train
    for above, folder in enumerate(path.absolute().parents[:FAR]):
        try:
            found = _names_in(folder, path)
        except PermissionError:  # of folders that are somebody else's
            return None
        if found is not None and ((inner and above < NEAR) or path.absolute() in splits_of(found)):
            return folder, found
    return None


def _names_in(folder: Path, path: Path) -> Path | None:
    """What names the classes in a folder, that of a data set to which ``path`` belongs; None where nothing does."""
    names = sorted(os.listdir(folder))
    yamls = [folder / name for name in names if name.lower().endswith((".yaml", ".yml"))]
    yamls.sort(key=lambda file: file.stem.lower() not in YAMLS)
    if found := next((file for file in yamls[:20] if _is_yaml(file)), None):
        return found
    lists = (folder / below / name for below in ("", "labels") for name in LISTS)
    if found := next((file for file in lists if file.is_file()), None):
        has = folder != path or found.parent != folder or _has(folder, ("labels", "obj_train_data"))
        return found if has or _has_beside(names) else None
    return None


def _has_beside(names: list[str]) -> bool:
    """Whether files of labels lie beside their images."""
    labels = {name[:-4] for name in names if name.lower().endswith(".txt") and name.lower() not in NO_LABELS}
    return any(stem(name) in labels for name in names if name.lower().endswith(IMAGES))


def splits_of(file: Path) -> dict[Path, str]:
    """The folders that data.yaml names for its splits, as far as they are there, and their splits: below its own
    folder, or the end of its ``path`` there, whatever machine that is of."""
    try:
        raw = load_yaml(file) if file.suffix.lower() in (".yaml", ".yml") else None
    except (OSError, DocumentError):
        return {}
    found: dict[Path, str] = {}
    base = raw.get("path") if isinstance(raw, dict) else None
    for split, value in named_splits(raw):
        whole = f"{base}/{value}" if isinstance(base, str) else value
        pieces = [one for one in plain_path(whole)[0].split("/") if one not in ("", ".", "..")]
        ends = (file.parent.absolute().joinpath(*pieces[i:]) for i in range(len(pieces)))
        if (folder := next((end for end in ends if end.is_dir()), None)) is not None:
            found.setdefault(folder, split)
    return found


def named_splits(raw: Any) -> Iterator[tuple[str, str]]:
    """The splits that data.yaml names, and a path of each."""
    for split in ("train", "val", "test") if isinstance(raw, dict) else ():
        values = raw.get(split)
        yield from ((split, one) for one in (values if isinstance(values, list) else [values]) if isinstance(one, str))


def _has(folder: Path, names: tuple[str, ...]) -> bool:
    return any((folder / name).is_dir() for name in names) or bool({"images", "labels"} & set(folder.parts[-2:]))


def _is_yaml(path: Path) -> bool:
    """Whether a file begins as data.yaml does: names of classes, or how many, and where the images are."""
    if path.suffix.lower() not in (".yaml", ".yml"):
        return False
    keys = {line.partition(b":")[0].strip() for line in head(path).split(b"\n") if b":" in line[:40]}
    places = keys & {b"train", b"val", b"test", b"path", b"kpt_shape"}
    return bool((b"names" in keys and places | keys & {b"nc"}) or (b"nc" in keys and places))


def unused_labels(under: Path, seen: set[Path]) -> set[Path]:
    """The files in folders of labels that are none of those ``seen``."""
    folders = {file.parent for file in seen if file.parent.is_dir()}
    folders |= {Path(at) for at, _, _ in os.walk(under.absolute()) if "labels" in Path(at).parts}
    there = {file for folder in folders for file in folder.glob("*.txt") if file.name.lower() not in NO_LABELS}
    return {file for file in there - seen if not file.name.startswith(".")}  # as Macs leave on other disks


def labels_elsewhere(
    labels: dict[str, Path], unused: set[Path], root: Path, builder: DocumentBuilder
) -> dict[str, Path]:
    """Files of labels in folders of which YOLO uses none, by the images without labels for which they were written,
    wherever these lie and whatever a tool put before the names; a note tells them."""
    used = {file.parent for file in labels.values() if file.exists()}
    files = {
        file.relative_to(root).as_posix(): file for file in unused if root in file.parents and file.parent not in used
    }
    without = {f"{stem(name)}.txt": name for name, file in labels.items() if not file.exists()} if files else {}
    pairs, _ = meant(sorted(files), without)
    if pairs:
        told = listed(f"{files[name].name} for {without[image]}" for name, image in pairs.items())
        message = f"{len(pairs):,} files of labels lie elsewhere than YOLO looks for them, or are named otherwise"
        builder.say(f"{message}, and are taken for the images that fit: {told}", "", "note")
    return {without[image]: files[name] for name, image in pairs.items()}
