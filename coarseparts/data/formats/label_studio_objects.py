"""Which regions of a Label Studio annotation are one object, and what is said of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from pycocotools import mask as coco_mask

from coarseparts.data.formats.document_builder import DocumentBuilder, Keypoints, rle
from coarseparts.data.formats.drawing import draw
from coarseparts.data.formats.label_studio_regions import AGAIN, BOX, KEYPOINT, MASK, POLYGON, Drawn, Region
from coarseparts.data.formats.shapes import Figure, holders
from coarseparts.system.text import abridged, listed

NAMELESS = "object"
"""The category of keypoints that no region holds together."""

APART = "put each object's keypoints under a region of it (parent), or tie them by relations, and export again"


def add_objects(found: Drawn, image: int, name: str, keypoints: tuple[str, ...], builder: DocumentBuilder) -> None:
    """Adds what was drawn on an image: regions that parents or relations tie are one object. Where several figures have
    one label, each keypoint that nothing ties belongs to the one figure that it lies in; else all of them are one
    object's, but where a name comes twice, which is a problem, and they are left out. ``keypoints``: the names that the
    export has."""
    objects = _tied(found, builder)
    loose = [one[0] for one in objects if len(one) == 1 and one[0].kind == KEYPOINT]
    objects = [one for one in objects if len(one) > 1 or one[0].kind != KEYPOINT]
    twice = [label for label, n in Counter(label for point in loose for label in point.labels).items() if n > 1]
    if loose and _placed(loose, objects):
        builder.pass_over("images have keypoints that nothing ties: they belong to the figures in which they lie")
    elif twice:
        came = f"image {abridged(name, 200)}: the keypoints {listed(map(abridged, twice))} stand several times"
        builder.say(f"{came}, and nothing says which of them are one object; left out", APART)
    elif loose:
        objects.append(loose)
    for one in objects:
        try:
            _add(one, image, name, keypoints, builder)
        except ValueError as error:
            builder.say(f"image {abridged(name, 200)}, region {abridged(one[0].id)}: {error}", AGAIN)


def _tied(found: Drawn, builder: DocumentBuilder) -> list[list[Region]]:
    """The regions, those together that parents or relations tie, in the order of the first of each."""
    regions = found.regions
    above: dict[str, str] = {key: key for key in regions}

    def root(key: str) -> str:
        while above[key] != key:
            above[key] = key = above[above[key]]
        return key

    ties = [(region.id, region.parent) for region in regions.values() if region.parent in regions]
    for a, b in found.relations:
        if a not in regions or b not in regions:
            continue
        one, other = regions[a], regions[b]
        if one.kind != KEYPOINT and one.kind == other.kind == BOX and one.labels == other.labels:
            builder.pass_over("relations tie two boxes of one label: they are taken for two objects")
        else:
            ties.append((a, b))
    for a, b in ties:
        above[root(b)] = root(a)  # type: ignore[arg-type]
    together: dict[str, list[Region]] = defaultdict(list)
    for key, region in regions.items():
        together[root(key)].append(region)
    return list(together.values())


def _placed(loose: list[Region], objects: list[list[Region]]) -> bool:
    """Puts each keypoint into the object in whose figure it lies; whether there is one way to do so."""
    figures = [
        Figure(number, label, region.kind == BOX, extent)
        for number, one in enumerate(objects)
        for region in one
        if region.kind != KEYPOINT and (extent := region.extent) is not None
        for label in region.labels
    ]
    found = holders([(point.labels, point.value) for point in loose], figures)
    for number, point in zip(found, loose, strict=False):
        objects[number].append(point)
    return bool(found)


def _add(one: list[Region], image: int, name: str, names: tuple[str, ...], builder: DocumentBuilder) -> None:
    """Adds an object: an annotation for each label of its figures, the keypoints with the one that holds them."""
    points, category = _keypoints(one, name, builder), _category(one)
    of_label: dict[str, list[Region]] = defaultdict(list)
    for region in one:
        if region.kind == KEYPOINT or region.value is None:
            continue
        for label in region.labels:
            of_label[label].append(region)
        if not region.labels:
            builder.pass_over("boxes, polygons or masks have no label: passed over", "give each region a label")
        elif len(region.labels) > 1:
            builder.pass_over("regions have several labels: each is used")
    labels: list[tuple[str, dict[str, Any]]] = []
    for label, regions in of_label.items():
        labels += [(label, said) for said in _said(regions)]
    if points:
        if [label for label, _ in labels].count(category) != 1:
            labels.append((category, {}))
        next(said for label, said in reversed(labels) if label == category)["keypoints"] = points
    group = one[0].id if len(labels) > 1 else None
    for label, said in labels:
        builder.add(image, label, **said, group=group)
    if points:
        builder.category(category, names)


def _keypoints(one: list[Region], name: str, builder: DocumentBuilder) -> Keypoints:
    """The keypoints of an object; those that it has twice are a problem and left out."""
    found: Keypoints = {}
    twice = set()
    for region in one:
        for label in region.labels if region.kind == KEYPOINT else ():
            if label in found:
                twice.add(label)
            found[label] = (*region.value, 1 if region.hidden else 2)
    for label in sorted(twice):
        del found[label]
        message = f"image {abridged(name, 200)}: an object has the keypoint {abridged(label)} several times; left out"
        builder.say(message, "keep one of them in each object")
    return found


def _category(one: list[Region]) -> str:
    """The label of the figures that stand above all others of an object, or of the boxes among them, where they have
    one label; else NAMELESS."""
    keys = {region.id for region in one}
    top = [region for region in one if region.kind != KEYPOINT and region.parent not in keys]
    for figures in (top, [region for region in top if region.kind == BOX]):
        labels = {label for region in figures for label in region.labels}
        if len(labels) == 1:
            return labels.pop()
    return NAMELESS


def _said(regions: Iterable[Region]) -> list[dict[str, Any]]:
    """The labels of an object's figures of one name: their outlines are one mask, each further box stands alone."""
    outlines = [region for region in regions if region.kind in (POLYGON, MASK)]
    boxes = [region for region in regions if region.kind == BOX]
    first: dict[str, Any] = {}
    if outlines:
        first["segmentation"] = _union(outlines)
    if boxes:
        first["bbox"] = boxes[0].value
    scores = [region.score for region in (*outlines, *boxes) if region.score is not None]
    if scores:
        first["score"] = min(scores)
    return [first, *({"bbox": region.value} for region in boxes[1:])]


def _union(outlines: list[Region]) -> Any:
    """One segmentation of several outlines: polygons as they are, masks or both as one mask."""
    masks = [region.value for region in outlines if region.kind == MASK]
    polygons = [region.value for region in outlines if region.kind == POLYGON]
    if not masks:
        return polygons
    if polygons:
        height, width = masks[0]["size"]
        masks.append(rle(draw(polygons, (width, height))))
    if len(masks) == 1:
        return masks[0]
    merged = coco_mask.merge([{**mask, "counts": mask["counts"].encode()} for mask in masks])
    return {"size": masks[0]["size"], "counts": merged["counts"].decode()}
