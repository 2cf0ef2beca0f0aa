"""What a network costs: multiply-accumulates and parameters, and the paper's three networks as a table."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from coarseparts.networks.decoder import PaperDecoder
from coarseparts.networks.encoder import Encoder
from coarseparts.networks.label_model import LabelModel
from coarseparts.networks.part_model import PartModel
from coarseparts.networks.posterior import Posterior


class NetworkCost(NamedTuple):
    """One row of ``network_table``: ``macs`` multiply-accumulates for one image, ``parameters`` their number."""

    name: str
    macs: float
    parameters: int


def macs(module: nn.Module, *inputs: Tensor) -> float:
    """Multiply-accumulates of one forward pass of ``module`` on ``inputs``, for the whole batch.

    Convolutions and matrix products count; normalisation, activations, pooling and upsampling do not, as is usual
    and as in the figures that are printed for ResNets. The pass runs in eval mode without gradients, so it moves no
    running statistics; ``module`` and ``inputs`` may lie on the meta device, where nothing is computed.
    """
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module(*inputs)
    finally:
        module.train(was_training)
    return counter.get_total_flops() / 2  # the counter takes a multiply and an add as two operations


def network_table(
    encoder: str = "resnet34",
    channels: int = 11,
    keypoints: int = 15,
    label_channels: int | None = None,
    size: int = 256,
) -> list[NetworkCost]:
    """The networks of Appendix B for one image of ``size`` x ``size`` pixels: part model, posterior, keypoint model.

    ``channels`` part classes with the background (P + 1) and ``keypoints`` heat maps, the paper's birds by default;
    ``label_channels`` of the posterior's drawn labels, by default the keypoints' and the mask's as in the paper (this
    package's presence channels come on top of that). Operations are counted in the figure's own order; what is run
    takes a little less (``PaperDecoder``). Built on the meta device: no memory, no weights.
    """
    drawn = keypoints + 1 if label_channels is None else label_channels
    with torch.device("meta"):
        image, labels = torch.empty(1, 3, size, size), torch.empty(1, drawn, size, size)
        parts = torch.empty(1, channels, size, size)
        rows: list[tuple[str, nn.Module, tuple[Tensor, ...]]] = [
            ("part model", PartModel(Encoder(encoder), channels), (image,)),
            ("posterior", Posterior(Encoder(encoder), drawn, channels), (image, labels)),
            ("keypoint model", LabelModel(channels, keypoints, kind="paper", encoder=encoder), (parts,)),
        ]
        for _, network, _ in rows:
            for module in network.modules():
                if isinstance(module, PaperDecoder):
                    module.as_printed = True
        return [
            NetworkCost(name, macs(network, *inputs), sum(p.numel() for p in network.parameters()))
            for name, network, inputs in rows
        ]
