"""Photographs to part maps at their own size, in files. No training code is needed for it.

Decoding and writing run beside the network. A folder of any size may be divided among processes and machines, and goes
on where it was stopped (``journal``).
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from coarseparts.data import loading
from coarseparts.data.crops import square_crop
from coarseparts.data.images import list_images, read_photograph, stem
from coarseparts.data.loading import Recipe
from coarseparts.data.sample import Sample
from coarseparts.data.source_keys import Crop
from coarseparts.data.source_paths import kind
from coarseparts.data.suffixes import passed_over
from coarseparts.inference.journal import Journal, digest, held, refuse_company
from coarseparts.inference.label_files import Labels, read_labels
from coarseparts.inference.model import Model
from coarseparts.inference.outputs import Outputs, real
from coarseparts.inference.predict import BATCH, Prediction, predict_samples
from coarseparts.inference.tool_exports import ToolExport
from coarseparts.system.locks import Tell, silent
from coarseparts.system.problems import BadInput, Problem, capped, errors, unreadable


@dataclass
class Summary:
    """What ``predict_folder`` did: images written, images that were there before, images left out, and everything
    that was noteworthy; where an ``export`` was written."""

    written: int = 0
    kept: int = 0
    left_out: int = 0
    problems: list[Problem] = field(default_factory=list)
    export: Path | None = None

    @property
    def images(self) -> int:
        """Images found: written, there before, or left out."""
        return self.written + self.kept + self.left_out


@dataclass(frozen=True)
class Opened:
    """An image of ``name`` at ``path``, its labelled objects (the image itself where there is none), and what was
    repaired; ``image`` is None where it cannot be used, as ``problems`` say. ``size``: the photograph's own."""

    name: str
    path: Path
    problems: list[Problem]
    image: np.ndarray | None = None
    samples: list[Sample] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)


Item = TypeVar("Item")
Made = TypeVar("Made")


def predict_folder(
    model: Model,
    images: Path,
    out: Path,
    labels: Path | Mapping[str, Path] | None = None,
    with_overlay: bool = False,
    coco: Path | None = None,
    skip_bad: bool = False,
    progress: Callable[[int, int], None] | None = None,
    shard: tuple[int, int] = (0, 1),
    tell: Tell = silent,
    export: str = "",
) -> Summary:
    """Writes ``out/<stem>.png`` for every image in a folder (or for one image file), as ``Outputs`` describes.

    ``labels``: a COCO file with keypoints, masks or boxes of these images; the posterior uses them, an object each,
    later objects over earlier ones; or files and folders by key as ``label_files.read_labels`` takes them.
    ``with_overlay`` adds ``<stem>.overlay.png``; ``coco`` a COCO file, one annotation per part; ``export`` a file or
    folder in ``out`` for another tool, named as ``formats.registry.WRITERS`` has them.
    ``shard`` (i, n): only every n-th image, from the i-th on (0..n-1); the folder's other images are other processes'.
    What the same model has predicted already of the same image and labels is not predicted again.

    Raises BadInput naming every image and label that cannot be used, before anything is written; with ``skip_bad``
    such images are left out and counted. Raises it, too, where a file to write is one of the images or the labels, or
    is there and not as an earlier call wrote it (a mask drawn or corrected by hand); Busy where another process is
    writing there: the same shard, or one of a division into another number.
    """
    refuse_company(out, shard)
    found = photographs(images, done := Summary())
    _refuse_places(images, out, coco)
    tool = ToolExport(export, out) if export else None
    outputs = Outputs(out, model.schema, with_overlay)
    files = {"coco": labels} if isinstance(labels, Path) else dict(labels or {})
    outputs.refuse_clashes(found, files, coco)
    objects: dict[str, list[Recipe]] = {}
    if files:
        read = read_labels(model.schema, Crop(**model.crop), dict(found), files)
        done.problems += read.problems + label_notes(read, model, images, found, [str(file) for file in files.values()])
        objects = read.objects
    own = found[shard[0] :: shard[1]]
    journal = Journal(out, digest(model, files.values(), with_overlay), shard)
    left = [(name, path) for name, path in own if not journal.has(name, path, outputs.files(name))]
    done.kept = len(own) - len(left)
    outputs.refuse_others((name for name, _ in left), coco)

    def opened(item: tuple[str, Path]) -> Opened:
        return open_photograph(*item, objects.get(item[0], []))

    if not skip_bad:
        refuse_bad(images, left, objects, done.problems, "predicted")
    fast = model.fast

    def save(one: Opened, image: np.ndarray, parts: np.ndarray, shown: list[Prediction]) -> tuple[str, Path]:
        outputs.save(one.name, image, parts, shown, one.size)
        return one.name, one.path

    with held(out, shard, tell), journal, ThreadPoolExecutor(THREADS, "write") as pool:
        writing: deque[Future[tuple[str, Path]]] = deque()

        def settle(most: int) -> None:
            while len(writing) > most:
                journal.add(*writing.popleft().result())
                done.written += 1
                if progress:
                    progress(done.kept + done.left_out + done.written, len(own))

        for group in _groups(_ahead(opened, left), BATCH):
            for each in group:
                done.left_out += each.image is None
                done.problems += each.problems
            predicted = iter(predict_samples(fast, [sample for each in group for sample in each.samples]))
            for each in group:
                if each.image is not None:
                    shown = list(itertools.islice(predicted, len(each.samples)))
                    writing.append(pool.submit(save, each, each.image, outputs.joined(shown), shown))
            settle(BATCH)
        settle(0)
    if progress:
        progress(len(own), len(own))
    done.problems = list(dict.fromkeys(done.problems))
    if own and not done.written + done.kept:
        none = Problem(str(images), f"none of {len(own)} images could be used", "correct the problems above")
        raise BadInput([*capped(errors(done.problems)), none])
    if coco is not None:
        outputs.write_coco(coco, [name for name, _ in own])
    if tool is not None:
        done.export = tool.write(outputs.document(own, grouped=True))
    return done


def refuse_bad(
    images: Path,
    photographs: Iterable[tuple[str, Path]],
    objects: Mapping[str, list[Recipe]],
    problems: Iterable[Problem],
    done: str,
) -> None:
    """A first look at every photograph (name, path) and its labels, so that nothing is half ``done`` when one is bad.
    Raises BadInput with everything that is wrong, errors among ``problems`` included."""
    bad = errors(problems)
    for each in _ahead(lambda item: open_photograph(*item, objects.get(item[0], [])), photographs):
        bad += each.problems if each.image is None else []
    if bad:
        remedy = "correct or remove what is named above; or go on without it: --skip-bad"
        raise BadInput([*capped(dict.fromkeys(bad)), Problem(str(images), f"nothing was {done}", remedy)])


THREADS = max(1, min(8, (os.cpu_count() or 1)))
"""Files that are decoded, and files that are written, at a time."""


def _ahead(make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """What ``make`` says of each item, in order, made by threads a little ahead of the one who asks."""
    with ThreadPoolExecutor(THREADS, "read") as pool:
        coming: deque[Future[Made]] = deque()
        for item in items:
            coming.append(pool.submit(make, item))
            if len(coming) > 2 * BATCH:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def _groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    several = iter(items)
    while group := list(itertools.islice(several, size)):
        yield group


def photographs(images: Path, done: Summary) -> list[tuple[str, Path]]:
    """(name, path) of the image, or of those in the folder. Raises BadInput where there is none; folders below that
    cannot be listed go to ``done``."""
    remedy = "name an image or a folder of images"
    try:
        there = kind(images)
    except OSError as error:
        raise BadInput(unreadable(images, error, "give yourself permission to read it")) from None
    if there == "file":
        return [(images.name, images)]
    if there != "folder":
        raise BadInput(Problem(str(images), "is neither a file nor a folder" if there else "is missing", remedy))

    def add(error: OSError) -> None:
        done.problems.append(unreadable(error.filename, error, "give yourself permission to list the folder"))

    for _, folders, _ in os.walk(images, onerror=add):
        folders[:] = [f for f in folders if not f.startswith(".")]
    found = list_images(images)
    over = passed_over(images)
    if not found:
        none = Problem(str(images), "holds no image (jpg, png, tif, heic, avif, jp2, bmp, webp, gif, ppm)", remedy)
        raise BadInput([*(done.problems or [none]), *over])
    done.problems += over
    return found


def _refuse_places(images: Path, out: Path, coco: Path | None) -> None:
    """Raises BadInput where results would lie among the photographs, or where something else lies in their place."""
    if kind(images) == "folder" and _within(real(out), real(images)):
        message = "is in the folder of the images: the next time, its part maps would be taken for photographs"
        raise BadInput(Problem(str(out), message, "choose a folder elsewhere with --out"))
    if kind(out) not in ("folder", None):
        raise BadInput(Problem(str(out), "is no folder", "name a folder, or one that is to be made, with --out"))
    if coco is not None and kind(coco) not in ("file", None):
        raise BadInput(Problem(str(coco), "is no file", "name a file, or one that is to be made, with --coco"))


def _within(path: Path, folder: Path) -> bool:
    """Whether ``list_images(folder)`` would find what lies in ``path``."""
    return path.is_relative_to(folder) and not any(p.startswith(".") for p in path.relative_to(folder).parts)


def label_notes(
    read: Labels, model: Model, images: Path, photographs: list[tuple[str, Path]], files: list[str]
) -> list[Problem]:
    """What is noteworthy about labels as a whole. Raises BadInput where they are of other images altogether."""
    source, several = " and ".join(files), len(photographs)
    if not read.objects and not errors(read.problems):
        message = f"names none of the {several} images in {images}"
        remedy = "correct its file names (relative to the folder of the images), or leave it out"
        raise BadInput([*read.problems, Problem(source, message, remedy)])
    messages = []
    if read.elsewhere and kind(images) == "folder":
        messages.append((source, f"has labels for {read.elsewhere} images that are not in {images}; they are left out"))
    only_where = "only says where the objects are"
    if not model.has_posterior:
        trained = "this model was trained without a posterior, by another method than em or distillation"
        messages.append((source, f"{only_where}: {trained}"))
    else:
        if read.objects and not read.styles() & set(model.styles):
            known = ", ".join(model.styles)
            messages.append((source, f"has none of the labels that this model knows ({known}): it {only_where}"))
        if 0 < (plain := several - len(read.objects)) < several:
            alone = "the part model predicts them from the image alone"
            messages.append((source, f"has no labels for {plain} of {several} images; {alone}"))
    return [Problem(file, message, "", "note") for file, message in messages]


def open_photograph(name: str, path: Path, objects: list[Recipe]) -> Opened:
    """An image and its labels, or everything that is wrong with them."""
    try:
        photograph = read_photograph(path)
        image, problems = photograph.array, list(photograph.problems)
    except BadInput as bad:
        return Opened(name, path, bad.problems)
    samples = []
    for recipe in objects:
        try:
            sample, told = loading.load(recipe, stem(name))
            problems += told
            square_crop(sample.crop, image.shape[1], image.shape[0])  # whether it can be cropped
            samples.append(sample)
        except BadInput as bad:
            problems += bad.problems
        except ValueError as error:
            where = recipe.annotation
            file, at = (where.file, f"{where.where}: ") if where is not None else (str(path), "")
            problems.append(Problem(file, f"{at}{error}", "correct the object's labels or remove it"))
    problems = list(dict.fromkeys(problems))
    if errors(problems):
        return Opened(name, path, errors(problems))
    return Opened(name, path, problems, image, samples or [Sample(stem(name), image)], photograph.size)
