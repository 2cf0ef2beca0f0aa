"""A trained model and photographs to part maps at the photographs' own size. No training code is needed for it."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as rle

from coarseparts.data.crops import crop_and_resize, square_crop, uncrop, uncrop_probabilities
from coarseparts.data.dataset_file import Crop, DatasetFile, Source, kind
from coarseparts.data.images import decode, list_images, stem
from coarseparts.data.problems import BadInput, Problem, capped, counted, errors
from coarseparts.data.records import ABSENT, Record, read_dataset
from coarseparts.data.sample import Batch, Sample
from coarseparts.data.schema import Schema
from coarseparts.data.store import Store
from coarseparts.data.transforms import to_input
from coarseparts.evaluation.overlay import colours, overlay
from coarseparts.model import Model
from coarseparts.runs import RunError, write


@torch.no_grad()
def predict_samples(model: Model, samples: list[Sample], use_labels: bool = True) -> list[np.ndarray]:
    """Part maps of samples of any size, (H, W) uint8 at each image's own size; bit fields where parts overlap.

    A sample's ``crop`` is what the network sees; without one, and where the model was trained on object crops, the
    object is found first in the whole image and then looked at again from near. With ``use_labels`` the posterior
    predicts for samples that carry coarse labels; otherwise, and for all others, the part model.
    """
    out = []
    for sample in samples:
        found = any(getattr(sample, s) is not None for s in model.styles)
        labelled = use_labels and found and model.has_posterior
        if sample.crop is None and not labelled and model.crop.get("to") == "object":
            figure = _one(model, sample, False, figure=model.schema.overlapping)
            sample = _with_crop(sample, _object(figure, float(model.crop.get("margin", 0.1))))
        out.append(_one(model, sample, labelled))
    return out


def _one(model: Model, sample: Sample, labelled: bool, figure: bool = False) -> np.ndarray:
    """The part map; with ``figure`` the whole object where a learned p(ymask|y) says it, for parts need not fill it."""
    arrays = crop_and_resize(sample, model.size)
    crop = arrays.pop("crop")
    assert crop is not None

    def one(name: str) -> np.ndarray | None:
        value = arrays[name]
        return None if value is None else value[None]

    image = arrays["image"]
    assert image is not None
    keypoints = one("keypoints") if model.schema.keypoints else None
    store = Store.from_arrays(
        model.schema, image[None], None, one("mask"), keypoints, one("box"), part_boxes=one("part_boxes")
    )
    device = next(model.networks.part_model.parameters()).device
    batch: Batch = to_input(store.batch([0], device), model.settings.preprocess)
    batch.image = batch.image.contiguous(memory_format=torch.channels_last)
    networks = model.networks
    native = (sample.image.shape[1], sample.image.shape[0])
    if labelled:
        log_y = networks.infer(batch, model.settings.em.condition)
    else:
        log_y = networks.y.log_probability(networks.part_model(batch.image))
    mask = dict(networks.style_items()).get("mask") if figure and model.has_posterior else None
    if mask is not None:
        return (uncrop_probabilities(mask.predict(log_y)[0].sigmoid().cpu().numpy(), crop, native)[0] > 0.5).astype(
            np.uint8
        )
    probabilities = log_y[0].exp().cpu().numpy()
    if not model.schema.overlapping:
        return uncrop(probabilities, crop, native)
    there = uncrop_probabilities(probabilities[: len(model.schema.parts)], crop, native) > 0.5
    return np.bitwise_or.reduce([layer.astype(np.uint8) << p for p, layer in enumerate(there)])


def _object(parts: np.ndarray, margin: float) -> np.ndarray | None:
    """The box of a first look's foreground with its margin; None when there is hardly any."""
    ys, xs = np.nonzero(parts)
    if len(ys) < 0.002 * parts.size:
        return None
    # Single stray pixels must not stretch the box: the outermost half percent on each side is cut off.
    x0, x1 = np.percentile(xs, [0.5, 99.5])
    y0, y1 = np.percentile(ys, [0.5, 99.5])
    more_x, more_y = margin * (x1 + 1 - x0), margin * (y1 + 1 - y0)
    return np.array([x0 - more_x, y0 - more_y, x1 + 1 + more_x, y1 + 1 + more_y], np.float32)


def _with_crop(sample: Sample, crop: np.ndarray | None) -> Sample:
    return Sample(
        sample.name, sample.image, sample.parts, sample.mask, sample.keypoints, sample.box, crop, sample.part_boxes
    )


@dataclass
class Summary:
    """What ``predict_folder`` did: images written, images left out, and everything that was noteworthy."""

    written: int = 0
    left_out: int = 0
    problems: list[Problem] = field(default_factory=list)


def predict_folder(
    model: Model,
    images: Path,
    out: Path,
    labels: Path | None = None,
    with_overlay: bool = False,
    coco: Path | None = None,
    skip_bad: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Writes ``out/<stem>.png`` for every image in a folder (or for one image file).

    Part indices 0..P at the image's own size, with a palette so that any viewer shows colours. Of parts that overlap it
    writes a mask each, ``out/<part>/<stem>.png`` of 0 and 255, which a dataset file reads again. ``labels``: a COCO
    file with keypoints, masks or boxes of these images; the posterior uses them, an object each, later objects over
    earlier ones. ``with_overlay`` adds ``<stem>.overlay.png``; ``coco`` a COCO file, one annotation per part.
    Raises BadInput naming every image and label that cannot be used, before anything is written; with ``skip_bad``
    such images are left out and counted. Raises it, too, where a file to write is one of the images or the labels.
    """
    found = _photographs(images, done := Summary())
    if kind(images) == "folder" and out.resolve() == images.resolve():
        message = "is the folder of the images: the next time, its part maps would be taken for photographs"
        raise BadInput(Problem(str(out), message, "choose another folder with --out"))
    _refuse_targets(found, _maps_of(model, out), out, labels, with_overlay, coco)
    objects = _labelled_objects(model, images, labels, done) if labels is not None else {}
    plain = sum(path.resolve() not in objects for _, path in found)
    if labels is not None and not model.has_posterior:
        message = (
            "only says where the objects are: this model was trained without a posterior, by another method than em"
        )
        done.problems.append(Problem(str(labels), message, "", "note"))
    elif labels is not None and 0 < plain < len(found):
        message = f"has no labels for {plain} of {len(found)} images; the part model predicts them from the image alone"
        done.problems.append(Problem(str(labels), message, "", "note"))
    if not skip_bad:  # a first look at every file, so that nothing is half done when one is bad
        bad = errors(done.problems)
        for name, path in found:
            try:
                _opened(name, path, objects)
            except BadInput as error:
                bad += error.problems
        if bad:
            raise BadInput(capped(dict.fromkeys(bad)))
    overlapping = model.schema.overlapping
    palette = np.concatenate([[[0, 0, 0]], colours(len(model.schema.parts))]).astype(np.uint8)
    maps: list[tuple[str, np.ndarray]] = []
    for i, (name, path) in enumerate(found):
        if progress:
            progress(i, len(found))
        try:
            image, samples, repaired = _opened(name, path, objects)
        except BadInput as error:
            done.left_out += 1
            done.problems += error.problems
            continue
        done.problems += repaired
        parts = np.zeros(image.shape[:2], np.uint8)
        for prediction in predict_samples(model, samples):
            parts = parts | prediction if overlapping else np.where(prediction > 0, prediction, parts)
        for index, folder in enumerate(_maps_of(model, out), 1):
            if overlapping:
                there = np.where(model.schema.shows(parts, index), 255, 0).astype(np.uint8)
                picture = Image.fromarray(there)
                write(_map_of(folder, name), lambda file, picture=picture: picture.save(file, "PNG"))  # type: ignore[misc]
            else:
                write_part_map(_map_of(folder, name), parts, palette)
        if with_overlay:
            picture = Image.fromarray(overlay(image, parts, palette[1:], overlapping=overlapping))
            write(_overlay_of(out, name), lambda file, picture=picture: picture.save(file, "PNG"))  # type: ignore[misc]
        if coco is not None:
            maps.append((name, parts))
        done.written += 1
    if progress:
        progress(len(found), len(found))
    done.problems = list(dict.fromkeys(done.problems))
    if not done.written:
        none = Problem(str(images), f"none of {len(found)} images could be used", "correct the problems above")
        raise BadInput([*capped(errors(done.problems)), none])
    if coco is not None:
        write(coco, json.dumps(to_coco(maps, model.schema)))
    return done


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
    return out / f"{stem(name)}.overlay.png"


def _refuse_targets(
    found: list[tuple[str, Path]],
    folders: list[Path],
    out: Path,
    labels: Path | None,
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
    if labels is not None:
        used[_place(labels)] = "the file of --labels"
    inodes = {_inode(path) for path in [path for _, path in found] + ([labels] if labels is not None else [])}
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


def _place(path: Path) -> Path:
    """Where a file lies, the same however its folder is spelled; a link stays a link."""
    return path.parent.resolve() / path.name


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _opened(name: str, path: Path, objects: dict[Path, list[Record]]) -> tuple[np.ndarray, list[Sample], list[Problem]]:
    """An image, its labelled objects (the image itself where there is none), and what was repaired.

    Raises BadInput with everything that is wrong with them.
    """
    image, problems = decode(path)
    samples = []
    records = objects.get(path.resolve(), [])
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


def _labelled_objects(model: Model, images: Path, labels: Path, done: Summary) -> dict[Path, list[Record]]:
    """The objects that a COCO file names in these images, by image file; what is wrong with it goes to ``done``."""
    try:
        there = kind(labels)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise BadInput(Problem(str(labels), message, "give yourself permission to read it")) from None
    if there != "file":
        raise BadInput(Problem(str(labels), "is no file" if there else "is missing", "name a COCO file with --labels"))
    single = kind(images) == "file"
    folder = images.parent if single else images
    dataset = DatasetFile(
        parts=model.schema.parts,
        overlapping=model.schema.overlapping,
        mirror=model.schema.mirror,
        keypoints=model.schema.keypoints or None,
        keypoint_mirror=model.schema.keypoint_mirror,
        crop=Crop(**model.crop),
        sources=(Source(split="test", images=folder, coco=labels),),
    )
    dataset._path = labels  # there is no dataset file: what is wrong with names is wrong with the labels
    records, problems, _ = read_dataset(dataset)
    elsewhere = [p for p in problems if p.remedy == ABSENT and "(there is" not in p.message]  # no slip of spelling
    problems = [p for p in problems if p not in elsewhere]
    if elsewhere:
        message = f"has labels for {counted(elsewhere)} images that are not in {folder}; they are left out"
        done.problems.append(Problem(str(labels), message, "", "note"))
    wanted = {images.resolve()} if single else None
    untrue = [p for p in problems if p.severity == "note" and p.file == str(folder)]  # "have no labels, are left out"
    done.problems += [p for p in problems if p.severity == "error" or (wanted is None and p not in untrue)]
    if records and model.has_posterior and not any(record.has & set(model.styles) for record in records):
        message = (
            f"has none of the labels that this model knows ({', '.join(model.styles)}): it only says where objects are"
        )
        done.problems.append(Problem(str(labels), message, "", "note"))
    objects: dict[Path, list[Record]] = {}
    for record in records:
        if record.image is not None and (wanted is None or record.image.resolve() in wanted):
            objects.setdefault(record.image.resolve(), []).append(record)
    return objects


def write_part_map(path: Path, parts: np.ndarray, palette: np.ndarray) -> None:
    """A (H, W) uint8 part map as a palette PNG: the pixel values are the part indices."""
    picture = Image.fromarray(parts, "P")
    picture.putpalette(palette.tobytes())
    write(path, lambda file: picture.save(file, "PNG"))


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
