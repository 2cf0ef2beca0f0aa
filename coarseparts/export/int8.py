"""INT8 for CPUs: an ONNX graph whose convolutions compute in 8 bits, in the ranges that photographs show."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from coarseparts.data.crops import crop_and_resize
from coarseparts.data.sample import Sample
from coarseparts.export.onnx_file import libraries, runs_onnx
from coarseparts.inference.folder import Summary, open_photograph, photographs
from coarseparts.inference.model import Model
from coarseparts.inference.predict import predict_samples
from coarseparts.labels.part_maps import PartMaps
from coarseparts.system.errors import Failed
from coarseparts.system.problems import BadInput, Problem

MOST = 100
"""Photographs that are looked at, evenly spread over those that there are."""

ROUNDS = 20
"""Times that one photograph is asked about, of which the median counts."""


@dataclass(frozen=True)
class Int8:
    """``agreement``: of the INT8 part maps with those of float32, 0..1, the share of pixels of the same part, among
    those that either takes for a part; ``seconds``, ``seconds_float32``: for one photograph on this machine, one
    thread; ``images``: photographs that the ranges come from."""

    agreement: float
    seconds: float
    seconds_float32: float
    images: int

    def __str__(self) -> str:
        times = f"{1000 * self.seconds:.1f} ms in place of {1000 * self.seconds_float32:.1f} on this machine"
        return f"agrees with float32 on {100 * self.agreement:.1f} % of the pixels of parts, in {times}, one thread"


def seen(model: Model, images: Path) -> np.ndarray:
    """What the networks see of photographs, an image or a folder: (N, S, S, 3) uint8, ``MOST`` at most. Raises BadInput
    where there is none, or none that can be used."""
    found = photographs(images, Summary())
    chosen = [found[i] for i in np.linspace(0, len(found) - 1, min(MOST, len(found))).round().astype(int)]
    problems: list[Problem] = []
    made = []
    for name, path in chosen:
        opened = open_photograph(name, path, [])
        problems += opened.problems if opened.image is None else []
        for sample in opened.samples:
            made.append(_near(model, sample))
    if not made:
        raise BadInput(problems)
    return np.stack(made)


def _near(model: Model, sample: Sample) -> np.ndarray:
    crop = predict_samples(model, [sample], use_labels=False)[0].crop
    return np.asarray(crop_and_resize(replace(sample, crop=crop), model.size, model.schema.maps)["image"])


def int8_of(content: bytes, images: np.ndarray, maps: PartMaps) -> tuple[bytes, Int8]:
    """A graph of images alone, ``content`` of an ONNX file, with its convolutions in 8 bits; and what that costs and
    gains on ``images`` (N, S, S, 3) uint8. Weights have 7 bits, for older CPUs add pairs of products in 16. Raises
    Failed where onnxruntime cannot do it."""
    onnx, _ = libraries()
    from onnxruntime import quantization as q

    with tempfile.TemporaryDirectory() as place, _quiet():
        file = Path(place, "int8.onnx")
        try:
            q.quantize_static(
                onnx.load_from_string(content),
                str(file),
                _Reader(images),
                quant_format=q.QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                per_channel=True,
                reduce_range=True,
                activation_type=q.QuantType.QUInt8,
                weight_type=q.QuantType.QInt8,
            )
        except (ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise Failed(f"onnxruntime cannot write this model in INT8 ({error}); leave out --int8") from error
        made = file.read_bytes()
    ours, theirs = (_part_maps(each, images, maps) for each in (content, made))
    either = (ours > 0) | (theirs > 0)
    agreement = float((ours == theirs)[either].mean()) if either.any() else 1.0
    return made, Int8(agreement, seconds(made, images), seconds(content, images), len(images))


def seconds(content: bytes, images: np.ndarray) -> float:
    """What an ONNX file takes for one of ``images`` (N, S, S, 3) uint8 on this machine, one thread: the median."""
    answer, one = runs_onnx(content, threads=1), [torch.from_numpy(images[:1])]
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        answer(one)
        times.append(time.perf_counter() - began)
    return float(np.median(times))


class _Reader:
    """One image after the other, as onnxruntime asks for them."""

    def __init__(self, images: np.ndarray) -> None:
        self.left: Iterator[dict[str, np.ndarray]] = ({"image": image[None]} for image in images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.left, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, onnxruntime gives no advice on how to prepare a graph."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _part_maps(content: bytes, images: np.ndarray, maps: PartMaps) -> np.ndarray:
    """(N, S, S) uint8: the most probable parts."""
    answer = runs_onnx(content)
    found = np.concatenate([answer([torch.from_numpy(image[None])]) for image in images])
    whole = np.array([0, 0, *found.shape[:1:-1]], np.float32)
    return np.stack([maps.most_probable(each, whole, found.shape[:1:-1]) for each in found])
