"""``coarseparts.measure`` on a toy run, from photographs to a table."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("skimage", reason="scikit-image is not installed: pip install 'coarseparts[measure]'")

import torch

import coarseparts
from coarseparts import Model
from coarseparts.data.store import Store
from coarseparts.data.synthetic import birds
from coarseparts.measurement.intervals import _read, _text, calibrate
from coarseparts.system.errors import RunError
from coarseparts.system.problems import BadInput
from coarseparts.training.networks import build, resolve
from coarseparts.training.settings import settings


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    chosen = resolve(settings(changes={"encoder": "resnet10", "precision": "float32"}), "cpu")
    networks = build(birds.SCHEMA, chosen, ["keypoints", "box"])
    Model(networks, birds.SCHEMA, chosen, ["keypoints", "box"], 32, {"to": "none"}, True).save(folder / "model")
    photos = folder / "photos"
    photos.mkdir()
    for i, image in enumerate(birds.render(2, size=48, seed=1)["image"]):
        Image.fromarray(image).save(photos / f"{i}.png")
    return folder


def test_photographs_are_measured_as_their_predicted_masks(run):
    table = coarseparts.measure(run, run / "photos", intervals=False, device="cpu")
    model = coarseparts.load(run, "cpu")
    for each in table.images:
        parts = model.predict(run / "photos" / each.image)
        assert {n: each.values[f"{n}.area"] for n in parts.names} == {n: m.sum() for n, m in parts.masks.items()}


def test_a_scale_divides_lengths_once_and_areas_twice(run, tmp_path):
    file = tmp_path / "scale.csv"
    file.write_text("image,pixels_per_unit,unit\n0.png,2,mm\n1.png,4,mm\n")
    plain, scaled = (coarseparts.measure(run, run / "photos", scale=s, intervals=False) for s in (None, file))
    for before, after, factor in zip(plain.images, scaled.images, (2, 4), strict=True):
        assert after.values["object.area"] == pytest.approx(before.values["object.area"] / factor**2, nan_ok=True)
        assert after.values["object.length"] == pytest.approx(before.values["object.length"] / factor, nan_ok=True)
    assert scaled.units["object.area"] == "mm2"


def test_each_labelled_object_is_measured_from_the_posterior_with_the_distances_of_its_keypoints(run, tmp_path):
    first, second, *_ = (name for name in birds.SCHEMA.keypoints if name not in birds.SCHEMA.parts)
    kinds = [{"id": 1, "name": "bird", "keypoints": [first, second]}]
    images = [{"id": 1, "file_name": "0.png", "width": 48, "height": 48}]
    boxes = [[2, 3, 20, 18], [25, 24, 20, 20]]
    objects = [
        {"id": i, "image_id": 1, "category_id": 1, "bbox": box, "keypoints": [*box[:2], 2, box[0] + 3, box[1] + 4, 2]}
        for i, box in enumerate(boxes, 1)
    ]
    file = tmp_path / "coarse.json"
    file.write_text(json.dumps({"images": images, "categories": kinds, "annotations": objects}))
    head = birds.SCHEMA.parts[0]
    ratio = f'distance("{first}", "{second}") / object.length'
    table = coarseparts.measure(run, run / "photos", labels=file, ratios=[ratio], intervals=False, device="cpu")
    assert [(each.image, each.number) for each in table.images] == [("0.png", 1), ("0.png", 2), ("1.png", 1)]
    model = coarseparts.load(run, "cpu")
    for each, (x, y, w, h) in zip(table.images, boxes, strict=False):
        points = {first: (x, y), second: (x + 3, y + 4)}
        parts = model.predict(run / "photos/0.png", keypoints=points, box=(x, y, x + w, y + h))
        assert each.values[f"{head}.area"] == parts.masks[head].sum()
        assert each.values[ratio] == pytest.approx(5 / each.values["object.length"], nan_ok=True)
    assert np.isnan(table.images[2].values[ratio]), "nothing is known of an image without labels"
    with pytest.raises(BadInput, match="names"):
        coarseparts.measure(run, run / "photos", ratios=[ratio], intervals=False, device="cpu")


def test_what_cannot_be_read_is_told_or_left_out(run, tmp_path):
    (tmp_path / "a.png").write_bytes((run / "photos" / "0.png").read_bytes())
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(BadInput, match=r"b\.png"):
        coarseparts.measure(run, tmp_path, intervals=False)
    table = coarseparts.measure(run, tmp_path, intervals=False, skip_bad=True)
    assert [each.image for each in table.images] == ["a.png"] and any("b.png" in p.file for p in table.problems)
    with pytest.raises(BadInput, match="is missing"):
        coarseparts.measure(run, tmp_path / "nowhere", intervals=False)
    with pytest.raises(RunError):
        coarseparts.measure(tmp_path, run / "photos", intervals=False)


def test_a_calibration_given_labels_is_of_the_images_that_have_them(run):
    model, drawn = coarseparts.load(run, "cpu"), birds.render(4, size=32, seed=2)
    there = {"box": np.array([True, True, False, True]), "keypoints": np.array([True, False, True, True])}
    store = Store.from_arrays(birds.SCHEMA, **drawn, splits="val", present=there)
    both, neither = calibrate(model, store, ["keypoints", "box"]), calibrate(model, store)
    assert len(both.pairs) == 2 and len(neither.pairs) == 4
    point = f"{birds.SCHEMA.keypoints[0]}.x"
    assert all(point in p and point in t for p, t in both.pairs) and point not in neither.pairs[0][0]
    assert both.pairs[0][0] != neither.pairs[0][0], "the posterior answers where labels are given"


def test_a_calibration_is_kept_of_its_model_alone(run):
    model = coarseparts.load(run, "cpu")
    drawn = birds.render(4, size=32, seed=2)
    found = calibrate(model, Store.from_arrays(birds.SCHEMA, **drawn, splits="val"))
    file = run / "measured.json"
    file.write_text(_text("this", found))
    kept = _read(file, "this")
    assert kept is not None and len(kept.pairs) == 4 and _read(file, "other") is None
    name = f"{birds.SCHEMA.parts[0]}.area"
    assert np.allclose(kept.scores(name), found.scores(name), atol=1e-3)
    file.write_text('{"model": "this", "images": [{"predicted": 3}]}')
    assert _read(file, "this") is None
