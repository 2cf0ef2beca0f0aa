"""A record: one sample of a data set, not yet decoded; made of an object's labels as files give them, or of a number of
a synthetic world."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from coarseparts.data import loading
from coarseparts.data.dataset_file import DatasetFile
from coarseparts.data.formats.annotation import Annotation
from coarseparts.data.images import MAX_PIXELS, allowed, stem
from coarseparts.data.loading import Recipe
from coarseparts.data.sample import Sample
from coarseparts.data.source_keys import Crop
from coarseparts.data.synthetic import WORLDS, boxes_of_parts
from coarseparts.labels import STYLES
from coarseparts.labels.given import fingerprint
from coarseparts.labels.keypoints import in_schema
from coarseparts.labels.schema import Schema
from coarseparts.system.problems import Problem
from coarseparts.system.text import readable


@dataclass(frozen=True)
class Record:
    """One sample of a dataset, not yet decoded.

    ``name``: unique over the dataset; ``source``: position in ``DatasetFile.sources``; ``has``: which of "parts"
    and the label styles it carries; ``fingerprint``: changes whenever ``load`` would return
    something else. A record of a synthetic source has no ``image`` but ``synthetic`` = (world, seed, number): rendering
    many at once (``WORLDS[world].render(count, size, seed, first)``, its keypoints through ``in_schema``) is much
    faster than one ``load`` each, and gives the same.
    """

    name: str
    source: int
    split: str
    image: Path | None
    has: frozenset[str]
    fingerprint: str
    schema: Schema = field(repr=False)
    synthetic: tuple[str, int, int] | None = None
    recipe: Recipe | None = field(default=None, repr=False)
    size: int = field(default=0, repr=False)  # of synthetic images

    @property
    def shown(self) -> object:
        """What stands for its image in an account."""
        return self.image or self.synthetic

    def load(self) -> tuple[Sample, list[Problem]]:
        """Decode it: the sample in native pixels, and what had to be repaired. Raises BadInput with everything that is
        wrong with its files."""
        if self.recipe is not None:
            return loading.load(self.recipe, self.name)
        return next(drawn([self], self.size)), []


def drawn(records: Sequence[Record], size: int) -> Iterator[Sample]:
    """The samples of synthetic images of consecutive numbers, drawn together at ``size`` pixels."""
    assert records[0].synthetic is not None
    name, seed, first = records[0].synthetic
    world = WORLDS[name]
    found = world.render(len(records), size=size, seed=seed, first=first)
    found["part_boxes"] = boxes_of_parts(found["parts"], world.schema)
    found["keypoints"] = in_schema(found["keypoints"], world.schema.keypoints, records[0].schema)
    for i, record in enumerate(records):
        parts = found["parts"][i] if "parts" in record.has else None
        labels = {style: found[style][i] for style in STYLES if style in record.has}
        yield Sample(record.name, found["image"][i], parts, labels)


def record_of(dataset: DatasetFile, schema: Schema, i: int, found: Annotation) -> Record | None:
    """The record of an object of the source ``i``, whose name is not yet unique; None when nothing is left of its
    labels."""
    source = dataset.sources[i]
    assert source.images is not None
    use = frozenset(STYLES if source.use is None else source.use)
    has = found.carries(schema.keypoints) & use | ({"parts"} if found.has_parts else set())
    if not has and not source.unlabelled:
        return None
    unknown = source.unlabelled_keypoints == "unknown"
    used = frozenset(has - {"parts"})
    recipe = Recipe(source.images / found.image, found, schema, dataset.crop, used, unknown, source.visible)
    name = readable(stem(found.image)) + ("" if found.alone else f"-{found.object_id}")
    return Record(name, i, source.split, recipe.image, frozenset(has), _fingerprint(recipe), schema, recipe=recipe)


@lru_cache(8)
def _named(schema: Schema, crop: Crop) -> str:
    return schema.model_dump_json() + crop.model_dump_json()


def _fingerprint(recipe: Recipe) -> str:
    """sha256 over the identity of the files (path, size, time of last change) and the content of the annotations."""
    found = recipe.annotation
    said = [recipe.image, found.part_files, found.part_segments, found.colours, found.labels, found.alone]
    said += [found.owned] if found.owned else []
    said += [found.neighbours] if found.neighbours else []
    how: list[object] = [sorted(recipe.use), recipe.unlabelled_unknown, recipe.visible]
    if allowed() != MAX_PIXELS:  # what is larger is read at a reduced size
        how.append(allowed())
    return hashlib.sha256(
        fingerprint([said, how, _named(recipe.schema, recipe.crop)]).encode(errors="surrogatepass")
    ).hexdigest()
