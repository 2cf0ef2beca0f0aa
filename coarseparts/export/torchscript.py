"""A graph as a TorchScript file, which libtorch and torch read without this package."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from coarseparts.export.graph import Graph


def torchscript_of(graph: Graph, about: str) -> bytes:
    """The content of the file; ``about`` stands in it as the extra file "coarseparts.json"."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of shapes that are meant to be constant, and of TorchScript's age
        traced = torch.jit.trace(graph, graph.example(2, 40, 56), check_trace=False)
        file = io.BytesIO()
        torch.jit.save(traced, file, _extra_files={"coarseparts.json": about.encode()})
    return file.getvalue()


def runs_torchscript(content: bytes) -> Callable[[Sequence[Tensor]], np.ndarray]:
    """What torch answers, from the file alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.jit.load(io.BytesIO(content), map_location="cpu")

    @torch.no_grad()
    def answer(inputs: Sequence[Tensor]) -> np.ndarray:
        found: np.ndarray = program(*inputs).numpy()
        return found

    return answer
