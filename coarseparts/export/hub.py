"""A model as the folder that hubs of models expect: one file of weights, one of configuration, a card."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from coarseparts.inference.model import HUB_CONFIG, HUB_WEIGHTS, MODEL_TYPE, Model
from coarseparts.system.text import listed, markdown_cell
from coarseparts.training.checkpoints import tensor_file

LONGEST = 2**20
"""Bytes of a card, at most."""

HEAD = """\
---
library_name: coarseparts
pipeline_tag: image-segmentation
license: other
tags:
- part-segmentation
---
"""
"""What hubs read of a card; a licence is chosen by who publishes."""


def hub_files(model: Model) -> dict[str, bytes]:
    """The configuration and the weights by the file's name; ``coarseparts.load`` reads the folder. No path of this
    machine is in them."""
    name = Path(model.settings.weights).name
    about, weights = replace(model, settings=model.settings.model_copy(update={"weights": name})).content()
    whole = {f"{network}.{key}": tensor for network, each in weights.items() for key, tensor in each.items()}
    return {
        HUB_WEIGHTS: tensor_file(whole, {"model": about["id"], "format": "pt"}),
        HUB_CONFIG: json.dumps({"model_type": MODEL_TYPE, **about}, indent=1).encode(),
    }


def readme(model: Model, cards: list[Path]) -> bytes:
    """README.md: the first of ``cards`` that is there, what its training wrote; else what the model itself says."""
    for card in cards:
        if card.is_file() and card.stat().st_size <= LONGEST:
            return HEAD.encode() + card.read_bytes()
    parts = listed(map(markdown_cell, model.schema.parts), 60)
    text = f"# A model of parts\n\nParts: {parts}. It looks at {model.size} x {model.size} pixels. How it was trained "
    text += "and measured is not known here.\n\nLicence: to be filled in.\n"
    return HEAD.encode() + text.encode()
