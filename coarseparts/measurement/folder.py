"""Photographs to traits: what ``coarseparts measure`` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coarseparts.data.images import list_images
from coarseparts.data.source_paths import kind
from coarseparts.inference.model import Model, load
from coarseparts.inference.parts import Parts
from coarseparts.inference.predict import BATCH
from coarseparts.measurement.formulas import Formula, parse
from coarseparts.measurement.intervals import Calibration, calibration_of, certainty_of
from coarseparts.measurement.scale import Scale, read_scale
from coarseparts.measurement.shapes import library
from coarseparts.measurement.traits import dimension_of, flags_of, members, names_of, unit_of, values_of, with_formulas
from coarseparts.system.files import path_of
from coarseparts.system.problems import BadInput, Problem, capped

UNCERTAIN = "less certain than usual"


@dataclass(frozen=True)
class Measured:
    """One image: ``values`` by name (``head.length``) in the unit of the table, nan where nothing shows; ``intervals``
    (low, high) that hold the true value in 90 % of images; ``flags`` by part."""

    image: str
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    flags: dict[str, list[str]]


@dataclass(frozen=True)
class Measurements:
    """A table of images, and ``units`` by the name of a value. ``parts``: their names."""

    parts: tuple[str, ...]
    names: tuple[str, ...]
    units: dict[str, str]
    images: list[Measured]
    problems: list[Problem] = field(default_factory=list, repr=False)


def measure(
    run: str | os.PathLike[str],
    images: str | os.PathLike[str],
    *,
    ratios: Sequence[str] = (),
    scale: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    intervals: bool = True,
    device: str = "auto",
    skip_bad: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Measurements:
    """Traits of the parts that a run's model finds in photographs, a folder of them or one; an object an image.

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
    formulas = [parse(text, members(model.schema.parts)) for text in ratios]
    found = _photographs(path_of("images", images))
    lengths, notes = read_scale(None if scale is None else path_of("scale", scale), found)
    calibration = Calibration()
    if intervals:
        calibration, told = calibration_of(folder, model, None if data is None else path_of("data", data))
        notes += told
        if len(calibration.pairs) < 9:
            message = f"has {len(calibration.pairs)} validation images with part masks; an interval takes at least 9"
            notes.append(Problem(str(folder), message, "", "note"))
    names = tuple(names_of(model.schema.parts, formulas))
    units = {name: unit_of(name, lengths.unit, formulas) for name in names}
    around = calibration.intervals(names, formulas)
    measured: list[Measured] = []
    bad: list[Problem] = []
    for start in range(0, len(found), BATCH):
        for name, parts in _predicted(model, found[start : start + BATCH], bad):
            values = with_formulas(values_of(parts.masks, parts.image), formulas)
            flags = flags_of(parts.masks, values)
            if calibration.unusual(certainty_of(parts.prediction)):
                flags["object"] = [*flags.get("object", []), UNCERTAIN]
            measured.append(_scaled(Measured(name, values, around(values), flags), lengths, formulas))
            notes += parts.notes
        if progress:
            progress(min(start + BATCH, len(found)), len(found))
    if bad and (not skip_bad or not measured):
        raise BadInput(capped(bad))
    return Measurements(model.schema.parts, names, units, measured, list(dict.fromkeys([*notes, *bad])))


def _photographs(images: Path) -> list[tuple[str, Path]]:
    there = kind(images)
    found = [(images.name, images)] if there == "file" else list_images(images) if there == "folder" else []
    if not found:
        message = "holds no image" if there == "folder" else "is missing" if there is None else "is no folder"
        raise BadInput(Problem(str(images), message, "name an image or a folder of images"))
    return found


def _predicted(model: Model, images: list[tuple[str, Path]], bad: list[Problem]) -> list[tuple[str, Parts]]:
    """(name, parts) of each image that can be read; what is wrong with the others goes to ``bad``."""
    try:
        several = model.predict([path for _, path in images])
        return [(name, parts) for (name, _), parts in zip(images, several, strict=True)]
    except BadInput as error:
        if len(images) == 1:
            bad += error.problems
            return []
    return [each for image in images for each in _predicted(model, [image], bad)]


def _scaled(measured: Measured, scale: Scale, formulas: Sequence[Formula]) -> Measured:
    factor = scale.of(measured.image)
    by = {name: factor ** -dimension_of(name, formulas) for name in measured.values}
    values = {name: value * by[name] for name, value in measured.values.items()}
    around = {name: (low * by[name], high * by[name]) for name, (low, high) in measured.intervals.items()}
    return Measured(measured.image, values, around, measured.flags)
