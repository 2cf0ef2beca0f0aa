"""Masks as people keep them: a folder or a file for each part, beside the photographs, as JPEG, grey in colours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.formats.mask_folder import read_mask
from coarseparts.data.records import read_dataset
from coarseparts.system.problems import BadInput

W, H = 32, 24
HEAD, BODY = np.zeros((H, W), bool), np.zeros((H, W), bool)
HEAD[4:12, 4:12] = BODY[4:20, 12:28] = True
PARTS = HEAD + 2 * BODY
LABELMAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nhead:255,0,0::\nbody:0,0,255::\n"
COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)[PARTS]


def save(path: Path, values: np.ndarray, **how: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **how)


def photographs(folder: Path, names: tuple[str, ...] = ("a.jpg", "b.jpg")) -> None:
    for i, name in enumerate(names):
        save(folder / name, np.full((H, W, 3), 60 * i, np.uint8))


def read(folder: Path, keys: str = "part_masks: masks", parts: str = "head, body") -> tuple[list[Any], list[Any]]:
    (folder / "d.yaml").write_text(
        f"parts: [{parts}]\ncrop: {{to: none}}\nsources: [{{split: train, images: images, {keys}}}]"
    )
    records, problems, _ = read_dataset(load_dataset_file(folder / "d.yaml"))
    return records, problems


def errors(problems: list[Any]) -> list[str]:
    return [str(problem) for problem in problems if problem.severity == "error"]


@pytest.mark.parametrize(
    "how",
    [
        *("{part}/{name}.png", "{name}_{part}.png", "{name}-{part}.png", "{part}/{name}.jpg", "{name}/{part}.png"),
        *("{name}/{part}.jpg", "{part}/{name}.tif", "{name} {part}.bmp", "{name}_{part}_mask.png"),
    ],
)
@pytest.mark.parametrize("spelt", [("head", "left wing"), ("Head", "Left-Wing"), ("HEAD", "left_wing")])
def test_a_file_for_each_part(tmp_path: Path, how: str, spelt: tuple[str, str]) -> None:
    photographs(tmp_path / "images")
    for name in "ab":
        for part, mask in zip(spelt, (HEAD, BODY), strict=True):
            lossy = {"quality": 90} if how.endswith("jpg") else {}
            save(tmp_path / "masks" / how.format(part=part, name=name), mask.astype(np.uint8) * 255, **lossy)
    keys = "part_masks: masks" + (", suffix: _mask" if "mask" in how else "")
    records, problems = read(tmp_path, keys, "head, left wing")
    assert any("spel" in str(p) for p in problems) is (spelt != ("head", "left wing"))
    assert errors(problems) == [] and [record.name for record in records] == ["a", "b"]
    for record in records:
        sample, notes = record.load()
        assert notes == [] and (sample.parts != PARTS).mean() < (0.02 if "jpg" in how else 1e-9)


@pytest.mark.parametrize(
    ("photograph", "mask"),
    [
        ("{name}.jpg", "{name}/{part}.png"),
        ("day/{name}.jpg", "day/{name}/{part}.png"),
        ("{name}/photo.jpg", "{name}/{part}.png"),
        ("{name}/{name}.jpg", "{name}/{part}.npy"),
    ],
)
def test_masks_in_the_photographs_folder(tmp_path: Path, photograph: str, mask: str) -> None:
    photographs(tmp_path / "images", tuple(photograph.format(name=name) for name in "abc"))
    for name in "ab":
        for part, of in (("Head", HEAD), ("body", BODY)):
            at = tmp_path / "images" / mask.format(name=name, part=part)
            at.parent.mkdir(exist_ok=True)
            np.save(at, of) if at.suffix == ".npy" else save(at, of.astype(np.uint8) * 255)
    records, problems = read(tmp_path, "part_masks: images")
    assert errors(problems) == [] and len(records) == 2
    assert all((record.load()[0].parts == PARTS).all() for record in records)
    assert any("1 of 3 images have no labels" in problem.message for problem in problems)
    save(tmp_path / "images" / mask.format(name="a", part="haed").replace("npy", "png"), HEAD.astype(np.uint8))
    assert any("'haed' is not among `parts`" in error for error in errors(read(tmp_path, "part_masks: images")[1]))


def test_masks_called_as_their_photograph_twice(tmp_path: Path) -> None:
    photographs(tmp_path / "images")
    for name in "ab":
        for part, of in (("head", HEAD), ("body", BODY)):
            save(tmp_path / f"masks/{name}/{name}_{part}.png", of.astype(np.uint8) * 255)
    records, problems = read(tmp_path)
    assert errors(problems) == [] and all((record.load()[0].parts == PARTS).all() for record in records)


def test_label_studio_s_files_of_brush_masks_are_called_that_once(tmp_path: Path) -> None:
    photographs(tmp_path / "images")
    for part in ("head", "body"):
        save(tmp_path / f"masks/task-1-annotation-5-by-1-tag-{part}-0.png", HEAD.astype(np.uint8) * 255)
    (error,) = errors(read(tmp_path)[1])
    assert "2 part masks like this one are Label Studio's PNGs or arrays of brush masks" in error
    assert "export them as JSON" in error


def test_two_folders_of_one_part_are_an_error(tmp_path: Path) -> None:
    photographs(tmp_path / "images")
    for folder in ("head", "Head", "body"):
        save(tmp_path / f"masks/{folder}/a.png", HEAD.astype(np.uint8) * 255)
    if (tmp_path / "masks/HEAD").exists():
        pytest.skip("the file system does not tell capitals")
    (error,) = errors(read(tmp_path)[1])
    assert "Head" in error and "are both called as the part 'head' is" in error


def test_parts_that_cover_each_other_are_told_and_the_smaller_is_on_top(tmp_path: Path) -> None:
    photographs(tmp_path / "images")
    for name in "ab":
        save(tmp_path / f"masks/head/{name}.png", HEAD.astype(np.uint8) * 255)
        save(tmp_path / f"masks/body/{name}.png", (HEAD | BODY).astype(np.uint8) * 255)
    records, _ = read(tmp_path)
    sample, (note,) = records[0].load()
    np.testing.assert_array_equal(sample.parts, PARTS)
    assert note.severity == "note" and note.message.startswith("64 of 320 labelled pixels are of several parts")
    assert "overlapping: true" in note.remedy


def test_folders_named_after_parts_that_photographs_lie_in_are_no_layout(tmp_path: Path) -> None:
    photographs(tmp_path / "images", ("head/a.jpg", "body/b.jpg"))
    for name in ("head/a", "body/b"):
        save(tmp_path / f"masks/{name}.png", PARTS.astype(np.uint8))
    records, problems = read(tmp_path)
    assert errors(problems) == []
    assert all((record.load()[0].parts == PARTS).all() for record in records)


@pytest.mark.parametrize("where", ["images", "images/masks"])
def test_masks_among_the_photographs_are_no_photographs(tmp_path: Path, where: str) -> None:
    photographs(tmp_path / "images")
    for name in "ab":
        save(tmp_path / where / f"{name}_mask.png", PARTS.astype(np.uint8))
    records, problems = read(tmp_path, f"part_masks: {where}, suffix: _mask")
    assert errors(problems) == [] and [record.name for record in records] == ["a", "b"]
    assert not any("have no labels" in problem.message for problem in problems)
    assert all((record.load()[0].parts == PARTS).all() for record in records)
    records, problems = read(tmp_path, f"masks: {where}, suffix: _mask")
    assert errors(problems) == [] and [record.has for record in records] == [{"mask"}] * 2


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_colours_that_jpeg_has_changed_are_the_nearest_ones_and_that_is_told(tmp_path: Path, suffix: str) -> None:
    photographs(tmp_path / "images")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/labelmap.txt").write_text(LABELMAP)
    for name in "ab":
        save(tmp_path / f"masks/{name}.jpg", COLOURS, quality=85, subsampling=0)
        if suffix == ".png":  # it was a JPEG once
            with Image.open(tmp_path / f"masks/{name}.jpg") as image:
                image.save(tmp_path / f"masks/{name}.png")
            (tmp_path / f"masks/{name}.jpg").unlink()
    records, problems = read(tmp_path)
    assert errors(problems) == [] and len(records) == 2
    sample, (told,) = records[0].load()
    known = sample.parts != 255
    assert known.mean() > 0.95 and (sample.parts[known] == PARTS[known]).mean() > 0.99
    assert told.severity == "repaired" and "JPEG has changed its colours" in told.message


def test_a_jpeg_of_other_colours_than_the_labelmap_s_is_refused(tmp_path: Path) -> None:
    photographs(tmp_path / "images")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/labelmap.txt").write_text(LABELMAP.replace("0,0,255", "0,255,0"))
    for name in "ab":
        save(tmp_path / f"masks/{name}.jpg", COLOURS, quality=95)
    records, _ = read(tmp_path)
    with pytest.raises(BadInput, match="colours that are far from all that are named"):
        records[0].load()


def test_a_jpeg_of_indices_stays_refused(tmp_path: Path) -> None:
    photographs(tmp_path / "images")
    save(tmp_path / "masks/a.jpg", PARTS.astype(np.uint8))
    assert any("JPEG compression changes the indices" in error for error in errors(read(tmp_path)[1]))


def test_black_and_white_is_the_mask_of_the_only_part(tmp_path: Path) -> None:
    photographs(tmp_path / "images")
    for name in "ab":
        save(tmp_path / f"masks/{name}.png", HEAD.astype(np.uint8) * 255)
    records, problems = read(tmp_path, parts="head")
    assert errors(problems) == [] and (records[0].load()[0].parts == HEAD).all()


@pytest.mark.parametrize("kind", ["rgb.png", "jpg", "rgb.jpg", "16.png"])
def test_figure_ground_masks_are_grey_however_they_are_saved_and_stay_soft(tmp_path: Path, kind: str) -> None:
    soft = np.kron(np.array([[0, 128], [204, 255]], np.uint8), np.ones((16, 16), np.uint8))
    values = (
        np.repeat(soft[..., None], 3, 2) if "rgb" in kind else soft.astype(np.uint16) * 257 if "16" in kind else soft
    )
    save(tmp_path / f"a.{kind}", values, **({"quality": 95} if kind.endswith("jpg") else {}))
    assert np.abs(read_mask(tmp_path / f"a.{kind}", (32, 32)).astype(int) - soft).max() <= (4 if "jpg" in kind else 0)


def test_colours_are_no_figure_ground_mask(tmp_path: Path) -> None:
    save(tmp_path / "a.png", COLOURS)
    with pytest.raises(BadInput, match="expected grey-scale"):
        read_mask(tmp_path / "a.png", (W, H))


def test_a_source_without_labels_gives_pictures_alone_and_that_is_told(tmp_path: Path) -> None:
    photographs(tmp_path / "images")
    photographs(tmp_path / "more", ("c.jpg", "d.png"))
    for name in "ab":
        save(tmp_path / f"masks/{name}.png", PARTS.astype(np.uint8))
    records, problems = read(tmp_path, "part_masks: masks}, {split: train, images: more")
    assert errors(problems) == [] and [sorted(record.has) for record in records] == [["parts"]] * 2 + [[]] * 2
    sample, _ = records[2].load()
    assert sample.parts is None and sample.labels == {} and sample.image.shape == (H, W, 3)
    assert any("of 2 images the picture alone is known" in problem.message for problem in problems)
    with pytest.raises(BadInput, match=r"sources\[1\]: no labels; add one of"):  # nothing can be measured on them
        read(tmp_path, "part_masks: masks}, {split: test, images: more")


def test_several_kinds_of_labels_of_one_folder_come_together(tmp_path: Path) -> None:
    photographs(tmp_path / "images")
    for name in "ab":
        save(tmp_path / f"masks/{name}.png", PARTS.astype(np.uint8))
        save(tmp_path / f"figures/{name}.jpg.png", np.uint8(200) * (HEAD | BODY))
    images = [{"id": i, "file_name": f"photos\\{name}.jpg"} for i, name in enumerate("ab")]
    entries = [
        {"id": i, "image_id": i, "category_id": 0, "keypoints": [5, 5, 2], "bbox": [4, 4, 24, 16]} for i in (0, 1)
    ]
    whole = {"images": images, "annotations": entries, "categories": [{"id": 0, "name": "bee", "keypoints": ["eye"]}]}
    (tmp_path / "c.json").write_text(json.dumps(whole))
    records, problems = read(tmp_path, "part_masks: masks, masks: figures, coco: c.json")
    assert errors(problems) == []
    assert [sorted(record.has) for record in records] == [["box", "keypoints", "mask", "parts"]] * 2
    assert set(np.unique(records[0].load()[0].labels["mask"])) == {0, 200}


def test_parts_that_are_black_on_white_are_an_error(tmp_path: Path) -> None:
    photographs(tmp_path / "images")
    for name in "ab":
        for part, of in (("head", HEAD), ("body", BODY)):
            save(tmp_path / f"masks/{part}/{name}.png", np.where(of, 0, 255).astype(np.uint8))
    (error,) = errors(read(tmp_path)[1])
    assert "the masks of several parts fill the borders of the images: are they black on white?" in error
    Image.fromarray(HEAD).save(tmp_path / "masks/head/a.png")
    assert errors(read(tmp_path)[1]) == [], "not all are"


@pytest.mark.parametrize("how", ["palette", "tif", "bits"])
def test_of_masks_that_are_shown_inverted_the_stored_numbers_count(tmp_path: Path, how: str) -> None:
    photographs(tmp_path / "images")
    for name in "ab":
        for part, of in (("masks/head", HEAD), ("masks/body", BODY), ("figures", HEAD)):
            at = tmp_path / part / f"{name}.png"
            at.parent.mkdir(parents=True, exist_ok=True)
            if how == "palette":  # ImageJ's
                shown = Image.new("P", (W, H))
                shown.frombytes((of.astype(np.uint8) * 255).tobytes())
                shown.putpalette([255 - level for level in range(256) for _ in range(3)])
                shown.save(at)
            else:  # white is 0: Pillow stores what is inverted
                bits = Image.fromarray(~of) if how == "bits" else Image.fromarray(np.where(of, 0, 255).astype(np.uint8))
                bits.save(at.with_suffix(".tif"), tiffinfo={262: 0})
    records, problems = read(tmp_path, "part_masks: masks, masks: figures")
    assert errors(problems) == [] and len(records) == 2
    for record in records:
        sample = record.load()[0]
        assert (sample.parts == PARTS).all() and ((sample.labels["mask"] > 0) == HEAD).all()
