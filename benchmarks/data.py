"""The data path alone: batches from a packed store, beside a loader that makes one sample at a time from its files.

    python benchmarks/data.py [--device cuda]

Both give what an EM step needs of ``--size`` pixels: the normalised image, mask and keypoints flipped with it at random
and moved, and the 15 keypoints drawn as heat maps beside the mask for the posterior. In turns, in one process:

- files: a JPEG of 500x375 decoded, cropped and resized; its mask PNG likewise; an affine map by Pillow; the heat maps
  drawn on the CPU, one after another. (What loaders of this kind do; they are then run in many processes.)
- store: ``data.batches.Feed`` and ``JointModel.draw``. Decoding was done once, when the store was built; that time is
  printed, too. Its images have no part masks, as an EM step's coarse images.

Exit status 1 when the store is not ``--target`` times as fast.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from memory import PeakMemory
from PIL import Image
from rates import copy_rate, processor, waited
from torch import Tensor

from coarseparts.data.batches import Feed
from coarseparts.data.store import Store
from coarseparts.data.synthetic import birds
from coarseparts.system.memory import keep_freed_memory, use_huge_pages
from coarseparts.training.networks import build, resolve
from coarseparts.training.settings import settings

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def write_files(folder: Path, count: int) -> np.ndarray:
    """Photographs and masks; returns the keypoints (N, K, 3) in pixels of 500x375."""
    made = birds.render(count, size=375, seed=3)
    for i in range(count):
        Image.fromarray(made["image"][i]).resize((500, 375)).save(folder / f"{i}.jpg", quality=90)
        Image.fromarray(made["mask"][i]).resize((500, 375)).save(folder / f"{i}.png")
    points = np.asarray(made["keypoints"], np.float32).copy()
    points[..., 0] *= 500 / 375
    return points


def sample_from_files(folder: Path, i: int, points: np.ndarray, size: int, random: np.random.Generator) -> Tensor:
    """One sample, (3 + 1 + K, S, S): image, mask and heat maps."""
    picture = Image.open(folder / f"{i}.jpg").convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    mask = Image.open(folder / f"{i}.png").convert("L").resize((size, size), Image.Resampling.NEAREST)
    scale, angle = random.uniform(0.8, 1.25), np.deg2rad(random.uniform(-15, 15))
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    centre = size / 2
    inverse = (cos, sin, centre - cos * centre - sin * centre, -sin, cos, centre + sin * centre - cos * centre)
    picture = picture.transform((size, size), Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR)
    mask = mask.transform((size, size), Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR)
    image = (np.asarray(picture, np.float32) / 255 - MEAN) / STD
    shown = np.asarray(mask, np.float32) / 255
    xy = points[:, :2] * (size / 500, size / 375) - centre
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    x, y = cos * xy[:, 0] - sin * xy[:, 1] + centre, sin * xy[:, 0] + cos * xy[:, 1] + centre
    if random.random() < 0.5:
        image, shown, x = image[:, ::-1], shown[:, ::-1], size - x
    at = np.arange(size, dtype=np.float32) + 0.5
    sigma = 0.03 * size
    maps = [
        np.exp(-((at[None, :] - px) ** 2 + (at[:, None] - py) ** 2) / (2 * sigma**2)) * (v > 0)
        for px, py, v in zip(x, y, points[:, 2], strict=True)
    ]
    return torch.from_numpy(np.concatenate([image.transpose(2, 0, 1), shown[None], np.stack(maps)]).astype(np.float32))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu or cuda: where the store's batches are made")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--size", type=int, default=256, help="pixels")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5, help="passes of each side over some of the images")
    parser.add_argument("--target", type=float, default=10, help="times as fast")
    o = parser.parse_args(arguments)
    use_huge_pages()  # as commands do
    keep_freed_memory()
    print(f"python benchmarks/data.py {' '.join(sys.argv[1:] if arguments is None else arguments)}".rstrip())
    print(f"{processor()}, {torch.get_num_threads()} threads; copy {copy_rate(o.device) / 1e9:.1f} GB/s ({o.device})")
    chosen = resolve(settings(changes={"weights": "random", "encoder": "resnet10"}), o.device)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        points = write_files(folder, o.images)
        made = birds.render(o.images, size=o.size, seed=3)
        start = time.perf_counter()
        Store.from_arrays(birds.SCHEMA, **made).save(folder / "store")
        print(f"packing {o.images} rendered images into a store: {time.perf_counter() - start:.1f} s")
        store = Store.open(folder / "store").without_parts()
        networks = build(birds.SCHEMA, chosen, ["keypoints", "mask"], weights=False)
        networks.theta_k.to(o.device)
        feed = Feed(store, np.arange(o.images), o.batch, 0, device=o.device, augmentation=chosen.augmentation)
        random = np.random.default_rng(0)
        rates: dict[str, list[float]] = {"files": [], "store": []}
        peak = 0
        for number in range(o.rounds + 1):
            start = time.perf_counter()
            some = [sample_from_files(folder, i, points[i], o.size, random) for i in range(min(o.batch, o.images))]
            torch.stack(some)
            files = len(some) / (time.perf_counter() - start)
            with PeakMemory() as memory:
                start = time.perf_counter()
                for batch in feed.epoch(number):
                    networks.draw(batch)
                waited(o.device)
                packed = len(feed) * o.batch / (time.perf_counter() - start)
            peak = max(peak, memory.peak)
            if number:  # the first round reads the files from disk
                rates["files"].append(files)
                rates["store"].append(packed)
    middle = {name: float(np.median(found)) for name, found in rates.items()}
    written = (3 + 1 + 15 + 1) * o.size**2 * 4  # float32 planes that a sample ends as
    for name, rate in middle.items():
        print(f"{name}: {rate:8.1f} images/s, {1e3 / rate:7.2f} ms each, {rate * written / 1e9:.2f} GB/s of tensors")
    ratio = middle["store"] / middle["files"]
    print(f"the store is {ratio:.1f} times as fast; peak memory {peak / 2**20:.0f} MiB")
    return int(ratio < o.target)


if __name__ == "__main__":
    sys.exit(main())
