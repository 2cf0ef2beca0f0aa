"""Which images of proposed sources are for training, validation and test: as folders say, or lists, else by a rule."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coarseparts.data.dataset_file import DatasetFile
from coarseparts.data.formats.coco import read_coco
from coarseparts.data.formats.names import read_lines
from coarseparts.data.namesakes import meant
from coarseparts.data.proposal.copies import with_copies
from coarseparts.data.proposal.proposed_sources import ProposedSource
from coarseparts.data.proposal.survey import ORDER
from coarseparts.data.record import Record
from coarseparts.data.sources import read_source
from coarseparts.system.problems import BadInput
from coarseparts.system.text import listed, readable

EVERY = 5
"""Of the images with part masks, in the order of their names, each so-manyth is for validation where nothing else says
which are."""


@dataclass
class Division:
    """The ``sources`` as a dataset file has them; ``lists`` of images by the file's name, beside it; ``assumed``: what
    was recognised and assumed, a sentence each."""

    sources: list[dict[str, Any]] = field(default_factory=list)
    lists: dict[str, list[str]] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)


def divided(
    sources: Sequence[ProposedSource],
    records: Sequence[Record],
    dataset: DatasetFile,
    lists: Mapping[Path, str],
    out: Path,
) -> Division:
    """The sources of the dataset file ``out``. Where none is for validation, each train source is divided by lists of
    its images; a photograph that two sources name is in one split alone. ``lists``: the split of each text file that is
    called as splits are (ImageSets/Segmentation/val.txt)."""
    found = Division()
    images = [_images(sources, i, records, dataset) for i in range(len(sources))]
    of_train = [own for source, own in zip(sources, images, strict=True) if source.split == "train"]
    split_of: dict[Path, str] = {}
    if any(source.split == "val" for source in sources):
        found.assumed.append("split: as the folders' and files' names say")
    else:
        split_of = _listed(lists, set().union(*of_train), out.parent, found.assumed)
        if "val" not in split_of.values():
            split_of |= dict.fromkeys(_for_validation(sources, records, split_of, found.assumed), "val")
    for i, (source, own) in enumerate(zip(sources, images, strict=True)):
        keys = {key: relative(value, out.parent) for key, value in source.keys().items()}
        if source.split != "train" or all(split_of.get(image, "train") == "train" for image in own):
            found.sources.append({"split": source.split} | keys)
            continue
        number = "" if len(sources) == 1 else f"-{i}"
        for split in ORDER:
            if chosen := [image for image in own if split_of.get(image, "train") == split]:
                file = f"{out.stem}-{split}{number}.txt"
                found.lists[file] = sorted(image.relative_to(source.images).as_posix() for image in chosen)
                found.sources.append({"split": split} | keys | {"only": file})
    return found


def _images(
    sources: Sequence[ProposedSource], i: int, records: Sequence[Record], dataset: DatasetFile
) -> Collection[Path]:
    """A source's photographs; where another one has the same folder, those of which it says something."""
    source = sources[i]
    if any(other is not source and other.images == source.images for other in sources):
        return {source.images / name for name in read_source(dataset, i, read_coco).said}
    return {record.image for record in records if record.source == i and record.image is not None}


def _listed(lists: Mapping[Path, str], images: Collection[Path], base: Path, assumed: list[str]) -> dict[Path, str]:
    """The split of each of the images that a list names, which is said; of one that several name the last of ORDER."""
    by_name = {image.as_posix(): image for image in images}
    found: dict[Path, str] = {}
    used: list[Path] = []
    twice: set[Path] = set()
    for file, split in sorted(lists.items(), key=lambda item: (ORDER.index(item[1]), item[0])):
        try:
            names = {line.strip() for line in read_lines(file, "give yourself permission to read it")} - {""}
        except BadInput:
            continue  # no text: no list
        own = {by_name[name] for name in (*(names & {*by_name}), *meant(names, by_name)[0].values())}
        twice |= {image for image in own if found.get(image, split) != split}
        found |= dict.fromkeys(own, split)
        used += [file] if own else []
    if used:
        count = Counter(found.values())
        each = ", ".join(f"{count[split]} for {split}" for split in ORDER if count[split])
        several = f"; {len(twice)} that several lists name are in the last of these alone" if twice else ""
        others = len(images) - len(found)
        rest = f"; {others} that none names are for train" if others else ""
        files = listed(readable(relative(file, base)) for file in used)
        assumed.append(f"split: as {files} say: {each}{several}{rest}")
    return found


def _for_validation(
    sources: Sequence[ProposedSource], records: Sequence[Record], split_of: Mapping[Path, str], assumed: list[str]
) -> set[Path]:
    """The images of train sources that are taken out for validation, where nothing says which are; says so."""
    of_train = {i for i, source in enumerate(sources) if source.split == "train"}
    there = [(r.image, r.has) for r in records if r.source in of_train and r.image is not None]
    train = [(image, has) for image, has in there if split_of.get(image, "train") == "train"]
    masked = sorted({image for image, has in train if "parts" in has})
    each = set(masked[EVERY - 1 :: EVERY])
    val = with_copies(each, (image for image, _ in train))
    if val:
        copies = f" and {len(val - each)} copies of these" if val - each else ""
        rule = f"every {EVERY}th by name of the {len(masked)} images with part masks: {len(each)}{copies}"
        assumed.append(f"split: {rule} are for validation, all others for training")
    else:
        assumed.append("split: too few part masks for a validation split; training holds some out by itself")
    return val


def relative(value: Any, base: Path) -> Any:
    """Paths relative to the dataset file's folder, whole where they share no folder with it but the root."""
    if isinstance(value, list):
        return [relative(one, base) for one in value]
    if not isinstance(value, Path):
        return value
    shared = Path(os.path.commonpath([value, base]))
    return str(value) if shared == Path(shared.anchor) else Path(os.path.relpath(value, base)).as_posix()
