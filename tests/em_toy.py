"""A world for the tests of Algorithm 1: bright squares with two parts, all their labels, and small networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from coarseparts import em
from coarseparts.data.sample import Batch
from coarseparts.em import Optimizers, Options
from coarseparts.joint import JointModel
from coarseparts.labels import Box, ExclusiveParts, Keypoints, LabelStyle, Mask
from coarseparts.networks import Encoder, LabelModel, PartModel, Posterior

SIZE, PARTS, POINTS = 16, 2, 3
Y = ExclusiveParts(PARTS)
PLAIN: dict[str, Any] = {
    "alpha": 1.0,
    "gamma": 1.0,
    "evidence": 1.0,
    "label_dropout": 0.0,
    "consistency": 0.0,
    "blank": 0.0,
    "dice": 0.0,
    "unbounded": 1.0,
    "learn_unbounded": True,
}
"""Weights of 1, whatever the defaults are, and no chance in a step, so that it can be repeated by hand."""


def options(**changes: Any) -> Options:
    return Options(**{**PLAIN, **changes})


class Pointwise(nn.Module):
    """A small stand-in for a network: the same signature, a fraction of the time; batch norm as in the real ones."""

    def __init__(self, inputs: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, PARTS + 1, 1)
        )

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.layers(torch.cat(inputs, dim=1))


def make(real: bool = False, optimizer: str = "sgd") -> tuple[JointModel, Optimizers]:
    torch.manual_seed(0)
    drawn = POINTS + 1 + 1 + 3  # keypoints, mask, box, and a presence channel each
    styles: dict[str, LabelStyle] = {
        "keypoints": Keypoints(POINTS, LabelModel(PARTS + 1, POINTS, "light", width=8), stride=4, distance="l1"),
        "mask": Mask(Y),
        "box": Box(Y),
    }
    if real:
        part_model: nn.Module = PartModel(Encoder("resnet10", stages=3), PARTS + 1)
        posterior: nn.Module = Posterior(Encoder("resnet10", stages=3), drawn, PARTS + 1)
    else:
        part_model, posterior = Pointwise(3), Pointwise(3 + drawn)
    networks = JointModel(part_model, posterior, styles, Y)
    for _, style in networks.styles.items():
        style.set_scale(torch.full_like(style.scale, 0.1))
    build: Callable[[nn.Module], torch.optim.Optimizer] = {
        "sgd": lambda m: torch.optim.SGD(m.parameters(), 0.05, momentum=0.9),
        "adam": lambda m: torch.optim.AdamW(m.parameters(), 0.02),
    }[optimizer]
    return networks, Optimizers(build(part_model), build(posterior), build(networks.theta_k))


def batch(count: int, seed: int, labelled: bool = False, present: bool = True) -> Batch:
    """A bright square, its upper half part 1 and its lower half part 2, with all its labels."""
    generator = torch.Generator().manual_seed(seed)
    image = 0.3 * torch.randn(count, 3, SIZE, SIZE, generator=generator)
    parts = torch.zeros(count, SIZE, SIZE, dtype=torch.int64)
    points, boxes = torch.full((count, POINTS, 3), 2.0), torch.zeros(count, 4)
    for i in range(count):
        x, y = (int(v) for v in torch.randint(1, 8, (2,), generator=generator))
        parts[i, y : y + 4, x : x + 8], parts[i, y + 4 : y + 8, x : x + 8] = 1, 2
        image[i, 0, y : y + 8, x : x + 8] += 1
        image[i, 1, y : y + 4, x : x + 8] += 1
        points[i, :, :2] = torch.tensor([[x + 2.0, y + 2.0], [x + 6.0, y + 2.0], [x + 4.0, y + 6.0]])
        boxes[i] = torch.tensor([x, y, x + 8, y + 8])
    there = torch.full((count,), present)
    return Batch(
        image,
        parts if labelled else torch.full_like(parts, 255),
        {"keypoints": points, "mask": (parts > 0).float()[:, None], "box": boxes},
        {"keypoints": there, "mask": there, "box": there, "parts": torch.full((count,), labelled)},
        torch.arange(count),
    )


def style_of(networks: JointModel, name: str) -> LabelStyle:
    return dict(networks.styles.items())[name]


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def moved(network: nn.Module, before: dict[str, Tensor], buffers: bool = False) -> list[str]:
    """Names of what is no longer as it was: parameters, or with ``buffers`` the running statistics, too."""
    names = set(before) if buffers else {name for name, _ in network.named_parameters()}
    return sorted(name for name in names if not torch.equal(network.state_dict()[name], before[name]))


def of(networks: JointModel) -> dict[str, nn.Module]:
    return {"part_model": networks.part_model, "posterior": networks.posterior, "styles": networks.theta_k}


def step(networks: JointModel, optimizers: Optimizers, o: Options, seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return em.em_step(networks, optimizers, batch(4, seed), batch(2, seed + 50, labelled=True), o, generator)
