"""CUB-200-2011 as a whole, and CUB Parts' images found again in it (see ``cub_parts``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from coarseparts.data.formats.annotation import Annotation
from coarseparts.data.formats.mask_folder import GREY
from coarseparts.data.images import opened, probe
from coarseparts.data.prepare import cub_parts
from coarseparts.data.prepare.bird_tables import CUB, read_annotations
from coarseparts.data.prepare.coarse import coco_text
from coarseparts.data.prepare.cub_parts import Pair
from coarseparts.data.prepare.output import Item, Made, Output
from coarseparts.data.synthetic.anatomy import PARTS
from coarseparts.system.problems import BadInput, Problem


@dataclass
class Cub:
    """CUB's images by the official split; their annotations and files by name."""

    train: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)
    annotations: dict[str, Annotation] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    keypoints: tuple[str, ...] = ()

    def coco(self) -> str:
        """Keypoints and boxes of all images as a COCO file."""
        return coco_text(self.annotations.values(), self.sizes, "bird")


def look_at_cub(output: Output, archive: Path, segmentations: Path | None) -> Cub:
    """CUB's tables, and a look at every image's header and its mask's."""
    found = Cub()
    for split, names in (("train", found.train), ("test", found.test)):
        annotations, problems = read_annotations(CUB, archive, split, segmentations)
        output.problems += [p for p in problems if p not in output.problems]
        names += [a.image for a in annotations]
        found.annotations |= {a.image: a for a in annotations}
    found.paths = {name: archive / "images" / name for name in found.annotations}
    found.keypoints = next((a.keypoint_names for a in found.annotations.values()), ())
    items = []
    for name, annotation in found.annotations.items():
        inputs = (found.paths[name], *([annotation.labels["mask"].value.path] if "mask" in annotation.labels else []))
        items.append(Item(f"cub/{name}", inputs, partial(_look, *inputs), ["cub", "sizes"]))
    facts = output.make(items)
    found.sizes = {
        name: (facts[f"cub/{name}"][0], facts[f"cub/{name}"][1]) for name in found.paths if f"cub/{name}" in facts
    }
    without = sum("mask" not in a.labels for a in found.annotations.values())
    if without:
        where = segmentations or archive / "segmentations"
        message = f"{without} of {len(found.annotations)} images of CUB have no figure-ground mask there"
        output.problems.append(Problem(str(where), message, "unpack segmentations.tgz and name its folder", "note"))
    return found


def _look(image: Path, mask: Path | None = None) -> Made:
    """The image's size, (width, height), and what its header and that of its figure-ground mask tell; nothing is
    decoded."""
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
        if mode not in GREY:
            message = f"is of mode {mode}, expected grey-scale"
            problems.append(Problem(str(mask), message, "unpack segmentations.tgz again"))
        if image in sizes and sizes[image] != sizes[mask]:
            came = "{}x{} pixels, its image is {}x{}".format(*sizes[mask], *sizes[image])
            problems.append(Problem(str(mask), f"is {came}", "take both from the same CUB-200-2011"))
    return Made(facts=sizes.get(image), problems=problems)


@dataclass
class Labelled:
    """CUB Parts in CUB: ``splits``: the split of the part mask by image of CUB (also where it is found by name alone);
    ``used``: those that are used from CUB; ``in_place``: splits with images that are used from where they are;
    ``how``: how often an image was found by what; ``order``: what the indices of the masks mean."""

    splits: dict[str, str] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)
    in_place: set[str] = field(default_factory=set)
    how: Counter[str] = field(default_factory=Counter)
    order: tuple[str, ...] = PARTS


def find_in_cub(output: Output, pairs: list[Pair], cub: Cub, order: tuple[str, ...] | None) -> Labelled:
    """Look up each image of CUB Parts, find out what the indices of its masks mean (``order``, if given), and write
    the masks."""
    by_name = {name.rpartition("/")[2]: (cub.paths[name], a) for name, a in cub.annotations.items()}
    facts = output.make(cub_parts.study_items(pairs, by_name))
    studied = {pair.name: facts[f"study/{pair.name}"] for pair in pairs if f"study/{pair.name}" in facts}
    found = Labelled()
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
    if decided is not None:
        output.make(cub_parts.mask_items([p for p in pairs if p.name in studied], names, decided))
    return found


def _renamed(output: Output, lost: Mapping[str, Any], pairs: list[Pair], cub: Cub) -> Iterator[tuple[str, str, str]]:
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
