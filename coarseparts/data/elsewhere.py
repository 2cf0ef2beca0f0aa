"""Photographs that a source's labels name and another source has: files of labels and folders of masks may be of
several folders of photographs, train and val."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from coarseparts.data.dataset_file import DatasetFile
from coarseparts.data.images import image_names, stem
from coarseparts.data.namesakes import meant, meant_by_masks
from coarseparts.data.source_keys import Source

Elsewhere = Mapping[str, Collection[str]]
"""By the path of labels: the photographs, relative to their folders, of other sources that name it, too."""


def elsewhere(dataset: DatasetFile, i: int) -> Elsewhere:
    """The photographs of other folders whose sources share labels with the source ``i``."""
    source, found = dataset.sources[i], dict[str, set[str]]()
    for other in dataset.sources:
        shared = _paths(source) & _paths(other)
        if not shared or other.images is None or source.images is None:
            continue
        if os.path.realpath(other.images) != os.path.realpath(source.images):
            names = image_names(other.images)
            for path in shared:
                found.setdefault(path, set()).update(names)
    return found


def named_elsewhere(files: Mapping[str, str], others: Elsewhere) -> set[str]:
    """Those of images, each with the file of labels that names it, which another source of that file has."""
    found = set()
    for file, there in others.items():
        names = [name for name, own in files.items() if own == file]
        found |= {name for name in names if name in there} | meant(names, there)[0].keys()
    return found


def masked_elsewhere(masks: Collection[str], folder: object, others: Elsewhere) -> set[str]:
    """The stems of ``masks`` in a folder that are of another source's photographs."""
    there = others.get(str(folder), ())
    stems = {stem(name) for name in there}
    return {name for name in masks if name in stems} | meant_by_masks(masks, there).keys()


def _paths(source: Source) -> set[str]:
    each = (source.labels, source.part_masks, source.part_coco, *source.coco_files, *source.by_style.values())
    return {str(path) for path in each if path is not None}
