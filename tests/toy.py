"""A toy task of a few seconds, for tests; run as a script, it trains in a folder (to be killed and resumed)."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from coarseparts.cli import options
from coarseparts.data.build import build_store
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.store import Store
from coarseparts.data.synthetic import birds
from coarseparts.inference.model import Model
from coarseparts.system import parallel
from coarseparts.training import methods
from coarseparts.training.networks import resolve
from coarseparts.training.run_folder import RunFolder
from coarseparts.training.settings import settings
from coarseparts.training.task import Task

CHANGES = {
    "part_epochs": 2,
    "posterior_epochs": 2,
    "label_epochs": 2,
    "em_epochs": 3,
    "label_steps": 2,
    "epoch_steps": 2,
    "em_epoch_steps": 3,
    "part_batch": 4,
    "batch": 8,
    "labelled_batch": 4,
}


def toy_store(folder: Path) -> Store:
    """32 training birds of 32 px and 8 to validate on, rendered once."""
    if not folder.exists():
        made = birds.render(40, size=32, seed=5)
        Store.from_arrays(birds.SCHEMA, **made, splits=["train"] * 32 + ["val"] * 8).save(folder)
    return Store.open(folder)


def toy(store: Path, run: Path, **changes: object) -> tuple[Task, RunFolder]:
    """A task with 8 part masks and 24 coarse images, and its run."""
    chosen = resolve(settings(changes={**CHANGES, **changes}), "cpu")
    task = Task.of(toy_store(store), chosen, part_limit=8)
    return task, RunFolder.of(run, task)


ANTS = """
parts: [head, thorax, abdomen, eye]
size: 32
sources:
  - {split: train, images: train/images, part_masks: train/parts, coco: train/coarse.json}
  - {split: val, images: val/images, part_masks: val/parts, coco: val/coarse.json}
  - {split: test, images: test/images, part_masks: test/parts, coco: test/coarse.json}
"""


def write_ants(folder: Path) -> None:
    """Ants as a user would have them, though they look like birds: a dataset file with its images, and a toy run."""
    made = birds.render(18, size=48, seed=3)
    made["parts"] = np.where(made["parts"] > 0, (made["parts"] - 1) % 4 + 1, 0).astype(np.uint8)
    for split, first, count in (("train", 0, 12), ("val", 12, 3), ("test", 15, 3)):
        images, annotations = [], []
        for i in range(first, first + count):
            name = f"{i:02d}.png"
            for key, below in (("image", "images"), ("parts", "parts")):
                (folder / split / below).mkdir(parents=True, exist_ok=True)
                Image.fromarray(made[key][i]).save(folder / split / below / name)
            images.append({"id": i, "file_name": name, "width": 48, "height": 48})
            points = made["keypoints"][i][:4].ravel().tolist()
            x0, y0, x1, y1 = made["box"][i].tolist()
            box = [x0, y0, x1 - x0, y1 - y0]
            annotations.append({"id": i, "image_id": i, "category_id": 1, "keypoints": points, "bbox": box})
        names = ["head_front", "head_back", "abdomen_tip", "left_eye"]
        labelled = annotations[: -1 if split == "val" else None]  # one image has no coarse label
        category = {"id": 1, "name": "ant", "keypoints": names}
        labels = {"images": images, "annotations": labelled, "categories": [category]}
        (folder / split / "coarse.json").write_text(json.dumps(labels))
    (folder / "ants.yaml").write_text(ANTS)
    (folder / "photos").mkdir()
    for i, name in enumerate(("photo.jpg", "photos/one.jpg", "photos/two.jpg")):
        Image.fromarray(made["image"][i]).resize((640, 480)).save(folder / name)
    dataset = load_dataset_file(folder / "ants.yaml")
    store, _ = build_store(dataset, folder / "store", for_training=True)
    chosen = resolve(settings(changes=CHANGES), "cpu")
    task = Task.of(store, chosen, part_limit=6, crop=dataset.crop.model_dump())
    run = RunFolder.of(folder / "runs" / "ants", task, data=str(folder / "ants.yaml"), preset="default")
    Model.of(task, methods.train(task, run, "em").joint, True).save(run.path / "model")


def train(store: Path, run: Path, wanted: str = "em", *texts: str) -> None:
    """Trains methods, "METHOD,METHOD", with the settings of "KEY=VALUE" texts, and saves the model of EM."""
    torch.set_num_threads(1)  # the same in every process, so that sums are taken in the same order
    with parallel.process_group("cpu"):
        task, folder = toy(store, run, **options.changes(texts))
        for method in wanted.split(","):
            joint, _ = methods.train(task, folder, method)
            if method == "em":
                Model.of(task, joint, True).save(folder.path / "model")


if __name__ == "__main__":  # STORE RUN [METHOD,METHOD] [KEY=VALUE ...]
    train(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
