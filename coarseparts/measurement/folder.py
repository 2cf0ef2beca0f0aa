"""Photographs to traits: what ``coarseparts measure`` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from coarseparts.data.sample import Sample
from coarseparts.data.source_keys import Crop
from coarseparts.inference.folder import Summary, label_notes, open_photograph, photographs, refuse_bad
from coarseparts.inference.label_files import Labels, read_labels
from coarseparts.inference.model import Model, load
from coarseparts.inference.predict import BATCH, Prediction, predict_samples
from coarseparts.measurement.calibration import calibration_of, certainty_of, masks_of, points_of, seen_in
from coarseparts.measurement.formulas import Formula, parse
from coarseparts.measurement.intervals import Calibration
from coarseparts.measurement.measured import Measured, Measurements
from coarseparts.measurement.outliers import outliers
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
from coarseparts.report.overlay import overlay
from coarseparts.report.palette import colours
from coarseparts.report.pictures import reduced
from coarseparts.system.errors import WrongArgument
from coarseparts.system.files import path_of
from coarseparts.system.problems import BadInput, Problem, capped, errors
from coarseparts.system.text import short

LabelFiles = str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]]


@dataclass(frozen=True)
class _Look:
    """An object of an image, ``number`` 1, 2, ...: its sample, what the model says of it, and ``features`` (F,) of what
    was looked at; ``reduced``: the sample's width by the photograph's, 1 but of very large files."""

    image: str
    number: int
    sample: Sample
    prediction: Prediction
    features: np.ndarray
    reduced: float


def measure(
    run: str | os.PathLike[str],
    images: str | os.PathLike[str],
    *,
    labels: LabelFiles | None = None,
    ratios: Sequence[str] = (),
    scale: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    intervals: bool = True,
    pictures: int = 0,
    device: str = "auto",
    skip_bad: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Measurements:
    """Traits of the parts that a run's model finds in photographs, a folder of them or one.

    ``labels``: a file of coarse labels of these images, or files by key, as ``predict --labels`` takes them: each
    object that they name is measured, from the posterior; without any, an image is taken to show one.

    ``ratios``: formulas such as "head.width / thorax.length". ``scale``: a CSV file (image, pixels_per_unit, unit) or
    "dpi", what each image states; None: pixels. ``data``: a dataset file whose validation images, which the model must
    not have learned from, give the intervals, in place of the run's own. ``pictures``: of so many of the most unusual
    objects. ``skip_bad``: images that cannot be read are left out. Raises BadInput, WrongArgument, RunError; Failed
    where scikit-image is missing.

        table = coarseparts.measure("runs/ants", "photos", ratios=["head.width / thorax.length"])
        table.images[0].values["head.length"]
    """
    library()
    if isinstance(ratios, str):
        raise WrongArgument(f"ratios: is {short(ratios)}, expected a list of formulas")
    folder = path_of("run", run)
    model = load(folder, device)
    there, told = path_of("images", images), Summary()
    found = photographs(there, told)
    read = _labels(model, there, found, labels)
    points = names_of_points(model.schema) if "keypoints" in read.styles() else ()
    plain = names_of(model.schema.parts, points=points)
    formulas = [f for text in ratios if (f := parse(text, members(model.schema.parts), points)).text not in plain]
    lengths, notes = read_scale(None if scale is None else path_of("scale", scale), found)
    if not skip_bad:
        refuse_bad(there, found, read.objects, read.problems, "measured")
    notes += told.problems + [each for each in read.problems if each not in errors(read.problems)]
    bad = errors(read.problems)
    names = tuple(names_of(model.schema.parts, formulas, points))
    ranged = [name for name in names if name not in told_by(points)]
    units = {name: unit_of(name, lengths.unit, formulas) for name in names}
    known: dict[tuple[str, ...], Calibration] = {}
    measured: list[Measured] = []
    for start in range(0, len(found), BATCH):
        looks, problems = _looks(model, found[start : start + BATCH], read)
        bad += errors(problems)
        notes += [problem for problem in problems if problem.severity != "error"]
        for look in looks:
            styles = tuple(s for s in model.styles if s in look.sample.labels and model.has_posterior)
            if styles not in known:
                known[styles] = _calibration(folder, model, data, styles, notes) if intervals else Calibration()
            masks = masks_of(model, look.prediction.part_map())
            values = with_formulas(values_of(masks, look.sample.image, points_of(look.sample, points)), formulas)
            flags = flags_of(masks, values)
            if unusual := known[styles].flags(certainty_of(look.prediction), look.features):
                flags["object"] = [*flags.get("object", []), *unusual]
            around = known[styles].intervals(ranged, formulas)(values)
            each = Measured(look.image, values, around, flags, look.number)
            measured.append(_scaled(each, lengths.of(look.image) * look.reduced, formulas))
        if progress:
            progress(min(start + BATCH, len(found)), len(found))
    if bad and not measured:
        raise BadInput(capped(dict.fromkeys(bad)))
    table = Measurements(model.schema.parts, names, units, measured, problems=list(dict.fromkeys([*notes, *bad])))
    shown = {(each.measured.image, each.measured.number) for each in outliers(table, pictures)}
    return replace(table, pictures=dict(_pictures(model, found, read, shown)))


def _looks(model: Model, group: Sequence[tuple[str, Path]], read: Labels) -> tuple[list[_Look], list[Problem]]:
    """The objects of some photographs, and what is wrong or noteworthy about these."""
    opened = [open_photograph(*each, read.objects.get(each[0], [])) for each in group]
    samples = [(one, *each) for one in opened if one.image is not None for each in enumerate(one.samples, 1)]
    predicted = predict_samples(model.fast, [sample for _, _, sample in samples])
    features = seen_in(model, [sample for _, _, sample in samples], predicted)
    looks = [
        _Look(one.name, number, sample, prediction, own, sample.image.shape[1] / one.size[0])
        for (one, number, sample), prediction, own in zip(samples, predicted, features, strict=True)
    ]
    return looks, [problem for one in opened for problem in one.problems]


def _pictures(
    model: Model, found: Sequence[tuple[str, Path]], read: Labels, shown: set[tuple[str, int]]
) -> Iterator[tuple[tuple[str, int], np.ndarray]]:
    """Objects with their parts, looked at once more, so that no more than these are ever in memory."""
    hues, maps = colours(len(model.schema.parts)), model.schema.maps
    wanted = [each for each in found if any(each[0] == image for image, _ in shown)]
    for each in wanted:
        for look in _looks(model, [each], read)[0]:
            if (look.image, look.number) in shown:
                drawn = overlay(look.sample.image, look.prediction.part_map(), hues, maps)
                x0, y0, x1, y1 = np.maximum(look.prediction.crop.round().astype(int), 0)
                yield (look.image, look.number), reduced(drawn[y0:y1, x0:x1])


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
    """That of what a model says given labels of some styles; what is noteworthy goes to ``notes``. Raises BadInput with
    the remedy where there are no validation images."""
    try:
        found = calibration_of(folder, model, None if data is None else path_of("data", data), styles)
    except BadInput as error:
        first = error.problems[0]
        message = f"{first.message}, and intervals are made of validation images"
        remedy = f"{first.remedy}; or do without intervals (--no-intervals)"
        raise BadInput([replace(first, message=message, remedy=remedy), *error.problems[1:]]) from None
    if len(found.pairs) < 9:
        which = f"part masks and {', '.join(styles)}" if styles else "part masks of one object"
        message = f"has {len(found.pairs)} validation images with {which}; an interval takes at least 9"
        notes.append(Problem(str(folder), message, "", "note"))
    return found


def _scaled(measured: Measured, factor: float, formulas: Sequence[Formula]) -> Measured:
    """In the table's unit, ``factor`` pixels each."""
    by = {name: factor ** -dimension_of(name, formulas) for name in measured.values}
    values = {name: value * by[name] for name, value in measured.values.items()}
    around = {name: (low * by[name], high * by[name]) for name, (low, high) in measured.intervals.items()}
    return replace(measured, values=values, intervals=around)
