"""What the ONNX file in 8 bits costs and gains: part mIoU and time beside float32, on a run's images with part masks.

    python benchmarks/int8.py RUN [DATA.yaml] [--split val] [--photos FOLDER]

What onnxruntime makes of it in float16, too. The ranges come from 100 of the photographs in FOLDER; by default of the
training split. One thread, one photograph at a time; the median of 20. Built-in data (a run of `coarseparts demo`) is
taken from its store.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from clicks import of_store
from onnxruntime.transformers.float16 import convert_float_to_float16
from PIL import Image

from coarseparts.data.crops import crop_and_resize
from coarseparts.data.sample import Sample
from coarseparts.evaluation.iou import summary
from coarseparts.export.files import INT8, export
from coarseparts.export.int8 import MOST, seconds
from coarseparts.export.onnx_file import runs_onnx
from coarseparts.inference.evaluate import dataset_of, records_of
from coarseparts.inference.model import Model, load


def samples_of(run: Path, data: Path | None, split: str, model: Model) -> list[Sample]:
    """With their crops, and part masks where they have one."""
    if data is None and (run / "store" / "store.json").is_file():
        return of_store(run / "store", split)
    return [record.load()[0] for record in records_of(model, data or dataset_of(run), split)]


def saved(samples: list[Sample], folder: Path) -> Path:
    """Photographs of samples, as files."""
    folder.mkdir()
    for i, sample in enumerate(samples[:: -(-len(samples) // MOST)]):
        Image.fromarray(sample.image).save(folder / f"{i:03d}.png")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--split", default="val")
    parser.add_argument("--photos", type=Path)
    chosen = parser.parse_args()
    model = load(chosen.run, "cpu", flip=False)
    maps = model.schema.maps
    held = samples_of(chosen.run, chosen.data, chosen.split, model)
    arrays = [crop_and_resize(s, model.size, maps) for s in held if s.parts is not None]
    with tempfile.TemporaryDirectory() as place:
        photos = chosen.photos or saved(samples_of(chosen.run, chosen.data, "train", model), Path(place, "photos"))
        done = export(chosen.run, "onnx", Path(place, "onnx"), flip=False, int8=photos)
        contents = {name: (done.folder / name).read_bytes() for name in ("part_model.onnx", INT8)}
    half = convert_float_to_float16(onnx.load_from_string(contents["part_model.onnx"]), keep_io_types=True)
    contents["float16"] = half.SerializeToString()
    images = np.stack([each["image"] for each in arrays])
    print(f"{len(arrays)} images of split {chosen.split}, {model.size} px, {model.settings.encoder}; INT8 {done.int8}")
    crop = np.array([0, 0, model.size, model.size], np.float32)
    for name, content in contents.items():
        answer = runs_onnx(content)
        counts = []
        for each in arrays:
            (found,) = answer([torch.tensor(each["image"][None])])
            shown = maps.most_probable(found, crop, (model.size, model.size))
            counts.append(maps.confusion(shown[None], each["parts"][None]))
        result = summary(np.concatenate(counts), model.schema.parts)
        took = f"{1000 * seconds(content, images):.1f} ms"
        print(f"{name}: part mIoU {result['part_miou']:.2f} %, {took}, {len(content) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
