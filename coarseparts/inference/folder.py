"""Photographs to part maps at their own size, in files. No training code is needed for it.

Decoding and writing run beside the network. A folder of any size may be divided among processes and machines, and goes
on where it was stopped (``Journal``).
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import os
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO, TypeVar

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pycocotools import mask as rle

from coarseparts.data.crops import square_crop
from coarseparts.data.dataset_file import Crop, DatasetFile, Source, kind
from coarseparts.data.formats.part_masks import OVERLAY
from coarseparts.data.images import decode, list_images, stem
from coarseparts.data.problems import BadInput, Problem, capped, counted, errors
from coarseparts.data.records import ABSENT, Record, read_dataset
from coarseparts.data.sample import Sample
from coarseparts.inference.model import Model
from coarseparts.inference.predict import BATCH, folded, predict_samples
from coarseparts.labels.schema import Schema
from coarseparts.report.overlay import overlay
from coarseparts.report.palette import colours
from coarseparts.system import limits
from coarseparts.system.errors import Busy, RunError
from coarseparts.system.locks import Tell, hold, holder, silent
from coarseparts.system.text import csv_cell
from coarseparts.training.claims import explained, write


@dataclass
class Summary:
    """What ``predict_folder`` did: images written, images that were there before, images left out, and everything
    that was noteworthy."""

    written: int = 0
    kept: int = 0
    left_out: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def images(self) -> int:
        """Images found: written, there before, or left out."""
        return self.written + self.kept + self.left_out


Opened = tuple[np.ndarray, list[Sample], list[Problem]]
"""An image, its labelled objects (the image itself where there is none), and what was repaired."""

Item = TypeVar("Item")
Made = TypeVar("Made")


def predict_folder(
    model: Model,
    images: Path,
    out: Path,
    labels: Path | None = None,
    with_overlay: bool = False,
    coco: Path | None = None,
    skip_bad: bool = False,
    progress: Callable[[int, int], None] | None = None,
    shard: tuple[int, int] = (0, 1),
    part_boxes: Path | None = None,
    tell: Tell = silent,
) -> Summary:
    """Writes ``out/<stem>.png`` for every image in a folder (or for one image file).

    Part indices 0..P at the image's own size, with a palette so that any viewer shows colours. Of parts that overlap it
    writes a mask each, ``out/<part>/<stem>.png`` of 0 and 255, which a dataset file reads again. ``labels``: a COCO
    file with keypoints, masks or boxes of these images; the posterior uses them, an object each, later objects over
    earlier ones. ``part_boxes``: a COCO file with boxes of the parts (a category each), likewise. ``with_overlay``
    adds ``<stem>.overlay.png``; ``coco`` a COCO file, one annotation per part.
    ``shard`` (i, n): only every n-th image, from the i-th on (0..n-1); the folder's other images are other processes'.
    What the same model has predicted already of the same image and labels is not predicted again.

    Raises BadInput naming every image and label that cannot be used, before anything is written; with ``skip_bad``
    such images are left out and counted. Raises it, too, where a file to write is one of the images or the labels, or
    is there and not as an earlier call wrote it (a mask drawn or corrected by hand); Busy where another process is
    writing there: the same shard, or one of a division into another number.
    """
    _refuse_company(out, shard)
    found = _photographs(images, done := Summary())
    if kind(images) == "folder" and _within(_real(out), _real(images)):
        message = "is in the folder of the images: the next time, its part maps would be taken for photographs"
        raise BadInput(Problem(str(out), message, "choose a folder elsewhere with --out"))
    if kind(out) not in ("folder", None):
        raise BadInput(Problem(str(out), "is no folder", "name a folder, or one that is to be made, with --out"))
    if coco is not None and kind(coco) not in ("file", None):
        raise BadInput(Problem(str(coco), "is no file", "name a file, or one that is to be made, with --coco"))
    given = {"--labels": labels, "--part-boxes": part_boxes}
    files = {option: file for option, file in given.items() if file is not None}
    _refuse_targets(found, _maps_of(model, out), out, files, with_overlay, coco)
    objects = _labelled_objects(model, images, files, done) if files else {}
    plain = sum(_real(path) not in objects for _, path in found) if files else 0
    source = " and ".join(str(file) for file in files.values())
    if files and not objects and not errors(done.problems):
        message = f"names none of the {len(found)} images in {images}"
        remedy = "correct its file names (relative to the folder of the images), or leave it out"
        raise BadInput([*done.problems, Problem(source, message, remedy)])
    if files and not model.has_posterior:
        message = (
            "only says where the objects are: this model was trained without a posterior, by another method than em"
        )
        done.problems.append(Problem(source, message, "", "note"))
    elif files and 0 < plain < len(found):
        message = f"has no labels for {plain} of {len(found)} images; the part model predicts them from the image alone"
        done.problems.append(Problem(source, message, "", "note"))
    own = found[shard[0] :: shard[1]]
    journal = Journal(out, _digest(model, files.values(), with_overlay), shard)
    left = [
        (name, path) for name, path in own if not journal.has(name, path, _files_of(model, out, name, with_overlay))
    ]
    done.kept = len(own) - len(left)
    _refuse_others(file for name, _ in left for file in _files_of(model, out, name, with_overlay))

    def tried(item: tuple[str, Path]) -> tuple[str, Path, Opened | BadInput]:
        try:
            return *item, _opened(*item, objects)
        except BadInput as error:
            return *item, error

    if not skip_bad:  # a first look at every file, so that nothing is half done when one is bad
        bad = errors(done.problems)
        for _, _, opened in _ahead(tried, left):
            bad += opened.problems if isinstance(opened, BadInput) else []
        if bad:
            raise BadInput(capped(dict.fromkeys(bad)))
    fast = folded(model)
    palette = np.concatenate([[[0, 0, 0]], colours(len(model.schema.parts))]).astype(np.uint8)

    def save(name: str, path: Path, image: np.ndarray, parts: np.ndarray) -> tuple[str, Path]:
        for index, folder in enumerate(_maps_of(model, out), 1):
            if model.schema.overlapping:
                _save(_map_of(folder, name), np.where(model.schema.shows(parts, index), 255, 0).astype(np.uint8))
            else:
                write_part_map(_map_of(folder, name), parts, palette)
        if with_overlay:
            picture = overlay(image, parts, palette[1:], overlapping=model.schema.overlapping)
            _save(_overlay_of(out, name), picture)
        return name, path

    with _held(out, shard, tell), journal, ThreadPoolExecutor(THREADS, "write") as pool:
        writing: deque[Future[tuple[str, Path]]] = deque()

        def settle(most: int) -> None:
            while len(writing) > most:
                journal.add(*writing.popleft().result())
                done.written += 1
                if progress:
                    progress(done.kept + done.left_out + done.written, len(own))

        for group in _groups(_ahead(tried, left), BATCH):
            usable = []
            for name, path, opened in group:
                if isinstance(opened, BadInput):
                    done.left_out += 1
                    done.problems += opened.problems
                else:
                    done.problems += opened[2]
                    usable.append((name, path, opened[0], opened[1]))
            said = iter(predict_samples(fast, [sample for *_, samples in usable for sample in samples]))
            for name, path, image, samples in usable:
                parts = np.zeros(image.shape[:2], np.uint8)
                for prediction in itertools.islice(said, len(samples)):
                    if model.schema.overlapping:
                        parts = parts | prediction
                    else:
                        parts = np.where(prediction > 0, prediction, parts)
                writing.append(pool.submit(save, name, path, image, parts))
            settle(BATCH)
        settle(0)
    if progress:
        progress(len(own), len(own))
    done.problems = list(dict.fromkeys(done.problems))
    if own and not done.written + done.kept:
        none = Problem(str(images), f"none of {len(own)} images could be used", "correct the problems above")
        raise BadInput([*capped(errors(done.problems)), none])
    if coco is not None:
        whole = (item for item in own if _files_of(model, out, item[0], False)[0].is_file())
        write(coco, json.dumps(to_coco(((name, _read_back(model, out, name)) for name, _ in whole), model.schema)))
    return done


THREADS = max(1, min(8, (os.cpu_count() or 1)))
"""Files that are decoded, and files that are written, at a time."""


def _lock(out: Path, shard: tuple[int, int]) -> Path:
    return out / f".predicted-{shard[0] + 1}-of-{shard[1]}.lock"


def _refuse_company(out: Path, shard: tuple[int, int]) -> None:
    """Raises Busy where another process writes what this one is going to write."""
    for lock in sorted(out.glob(".predicted-*.lock")) if out.is_dir() else []:
        same_division = lock.name.endswith(f"-of-{shard[1]}.lock")
        if (lock == _lock(out, shard) or not same_division) and (by := holder(lock)):
            raise Busy(f"{by}; wait for it, or take another --out")


@contextmanager
def _held(out: Path, shard: tuple[int, int], tell: Tell) -> Iterator[None]:
    """The folder, made if need be, with this shard in it ours alone."""
    with ExitStack() as held:
        try:
            out.mkdir(parents=True, exist_ok=True)
            held.enter_context(hold(_lock(out, shard), tell=tell))
        except OSError as error:
            raise explained(out, error) from error
        yield


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


class Journal:
    """What has been predicted into a folder: ``.predicted-I-of-N.csv`` there, a line per image, written as it is done.

    Every shard has its own and reads all of them. An image counts as done if its size and time of change are as they
    were, everything that it gives is there, and model, labels and options (``digest``) are the same.
    """

    def __init__(self, out: Path, digest: str, shard: tuple[int, int]):
        self.path = out / f".predicted-{shard[0] + 1}-of-{shard[1]}.csv"
        self.digest = digest
        self._known: dict[str, tuple[str, str]] = {}
        self._file: TextIO | None = None
        for path in sorted(out.glob(".predicted-*.csv")) if out.is_dir() else []:
            with suppress(OSError, csv.Error), open(path, encoding="utf-8", errors="replace", newline="") as file:
                for row in csv.reader(file):
                    if len(row) == 4 and row[0] == digest:  # a line that was cut off is not done
                        self._known[row[1]] = (row[2], row[3])

    def has(self, name: str, path: Path, files: Iterable[Path]) -> bool:
        """Whether this image needs no prediction."""
        known = self._known.get(csv_cell(name))
        return known is not None and known == _state(path) and all(file.is_file() for file in files)

    def add(self, name: str, path: Path) -> None:
        """Everything of this image is written."""
        assert self._file is not None
        state = _state(path)
        if state is None:  # removed meanwhile
            return
        try:
            csv.writer(self._file, lineterminator="\n").writerow([self.digest, csv_cell(name), *state])
            self._file.flush()
        except OSError as error:
            raise explained(self.path, error) from error

    def __enter__(self) -> Journal:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "a", encoding="utf-8", newline="")
            if self._file.tell():
                self._file.write("\n")  # ends a line that was cut off
        except OSError as error:
            raise explained(self.path, error) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            try:
                self._file.close()  # writes what is left
            except OSError as error:
                raise explained(self.path, error) from error


def _state(path: Path) -> tuple[str, str] | None:
    """Size and time of change; None where there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return str(found.st_size), str(found.st_mtime_ns)


def _digest(model: Model, labels: Iterable[Path], with_overlay: bool) -> str:
    """Tells whether a part map would come out the same: of the model's weights, settings and names, and the labels."""
    found = hashlib.sha256(repr((model.schema, model.settings, model.styles, model.size, model.crop)).encode())
    modules = [model.networks.part_model, *([model.networks.posterior] if model.has_posterior else [])]
    for module in modules:
        for tensor in module.state_dict().values():
            found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    for file in labels:
        found.update(file.read_bytes())
    found.update(bytes([with_overlay]))
    return found.hexdigest()[:16]


def _files_of(model: Model, out: Path, name: str, with_overlay: bool) -> list[Path]:
    maps = [_map_of(folder, name) for folder in _maps_of(model, out)]
    return maps + ([_overlay_of(out, name)] if with_overlay else [])


def _read_back(model: Model, out: Path, name: str) -> np.ndarray:
    """The part map (or bit field) that was written for an image."""
    layers = []
    for file in _files_of(model, out, name, False):
        try:
            with Image.open(file) as picture:
                layers.append(np.asarray(picture))
        except (OSError, ValueError, SyntaxError) as error:
            if limits.is_machines(error):
                raise
            message = f"cannot be read ({' '.join(str(error).split())})"
            raise BadInput(Problem(str(file), message, "delete it and run the same command again")) from error
    if not model.schema.overlapping:
        return layers[0]
    return np.bitwise_or.reduce([(layer > 0).astype(np.uint8) << p for p, layer in enumerate(layers)])


SEAL = "coarseparts"
"""A text in every PNG that is written: a hash of its pixels, by which it is told from what others draw or change."""


def _sealed(path: Path, picture: Image.Image) -> None:
    said = PngInfo()
    said.add_text(SEAL, _pixels(picture))
    write(path, lambda file: picture.save(file, "PNG", pnginfo=said))


def _pixels(picture: Image.Image) -> str:
    return hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).hexdigest()[:16]


def _as_written(path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            return getattr(picture, "text", {}).get(SEAL) == _pixels(picture)
    except (OSError, ValueError, SyntaxError) as error:
        if limits.is_machines(error):
            raise
        return False


def _save(path: Path, array: np.ndarray) -> None:
    _sealed(path, Image.fromarray(array))


def _photographs(images: Path, done: Summary) -> list[tuple[str, Path]]:
    """(name, path) of the image, or of those in the folder. Raises BadInput where there is none; folders below that
    cannot be listed go to ``done``."""
    remedy = "name an image or a folder of images"
    try:
        there = kind(images)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise BadInput(Problem(str(images), message, "give yourself permission to read it")) from None
    if there == "file":
        return [(images.name, images)]
    if there != "folder":
        raise BadInput(Problem(str(images), "is neither a file nor a folder" if there else "is missing", remedy))

    def add(error: OSError) -> None:
        message = f"cannot be read: {error.strerror}"
        done.problems.append(Problem(str(error.filename), message, "give yourself permission to list the folder"))

    for _, folders, _ in os.walk(images, onerror=add):
        folders[:] = [f for f in folders if not f.startswith(".")]
    found = list_images(images)
    if not found:
        none = Problem(str(images), "holds no image (jpg, png, tif, bmp, webp, gif, ppm)", remedy)
        raise BadInput(done.problems or none)
    return found


def _maps_of(model: Model, out: Path) -> list[Path]:
    """The folders that part maps are written to: one, or one for each of the parts that overlap."""
    return [out / part for part in model.schema.parts] if model.schema.overlapping else [out]


def _map_of(out: Path, name: str) -> Path:
    return out / f"{stem(name)}.png"


def _overlay_of(out: Path, name: str) -> Path:
    return out / f"{stem(name)}{OVERLAY}"


def _refuse_targets(
    found: list[tuple[str, Path]],
    folders: list[Path],
    out: Path,
    labels: Mapping[str, Path],
    with_overlay: bool,
    coco: Path | None,
) -> None:
    """Raises BadInput naming every file to write that is an image or the labels, or that is to be written twice."""
    writers: dict[Path, list[str]] = defaultdict(list)  # by target: what is to be written there
    for name, path in found:
        for folder in folders:
            writers[_map_of(folder, name)].append(f"the part map of {path}")
        if with_overlay:
            writers[_overlay_of(out, name)].append(f"the overlay of {path}")
    if coco is not None:
        writers[coco].append("the COCO file of --coco")
    used = {_place(path): "one of the images" for _, path in found}
    used |= {_place(path): f"the file of {option}" for option, path in labels.items()}
    inodes = {_inode(path) for path in [*(path for _, path in found), *labels.values()]}
    there: dict[Path, list[str]] = defaultdict(list)
    problems = []
    for target, what in writers.items():
        there[_place(target)] += what
        known = used.get(_place(target))
        if known is None and (inode := _inode(target)) is not None and inode in inodes:
            known = "the same file as one of the images or as the labels"  # other spelling, or a link
        if known is not None:
            message = f"is {known} and would be overwritten by {' and '.join(what)}"
            problems.append(
                Problem(str(target), message, "choose a folder without images with --out, or another --coco")
            )
    for target, what in there.items():
        if len(what) > 1:
            message = f"would be written {len(what)} times: {', '.join(what)}"
            problems.append(Problem(str(target), message, "rename one of the images, or choose another --coco"))
    if problems:
        raise BadInput(capped(problems))


def _within(path: Path, folder: Path) -> bool:
    """Whether ``list_images(folder)`` would find what lies in ``path``."""
    return path.is_relative_to(folder) and not any(p.startswith(".") for p in path.relative_to(folder).parts)


def _refuse_others(files: Iterable[Path]) -> None:
    """Raises BadInput naming every file that is there and not as ``predict`` wrote it: drawn or corrected by hand."""
    problems = [
        Problem(
            str(file),
            "was not written by predict, or was changed since, and would be overwritten",
            "move it away, or choose another folder with --out",
        )
        for file in files
        if os.path.lexists(file) and not _as_written(file)
    ]
    if problems:
        raise BadInput(capped(problems))


def _real(path: Path) -> Path:
    """Where a path leads, absolute; a link that leads in a circle leads to itself (``Path.resolve`` would fail)."""
    return Path(os.path.realpath(path))


def _place(path: Path) -> Path:
    """Where a file lies, the same however its folder is spelled; a link stays a link."""
    return _real(path.parent) / path.name


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _opened(name: str, path: Path, objects: dict[Path, list[Record]]) -> Opened:
    """Raises BadInput with everything that is wrong with an image and its labels."""
    image, problems = decode(path)
    samples = []
    records = objects.get(_real(path), [])
    for record in records:
        try:
            sample, told = record.load()
            problems += told
            square_crop(sample.crop, image.shape[1], image.shape[0])  # whether it can be cropped
            samples.append(sample)
        except BadInput as bad:
            problems += bad.problems
        except ValueError as error:
            where = record.recipe.annotation if record.recipe is not None else None
            file, at = (where.file, f"{where.where}: ") if where is not None else (str(path), "")
            problems.append(Problem(file, f"{at}{error}", "correct the object's labels or remove it"))
    problems = list(dict.fromkeys(problems))
    if errors(problems):
        raise BadInput(errors(problems))
    return image, samples or [Sample(stem(name), image)], problems


def _labelled_objects(
    model: Model, images: Path, labels: Mapping[str, Path], done: Summary
) -> dict[Path, list[Record]]:
    """The objects that COCO files name in these images, by image file; what is wrong with them goes to ``done``."""
    for option, file in labels.items():
        try:
            there = kind(file)
        except OSError as error:
            message = f"cannot be read: {error.strerror}"
            raise BadInput(Problem(str(file), message, "give yourself permission to read it")) from None
        if there != "file":
            message = "is no file" if there else "is missing"
            raise BadInput(Problem(str(file), message, f"name a COCO file with {option}"))
    first = next(iter(labels.values()))
    single = kind(images) == "file"
    folder = images.parent if single else images
    dataset = DatasetFile(
        parts=model.schema.parts,
        overlapping=model.schema.overlapping,
        mirror=model.schema.mirror,
        keypoints=model.schema.keypoints or None,
        keypoint_mirror=model.schema.keypoint_mirror,
        crop=Crop(**model.crop),
        sources=(
            Source(split="test", images=folder, coco=labels.get("--labels"), part_boxes=labels.get("--part-boxes")),
        ),
    )
    dataset._path = first  # there is no dataset file: what is wrong with names is wrong with the labels
    records, problems, _ = read_dataset(dataset)
    elsewhere = [p for p in problems if p.remedy == ABSENT and "(there is" not in p.message]  # no slip of spelling
    problems = [p for p in problems if p not in elsewhere]
    if elsewhere:
        message = f"has labels for {counted(elsewhere)} images that are not in {folder}; they are left out"
        done.problems.append(Problem(str(first), message, "", "note"))
    wanted = {_real(images)} if single else None
    untrue = [p for p in problems if p.severity == "note" and p.file == str(folder)]  # "have no labels, are left out"
    done.problems += [p for p in problems if p.severity == "error" or (wanted is None and p not in untrue)]
    if records and model.has_posterior and not any(record.has & set(model.styles) for record in records):
        message = (
            f"has none of the labels that this model knows ({', '.join(model.styles)}): it only says where objects are"
        )
        done.problems.append(Problem(str(first), message, "", "note"))
    objects: dict[Path, list[Record]] = {}
    for record in records:
        if record.image is not None and (wanted is None or _real(record.image) in wanted):
            objects.setdefault(_real(record.image), []).append(record)
    return objects


def write_part_map(path: Path, parts: np.ndarray, palette: np.ndarray) -> None:
    """A (H, W) uint8 part map as a palette PNG: the pixel values are the part indices."""
    picture = Image.fromarray(parts, "P")
    picture.putpalette(palette.tobytes())
    _sealed(path, picture)


def to_coco(maps: Iterable[tuple[str, np.ndarray]], schema: Schema) -> dict[str, object]:
    """Part maps as a COCO data set: a category per part, one RLE annotation per part that an image shows."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, (name, found) in enumerate(maps, start=1):
        images.append({"id": number, "file_name": name, "width": found.shape[1], "height": found.shape[0]})
        for index in range(1, schema.channels):
            inside = schema.shows(found, index)
            if not inside.any():
                continue
            code = rle.encode(np.asfortranarray(inside.astype(np.uint8)))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": index,
                    "iscrowd": 0,
                    "segmentation": {"size": list(code["size"]), "counts": code["counts"].decode("ascii")},
                    "area": int(inside.sum()),
                    "bbox": [float(v) for v in rle.toBbox(code)],
                }
            )
    categories = [{"id": i, "name": name} for i, name in enumerate(schema.parts, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def run_model(path: Path, device: str = "cpu") -> Model:
    """The model of a run folder, or of a ``model/`` folder on its own. Raises RunError where there is none."""
    try:
        if kind(path) == "file":
            raise RunError(f"{path}: is a file, expected a run folder; name the folder that `train --out` wrote")
        return Model.load(path / "model" if kind(path / "model") == "folder" else path, device)
    except OSError as error:
        said = f"cannot be read: {error.strerror}; give yourself permission to read it"
        raise RunError(f"{error.filename or path}: {said}") from error
