"""What an action of a person is worth: part mIoU after 0, 1, 2, 4, ... of them, simulated on a run's test images.

    python benchmarks/clicks.py RUN [DATA.yaml] [--orders 3] [--figure FILE.png]

A person who knows the true labels acts on each image, and is answered as the app answers (``Model.predict`` with all
that was said so far). First the visible keypoints in random order, one an action, then the box, then the mask, then
strokes of a brush. "brush alone": strokes only, on what the part model sees in the image alone. A stroke goes where the
largest patch of wrong pixels of one kind is, with a brush half as wide as its widest place, and paints what such
a brush reaches within the patch: right pixels, and no wrong ones, the same for everybody. Photographs are at their own
size, those of built-in data (a run of `coarseparts demo`) at that of its store; mIoU is pooled over the images and the
mean over orders of keypoints, intervals are 95 % bootstrap ones over images and orders. Measured is after 1, 2, 4, ...
keypoints and all of them, and after box, mask and strokes behind them. Below each the change since the column before;
exit status 1 where one is below zero beyond chance.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from coarseparts.data.sample import Sample
from coarseparts.data.store import Store
from coarseparts.evaluation.iou import iou
from coarseparts.inference.evaluate import dataset_of, records_of
from coarseparts.inference.model import Model, load
from coarseparts.labels.schema import IGNORE

BATCH = 32
AROUND = np.ones((3, 3), bool)


def stroke(parts: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The part map (H, W) after one stroke."""
    best: tuple[int, np.ndarray | None, int] = (0, None, 0)
    for index in np.unique(true[(parts != true) & (true != IGNORE)]).tolist():
        patches, count = ndimage.label((parts != true) & (true == index), AROUND)
        sizes = np.bincount(patches.ravel())[1:]
        if count and sizes.max() > best[0]:
            best = int(sizes.max()), patches == sizes.argmax() + 1, index
    _, patch, index = best
    if patch is None:
        return parts
    depth = ndimage.distance_transform_edt(np.pad(patch, 1))[1:-1, 1:-1]
    radius = max(depth.max() / 2, 1.0)
    centres, _ = ndimage.label(depth >= radius, AROUND)
    way = centres == centres[np.unravel_index(depth.argmax(), depth.shape)]
    painted = patch & (ndimage.distance_transform_edt(~way) < radius)
    return np.where(painted, index, parts).astype(parts.dtype)


def shown(points: int) -> list[int]:
    """Numbers of actions after which is measured, of a schema with so many keypoints; the model is asked at these
    alone."""
    powers = [2**i for i in range(points.bit_length()) if 2**i < points]
    return [0, *powers, *(points + more for more in (0, 1, 2, 4, 8))]


def of_store(folder: Path, split: str) -> list[Sample]:
    """The images with part masks of a split of built-in data, which a run's folder holds."""
    store = Store.open(folder)
    labels = {style: store.label(style) for style in store.styles}

    def own(row: int) -> dict[str, np.ndarray]:
        return {style: np.array(label[row]) for style, label in labels.items() if store.present[style][row]}

    rows = store.rows(split, "parts").tolist()
    return [Sample(store.names[i], np.array(store.image[i]), np.array(store.parts[i]), own(i)) for i in rows]


def said(sample: Sample, names: Sequence[str], order: Sequence[str]) -> list[dict[str, Any]]:
    """The labels that are known after 0, 1, 2, ... actions, as ``Model.predict`` takes them."""
    points = sample.labels.get("keypoints", np.zeros((0, 3)))
    known: dict[str, Any] = {}
    after = [known]
    for what in order:
        if what in names and points[names.index(what), 2] == 2:
            placed = {what: tuple(points[names.index(what), :2].tolist())}
            known = {**known, "keypoints": {**known.get("keypoints", {}), **placed}}
        elif what in sample.labels:
            label = sample.labels[what]
            known = {**known, what: label.tolist() if what == "box" else label}
        else:
            continue
        after.append(known)
    return after


def predicted(model: Model, samples: Sequence[Sample], given: Sequence[dict[str, Any]]) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    for i in range(0, len(samples), BATCH):
        part = given[i : i + BATCH]
        labels = {style: [each.get(style) for each in part] for style in model.styles}
        images = [sample.image for sample in samples[i : i + BATCH]]
        found += [parts.index for parts in model.predict(images, **labels)]
    return found


def run(model: Model, samples: Sequence[Sample], orders: Sequence[Sequence[str]], actions: list[int]) -> np.ndarray:
    """(actions, N, P + 1, P + 1) confusion: each sample is labelled in its order, then corrected."""
    plans = [said(s, model.schema.keypoints, order) for s, order in zip(samples, orders, strict=True)]
    maps: list[np.ndarray] = []
    counts = []
    for before, action in zip((-1, *actions), actions, strict=False):
        asked = [i for i, plan in enumerate(plans) if before < len(plan) - 1]
        given = [plans[i][min(action, len(plans[i]) - 1)] for i in asked]
        answers = predicted(model, [samples[i] for i in asked], given)
        again = dict(zip(asked, answers, strict=True))
        maps = [again.get(i, maps[i] if maps else None) for i in range(len(samples))]
        for i, sample in enumerate(samples):
            for _ in range(max(before, len(plans[i]) - 1), action):
                maps[i] = stroke(maps[i], sample.parts)
        pairs = zip(maps, samples, strict=True)
        counts.append(np.concatenate([model.schema.maps.confusion(m[None], s.parts[None]) for m, s in pairs]))
    return np.stack(counts)


def miou(counts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(orders, actions, N, P + 1, P + 1) -> (actions,) percent, of the images ``rows``, the orders' mean."""
    pooled = counts[:, :, rows].sum(2)
    return 100 * np.mean([[np.nanmean(iou(each)[1:]) for each in one] for one in pooled], 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--split", default="test")
    parser.add_argument("--orders", type=int, default=3)
    parser.add_argument("--figure", type=Path)
    chosen = parser.parse_args()
    model = load(chosen.run, "cpu", flip=False)  # as the app looks
    if chosen.data is None and (chosen.run / "store").is_dir():
        samples = of_store(chosen.run / "store", chosen.split)
    else:
        records = records_of(model, chosen.data or dataset_of(chosen.run), chosen.split)
        samples = [record.load()[0] for record in records if "parts" in record.has]
    rng, points = np.random.default_rng(0), list(model.schema.keypoints)
    shuffled = [[list(rng.permutation(points)) for _ in samples] for _ in range(chosen.orders)]
    whole = [style for style in ("box", "mask") if style in model.styles]
    ways = {
        "keypoints, box, mask, brush": [[[*one, *whole] for one in each] for each in shuffled],
        "brush alone": [[[] for _ in samples]],
    }
    draws, actions = [rng.integers(0, len(samples), len(samples)) for _ in range(500)], shown(len(points))
    everything, curves, fell = np.arange(len(samples)), {}, False
    print(f"{len(samples)} images of split {chosen.split}, {chosen.orders} orders of keypoints; part mIoU, %")
    print(f"{'actions':34s}" + "".join(f"{n:>21d}" for n in actions))
    for name, orders in ways.items():
        counts = np.stack([run(model, samples, order, actions) for order in orders])
        which = np.random.default_rng(1).integers(0, len(counts), (len(draws), len(counts)))
        pairs = zip(which, draws, strict=True)
        curve, drawn = miou(counts, everything), np.stack([miou(counts[some], draw) for some, draw in pairs])
        low, high = np.quantile(drawn, (0.025, 0.975), 0)
        curves[name] = curve, low, high
        print(f"{name:34s}" + "".join(f"{v:21.1f}" for v in curve))
        print(f"{'':34s}" + "".join(f"{f'({a:.1f} to {b:.1f})':>21s}" for a, b in zip(low, high, strict=True)))
        least, most = np.quantile(np.diff(drawn), (0.025, 0.975), 0)
        steps = [f"{v:+.1f} ({a:+.1f} to {b:+.1f})" for v, a, b in zip(np.diff(curve), least, most, strict=True)]
        print(f"{'  change':34s}{'':21s}" + "".join(f"{step:>21s}" for step in steps), flush=True)
        fell |= bool((most < 0).any())
    if chosen.figure:
        draw_figure(curves, actions, chosen.figure)
    return int(fell)


def draw_figure(curves: dict[str, tuple[np.ndarray, ...]], actions: list[int], file: Path) -> None:
    from matplotlib.figure import Figure

    from coarseparts.report.figures import series_colours

    figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for (name, (curve, low, high)), colour in zip(curves.items(), series_colours(curves).values(), strict=True):
        axes.plot(actions, curve, label=name, color=colour, marker="o", markersize=3)
        axes.fill_between(actions, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xlabel("actions")
    axes.set_ylabel("part mIoU, %")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(file)


if __name__ == "__main__":
    sys.exit(main())
