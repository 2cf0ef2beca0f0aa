"""From a finished training to its model card. No path of the machine stands in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from coarseparts.data.accounts import counted
from coarseparts.evaluation.iou import iou
from coarseparts.experiments.cells import Done
from coarseparts.report.model_card import ModelCard
from coarseparts.report.pictures import image_scores
from coarseparts.report.results import Result
from coarseparts.system.device import machine
from coarseparts.system.text import listed
from coarseparts.training.settings import Settings
from coarseparts.training.task import Task

WORST = 5
"""Measured images that are named as the worst."""


def model_card(done: Done, title: str) -> ModelCard:
    """The card of the model that came of ``done``; ``title``: the data's."""
    task, own = done.task, done.results[-1]
    sections = {
        "Model": _model(task, done.cell.method),
        "Use": {
            "licence": "to be filled in",
            "meant for": "to be filled in; images like those it was trained on, one object in each or cut out",
            "not meant for": "other kinds of objects and pictures: nothing was measured there",
        },
        "Training data": _data(task),
        f"Measures on {counted(len(task.measured), 'image')}": _measures(task, done.results),
        "Limits seen": {} if own.counts is None else _limits(task, own.counts),
        "Settings other than the default's": _changed(task.settings),
        "Made": {
            "by": f"coarseparts {version('coarseparts')}",
            "on": f"{machine()}; {task.device}",
            "seconds of training": f"{own.seconds:.0f}",
            "seed": str(task.seed),
        },
    }
    return ModelCard(f"Parts of {title}", {name: facts for name, facts in sections.items() if facts})


def _model(task: Task, method: str) -> dict[str, str]:
    schema, s = task.schema, task.settings
    crop = (
        "the whole image"
        if task.crop.get("to") != "object"
        else f"a crop of the object, margin {task.crop['margin']:g}"
    )
    return {
        "parts": listed(schema.parts, 60),
        "a pixel belongs to": "any number of parts" if schema.overlapping else "one part or the background",
        "sees": f"{crop}, {task.size} x {task.size} pixels" + (", and its mirror image" if s.looks_twice else ""),
        "takes": listed(task.styles) or "the image alone",
        **({"keypoints": listed(schema.keypoints, 60)} if "keypoints" in task.styles else {}),
        "method": method,
        "encoder": f"{s.encoder}, weights: {Path(s.weights).name}",
    }


def _data(task: Task) -> dict[str, str]:
    rows = task.rows
    learned = np.concatenate([rows.part, rows.coarse])
    labels = (f"{int(task.store.present[style][learned].sum())} {style}" for style in task.styles)
    return {
        "part masks": str(len(rows.part)),
        "images with coarse labels or none": str(len(rows.coarse)),
        "coarse labels": listed(labels) or "none",
        "validation images": str(len(rows.val)) + (", held out from those with part masks" if rows.held_out else ""),
        "hash of images and labels": task.full.key or "none, made up by the program",
    }


def _measures(task: Task, results: Sequence[Result]) -> dict[str, str]:
    """Of the method, and of EM's posterior, which sees the images' labels."""
    found = {}
    for result in reversed(results):
        within = f"95 % interval {result.ci95_low:.1f} to {result.ci95_high:.1f}"
        found[f"{result.method}, part mIoU"] = f"{result.part_miou:.1f} % ({within})"
        found[f"{result.method}, mIoU with background"] = f"{result.miou:.1f} %"
    counts = results[-1].counts
    if counts is not None:
        for name, value in zip(task.schema.parts, 100 * iou(counts)[1:], strict=True):
            found[f"IoU of {name}"] = "not to be seen" if np.isnan(value) else f"{value:.1f} %"
    same = np.array_equal(task.measured, task.rows.val)
    found["measured on"] = "the images by which epochs were chosen, so a little too high" if same else "other images"
    return found


def _limits(task: Task, counts: np.ndarray) -> dict[str, str]:
    """What ``counts`` (N, P + 1, P + 1) say of where the model is weak."""
    names, values = task.schema.parts, 100 * iou(counts)[1:]
    shown = counts[:, 1:].sum(2)  # (N, P) pixels of the true parts
    pixels = np.array([np.median(each[each > 0]) if each.any() else np.nan for each in shown.T])
    found = {}
    if not np.isnan(pixels).all():
        least = int(np.nanargmin(pixels))
        found["smallest part"] = f"{names[least]}, {pixels[least]:.0f} pixels of {task.size**2:,} where it is seen, "
        found["smallest part"] += f"IoU {values[least]:.1f} %"
    if not np.isnan(values).all():
        worst = int(np.nanargmin(values))
        found["worst part"] = f"{names[worst]}, IoU {values[worst]:.1f} %"
    if never := [name for name, each in zip(names, shown.T, strict=True) if not each.any()]:
        found["never seen in the measured images"] = listed(never)
    scores = image_scores(counts)
    order = np.argsort(scores, kind="stable")[:WORST]
    named = (f"{Path(task.store.names[task.measured[i]]).name} ({scores[i]:.1f} %)" for i in order)
    found["worst images"] = listed(named)
    if len(counts) < 30:
        found["few images"] = f"{len(counts)} were measured: the intervals are wide, and rare cases were not seen"
    return found


def _changed(settings: Settings) -> dict[str, str]:
    """The settings that are not the default's, by dotted key; of a file its name alone."""
    default, own = (_leaves(each.model_dump(mode="json")) for each in (Settings(), settings))
    own["weights"] = Path(settings.weights).name
    return {key: str(value) for key, value in own.items() if value != default.get(key)}


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found
