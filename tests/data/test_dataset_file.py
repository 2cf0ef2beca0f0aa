"""The dataset file: what is right is read, what is wrong is all named at once."""

import errno
import os
from pathlib import Path

import pytest

from coarseparts.data.dataset_file import DatasetFile, load_dataset_file, training_problems
from coarseparts.data.source_keys import Crop
from coarseparts.system.problems import BadInput

GOOD = """
parts: [head, left_eye, right_eye]
mirror: [[left_eye, right_eye]]
size: 128
crop: {to: object, margin: 0.2}
sources:
  - split: train
    images: im ages
    part_masks: masks
    coco: c.json
    use: [keypoints, mask]
    limit: 3
  - {split: val, images: im ages, coco: c.json}
  - {split: train, synthetic: birds, count: 5, parts: false}
"""


@pytest.fixture
def folder(tmp_path):
    for name in ("im ages", "masks"):
        (tmp_path / name).mkdir()
    (tmp_path / "c.json").write_text("{}")
    return tmp_path


def load(folder: Path, text: str) -> DatasetFile:
    (folder / "d.yaml").write_text(text, encoding="utf-8")
    return load_dataset_file(folder / "d.yaml")


def lines(folder: Path, text: str) -> list[str]:
    with pytest.raises(BadInput) as caught:
        load(folder, text)
    assert all(str(folder / "d.yaml") in line for line in str(caught.value).splitlines())
    return str(caught.value).splitlines()


def test_a_good_file_is_read_and_its_paths_are_relative_to_it(folder, monkeypatch):
    monkeypatch.chdir("/")
    dataset = load(folder, GOOD)
    assert dataset.parts == ("head", "left_eye", "right_eye") and dataset.mirror == (("left_eye", "right_eye"),)
    assert dataset.crop == Crop(to="object", margin=0.2) and dataset.size == 128
    first, second, third = dataset.sources
    assert first.images == folder / "im ages" and first.coco == folder / "c.json" and first.limit == 3
    assert first.use == ("keypoints", "mask") and second.use is None
    assert first.has_parts and not second.has_parts and not third.has_parts
    assert dataset.path == folder / "d.yaml"


def test_defaults(folder):
    dataset = load(folder, "parts: [a]\nsources: [{split: train, images: im ages, part_masks: masks}]")
    assert dataset.size == 256 and dataset.crop == Crop(to="object", margin=0.1)
    assert dataset.mirror is None and dataset.keypoints is None and not dataset.overlapping
    assert dataset.sources[0].unlabelled_keypoints == "absent"
    assert load(folder, GOOD.replace("{to: object, margin: 0.2}", "{to: null}")).crop.to == "none"


def test_a_folder_of_masks_is_a_label(folder):
    (source,) = load(folder, "parts: [a]\nsources: [{split: train, images: im ages, masks: masks}]").sources
    assert source.by_style == {"mask": folder / "masks"} and not source.has_parts


@pytest.mark.parametrize(
    "source, expected",
    [
        (
            "cub: CUB 200, only: none.txt",
            "cub is no longer read; run `coarseparts prepare cub '{0}/CUB 200' --out {0}/prepared-cub` and take "
            "`images`, `coco`, `masks` and `only` from {0}/prepared-cub/cub.yaml",
        ),
        (
            "cub: cub, segmentations: grey, part_masks: nowhere, limit: no",
            "cub is no longer read; run `coarseparts prepare cub {0}/cub --out {0}/prepared-cub --segmentations "
            "{0}/grey` and take `images`, `coco`, `masks` and `only` from {0}/prepared-cub/cub.yaml",
        ),
        (
            "nabirds: ../nabirds, coco: c.json",
            "nabirds is no longer read; run `coarseparts prepare nabirds {0}/../nabirds --out "
            "{0}/../prepared-nabirds` and take `images`, `coco` and `only` from {0}/../prepared-nabirds/nabirds.yaml",
        ),
        ("images: im ages, segmentations: masks", "segmentations is no longer read; name that folder with `masks`"),
    ],
)
def test_what_became_of_the_keys_of_public_archives(folder, source, expected):
    other = "{split: val, images: nowhere, coco: c.json}"
    found, missing = sorted(lines(folder, f"parts: [a]\nsources: [{{split: train, {source}}}, {other}]"))
    assert found == f"{folder / 'd.yaml'}: sources[0]: {expected.format(folder)}", "one error a source"
    assert "sources[1].images" in missing


@pytest.mark.parametrize(
    "change, expected",
    [
        (("parts:", "part:"), ["part: unknown key; did you mean 'parts'?", "parts: is missing"]),
        (("part_masks:", "part_mask:"), ["sources[0].part_mask: unknown key; did you mean 'part_masks'?"]),
        (("margin:", "marjin:"), ["crop.marjin: unknown key; did you mean 'margin'?"]),
        (("margin: 0.2", "margin: -1"), ["crop.margin: got -1", "greater than or equal to 0"]),
        (("size: 128", "size: big"), ["size: got 'big'", "integer"]),
        (("[head,", "[no,"), ["parts[0]: got False", "write it in quotes"]),
        (("split: val", "split: valid"), ["sources[1].split: got 'valid'", "'train', 'val' or 'test'"]),
        (("[keypoints, mask]", "[keypoints, masks]"), ["sources[0].use: 'masks' is no label style", "'mask'"]),
        (("images: im ages", "images: [im]"), ["sources[0].images: got ['im']"]),
        (("masks\n", "mosks\n"), ["sources[0].part_masks", "mosks does not exist", "name a folder"]),
        (("coco: c.json}", "coco: masks}"), ["sources[1].coco", "is not a file"]),
        (("right_eye]]", "left_wing]]"), ["mirror: 'left_wing' is not among"]),
        (("[head, left_eye", "[left_eye, left_eye"), ["names must differ"]),
        (("count: 5", "count: 5, images: im ages"), ["sources[2]: images and synthetic exclude each other"]),
        (("limit: 3", "count: 3"), ["sources[0]: count belongs to synthetic sources"]),
        (("coco: c.json}", "limit: 2}"), ["sources[1]: no labels; add one of part_masks"]),
        (("images: im ages, coco", "coco"), ["sources[1]: images is missing"]),
        (("use:", "part_coco: c.json\n    use:"), ["part_masks and part_coco"]),
        (("coco: c.json}", "masks: mosks}"), ["sources[1].masks", "mosks does not exist", "name a folder"]),
        (("size: 128", "size: 128\nsize: 64"), ["line 5", "key 'size' stands twice"]),
        (("size: 128", "overlapping: maybe"), ["overlapping", "maybe"]),
        (("parts: [", "parts: [["), ["is not valid YAML: line"]),
        (("limit: 3", "only: list.txt"), ["sources[0].only", "list.txt does not exist", "name a file"]),
        (("limit: 3", "only: masks"), ["sources[0].only", "is not a file"]),
        (("count: 5", "count: 5, only: c.json"), ["sources[2]: only and synthetic exclude each other"]),
        (("images: im ages, coco: c.json}", "only: c.json}"), ["sources[1]: no labels; add one of part_masks"]),
        (("size: 128", "across_splits: both"), ["across_splits: got 'both'", "'refuse' or 'keep'"]),
        (("size: 128", "size: 33"), ["size: got 33, expected a multiple of 16; write 32 or 48"]),
        (("size: 128", "[a]: 1"), ["is not valid YAML: line 4", "key"]),
        (("size: 128", "{a: 1}: 1"), ["is not valid YAML: line 4", "key"]),
        (("size: 128", "size: !!int ''"), ["is not valid YAML"]),
        (("size: 128", "size: !!bool big"), ["is not valid YAML"]),
        (("{to: object, margin: 0.2}", "!!map [a]"), ["is not valid YAML"]),
        (("size: 128", "size: " + "[" * 3000 + "]" * 3000), ["nested too deeply"]),
        (("images: im ages", "images: ~nosuchuser/x"), ["sources[0].images", "~nosuchuser/x does not exist"]),
        (("images: im ages", 'images: "~a\\0b/x"'), ["sources[0].images", "does not exist"]),
        (("images: im ages", "images: " + "x" * 300), ["sources[0].images", "cannot be read: File name too long"]),
        (("size: 128", "keypoint_parts: {crown: haed}"), ["keypoint_parts: 'haed' is not", "did you mean 'head'?"]),
        (
            ("size: 128", "keypoints: [crown]\nkeypoint_parts: {crwn: head, tail: null}"),
            ["keypoint_parts: 'crwn' is not among `keypoints`; did you mean 'crown'?", "'tail' is not among"],
        ),
    ],
)
def test_each_mistake_is_named(folder, change, expected):
    assert change[0] in GOOD
    said = "\n".join(lines(folder, GOOD.replace(*change, 1)))
    for text in expected:
        assert text in said


def test_keypoint_parts_may_name_no_part(folder):
    table = load(folder, GOOD.replace("size: 128", "keypoint_parts: {crown: head, tail: null}")).keypoint_parts
    assert table == {"crown": "head", "tail": None}


def test_a_folder_that_may_not_be_looked_into(folder, monkeypatch):
    stat = os.stat

    def refuse(path, *rest, **more):
        if str(path).endswith("im ages"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return stat(path, *rest, **more)

    monkeypatch.setattr(os, "stat", refuse)
    said = lines(folder, GOOD)
    assert len(said) == 2 and "sources[0].images" in said[0] and "cannot be read: Permission denied" in said[0]


def test_all_mistakes_come_at_once(folder):
    text = GOOD.replace("size: 128", "sice: 128").replace("limit: 3", "limit: none").replace("c.json}", "d.json}")
    said = lines(folder, text.replace("synthetic: birds", "synthetic: bees"))
    assert len(said) == 4
    for part in ("sice", "sources[0].limit", "d.json does not exist", "bees"):
        assert any(part in line for line in said)


@pytest.mark.parametrize(
    "content, expected",
    [(b"", "holds nothing"), (b"- a\n", "holds a list"), (b"parts: [\xff]", "UTF-8"), (b"a: {", "is not valid YAML")],
)
def test_files_that_are_something_else(tmp_path, content, expected):
    (tmp_path / "d.yaml").write_bytes(content)
    with pytest.raises(BadInput, match=expected):
        load_dataset_file(tmp_path / "d.yaml")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(BadInput, match=r"no\.yaml: cannot be read"):
        load_dataset_file(tmp_path / "no.yaml")
    with pytest.raises(BadInput, match="is a folder, expected a dataset file"):
        load_dataset_file(tmp_path)


def test_what_training_needs(folder):
    assert (
        training_problems(
            load(folder, GOOD.replace("images: im ages, coco", "images: im ages, part_masks: masks, coco"))
        )
        == []
    )
    no_val = [p for p in training_problems(load(folder, GOOD.replace("val", "test")))]
    assert [(p.severity, "no source of split val" in p.message) for p in no_val] == [("note", True)]
    assert "every fifth part-labelled training image is held out" in no_val[0].remedy
    no_parts = training_problems(load(folder, GOOD.replace("    part_masks: masks\n", "")))
    assert [p.severity for p in no_parts] == ["error", "note"] and "train has part masks" in no_parts[0].message


@pytest.mark.parametrize("root", ["/", "//", "/etc/.."])
def test_the_root_of_the_disk_is_no_folder_of_images(tmp_path: Path, root: str) -> None:
    file = tmp_path / "data.yaml"
    file.write_text(f"parts: [a]\nsources: [{{split: train, images: {root}, part_masks: {root}}}]\n")
    with pytest.raises(BadInput, match="is the whole disk"):
        load_dataset_file(file)


@pytest.mark.parametrize("key", ["images", "part_masks"])
def test_an_empty_path_is_not_the_folder_of_the_file(tmp_path: Path, key: str) -> None:
    (tmp_path / "there").mkdir()
    said = {"images": "there", "part_masks": "there"} | {key: "''"}
    file = tmp_path / "data.yaml"
    file.write_text(f"parts: [a]\nsources: [{{split: train, {', '.join(f'{k}: {v}' for k, v in said.items())}}}]\n")
    with pytest.raises(BadInput, match=rf"sources\[0\]\.{key}: is empty"):
        load_dataset_file(file)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (
            "photos",
            None,
            "is a folder, expected a dataset file (YAML); make one of photographs and labels: coarseparts",
        ),
        (
            "run",
            "data: ants.yaml",
            "is a run folder, expected a dataset file (YAML); name the one that it was trained on",
        ),
        ("c.json", '{"images": [], "annotations": []}', "has the keys images, annotations, and none of a dataset file"),
        ("c.yaml", "data: a/ants.yaml\nsettings: {batch: 3}", "name the dataset file of that run: 'a/ants.yaml'"),
        ("a.txt", "hello", "holds a mere value, expected keys with values"),
        ("a.jpg", "\xff\xd8", "name a dataset file (YAML), or make one of photographs and labels: coarseparts init"),
    ],
)
def test_what_is_named_in_the_place_of_a_dataset_file_is_told_in_a_line(tmp_path, name, content, told):
    path = tmp_path / name
    if name in ("photos", "run"):
        path.mkdir()
    if content is not None:
        (path / "config.yaml" if name == "run" else path).write_bytes(content.encode("latin-1"))
    with pytest.raises(BadInput) as bad:
        load_dataset_file(path)
    assert len(bad.value.problems) == 1 and told in str(bad.value) and str(path) in str(bad.value)
