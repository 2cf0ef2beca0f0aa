"""Peak memory of training against the number of images: a store stays on disk, so it should not depend on it.

    python benchmarks/memory.py

Writes one store for each number of ``--images`` in chunks (random bytes: a step costs the same whatever they show),
then, in a fresh process each, opens it, makes the networks and takes ``--steps`` EM steps over it as ``coarseparts
train`` does, presets' ``default`` with its small encoder. Three numbers a process: ``anonymous``, the peak of what it
allocated for itself (RssAnon of Linux's /proc, asked for every few milliseconds); ``resident``, the largest resident
set (ru_maxrss), which counts file pages too: the libraries, and what it read of the store, memory that the system
takes back when it needs it; ``store``, the size of the files. Exit status 1 when ``anonymous`` or ``resident`` grows
by more than ``--limit`` percent from the first store to the last.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from coarseparts import em
from coarseparts.data.batches import Feed
from coarseparts.data.sample import STYLES
from coarseparts.data.store import LABELS, Store, Writer, layout
from coarseparts.data.synthetic.birds import SCHEMA
from coarseparts.model import build, resolve
from coarseparts.presets import settings

CHUNK = 100
LABELLED = 40
MIB = 2**20


def anonymous_bytes() -> int:
    """What this process holds in memory that is not a file's (RssAnon), in bytes; Linux only."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no RssAnon; this measurement needs Linux 4.5 or newer")


class PeakMemory:
    """Within ``with``, a thread asks for ``anonymous_bytes`` every few milliseconds; ``peak`` is the largest answer."""

    def __init__(self, interval: float = 0.005):
        self.interval, self.peak = interval, 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def _poll(self) -> None:
        while not self._done.wait(self.interval):
            self.peak = max(self.peak, anonymous_bytes())

    def __enter__(self) -> PeakMemory:
        self.peak = anonymous_bytes()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.peak = max(self.peak, anonymous_bytes())


def write_store(folder: Path, images: int, size: int) -> None:
    """A store of ``images`` random images, the first ``LABELLED`` with part masks, all with every coarse label."""
    random = np.random.default_rng(0)
    with Writer(folder, SCHEMA, size) as writer:
        for start in range(0, images, CHUNK):
            n = min(CHUNK, images - start)
            arrays = {name: np.zeros((n, *shape), dtype) for name, (dtype, shape) in layout(size, 15).items()}
            arrays["image"] = random.integers(0, 256, arrays["image"].shape, np.uint8)
            arrays["parts"] = random.integers(0, SCHEMA.channels, arrays["parts"].shape, np.uint8)
            arrays["mask"] = (arrays["parts"] > 0).astype(np.uint8) * 255
            arrays["keypoints"][:, :, :2] = random.uniform(0, size, (n, 15, 2))
            arrays["keypoints"][:, :, 2] = 2
            arrays["box"][:] = (0, 0, size, size)
            arrays["present"][:] = True
            arrays["present"][:, LABELS.index("parts")] = np.arange(start, start + n) < LABELLED
            names = [f"{i:06d}" for i in range(start, start + n)]
            writer.append(arrays, names, ["train"] * n, ["random"] * n)


def train(folder: Path, steps: int, batch: int) -> dict[str, float]:
    """``steps`` EM steps over the store in ``folder``; the peaks in bytes and how many images were read."""
    torch.manual_seed(0)
    chosen = resolve(settings(), "cpu")
    with PeakMemory() as memory:
        store = Store.open(folder)
        networks = build(store.schema, chosen, list(STYLES))
        modules = networks.part_model, networks.posterior, networks.styles
        optimizers = em.Optimizers(*(torch.optim.AdamW(m.parameters(), lr=1e-4) for m in modules))
        parts = store.rows("train", has="parts")
        coarse = np.setdiff1d(store.rows("train"), parts)
        feeds = Feed(store, parts, chosen.labelled_batch, 0, 1), Feed(store, coarse, batch, 0, 2)

        def batches(epoch: int) -> zip:
            return zip(*(feed.epoch(epoch, steps) for feed in feeds), strict=True)

        em.train(networks, optimizers, batches, chosen.em, 1, steps, lambda epoch, terms: None)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"anonymous": memory.peak, "resident": resident, "read": min(steps * batch, len(coarse)) + len(parts)}


def growth(measured: Sequence[dict[str, float]], name: str) -> float:
    """By how many percent ``name`` is larger in the last measurement than in the first."""
    return 100 * (measured[-1][name] / measured[0][name] - 1)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 10000], help="images of each store")
    parser.add_argument("--size", type=int, default=96, help="their width and height, pixels")
    parser.add_argument("--steps", type=int, default=8, help="EM steps on each")
    parser.add_argument("--batch", type=int, default=32, help="coarse images a step")
    parser.add_argument("--limit", type=float, default=5.0, help="growth that is allowed, percent")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)  # the fresh process: this store, JSON out
    o = parser.parse_args(arguments)
    if o.measure:
        print(json.dumps(train(o.measure, o.steps, o.batch)))
        return 0

    print(f"python benchmarks/memory.py {' '.join(sys.argv[1:] if arguments is None else arguments)}".rstrip())
    print(f"{os.cpu_count()} CPU cores, torch {torch.__version__}; {o.steps} EM steps of {o.batch} coarse images")
    print(f"{'images':>8} {'store MiB':>10} {'anonymous MiB':>14} {'resident MiB':>13} {'seconds':>8}")
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        for images in o.images:
            store = Path(folder) / str(images)
            write_store(store, images, o.size)
            size = sum(f.stat().st_size for f in store.iterdir())
            options = ["--steps", str(o.steps), "--batch", str(o.batch), "--measure", str(store)]
            start = time.perf_counter()
            child = subprocess.run([sys.executable, __file__, *options], check=True, stdout=subprocess.PIPE)
            seconds = time.perf_counter() - start
            measured.append(json.loads(child.stdout))
            peaks = measured[-1]["anonymous"] / MIB, measured[-1]["resident"] / MIB
            print(f"{images:8d} {size / MIB:10.1f} {peaks[0]:14.1f} {peaks[1]:13.1f} {seconds:8.1f}", flush=True)
    grown = {name: growth(measured, name) for name in ("anonymous", "resident")}
    for name, percent in grown.items():
        print(f"{name}: {percent:+.1f} % from {o.images[0]} to {o.images[-1]} images (limit {o.limit:g} %)")
    return int(max(grown.values()) > o.limit)


if __name__ == "__main__":
    sys.exit(main())
