"""The images of a data set that are worth the next minutes of labelling, and what to draw in each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from coarseparts.data.store import Store
from coarseparts.inference.evaluate import dataset_of, split_of
from coarseparts.inference.model import Model, load
from coarseparts.report.csv_files import write_csv
from coarseparts.selection.orders import ORDERS
from coarseparts.selection.seconds import PART_MASK
from coarseparts.selection.views import Views, views_of
from coarseparts.system.problems import BadInput, Problem

NOTHING = 0.002
"""The share of an image that has to be some part for it to count as showing the object."""


@dataclass(frozen=True)
class Chosen:
    """``image``: its name in the data set; ``label``: what to draw, ``PART_MASK`` or a label style; ``seconds`` that it
    takes; ``minutes`` from the beginning to its end; ``gain``: nats of doubt that it would take away, a second."""

    image: str
    label: str
    seconds: float
    minutes: float
    gain: float


@dataclass(frozen=True)
class Queue:
    """What to label, the first first; ``problems``: what is noteworthy."""

    chosen: list[Chosen]
    problems: list[Problem] = field(default_factory=list, repr=False)

    def as_json(self) -> dict[str, Any]:
        """Numbers and names alone."""
        return {"next": [vars(each) for each in self.chosen]}

    def write(self, path: Path) -> Path:
        """A CSV file with a line an image. Raises ValueError where it cannot be written."""
        columns = ("image", "label", "seconds", "minutes", "gain")
        return write_csv(path, columns, (vars(each).values() for each in self.chosen))


def choose(
    run: Path,
    data: Path | None,
    count: int,
    seconds: Mapping[str, float],
    *,
    by: str = "random",
    kinds: bool = False,
    budget: float | None = None,
    seed: int = 0,
    device: str = "auto",
    skip_bad: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Queue:
    """Up to ``count`` training images of a dataset file (None: the run's own) that have no part mask, in the order of
    ``ORDERS[by]``, as many as fit into ``budget`` seconds.

    ``kinds``: each gets the label that takes away most doubt a second; otherwise a part mask. Images in which the model
    sees no foreground are left out. Raises BadInput where there is nothing to choose from; RunError.
    """
    model = load(run, device)
    file = data or dataset_of(run)
    store, problems = split_of(model, file, "train", skip_bad, None)
    labelled = store.rows("train", has="parts")
    rows = np.setdiff1d(store.rows("train"), labelled)
    if not len(rows):
        message = "has no training image without a part mask"
        raise BadInput(Problem(str(file), message, "add images: a source with split: train and images"))
    if by == "disagreement" and not (model.has_posterior and _any_label(store, model, rows)):
        message = "disagreement is between part model and posterior, and there is no posterior or no coarse label"
        raise BadInput(Problem(f"--by {by}", message, "choose another way, or a run of method em"))
    styles = [style for style in model.styles if style in seconds and kinds and model.has_posterior]
    views = views_of(model, store, rows, styles, progress)
    shown = views[views.foreground >= NOTHING]
    if left_out := len(rows) - len(shown.rows):
        message = f"shows no part in {left_out} of {len(rows)} images, as this model sees them"
        problems.append(Problem(str(file), message, "they are left out", "note"))
    if not len(shown.rows):
        raise BadInput([*problems, Problem(str(run), "sees no part in any image", "draw part masks of any, and train")])
    known = views_of(model, store, labelled).features if by == "core-set" and len(labelled) else np.zeros((0, 1))
    order = ORDERS[by](shown, known, count, np.random.default_rng(seed))
    return Queue(_within(budget, shown[order], store, seconds), list(dict.fromkeys(problems)))


def _any_label(store: Store, model: Model, rows: np.ndarray) -> bool:
    return any(store.present[style][rows].any() for style in model.styles)


def _within(budget: float | None, views: Views, store: Store, seconds: Mapping[str, float]) -> list[Chosen]:
    """As many as fit, in their order; at least the first, which says what it takes."""
    chosen: list[Chosen] = []
    total = 0.0
    for place, row in enumerate(views.rows):
        gains = {PART_MASK: float(views.doubt[place])} | {s: float(g[place]) for s, g in views.gains.items()}
        label = max(gains, key=lambda kind: gains[kind] / seconds[kind])
        total += seconds[label]
        if chosen and budget is not None and total > budget:
            break
        gain = round(gains[label] / seconds[label], 4)
        chosen.append(Chosen(store.names[row], label, seconds[label], round(total / 60, 2), gain))
    return chosen
