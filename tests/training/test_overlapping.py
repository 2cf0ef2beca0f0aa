"""Parts that overlap, through every piece: files, store, crops, flips, training of every method, predictions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toy import CHANGES

from coarseparts.data.batches import Feed
from coarseparts.data.build import build_store
from coarseparts.data.check import check
from coarseparts.data.crops import crop_and_resize
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.formats.part_files import find_part_files
from coarseparts.data.formats.part_masks import read_part_files
from coarseparts.data.sample import Sample
from coarseparts.data.store import Store
from coarseparts.data.synthetic import birds
from coarseparts.data.transforms import mirror
from coarseparts.evaluation.iou import iou, summary
from coarseparts.experiments.cells import Conditions
from coarseparts.experiments.compare import compare
from coarseparts.experiments.data import Data
from coarseparts.inference.evaluate import evaluate_store
from coarseparts.inference.folder import predict_folder
from coarseparts.inference.model import Model
from coarseparts.labels.part_maps import OverlappingMaps
from coarseparts.labels.schema import Schema
from coarseparts.report.overlay import overlay
from coarseparts.report.palette import colours
from coarseparts.system.problems import BadInput
from coarseparts.training import methods
from coarseparts.training.measure import predictions
from coarseparts.training.networks import resolve
from coarseparts.training.run_folder import RunFolder
from coarseparts.training.settings import settings
from coarseparts.training.stages import validated
from coarseparts.training.task import Task

SCHEMA = Schema(
    parts=("front", "body", "left wing", "right wing"),
    overlapping=True,
    mirror=(("left wing", "right wing"),),
    keypoints=birds.SCHEMA.keypoints,
    keypoint_mirror=birds.SCHEMA.keypoint_mirror,
)
MADE_OF = (("beak", "head"), ("head", "torso"), ("left_wing",), ("right_wing",))  # the head is front and body


def world(count: int, size: int = 32) -> dict[str, np.ndarray]:
    made = birds.render(count, size=size, seed=6)
    index = {name: i for i, name in enumerate(birds.SCHEMA.parts, 1)}
    bits = np.zeros_like(made["parts"])
    for p, names in enumerate(MADE_OF):
        bits |= np.isin(made["parts"], [index[n] for n in names]).astype(np.uint8) << p
    return made | {"parts": bits}


@pytest.fixture(scope="module")
def store() -> Store:
    return Store.from_arrays(SCHEMA, **world(40), splits=["train"] * 32 + ["val"] * 8)


def opened(store: Store, run: Path, **changes: object) -> tuple[Task, RunFolder]:
    task = Task.of(store, resolve(settings(changes={**CHANGES, **changes}), "cpu"), part_limit=8)
    return task, RunFolder.of(run, task)


def test_every_method_trains_and_is_measured(store: Store, tmp_path: Path) -> None:
    names = [n for n in methods.METHODS if n != "mask-only"]
    short = {"part_epochs": 1, "posterior_epochs": 1, "label_epochs": 1, "em_epochs": 1}
    chosen, data = resolve(settings(changes=CHANGES | short), "cpu"), Data("toy", lambda seed: store, "val")
    done = compare(lambda: data, chosen, names, [0], tmp_path, title="overlapping", parts=8)
    assert {r.method for r in done.results} == {*names, "posterior", "em-posterior"} and not done.failed
    for r in done.results:
        assert r.names == SCHEMA.parts and r.counts is not None and 0 <= r.part_miou <= 100, r.method
    page = (tmp_path / "report.html").read_text()
    assert "left wing" in page and page.count("data:image") > 8

    task, run = data.open_task(Conditions(8, "all", "random", 0), tmp_path, chosen)
    joint, _ = methods.train(task, run, "em")
    assert list(joint.styles.values())[1].learned, "the mask's likelihood is learned"
    with pytest.raises(ValueError, match="mask-only needs parts that exclude each other"):
        methods.train(task, run, "mask-only")

    model = Model.load(tmp_path / "model")
    model.shares = {}  # the posterior as it is, without the part model's say in what it answers
    for kind in ("part", "posterior"):
        np.testing.assert_allclose(
            evaluate_store(model, store, "val", kind)["part_miou"], validated(task, joint, kind)["part_miou"]
        )


def test_em_learns_parts_that_overlap(store: Store, tmp_path: Path) -> None:
    task, run = opened(store, tmp_path, part_epochs=60, posterior_epochs=60, em_epochs=2)
    joint, (_, row, _) = methods.train(task, run, "em")
    truth = store.subset(store.rows("val")).parts
    for index, name in ((1, "front"), (2, "body")):
        everywhere = 100 * SCHEMA.maps.shows(truth, index).mean()  # IoU of "this part is everywhere"
        assert row["iou"][name] > 1.5 * everywhere, name
    (_, log_y), *_ = predictions(joint, "posterior", task.val_feed.plain(), task.settings.em.condition)
    bits = joint.y.mode(log_y)
    assert ((bits & 3) == 3).any(), "some pixels belong to two parts"


def test_counts_are_those_of_each_part_as_a_binary_mask() -> None:
    rng = np.random.default_rng(0)
    pred, target = rng.integers(0, 8, (2, 3, 6, 7))
    target[1, 2] = 255
    counts = OverlappingMaps(3).confusion(pred, target)
    assert counts.shape == (3, 4, 4)
    for p in range(3):
        said, true, known = pred >> p & 1 == 1, target >> p & 1 == 1, target != 255
        expected = (said & true & known).sum() / ((said | true) & known).sum()
        np.testing.assert_allclose(iou(counts)[p + 1], expected)
    measured = summary(counts, ("a", "b", "c"))
    np.testing.assert_allclose(measured["part_miou"], 100 * iou(counts)[1:].mean())
    with pytest.raises(ValueError, match=r"pred holds \[8\], expected 0\.\.7"):
        OverlappingMaps(3).confusion(np.full((1, 2, 2), 8), np.zeros((1, 2, 2), int))


def test_a_mirror_swaps_the_bits_of_left_and_right(store: Store) -> None:
    raw = store.batch(range(8))
    turned = mirror(raw, SCHEMA)
    for part, other in ((1, 1), (2, 2), (3, 4), (4, 3)):
        before = torch.from_numpy(SCHEMA.maps.shows(raw.parts.numpy(), part))
        after = torch.from_numpy(SCHEMA.maps.shows(turned.parts.numpy(), other))
        assert torch.equal(before.flip(-1), after), part
    assert torch.equal(mirror(turned, SCHEMA).parts, raw.parts)
    ignored = Store.from_arrays(SCHEMA, raw.image.permute(0, 2, 3, 1).numpy()).batch(range(8))
    assert bool((mirror(ignored, SCHEMA).parts == 255).all())


def test_augmentation_keeps_bits_together(store: Store) -> None:
    feed = Feed(store, np.arange(32), 32, seed=0)
    (batch,) = feed.epoch(99)
    seen, allowed = set(batch.parts.unique().tolist()), set(np.unique(store.parts).tolist())
    flipped = {SCHEMA.value_flip()[v] for v in allowed}
    assert seen <= allowed | flipped, "nearest neighbours: no new combination of parts appears"


def test_a_crop_keeps_every_part_that_covers_half_a_pixel() -> None:
    parts = np.zeros((8, 8), np.uint8)
    parts[:, :4] |= 1
    parts[:4] |= 2
    parts[6:, 6:] = 255
    image = np.zeros((8, 8, 3), np.uint8)
    small = crop_and_resize(Sample("x", image, parts), 4, OverlappingMaps(2))["parts"]
    assert small is not None
    assert small.tolist() == [[3, 3, 2, 2], [3, 3, 2, 2], [1, 1, 0, 0], [1, 1, 0, 255]]
    odd = crop_and_resize(Sample("x", image, parts & 3, crop=np.array([1, 1, 7, 7], np.float32)), 2, OverlappingMaps(2))
    assert odd["parts"] is not None and odd["parts"].tolist() == [[3, 2], [1, 0]]


def test_an_overlay_shows_every_part_where_parts_overlap() -> None:
    image = np.full((20, 20, 3), 100, np.uint8)
    bits = np.zeros((20, 20), np.uint8)
    bits[2:18, 2:18] |= 1
    bits[8:12, 8:12] |= 2
    bits[0] = 255
    drawn = overlay(image, bits, colours(2), OverlappingMaps(2))
    assert drawn[2, 10].tolist() == colours(2)[0].tolist(), "the outline of the first"
    assert drawn[8, 10].tolist() == colours(2)[1].tolist(), "the outline of the second upon it"
    assert drawn[10, 10].tolist() not in (drawn[5, 5].tolist(), image[0, 0].tolist())
    assert drawn[19, 19].tolist() == [100, 100, 100]
    with pytest.raises(ValueError, match=r"expected 0\.\.1"):
        overlay(image, bits, colours(1), OverlappingMaps(1))


# ---- files --------------------------------------------------------------------------------------------------------


def write_files(folder: Path, made: dict[str, np.ndarray], coco: bool = False) -> Path:
    """Birds as files: photographs, a folder of masks a part (or a COCO file of them), figure-ground masks in COCO."""
    from pycocotools import mask as rle

    (folder / "images").mkdir(parents=True)
    parts: dict[str, list] = {"images": [], "annotations": [], "categories": []}
    whole: dict[str, list] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "bird"}]}
    parts["categories"] = [{"id": i, "name": name} for i, name in enumerate(SCHEMA.parts, 1)]

    def code(there: np.ndarray) -> dict:
        found = rle.encode(np.asfortranarray(there.astype(np.uint8)))
        return {"size": list(found["size"]), "counts": found["counts"].decode()}

    for n, (image, bits, mask) in enumerate(zip(made["image"], made["parts"], made["mask"], strict=True)):
        name = f"{n:03d}.png"
        Image.fromarray(image).save(folder / "images" / name)
        entry = {"id": n, "file_name": name, "width": image.shape[1], "height": image.shape[0]}
        parts["images"].append(entry)
        whole["images"].append(entry)
        whole["annotations"].append({"id": n, "image_id": n, "category_id": 1, "segmentation": code(mask > 127)})
        for index, part in enumerate(SCHEMA.parts, 1):
            there = SCHEMA.maps.shows(bits, index)
            if there.any():
                (folder / "masks" / part).mkdir(parents=True, exist_ok=True)
                Image.fromarray(there.astype(np.uint8) * 255).save(folder / "masks" / part / name)
                parts["annotations"].append(
                    {"id": len(parts["annotations"]), "image_id": n, "category_id": index, "segmentation": code(there)}
                )
    (folder / "parts.json").write_text(json.dumps(parts))
    (folder / "whole.json").write_text(json.dumps(whole))
    labels = "part_coco: parts.json" if coco else "part_masks: masks"
    file = folder / "data.yaml"
    file.write_text(
        f"parts: {json.dumps(SCHEMA.parts)}\noverlapping: true\nsize: 32\ncrop: {{to: none}}\n"
        f"sources:\n  - {{split: train, images: images, {labels}, coco: whole.json}}\n"
    )
    return file


@pytest.mark.parametrize("coco", [False, True])
def test_files_come_back_bit_by_bit(tmp_path: Path, coco: bool) -> None:
    made = world(6)
    file = write_files(tmp_path / "data", made, coco)
    built, problems = build_store(load_dataset_file(file), tmp_path / "cache")
    assert built.schema.overlapping and not [p for p in problems if p.severity == "error"]
    shown = made["parts"].any((1, 2))
    np.testing.assert_array_equal(built.parts[built.present["parts"]], made["parts"][shown])
    np.testing.assert_array_equal(built.label("mask"), made["mask"])
    assert built.schema.mirror == (("left wing", "right wing"),)
    report = check(load_dataset_file(file))
    share = report.part_share["train"]
    np.testing.assert_allclose(share["front"], 100 * (made["parts"][shown] & 1 == 1).mean(), atol=1e-3)


def test_what_is_wrong_with_overlapping_masks_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    for name in ("front", "bodie"):
        (folder / name).mkdir(parents=True)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / "front" / "a.png")
    Image.new("RGB", (4, 4), (200, 30, 30)).save(folder / "front" / "b.png")
    found, problems = find_part_files(folder, SCHEMA.parts)
    assert set(found) == {"a", "b"}
    wrong = [p for p in problems if p.severity == "error"]
    assert [p.message for p in wrong] == ["is not named after a part"] and "body" in wrong[0].remedy
    notes = [p.message for p in problems if p.severity == "note"]
    assert notes == ["has no folder 'body'", "has no folder 'left wing'", "has no folder 'right wing'"]
    for name, size, expected in (("a", (4, 4), "is empty"), ("a", (5, 4), "pixels"), ("b", (4, 4), "colours")):
        with pytest.raises(BadInput, match=expected):
            read_part_files(found[name], size, SCHEMA.parts)
    (tmp_path / "none").mkdir()
    assert "front/photo.png" in find_part_files(tmp_path / "none", SCHEMA.parts)[1][0].remedy
    with pytest.raises(ValueError, match="7 at most"):
        Schema(parts=tuple("abcdefgh"), overlapping=True)
    for name in ("..", "../out", "/tmp/x", "wing/tip", ".hidden", "a" * 101, "x.png", "a\\b"):
        with pytest.raises(ValueError, match="cannot name a folder"):
            Schema(parts=("wheel", name), overlapping=True)
        Schema(parts=("wheel", name))
    with pytest.raises(ValueError, match="differ in case alone"):
        Schema(parts=("Wing", "wing"), overlapping=True)


def test_predictions_are_a_mask_a_part_that_a_dataset_file_reads_again(store: Store, tmp_path: Path) -> None:
    task, run = opened(store, tmp_path / "run", part_epochs=20, posterior_epochs=1, label_epochs=1, em_epochs=1)
    Model.of(task, methods.train(task, run, "em").joint, True).save(run.path / "model")
    model = Model.load(tmp_path / "run" / "model")
    write_files(tmp_path / "data", world(3))
    out, coco = tmp_path / "out", tmp_path / "parts.json"
    images = tmp_path / "data" / "images"
    done = predict_folder(model, images, out, with_overlay=True, coco=coco)
    assert done.written == 3
    for name in SCHEMA.parts:
        for n in range(3):
            with Image.open(out / name / f"{n:03d}.png") as mask:
                assert mask.size == (32, 32) and set(np.unique(np.asarray(mask))) <= {0, 255}
    assert (out / "000.overlay.png").is_file()
    said = json.loads(coco.read_text())
    area = sum(int((np.asarray(Image.open(path)) > 0).sum()) for path in out.glob("*/*.png"))
    assert sum(a["area"] for a in said["annotations"]) == area > 0
    done = predict_folder(model, images, tmp_path / "with", labels=tmp_path / "data" / "whole.json")
    assert done.written == 3
    with pytest.raises(BadInput, match="would be overwritten"):
        (images.parent / "front").symlink_to(images)
        predict_folder(model, images, images.parent)
    with pytest.raises(BadInput, match="is in the folder of the images"):
        predict_folder(model, images, images)
