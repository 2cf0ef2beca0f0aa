"""Masks as painting programs save them, with smoothed outlines: a file for each part, and in colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from test_proposal import photographs, proposed

from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.formats.labelmap import by_colour
from coarseparts.data.formats.mask_folder import read_mask
from coarseparts.data.formats.part_masks import part_in, read_part_mask
from coarseparts.data.formats.smoothed import areas, coverage
from coarseparts.data.records import read_dataset
from coarseparts.labels.schema import IGNORE
from coarseparts.system.problems import BadInput

SIZE = (40, 30)
RED, GREEN, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 0)
BOXES = {"head": (3, 8, 13, 20), "rump": (12, 5, 35, 25)}
"""Ellipses: the head lies on the rump."""


def drawn(colours: dict[str, tuple[int, int, int]], background: tuple[int, int, int] = BLACK, fine: int = 8):
    """The ellipses of parts in colours, each pixel the mean of ``fine`` times ``fine``."""
    picture = Image.new("RGB", (SIZE[0] * fine, SIZE[1] * fine), background)
    for part in [part for part in ("rump", "head") if part in colours]:
        ImageDraw.Draw(picture).ellipse([fine * side for side in BOXES[part]], fill=colours[part])
    return picture.resize(SIZE, Image.Resampling.BOX)


def truth(part: str) -> np.ndarray:
    return np.asarray(drawn({part: (255, 255, 255)}, fine=32))[..., 0] >= 128


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("mode", ["L", "RGB", "red"])
@pytest.mark.parametrize("layout", ["{i}_{part}.png", "{part}/{i}.png", "{i}/{part}.png"])
def test_a_file_for_each_part_holds_what_is_painted_by_half(tmp_path, mode, layout):
    photographs(tmp_path / "photos")
    for i in range(1, 7):
        for part in BOXES:
            file = tmp_path / "layers" / layout.format(i=i, part=part)
            file.parent.mkdir(parents=True, exist_ok=True)
            picture = drawn({part: RED if mode == "red" else (255, 255, 255)})
            (picture if mode == "red" else picture.convert(mode)).save(file)
    found, _ = proposed(tmp_path, "photos", "layers")
    assert found["parts"] == ["head", "rump"] and "part_masks" in found["sources"][0]
    sample, _ = read_dataset(load_dataset_file(tmp_path / "d.yaml"))[0][0].load()
    assert iou(sample.parts == 1, truth("head")) > 0.97
    assert iou(sample.parts == 2, truth("rump") & ~truth("head")) > 0.97


@pytest.mark.parametrize("background", [BLACK, (255, 255, 255)])
def test_colours_between_two_are_not_labelled_where_they_are_near_none(tmp_path, background):
    photographs(tmp_path / "photos")
    (tmp_path / "masks").mkdir()
    for i in range(1, 7):
        drawn({"head": RED, "rump": GREEN}, background, fine=16).save(tmp_path / "masks" / f"{i}.png")
    found, _ = proposed(tmp_path, "photos", "masks", parts=("head=#ff0000", "rump=#00ff00"))
    assert found["parts"] == ["head", "rump"]
    records, _, _ = read_dataset(load_dataset_file(tmp_path / "d.yaml"))
    sample, told = records[0].load()
    assert any("its outlines are smoothed" in problem.message for problem in told)
    assert 0 < (sample.parts == IGNORE).mean() < 0.1
    labelled = sample.parts != IGNORE
    assert iou((sample.parts == 1) & labelled, truth("head") & labelled) > 0.97
    assert iou((sample.parts == 2) & labelled, truth("rump") & ~truth("head") & labelled) > 0.97


def test_colours_that_nobody_names_are_no_blends():
    colours = ((0, BLACK), (1, RED), (2, GREEN))
    picture = np.array(drawn({"head": RED, "rump": GREEN}))
    assert (by_colour(picture, colours, Path("a.png")) == 1).sum() > 60
    picture[2:4, 2:38] = (0, 0, 255)  # a feeler, a line as thin as a blend
    with pytest.raises(BadInput, match="0,0,255"):
        by_colour(picture, colours, Path("a.png"))
    flat = np.zeros((30, 40, 3), np.uint8)
    flat[5:15, 5:15], flat[5:15, 15:17], flat[5:15, 17:30] = RED, (128, 128, 0), GREEN
    with pytest.raises(BadInput, match="128,128,0"):  # a colour alone is one that was meant
        by_colour(flat, colours, Path("a.png"))


def test_a_silhouette_in_a_colour_with_smoothed_outlines_says_how_much_of_a_pixel_is_painted(tmp_path):
    drawn({"rump": (180, 20, 0)}).save(tmp_path / "a.png")
    grey = np.asarray(drawn({"rump": (255, 255, 255)}))[..., 0]
    assert np.abs(read_mask(tmp_path / "a.png", SIZE).astype(int) - grey).max() <= 2


def test_numbers_and_photographs_are_not_taken_for_smoothed_outlines(tmp_path):
    numbers = np.zeros((30, 40), np.uint8)
    numbers[5:15, 5:15], numbers[5:15, 15:25], numbers[4, 4:26] = 1, 2, IGNORE
    assert coverage(numbers) is None
    Image.fromarray(numbers).save(tmp_path / "a.png")
    assert (read_part_mask(tmp_path / "a.png", SIZE, ("head", "rump")) == numbers).all()
    few = np.where(numbers == 2, 200, numbers).astype(np.uint8)
    Image.fromarray(few).save(tmp_path / "b.png")
    assert (part_in(tmp_path / "b.png") == (few > 0)).all(), "an area of a low number is painted, too"
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    cut_out = np.where(np.asarray(drawn({"rump": (255, 255, 255)})) > 0, noise, 0).astype(np.uint8)
    for picture in (noise, cut_out):
        assert coverage(picture) is None and coverage(picture[..., 0]) is None and areas(picture, 40) is None
