"""A graph as an ONNX file, and what onnxruntime makes of it."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coarseparts.export.graph import OUTPUT, Graph
from coarseparts.system.errors import Failed
from coarseparts.system.text import brief

OPSET = 18
"""Version of ONNX's operators: the first that reduces while it scatters, which strokes need."""


def libraries() -> tuple[Any, Any]:
    """``onnx`` and ``onnxruntime``. Raises Failed, with the command that installs them, where one is missing."""
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        message = f"{error.name} is not installed, which `export --to onnx` needs"
        raise Failed(f"{message}; run: pip install 'coarseparts[onnx]'") from None
    return onnx, onnxruntime


def onnx_of(graph: Graph, about: str) -> bytes:
    """The content of the file; ``about`` stands in it as the property "coarseparts". Any number of photographs, of any
    size, go in. Raises Failed where torch knows no ONNX for an operation of the networks."""
    onnx, _ = libraries()
    axes = graph.open_axes()
    with (
        tempfile.TemporaryDirectory() as place,
        warnings.catch_warnings(),
        _own_operators(),
        redirect_stdout(StringIO()),
    ):
        warnings.simplefilter("ignore")  # of this exporter's age, and of shapes that are meant to be constant
        file = Path(place, "graph.onnx")
        try:
            # The newer exporter takes minutes, and writes log(sigmoid(x)) for logsigmoid, which underflows.
            torch.onnx.export(
                graph,
                graph.example(2, 40, 56),
                str(file),
                dynamo=False,
                opset_version=OPSET,
                input_names=list(axes)[:-1],
                output_names=[OUTPUT],
                dynamic_axes=axes,
            )
        except (RuntimeError, ValueError) as error:
            remedy = "take --to torchscript, or train with a ResNet encoder"
            raise Failed(f"this model's networks cannot be written as ONNX ({brief(error)}); {remedy}") from error
        model = onnx.load(str(file))
    model.doc_string = "made by coarseparts"
    model.metadata_props.add(key="coarseparts", value=about)
    content: bytes = model.SerializeToString()
    return content


def runs_onnx(content: bytes, threads: int = 0) -> Callable[[Sequence[Tensor]], np.ndarray]:
    """What onnxruntime answers on the CPU, with so many ``threads`` (0: as many as it likes)."""
    _, onnxruntime = libraries()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def answer(inputs: Sequence[Tensor]) -> np.ndarray:
        (found,) = session.run([OUTPUT], {n: i.numpy() for n, i in zip(names, inputs, strict=True)})
        return np.asarray(found)

    return answer


@contextmanager
def _own_operators() -> Iterator[None]:
    """Inside, torch's exporter writes operations that it does not know, or not exactly enough, as these do."""
    own: dict[str, Callable[..., Any]] = {
        "logaddexp": _logaddexp,
        "log_sigmoid": _log_sigmoid,
        "scatter_reduce": _scatter_max,
        "_upsample_bilinear2d_aa": _resized("linear"),
        "_upsample_bicubic2d_aa": _resized("cubic"),
    }
    for name, symbolic in own.items():
        torch.onnx.register_custom_op_symbolic(f"aten::{name}", symbolic, OPSET)
    # Of an operation that it does not know it prints the whole graph; it would switch that on again by itself.
    switch: Any = torch._C
    switched = switch._jit_set_onnx_log_enabled
    switched(False)
    switch._jit_set_onnx_log_enabled = lambda _: None
    try:
        yield
    finally:
        switch._jit_set_onnx_log_enabled = switched
        switched(True)
        for name in own:
            torch.onnx.unregister_custom_op_symbolic(f"aten::{name}", OPSET)


def _logaddexp(g: Any, a: Any, b: Any) -> Any:
    apart = g.op("Neg", g.op("Abs", g.op("Sub", a, b)))
    return g.op("Add", g.op("Max", a, b), g.op("Softplus", apart))


def _log_sigmoid(g: Any, x: Any) -> Any:
    return g.op("Neg", g.op("Softplus", g.op("Neg", x)))


def _scatter_max(g: Any, into: Any, axis: Any, index: Any, source: Any, reduce: Any, include_self: Any) -> Any:
    return g.op("ScatterElements", into, index, source, axis_i=1, reduction_s="max")


def _resized(mode: str) -> Callable[..., Any]:
    """Antialiased, as plain ViTs resize their table of places, and images."""

    def resized(g: Any, x: Any, size: Any, align_corners: Any, *scales: Any) -> Any:
        def constant(*values: int) -> Any:
            return g.op("Constant", value_t=torch.tensor(values))

        kept = g.op("Slice", g.op("Shape", x), constant(0), constant(2))
        each = [g.op("Unsqueeze", length, constant(0)) for length in size.node().inputs()]
        sizes = g.op("Concat", kept, *(each or [size]), axis_i=0)
        none = g.op("Constant", value_t=torch.tensor([]))
        as_torch: dict[str, Any] = {"antialias_i": 1, "exclude_outside_i": 1, "cubic_coeff_a_f": -0.5}
        return g.op("Resize", x, none, none, sizes, mode_s=mode, **as_torch)

    return resized
