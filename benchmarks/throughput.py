"""What training costs, piece by piece: each network forward and backward, a step of fine-tuning, a step of EM.

    python benchmarks/throughput.py [--device cuda] [--compile [reduce-overhead]]

Networks of the ``--preset`` at ``--size`` pixels on ``--batch`` coarse and ``--labelled`` part-labelled images. The
networks alone run on tensors that lie on the device; the steps take augmented batches from a store, heat maps and all,
as `coarseparts train` does. Prints images/s (of EM: coarse ones), FLOP/s (a multiply and an add are two; a backward
pass counts as two forward passes) beside a matrix product of the same run, and the peak memory. On a GPU it also counts
how often the host waits for the device inside three steps; exit status 1 when it does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import cast

import numpy as np
import torch
from memory import MIB, PeakMemory
from rates import list_operators, machine, matrix_rate, seconds
from torch import Tensor, nn

from coarseparts import em, updates
from coarseparts.data.batches import Feed
from coarseparts.data.sample import Batch
from coarseparts.data.store import Store
from coarseparts.data.synthetic import birds
from coarseparts.initialise import part_model_loss
from coarseparts.joint import JointModel
from coarseparts.labels import Keypoints
from coarseparts.networks.macs import macs
from coarseparts.system.device import compile_networks
from coarseparts.system.memory import keep_freed_memory, use_huge_pages
from coarseparts.training.networks import build, optimizer_of, resolve
from coarseparts.training.settings import Settings, settings

STYLES = ["keypoints", "mask"]
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


def steps_of(chosen: Settings, networks: JointModel, store: Store, device: str) -> dict[str, Callable[[], object]]:
    """A step of fine-tuning and one of EM, each with the batches that it takes."""
    rows = np.arange(len(store))

    def endless(size: int, salt: int) -> Iterator[Batch]:
        feed = Feed(store, rows, size, 0, salt, device, chosen.augmentation, chosen.preprocess)
        return (batch for epoch in count() for batch in feed.epoch(epoch))

    def optimizer(module: nn.Module, rate: float) -> torch.optim.Optimizer:
        return optimizer_of(chosen, [(module, 1e-3 * rate)])  # small, for nothing is to be learned here

    modules = ((networks.part_model, chosen.em_part_lr), (networks.posterior, chosen.em_posterior_lr))
    optimizers = em.Optimizers(
        *(optimizer(module, rate) for module, rate in modules), optimizer(networks.theta_k, chosen.em_label_lr)
    )
    coarse, labelled = endless(chosen.batch, 0), endless(chosen.labelled_batch, 1)
    o = chosen.em.where(labels_differ=False)  # every bird has all its labels
    part, loss = endless(chosen.part_batch, 2), part_model_loss(networks.part_model, networks.y, chosen.em.dice)
    generator = torch.Generator()
    return {
        "fine-tuning": lambda: updates.update(optimizers.part_model, loss(next(part), generator), chosen.em.clip),
        "EM": lambda: em.em_step(networks, optimizers, next(coarse), next(labelled), o),
    }


def waits(work: Callable[[], object]) -> int:
    """How often the host waited for a GPU while it did ``work``."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as record:
        work()
    return sum(event.count for event in record.key_averages() if event.key in WAITS)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--precision", default="auto", help="of the networks")
    parser.add_argument("--encoder", default="resnet34")
    parser.add_argument("--size", type=int, default=256, help="pixels")
    parser.add_argument("--batch", type=int, default=32, help="b, coarse images a step")
    parser.add_argument("--labelled", type=int, default=4, help="bp, part-labelled images a step")
    kinds = ["default", "reduce-overhead"]
    parser.add_argument("--compile", nargs="?", const=kinds[0], choices=kinds, help="the networks, with torch.compile")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--profile", type=int, default=0, metavar="ROWS", help="operators to list of each step")
    o = parser.parse_args(arguments)
    use_huge_pages()  # as commands do
    keep_freed_memory()
    print(f"python benchmarks/throughput.py {' '.join(sys.argv[1:] if arguments is None else arguments)}".rstrip())
    print(machine(o.device))
    changes = {"weights": "random", "encoder": o.encoder, "precision": o.precision, "part_batch": o.batch}
    changes |= {"batch": o.batch, "labelled_batch": o.labelled, "random_start_factor": 1.0}
    chosen = resolve(settings(o.preset, changes), o.device)
    print(
        f"preset {o.preset}, {o.encoder}, {o.size}x{o.size}, {chosen.precision}, b = {o.batch}, bp = {o.labelled}"
        f"{f', compiled ({o.compile})' if o.compile else ''}"
    )
    networks = build(birds.SCHEMA, chosen, STYLES, weights=False)
    for network in (networks.part_model, networks.posterior, networks.theta_k):
        network.train().to(o.device)
    if o.compile:
        compile_networks([networks.part_model, networks.posterior], graphs=o.compile == kinds[1])
    store = Store.from_arrays(birds.SCHEMA, **birds.render(2 * o.batch, size=o.size, seed=1))
    peak = matrix_rate(o.device, torch.bfloat16 if chosen.precision == "bfloat16" else torch.float32)

    batch = next(Feed(store, np.arange(len(store)), o.batch, 0, device=o.device).plain())
    drawn = networks.draw(batch)
    flops = {}
    for name, network, inputs in (
        ("part model", networks.part_model, (batch.image,)),
        ("posterior", networks.posterior, (batch.image, drawn)),
    ):
        # Counted on one image, and without compiling: hooks do not see into what is compiled.
        plain = build(birds.SCHEMA, chosen, STYLES, weights=False)
        plain_network = plain.part_model if name == "part model" else plain.posterior
        flops[name] = 2 * o.batch * macs(plain_network.eval(), *(t[:1].cpu() for t in inputs))

        def forward(network: nn.Module = network, inputs: tuple[Tensor, ...] = inputs) -> Tensor:
            with torch.no_grad():
                out: Tensor = network(*inputs)
            return out

        def both(network: nn.Module = network, inputs: tuple[Tensor, ...] = inputs) -> object:
            return torch.autograd.grad(network(*inputs).square().mean(), list(network.parameters()))

        for what, work, passes in (("forward", forward, 1), ("forward and backward", both, 3)):
            took = seconds(work, o.device, o.repetitions, 2)
            row(f"{name}, {what}", o.batch / took, passes * flops[name] / took, peak)
    reader = cast(Keypoints, plain.styles["keypoints"]).model
    flops["keypoint model"] = 2 * o.batch * macs(reader, torch.empty(1, birds.SCHEMA.channels, o.size, o.size))
    together = 1 + o.labelled / o.batch
    whole = {
        "fine-tuning": 3 * flops["part model"],
        # Both networks forward and backward on both batches, and line 14's forward pass on the coarse one; there the
        # keypoint model passes forward and back to its input in line 12, forward and backward in line 18.
        "EM": 3 * together * (flops["part model"] + flops["posterior"])
        + flops["posterior"]
        + 5 * flops["keypoint model"],
    }
    waited = 0
    for name, step in steps_of(chosen, networks, store, o.device).items():
        with PeakMemory() as memory:
            took = seconds(step, o.device, o.repetitions, 2)
        row(f"step of {name}, data path included", o.batch / took, whole[name] / took, peak)
        on_gpu = o.device.startswith("cuda")
        most = torch.cuda.max_memory_allocated() if on_gpu else memory.peak
        print(f"  {1e3 * took:.0f} ms a step, peak memory {most / MIB:.0f} MiB")
        if o.profile:
            list_operators(step, o.profile)
        if on_gpu:
            found = waits(lambda step=step: [step() for _ in range(3)])
            print(f"  the host waits {found} times in 3 steps")
            waited += found
    return int(waited > 0)


def row(name: str, images: float, flops: float, peak: float) -> None:
    """Prints a rate."""
    print(
        f"{name:40} {images:9.1f} images/s {flops / 1e9:9.0f} GFLOP/s, {100 * flops / peak:.0f} % of a matrix product"
    )


if __name__ == "__main__":
    sys.exit(main())
