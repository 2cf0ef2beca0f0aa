"""CUB Parts: the 299 images of CUB-200-2011 that the paper's authors drew part masks for, found again in CUB.

Their archive holds ``images_train``, ``parts_train`` and the same of val and test. A mask is a PNG with part indices
1..10, and nothing says which index is which part. CUB's own keypoints do: a mask's left wing is the index that the
keypoint "left wing" lies on. Each image is looked up in CUB by name and by content, so that it is used from there,
with its keypoints, box and figure-ground mask, and is not trained on and measured on alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from coarseparts.data.formats.annotation import Annotation
from coarseparts.data.formats.part_files import find_part_masks
from coarseparts.data.formats.part_masks import check_indices, read_part_mask
from coarseparts.data.images import decode, list_images, opened, probe, stem
from coarseparts.data.prepare.archives import SPLITS
from coarseparts.data.prepare.output import Item, Made
from coarseparts.data.prepare.pascal_birds import png
from coarseparts.data.synthetic.anatomy import PARTS
from coarseparts.labels.schema import IGNORE
from coarseparts.system.problems import BadInput, Problem

KEYPOINT_PART = {
    "beak": "beak",
    "crown": "head",
    "forehead": "head",
    "left eye": "left_eye",
    "left leg": "left_leg",
    "left wing": "left_wing",
    "right eye": "right_eye",
    "right leg": "right_leg",
    "right wing": "right_wing",
    "tail": "tail",
    "belly": "torso",
    "breast": "torso",
}
"""The part that each of CUB's keypoints lies on, where that is beyond doubt (a nape is neck, a back may be wing)."""

DECIDED = 0.1
"""Shares of keypoints by which an order of parts has to be better than any other with two of them exchanged."""

ALIKE = 8
"""Grey levels that the pixels of an image may differ by on average when it was compressed once more."""

FOLDER, IN_PLACE, CROPS_IN_PLACE = "cub_part_masks", "cub_parts_in_place", "pascal_in_place"


@dataclass(frozen=True)
class Pair:
    """An image of the archive and its part mask."""

    split: str
    image: Path
    mask: Path

    @property
    def name(self) -> str:
        """Its item's name."""
        return f"{self.split}/{self.image.name}"


def find_pairs(folder: Path) -> tuple[list[Pair], list[Problem]]:
    """Images and masks of all splits; what lacks the other is a problem."""
    pairs: list[Pair] = []
    problems: list[Problem] = []
    for split in SPLITS:
        images, parts = folder / f"images_{split}", folder / f"parts_{split}"
        lacking = [f for f in (images, parts) if not f.is_dir()]
        problems += [Problem(str(f), "is not there", "unpack all of PASCUB's archive") for f in lacking]
        if lacking:
            continue
        masks, wrong = find_part_masks(parts)
        problems += wrong
        found = {stem(name): path for name, path in list_images(images)}
        for name in sorted(found.keys() - masks.keys()):
            message = f"has no part mask in {parts}"
            problems.append(Problem(str(found[name]), message, "unpack the archive again, or remove the image"))
        for name in sorted(masks.keys() - found.keys()):
            message = f"has no image in {images}"
            problems.append(Problem(str(masks[name]), message, "unpack the archive again, or remove the mask"))
        pairs += [Pair(split, found[name], masks[name]) for name in sorted(found.keys() & masks.keys())]
    return pairs, problems


def read_indices(path: Path, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8, 0..10 or 255, of a mask that may be stored in colour, its channels alike. Raises BadInput."""
    with opened(path) as image:
        if image.mode not in ("RGB", "RGBA"):
            channels = None
        else:
            channels = np.asarray(image)[:, :, :3]
    if channels is None:
        return read_part_mask(path, size, PARTS)
    if (channels != channels[:, :, :1]).any():
        message = "is a coloured picture, expected the same part index in every channel"
        raise BadInput(Problem(str(path), message, "unpack PASCUB's archive again"))
    check_indices(path, channels[:, :, 0].astype(np.int64), size, PARTS)
    return np.ascontiguousarray(channels[:, :, 0])


def study_items(pairs: list[Pair], by_name: Mapping[str, tuple[Path, Annotation]]) -> list[Item]:
    """An item for each pair: its mask read, its image compared with CUB's of the same name (``by_name``).

    Facts: ``same``: how they are alike, "bytes", "pixels" or "look" (compressed once more), "" where CUB has none of
    that name or it shows something else; ``size`` (width, height); ``digest`` of the bytes and of the pixels;
    ``votes``: [keypoint's part, index below it] for each visible keypoint that lies on a part.
    """
    items = []
    for pair in pairs:
        path, annotation = by_name.get(pair.image.name, (None, None))
        keypoints = None if annotation is None or annotation.keypoints is None else annotation.keypoints
        settings = ["study", keypoints.tolist() if keypoints is not None else None]
        inputs = (pair.image, pair.mask, *([path] if path is not None else []))
        items.append(Item(f"study/{pair.name}", inputs, partial(study, pair, path, annotation), settings))
    return items


def study(pair: Pair, path: Path | None, annotation: Annotation | None) -> Made:
    """See ``study_items``. Raises BadInput for damaged files and masks that do not fit."""
    problems = []
    indices = None
    size = probe(pair.image)
    try:
        indices = read_indices(pair.mask, size)
    except BadInput as bad:
        problems += bad.problems
    facts: dict[str, Any] = {"same": "", "size": size, "votes": []}
    facts["digest"] = {"bytes": _digest(pair.image.read_bytes()), "pixels": pixel_digest(pair.image)}
    if path is not None and path.is_file():  # a missing one is told with the others of CUB
        if facts["digest"]["bytes"] == _digest(path.read_bytes()):
            facts["same"] = "bytes"
        elif probe(path) == size:
            facts["same"] = _likeness(decode(pair.image)[0], decode(path)[0])
    if indices is None:
        return Made(problems=problems)
    if facts["same"] and annotation is not None:
        facts["votes"] = votes(indices, annotation)
    return Made(facts=facts)


def votes(indices: np.ndarray, annotation: Annotation) -> list[tuple[str, int]]:
    """(part of a visible keypoint, index of the mask below it), where that is a part."""
    found = []
    if annotation.keypoints is not None:
        for name, (x, y, v) in zip(annotation.keypoint_names, annotation.keypoints.tolist(), strict=True):
            inside = 0 <= y < indices.shape[0] and 0 <= x < indices.shape[1]
            if v == 2 and inside and name in KEYPOINT_PART and indices[int(y), int(x)] not in (0, IGNORE):
                found.append((KEYPOINT_PART[name], int(indices[int(y), int(x)])))
    return found


def order_of(votes: list[tuple[str, int]]) -> tuple[tuple[str, ...] | None, float]:
    """The part that each index 1..10 means by the keypoints that lie on it, and the share of keypoints that lie on
    their part then; None where they do not decide it."""
    counts = np.zeros((len(PARTS), len(PARTS)))  # by index, by part
    for part, index in votes:
        counts[index - 1, PARTS.index(part)] += 1
    shares = counts / np.maximum(counts.sum(0), 1)
    from scipy.optimize import linear_sum_assignment  # here, for it takes half a second to import

    rows, columns = linear_sum_assignment(-shares)
    chosen = shares[rows, columns]
    lost = chosen[:, None] + chosen[None] - shares[:, columns] - shares[:, columns].T  # by exchanging two
    np.fill_diagonal(lost, np.inf)
    if lost.min() < DECIDED:
        return None, 0.0
    return tuple(PARTS[column] for column in columns), agreement(votes, tuple(PARTS[column] for column in columns))


def agreement(votes: list[tuple[str, int]], order: tuple[str, ...]) -> float:
    """The share of keypoints that lie on their part where index i means ``order[i - 1]``; nan without keypoints."""
    return sum(order[index - 1] == part for part, index in votes) / len(votes) if votes else float("nan")


def mask_items(
    pairs: list[Pair], names: Mapping[str, str], order: tuple[str, ...], folder: str = IN_PLACE
) -> list[Item]:
    """An item for each pair: its mask with the indices of ``PARTS``. ``names``: by pair, the image of CUB that it is;
    the others are written into ``folder`` by their own name and split."""
    items = []
    for pair in pairs:
        file = f"{folder}/{pair.split}/{pair.image.stem}.png"
        if pair.name in names:
            file = f"{FOLDER}/{stem(names[pair.name])}.png"
        make = partial(rewrite, pair, file, order)
        items.append(Item(f"mask/{file}", (pair.image, pair.mask), make, ["mask", file, order], 20_000))
    return items


def rewrite(pair: Pair, file: str, order: tuple[str, ...]) -> Made:
    """The pair's mask under the name ``file``, with the indices of ``PARTS`` instead of those of ``order``."""
    table = np.arange(256, dtype=np.uint8)
    table[1 : len(order) + 1] = [PARTS.index(name) + 1 for name in order]
    return Made({file: png(table[read_indices(pair.mask, probe(pair.image))])})


def pixel_items(images: Mapping[str, Path], sizes: set[tuple[int, int]]) -> list[Item]:
    """An item for each image: a digest of its pixels where its size is among ``sizes``, else None."""
    wanted = sorted(sizes)

    def make(path: Path) -> Made:
        return Made(facts=pixel_digest(path) if probe(path) in sizes else None)

    return [Item(f"pixels/{name}", (p,), partial(make, p), ["pixels", wanted]) for name, p in images.items()]


def pixel_digest(path: Path) -> str:
    """sha256 of an image's size and decoded pixels. Raises BadInput."""
    image, _ = decode(path)
    return _digest(str(image.shape).encode() + image.tobytes())


def file_digest(path: Path) -> str:
    """sha256 of a file."""
    return _digest(path.read_bytes())


def _likeness(one: np.ndarray, other: np.ndarray) -> str:
    if np.array_equal(one, other):
        return "pixels"
    return "look" if np.abs(one.astype(np.int16) - other).mean() <= ALIKE else ""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
