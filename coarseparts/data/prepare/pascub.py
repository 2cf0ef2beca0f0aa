"""PASCUB, the paper's bird benchmark (section 4.1), from the archives it is made of: birds of PASCAL-Part and CUB Parts
with part masks, CUB-200-2011 with keypoints, boxes and figure-ground masks.

CUB's images stay where they are; written are the crops of PASCAL's birds, part masks in one order of parts, lists of
image names, ``funnel.csv``, ``pascub-pascal.yaml`` and, last, ``pascub.yaml``; they train on the same images, the one
is measured on part masks of CUB (Table 2), the other of PASCAL (Table 5).
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from coarseparts.data.prepare import cub_parts, pascal_birds
from coarseparts.data.prepare.archives import SPLITS, Archives, locate, read_split_file
from coarseparts.data.prepare.coarse import of_birds, photographs, write_list
from coarseparts.data.prepare.cub_lookup import Cub, Labelled, find_in_cub, look_at_cub
from coarseparts.data.prepare.output import Output, Progress
from coarseparts.data.prepare.pascal_birds import PAPER_BIRDS, PAPER_PHOTOGRAPHS, Birds, Rules
from coarseparts.system.problems import Problem, capped, errors
from coarseparts.system.text import nearest

DATASET, PASCAL_DATASET, COARSE = "pascub.yaml", "pascub-pascal.yaml", "cub.json"

TABLE_1 = {
    "PASCAL": dict(zip(SPLITS, (271, 132, 133), strict=True)),
    "CUB Parts": dict(zip(SPLITS, (150, 74, 75), strict=True)),
    "CUB coarse": dict(zip(SPLITS, (5994, 2897, 2897), strict=True)),
}
"""Images by set and split (Table 1)."""


@dataclass(frozen=True)
class Choices:
    """How PASCUB is made where the paper leaves it open.

    ``rules``: see ``pascal_birds``. ``order``: the part names of CUB Parts' indices; found from the keypoints if not
    given. ``split_file``: lines "name split" for PASCAL's birds (photograph or crop) and CUB's test images;
    what it does not name is dealt to val and test with ``seed``. ``as_paper``: images with part masks in val and test
    stay in the coarse training list. ``strict``: other numbers than the paper's are errors.
    """

    rules: Rules = field(default_factory=Rules)
    order: tuple[str, ...] | None = None
    split_file: Path | None = None
    seed: int = 0
    as_paper: bool = False
    strict: bool = False


@dataclass
class Pascub:
    """What was made: ``changed`` is False where all of it was there already; ``sizes``: rows (set, split, images in
    the paper, found here, used here); ``funnel``: as ``pascal_birds.funnel``, empty where the authors' crops are used;
    ``problems``: notes and repairs."""

    dataset: Path
    changed: bool
    sizes: list[tuple[str, str, int, int, int]]
    funnel: list[tuple[str, int, int]]
    problems: list[Problem]


def prepare_pascub(
    archives: Archives, out: Path, choices: Choices | None = None, progress: Progress | None = None
) -> Pascub:
    """Make ``out/pascub.yaml`` and what it needs; goes on where an earlier run stopped (``output``).

    ``progress(done, total)`` is called as the work goes on, from 0 again for each kind of work. Raises BadInput with
    everything that is wrong with the archives; no dataset file is left then.
    """
    choices = choices or Choices()
    archives = locate(archives)
    dealt = read_split_file(choices.split_file) if choices.split_file is not None else {}
    with Output(out, DATASET, progress) as output:
        birds = Birds()
        crops: list[cub_parts.Pair] = []
        if archives.voc is not None and archives.pascal_parts is not None:
            birds = pascal_birds.prepare_birds(
                output, archives.voc, archives.pascal_parts, choices.rules, dealt, choices.seed
            )
        elif archives.pascal_crops is not None:
            crops, wrong = cub_parts.find_pairs(archives.pascal_crops)
            output.problems += wrong
        cub = look_at_cub(output, archives.cub, archives.segmentations)
        pairs, wrong = cub_parts.find_pairs(archives.parts)
        output.problems += wrong
        labelled = find_in_cub(output, pairs, cub, choices.order)
        output.make(cub_parts.mask_items(crops, {}, labelled.order, cub_parts.CROPS_IN_PLACE))
        coarse = _coarse_splits(cub, dealt, choices.seed)
        tests = set(cub.test)
        unknown = [name for name in dealt if name not in birds.known and name not in tests]
        for name in unknown:
            message = f"{name!r} is no bird of PASCAL with a crop, and no test image of CUB"
            candidates = [*birds.known, *cub.test] if len(unknown) < 10 else ()
            remedy = nearest(name, candidates) if candidates else "correct the names"
            output.problems.append(Problem(str(choices.split_file), message, remedy))
        used = coarse if choices.as_paper else _without_overlap(coarse, labelled.splits)
        output.problems += _overlap_notes(archives, coarse, labelled, choices.as_paper)
        of_pascal = Counter(birds.splits.values()) + Counter(crop.split for crop in crops)
        sizes = [
            *_rows("PASCAL", of_pascal, of_pascal),
            *_rows("CUB Parts", Counter(p.split for p in pairs), Counter(p.split for p in pairs)),
            *_rows("CUB coarse", *({s: len(names) for s, names in lists.items()} for lists in (coarse, used))),
        ]
        notes = [*_size_notes(archives, sizes), *(_bird_notes(archives, birds) if not crops else ())]
        output.problems += [replace(p, severity="error") for p in notes] if choices.strict else notes
        if birds.funnel:
            output.write("funnel.csv", _csv(("step", "dropped", "left"), birds.funnel))
        if not errors(output.problems):
            output.write(COARSE, cub.coco())
        texts = _dataset_texts(output, archives, choices, birds, labelled, used, cub.keypoints)
        output.write(PASCAL_DATASET, texts["PASCAL"])
        changed = output.finish(texts["CUB"])
        return Pascub(output.dataset, changed, sizes, birds.funnel, capped(output.problems))


def _coarse_splits(cub: Cub, dealt: Mapping[str, str], seed: int) -> dict[str, list[str]]:
    """The coarse images by split: the official training images; the others as the split file says, or half each."""
    splits = {name: dealt[name] for name in cub.test if name in dealt}
    free = [name for name in cub.test if name not in splits]
    shuffled = [free[i] for i in np.random.default_rng(seed).permutation(len(free))]
    half = len(free) // 2
    splits |= dict.fromkeys(shuffled[:half], "val") | dict.fromkeys(shuffled[half:], "test")
    lists: dict[str, list[str]] = {"train": list(cub.train), "val": [], "test": []}
    for name in cub.test:
        lists[splits[name]].append(name)
    return lists


def _without_overlap(coarse: Mapping[str, list[str]], parts: Mapping[str, str]) -> dict[str, list[str]]:
    """Without the images that have a part mask in another split."""
    return {split: [n for n in names if parts.get(n, split) == split] for split, names in coarse.items()}


def _overlap_notes(
    archives: Archives, coarse: Mapping[str, list[str]], labelled: Labelled, kept: bool
) -> Iterator[Problem]:
    how = {
        "bytes": "by name and the same bytes",
        "pixels": "by name and the same decoded pixels",
        "look": "by name and nearly the same pixels",
        "renamed": "under another name, by bytes or decoded pixels",
        "name": "by name alone, its content being another: used from the archive, without coarse labels",
        "": "not at all: used from the archive, without coarse labels",
    }
    told = "; ".join(f"{labelled.how[key]} {text}" for key, text in how.items() if labelled.how[key])
    if told:
        yield Problem(str(archives.parts), f"images found in CUB: {told}", severity="note")
    for split, names in coarse.items():
        there = Counter(labelled.splits[n] for n in names if labelled.splits.get(n, split) != split)
        if there:
            parts = " and ".join(f"{count} of {other}" for other, count in sorted(there.items()))
            message = f"the coarse {split} images include images with part masks: {parts}"
            remedy = "kept, as the paper's data are" if kept else "taken out of the coarse images"
            yield Problem(str(archives.cub), message, remedy, "note")


def _rows(name: str, found: Mapping[str, int], used: Mapping[str, int]) -> Iterator[tuple[str, str, int, int, int]]:
    for split, paper in TABLE_1[name].items():
        yield name, split, paper, found.get(split, 0), used.get(split, 0)


def _size_notes(archives: Archives, sizes: Iterable[tuple[str, str, int, int, int]]) -> Iterator[Problem]:
    file = {
        "PASCAL": archives.pascal_crops or archives.pascal_parts,
        "CUB Parts": archives.parts,
        "CUB coarse": archives.cub,
    }
    for name, split, paper, found, _ in sizes:
        if found != paper:
            message = f"{name}, {split}: {found} images, {paper} in the paper's Table 1"
            yield Problem(str(file[name]), message, "look whether the archive is whole", "note")


def _bird_notes(archives: Archives, birds: Birds) -> Iterator[Problem]:
    crops = len(birds.splits)
    for what, found, paper in (("crops", crops, PAPER_BIRDS), ("photographs", birds.photographs, PAPER_PHOTOGRAPHS)):
        if found != paper:
            message = f"{found} {what} with a bird, {paper} in the paper"
            yield Problem(str(archives.pascal_parts), message, "funnel.csv says what dropped the others", "note")


def _dataset_texts(
    output: Output,
    archives: Archives,
    choices: Choices,
    birds: Birds,
    labelled: Labelled,
    coarse: Mapping[str, list[str]],
    keypoints: tuple[str, ...],
) -> dict[str, str]:
    """The dataset files by what part masks of val and test are of; their lists are written with them."""
    cub: dict[str, Any] = {"images": photographs(archives.cub), "coco": COARSE}
    if archives.segmentations is not None:
        cub["masks"] = str(archives.segmentations.absolute())
    listed = partial(write_list, output)
    sources: list[tuple[str, dict[str, Any]]] = []  # whose part masks, and the source
    for split in SPLITS:
        parts = sorted(name for name, of in labelled.used.items() if of == split)
        if parts:
            masks = {"part_masks": cub_parts.FOLDER}
            sources.append(("CUB", {"split": split, **cub, **masks, **listed(f"cub_parts_{split}", parts)}))
        if split in labelled.in_place:
            images = str((archives.parts / f"images_{split}").absolute())
            sources.append(("CUB", {"split": split, "images": images, "part_masks": f"{cub_parts.IN_PLACE}/{split}"}))
        if archives.pascal_crops is not None:
            images = str((archives.pascal_crops / f"images_{split}").absolute())
            crops_in_place = f"{cub_parts.CROPS_IN_PLACE}/{split}"
            sources.append(("PASCAL", {"split": split, "images": images, "part_masks": crops_in_place}))
        crops = [f"{name}.png" for name, of in birds.splits.items() if of == split]
        if crops:
            folder = {"images": f"{pascal_birds.FOLDER}/images", "part_masks": f"{pascal_birds.FOLDER}/part_masks"}
            sources.append(("PASCAL", {"split": split, **folder, **listed(f"pascal_{split}", crops)}))
        if coarse[split]:
            sources.append(("", {"split": split, **cub, **listed(f"cub_coarse_{split}", coarse[split])}))
    drawn = f"drawn with seed {choices.seed}" + (", where the split file does not say" * bool(choices.split_file))
    head = [
        "# PASCUB, made by `coarseparts prepare pascub`. Images of CUB are used from where they are.",
        "# Trained on the part masks of both; those of val and test are CUB's (pascub.yaml, the paper's Table 2)",
        "# or of PASCAL (pascub-pascal.yaml, Table 5).",
        f"# val and test of PASCAL's birds and of the coarse images: {drawn}.",
        f"# Neck: {choices.rules.neck}. Head against: {choices.rules.body}. Parts of CUB Parts: "
        + f"{', '.join(labelled.order)}.",
    ]
    content = of_birds(keypoints) | ({"across_splits": "keep"} if choices.as_paper else {})

    def text(measured: str) -> str:
        chosen = [source for whose, source in sources if source["split"] == "train" or whose in ("", measured)]
        all_of_it = content | {"sources": chosen}
        return "\n".join(head) + "\n" + yaml.safe_dump(all_of_it, sort_keys=False, allow_unicode=True, width=120)

    return {measured: text(measured) for measured in ("CUB", "PASCAL")}


def _csv(header: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([header, *rows])
    return file.getvalue()
