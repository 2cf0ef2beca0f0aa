"""Peak memory of training against the number of images: a store stays on disk, so it should not depend on it.

    python benchmarks/memory.py --images 1000 10000 100000

Writes one store for each number of ``--images``, in chunks (random bytes: a step costs the same whatever they show).
Then, in a fresh process each, opens it as ``coarseparts train`` does (preset ``default``, its small encoder), takes
``--steps`` EM steps and goes on reading and augmenting batches until every image has been seen once. Of each process:

- ``anonymous``: the peak of what it allocated for itself (RssAnon in Linux's /proc, asked for every few milliseconds);
- ``resident``: the largest resident set (ru_maxrss) after the steps, and after all images were read. It counts files'
  pages, too: libraries, and whatever was read of the store, which the system takes back as soon as it needs memory.

Exit status 1 when ``anonymous`` grows by more than ``--limit`` percent from the first store to the last.
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
from coarseparts.data.store import Store
from coarseparts.data.store_files import Writer, layout
from coarseparts.data.synthetic.birds import SCHEMA
from coarseparts.system.memory import use_huge_pages
from coarseparts.training.networks import resolve
from coarseparts.training.settings import settings
from coarseparts.training.stages import untrained
from coarseparts.training.task import Task
from coarseparts.updates import Epochs

LABELS = ("keypoints", "mask", "box")
CHUNK = 100
LABELLED = 40
MIB = 2**20


def anonymous_bytes() -> int:
    """What this process holds in memory that is not a file's (RssAnon), in bytes; Linux only."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no RssAnon; this measurement needs Linux 4.5 or newer")


def resident_bytes() -> int:
    """The largest resident set that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


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
    """A store of ``images`` random images with every coarse label; the first 2 x ``LABELLED`` have part masks."""
    random = np.random.default_rng(0)
    with Writer(folder, SCHEMA, size, LABELS) as writer:
        for start in range(0, images, CHUNK):
            n = min(CHUNK, images - start)
            arrays = {
                name: np.zeros((n, *shape), dtype) for name, (dtype, shape) in layout(size, SCHEMA, LABELS).items()
            }
            arrays["image"] = random.integers(0, 256, arrays["image"].shape, np.uint8)
            arrays["parts"] = random.integers(0, SCHEMA.channels, arrays["parts"].shape, np.uint8)
            arrays["mask"] = (arrays["parts"] > 0).astype(np.uint8) * 255
            arrays["keypoints"][:, :, :2] = random.uniform(0, size, (n, 15, 2))
            arrays["keypoints"][:, :, 2] = 2
            arrays["box"][:] = (0, 0, size, size)
            arrays["present"][:] = True
            arrays["present"][:, 0] = np.arange(start, start + n) < 2 * LABELLED
            names = [f"{i:06d}" for i in range(start, start + n)]
            splits = ["val" if LABELLED <= i < 2 * LABELLED else "train" for i in range(start, start + n)]
            writer.append(arrays, names, splits, ["random"] * n)


def train(folder: Path, steps: int, batch: int) -> dict[str, float]:
    """``steps`` EM steps and the rest of a pass over the store in ``folder``; the peaks in bytes."""
    with PeakMemory() as memory:
        chosen = resolve(settings(changes={"batch": batch}), "cpu")
        task = Task.of(Store.open(folder), chosen)
        joint = untrained(task)
        optimizers = em.Optimizers(*(torch.optim.AdamW(m.parameters(), lr=1e-4) for m in joint.trained))
        pass_over_all = task.coarse_feed.epoch(0)
        labelled = task.labelled_feed.epoch(0, steps)
        pairs = zip(labelled, pass_over_all, strict=False)  # stops when the steps are done, and the pass goes on below
        em.train(joint, optimizers, chosen.em, Epochs(lambda epoch: pairs, 1, steps, lambda epoch, terms: None))
        after_steps = resident_bytes()
        for _ in pass_over_all:
            pass
    return {"anonymous": memory.peak, "after_steps": after_steps, "after_all": resident_bytes()}


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
        use_huge_pages()  # as commands do
        print(json.dumps(train(o.measure, o.steps, o.batch)))
        return 0

    print(f"python benchmarks/memory.py {' '.join(sys.argv[1:] if arguments is None else arguments)}".rstrip())
    print(f"{os.cpu_count()} CPU cores, torch {torch.__version__}")
    print(
        f"{o.steps} EM steps of {o.batch} coarse images of {o.size}x{o.size}, then the rest of a pass over all images"
    )
    print(f"{'':>8} {'store':>8} {'anonymous':>10} {'resident, steps':>16} {'resident, all read':>19} {'seconds':>8}")
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
            own, steps, everything = (measured[-1][name] / MIB for name in ("anonymous", "after_steps", "after_all"))
            print(
                f"{images:8d} {size / MIB:8.0f} {own:10.0f} {steps:16.0f} {everything:19.0f} {seconds:8.0f}", flush=True
            )
    print("(MiB)")
    grown = {name: growth(measured, name) for name in ("anonymous", "after_steps")}
    print(
        f"from {o.images[0]} to {o.images[-1]} images: anonymous {grown['anonymous']:+.1f} % (limit {o.limit:g} %), "
        f"resident after the steps {grown['after_steps']:+.1f} %"
    )
    return int(grown["anonymous"] > o.limit)


if __name__ == "__main__":
    sys.exit(main())
