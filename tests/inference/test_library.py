"""The library's face: load, predict with any subset of labels, check, evaluate; on a toy run folder."""

from __future__ import annotations

import json
import math
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as rle
from untrained import PARTS, saved

import coarseparts
from coarseparts import Model, Parts
from coarseparts.data.synthetic import birds
from coarseparts.inference.folder import predict_folder
from coarseparts.inference.predict import BATCH
from coarseparts.labels import STYLES


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return coarseparts.load(saved(tmp_path_factory.mktemp("run")), device="cpu")


@pytest.fixture(scope="module")
def world() -> dict[str, np.ndarray]:
    return birds.render(4, size=64, seed=4)


@pytest.fixture(scope="module")
def photograph(world: dict[str, np.ndarray]) -> np.ndarray:
    return np.ascontiguousarray(world["image"][0][:48])  # 64 x 48 pixels


BOX = (8, 5, 52, 44)
POINTS = {"beak": (20.5, 12.25), "left eye": (30, 40.5, 1), "tail": (0, 0, 0)}


def mask_of(size: tuple[int, int] = (48, 64)) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[6:40, 10:50] = True
    return mask


def coco_of(folder: Path, labels: dict[str, object]) -> tuple[Path | None, Path | None]:
    """COCO files of the labels of photo.png."""
    image = {"id": 1, "file_name": "photo.png", "width": 64, "height": 48}
    entry: dict[str, object] = {"id": 1, "image_id": 1, "category_id": 1}
    names = list(birds.SCHEMA.keypoints)
    if "keypoints" in labels:
        names = list(labels["keypoints"])
        entry["keypoints"] = [v for x, y, *more in labels["keypoints"].values() for v in (x, y, *(more or [2]))]
    if "mask" in labels:
        code = rle.encode(np.asfortranarray(labels["mask"].astype(np.uint8)))
        entry["segmentation"] = {"size": code["size"], "counts": code["counts"].decode()}
    if "box" in labels:
        x0, y0, x1, y1 = labels["box"]
        entry["bbox"] = [x0, y0, x1 - x0, y1 - y0]
    whole = {"images": [image], "annotations": [entry], "categories": [{"id": 1, "name": "bird", "keypoints": names}]}
    (folder / "coarse.json").write_text(json.dumps(whole))
    boxes = labels.get("part_boxes", {})
    categories = [{"id": i, "name": name} for i, name in enumerate(PARTS, 1)]
    entries = [
        {"id": i, "image_id": 1, "category_id": PARTS.index(name) + 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
        for i, (name, (x0, y0, x1, y1)) in enumerate(boxes.items(), 1)
    ]
    parts = {"images": [image], "annotations": entries, "categories": categories}
    (folder / "boxes.json").write_text(json.dumps(parts))
    return folder / "coarse.json" if len(entry) > 3 else None, folder / "boxes.json" if boxes else None


ANY = {"keypoints": POINTS, "mask": mask_of(), "box": BOX, "part_boxes": {"head": (10, 6, 30, 20), "tail": BOX}}


@pytest.mark.parametrize("styles", [(), ("keypoints",), ("mask",), ("box",), ("part_boxes",), tuple(ANY)])
@pytest.mark.parametrize("kind", ["object", "none", "overlapping"])
def test_predictions_are_those_of_the_command_line(
    styles: tuple[str, ...], kind: str, model: Model, photograph: np.ndarray, tmp_path: Path
) -> None:
    if kind != "object":
        crop, overlapping = "none" if kind == "none" else "object", kind == "overlapping"
        model = coarseparts.load(saved(tmp_path / "run", STYLES, overlapping, crop), "cpu")
    labels = {style: ANY[style] for style in styles}
    (tmp_path / "photos").mkdir()
    Image.fromarray(photograph).save(tmp_path / "photos" / "photo.png")
    coco, boxes = coco_of(tmp_path, labels)
    files = {key: file for key, file in (("coco", coco), ("part_boxes", boxes)) if file is not None}
    predict_folder(model, tmp_path / "photos", tmp_path / "out", files)
    parts = model.predict(photograph, **labels)
    assert len(np.unique(parts._map)) > 1, "there is something to compare"
    if kind == "overlapping":
        for name in PARTS:
            written = np.asarray(Image.open(tmp_path / "out" / name / "photo.png"))
            assert np.array_equal(parts.masks[name], written > 0)
            assert np.array_equal(parts.masks[name], parts.probability[PARTS.index(name)] > 0.5)
        assert parts.probability.shape == (3, 48, 64)
        with pytest.raises(AttributeError, match="use masks"):
            _ = parts.index
    else:
        assert np.array_equal(parts.index, np.asarray(Image.open(tmp_path / "out" / "photo.png")))
        assert parts.index.dtype == np.uint8 and parts.probability.dtype == np.float32
        assert parts.probability.shape == (4, 48, 64)
        np.testing.assert_allclose(parts.probability.sum(0), 1, atol=1e-5)
        assert np.array_equal(parts.probability.argmax(0), parts.index)
        assert all(np.array_equal(parts.masks[name], parts.index == i) for i, name in enumerate(PARTS, 1))
    if styles:
        assert not np.array_equal(parts._map, model.predict(photograph)._map), "labels are heard"


def test_an_image_may_come_in_any_form(model: Model, photograph: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "photo.png"
    Image.fromarray(photograph).save(file)
    expected = model.predict(photograph).index
    for given in (file, str(file), Image.open(file), photograph[::-1][::-1]):
        assert np.array_equal(model.predict(given).index, expected)
    several = model.predict([file, photograph], box=[None, BOX])
    assert isinstance(several, list) and model.predict([]) == []
    for one, alone in zip(several, (expected, model.predict(photograph, box=BOX).index), strict=True):
        assert np.mean(one.index != alone) < 0.01
    assert len(model.predict([photograph] * (BATCH + 1))) == BATCH + 1


def test_labels_may_come_in_any_form(model: Model, photograph: np.ndarray, tmp_path: Path) -> None:
    mask, file = mask_of(), tmp_path / "mask.png"
    Image.fromarray(mask.astype(np.uint8) * 255).save(file)
    palette = Image.fromarray(mask.astype(np.uint8) * 3, "P")
    palette.putpalette([0, 0, 0] * 3 + [200, 0, 0])
    expected = model.predict(photograph, mask=mask).index
    grey = mask.astype(np.uint8)
    for given in (grey, grey * 255, file, str(file), Image.open(file), Image.fromarray(mask), palette):
        assert np.array_equal(model.predict(photograph, mask=given).index, expected)
    boxed = model.predict(photograph, box=np.array(BOX)).probability
    assert np.array_equal(boxed, model.predict(photograph, box=list(BOX)).probability)
    assert np.array_equal(
        model.predict(photograph, keypoints={}, part_boxes={}).index, model.predict(photograph).index
    ), "nothing is given"
    seen = model.predict(photograph, keypoints={"beak": (20, 12)}).probability
    assert np.array_equal(seen, model.predict(photograph, keypoints={"beak": [20, 12, 2]}).probability)


def test_some_of_the_keypoints_do_not_cut_the_rest_of_the_object_off(photograph: np.ndarray, tmp_path: Path) -> None:
    model = coarseparts.load(saved(tmp_path, ("keypoints",)), device="cpu")

    def looked_at(count: int) -> np.ndarray:
        near = {name: (20 + i / 2, 14 + i % 3) for i, name in enumerate(birds.SCHEMA.keypoints[:count])}
        return model.predict(photograph, keypoints=near).prediction.crop

    assert np.array_equal(looked_at(3), looked_at(0)), "the object as it was found without them"
    width = np.ptp(looked_at(0)[::2])
    assert np.ptp(looked_at(len(birds.SCHEMA.keypoints))[::2]) < width / 2, "all say where it is, as in training"


def test_a_turned_photograph_is_upright_and_labels_are_those_of_the_upright_one(
    model: Model, photograph: np.ndarray, tmp_path: Path
) -> None:
    turned = Image.fromarray(np.rot90(photograph).copy())
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    upright = model.predict(photograph, mask=mask_of(), box=BOX)
    for given in (tmp_path / "turned.png", Image.open(tmp_path / "turned.png")):
        parts = model.predict(given, mask=mask_of(), box=BOX)
        assert np.array_equal(parts.image, photograph) and np.array_equal(parts.index, upright.index)
        assert "EXIF orientation 6 applied" in str(parts.notes[0])


def test_what_was_moved_or_converted_is_noted(model: Model, photograph: np.ndarray) -> None:
    grey = Image.fromarray(photograph).convert("L")
    parts = model.predict(grey, box=(-9, 5, 52, 60), keypoints={"beak": (64.5, 3)})
    told = [str(note) for note in parts.notes]
    assert [text.split(":")[0] for text in told] == ["image", "keypoints", "box"], told
    assert all(note.severity == "repaired" for note in parts.notes)
    assert np.array_equal(parts.index, model.predict(grey, box=(0, 5, 52, 48), keypoints={"beak": (63.5, 3)}).index)


WRONG = [
    ({"keypoints": {"baek": (3, 4)}}, r"^keypoints: 'baek' is no keypoint of this model; did you mean 'beak'\?"),
    (
        {"keypoints": {"beak": (300, 4)}},
        r"^keypoints: keypoint 'beak' at \(300, 4\) lies outside the image of 64x48 pixels",
    ),
    ({"keypoints": {"beak": (3, 4, 7)}}, r"^keypoints\['beak'\]: visibility 7, expected 2 visible, 1 hidden"),
    ({"keypoints": {"beak": (3,)}}, r"^keypoints\['beak'\]: is \(3,\), expected \(x, y\) or \(x, y, v\)"),
    ({"keypoints": {"beak": ("a", "b")}}, r"^keypoints\['beak'\]: is \('a', 'b'\), expected"),
    ({"keypoints": {"beak": (math.nan, 2)}}, r"^keypoints\['beak'\]: is \(nan, 2\), expected"),
    ({"keypoints": [(3, 4)]}, "^keypoints: is of type list, expected a dict by name of the keypoint"),
    ({"box": (70, 5, 90, 40)}, r"^box: box 70, 5, 90, 40 .* lies outside the image of 64x48 pixels"),
    ({"box": (0.1, 0.1, 0.8, 0.9)}, r"^box: all of it lies in 0\.\.1, the first pixel, expected pixels; multiply x by"),
    (
        {"keypoints": {"beak": (0.5, 0.2), "left eye": (0.4, 0.9)}},
        r"^keypoints: all of it lies in 0\.\.1, the first pixel",
    ),
    ({"box": (20, 5, 10, 40)}, r"^box: \(20, 5, 10, 40\) has no area, expected \(x0, y0, x1, y1\) with x0 < x1"),
    ({"box": (1, 2, 3)}, r"^box: is \(1, 2, 3\), expected \(x0, y0, x1, y1\)"),
    ({"box": "all"}, "^box: is 'all', expected"),
    (
        {"mask": mask_of((64, 64))},
        r"^mask: an array of shape \(64, 64\) and type bool, expected \(48, 64\) bool or uint8",
    ),
    ({"mask": mask_of().astype(float)}, "^mask: an array of shape .* and type float64, expected"),
    ({"mask": np.zeros((48, 64), bool)}, "^mask: is empty"),
    ({"mask": mask_of() * np.uint8(5)}, "^mask: its highest value is 5, expected 255"),
    ({"mask": Image.new("RGB", (64, 48))}, "^mask: an image of mode RGB, expected a grey-scale one"),
    ({"mask": 3}, "^mask: is of type int, expected a path, a PIL image or an array"),
    ({"mask": "nowhere.png"}, "^nowhere.png: does not exist"),
    ({"part_boxes": {"haed": BOX}}, r"^part_boxes: 'haed' is no part of this model; did you mean 'head'\?"),
    ({"part_boxes": {"head": (70, 5, 90, 40)}}, r"^part_boxes: 'head': .* lies outside the image"),
    (
        {"image": np.zeros((48, 64), np.uint8)},
        r"^image: an array of shape \(48, 64\) and type uint8, expected \(H, W, 3\)",
    ),
    ({"image": np.zeros((48, 64, 3))}, r"\(48, 64, 3\) and type float64, expected .*convert it: \(255 \* array\)"),
    ({"image": np.full((48, 64, 3), 200.0)}, r"bring its values to 0\.\.255, as uint8"),
    ({"image": np.zeros((48, 64, 3), np.uint16)}, r"bring its values to 0\.\.255, as uint8"),
    ({"image": np.zeros((48, 64, 1), np.uint8)}, r"PIL\.Image\.fromarray\(array\.squeeze\(\)\)"),
    ({"image": np.zeros((48, 64, 4), np.uint8)}, r"array\[\.\.\., :3\]"),
    ({"image": np.zeros((3, 48, 64), np.uint8)}, r"array\.transpose\(1, 2, 0\)"),
    ({"image": np.zeros((2, 48, 64, 3), np.uint8)}, r"several images are given as a list: list\(array\)"),
    ({"image": np.zeros((0, 64, 3), np.uint8)}, "^image: an array of shape .* give an array with pixels"),
    ({"image": np.zeros(5, np.uint8)}, "^image: an array of shape .* give an array with pixels"),
    ({"image": None}, "^image: is of type NoneType, expected a path, a PIL image"),
    ({"image": "nowhere.jpg"}, "^nowhere.jpg: does not exist, expected an image"),
    ({"image": "."}, "^.: is a folder, expected an image; name an image in it"),
    ({"image": torch.zeros(48, 64, 3)}, r"^image: is of type Tensor, .* of a tensor give tensor.cpu\(\).numpy\(\)"),
    ({"mask": torch.zeros(48, 64)}, r"^mask: is of type Tensor, .* of a tensor give tensor.cpu\(\).numpy\(\)"),
    ({"image": ["a.png", "b.png"], "box": BOX}, "^box: 4 of them for a list of 2 images; give a list of as many"),
    ({"image": ["a.png"], "mask": mask_of()}, "^mask: one ndarray for a list of 1 images"),
    ({"image": [np.zeros((9, 9, 3), np.uint8)], "box": [(20, 20, 30, 30)]}, r"^box\[0\]: .* lies outside"),
]


@pytest.mark.parametrize(("wrong", "told"), WRONG)
def test_a_wrong_argument_is_named_with_what_came_and_what_was_expected(
    wrong: dict[str, object], told: str, model: Model, photograph: np.ndarray
) -> None:
    with pytest.raises(coarseparts.CoarsepartsError, match=told):
        model.predict(**{"image": photograph, **wrong})


def test_labels_that_a_model_was_not_trained_with_are_refused(photograph: np.ndarray, tmp_path: Path) -> None:
    bare = coarseparts.load(saved(tmp_path / "bare", posterior=False), "cpu")
    with pytest.raises(coarseparts.CoarsepartsError, match=r"^box: .* it has no posterior and sees the image alone"):
        bare.predict(photograph, box=BOX)
    masks = coarseparts.load(saved(tmp_path / "masks", ("mask",)), "cpu")
    with pytest.raises(coarseparts.CoarsepartsError, match=r"^box: .* it uses mask; leave them out"):
        masks.predict(photograph, box=BOX)
    assert bare.predict(photograph).index.shape == masks.predict(photograph, mask=mask_of()).index.shape == (48, 64)


def test_a_result_shows_itself(model: Model, photograph: np.ndarray) -> None:
    parts = model.predict(photograph)
    picture = parts.overlay()
    assert picture.mode == "RGB" and picture.size == (64, 48)
    assert repr(parts).startswith("<Parts of 64x48 pixels: ") and "%" in repr(parts) and len(repr(parts)) < 200
    assert parts.names == PARTS and parts._repr_png_().startswith(b"\x89PNG")
    page = parts._repr_html_()
    assert "data:image/png;base64," in page and all(name in page for name in PARTS)


def test_names_are_no_markup_in_a_notebook(model: Model, photograph: np.ndarray) -> None:
    parts = model.predict(photograph)
    vile = Parts(parts.prediction, parts._schema.model_copy(update={"parts": ("<b>\x1b", "a", "b")}), parts.image)
    assert "<b>" not in vile._repr_html_() and "&lt;b&gt;\\x1b" in vile._repr_html_()
    assert "\x1b" not in repr(vile)


def test_two_threads_get_the_bits_that_one_gets(model: Model, world: dict[str, np.ndarray], tmp_path: Path) -> None:
    images = list(world["image"])
    alone = [model.predict(image, box=BOX).probability for image in images]
    fresh = coarseparts.load(saved(tmp_path / "run"), "cpu")  # nothing is prepared yet
    got: dict[int, list[np.ndarray]] = {}

    def ask(thread: int) -> None:
        got[thread] = [fresh.predict(image, box=BOX).probability for image in images]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(2):
        assert all(np.array_equal(a, b) for a, b in zip(alone, got[number], strict=True))


def test_a_photograph_may_be_written_over_afterwards(model: Model, photograph: np.ndarray) -> None:
    buffer = photograph.copy()
    parts = model.predict(buffer)
    buffer[:] = 0
    assert np.array_equal(parts.image, photograph)


def test_a_model_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(coarseparts.CoarsepartsError, match="holds no trained model; train one"):
        coarseparts.load(tmp_path)
    state = tmp_path / "stages" / "em" / "state.pt"
    state.parent.mkdir(parents=True)
    state.touch()
    with pytest.raises(coarseparts.CoarsepartsError, match="training has not come to its end: the same"):
        coarseparts.load(tmp_path)
    saved(tmp_path / "seed0")
    with pytest.raises(coarseparts.CoarsepartsError, match=f"holds no trained model; name one of {tmp_path}/seed0"):
        coarseparts.load(tmp_path)
    with pytest.raises(coarseparts.CoarsepartsError, match=r"^path: is of type int, expected a path"):
        coarseparts.load(3)  # type: ignore[arg-type]
    with pytest.raises(coarseparts.CoarsepartsError, match=r"^device: is 'gpu'; choose one of auto, cpu, cuda"):
        coarseparts.load(tmp_path, device="gpu")


def test_evaluate_measures_and_says_what_is_noteworthy(ants: Path) -> None:
    result = coarseparts.evaluate(ants / "runs" / "ants", device="cpu")
    assert result.images == 3 and set(result.iou) == {"head", "thorax", "abdomen", "eye"}
    assert 0 <= result.ci95[0] <= result.part_miou <= result.ci95[1] + 1e-6 and 0 <= result.miou <= 100
    assert result.pck is not None and result.pck["points"] > 3
    run = str(ants / "runs" / "ants")
    posterior = coarseparts.evaluate(run, "val", ants / "ants.yaml", "posterior", device="cpu")
    assert any("1 of 3 images have no coarse label" in str(p) for p in posterior.problems)
    for labels, told in ((["box"], "images have no box, and"), ([], "no coarse label was asked for, and the")):
        some = coarseparts.evaluate(run, "val", ants / "ants.yaml", "posterior", labels=labels, device="cpu")
        assert any(told in str(p) for p in some.problems)
    assert json.loads(json.dumps(result.measures()))["images"] == 3 and "problems" not in result.measures()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"split": "vla"}, "^split: is 'vla'; choose one of train, val, test"),
        ({"model": "em"}, "^model: is 'em'; choose one of part, posterior"),
        ({"data": "nowhere.yaml"}, "nowhere.yaml"),
        ({"labels": ["box"]}, "^labels: box, and the part model sees none; take model posterior"),
        ({"labels": "box", "model": "posterior"}, "^labels: is 'box', expected a list of label styles"),
    ],
)
def test_what_cannot_be_measured_is_told(ants: Path, wrong: dict[str, str], told: str) -> None:
    with pytest.raises(coarseparts.CoarsepartsError, match=told):
        coarseparts.evaluate(ants / "runs" / "ants", **wrong, device="cpu")  # type: ignore[arg-type]


def test_check_gives_each_problem_with_file_remedy_and_severity(ants: Path) -> None:
    report = coarseparts.check(ants / "ants.yaml")
    assert report.splits["train"]["samples"] == 12 and not report.errors
    assert all(p.file and p.message and p.severity in ("note", "repaired") for p in report.problems)
    with pytest.raises(coarseparts.CoarsepartsError, match=r"nowhere\.yaml"):
        coarseparts.check("nowhere.yaml")
