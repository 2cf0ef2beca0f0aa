"""The doctor finds what is there and what is odd, and draws it in its place."""

import errno
import io
import json
import math

import numpy as np
import pytest
from PIL import Image, ImageFilter
from real_data import SHARED, needs_shared
from rich.console import Console

from coarseparts.data.check import check
from coarseparts.data.dataset_file import DatasetFile
from coarseparts.data.sample import Sample
from coarseparts.labels import STYLES
from coarseparts.labels.schema import Schema
from coarseparts.report.contact_sheet import contact_sheet
from coarseparts.report.palette import colours
from coarseparts.system.problems import BadInput

S = 32
PARTS = ("body", "left_eye", "right_eye")
POINTS = ["nose", "left eye", "right eye"]
LEFT, RIGHT = (9.5, 9.5), (21.5, 9.5)  # centres of the two eyes


class Folder:
    """Square photographs of a body (8..24) with two eyes, and labels that a test may spoil."""

    def __init__(self, path):
        self.path, self.number, self.sources = path, 0, []

    def source(self, split="train", count=2, masks=True, points=None, mask=(6, 6, 26, 26), drawn=None):
        at = self.path / f"s{len(self.sources)}"
        (at / "images").mkdir(parents=True)
        (at / "masks").mkdir()
        coco = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat", "keypoints": POINTS}]}
        for _ in range(count):
            self.number += 1
            name = f"cat{self.number}.png"
            pixels = np.random.default_rng(self.number).integers(0, 256, (S, S, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(at / "images" / name)
            coco["images"].append({"id": self.number, "file_name": name, "width": S, "height": S})
            x0, y0, x1, y1 = mask
            label = {"id": self.number, "image_id": self.number, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
            label["segmentation"] = [[x0, y0, x1, y0, x1, y1, x0, y1]]
            label["keypoints"] = [v for p in points or ((16, 16, 2), (*LEFT, 2), (*RIGHT, 1)) for v in p]
            coco["annotations"].append(label)
            if masks:
                Image.fromarray(eyes() if drawn is None else drawn).save(at / "masks" / name)
        (at / "coco.json").write_text(json.dumps(coco))
        found = {"split": split, "images": at / "images", "coco": at / "coco.json"}
        self.sources.append(found | ({"part_masks": at / "masks"} if masks else {}))
        return at

    def check(self, **more):
        settings = {"parts": PARTS, "size": S, "crop": {"to": "none"}, "sources": self.sources} | more
        return check(DatasetFile(**settings), samples=4)


def eyes():
    parts = np.zeros((S, S), np.uint8)
    parts[6:26, 6:26] = 1
    parts[7:12, 7:12], parts[7:12, 19:24] = 2, 3
    return parts


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def notes(report):
    return [str(p) for p in report.problems if p.severity == "note" and "mirror is not given" not in p.message]


def test_masks_of_the_background_are_told(tmp_path):
    folder = Folder(tmp_path)
    at = folder.source(count=3)
    for inverted in (True, False):
        (at / "grey").mkdir(exist_ok=True)
        for file in (at / "images").iterdir():
            grey = np.zeros((S, S), np.uint8)
            grey[6:26, 6:26] = 255
            Image.fromarray(255 - grey if inverted else grey).save(at / "grey" / file.name)
        folder.sources[0] = {
            "split": "train",
            "images": at / "images",
            "part_masks": at / "masks",
            "masks": at / "grey",
        }
        told = "3 of 3 samples are frames around something"
        assert any(told in str(problem) for problem in folder.check().problems) == inverted


def test_counts(folder):
    folder.source(count=3)
    folder.source(count=2, masks=False)
    folder.source("val", count=1, points=((16, 16, 2), (0, 0, 0), (0, 0, 0)))
    report = folder.check()
    assert report.errors == [] and notes(report) == []
    train = dict.fromkeys(STYLES, 0) | {"keypoints": 5, "mask": 5, "box": 5}
    train |= {"samples": 5, "images": 5, "parts": 3, "unreadable": 0}
    assert report.splits["train"] == train and report.splits["val"]["samples"] == 1
    assert report.sources["sources[1] train"]["parts"] == 0
    assert report.part_share["train"] == pytest.approx(
        {"background": 60.938, "body": 34.18, "left_eye": 2.441, "right_eye": 2.441}
    )
    assert report.part_samples == {
        split: dict.fromkeys(("background", *PARTS), n) for split, n in (("train", 3), ("val", 1))
    }
    eye = report.keypoints["train"]["right eye"]
    assert (eye["visible"], eye["hidden"], eye["absent"], eye["off_mask"]) == (0, 5, 0, 0)
    assert report.keypoints["val"]["left eye"]["absent"] == 1
    assert report.sizes == {"width": [S, S, S], "height": [S, S, S], "crop": [S, S, S]} and report.enlarged == 0


def test_the_table_has_no_column_of_a_label_that_no_image_has(folder):
    folder.source(masks=False)
    printed = io.StringIO()
    Console(width=200, file=printed).print(folder.check().to_text())
    (heads,) = [line for line in printed.getvalue().splitlines() if "samples" in line and "unreadable" in line]
    assert heads.strip(" ┃").replace("┃", " ").split() == [
        *("samples", "images", "parts", "keypoints", "mask", "box", "unreadable")
    ]


@pytest.mark.parametrize(
    "spoilt, expected",
    [
        ({"points": ((16, 16, 2), (*RIGHT, 2), (*LEFT, 2))}, "keypoint 'left eye' lies on part 'right_eye'"),
        ({"points": ((2, 2, 2), (3, 30, 2), (*RIGHT, 2))}, "2 of 3 visible keypoints lie outside the figure-ground"),
        ({"mask": (0, 0, 12, 12)}, "agree by an IoU of 0.0"),
    ],
)
def test_odd_samples_are_noted(folder, spoilt, expected):
    folder.source()
    folder.source(count=1, **spoilt)
    (note,) = [line for line in notes(folder.check()) if expected in line]
    assert "cat3.png" in note


def spoil_boxes(folder, box, without=()):
    file = folder.path / "s0" / "coco.json"
    coco = json.loads(file.read_text())
    for entry in coco["annotations"]:
        entry["bbox"] = box
        for label in without:
            del entry[label]
    file.write_text(json.dumps(coco))


def test_boxes_that_contradict_the_other_labels_are_noted(folder):
    folder.source()
    spoil_boxes(folder, [0, 0, 6, 6])
    assert sum("box and figure-ground mask agree by an IoU of 0.00" in note for note in notes(folder.check())) == 2
    spoil_boxes(folder, [25, 25, 6, 6], without=["segmentation"])
    assert sum("3 of 3 visible keypoints lie outside the box" in note for note in notes(folder.check())) == 0
    assert sum("2 of 2 visible" in note for note in notes(folder.check())) == 0  # one is hidden, too few to say so


def test_visible_keypoints_outside_a_box_are_noted(folder):
    folder.source(points=((16, 16, 2), (*LEFT, 2), (*RIGHT, 2)))
    spoil_boxes(folder, [25, 25, 6, 6], without=["segmentation"])
    assert sum("3 of 3 visible keypoints lie outside the box" in note for note in notes(folder.check())) == 2
    spoil_boxes(folder, [6, 6, 20, 20])
    assert not any("box" in note for note in notes(folder.check()))


def test_smoothed_part_masks_are_noted(folder):
    drawn = np.asarray(Image.fromarray(eyes() * 2).filter(ImageFilter.BoxBlur(1)))
    folder.source(drawn=drawn)
    more = {"parts": (*PARTS, "tail", "paw", "ear")}
    assert sum("outlines are smoothed" in note for note in notes(folder.check(**more))) == 2


def test_an_ignored_region_is_no_disagreement(folder):
    parts = eyes()
    parts[13:] = 255
    folder.source(drawn=parts)
    assert not any("agree" in line for line in notes(folder.check()))


def test_swapped_sides_of_the_whole_data_set(folder):
    folder.source(points=((16, 16, 2), (*RIGHT, 2), (*LEFT, 2)))
    assert "4 keypoints lie on the part of the other side, 0 on their own" in notes(folder.check())[-1]


def test_parts_that_cannot_be_learned(folder):
    blind = eyes()
    blind[blind == 3] = 1
    folder.source(drawn=blind)
    folder.source("val")
    assert "'right_eye' is never labelled in train, but in val" in " ".join(notes(folder.check()))
    small = eyes()
    small[7:12, 7:12] = 1
    small[9, 9] = 2
    other = Folder(folder.path / "other")
    other.source(drawn=small)
    found = " ".join(notes(other.check()))
    assert "'left_eye' has fewer than 4 pixels in 2 of 2 samples at 32 pixels" in found and "right_eye" not in found


def test_keypoints_that_nobody_labelled_or_that_miss_the_mask(folder):
    folder.source(points=((2, 2, 2), (*LEFT, 2), (0, 0, 0)))
    found = " ".join(notes(folder.check()))
    assert "keypoints never labelled: right eye" in found
    assert "2 of 4 visible keypoints lie outside the figure-ground masks" in found


def test_errors_are_listed_and_counted(folder):
    at = folder.source(count=3)
    (at / "images" / "cat1.png").write_bytes(b"")
    (at / "masks" / "cat3.png").write_bytes(b"no image")
    report = folder.check()
    assert [p.file.rsplit("/", 1)[1] for p in report.errors] == ["cat1.png", "cat3.png"]
    assert report.splits["train"]["unreadable"] == 2 and report.splits["train"]["samples"] == 1


def test_a_data_set_to_measure_on_need_not_be_fit_for_training(folder):
    folder.source("test", masks=False)
    assert folder.check().errors == []
    folder.source("train", masks=False)
    assert "no source of split train has part masks" in str(folder.check().errors[0])


def test_nothing_usable(folder):
    at = folder.source(count=1)
    (at / "images" / "cat1.png").write_bytes(b"")
    report = folder.check()
    assert report.errors and json.loads(report.to_json())["sizes"] == {}
    assert not report.samples
    Console(file=None, quiet=True).print(report.to_text())


def test_json_and_text(folder, capsys):
    at = folder.source()
    folder.source("val", points=((16, 16, 2), (*RIGHT, 2), (*LEFT, 2)))
    (at / "images" / "cat1.png").write_bytes(b"")
    report = folder.check(keypoints=("nose", "left eye", "right eye"))
    facts = json.loads(report.to_json())
    assert facts["splits"]["train"]["samples"] == 1 and facts["schema"]["parts"] == list(PARTS)
    assert {p["severity"] for p in facts["problems"]} == {"error", "note"}
    Console(width=200).print(report.to_text())
    text = capsys.readouterr().out
    for expected in ("left_eye", "right eye", "sources[1] val", "cannot be used: 1", "cat1.png", "'left eye' lies on"):
        assert expected in text


def test_markup_in_names_is_text(folder, capsys):
    folder.source()
    report = folder.check(parts=("[red]body[/red]", "left_eye", "[/right_eye]"))
    Console(width=200).print(report.to_text())
    assert "[red]body[/red]" in capsys.readouterr().out


def test_the_sheet_has_some_of_every_source(folder, tmp_path):
    folder.source(count=6)
    folder.source("val", count=1)
    report = folder.check()
    assert len(report.samples) == 4 and sum(s.name.startswith("val: ") for s in report.samples) == 1
    assert contact_sheet(report.samples, report.schema, tmp_path / "new folder" / "sheet.png")
    with Image.open(tmp_path / "new folder" / "sheet.png") as sheet:
        assert sheet.width > 4 * 256
    assert [p.name for p in (tmp_path / "new folder").iterdir()] == ["sheet.png"]


def test_a_sheet_that_cannot_be_written_is_told(folder, tmp_path, monkeypatch):
    folder.source(count=2)
    report = folder.check()
    (tmp_path / "taken.png").mkdir()
    (tmp_path / "file").write_text("in the way")
    for target in (tmp_path / "taken.png", tmp_path / "file" / "s.png", tmp_path / ("x" * 300 + ".png"), "/", "."):
        with pytest.raises(BadInput, match=r"the contact sheet cannot be written there.*--sheet"):
            contact_sheet(report.samples, report.schema, target)
    before = sorted(p.name for p in tmp_path.iterdir())

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(BadInput, match=r"new\.png: the contact sheet cannot be written there: No space left"):
        contact_sheet(report.samples, report.schema, tmp_path / "new.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_labels_are_drawn_where_they_are(tmp_path):
    """Known places of a tile of 64 pixels, at 6 pixels from the sheet's corner."""
    parts, mask = np.zeros((S, S), np.uint8), np.zeros((S, S), np.uint8)
    parts[4:12, 4:12] = 1
    mask[4:28, 4:28] = 255
    sample = Sample(
        "grey",
        np.full((S, S, 3), 100, np.uint8),
        parts=parts,
        labels={
            "mask": mask,
            "keypoints": np.array([[20.5, 16.5, 2], [30, 2, 0], [2, 30, -1]], np.float32),
            "box": np.array([2, 2, 30, 30], np.float32),
        },
    )
    schema = Schema(parts=("a", "b"), keypoints=("k", "l", "m"))
    file = contact_sheet([sample], schema, tmp_path / "sheet.png", size=64)
    tile = np.asarray(Image.open(file).convert("RGB")).astype(int)[6:70, 6:70]
    mixed = 0.55 * 100 + 0.45 * colours(1)[0].astype(int)  # the colour that every other picture has
    assert (abs(tile[12:22, 12:22] - mixed) <= 1).all(), "part a"
    assert (tile[26:30, 26:30] == 100).all(), "no part there"
    assert (tile[8, 8:56] == 255).all() and (tile[55, 8:56] == 255).all(), "the mask's outline"
    assert (tile[4, 4:60] == (255, 0, 200)).all() and (tile[4:60, 59] == (255, 0, 200)).all(), "the box"
    assert tile[32, 40].tolist() == [0, 230, 255], "keypoint k at twice (20.5, 16.5)"
    assert (tile[2:3, 58:62] == 100).all() and (tile[60:63, 2:7] == 100).all(), "the others are not labelled"


def test_the_legend_explains_the_colours_of_masks_boxes_and_strokes_on_the_background(tmp_path):
    sample = Sample("grey", np.full((S, S, 3), 100, np.uint8))
    file = contact_sheet([sample], Schema(parts=("a",)), tmp_path / "sheet.png", size=S)
    legend = np.asarray(Image.open(file).convert("RGB"))[6 + S + 22 :]
    for colour in ((255, 255, 255), (255, 0, 200), (0, 0, 0)):
        assert (legend == colour).all(-1).sum() > 100, colour


def test_samples_without_labels_can_be_drawn(tmp_path):
    schema = Schema(parts=("a",))
    samples = [Sample(name, np.zeros((16, 16, 3), np.uint8)) for name in ("val: z\udcff\n", "val: x")]
    assert contact_sheet(samples, schema, tmp_path / "s.png", size=32).is_file()
    with pytest.raises(ValueError, match="no samples"):
        contact_sheet([], schema, tmp_path / "none.png")


@needs_shared
def test_real_ants_are_in_order():
    ants = SHARED / "data" / "ants"
    source = {"images": ants / "val/images", "part_masks": ants / "val/part_masks", "coco": ants / "val/coarse.json"}
    report = check(
        DatasetFile(parts=("head", "thorax", "abdomen", "eye"), size=64, sources=[source | {"split": "val"}])
    )
    assert report.splits["val"]["parts"] == 60 and report.problems == []
    off = sum(k["off_mask"] for k in report.keypoints["val"].values())
    assert off / sum(k["visible_with_mask"] for k in report.keypoints["val"].values()) < 0.03
    assert math.isclose(sum(report.part_share["val"].values()), 100, abs_tol=0.01)


def test_photographs_that_are_turned_upright_are_counted(folder):
    at = folder.source(count=3)
    for path in sorted((at / "images").iterdir())[:2]:
        with Image.open(path) as image:
            exif = image.getexif()
            exif[0x0112] = 3
            image.save(path, exif=exif)
    (note,) = [text for text in notes(folder.check()) if "turned upright" in text]
    assert "2 samples are of photographs that are turned upright: 2 by EXIF orientation 3" in note
    assert "if labels are right without turning, take the mark out" in note
    assert "look at the contact sheet" in note
