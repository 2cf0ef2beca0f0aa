"""How often a real photograph's keypoint lies on the part painted there: python benchmarks/birds_hits.py RUN

The photographs have no part masks. But which part each keypoint lies on is known from the synthetic birds, which have
both, so each visible keypoint tells whether the model is right at one pixel. It also prints how much of the image is
painted, for a model that paints next to nothing, or everything, is wrong in another way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from coarseparts.baselines.point_sup import propose
from coarseparts.data.batches import Feed
from coarseparts.data.roles import split_rows
from coarseparts.data.sample import Batch
from coarseparts.data.store import Store
from coarseparts.inference.model import Model

EVERY = 10
"""Every tenth photograph is looked at."""


def hits(predict: Callable[[Batch], Tensor], feed: Feed, parts: list[int]) -> tuple[float, float, float]:
    """Percent of the visible keypoints whose pixel carries the right part, percent of pixels painted, percent of
    images of which less than 5 % is painted. ``parts``: the part index of each keypoint."""
    right = seen = 0
    painted = []
    for batch in feed.plain():
        found, points = predict(batch).argmax(1), batch.labels["keypoints"]
        at = points[..., :2].long().clamp(0, found.shape[-1] - 1)
        here = found[torch.arange(len(found))[:, None], at[..., 1], at[..., 0]]
        visible = points[..., 2] == 2
        right += int(((here == torch.tensor(parts)) & visible).sum())
        seen += int(visible.sum())
        painted.append((found > 0).float().mean(dim=(1, 2)))
    share = torch.cat(painted)
    return 100 * right / seen, 100 * float(share.mean()), 100 * float((share < 0.05).float().mean())


def start_from(network: nn.Module, run: Path, stage: str) -> None:
    """Loads what a stage of the run ended with: its average, where there is one."""
    found = load_file(run / "stages" / stage / "best.safetensors")
    kinds = ("part_average/module.", "part_model/", "posterior/")
    start = next(kind for kind in kinds if any(name.startswith(kind) for name in found))
    network.load_state_dict({name.removeprefix(start): each for name, each in found.items() if name.startswith(start)})


@torch.no_grad()
def main(run: Path) -> None:
    """Prints a line for each model, before and after EM."""
    model = Model.load(run / "model")
    store = Store.open(next((run / "store").glob("**/store.json")).parent)
    rows, n = split_rows(store), model.networks
    parts = propose(Feed(store, rows.part, 32, 0).plain(), len(model.schema.keypoints), n.y)
    feed = Feed(store, rows.coarse[::EVERY], 32, 0)
    kinds = {"part model": lambda b: n.part_model(b.image), "posterior": lambda b: n.infer(b, True)}
    for when in ("after EM", "before EM"):
        if when == "before EM":
            start_from(n.part_model, run, "part-model")
            start_from(n.posterior, run, "posterior")
        for name, predict in kinds.items():
            hit, painted, empty = hits(predict, feed, parts)
            print(
                f"{name:10s} {when:9s}: {hit:.1f} % of the visible keypoints on their part, "
                f"{painted:.1f} % of the pixels painted, {empty:.0f} % of {len(feed.rows)} photographs next to empty"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
