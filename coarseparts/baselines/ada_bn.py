"""AdaBN (Li et al., 2016): batch norm's statistics re-estimated on the coarse images, a control.

It answers whether a method gains merely because its batch norm has seen more images. Nothing is learned, no label is
used.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

from torch import nn
from torch.optim.swa_utils import update_bn

from coarseparts.data.sample import Batch


def adapted(network: nn.Module, batches: Iterable[Batch]) -> nn.Module:
    """A copy of ``network`` whose running statistics are the mean of those of ``batches``' images; in eval() mode."""
    network = copy.deepcopy(network)
    update_bn((batch.image for batch in batches), network)
    return network.eval()
