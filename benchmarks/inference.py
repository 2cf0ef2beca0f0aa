"""How fast a trained model predicts: the network alone, one change after another, and `coarseparts predict` whole.

    python benchmarks/inference.py [--device cuda]

The part model of the ``--preset`` (paper: ResNet-34, stride 16, 11 classes) with random weights, at ``--size`` pixels.
First the network on a batch that lies there already: images/s, FLOP/s (a multiply and an add are two; counted on the
network that runs) and their share of a matrix product of that precision on this machine. Then photographs of 500x375
pixels in a folder through ``predict_folder`` into part maps at their own size, decoding and writing included.
Exit status 1 when the fastest network, or the whole, predicts fewer than ``--target`` images a second.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from rates import machine, matrix_rate, seconds
from torch import nn

from coarseparts.data.synthetic import birds
from coarseparts.inference.folder import predict_folder
from coarseparts.inference.model import Model
from coarseparts.networks.macs import macs
from coarseparts.system.memory import keep_freed_memory, use_huge_pages
from coarseparts.training.networks import build, resolve
from coarseparts.training.settings import settings

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def model_of(preset: str, encoder: str, size: int, device: str, precision: str) -> Model:
    """An untrained model, as ``Model.load`` would hand it out."""
    chosen = resolve(settings(preset, {"weights": "random", "encoder": encoder, "precision": precision}), device)
    networks = build(birds.SCHEMA, chosen, ["keypoints", "mask"], weights=False)
    for network in (networks.part_model, networks.posterior, networks.theta_k):
        network.eval().to(device)
    return Model(networks, birds.SCHEMA, chosen, ["keypoints", "mask"], size, {"to": "none", "margin": 0.0}, True)


def network_rates(preset: str, encoder: str, size: int, batch: int, device: str, repetitions: int) -> float:
    """Prints the part model's rate, one change after another; returns the highest, images/s."""
    best = 0.0
    peaks = {name: matrix_rate(device, dtype) for name, dtype in DTYPES.items()}
    for precision in DTYPES:
        plain = model_of(preset, encoder, size, device, precision)
        fast = plain.fast
        rows: list[tuple[str, nn.Module, int]] = [
            ("one at a time", plain.networks.part_model, 1),
            (f"{batch} at a time", plain.networks.part_model, batch),
            (f"{batch} at a time, norms folded", fast.networks.part_model, batch),
        ]
        for name, network, count in rows:
            image = torch.randn(count, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)
            with torch.no_grad():
                took = seconds(lambda network=network, image=image: network(image), device, repetitions)
            flops = 2 * macs(network, image)
            best = max(best, count / took)
            share = flops / took / peaks[precision]
            print(
                f"{precision:9} {name:28} {count / took:9.1f} images/s {flops / took / 1e9:9.0f} GFLOP/s, "
                f"{100 * share:.0f} % of a matrix product"
            )
    return best


def write_photographs(folder: Path, count: int) -> None:
    """JPEG files of 500x375 pixels."""
    made = birds.render(min(count, 16), size=375, seed=3)
    folder.mkdir()
    for i in range(count):
        picture = Image.fromarray(made["image"][i % 16]).resize((500, 375))
        picture.save(folder / f"{i:06d}.jpg", quality=90)


def folder_rate(model: Model, images: int) -> float:
    """Prints and returns photographs a second from files to files."""
    with tempfile.TemporaryDirectory() as place:
        write_photographs(Path(place) / "images", images)
        runs = iter(range(100))
        took = seconds(
            lambda: predict_folder(model, Path(place) / "images", Path(place) / f"out{next(runs)}", skip_bad=True),
            repetitions=2,
        )
    print(f"from files to files, {images} photographs of 500x375: {images / took:.1f} images/s")
    return images / took


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--preset", default="paper", help="whose part model")
    parser.add_argument("--encoder", default="resnet34")
    parser.add_argument("--size", type=int, default=256, help="pixels")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--images", type=int, default=64, help="photographs in the folder")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--target", type=float, default=14, help="images a second")
    o = parser.parse_args(arguments)
    use_huge_pages()  # as commands do
    keep_freed_memory()
    print(f"python benchmarks/inference.py {' '.join(sys.argv[1:] if arguments is None else arguments)}".rstrip())
    print(machine(o.device))
    print(f"part model of preset {o.preset}, {o.encoder}, {o.size}x{o.size}")
    best = network_rates(o.preset, o.encoder, o.size, o.batch, o.device, o.repetitions)
    whole = folder_rate(model_of(o.preset, o.encoder, o.size, o.device, "auto"), o.images)
    return int(min(best, whole) < o.target)


if __name__ == "__main__":
    sys.exit(main())
