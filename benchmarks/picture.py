"""What it does, in one picture: birds that training has not seen, their coarse labels, and the parts that are found.

usage: python benchmarks/picture.py RUN docs/pictures/what_it_does.png ; RUN: of `coarseparts demo`, say runs/demo/seed0

The birds are the first ones of the built-in test images, whichever they are; the model is asked twice, with their
labels and with the photograph alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import coarseparts
from coarseparts.data.synthetic import birds
from coarseparts.experiments.worlds import WORLDS
from coarseparts.report.palette import colours, font

COUNT, SIDE, GAP, LEFT, LINE = 5, 150, 6, 132, 20
"""Birds; pixels: of a tile, between two, of what stands on the left, of a line of text."""

ROWS = (
    "a photograph",
    "coarse labels:\nkeypoints, mask,\nbox",
    "parts found\nwith them",
    "parts found in the\nphotograph alone",
)
INK, PAPER, MASK, BOX, DOT = (25, 25, 25), (255, 255, 255), (255, 255, 255), (255, 0, 200), (0, 230, 255)


def labelled(image: np.ndarray, mask: np.ndarray, box: np.ndarray, keypoints: np.ndarray) -> Image.Image:
    """A bird with its labels drawn on it: what is not the object darker, the box, keypoints that are seen."""
    dim = np.where(mask[..., None] > 0, image, image // 3)
    tile = Image.fromarray(dim.astype(np.uint8))
    draw = ImageDraw.Draw(tile)
    draw.rectangle(box.tolist(), outline=BOX, width=2)
    for x, y, v in keypoints:
        if v:
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=DOT, outline=(0, 0, 0))
    return tile


def picture(run: str) -> Image.Image:
    """(4 rows) x (``COUNT`` birds), with a legend of the parts below."""
    world = WORLDS["synthetic-birds"]
    first = world.part + world.coarse + world.val
    made = birds.render(COUNT, size=SIDE, seed=1000, first=first)
    model = coarseparts.load(run, device="cpu")
    names = model.schema.keypoints
    sheet = Image.new("RGB", (LEFT + COUNT * (SIDE + GAP), len(ROWS) * (SIDE + GAP) + 2 * LINE), PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, text in enumerate(ROWS):
        draw.multiline_text((2, row * (SIDE + GAP) + SIDE // 2 - 24), text, fill=INK, font=font(14), spacing=4)
    for i in range(COUNT):
        image, mask, box, keypoints = (made[name][i] for name in ("image", "mask", "box", "keypoints"))
        given = {name: tuple(point.tolist()) for name, point in zip(names, keypoints, strict=True)}
        with_labels = model.predict(image, keypoints=given, mask=mask, box=tuple(box.tolist()))
        tiles = [Image.fromarray(image), labelled(image, mask, box, keypoints), with_labels.overlay()]
        for row, tile in enumerate([*tiles, model.predict(image).overlay()]):
            sheet.paste(tile, (LEFT + i * (SIDE + GAP), row * (SIDE + GAP)))
    x, y = LEFT, len(ROWS) * (SIDE + GAP) + 4
    for name, colour in zip(model.schema.parts, colours(len(model.schema.parts)).tolist(), strict=True):
        width = 20 + int(font(13).getlength(name)) + 14
        if x + width > sheet.width:
            x, y = LEFT, y + LINE
        draw.rectangle((x, y + 1, x + 13, y + 14), fill=tuple(colour), outline=INK)
        draw.text((x + 18, y), name, fill=INK, font=font(13))
        x += width
    return sheet


if __name__ == "__main__":
    run, target = sys.argv[1:]
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    picture(run).quantize(96).save(target, optimize=True)
    print(f"{target}: {Path(target).stat().st_size // 1024} KB")
