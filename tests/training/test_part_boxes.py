"""Boxes of parts as a coarse label: read, cropped, moved with the image, and learned from."""

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
from coarseparts.data.formats.coco import read_of_parts
from coarseparts.data.sample import Sample
from coarseparts.data.store import Store
from coarseparts.data.synthetic import birds, boxes_of_parts
from coarseparts.data.transforms import augment, mirror
from coarseparts.labels import PartBoxes
from coarseparts.labels.part_maps import ExclusiveMaps
from coarseparts.system.problems import BadInput
from coarseparts.training import methods
from coarseparts.training.measure import predictions
from coarseparts.training.networks import resolve
from coarseparts.training.run_folder import RunFolder
from coarseparts.training.settings import settings
from coarseparts.training.task import Task

PARTS = ("head", "tail")


def coco(file: Path, boxes: list[tuple[str, str, list[float]]], size: int = 40) -> Path:
    names = sorted({image for image, _, _ in boxes})
    file.write_text(
        json.dumps(
            {
                "images": [{"id": i, "file_name": n, "width": size, "height": size} for i, n in enumerate(names)],
                "categories": [{"id": i, "name": part} for i, part in enumerate(PARTS)],
                "annotations": [
                    {"id": i, "image_id": names.index(n), "category_id": PARTS.index(part), "bbox": box}
                    for i, (n, part, box) in enumerate(boxes)
                ],
            }
        )
    )
    return file


def test_boxes_are_read_by_part(tmp_path: Path) -> None:
    said = [("a.png", "head", [2, 3, 4, 5]), ("a.png", "tail", [20, 20, 5, 5]), ("a.png", "tail", [30, 10, 2, 4])]
    file = coco(tmp_path / "boxes.json", [*said, ("b.png", "tail", [1, 1, 8, 8]), ("c.png", "head", [0, 0, 0, 0])])
    annotations, problems = read_of_parts(file, PARTS, PartBoxes)
    found = {a.image: [(b.index, tuple(b.value)) for b in a.label("part_boxes")] for a in annotations}
    assert found["a.png"] == [
        (1, (2, 3, 6, 8)),
        (2, (20, 20, 25, 25)),
        (2, (30, 10, 32, 14)),
    ]
    assert found["b.png"] == [(2, (1, 1, 9, 9))]
    assert "c.png" not in found and ["has no bbox" in p.message for p in problems] == [True]


def test_files_with_part_boxes_make_a_store(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(tmp_path / "images" / f"{name}.png")
    coco(tmp_path / "boxes.json", [("a.png", "head", [0, 0, 20, 10]), ("b.png", "tail", [30, 30, 20, 4])])
    file = tmp_path / "data.yaml"
    text = "parts: [head, tail]\nsize: 32\ncrop: {to: none}\nsources:\n"
    file.write_text(text + "  - {split: train, images: images, part_boxes: boxes.json}\n")
    store, _ = build_store(load_dataset_file(file), tmp_path / "cache")
    assert store.present["part_boxes"].all() and not store.present["box"].any()
    np.testing.assert_allclose(store.label("part_boxes")[0], [[0, 0, 16, 8], [0, 0, 0, 0]])
    np.testing.assert_allclose(store.label("part_boxes")[1, 1], [24, 24, 32, 27.2], rtol=1e-6)
    assert store.batch([0]).labels["part_boxes"].shape == (1, 2, 4)

    file.write_text(
        (text + "  - {split: train, images: images, part_boxes: boxes.json}\n").replace("to: none", "to: object")
    )
    store, _ = build_store(load_dataset_file(file), tmp_path / "cache")
    np.testing.assert_allclose(store.crops[0], [-2, -7, 22, 17]), "the boxes say where the object is"

    coco(tmp_path / "boxes.json", [("a.png", "head", [50, 0, 20, 10]), ("b.png", "tail", [30, 30, 20, 4])])
    with pytest.raises(
        BadInput, match=r"boxes\.json: annotation 0 \(a\.png\): box 50, 0, 70, 10 .* lies outside .* 40x40"
    ):
        build_store(load_dataset_file(file), tmp_path / "cache")
    coco(tmp_path / "boxes.json", [("a.png", "head", [0, 0, 20, 10]), ("b.png", "tail", [30, 30, 20, 4])], size=80)
    with pytest.raises(BadInput, match="was made on 80x80 pixels"):
        build_store(load_dataset_file(file), tmp_path / "cache")


def test_boxes_of_several_objects_go_to_their_own(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(tmp_path / "images" / "a.png")
    boxes = [("a.png", "head", [4, 2, 4, 4]), ("a.png", "tail", [4, 10, 4, 4]), ("a.png", "tail", [10, 10, 4, 8])]
    coco(tmp_path / "boxes.json", [*boxes, ("a.png", "tail", [24, 4, 6, 6])])
    image = {"id": 0, "file_name": "a.png", "width": 40, "height": 40}
    objects = [{"id": i, "image_id": 0, "category_id": 0, "bbox": [20 * i, 0, 18, 20]} for i in range(2)]
    whole = {"images": [image], "annotations": objects, "categories": [{"id": 0, "name": "bird"}]}
    (tmp_path / "whole.json").write_text(json.dumps(whole))
    file = tmp_path / "data.yaml"
    source = "{split: train, images: images, coco: whole.json, part_boxes: boxes.json}"
    file.write_text(f"parts: [head, tail]\nsize: 32\ncrop: {{to: none}}\nsources:\n  - {source}\n")
    store, _ = build_store(load_dataset_file(file), tmp_path / "cache")
    np.testing.assert_allclose(
        store.label("part_boxes") / 0.8, [[[4, 2, 8, 6], [4, 10, 14, 18]], [[0, 0, 0, 0], [24, 4, 30, 10]]]
    )


def test_a_crop_moves_the_boxes_exactly() -> None:
    boxes = np.array([[10, 10, 20, 14], [0, 0, 4, 4], [0, 0, 0, 0]], np.float32)
    image = np.zeros((40, 40, 3), np.uint8)

    def cropped(*crop: int) -> np.ndarray | None:
        sample = Sample("x", image, crop=np.array(crop, np.float32), labels={"part_boxes": boxes})
        return crop_and_resize(sample, 8, ExclusiveMaps(3))["part_boxes"]

    np.testing.assert_allclose(cropped(8, 8, 24, 24), [[1, 1, 6, 3], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert cropped(30, 30, 40, 40) is None


@pytest.fixture(scope="module")
def store() -> Store:
    made = birds.render(40, size=32, seed=5)
    boxes = boxes_of_parts(made["parts"], birds.SCHEMA)
    parts_only = {name: made[name] for name in ("image", "parts")}
    splits = ["train"] * 32 + ["val"] * 8
    return Store.from_arrays(birds.SCHEMA, **parts_only, part_boxes=boxes, splits=splits)


def test_boxes_are_tight_around_the_parts(store: Store) -> None:
    head = birds.SCHEMA.parts.index("head")
    for parts, boxes in zip(store.parts[:10], store.label("part_boxes")[:10], strict=True):
        ys, xs = np.nonzero(parts == head + 1)
        expected = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] if len(xs) else [0, 0, 0, 0]
        assert boxes[head].tolist() == expected


def test_boxes_move_with_the_image(store: Store) -> None:
    raw = store.batch(range(32))
    turned = mirror(raw, birds.SCHEMA)
    again = torch.from_numpy(boxes_of_parts(turned.parts.numpy(), birds.SCHEMA))
    torch.testing.assert_close(turned.labels["part_boxes"], again)

    moved = augment(raw, birds.SCHEMA, torch.Generator().manual_seed(0))
    tight = torch.from_numpy(boxes_of_parts(moved.parts.numpy().astype(np.uint8), birds.SCHEMA))
    both = (tight[..., 2] > tight[..., 0]) & (moved.labels["part_boxes"][..., 2] > 0)
    assert both.sum() > 100
    off = (tight - moved.labels["part_boxes"])[both].abs()
    assert off.mean() < 0.5 and off.quantile(0.98) <= 1.6, "no turn, no shear: boxes stay tight, to a pixel"


def test_em_learns_from_part_boxes(store: Store, tmp_path: Path) -> None:
    chosen = resolve(settings(changes={**CHANGES, "part_epochs": 20, "posterior_epochs": 20}), "cpu")
    task = Task.of(store, chosen, part_limit=8)
    assert task.styles == ["part_boxes"]
    joint, (before, after, _) = methods.train(task, RunFolder.of(tmp_path, task), "em")
    assert before["part_miou"] > 5 and after["part_miou"] > 5
    (batch, log_y), *_ = predictions(joint, "posterior", task.val_feed.plain(), task.settings.em.condition)
    label, style = batch.labels["part_boxes"], joint.styles["part_boxes"]
    outside = style.draw(label, 32) == 0
    assert float(log_y.exp()[:, 1:][outside].max()) < 0.5, "no part is seen beyond its box"
