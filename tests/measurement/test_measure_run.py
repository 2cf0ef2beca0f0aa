"""``coarseparts.measure`` on a toy run, from photographs to a table."""

from __future__ import annotations

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
    networks = build(birds.SCHEMA, chosen, ["box"])
    Model(networks, birds.SCHEMA, chosen, ["box"], 32, {"to": "none"}, True).save(folder / "model")
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
