"""How fast `coarseparts prepare pascub` is, beside the bare decoding that it cannot do without.

    python benchmarks/prepare.py

Writes archives of ``--images`` synthetic photographs of 500x375 pixels each for PASCAL (a share ``--birds`` of them
with a bird that is kept, the others with two people; 12 masks each) and CUB (with a figure-ground mask), and some part
masks. Then, in processor seconds of all threads, so that the figures are per core:

- decoding: the .mat files and the photographs with birds, as ``prepare`` has to read them, and nothing else;
- prepare: the whole command, from the archives to the dataset file;
- again: the same command, which has nothing left to do.

Exit status 1 when ``prepare`` without the decoding comes to fewer than ``--target`` images a second.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from coarseparts.data.images import decode
from coarseparts.data.prepare.archives import Archives
from coarseparts.data.prepare.pascal_part import read_pascal_part
from coarseparts.data.prepare.pascub import Choices, prepare_pascub
from coarseparts.data.synthetic.anatomy import PARTS

WIDTH, HEIGHT = 500, 375
DISTINCT = 16
"""Photographs that are drawn; the others are copies."""

BIRD_PARTS = ("head", "leye", "reye", "beak", "torso", "neck", "lwing", "rwing", "lleg", "lfoot", "rleg", "tail")
CELL = 60  # pixels


def draw_photograph(path: Path, seed: int) -> None:
    """A JPEG with coarse and fine structure, about as large as a photograph of that size."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (15, 20, 3)).astype(np.uint8))
    coarse = np.asarray(small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.int16)
    fine = random.normal(0, 12, (HEIGHT, WIDTH, 1))
    Image.fromarray((coarse + fine).clip(0, 255).astype(np.uint8)).save(path, quality=90)


def rectangle(x: int, y: int, width: int, height: int) -> np.ndarray:
    """(H, W) uint8, 1 inside."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y : y + height, x : x + width] = 1
    return mask


def write_annotation(path: Path, category: str, objects: int) -> None:
    """A PASCAL-Part file with ``objects`` objects of 12 parts in all."""
    each = len(BIRD_PARTS) // objects
    found = np.zeros((1, objects), [(name, object) for name in ("class", "class_ind", "mask", "parts")])
    for i in range(objects):
        inner = np.zeros((1, each), [("part_name", object), ("mask", object)])
        for j in range(each):
            inner[0, j] = BIRD_PARTS[j], rectangle(100 + CELL * (j % 4), 60 + CELL * (j // 4), CELL, CELL)
        found[0, i] = category, 3, rectangle(100, 60, 4 * CELL, 4 * CELL), inner
    anno = np.zeros((1, 1), [("imname", object), ("objects", object)])
    anno[0, 0] = path.stem, found
    savemat(path, {"anno": anno}, do_compression=True)


def write_archives(folder: Path, images: int, birds: float) -> Archives:
    """Miniatures of all four archives in their layouts."""
    found = Archives(*(folder / name for name in ("cub", "parts", "voc", "annotations", "segmentations")))
    segmentations = folder / "segmentations"
    for path in (
        *(found.cub / "images", found.cub / "parts", found.voc / "JPEGImages", found.voc / "ImageSets" / "Main"),
        *(found.pascal_parts, segmentations, folder / "drawn"),
        *(found.parts / f"{kind}_{split}" for kind in ("images", "parts") for split in ("train", "val", "test")),
    ):
        path.mkdir(parents=True)
    drawn = [folder / "drawn" / f"{i}.jpg" for i in range(DISTINCT)]
    for i, path in enumerate(drawn):
        draw_photograph(path, i)
    write_annotation(folder / "bird.mat", "bird", 1)
    write_annotation(folder / "people.mat", "person", 2)
    names = []
    for i in range(images):
        shutil.copyfile(drawn[i % DISTINCT], found.voc / "JPEGImages" / f"2010_{i:06d}.jpg")
        kind = "bird" if int((i + 1) * birds) > int(i * birds) else "people"
        shutil.copyfile(folder / f"{kind}.mat", found.pascal_parts / f"2010_{i:06d}.mat")
        names.append(f"Bird_{i:06d}")
        # A byte more each: photographs differ.
        (found.cub / "images" / f"{names[i]}.jpg").write_bytes(drawn[i % DISTINCT].read_bytes() + b"%d" % i)
        Image.fromarray(rectangle(100, 60, 4 * CELL, 4 * CELL) * 255).save(segmentations / f"{names[i]}.png")
    half = "".join(f"2010_{i:06d}\n" for i in range(images // 2))
    (found.voc / "ImageSets" / "Main" / "train.txt").write_text(half)
    (found.voc / "ImageSets" / "Main" / "val.txt").write_text(f"2010_{images - 1:06d}\n")
    numbered = list(enumerate(names, 1))
    (found.cub / "images.txt").write_text("".join(f"{n} {name}.jpg\n" for n, name in numbered))
    (found.cub / "train_test_split.txt").write_text("".join(f"{n} {n % 2}\n" for n, _ in numbered))
    (found.cub / "bounding_boxes.txt").write_text("".join(f"{n} 100 60 240 240\n" for n, _ in numbered))
    keypoints = [{"head": "crown", "torso": "belly"}.get(part, part.replace("_", " ")) for part in PARTS]
    (found.cub / "parts" / "parts.txt").write_text("".join(f"{k} {name}\n" for k, name in enumerate(keypoints, 1)))
    places = "".join(f"{n} {k} {101 + 20 * k} 100 1\n" for n, _ in numbered for k in range(1, len(PARTS) + 1))
    (found.cub / "parts" / "part_locs.txt").write_text(places)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for k in range(1, len(PARTS) + 1):
        mask[80:120, 92 + 20 * k : 111 + 20 * k] = k
    for split, name in zip(("train", "val", "test"), names, strict=False):
        shutil.copyfile(found.cub / "images" / f"{name}.jpg", found.parts / f"images_{split}" / f"{name}.jpg")
        Image.fromarray(mask).save(found.parts / f"parts_{split}" / f"{name}.png")
    return found


def decode_all(archives: Archives) -> None:
    """Read what ``prepare`` decodes: every annotation, and the photographs with birds."""
    for path in sorted(archives.pascal_parts.glob("*.mat")):
        if any(found.category == "bird" for found in read_pascal_part(path)):
            decode(archives.voc / "JPEGImages" / f"{path.stem}.jpg")


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """(processor seconds of all threads, seconds on the clock) that ``work`` takes."""
    processor, clock = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - processor, time.perf_counter() - clock


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=1000, help="photographs of PASCAL, and of CUB")
    parser.add_argument("--birds", type=float, default=0.053, help="share of PASCAL's with a bird (the paper: 536)")
    parser.add_argument("--target", type=float, default=300, help="images a second and core, decoding apart")
    o = parser.parse_args(arguments)
    print(f"python benchmarks/prepare.py {' '.join(sys.argv[1:] if arguments is None else arguments)}".rstrip())
    print(f"{os.cpu_count()} CPU cores; {o.images} photographs of PASCAL, {o.images} of CUB, {WIDTH}x{HEIGHT}")
    with tempfile.TemporaryDirectory() as folder:
        archives = write_archives(Path(folder), o.images, o.birds)
        jpegs = sorted((archives.cub / "images").iterdir())
        bare, _ = seconds(lambda: [decode(path) for path in jpegs])
        out = Path(folder) / "out"
        measured = {
            "decoding": seconds(lambda: decode_all(archives)),
            "prepare": seconds(lambda: prepare_pascub(archives, out, Choices())),
            "again": seconds(lambda: prepare_pascub(archives, out, Choices())),
        }
    print(f"one JPEG, bare decoding: {1e3 * bare / len(jpegs):.2f} ms, {len(jpegs) / bare:.0f} a second and core")
    print(f"{'':10} {'processor s':>12} {'clock s':>8} {'images a second and core':>25}")
    for name, (processor, clock) in measured.items():
        print(f"{name:10} {processor:12.2f} {clock:8.2f} {2 * o.images / processor:25.0f}")
    own = 2 * o.images / max(measured["prepare"][0] - measured["decoding"][0], 1e-9)
    print(f"prepare without decoding: {own:.0f} images a second and core (target {o.target:g})")
    return int(own < o.target)


if __name__ == "__main__":
    sys.exit(main())
