"""A model as a function of CVAT's automatic annotation, run by cvat-sdk's own driver without a server."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from judges import asked

import coarseparts
from coarseparts.integrations import cvat
from coarseparts.system.errors import Failed

ROOT = Path(coarseparts.__file__).parent.parent

SCRIPT = """
import json, sys
from types import SimpleNamespace as Of
sys.path += sys.argv[1:]  # what cvat-sdk does not bring: this project, and what it needs
import logging
import cvat_sdk.auto_annotation as auto, cvat_sdk.models as models
from cvat_sdk.auto_annotation import driver
from PIL import Image
from coarseparts.data.synthetic import birds
from coarseparts.integrations import cvat
from server import toy_model

model = toy_model()
cvat.load = lambda run, device: model
image = Image.fromarray(birds.render(1, size=64, seed=4)["image"][0])
sample = Of(frame_name="bird.png", frame_index=3, media=Of(load_image=lambda: image))
sent = []

def run(kind, **more):
    labels = [
        models.Label(name=name, id=100 + i, type=kind, attributes=[], sublabels=[])
        for i, name in enumerate(model.schema.parts)
    ]
    driver.TaskDataset = lambda *_, **__: Of(labels=labels, samples=[sample])
    api = Of(partial_update_annotations=lambda *_, **given: sent.append(given["patched_labeled_data_request"]))
    client = Of(logger=logging.getLogger(), tasks=Of(api=api))
    auto.annotate_task(client, 1, cvat.create("run"), **more)
    shapes = sent[-1].shapes
    return [(shape.type.value, shape.label_id - 100, shape.frame, [float(p) for p in shape.points]) for shape in shapes]

parts = model.predict(image)
print(json.dumps([
    run("mask"),
    run("polygon", conv_mask_to_poly=True),
    run("mask", conf_threshold=1.0),
    {name: mask.tolist() for name, mask in parts.masks.items()},
]))
"""


def of_runs(points: list[float]) -> np.ndarray:
    """(64, 64) bool of CVAT's mask: lengths of runs, from background on, then the box, its ends included."""
    *runs, left, top, right, bottom = (int(value) for value in points)
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    found = np.zeros((64, 64), bool)
    found[top : bottom + 1, left : right + 1] = inside.reshape(bottom - top + 1, right - left + 1)
    return found


def test_cvats_own_driver_takes_every_part_as_the_library_says_it() -> None:
    places = [ROOT, ROOT / "tests" / "app", sysconfig.get_paths()["purelib"]]
    masks, polygons, sure, expected = asked("cvat_sdk", SCRIPT, *places)  # type: ignore[misc]
    seen = {index: np.array(mask) for index, mask in enumerate(expected.values()) if np.any(mask)}
    assert [(kind, label, frame) for kind, label, frame, _ in masks] == [("mask", index, 3) for index in seen]
    for _, label, _, points in masks:
        assert np.array_equal(of_runs(points), seen[label])
    assert {kind for kind, *_ in polygons} == {"polygon"} and {label for _, label, *_ in polygons} == set(seen)
    assert sure == [], "below the threshold nothing is said"


def test_without_cvat_sdk_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cvat_sdk", None)
    with pytest.raises(Failed, match="pip install cvat-sdk"):
        cvat.create("runs/ants")
