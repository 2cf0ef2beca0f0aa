"""Photographs to traits: what ``coarseparts measure`` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from coarseparts.data.dataset_file import Crop
from coarseparts.data.sample import Sample
from coarseparts.inference.folder import Summary, label_notes, open_photograph, photographs
from coarseparts.inference.label_files import Labels, read_labels
from coarseparts.inference.model import Model, load
from coarseparts.inference.predict import BATCH, Prediction, predict_samples
from coarseparts.measurement.formulas import Formula, parse
from coarseparts.measurement.intervals import Calibration, calibration_of, certainty_of
from coarseparts.measurement.scale import read_scale
from coarseparts.measurement.shapes import library
from coarseparts.measurement.traits import (
    dimension_of,
    flags_of,
    members,
    names_of,
    names_of_points,
    told_by,
    unit_of,
    values_of,
    with_formulas,
)
from coarseparts.system.files import path_of
from coarseparts.system.problems import BadInput, Problem, capped, errors

LabelFiles = str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]]

UNCERTAIN = "less certain than usual"


@dataclass(frozen=True)
class Measured:
    """One object of an image, ``number`` 1, 2, ... in the order of the labels: ``values`` by name (``head.length``) in
    the unit of the table, nan where nothing shows; ``intervals`` (low, high) that hold the true value in 90 % of
    images; ``flags`` by part."""

    image: str
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    flags: dict[str, list[str]]
    number: int = 1


@dataclass(frozen=True)
class Measurements:
    """A table of the objects of images, and ``units`` by the name of a value. ``parts``: their names."""

    parts: tuple[str, ...]
    names: tuple[str, ...]
    units: dict[str, str]
    images: list[Measured]
    problems: list[Problem] = field(default_factory=list, repr=False)


def measure(
    run: str | os.PathLike[str],
    images: str | os.PathLike[str],
    *,
    labels: LabelFiles | None = None,
    ratios: Sequence[str] = (),
    scale: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    intervals: bool = True,
    device: str = "auto",
    skip_bad: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Measurements:
    """Traits of the parts that a run's model finds in photographs, a folder of them or one.

    ``labels``: a file of coarse labels of these images, or files by key, as ``predict --labels`` takes them: each
    object that they name is measured, from the posterior; without any, an image is taken to show one.

    ``ratios``: formulas such as "head.width / thorax.length". ``scale``: a CSV file (image, pixels_per_unit, unit) or
    "dpi", what each image states; None: pixels. ``data``: a dataset file whose validation images, which the model must
    not have learned from, give the intervals, in place of the run's own. ``skip_bad``: images that cannot be read are
    left out. Raises BadInput, WrongArgument, RunError; Failed where scikit-image is missing.

        table = coarseparts.measure("runs/ants", "photos", ratios=["head.width / thorax.length"])
        table.images[0].values["head.length"]
    """
    library()
    folder = path_of("run", run)
    model = load(folder, device)
    there, told = path_of("images", images), Summary()
    found = photographs(there, told)
    read = _labels(model, there, found, labels)
    points = names_of_points(model.schema) if "keypoints" in read.styles() else ()
    formulas = [parse(text, members(model.schema.parts), points) for text in ratios]
    lengths, notes = read_scale(None if scale is None else path_of("scale", scale), found)
    notes += told.problems + [each for each in read.problems if each not in errors(read.problems)]
    bad = errors(read.problems)
    names = tuple(names_of(model.schema.parts, formulas, points))
    ranged = [name for name in names if name not in told_by(points)]
    units = {name: unit_of(name, lengths.unit, formulas) for name in names}
    known: dict[tuple[str, ...], Calibration] = {}
    measured: list[Measured] = []
    for start in range(0, len(found), BATCH):
        group = [open_photograph(*each, read.objects.get(each[0], [])) for each in found[start : start + BATCH]]
        bad += [problem for one in group if one.image is None for problem in one.problems]
        notes += [problem for one in group if one.image is not None for problem in one.problems]
        samples = [(one, *each) for one in group if one.image is not None for each in enumerate(one.samples, 1)]
        predicted = predict_samples(model.fast, [sample for _, _, sample in samples])
        for (one, number, sample), prediction in zip(samples, predicted, strict=True):
            styles = tuple(s for s in model.styles if s in sample.labels and model.has_posterior)
            if styles not in known:
                known[styles] = _calibration(folder, model, data, styles, notes) if intervals else Calibration()
            masks = _masks(model, prediction)
            values = with_formulas(values_of(masks, sample.image, _points(sample, points)), formulas)
            flags = flags_of(masks, values)
            if known[styles].unusual(certainty_of(prediction)):
                flags["object"] = [*flags.get("object", []), UNCERTAIN]
            around = known[styles].intervals(ranged, formulas)(values)
            reduced = sample.image.shape[1] / one.size[0]  # a very large file is read at a smaller size
            each = Measured(one.name, values, around, flags, number)
            measured.append(_scaled(each, lengths.of(one.name) * reduced, formulas))
        if progress:
            progress(min(start + BATCH, len(found)), len(found))
    if bad and (not skip_bad or not measured):
        raise BadInput(capped(dict.fromkeys(bad)))
    return Measurements(model.schema.parts, names, units, measured, list(dict.fromkeys([*notes, *bad])))


def _labels(model: Model, images: Path, found: list[tuple[str, Path]], labels: LabelFiles | None) -> Labels:
    """The labels of the images ``found``, with what is noteworthy about them."""
    given = {} if labels is None else labels if isinstance(labels, Mapping) else {"coco": labels}
    files = {key: path_of("labels", path) for key, path in given.items()}
    if not files:
        return Labels()
    read = read_labels(model.schema, Crop(**model.crop), dict(found), files)
    read.problems += label_notes(read, model, images, found, [str(file) for file in files.values()])
    return read


def _calibration(
    folder: Path, model: Model, data: str | os.PathLike[str] | None, styles: tuple[str, ...], notes: list[Problem]
) -> Calibration:
    """That of what a model says given labels of some styles; what is noteworthy goes to ``notes``."""
    found, told = calibration_of(folder, model, None if data is None else path_of("data", data), styles)
    notes += told
    if len(found.pairs) < 9:
        which = f" and {', '.join(styles)}" if styles else ""
        message = f"has {len(found.pairs)} validation images with part masks{which}; an interval takes at least 9"
        notes.append(Problem(str(folder), message, "", "note"))
    return found


def _masks(model: Model, prediction: Prediction) -> dict[str, np.ndarray]:
    parts, maps = prediction.part_map(), model.schema.maps
    return {name: maps.shows(parts, index) for index, name in enumerate(model.schema.parts, 1)}


def _points(sample: Sample, names: Sequence[str]) -> dict[str, Sequence[float]]:
    """The keypoints (x, y, v) that a sample is labelled with; v is 0 of those that it is not."""
    given = sample.labels.get("keypoints")
    return {name: (0.0, 0.0, 0.0) if given is None else given[i].tolist() for i, name in enumerate(names)}


def _scaled(measured: Measured, factor: float, formulas: Sequence[Formula]) -> Measured:
    """In the table's unit, ``factor`` pixels each."""
    by = {name: factor ** -dimension_of(name, formulas) for name in measured.values}
    values = {name: value * by[name] for name, value in measured.values.items()}
    around = {name: (low * by[name], high * by[name]) for name, (low, high) in measured.intervals.items()}
    return replace(measured, values=values, intervals=around)
