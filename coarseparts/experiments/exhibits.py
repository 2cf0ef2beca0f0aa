"""From a finished training to what its report shows, as plain values: curves, pictures, facts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coarseparts.experiments.cells import Done
from coarseparts.experiments.model_card import model_card
from coarseparts.report.pages import Page
from coarseparts.report.pictures import Gallery, Legend, Strip, image_scores, worst_and_others
from coarseparts.report.results import Result
from coarseparts.system import limits
from coarseparts.system.device import machine
from coarseparts.system.locks import Tell, silent
from coarseparts.training.methods import METHODS
from coarseparts.training.run_folder import RunFolder
from coarseparts.training.task import Task

SHOWN = 12
"""Images among the examples, half of them the worst."""


def page(done: Done, results: Sequence[Result], title: str, problems: Sequence[str] = (), tell: Tell = silent) -> Page:
    """The page of ``results``, with the pictures of one of them, of the main method; ``tell`` hears of pictures that
    cannot be read."""
    task, stages, seeds = done.task, done.run.stages, len({r.seed for r in results})
    labels, counts = ", ".join(task.styles) or "none", done.results[-1].counts
    return Page(
        title,
        f"{len(task.rows.part)} part masks, {len(task.rows.coarse)} images with coarse labels ({labels}), "
        f"{seeds} seed{'s' * (seeds > 1)}",
        metrics=[
            {"stage": name, "epoch": epoch, "name": key, "value": value}
            for name, stage in stages.items()
            for epoch, key, value in stage.history
        ],
        strips=_strips(done, tell),
        galleries=[] if counts is None else [_gallery(done, counts)],
        facts=_facts(task, done.run),
        problems=problems,
        card=model_card(done, title),
    )


def _facts(task: Task, run: RunFolder) -> dict[str, str]:
    s, measured, val = task.settings, task.measured, task.rows.val
    return {
        "machine": machine(),
        "device": task.device,
        "training size": f"{task.size} x {task.size} px",
        "encoder": f"{s.encoder}, {s.stages} stages, weights: {Path(s.weights).name}",
        "decoder": s.decoder,
        "precision": s.precision,
        "epochs": f"{s.part_epochs} part model, {s.posterior_epochs} posterior, {s.label_epochs} label models, "
        f"{s.em_epochs} EM",
        "measured on": f"{len(measured)} images; epochs chosen on {len(val)} others"
        if not np.array_equal(measured, val)
        else f"the {len(val)} validation images, on which epochs were chosen, too",
        "seconds by stage": ", ".join(f"{name} {stage.seconds:.0f}" for name, stage in run.stages.items()),
    }


def _legend(task: Task) -> Legend:
    return Legend(task.schema.parts, task.schema.maps)


def _strips(done: Done, tell: Tell) -> list[Strip]:
    """EM's progress on three validation images: posterior above, part model below (Fig. 4)."""
    task, run = done.task, done.run
    if "em" not in run.stages:  # of an earlier command, with other methods
        return []
    stage = run.stages["em"]
    files = [run.path / "progress" / f"em-{epoch:04d}.npz" for epoch in range(stage.epochs + 1)]
    kept = [(epoch, arrays) for epoch, file in enumerate(files) if (arrays := _maps(file, done, tell))]
    if len(kept) < 2:
        return []
    some = [kept[i] for i in np.unique(np.linspace(0, len(kept) - 1, 5).round().astype(int))]
    score = {(epoch, name): value for epoch, name, value in stage.history}

    def shown(key: str, image: int) -> list[tuple[str, np.ndarray, float | None]]:
        return [
            ("start" if epoch == 0 else f"epoch {epoch}", maps[key][image], score.get((epoch, f"val/{key}_part_miou")))
            for epoch, maps in some
        ]

    return [
        Strip(
            task.store.names[row],
            np.asarray(task.store.image[row]),
            np.asarray(task.store.parts[row]),
            [("posterior", shown("posterior", k)), ("part model", shown("part", k))],
            _legend(task),
        )
        for k, row in enumerate(some[0][1]["rows"][:3])
    ]


def _maps(file: Path, done: Done, tell: Tell) -> dict[str, np.ndarray] | None:
    """What was kept of an epoch for its picture; None, and told, where it is damaged: a run can do without."""
    if not file.exists():
        return None
    try:
        with np.load(file) as found:
            maps = {name: found[name] for name in ("rows", "part", "posterior")}
        rows = done.task.rows.val
        if not np.isin(maps["rows"], rows).all() or maps["rows"].ndim != 1 or not len(maps["rows"]):
            raise ValueError("it shows other images than those of this run")
        shape = (len(maps["rows"]), done.task.size, done.task.size)
        if any(maps[name].shape != shape or maps[name].dtype != np.uint8 for name in ("part", "posterior")):
            raise ValueError(f"expected part maps {shape}")
        of = done.task.schema.maps
        if max(maps[name].max() for name in ("part", "posterior")) > of.largest:
            raise ValueError(f"it shows more than {of.count} parts")
        return maps
    except Exception as error:
        if limits.is_machines(error):
            raise
        tell(f"{file}: cannot be read ({error}); it is left out of the report")
        return None


def _gallery(done: Done, counts: np.ndarray) -> Gallery:
    """What the networks say of measured images, whose ``counts`` tell where the part model is worst: those, and some
    evenly chosen from the others."""
    task = done.task
    chosen, worst = worst_and_others(image_scores(counts), SHOWN, SHOWN // 2)
    rows = task.measured[chosen]
    models = {"part model": "part"} | ({"posterior": "posterior"} if METHODS[done.cell.method].posterior else {})
    maps = {name: done.maps(rows, model) for name, model in models.items()}
    view, title = task.store.subset(rows), f"Of {len(counts)} images, seed {task.seed}"
    return Gallery(title, np.asarray(view.image), np.asarray(view.parts), maps, tuple(view.names), _legend(task), worst)
