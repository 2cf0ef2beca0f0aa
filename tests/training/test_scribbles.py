"""Strokes: read from index PNGs and from lines, kept through crops and mirrors, learned from and predicted with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toy import CHANGES

from coarseparts.data.build import build_store
from coarseparts.data.crops import crop_and_resize
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.sample import Sample
from coarseparts.data.store import Store
from coarseparts.data.synthetic import birds
from coarseparts.data.transforms import mirror
from coarseparts.experiments import benchmark
from coarseparts.experiments.compare import compare
from coarseparts.experiments.data import Data
from coarseparts.inference.folder import predict_folder
from coarseparts.inference.model import Model, load
from coarseparts.labels import ExclusiveParts, OverlappingParts, Scribbles
from coarseparts.labels.part_maps import ExclusiveMaps
from coarseparts.report.contact_sheet import contact_sheet
from coarseparts.system.errors import WrongArgument
from coarseparts.system.problems import BadInput
from coarseparts.training import methods
from coarseparts.training.networks import resolve
from coarseparts.training.settings import settings

YAML = "parts: [head, tail]\nsize: 32\ncrop: {{to: none}}\nsources:\n  - {{split: train, images: images, {}}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for below in ("images", "strokes"):
        (tmp_path / below).mkdir()
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(tmp_path / "images" / "a.png")
    return tmp_path


def strokes(folder: Path, *marks: tuple[slice, slice, int], blank: int = 255) -> None:
    array = np.full((64, 64), blank, np.uint8)
    for rows, columns, index in marks:
        array[rows, columns] = index
    Image.fromarray(array).save(folder / "strokes" / "a.png")


def lines(folder: Path, *drawn: tuple[str, list[list[float]]], key: str = "polylines") -> None:
    names = ["background", "head", "tail"]
    entries = [
        {"id": i, "image_id": 1, "category_id": names.index(name), key: points}
        for i, (name, points) in enumerate(drawn)
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(names)]
    images = [{"id": 1, "file_name": "a.png", "width": 64, "height": 64}]
    text = json.dumps({"images": images, "annotations": entries, "categories": categories})
    (folder / "strokes.json").write_text(text)


def stored(folder: Path, source: str) -> np.ndarray:
    (folder / "data.yaml").write_text(YAML.format(source))
    store, problems = build_store(load_dataset_file(folder / "data.yaml"), folder / "cache")
    assert store.present["scribbles"].tolist() == [True], problems
    marks: np.ndarray = store.label("scribbles")[0]
    return marks


def test_index_pngs_and_lines_say_the_same(folder: Path) -> None:
    strokes(folder, (slice(9, 12), slice(4, 40), 1), (slice(50, 53), slice(10, 30), 0))
    drawn = stored(folder, "scribbles: strokes")
    assert set(np.unique(drawn)) == {0, 1, 255}
    assert (drawn[5, 2:20] == 1).all() and (drawn[25, 5:15] == 0).all() and (drawn[10:20] == 255).all()
    for key in ("polylines", "segmentation"):
        lines(folder, ("head", [[5, 10.5, 39, 10.5]]), ("background", [[11, 51.5, 29, 51.5]]), key=key)
        other = stored(folder, "scribbles: strokes.json")
        assert (other[5, 3:19] == 1).all() and (other[25, 6:14] == 0).all() and ((drawn != other).mean() < 0.02)
    lines(folder, ("tail", [[20.5, 30.5]]))
    assert (stored(folder, "scribbles: strokes.json") == 2).sum() == 4, "a dot of three pixels, at half the size"


@pytest.mark.parametrize(
    ("marks", "blank", "told"),
    [
        (
            [(slice(9, 12), slice(4, 40), 1)],
            0,
            r"a\.png: labels 100 % of the pixels, which are no strokes; make",
        ),
        ([(slice(9, 12), slice(4, 40), 7)], 255, r"a\.png: has the values 7, expected 0 to 2, and 255 for no stroke"),
    ],
)
def test_a_map_that_is_none_of_strokes_is_refused(
    folder: Path, marks: list[tuple[slice, slice, int]], blank: int, told: str
) -> None:
    strokes(folder, *marks, blank=blank)
    with pytest.raises(BadInput, match=told):
        stored(folder, "scribbles: strokes")


def test_lines_that_cannot_be_are_told(folder: Path) -> None:
    lines(folder, ("head", [[5, 10, 90, 10]]))
    with pytest.raises(BadInput, match=r"annotation 0 \(a\.png\): a line at 5\.\.90, 10\.\.10 lies outside the image"):
        stored(folder, "scribbles: strokes.json")
    lines(folder, ("head", [[5, 10, 90]]))
    with pytest.raises(BadInput, match="a polyline of 3 numbers; expected lines"):
        stored(folder, "scribbles: strokes.json")
    Image.new("RGB", (64, 64)).save(folder / "strokes" / "a.png")
    with pytest.raises(BadInput, match="is of mode RGB, expected a palette or grey-scale"):
        stored(folder, "scribbles: strokes")
    Image.new("L", (32, 64), 255).save(folder / "strokes" / "a.png")
    with pytest.raises(BadInput, match="is 32x64 pixels, its image is 64x64"):
        stored(folder, "scribbles: strokes")


def test_another_objects_strokes_are_not_this_ones(folder: Path) -> None:
    strokes(folder, (slice(9, 12), slice(2, 62), 1), (slice(50, 53), slice(2, 62), 0))
    images = [{"id": 1, "file_name": "a.png"}]
    boxes = [{"id": i, "image_id": 1, "category_id": 1, "bbox": [32 * i, 0, 32, 40]} for i in range(2)]
    whole = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "bird"}]}
    (folder / "whole.json").write_text(json.dumps(whole))
    (folder / "data.yaml").write_text(YAML.format("coco: whole.json, scribbles: strokes"))
    store, _ = build_store(load_dataset_file(folder / "data.yaml"), folder / "cache")
    left, right = store.label("scribbles")
    assert (left[5, 1:16] == 1).all() and (left[5, 16:] == 255).all() and (right[5, :16] == 255).all()
    assert (left[25, 2:30] == 0).all() and (right[25, 2:30] == 0).all(), "background is everybody's"


def test_no_stroke_is_too_thin_for_a_small_sample() -> None:
    marks = np.full((640, 640), 255, np.uint8)
    marks[np.arange(640), np.arange(640)] = 1
    whole = Sample("x", np.zeros((640, 640, 3), np.uint8), labels={"scribbles": marks})
    small = crop_and_resize(whole, 32, ExclusiveMaps(4))["scribbles"]
    assert small is not None and (np.diagonal(small) == 1).all() and (small == 1).sum() == 32
    marks[:] = 255
    assert crop_and_resize(whole, 32, ExclusiveMaps(4))["scribbles"] is None


@pytest.mark.parametrize("y", [ExclusiveParts(2), OverlappingParts(2)], ids=["exclusive", "overlapping"])
def test_conditioning_makes_the_strokes_all_but_certain_and_nothing_else(y: ExclusiveParts | OverlappingParts) -> None:
    style = Scribbles(y)
    style.set_scale(torch.tensor([0.01]))
    log_y = y.log_probability(torch.randn(1, y.outputs, 4, 4, generator=torch.Generator().manual_seed(0)))
    label = torch.full((1, 1, 4, 4), 255)
    label[0, 0, 0, 0], label[0, 0, 1, 1] = 2, 0
    given = style.condition(log_y, label)
    said = style.predict(given).exp()[0]
    assert said[2, 0, 0] > 0.9 and said[0, 1, 1] > 0.9
    unmarked = (label == 255).expand_as(log_y)
    torch.testing.assert_close(given[unmarked], log_y[unmarked])


def scribbled(parts: np.ndarray, seed: int = 0) -> np.ndarray:
    """(N, S, S) strokes of a pixel's width along some rows of part maps."""
    rows = np.random.default_rng(seed).random(parts.shape[:2]) < 0.2
    return np.where(rows[:, :, None], parts, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def store() -> Store:
    made = birds.render(40, size=32, seed=5)
    splits = ["train"] * 32 + ["val"] * 8
    marks = scribbled(made["parts"])
    return Store.from_arrays(birds.SCHEMA, made["image"], made["parts"], scribbles=marks, splits=splits)


def test_strokes_are_mirrored_with_the_parts(store: Store) -> None:
    raw = store.batch(range(8))
    turned = mirror(raw, birds.SCHEMA)
    marks = turned.labels["scribbles"][:, 0]
    known = marks != 255
    assert known.any() and torch.equal(marks[known], turned.parts[known])


def test_they_train_resume_are_benchmarked_and_predicted_with(store: Store, tmp_path: Path) -> None:
    chosen, data = resolve(settings(changes=CHANGES), "cpu"), Data("birds", lambda seed: store, "val", 8)
    assert "distillation" in data.possible_methods() and "em" in data.possible_methods()
    run = tmp_path / "run"
    for _ in range(2):
        done = compare(lambda: data, chosen, ["em"], [0], run, title="birds", labels="scribbles", parts=8)
        assert [r.labels for r in done.results] == ["scribbles"] * 3 and not done.failed
    before, after, _ = done.results
    assert before.part_miou > 5 and after.part_miou > 5

    def opened(cell: benchmark.Cell, place: Path) -> object:
        return data.open_task(cell.conditions, place, chosen)

    cells = benchmark.plan(["distillation"], [8], ["scribbles"], ["random"], [0])
    (result,) = benchmark.run(cells, tmp_path / "bench", opened, [])  # type: ignore[arg-type]
    assert result.method == "distillation" and methods.METHODS["distillation"].labels

    model = load(run, "cpu")
    image, parts = store.image[35], store.parts[35]
    alone, helped = model.predict(image), model.predict(image, scribbles=scribbled(parts[None], 1)[0])
    known = scribbled(parts[None], 1)[0] != 255
    assert (helped.index == parts)[known].mean() > (alone.index == parts)[known].mean()
    assert (helped.index == parts)[known].mean() > 0.9
    _same_from_files(model, image, scribbled(parts[None], 1)[0], helped.index, tmp_path)
    names = birds.SCHEMA.parts
    assert model.predict(image, scribbles={names[0]: [[(4, 5), (9, 5)]], "background": [[(1, 1)]]}).index[5, 6] == 1
    for wrong, told in (
        ({"wing": [[(1, 2)]]}, "scribbles: 'wing' is no part of this model"),
        ({names[0]: [(1, 2, 3)]}, f"scribbles\\['{names[0]}'\\]: is .*, expected lines"),
        (np.zeros((3, 3), np.uint8), r"scribbles: an array of shape \(3, 3\)"),
        (np.zeros((32, 32), np.uint8), "scribbles: labels 100 % of the pixels"),
    ):
        with pytest.raises(WrongArgument, match=told):
            model.predict(image, scribbles=wrong)
    with pytest.raises(WrongArgument, match="'scribles' is no label style; did you mean 'scribbles'"):
        model.predict(image, scribles=wrong)


def _same_from_files(model: Model, image: np.ndarray, marks: np.ndarray, index: np.ndarray, folder: Path) -> None:
    for below, array in (("photos", image), ("marks", marks)):
        (folder / below).mkdir()
        Image.fromarray(array).save(folder / below / "a.png")
    predict_folder(model, folder / "photos", folder / "out", {"scribbles": folder / "marks"})
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "out" / "a.png")), index)


def test_they_can_be_looked_at(store: Store, tmp_path: Path) -> None:
    marks = np.full((32, 32), 255, np.uint8)
    marks[10:12, 4:20], marks[20:22, 4:20] = 3, 0
    sample = Sample("a", np.full((32, 32, 3), 90, np.uint8), labels={"scribbles": marks})
    sheet = np.asarray(Image.open(contact_sheet([sample], birds.SCHEMA, tmp_path / "sheet.png", size=32)))
    plain = np.asarray(
        Image.open(contact_sheet([Sample("a", sample.image)], birds.SCHEMA, tmp_path / "plain.png", size=32))
    )
    assert 50 < (sheet != plain).any(-1).sum() < 80
