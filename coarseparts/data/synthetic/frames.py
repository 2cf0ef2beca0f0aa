"""What all synthetic worlds do with a drawn frame: threads, supersampling, lens and boxes.

Only exactly rounded arithmetic, as in ``ellipsoids``: an image's bits do not depend on its chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from coarseparts.data.synthetic.anatomy import cross

Scene = TypeVar("Scene")


def rendered(
    scene: Callable[[Generator, int], Scene],
    draw: Callable[[list[Scene], int], dict[str, np.ndarray]],
    maps: tuple[str, ...],
    keypoints: int,
    count: int,
    size: int,
    seed: int,
    first: int,
    chunk: int,
) -> dict[str, np.ndarray]:
    """Draws images number ``first`` to ``first + count - 1`` of a world, ``chunk`` at a time: ``scene`` makes one of
    its own random numbers and ``size``, ``draw`` gives arrays of several.

    Those are ``image`` (N, S, S, 3) uint8, ``maps`` (N, S, S) uint8 each, ``keypoints`` (N, K, 3) and ``box`` (N, 4)
    float32. Raises ValueError where the numbers make no sense.
    """
    if count < 0 or seed < 0 or first < 0 or chunk < 1 or size < 16:
        raise ValueError(
            f"render: count={count}, size={size}, seed={seed}, first={first}, chunk={chunk}; "
            "count, seed and first must be 0 or more, chunk 1 or more, size 16 or more"
        )
    out: dict[str, np.ndarray] = {
        "image": np.zeros((count, size, size, 3), np.uint8),
        **{name: np.zeros((count, size, size), np.uint8) for name in maps},
        "keypoints": np.zeros((count, keypoints, 3), np.float32),
        "box": np.zeros((count, 4), np.float32),
    }

    def fill(start: int) -> None:
        stop = min(count, start + chunk)
        scenes = [scene(np.random.default_rng([seed, first + i]), size) for i in range(start, stop)]
        for name, values in draw(scenes, size).items():
            out[name][start:stop] = values

    with _one_chunk_per_core() as pool:
        list(pool.map(fill, range(0, count, chunk)))
    return out


@contextmanager
def _one_chunk_per_core() -> Iterator[ThreadPoolExecutor]:
    """Threads that each draw whole chunks, instead of torch splitting every small operation over all cores.

    The operations are too short to be split: beside another busy process, waiting for each other after every one of
    them made this ten times slower.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


def view(azimuth: float, elevation: float, roll: float) -> np.ndarray:
    """(3, 3) rotation from an object's axes (forward, left, up) to (right, up, towards the viewer); in degrees."""
    a, e, r = np.radians([azimuth, elevation, roll])
    toward = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    right = np.array([-np.sin(a), np.cos(a), 0.0])
    up = cross(toward, right)
    return np.stack([np.cos(r) * right + np.sin(r) * up, np.cos(r) * up - np.sin(r) * right, toward])


def quarters(a: Tensor) -> list[Tensor]:
    """The four samples of every pixel: 4 tensors (..., S, S) from (..., 2S, 2S)."""
    return [a[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]


def mean_of_quarters(a: Tensor) -> Tensor:
    """(..., S, S) each pixel's mean over its four samples (..., 2S, 2S)."""
    q = quarters(a)
    return ((q[0] + q[1]) + (q[2] + q[3])) * 0.25


def through_lens(image: Tensor, lens: np.ndarray, noise: np.ndarray) -> Tensor:
    """Blur, contrast, brightness and sensor noise; (B, 3, S, S) 0..1 to uint8.

    ``lens`` (B, 3): blur, contrast, brightness; ``noise`` (B, 3, S, S) float32, added last.
    """
    side, contrast, brightness = (c[:, None, None, None] for c in torch.from_numpy(lens).float().unbind(1))
    for dim in (2, 3):
        size = image.shape[dim]
        before = torch.cat([image.narrow(dim, 0, 1), image.narrow(dim, 0, size - 1)], dim)
        after = torch.cat([image.narrow(dim, 1, size - 1), image.narrow(dim, size - 1, 1)], dim)
        image = (1 - 2 * side) * image + side * (before + after)
    image = (image - 0.5) * contrast + (0.5 + brightness) + torch.from_numpy(noise)
    return (image * 255 + 0.5).clamp(0, 255).to(torch.uint8)


def tight_boxes(mask: np.ndarray) -> np.ndarray:
    """(B, 4) tight boxes (x0, y0, x1, y1) of (B, S, S) masks; zeros where a mask is empty."""
    boxes = np.zeros((len(mask), 4), np.float32)
    for box, rows, columns in zip(boxes, mask.max(2), mask.max(1), strict=True):
        if rows.any():
            y, x = np.flatnonzero(rows), np.flatnonzero(columns)
            box[:] = (x[0], y[0], x[-1] + 1, y[-1] + 1)
    return boxes
