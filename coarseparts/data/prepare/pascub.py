"""PASCUB, the paper's bird benchmark (section 4.1), from the archives it is made of: birds of PASCAL-Part and CUB Parts
with part masks, CUB-200-2011 with keypoints, boxes and figure-ground masks.

CUB's images stay where they are; written are the crops of PASCAL's birds, part masks in one order of parts, lists of
image names, ``funnel.csv`` and, last, ``pascub.yaml``.
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

from coarseparts.data.dataset_file import nearest
from coarseparts.data.images import opened, probe
from coarseparts.data.prepare import cub_parts, pascal_birds
from coarseparts.data.prepare.archives import SPLITS, Archives, locate, read_image_set, read_split_file
from coarseparts.data.prepare.cub_parts import Pair
from coarseparts.data.prepare.output import Item, Made, Output, Progress
from coarseparts.data.prepare.pascal_birds import PAPER_BIRDS, PAPER_PHOTOGRAPHS, PARTS, Rules
from coarseparts.data.problems import BadInput, Problem, capped
from coarseparts.data.readers.annotation import Annotation
from coarseparts.data.readers.cub import read_cub

DATASET = "pascub.yaml"

TABLE_1 = {
    "PASCAL": dict(zip(SPLITS, (271, 132, 133), strict=True)),
    "CUB Parts": dict(zip(SPLITS, (150, 74, 75), strict=True)),
    "CUB coarse": dict(zip(SPLITS, (5994, 2897, 2897), strict=True)),
}
"""Images by set and split (Table 1)."""

MIRROR = tuple((f"left_{part}", f"right_{part}") for part in ("eye", "leg", "wing"))
KEYPOINT_MIRROR = tuple((f"left {part}", f"right {part}") for part in ("eye", "leg", "wing"))


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
    the paper, found here, used here); ``funnel``: as ``pascal_birds.funnel``; ``problems``: notes and repairs."""

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
        birds = _birds(output, archives, choices, dealt)
        cub = _cub(output, archives)
        pairs, wrong = cub_parts.find_pairs(archives.parts)
        output.problems += wrong
        labelled = _cub_parts(output, pairs, cub, choices.order)
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
        sizes = [
            *_rows("PASCAL", Counter(birds.splits.values()), Counter(birds.splits.values())),
            *_rows("CUB Parts", Counter(p.split for p in pairs), Counter(p.split for p in pairs)),
            *_rows("CUB coarse", *({s: len(names) for s, names in lists.items()} for lists in (coarse, used))),
        ]
        notes = [*_size_notes(archives, sizes), *_bird_notes(archives, birds)]
        output.problems += [replace(p, severity="error") for p in notes] if choices.strict else notes
        output.write("funnel.csv", _csv(("step", "dropped", "left"), birds.funnel))
        text = _dataset_text(output, archives, choices, birds, labelled, used, cub.keypoints)
        changed = output.finish(text)
        return Pascub(output.dataset, changed, sizes, birds.funnel, capped(output.problems))


@dataclass
class _Birds:
    """PASCAL's crops: ``splits`` by crop; ``funnel``; how many photographs show a bird; names a split file may use."""

    splits: dict[str, str]
    funnel: list[tuple[str, int, int]]
    photographs: int
    known: set[str]


def _birds(output: Output, archives: Archives, choices: Choices, dealt: Mapping[str, str]) -> _Birds:
    train = read_image_set(archives.voc, "train", output.problems)
    rest = read_image_set(archives.voc, "val", output.problems)
    items = pascal_birds.bird_items(archives.voc, archives.pascal_parts, choices.rules)
    facts = {name.partition("/")[2]: found for name, found in output.make(items).items()}
    crops = {}
    for photograph, found in facts.items():
        kept = [number for number, outcome in enumerate(found["outcomes"], 1) if outcome == "kept"]
        if kept:
            crops[photograph] = [pascal_birds.crop_name(photograph, number) for number in kept]
    outside = [name for name in crops if name not in train and name not in rest]
    if outside and (train or rest):
        message = f"neither train.txt nor val.txt names {', '.join(outside[:5])}{' and more' * (len(outside) > 5)}"
        folder = str(archives.voc / "ImageSets" / "Main")
        output.problems.append(Problem(folder, f"{message} ({len(outside)})", "dealt to val and test", "note"))
    given = {name: split for photo in crops for name in crops[photo] if (split := dealt.get(name, dealt.get(photo)))}
    free = {photo: left for photo, names in crops.items() if (left := [n for n in names if n not in given])}
    splits = given | pascal_birds.split_birds(free, train, choices.seed)
    rows = pascal_birds.funnel(outcome for found in facts.values() for outcome in found["outcomes"])
    known = {name for names in crops.values() for name in names} | crops.keys()
    return _Birds(dict(sorted(splits.items())), rows, sum(f["birds"] > 0 for f in facts.values()), known)


@dataclass
class _Cub:
    """CUB's images by the official split; their annotations and files by name."""

    train: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)
    annotations: dict[str, Annotation] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)
    keypoints: tuple[str, ...] = ()


def _cub(output: Output, archives: Archives) -> _Cub:
    """CUB's tables, and a look at every image's header and its mask's."""
    found = _Cub()
    for split, names in (("train", found.train), ("test", found.test)):
        annotations, problems = read_cub(archives.cub, split, archives.segmentations)
        output.problems += [p for p in problems if p not in output.problems]
        names += [a.image for a in annotations]
        found.annotations |= {a.image: a for a in annotations}
    found.paths = {name: archives.cub / "images" / name for name in found.annotations}
    found.keypoints = next((a.keypoint_names for a in found.annotations.values()), ())
    items = []
    for name, annotation in found.annotations.items():
        inputs = (found.paths[name], *([annotation.soft_mask] if annotation.soft_mask is not None else []))
        items.append(Item(f"cub/{name}", inputs, partial(_look, *inputs), ["cub"]))
    output.make(items)
    without = sum(a.soft_mask is None for a in found.annotations.values())
    if without:
        where = archives.segmentations or archives.cub / "segmentations"
        message = f"{without} of {len(found.annotations)} images of CUB have no figure-ground mask there"
        output.problems.append(Problem(str(where), message, "unpack segmentations.tgz and name its folder", "note"))
    return found


def _look(image: Path, mask: Path | None = None) -> Made:
    """What the headers of an image and its figure-ground mask tell; nothing is decoded."""
    problems: list[Problem] = []
    sizes: dict[Path, tuple[int, int]] = {}
    for path in (image, mask):
        try:
            if path is not None:
                sizes[path] = probe(path)
        except BadInput as bad:
            problems += bad.problems
    if mask in sizes:
        with opened(mask) as header:
            mode = header.mode
        if mode not in ("L", "LA", "1", "P"):
            message = f"is of mode {mode}, expected grey-scale"
            problems.append(Problem(str(mask), message, "unpack segmentations.tgz again"))
        if image in sizes and sizes[image] != sizes[mask]:
            came = "{}x{} pixels, its image is {}x{}".format(*sizes[mask], *sizes[image])
            problems.append(Problem(str(mask), f"is {came}", "take both from the same CUB-200-2011"))
    return Made(problems=problems)


@dataclass
class _Labelled:
    """CUB Parts in CUB: ``splits``: the split of the part mask by image of CUB (also where it is found by name alone);
    ``used``: those that are used from CUB; ``in_place``: splits with images that are used from where they are;
    ``how``: how often an image was found by what; ``order``, and ``share`` of the keypoints that agree with it."""

    splits: dict[str, str] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)
    in_place: set[str] = field(default_factory=set)
    how: Counter[str] = field(default_factory=Counter)
    order: tuple[str, ...] = PARTS
    share: float = float("nan")


def _cub_parts(output: Output, pairs: list[Pair], cub: _Cub, order: tuple[str, ...] | None) -> _Labelled:
    by_name = {name.rpartition("/")[2]: (cub.paths[name], a) for name, a in cub.annotations.items()}
    facts = output.make(cub_parts.study_items(pairs, by_name))
    studied = {pair.name: facts[f"study/{pair.name}"] for pair in pairs if f"study/{pair.name}" in facts}
    found = _Labelled()
    names: dict[str, str] = {}  # by pair, the image of CUB that it is
    for pair in pairs:
        if pair.name in studied and (same := studied[pair.name]["same"]):
            names[pair.name] = by_name[pair.image.name][1].image
            found.how[same] += 1
    lost = {pair.name: studied[pair.name] for pair in pairs if pair.name in studied and pair.name not in names}
    for pair_name, name, how in _renamed(output, lost, pairs, cub):
        names[pair_name] = name
        found.how[how] += 1
    all_votes = [(part, index) for one in studied.values() for part, index in one["votes"]]
    by_pair = {pair.name: pair for pair in pairs}
    for pair_name, name in names.items():
        pair = by_pair[pair_name]
        if found.splits.get(name, pair.split) != pair.split or name in found.used:
            message = f"is {name} of CUB, which has another part mask in {found.splits[name]}"
            output.problems.append(Problem(str(pair.image), message, "remove one of the two: it would be its own test"))
        found.splits[name] = found.used[name] = pair.split
        if lost.get(pair_name):  # renamed: its keypoints are known only now
            indices = cub_parts.read_indices(pair.mask, tuple(lost[pair_name]["size"]))
            all_votes += cub_parts.votes(indices, cub.annotations[name])
    for pair in pairs:
        if pair.name not in names:
            found.in_place.add(pair.split)
            found.how["name" if pair.image.name in by_name else ""] += 1
            if pair.image.name in by_name:
                found.splits[by_name[pair.image.name][1].image] = pair.split
    decided, problems = _order(pairs, all_votes, order)
    output.problems += problems
    found.order = decided or PARTS
    found.share = cub_parts.agreement(all_votes, found.order)
    if decided is not None:
        output.make(cub_parts.mask_items([p for p in pairs if p.name in studied], names, decided))
    return found


def _renamed(output: Output, lost: Mapping[str, Any], pairs: list[Pair], cub: _Cub) -> Iterator[tuple[str, str, str]]:
    """(pair, image of CUB, "renamed") of images that CUB has under another name: the same bytes, or the same pixels."""
    if not lost:
        return
    lengths = {pair.image.stat().st_size for pair in pairs if pair.name in lost}
    left = dict(lost)
    there = {name: path for name, path in cub.paths.items() if path.is_file()}
    alike = [name for name, path in there.items() if path.stat().st_size in lengths]
    digests = {cub_parts.file_digest(there[name]): name for name in alike}
    for pair_name, facts in lost.items():
        if facts["digest"]["bytes"] in digests:
            yield pair_name, digests[facts["digest"]["bytes"]], "renamed"
            del left[pair_name]
    if left:
        sizes = {(facts["size"][0], facts["size"][1]) for facts in left.values()}
        pixels = {digest: name for name, digest in output.make(cub_parts.pixel_items(there, sizes)).items() if digest}
        for pair_name, facts in left.items():
            if facts["digest"]["pixels"] in pixels:
                yield pair_name, pixels[facts["digest"]["pixels"]].partition("/")[2], "renamed"


def _order(
    pairs: list[Pair], votes: list[tuple[str, int]], given: tuple[str, ...] | None
) -> tuple[tuple[str, ...] | None, list[Problem]]:
    """Which part each index of the archive's masks is, by what was given or by the keypoints."""
    if not pairs:
        return None, []
    masks = str(pairs[0].mask.parent.parent)
    found, share = cub_parts.order_of(votes)
    if given is None and found is None:
        message = f"the {len(votes)} keypoints that lie on its masks do not tell which index is which part"
        remedy = f"say it with --part-order: {','.join(PARTS)} in the order of the indices 1 to {len(PARTS)}"
        return None, [Problem(masks, message, remedy)]
    if given is None:
        assert found is not None
        message = f"indices 1 to {len(PARTS)} are {', '.join(found)}: {share:.1%} of {len(votes)} keypoints agree"
        return found, [Problem(masks, message, severity="note")]
    if found is not None and found != given:
        message = f"by the keypoints, its indices would be {', '.join(found)} ({share:.1%} of them agree, "
        message += f"{cub_parts.agreement(votes, given):.1%} with the order that was given)"
        return given, [Problem(masks, message, "look at an overlay, and correct --part-order", "note")]
    return given, []


def _coarse_splits(cub: _Cub, dealt: Mapping[str, str], seed: int) -> dict[str, list[str]]:
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
    archives: Archives, coarse: Mapping[str, list[str]], labelled: _Labelled, kept: bool
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
    file = {"PASCAL": archives.pascal_parts, "CUB Parts": archives.parts, "CUB coarse": archives.cub}
    for name, split, paper, found, _ in sizes:
        if found != paper:
            message = f"{name}, {split}: {found} images, {paper} in the paper's Table 1"
            yield Problem(str(file[name]), message, "look whether the archive is whole", "note")


def _bird_notes(archives: Archives, birds: _Birds) -> Iterator[Problem]:
    crops = len(birds.splits)
    for what, found, paper in (("crops", crops, PAPER_BIRDS), ("photographs", birds.photographs, PAPER_PHOTOGRAPHS)):
        if found != paper:
            message = f"{found} {what} with a bird, {paper} in the paper"
            yield Problem(str(archives.pascal_parts), message, "funnel.csv says what dropped the others", "note")


def _dataset_text(
    output: Output,
    archives: Archives,
    choices: Choices,
    birds: _Birds,
    labelled: _Labelled,
    coarse: Mapping[str, list[str]],
    keypoints: tuple[str, ...],
) -> str:
    """The dataset file; its lists are written with it."""
    cub: dict[str, Any] = {"cub": str(archives.cub.absolute())}
    if archives.segmentations is not None:
        cub["segmentations"] = str(archives.segmentations.absolute())

    def listed(name: str, names: Iterable[str]) -> dict[str, str]:
        output.write(f"lists/{name}.txt", "".join(f"{line}\n" for line in names))
        return {"only": f"lists/{name}.txt"}

    sources: list[dict[str, Any]] = []
    for split in SPLITS:
        parts = sorted(name for name, of in labelled.used.items() if of == split)
        if parts:
            masks = {"part_masks": cub_parts.FOLDER}
            sources.append({"split": split, **cub, **masks, **listed(f"cub_parts_{split}", parts)})
        if split in labelled.in_place:
            images = str((archives.parts / f"images_{split}").absolute())
            sources.append({"split": split, "images": images, "part_masks": f"{cub_parts.IN_PLACE}/{split}"})
        crops = [f"{name}.png" for name, of in birds.splits.items() if of == split]
        if crops:
            folder = {"images": f"{pascal_birds.FOLDER}/images", "part_masks": f"{pascal_birds.FOLDER}/part_masks"}
            sources.append({"split": split, **folder, **listed(f"pascal_{split}", crops)})
        if coarse[split]:
            sources.append({"split": split, **cub, **listed(f"cub_coarse_{split}", coarse[split])})
    drawn = f"drawn with seed {choices.seed}" + (", where the split file does not say" * bool(choices.split_file))
    head = [
        "# PASCUB, made by `coarseparts prepare pascub`. Images of CUB are used from where they are.",
        f"# val and test of PASCAL's birds and of the coarse images: {drawn}.",
        f"# Neck: {choices.rules.neck}. Head against: {choices.rules.body}. Parts of CUB Parts: "
        + f"{', '.join(labelled.order)}.",
    ]
    content = {
        "parts": list(PARTS),
        "mirror": [list(pair) for pair in MIRROR],
        "keypoints": list(keypoints),
        "keypoint_mirror": [list(pair) for pair in KEYPOINT_MIRROR if set(pair) <= set(keypoints)],
        "size": 256,
        "crop": {"to": "object", "margin": 0.1},
        **({"across_splits": "keep"} if choices.as_paper else {}),
        "sources": sources,
    }
    return "\n".join(head) + "\n" + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def _csv(header: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([header, *rows])
    return file.getvalue()
