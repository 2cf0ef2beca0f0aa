"""What labels are worth at prediction: each subset given to a trained model, part mIoU on its validation images.

    python benchmarks/labels_given.py RUN [DATA.yaml]

Three answers: the posterior network times the closed forms, as it is in EM; the part model times the closed forms; and
their product with the shares that ``training/fusion.py`` fits, as ``predict --labels`` answers. They are fitted on one
half of the validation images and measured on the other, both ways; intervals are 95 % bootstrap ones over the images.
"""

from __future__ import annotations

import argparse
from itertools import chain, combinations
from pathlib import Path

import numpy as np
import torch

from coarseparts.data.batches import Feed
from coarseparts.evaluation.iou import summary
from coarseparts.inference.evaluate import dataset_of, split_of
from coarseparts.inference.model import load
from coarseparts.training.fusion import fit, fused, name_of, only, share_of


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path, nargs="?")
    chosen = parser.parse_args()
    model = load(chosen.run, "cpu")
    store, _ = split_of(model, chosen.data or dataset_of(chosen.run), "val")
    store = store.labels_limited(model.styles)
    rows, joint, condition = store.rows("val", has="parts"), model.networks, model.settings.em.condition
    halves = [Feed(store, rows[i::2], 32, 0, preprocess=model.settings.preprocess) for i in range(2)]
    fitted = [fit(joint, half.plain(), model.schema.maps, condition) for half in halves]
    subsets = list(chain.from_iterable(combinations(model.styles, n) for n in range(len(model.styles) + 1)))
    print(f"{len(rows)} images, {', '.join(model.styles)}; shares of the part model as fitted on either half")
    print(f"{'labels given':28s} {'posterior':>22s} {'part model':>22s} {'product':>22s}  shares")
    for subset in subsets:
        counts: dict[str, list[np.ndarray]] = {"posterior": [], "part model": [], "product": []}
        shares = [share_of(fitted[1 - i], subset) for i in range(2)]
        for half, share in zip(halves, shares, strict=True):
            for batch in half.plain():
                some = only(batch, subset)
                for name, own in zip(counts, (0.0, 1.0, share), strict=True):
                    parts = joint.y.mode(fused(joint, some, [own] * len(batch), condition))
                    counts[name].append(model.schema.maps.confusion(parts, batch.parts))
        cells = []
        for each in counts.values():
            m = summary(np.concatenate(each), model.schema.parts)
            cells.append(f"{m['part_miou']:.1f} ({m['ci95'][0]:.1f} to {m['ci95'][1]:.1f})")
        print(f"{name_of(subset) or 'none':28s} {cells[0]:>22s} {cells[1]:>22s} {cells[2]:>22s}  {shares}")


if __name__ == "__main__":
    main()
