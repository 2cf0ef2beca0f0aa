"""The parts of a photograph, with numpy, pillow and onnxruntime alone.

coarseparts export runs/ants --to onnx --out ants-onnx
python onnx_predict.py ants-onnx photo.jpg parts.png
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

if len(sys.argv) != 4:
    sys.exit("usage: python onnx_predict.py FOLDER_OF_EXPORT PHOTO PARTS.png")
folder, photo, target = map(Path, sys.argv[1:])
about = json.loads((folder / "coarseparts.json").read_text())
session = onnxruntime.InferenceSession(folder / "part_model.onnx", providers=["CPUExecutionProvider"])

image = ImageOps.exif_transpose(Image.open(photo))
if image.has_transparency_data:  # laid over white, as coarseparts does
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
image = image.convert("RGB")
(probability,) = session.run(None, {"image": np.asarray(image)[None]})[0]  # (P + 1, S, S); overlapping: (P, S, S)

# The model sees the square around the photograph: of that, the photograph at its own size is cut out.
scale = about["size"] / max(image.size)
width, height = image.width * scale, image.height * scale
left, top = (about["size"] - width) / 2, (about["size"] - height) / 2
box = (left, top, left + width, top + height)
planes = [Image.fromarray(plane).resize(image.size, Image.Resampling.BILINEAR, box) for plane in probability]

if about["overlapping"]:
    shown = {name: np.asarray(plane) > 0.5 for name, plane in zip(about["parts"], planes, strict=True)}
    for name, mask in shown.items():
        Image.fromarray(mask).save(target.with_stem(f"{target.stem}_{name}"))
else:
    index = np.argmax(planes, axis=0).astype(np.uint8)  # (H, W), 0 is the background
    shown = {name: index == i for i, name in enumerate(about["parts"], 1)}
    picture = Image.fromarray(index)
    picture.putpalette([0, 0, 0, *np.ravel(about["colours"])])
    picture.save(target)
for name, mask in shown.items():
    print(f"{name}: {mask.sum()} pixels")
