"""What one label each can tell at most: EM's student with a teacher that EM does not have.

    python benchmarks/label_worth.py [--seed N] [--others N] [--work FOLDER]

The posterior's network learns from the part masks of so many other birds in as many steps as EM has, half of the
images showing it all of their labels and half one. It then teaches the birds of ``synthetic_birds_each.sh`` with one
label each, as distillation is taught. Prints part mIoU on 200 held-out birds and the 1,000 coarse ones.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from coarseparts.baselines import taught
from coarseparts.evaluation.iou import summary
from coarseparts.experiments.worlds import WORLDS
from coarseparts.joint import JointModel
from coarseparts.training import stages
from coarseparts.training.fusion import only
from coarseparts.training.measure import measured, predictions
from coarseparts.training.networks import resolve
from coarseparts.training.run_folder import RunFolder
from coarseparts.training.settings import settings
from coarseparts.training.task import Task


def part_miou(task: Task, joint: JointModel, model: str, rows: np.ndarray, label: str | None = None) -> float:
    """Of some rows, given the labels that the task has of them or ``label`` alone ("": none)."""
    store = task.store if label is None else task.full
    batches = task.feed(rows, 32, 0, store).plain()
    truth = (batch.parts for batch in task.feed(rows, 32, 0, task.full).plain())
    some = batches if label is None else (only(batch, {label}) for batch in batches)
    each = predictions(joint, model, some, task.settings.em.condition)
    counts = [
        task.schema.maps.confusion(joint.y.mode(log_y), parts) for (_, log_y), parts in zip(each, truth, strict=True)
    ]
    return float(summary(np.concatenate(counts), task.schema.parts)["part_miou"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=9, help="of a world that no published table uses")
    parser.add_argument("--others", type=int, default=4000)
    parser.add_argument("--work", type=Path, default=Path("runs/label-worth"))
    parser.add_argument("--toy", action="store_true")
    o = parser.parse_args()
    birds = WORLDS["synthetic-birds"]
    own = birds.store(o.work / f"birds{o.seed}", o.seed)
    others = replace(birds, part=o.others, coarse=0, test=0).store(o.work / f"{o.others}-others", o.seed + 1000)
    toy = dict.fromkeys(("part_epochs", "posterior_epochs", "label_epochs", "em_epochs", "em_epoch_steps"), 1)
    s = resolve(settings("default", toy if o.toy else {}), "cpu")
    task = Task.of(own, s, o.seed, part_limit=birds.part, measure="test", labels_each=1)
    run = RunFolder.of(o.work / "own", task)
    joint = stages.initialised(task, run)

    knowing = Task.of(others, s, o.seed)
    steps = task.em_steps * s.em_epochs
    passes = max(1, round(steps / knowing.part_steps))
    knowing = replace(knowing, settings=s.model_copy(update={"part_epochs": passes, "posterior_epochs": passes}))
    elsewhere, teacher = RunFolder.of(o.work / "others", knowing), stages.untrained(knowing)
    teacher.subsets = torch.eye(len(task.styles), dtype=torch.bool)
    stages.part_model(knowing, elsewhere, teacher)
    stages.posterior(knowing, elsewhere, teacher)
    joint.posterior.load_state_dict(teacher.posterior.state_dict())

    print(f"the posterior, {steps} steps from {o.others} part masks, on {len(task.measured)} held-out birds:")
    for label in ("", *task.styles):
        print(f"  given {label or 'the image alone'}: {part_miou(task, joint, 'posterior', task.measured, label):.1f}")
    coarse = part_miou(task, joint, "posterior", task.rows.coarse)
    print(f"on the {len(task.rows.coarse)} coarse birds, one label each: {coarse:.1f}")
    pupil = taught.Taught(joint.part_model, taught.posterior(joint, s.em.condition), s.em, joint.y, joint.weights)
    stages.baseline(task, run, joint, "distillation", pupil, by_posterior=True)
    row = measured(joint, task.schema, "part", task.measured_feed, s.em.condition, s.looks_twice)
    known = part_miou(task, joint, "part", task.rows.coarse)
    print(f"its student: {row['part_miou']:.1f}; on the coarse birds, their labels unseen: {known:.1f}")


if __name__ == "__main__":
    main()
