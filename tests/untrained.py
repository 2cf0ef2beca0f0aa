"""Run folders with models that were never trained: quickly made, good to predict with."""

from __future__ import annotations

from pathlib import Path

import torch

from coarseparts import Model
from coarseparts.data.store import Store
from coarseparts.data.synthetic import birds
from coarseparts.data.transforms import to_input
from coarseparts.labels import STYLES
from coarseparts.labels.schema import Schema
from coarseparts.training.networks import build, resolve
from coarseparts.training.settings import settings

PARTS = ("head", "wing", "tail")


def saved(
    folder: Path,
    styles: tuple[str, ...] = STYLES,
    overlapping: bool = False,
    crop: str = "object",
    posterior: bool = True,
    zoom: float = 1,
) -> Path:
    """A run folder with an untrained model, whose parts lie all over an image."""
    torch.manual_seed(3)
    schema = Schema(parts=PARTS, overlapping=overlapping, keypoints=birds.SCHEMA.keypoints)
    chosen = resolve(settings(changes={"encoder": "resnet10", "precision": "float32", "zoom": zoom}), "cpu")
    networks = build(schema, chosen, list(styles))
    store = Store.from_arrays(birds.SCHEMA, **birds.render(8, size=32, seed=4))
    batch = to_input(store.batch(range(8)))
    drawn = torch.zeros(8, sum(style.channels + 1 for _, style in networks.styles.items()), 32, 32)
    for network, inputs in ((networks.part_model, (batch.image,)), (networks.posterior, (batch.image, drawn))):
        torch.nn.init.normal_(network.decoder.head.weight)
        with torch.no_grad():
            for _ in range(30):
                network.train()(*inputs)
            network.decoder.head.bias -= network.eval()(*inputs).mean((0, 2, 3))
    cropped = {"to": crop, "margin": 0.1}
    Model(networks, schema, chosen, list(styles), 32, cropped, posterior).save(folder / "model")
    return folder
