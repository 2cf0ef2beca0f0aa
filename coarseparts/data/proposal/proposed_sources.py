"""Sources of a dataset file proposed from what was found: which labels belong to which photographs, and to which
split."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PureWindowsPath
from typing import Any
from urllib.parse import unquote

from coarseparts.data.images import stem
from coarseparts.data.namesakes import meant, without_upload
from coarseparts.data.proposal.masks import Masks
from coarseparts.data.proposal.survey import ORDER, Export, split_of
from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import abridged, listed


@dataclass
class ProposedSource:
    """A source: the folder of its photographs, its split, its labels; the categories of these that are ``objects``,
    where others are neither these nor parts."""

    images: Path
    split: str
    exports: list[Export] = field(default_factory=list)
    masks: list[Masks] = field(default_factory=list)
    objects: tuple[str, ...] | None = None

    def keys(self) -> dict[str, Any]:
        """As a dataset file says it, paths as they were found; without its split."""
        keys: dict[str, Any] = {"images": self.images}
        if len(self.exports) == 1:
            keys["labels"] = self.exports[0].path
        elif self.exports:
            keys["coco"] = [export.path for export in self.exports]
        if self.objects is not None:
            keys["objects"] = list(self.objects)
        for masks in self.masks:
            keys[masks.key] = masks.folder
            keys |= {"suffix": masks.suffix} if masks.suffix else {}
            keys |= {"colours": masks.colours.keys()} if masks.colours else {}
        return keys


def proposed_sources(
    exports: Sequence[Export], masks: Sequence[Masks], photographs: dict[Path, list[Path]]
) -> list[ProposedSource]:
    """A source for each folder of photographs and split: with the labels that name them, with the masks of their stems,
    or with none. Raises BadInput for exports of which no photograph is there."""
    sources: dict[tuple[Path, str], ProposedSource] = {}
    problems, more = [], list[ProposedSource]()
    for one in map(_above, masks):
        split = split_of(one.images) or split_of(one.folder) or "train"
        source = sources.setdefault((one.images, split), ProposedSource(one.images, split))
        if one in source.masks:
            continue
        if any(other.key == one.key for other in source.masks):  # of other photographs
            source = ProposedSource(one.images, split)
            more.append(source)
        source.masks.append(one)
    for export in exports:
        own = _photographs_of(export, photographs)
        if not own:
            names = listed(
                (abridged(str(one.get("file_name")), 60) for one in export.document.images if isinstance(one, dict)), 2
            )
            message = f"none of the {len(export.document.images)} photographs that it names is there: {names}"
            remedy = "name their folder, too; or the archive in which they are, which is unpacked then"
            problems.append(Problem(str(export.path), message, remedy))
        for split, images in own.items():
            images = _within(images, [key[0] for key in sources if key[1] == split])
            source = sources.setdefault((images, split), ProposedSource(images, split))
            fits = not source.exports or all(one.name == export.name == "COCO" for one in source.exports)
            if fits:
                source.exports.append(export)
            else:
                more.append(ProposedSource(images, split, [export]))
    if problems:
        raise BadInput(problems)
    used = [source.images for source in sources.values()]
    left = [folder for folder in photographs if not any(_related(folder, images) for images in used)]
    tops = [folder for folder in left if not any(other in folder.parents for other in left)]
    bare = [ProposedSource(folder, "train") for folder in tops if split_of(folder) in (None, "train")]
    every = [*sources.values(), *more, *(bare if used else ())]
    return sorted(every, key=lambda source: ORDER.index(source.split))


def _above(masks: Masks) -> Masks:
    """The masks seen from above where their folder and that of the photographs have the same name in two others."""
    folder, images = masks.folder, masks.images
    while folder != images and folder.name == images.name and split_of(Path(folder.name)) is None:
        if folder.parent == images.parent:
            break
        folder, images = folder.parent, images.parent
    return replace(masks, folder=folder, images=images)


def _related(a: Path, b: Path) -> bool:
    return a == b or a in b.parents or b in a.parents


def _within(images: Path, others: Collection[Path]) -> Path:
    """The folder, or the one above it that is a source already."""
    return next((other for other in others if other in images.parents), images)


def _photographs_of(export: Export, photographs: dict[Path, list[Path]]) -> dict[str, Path]:
    """By split, the folder that all photographs lie in which an export names."""
    if export.path.is_dir() and export.name == "YOLO":
        folders = [folder for folder in photographs if export.path == folder or export.path in folder.parents]
        split = export.split or split_of(export.path) or "train"
        return {split: Path(os.path.commonpath(folders))} if folders else {}
    named = {_file_name(one.get("file_name")) for one in export.document.images if isinstance(one, dict)}
    named |= {without_upload(name) for name in named} - {""}
    stems = {stem(name) for name in named}
    own = [file for files in photographs.values() for file in files if file.name in named]
    own = own or [Path(file) for file in _meant(export, photographs)]
    own = own or [file for files in photographs.values() for file in files if file.stem in stems]
    if export.split is not None and (of_split := [file for file in own if split_of(file.parent) == export.split]):
        own = of_split
    root = export.path if export.path.is_dir() else export.path.parent
    beside = [file for file in own if root in file.parents]
    if len({file.name for file in beside}) == len({file.name for file in own}):
        own = beside
    by_split: dict[str, list[Path]] = defaultdict(list)
    for file in own:
        by_split[split_of(file.parent) or export.split or "train"].append(file.parent)
    return {split: Path(os.path.commonpath(folders)) for split, folders in by_split.items()}


def _meant(export: Export, photographs: dict[Path, list[Path]]) -> Iterable[str]:
    """The photographs that are named otherwise than an export names them, by whole paths."""
    names = [
        name
        for one in export.document.images
        if isinstance(one, dict) and isinstance(name := one.get("file_name"), str)
    ]
    return meant(names, [str(file) for files in photographs.values() for file in files])[0].values()


def _file_name(path: Any) -> str:
    """The last component of a path, whichever system's; "" for what is none."""
    parts = PureWindowsPath(unquote(path)).parts if isinstance(path, str) else ()
    return parts[-1] if parts else ""
