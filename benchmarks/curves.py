"""How good students become with time, resolution, encoder and choice of the epoch: curves of many trainings at once.

    python benchmarks/curves.py OUT.jsonl [--only TEXT] [--data FOLDER] [--weights FOLDER] [--at-once N] [--seconds N]

One line of JSON for each epoch of each training: the part mIoU of the part model as it is ("last"), of its moving
averages and of the mean over the mirror image, on validation images and on others that no choice is made by; where the
true parts of the coarse images are known, the teacher's on these. Birds: seeds that no published table uses. Ants: 30
part masks, "test" being the other 120 images with masks of that folder, never the held-back ones. ``--toy``: one step
each, to see that it runs. ``--table``: what a file of lines comes to.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from curves_cells import Cell, cells

from coarseparts.data.build import build_store
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.store import Store
from coarseparts.data.synthetic import birds
from coarseparts.data.transforms import mirror
from coarseparts.evaluation.iou import summary
from coarseparts.experiments.worlds import WORLDS, World
from coarseparts.joint import JointModel
from coarseparts.training import methods, stages
from coarseparts.training.claims import write
from coarseparts.training.networks import resolve
from coarseparts.training.run_folder import RunFolder
from coarseparts.training.settings import FROM_WEIGHTS, settings
from coarseparts.training.task import Task

CARS_LIKE = World("bird", birds.SCHEMA, birds.render, ("keypoints", "box"), 40, 320, val=40, test=300)
"""Many parts, keypoints and boxes and no mask, few images to choose by."""

AVERAGES = (0.98, 0.995)

ENCODERS = {
    "resnet18": "auto",
    "tf_efficientnet_lite0": "tf_efficientnet_lite0",
    "tf_efficientnet_lite2": "tf_efficientnet_lite2",
}

ANTS = """
parts: [head, thorax, abdomen, eye]
size: {size}
crop: {{to: object, margin: 0.1}}
sources:
  - {{split: train, images: {parts}/images, part_masks: {parts}/part_masks, coco: {parts}/coarse.json, limit: 30}}
  - {{split: test, images: {parts}/images, part_masks: {parts}/part_masks, coco: {parts}/coarse.json, only: {rest}}}
  - {{split: train, images: {root}/train_coarse/images, coco: {root}/train_coarse/coarse.json}}
  - {{split: val, images: {root}/val/images, part_masks: {root}/val/part_masks, coco: {root}/val/coarse.json}}
"""


def store_of(cell: Cell, work: Path, data: Path) -> Store:
    """The cell's images, made once and kept in ``work``."""
    if cell.data == "birds":
        own = WORLDS["synthetic-birds"].store(work / f"birds{cell.seed}", cell.seed)
        return with_bare(own, cell.bare, cell.seed) if cell.bare else own
    if cell.data == "cars-like":
        return CARS_LIKE.store(work / f"cars{cell.seed}", cell.seed)
    if cell.data == "aircraft":
        return WORLDS["synthetic-aircraft"].store(work / f"aircraft{cell.seed}", cell.seed)
    place = work / f"ants{cell.size or 128}"
    place.mkdir(parents=True, exist_ok=True)
    names = sorted(path.name for path in (data / "train_parts/images").iterdir())
    write(place / "rest.txt", "\n".join(names[30:]) + "\n")
    text = ANTS.format(
        size=cell.size or 128,
        root=data.resolve(),
        parts=data.resolve() / "train_parts",
        rest=(place / "rest.txt").resolve(),
    )
    write(place / "ants.yaml", text)  # several trainings share it
    return build_store(load_dataset_file(place / "ants.yaml"), place / "store", for_training=True)[0]


def with_bare(store: Store, count: int, seed: int) -> Store:
    """A store of birds with so many more to train with, of which nothing but the image is known."""
    more = birds.render(count, size=store.size, seed=500_000 + seed)
    arrays = {"image": store.image, "parts": store.parts} | {name: store.label(name) for name in store.styles}
    joined = {name: np.concatenate([own, more[name]]) for name, own in arrays.items()}
    there = {name: np.concatenate([store.present[name], np.zeros(count, bool)]) for name in ("parts", *store.styles)}
    return Store.from_arrays(
        store.schema,
        **joined,
        names=[*store.names, *(f"bare-{i:05d}" for i in range(count))],
        splits=[*store.splits, *["train"] * count],
        present=there,
    )


def settings_of(cell: Cell, weights: Path, toy: bool) -> Any:
    given: dict[str, Any] = {"precision": "float32" if torch.cuda.is_available() else "auto"}
    if cell.weights:
        given |= {
            "weights": str(weights / cell.weights),
            "encoder": ENCODERS[cell.weights.split("_fp16")[0].split("_trunk")[0]],
        }
    else:
        given["encoder"] = "resnet10"
    given |= {"em.consistency": 0.0, "rate_decay": 0.0, "decoder": "stride2"}
    given |= {"em.impute": 0.0, "augmentation.ramp": 0.0, "em.blank": 0.0}
    given |= {"augmentation.background": 0.0, "augmentation.part_colours": 0.0}
    given["stages"] = 4 if cell.weights else 3
    given |= {"batch": 16, "labelled_batch": 8, "part_batch": 16, "epoch_steps": 8, "em_epoch_steps": 64}
    given["em_epochs"] = FROM_WEIGHTS * cell.times
    given["part_average"] = AVERAGES[0]
    if toy:
        given |= {"em_epochs": 1, "part_epochs": 1, "posterior_epochs": 1, "label_epochs": 1, "label_steps": 1}
        given |= {"epoch_steps": 1, "em_epoch_steps": 1, "batch": 512}
    return resolve(settings("default", given | cell.changes), "cpu")


class Watch:
    """Measures each epoch of the stages that make students, beside what the stage itself does; counts no time."""

    def __init__(self, cell: Cell, out: Path, begun: float):
        self.cell, self.out, self.begun, self.apart = cell, out, begun, 0.0
        self.slow: Any = None
        self.calls = 0

    @torch.no_grad()
    def look(self, task: Task, joint: JointModel, stage: str, every: int) -> None:
        self.calls += 1
        if self.calls % every:
            return
        begin = time.perf_counter()
        row: dict[str, Any] = {"cell": self.cell.name, "stage": stage, "epoch": self.calls}
        row["seconds"] = round(begin - self.begun - self.apart, 1)
        for module in joint.trained:
            module.eval()
        models = {"last": joint.part_model}
        if joint.part_average is not None:
            models["average"] = joint.part_average
        for split, feed in (("val", task.val_feed), ("test", task.feed(task.full.rows("test", has="parts"), 64, 0))):
            counts: dict[str, list[np.ndarray]] = {}
            for batch in feed.plain():
                for name, model in models.items():
                    log_y = joint.y.log_probability(model(batch.image))
                    counts.setdefault(name, []).append(task.schema.maps.confusion(joint.y.mode(log_y), batch.parts))
                    if name == "average":
                        other = joint.y.log_probability(model(mirror(batch, task.schema).image))
                        both = log_y.exp() + joint.y.mirrored(other, task.schema.part_flip()).exp()
                        counts.setdefault("flip", []).append(
                            task.schema.maps.confusion(joint.y.mode(both.log()), batch.parts)
                        )
                if stage == "em":
                    q = joint.infer(batch, True)
                    counts.setdefault("posterior", []).append(task.schema.maps.confusion(joint.y.mode(q), batch.parts))
            row[split] = {
                k: round(summary(np.concatenate(v), task.schema.parts)["part_miou"], 2) for k, v in counts.items()
            }
        if self.cell.data != "ants" and stage in ("em", "distillation"):
            row["coarse"] = self._coarse(task, joint)
        with open(self.out, "a") as file:
            file.write(json.dumps(row) + "\n")
        self.apart += time.perf_counter() - begin

    def _coarse(self, task: Task, joint: JointModel) -> dict[str, float]:
        """Of 320 coarse images: the posterior's and the student's mIoU, the posterior's likelihood of the truth and its
        entropy, nats a pixel."""
        rows = task.rows.coarse[:320]
        counts: dict[str, list[np.ndarray]] = {"posterior": [], "student": []}
        sums = {"likelihood": 0.0, "entropy": 0.0}
        truth = [b.parts for b in task.feed(rows, 64, 0, task.full).plain()]
        for batch, parts in zip(task.feed(rows, 64, 0).plain(), truth, strict=True):
            log_q = joint.infer(batch, True)
            counts["posterior"].append(task.schema.maps.confusion(joint.y.mode(log_q), parts))
            counts["student"].append(task.schema.maps.confusion(joint.y.mode(joint.parts(batch)), parts))
            true = log_q.gather(1, parts[:, None].clamp(0, log_q.shape[1] - 1))
            sums["likelihood"] += float(true.clamp_min(-12).mean()) * len(batch)
            sums["entropy"] += float(-(log_q.exp() * log_q).sum(1).mean()) * len(batch)
        found = {k: summary(np.concatenate(v), task.schema.parts)["part_miou"] for k, v in counts.items()}
        return {k: round(v, 3) for k, v in (found | {k: v / len(rows) for k, v in sums.items()}).items()}


def train(cell: Cell, out: Path, work: Path, data: Path, weights: Path, device: str, toy: bool) -> str:
    torch.set_num_threads(1 if device != "cpu" else torch.get_num_threads())
    begun = time.perf_counter()
    store = store_of(cell, work, data)
    s = settings_of(cell, weights, toy)
    limit = None if cell.data == "ants" else {"birds": 30, "cars-like": 40, "aircraft": 60}[cell.data]
    task = Task.of(store, s, cell.seed, device, None, limit, measure="test", labels_each=cell.each)
    safe = "".join(c if c.isalnum() else "-" for c in cell.name)
    run = RunFolder.of(work / "runs" / safe, task)
    watch, usual = Watch(cell, out, begun), stages.validated
    name = {"em": "em"}.get(cell.method, cell.method)

    def validated(task: Task, joint: JointModel, model: str) -> dict[str, Any]:
        stage = list(run.stages)[-1] if run.stages else ""
        before = stage == "em" and not run.stages[stage].history  # what EM begins with is measured, too
        if model == "part" and stage == name and not before:
            watch.look(task, joint, stage, max(1, run.stages[stage].epochs // 12))
        return usual(task, joint, model)

    stages.validated = validated
    try:
        trained = methods.train(task, run, cell.method)
    finally:
        stages.validated = usual
    row = trained.rows[-1]
    done = {"cell": cell.name, "stage": "end", "seconds": round(time.perf_counter() - begun - watch.apart, 1)}
    done |= {"test": {"kept": round(row["part_miou"], 2)}, "iou": {k: round(v, 1) for k, v in row["iou"].items()}}
    with open(out, "a") as file:
        file.write(json.dumps(done) + "\n")
    return f"{cell.name}: {row['part_miou']:.1f} in {done['seconds']:.0f} s"


def _job(given: tuple[Any, ...]) -> str:
    try:
        return train(*given)
    except Exception as error:  # the others go on
        return f"{given[0].name}: {type(error).__name__}: {str(error)[:300]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/ants"))
    parser.add_argument("--weights", type=Path, default=Path("../shared/weights"))
    parser.add_argument("--work", type=Path, default=Path("runs/curves"))
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--table", action="store_true")
    o = parser.parse_args()
    if o.table:
        return table(o.out)
    device, begin = "cuda" if torch.cuda.is_available() else "cpu", time.perf_counter()
    wanted = [c for c in cells() if not o.only or any(text in c.name for text in o.only.split("|"))]
    o.out.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    given = [(c, o.out, o.work, o.data, o.weights, device, o.toy) for c in wanted]
    with context.Pool(o.at_once) as pool:
        for _ in pool.imap_unordered(
            _prepare, {(c.data, c.seed, c.size): (c, o.work, o.data) for c in wanted}.values()
        ):
            pass
        print(f"{len(wanted)} trainings, data ready after {time.perf_counter() - begin:.0f} s, {device}", flush=True)
        results = pool.imap_unordered(_job, given, chunksize=1)
        for _ in given:
            left = o.seconds - (time.perf_counter() - begin)
            try:
                print(f"{time.perf_counter() - begin:4.0f} s  {results.next(timeout=max(0.1, left))}", flush=True)
            except multiprocessing.TimeoutError:
                print("out of time", flush=True)
                pool.terminate()
                break


def table(lines: Path) -> None:
    """Prints what the trainings of a file came to: the student as it is, its average, and the average over mirror
    images, each in the epoch that is best on validation images, beside the last epoch; the teacher's, where known."""
    trainings: dict[str, list[dict[str, Any]]] = {}
    for line in lines.read_text().splitlines():
        row = json.loads(line)
        if row["stage"] != "end":
            trainings.setdefault(row["cell"], []).append(row)
    print("| training | as it is | average | mirrored | last epoch: as it is | average | teacher, coarse images | s |")
    print("| --- " + "| ---: " * 7 + "|")
    sums: dict[str, float] = {}
    for name, rows in sorted(trainings.items()):
        found = {}
        for model in ("last", "average", "flip"):
            best = max(rows, key=lambda row: row["val"][model])
            found[model], found[f"{model} at the end"] = best["test"][model], rows[-1]["test"][model]
        sums = {key: sums.get(key, 0.0) + value / len(trainings) for key, value in found.items()}
        ends = [row["coarse"]["posterior"] for row in (rows[0], rows[-1]) if "coarse" in row]
        taught = " to ".join(f"{value:.1f}" for value in ends) or "-"
        print(f"| {name} | {_cells(found)} | {taught} | {rows[-1]['seconds']:.0f} |")
    print(f"| mean | {_cells(sums)} | | |")


def _cells(found: dict[str, float]) -> str:
    return " | ".join(
        f"{found[key]:.1f}" for key in ("last", "average", "flip", "last at the end", "average at the end")
    )


def _prepare(given: tuple[Cell, Path, Path]) -> None:
    store_of(*given)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
