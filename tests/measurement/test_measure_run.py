"""``coarseparts.measure`` on a toy run, from photographs to a table."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("skimage", reason="scikit-image is not installed: pip install 'coarseparts[measure]'")

import torch
import untrained

import coarseparts
from coarseparts import Model
from coarseparts.cli import options
from coarseparts.cli.main import app
from coarseparts.data.synthetic import birds
from coarseparts.inference.evaluate import records_of
from coarseparts.measurement.calibration import _read, _text, calibrate, reference, validation
from coarseparts.system.errors import Failed, RunError, WrongArgument
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


def test_a_formula_that_is_no_list_is_not_taken_letter_by_letter(run):
    with pytest.raises(WrongArgument, match=r"ratios: is 'head\.area / body\.area', expected a list of formulas"):
        coarseparts.measure(run, run / "photos", ratios="head.area / body.area", device="cpu")


def test_a_formula_that_is_a_column_already_is_that_column(run):
    ratios = [" head.red", "head.orientation"]
    table = coarseparts.measure(run, run / "photos", ratios=ratios, intervals=False, device="cpu")
    assert table.names == coarseparts.measure(run, run / "photos", intervals=False, device="cpu").names
    assert table.units["head.red"] == "0-255"


def test_a_model_without_its_data_says_how_to_measure_without_intervals(run):
    with pytest.raises(BadInput, match=r"name a dataset file as data \(--data\); or do without .* \(--no-intervals\)"):
        coarseparts.measure(run, run / "photos", device="cpu")
    with pytest.raises(BadInput, match=r"none\.yaml: cannot be read.*--no-intervals"):
        coarseparts.measure(run, run / "photos", data="none.yaml", device="cpu")


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
    measured = []
    with pytest.raises(BadInput, match=r"b\.png.*\n.*nothing was measured; correct or remove"):
        coarseparts.measure(run, tmp_path, intervals=False, progress=lambda done, total: measured.append(done))
    assert not measured, "told before anything is measured"
    table = coarseparts.measure(run, tmp_path, intervals=False, skip_bad=True)
    assert [each.image for each in table.images] == ["a.png"] and any("b.png" in p.file for p in table.problems)
    with pytest.raises(BadInput, match="is missing"):
        coarseparts.measure(run, tmp_path / "nowhere", intervals=False)
    with pytest.raises(RunError):
        coarseparts.measure(tmp_path, run / "photos", intervals=False)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A run whose model finds the object first, and a dataset file of its validation photographs."""
    folder = tmp_path_factory.mktemp("labelled")
    drawn = birds.render(12, size=80, seed=2)
    names = untrained.PARTS
    (folder / "photos").mkdir()
    (folder / "masks").mkdir()
    objects = []
    for i, (image, parts, box) in enumerate(zip(drawn["image"], drawn["parts"], drawn["box"], strict=True)):
        Image.fromarray(image).save(folder / f"photos/{i:02}.png")
        Image.fromarray(np.where(parts > len(names), 1, parts).astype(np.uint8)).save(folder / f"masks/{i:02}.png")
        x0, y0, x1, y1 = box.tolist()
        objects.append({"id": i + 1, "image_id": i + 1, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0]})
    images = [{"id": i + 1, "file_name": f"{i:02}.png", "width": 80, "height": 80} for i in range(12)]
    coco = {"images": images, "annotations": objects[:-2], "categories": [{"id": 1, "name": "bird"}]}
    (folder / "coarse.json").write_text(json.dumps(coco))
    source = "images: photos, part_masks: masks, coco: coarse.json"
    text = f"parts: [{', '.join(names)}]\nsize: 32\ncrop: {{to: object, margin: 0.1}}\nsources:\n"
    (folder / "birds.yaml").write_text(
        f"{text}  - {{split: val, {source}}}\n  - {{split: train, {source}, limit: 1}}\n"
    )
    return untrained.saved(folder / "run", ("keypoints", "box")), folder


@pytest.mark.parametrize("styles", [[], ["box"]])
def test_what_calibrates_is_measured_as_any_photograph_is(labelled, styles):
    run, folder = labelled
    labels = folder / "coarse.json" if styles else None
    table = coarseparts.measure(run, folder / "photos", labels=labels, data=folder / "birds.yaml", device="cpu")
    model = coarseparts.load(run, "cpu")
    found = calibrate(model, validation(model, records_of(model, folder / "birds.yaml", "val"), styles), styles)
    assert len(found.pairs) == (10 if styles else 12), "those that have the labels"
    for each, (predicted, true) in zip(table.images, found.pairs, strict=False):
        assert each.values == pytest.approx(predicted, nan_ok=True)
        assert true["object.area"] > 0 and "object.area" in each.intervals


def test_a_calibration_is_kept_of_its_model_alone(labelled):
    run, folder = labelled
    model = coarseparts.load(run, "cpu")
    samples = list(validation(model, records_of(model, folder / "birds.yaml", "val")))
    found = calibrate(model, samples, learned=reference(model, samples))
    file = run / "measured.json"
    file.write_text(_text("this", found))
    kept = _read(file, "this")
    assert kept is not None and len(kept.pairs) == 12 and _read(file, "other") is None
    assert np.allclose(kept.scores("head.area"), found.scores("head.area"), atol=1e-3)
    assert np.allclose(kept.reference, found.reference) and np.allclose(kept.strangeness, found.strangeness)
    file.write_text('{"model": "this", "images": [{"predicted": 3}]}')
    assert _read(file, "this") is None


def test_a_run_folder_that_is_not_ones_own_measures_all_the_same(labelled, monkeypatch):
    run, folder = labelled

    def refused(*_):
        raise Failed("measured.json: cannot be written (read-only)")

    monkeypatch.setattr("coarseparts.measurement.calibration.write", refused)
    monkeypatch.setattr("coarseparts.measurement.calibration.dataset_of", lambda _: folder / "birds.yaml")
    table = coarseparts.measure(run, folder / "photos" / "00.png", device="cpu")
    assert "object.area" in table.images[0].intervals


def test_the_command_writes_a_table_and_a_page_with_pictures(run, tmp_path, capsys):
    out, page = tmp_path / "traits.csv", tmp_path / "traits.html"
    words = ["measure", str(run), str(run / "photos"), "--out", str(out), "--report", str(page), "--no-intervals"]
    assert app([*words, "--device", "cpu"], standalone_mode=False, prog_name="coarseparts") in (0, None)
    assert out.read_text().startswith("image,object,flags") and "2 objects in 2 photographs" in page.read_text()
    with pytest.raises(BadInput, match=r"end it with \.html"):
        app([*words[:6], "traits.pdf"], standalone_mode=False, prog_name="coarseparts")


def test_a_table_of_somebodys_own_is_not_written_over(run, tmp_path, monkeypatch):
    monkeypatch.setattr("coarseparts.data.images._allowed", 100_000_000)  # which --max-pixels changes
    file = tmp_path / "scale.csv"
    words = ["measure", str(run), str(run / "photos"), "--no-intervals", "--out", str(file)]
    file.write_text("image,pixels_per_unit,unit\n0.png,2,mm\n1.png,4,mm\n")
    with pytest.raises(BadInput, match=r"--out .*scale\.csv: is there, is nothing that this command wrote"):
        app([*words, "--scale", str(file)], standalone_mode=False)
    assert "pixels_per_unit" in file.read_text()
    file.unlink()
    for _ in range(2):
        app([*words, "--max-pixels", "100000"], standalone_mode=False)
    assert file.read_text().startswith("image,object,flags")
    for _ in range(2):
        app([*words, "--decimal-comma"], standalone_mode=False)
    first = next(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines(), delimiter=";"))
    assert (first["image"], first["object"]) == ("0.png", "1")
    assert re.fullmatch(r"\d+,\d+", first["object.length [px]"])


def test_a_folder_that_may_not_be_written_to_is_told_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(options.os, "access", lambda path, mode: False)
    with pytest.raises(BadInput, match=f"--out {tmp_path}/new/t.csv: {tmp_path} cannot be written to; name a file in"):
        app(["measure", "runs/none", "photos", "--out", str(tmp_path / "new" / "t.csv")], standalone_mode=False)
