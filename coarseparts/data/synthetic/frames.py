"""What all synthetic worlds do with a drawn frame: threads, supersampling, lens and boxes.

Only exactly rounded arithmetic, as in ``ellipsoids``: an image's bits do not depend on its chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from coarseparts.data.synthetic.anatomy import cross
from coarseparts.data.synthetic.ellipsoids import NOTHING

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


def hits(which: Tensor) -> tuple[Tensor, ...]:
    """The samples that show a solid, of (B, 2S, 2S) solids, -1 for none: their places among all; image, row, column."""
    at, samples = (which.reshape(-1) >= 0).nonzero()[:, 0], which.shape[-1]
    return at, at // samples**2, at // samples % samples, at % samples


def pixels(at: Tensor, colours: list[Tensor], which: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 3, S, S) the ``hits``' three channels of colour, weighted by cover; the cover (B, 1, S, S) in 0..1."""
    canvas = torch.zeros(3, which.numel())
    for channel, values in zip(canvas, colours, strict=True):
        channel[at] = values
    covered = mean_of_quarters((which >= 0).float())
    return torch.stack([mean_of_quarters(c.view_as(which)) for c in canvas], dim=1), covered[:, None]


def photographs(
    scenes: list[Any], colour: Tensor, cover: Tensor, behind: Tensor, before: Tensor, hidden: Tensor
) -> np.ndarray:
    """(B, S, S, 3) uint8: an object (``pixels``) between its surroundings (``backgrounds.paint``), seen through each
    scene's ``lens``: blur, contrast, brightness, with its ``camera_noise``."""
    image = behind * (1 - cover) + colour
    image = image + hidden * (before - image)
    lens = torch.from_numpy(np.stack([s.lens for s in scenes])).float()
    side, contrast, brightness = (c[:, None, None, None] for c in lens.unbind(1))
    for dim in (2, 3):
        size = image.shape[dim]
        first = torch.cat([image.narrow(dim, 0, 1), image.narrow(dim, 0, size - 1)], dim)
        last = torch.cat([image.narrow(dim, 1, size - 1), image.narrow(dim, size - 1, 1)], dim)
        image = (1 - 2 * side) * image + side * (first + last)
    noise = torch.from_numpy(np.stack([s.camera_noise for s in scenes]))
    image = (image - 0.5) * contrast + (0.5 + brightness) + noise
    return (image * 255 + 0.5).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()


def visible(
    scenes: list[Any],
    depth: np.ndarray,
    mask: np.ndarray,
    shows: Callable[[int, int, int, int], bool] = lambda image, keypoint, row, column: True,
) -> np.ndarray:
    """(B, K, 3) the scenes' ``points`` in pixels; hidden ones are zeros, as in CUB-200-2011.

    Visible is what lies at most a scene's ``tolerance`` under the surface that its sample shows (``depth`` (B, 2S,
    2S)), within the ``mask`` (B, S, S), where ``shows`` (image, keypoint, the sample's row, column) does not deny it.
    """
    found = np.zeros((len(scenes), len(scenes[0].points), 3), np.float32)
    samples = depth.shape[1]
    for b, scene in enumerate(scenes):
        for k, (x, y, z) in enumerate(scene.points):
            if np.isnan(x) or not (0 <= x < samples and 0 <= y < samples):
                continue
            i, j = int(y), int(x)
            near = depth[b, i, j] != NOTHING and z > depth[b, i, j] - scene.tolerance
            if near and mask[b, i // 2, j // 2] and shows(b, k, i, j):
                found[b, k] = (x / 2, y / 2, 2)
    return found


def tight_boxes(mask: np.ndarray) -> np.ndarray:
    """(B, 4) tight boxes (x0, y0, x1, y1) of (B, S, S) masks; zeros where a mask is empty."""
    boxes = np.zeros((len(mask), 4), np.float32)
    for box, rows, columns in zip(boxes, mask.max(2), mask.max(1), strict=True):
        if rows.any():
            y, x = np.flatnonzero(rows), np.flatnonzero(columns)
            box[:] = (x[0], y[0], x[-1] + 1, y[-1] + 1)
    return boxes
