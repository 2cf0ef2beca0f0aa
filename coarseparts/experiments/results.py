"""From finished experiments to what a person looks at: the table, results.csv and report.html."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from coarseparts.evaluation.iou import confusion, iou
from coarseparts.report.tables import COLUMNS, print_table, read_results_csv, write_results_csv
from coarseparts.system import limits, parallel
from coarseparts.system.errors import RunError
from coarseparts.system.text import readable
from coarseparts.training.experiment import Experiment
from coarseparts.training.methods import METHODS
from coarseparts.training.run_folder import machine

GALLERY = 12
"""Images in the report's qualitative grid, half of them the worst."""


def nothing_dropped(folder: Path, wanted: Sequence[str], seeds: Sequence[int]) -> None:
    """Raises RunError where ``folder`` has results of methods or seeds that a table of ``wanted`` would not have."""
    try:
        rows = read_results_csv(folder / "results.csv")
    except (OSError, ValueError):  # none, or damaged: it is written anew
        return
    there = dict.fromkeys((row["method"], row["seed"]) for row in rows if row["method"] in METHODS)
    lost = [f"{name} (seed {seed})" for name, seed in there if name not in wanted or seed not in seeds]
    if lost:
        raise RunError(
            f"{folder}: holds the results of {', '.join(lost)}, too, which this command would take out of its table; "
            f"`compare` takes several --methods and --seeds at once, or take another --out"
        )


def finish(
    folder: Path,
    experiments: list[Experiment],
    rows: list[dict[str, Any]],
    title: str,
    console: Console,
    problems: Iterable[str] = (),
) -> None:
    """Writes ``results.csv`` and ``report.html`` into ``folder`` and prints the table.

    ``rows`` as ``Experiment.train`` returns them; the report shows the last experiment's pictures. ``experiments`` are
    those whose methods all came to an end; without any there is the table alone.
    """
    if not parallel.is_main():
        return
    table = [{name: row[name] for name in COLUMNS} for row in rows]
    if table:
        write_results_csv(folder / "results.csv", table)
    if not experiments:
        if table:
            print_table(table, console)
        return
    from coarseparts.report.pages import write_report  # here, for matplotlib takes a second to import

    shown = experiments[-1]
    main = "em" if "em" in shown.run.stages else None
    if main:
        shown.restore(main)  # the pictures are EM's, whichever method was trained last
    last = {row["method"]: row for row in rows if row["seed"] == shown.seed}
    seeds = len({row["seed"] for row in rows})
    write_report(
        folder / "report.html",
        title=title,
        subtitle=f"{len(shown.rows.part)} part masks, {len(shown.rows.coarse)} images with coarse labels "
        f"({', '.join(shown.styles) or 'none'}), {seeds} seed{'s' if seeds > 1 else ''}",
        results=table,
        metrics=_metrics(shown),
        iou={name: row["iou"] for name, row in last.items()},
        strips=_strips(shown),
        gallery=_gallery(shown),
        parts=list(shown.schema.parts),
        overlapping=shown.schema.overlapping,
        facts=_facts(shown),
        problems=list(problems),
        main=main,
    )
    print_table(table, console)
    console.print(Text(readable(f"report: {folder / 'report.html'}")), soft_wrap=True)


def _facts(experiment: Experiment) -> dict[str, str]:
    s = experiment.settings
    return {
        "machine": machine(),
        "device": experiment.device,
        "training size": f"{experiment.size} x {experiment.size} px",
        "encoder": f"{s.encoder}, {s.stages} stages, weights: {Path(s.weights).name}",
        "decoder": s.decoder,
        "precision": s.precision,
        "epochs": f"{s.part_epochs} part model, {s.posterior_epochs} posterior, {s.label_epochs} label models, "
        f"{s.em_epochs} EM",
        "measured on": f"{len(experiment.measure_feed.rows)} images; epochs chosen on {len(experiment.rows.val)} others"
        if not np.array_equal(experiment.measure_feed.rows, experiment.rows.val)
        else f"the {len(experiment.rows.val)} validation images, on which epochs were chosen, too",
        "seconds by stage": ", ".join(f"{name} {stage.seconds:.0f}" for name, stage in experiment.run.stages.items()),
    }


def _metrics(experiment: Experiment) -> list[dict[str, Any]]:
    return [
        {"stage": name, "epoch": epoch, "name": key, "value": value}
        for name, stage in experiment.run.stages.items()
        for epoch, key, value in stage.history
    ]


def _strips(experiment: Experiment) -> list[dict[str, Any]]:
    """EM's progress on some validation images: posterior above, part model below (Fig. 4)."""
    if "em" not in experiment.run.stages:  # of an earlier command, with other methods
        return []
    stage = experiment.run.stages["em"]
    files = [experiment.run.path / "progress" / f"em-{epoch:04d}.npz" for epoch in range(stage.epochs + 1)]
    kept = [(epoch, arrays) for epoch, file in enumerate(files) if (arrays := _maps(file, experiment))]
    if len(kept) < 2:
        return []
    loaded = [kept[i] for i in np.unique(np.linspace(0, len(kept) - 1, 5).round().astype(int))]
    score = {(epoch, name): value for epoch, name, value in stage.history}
    strips = []
    for k, row in enumerate(loaded[0][1]["rows"]):
        models = []
        for label, key in (("posterior", "posterior"), ("part model", "part")):
            maps = []
            for epoch, arrays in loaded:
                value = score.get((epoch, f"val/{key}_part_miou"))
                maps.append(("start" if epoch == 0 else f"epoch {epoch}", arrays[key][k], value))
            models.append((label, maps))
        strips.append(
            {
                "title": experiment.store.names[row],
                "image": np.asarray(experiment.store.image[row]),
                "truth": np.asarray(experiment.store.parts[row]),
                "rows": models,
            }
        )
    return strips[:3]


def _maps(file: Path, experiment: Experiment) -> dict[str, np.ndarray] | None:
    """What was kept of an epoch for its picture; None, and told, where it is damaged: a run can do without."""
    if not file.exists():
        return None
    try:
        with np.load(file) as found:
            maps = {name: found[name] for name in ("rows", "part", "posterior")}
        rows = experiment.val_feed.rows
        if not np.isin(maps["rows"], rows).all() or maps["rows"].ndim != 1 or not len(maps["rows"]):
            raise ValueError("it shows other images than those of this run")
        shape = (len(maps["rows"]), experiment.size, experiment.size)
        if any(maps[name].shape != shape or maps[name].dtype != np.uint8 for name in ("part", "posterior")):
            raise ValueError(f"expected part maps {shape}")
        y = experiment.networks.y
        if max(maps[name].max() for name in ("part", "posterior")) > (y.count if y.exclusive else 2**y.count - 1):
            raise ValueError(f"it shows more than {y.count} parts")
        return maps
    except Exception as error:
        if limits.is_machines(error):
            raise
        said = readable(f"{file}: cannot be read ({error}); it is left out of the report")
        experiment.console.print(said, soft_wrap=True)
        return None


def _gallery(experiment: Experiment) -> list[dict[str, Any]]:
    """The best model's predictions on measured images: the worst, and some evenly chosen from the others."""
    feed = experiment.measure_feed
    maps: dict[str, np.ndarray] = {}
    trained = {"em", "distillation"} & set(experiment.run.stages)
    for name, kind in (("part model", "part"), ("posterior", "posterior"))[: 2 if trained else 1]:
        said = (experiment.networks.y.mode(log_y) for _, log_y in experiment.predictions(kind, feed.plain()))
        found = [parts.cpu().numpy() for parts in said]
        maps[name] = np.concatenate(found).astype(np.uint8)
    truth = np.stack([np.asarray(experiment.store.parts[row]) for row in feed.rows])
    each = confusion(maps["part model"], truth, experiment.schema.channels, experiment.schema.overlapping)
    scores = np.array([100 * _mean(iou(c)[1:]) for c in each])
    order = np.argsort(scores)
    worst = list(order[: GALLERY // 2])
    rest = order[len(worst) :]
    spread = list(rest[np.unique(np.linspace(0, len(rest) - 1, GALLERY - len(worst)).astype(int))]) if len(rest) else []
    return [
        {
            "name": experiment.store.names[feed.rows[i]],
            "image": np.asarray(experiment.store.image[feed.rows[i]]),
            "truth": truth[i],
            "predictions": {name: predicted[i] for name, predicted in maps.items()},
            "iou": float(scores[i]),
            "worst": i in worst,
        }
        for i in [*worst, *spread]
    ]


def _mean(values: Iterable[float]) -> float:
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else 0.0
