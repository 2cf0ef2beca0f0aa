"""A trained model and photographs to part maps at the photographs' own size. No training code is needed for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as rle

from coarseparts.data.batches import Feed
from coarseparts.data.crops import crop_and_resize, uncrop
from coarseparts.data.dataset_file import Crop, DatasetFile, Source
from coarseparts.data.images import decode, list_images, stem
from coarseparts.data.problems import BadInput, Problem, capped, errors
from coarseparts.data.records import Record, read_dataset
from coarseparts.data.sample import Batch, Sample
from coarseparts.data.store import Store
from coarseparts.data.transforms import to_input
from coarseparts.evaluation.iou import confusion, summary
from coarseparts.evaluation.overlay import colours, overlay
from coarseparts.model import Model
from coarseparts.runs import RunError, write


@torch.no_grad()
def predict_samples(model: Model, samples: list[Sample], use_labels: bool = True) -> list[np.ndarray]:
    """Part probabilities of samples of any size: a list of (H, W) uint8 part maps at each image's own size.

    A sample's ``crop`` is what the network sees; without one, and where the model was trained on object crops, the
    object is found first in the whole image and then looked at again from near. With ``use_labels`` the posterior
    predicts for samples that carry coarse labels; otherwise, and for all others, the part model.
    """
    out = []
    for sample in samples:
        found = any(getattr(sample, s) is not None for s in model.styles)
        labelled = use_labels and found and model.has_posterior
        if sample.crop is None and not labelled and model.crop.get("to") == "object":
            sample = _with_crop(sample, _object(_one(model, sample, False), float(model.crop.get("margin", 0.1))))
        out.append(_one(model, sample, labelled))
    return out


def _one(model: Model, sample: Sample, labelled: bool) -> np.ndarray:
    arrays = crop_and_resize(sample, model.size)
    crop = arrays.pop("crop")
    assert crop is not None

    def one(name: str) -> np.ndarray | None:
        value = arrays[name]
        return None if value is None else value[None]

    image = arrays["image"]
    assert image is not None
    keypoints = one("keypoints") if model.schema.keypoints else None
    store = Store.from_arrays(model.schema, image[None], None, one("mask"), keypoints, one("box"))
    device = next(model.networks.part_model.parameters()).device
    batch: Batch = to_input(store.batch([0], device), model.settings.preprocess)
    batch.image = batch.image.contiguous(memory_format=torch.channels_last)
    if labelled:
        logits = model.networks.infer(batch, model.settings.em.condition)
    else:
        logits = model.networks.part_model(batch.image)
    native = (sample.image.shape[1], sample.image.shape[0])
    return uncrop(logits[0].float().softmax(0).cpu().numpy(), crop, native)


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
    return Sample(sample.name, sample.image, sample.parts, sample.mask, sample.keypoints, sample.box, crop)


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

    Part indices 0..P at the image's own size, with a palette so that any viewer shows colours. ``labels``: a COCO
    file with keypoints, masks or boxes of these images; the posterior uses them, an object each, later objects over
    earlier ones. ``with_overlay`` adds ``<stem>.overlay.png``; ``coco`` a COCO file, one annotation per part.
    Raises BadInput naming every image that cannot be read, before anything is written; with ``skip_bad`` they are
    left out and counted.
    """
    found = [(images.name, images)] if images.is_file() else list_images(images)
    if not found:
        what = "is missing" if not images.exists() else "holds no image (jpg, png, tif, bmp, webp)"
        raise BadInput(Problem(str(images), what, "name an image or a folder of images"))
    stems = [stem(name) for name, _ in found]
    twice = sorted({s for s in stems if stems.count(s) > 1}) if len(set(stems)) < len(stems) else []
    if twice:
        raise BadInput([Problem(str(images), f"several images are called {s}", "rename one of them") for s in twice])
    targets = [out / f"{s}.png" for s in stems]
    targets += [out / f"{s}.overlay.png" for s in stems] if with_overlay else []
    targets += [coco] if coco is not None else []
    _refuse_overwriting(targets, [path for _, path in found] + ([labels] if labels is not None else []))
    done = Summary()
    objects = _labelled_objects(model, images, labels, done) if labels is not None else {}
    if errors(done.problems) and not skip_bad:
        raise BadInput(done.problems)
    palette = np.concatenate([[[0, 0, 0]], colours(len(model.schema.parts))]).astype(np.uint8)
    maps: list[tuple[str, np.ndarray]] = []
    if not skip_bad:  # a first look at every file, so that nothing is half done when one is bad
        bad = [p for _, path in found for p in _problems_of(path, objects.get(path.resolve(), []))]
        if bad:
            raise BadInput(capped(bad))
    for i, (name, path) in enumerate(found):
        try:
            image, repaired = decode(path)
            samples = [r.load()[0] for r in objects.get(path.resolve(), [])] or [Sample(stem(name), image)]
        except BadInput as error:
            done.left_out += 1
            done.problems += error.problems
            continue
        done.problems += repaired
        parts = np.zeros(image.shape[:2], np.uint8)
        for prediction in predict_samples(model, samples):
            parts = np.where(prediction > 0, prediction, parts)
        write_part_map(out / f"{stem(name)}.png", parts, palette)
        if with_overlay:
            picture = Image.fromarray(overlay(image, parts, palette[1:]))
            write(out / f"{stem(name)}.overlay.png", lambda file, picture=picture: picture.save(file, "PNG"))  # type: ignore[misc]
        if coco is not None:
            maps.append((name, parts))
        done.written += 1
        if progress:
            progress(i + 1, len(found))
    if coco is not None:
        write(coco, json.dumps(to_coco(maps, model.schema.parts)))
    if not done.written:
        raise RunError(f"{images}: none of {len(found)} images could be read; the problems are listed above")
    return done


def _refuse_overwriting(targets: list[Path], inputs: list[Path]) -> None:
    """Raises BadInput naming every file that is to be written and is an input, or is to be written twice."""
    read = {path.resolve() for path in inputs}
    seen: set[Path] = set()
    problems = []
    for target in targets:
        place = target.resolve()
        if place in read:
            problems.append(Problem(str(target), "would be overwritten, and is an input", "choose another --out"))
        elif place in seen:
            problems.append(Problem(str(target), "would be written twice", "rename an image, or leave --overlay out"))
        seen.add(place)
    if problems:
        raise BadInput(capped(problems))


def _problems_of(path: Path, objects: list[Record]) -> Iterator[Problem]:
    """What keeps an image, or the labels that came with it, from being used."""
    try:
        decode(path)
        for record in objects:
            record.load()
    except BadInput as error:
        yield from error.problems


def _labelled_objects(model: Model, images: Path, labels: Path, done: Summary) -> dict[Path, list[Record]]:
    """The objects that a COCO file names in these images, by image file."""
    folder = images.parent if images.is_file() else images
    dataset = DatasetFile(
        parts=model.schema.parts,
        mirror=model.schema.mirror,
        keypoints=model.schema.keypoints or None,
        keypoint_mirror=model.schema.keypoint_mirror,
        crop=Crop(**model.crop),
        sources=(Source(split="test", images=folder, coco=labels),),
    )
    if not labels.is_file():
        raise BadInput(Problem(str(labels), "is missing", "name a COCO file with --labels"))
    records, problems, _ = read_dataset(dataset)
    wanted = {images.resolve()} if images.is_file() else None
    done.problems += [p for p in problems if wanted is None or p.severity == "error"]
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


def to_coco(maps: Iterable[tuple[str, np.ndarray]], parts: tuple[str, ...]) -> dict[str, object]:
    """Part maps as a COCO data set: a category per part, one RLE annotation per part that an image shows."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, (name, found) in enumerate(maps, start=1):
        images.append({"id": number, "file_name": name, "width": found.shape[1], "height": found.shape[0]})
        for index in range(1, len(parts) + 1):
            inside = found == index
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
    categories = [{"id": i, "name": name} for i, name in enumerate(parts, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def run_model(path: Path, device: str = "cpu") -> Model:
    """The model of a run folder, or of a ``model/`` folder on its own."""
    return Model.load(path / "model" if (path / "model").is_dir() else path, device)


@torch.no_grad()
def evaluate_store(model: Model, store: Store, split: str, kind: str = "part") -> dict[str, Any]:
    """Measures of ``evaluation.iou.summary`` on a store's part-labelled images of one split.

    ``kind`` "part" sees the image alone, "posterior" the coarse labels too. Raises BadInput when there is nothing to
    measure on, RunError when the model has no posterior.
    """
    if kind == "posterior" and not model.has_posterior:
        raise RunError("this model has no posterior: it was trained by fine-tuning; use --model part")
    rows = store.rows(split, has="parts")
    if not len(rows):
        raise BadInput(Problem(split, "has no image with part masks to measure on", "choose another --split"))
    device = str(next(model.networks.part_model.parameters()).device)
    counts = []
    for batch in Feed(store, rows, 32, 0, 0, device, preprocess=model.settings.preprocess).plain():
        if kind == "part":
            logits = model.networks.part_model(batch.image)
        else:
            logits = model.networks.infer(batch, model.settings.em.condition)
        counts.append(confusion(logits.argmax(1), batch.parts, model.schema.channels))
    return summary(np.concatenate(counts), model.schema.parts)
