"""CUB-200-2011 prepared: the same samples as straight from its text files, in its official split; end to end."""

import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image
from real_data import SHARED, needs_shared
from replica import CUB, assert_same, write_archives

from coarseparts.cli import main as cli
from coarseparts.data.build import build_store
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.formats.coco import read_coco
from coarseparts.data.prepare.bird_tables import CUB as LAYOUT
from coarseparts.data.prepare.bird_tables import read_annotations
from coarseparts.data.prepare.coarse import coco_text
from coarseparts.data.prepare.cub import prepare_cub
from coarseparts.data.records import read_dataset
from coarseparts.system.problems import BadInput, errors


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archives")
    write_archives(folder)
    table = folder / "CUB_200_2011/bounding_boxes.txt"
    first, *lines = table.read_text().splitlines()
    number, x, y, *sides = first.split()  # numbers that single precision rounds
    table.write_text("\n".join([f"{number} {float(x) + 0.1} {float(y) + 0.7} {' '.join(sides)}", *lines]) + "\n")
    return folder


@pytest.fixture
def archive(pristine, tmp_path):
    """A copy that a test may damage."""
    for name in ("CUB_200_2011", "segmentations"):
        shutil.copytree(pristine / name, tmp_path / name)
    return tmp_path / "CUB_200_2011"


def test_the_same_samples_as_from_the_text_files(archive, tmp_path):
    (tmp_path / "segmentations" / CUB[3][1]).with_suffix(".png").unlink()
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    changed, problems = prepare_cub(archive, tmp_path / "out")
    assert changed and [p.message for p in problems] == ["1 of 8 images of CUB have no figure-ground mask there"]
    assert all(path.read_bytes() == content for path, content in before.items()), "the archive is not touched"
    records, told, schema = read_dataset(load_dataset_file(tmp_path / "out/cub.yaml"))
    assert errors(told) == [] and not any("left out" in str(p) for p in told)
    assert len(schema.keypoints) == 15 and len(schema.mirror) == len(schema.keypoint_mirror) == 3
    for split in ("train", "test"):
        annotations, _ = read_annotations(LAYOUT, archive, split, tmp_path / "segmentations")
        assert [a.image for a in annotations] == [name for _, name, train, _ in CUB if train == (split == "train")]
        assert_same([r for r in records if r.split == split], annotations, archive / "images")
    assert sum("mask" in r.has for r in records) == 7 and all({"keypoints", "box"} <= r.has for r in records)
    store, _ = build_store(load_dataset_file(tmp_path / "out/cub.yaml"), tmp_path / "cache", for_training=False)
    assert len(store) == 8


def test_a_mask_beside_the_images_a_keypoint_that_is_not_seen_and_a_list(tmp_path):
    cub = tmp_path / "cub"
    soft = np.zeros((16, 20), np.uint8)
    soft[4:10, 4:12], soft[4:10, 12:14] = 255, 51
    for number, name in enumerate(("1.A/x", "1.A/y", "2.B/z")):
        (cub / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (cub / "segmentations" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 16), (80 * number, 0, 0)).save(cub / "images" / f"{name}.jpg")
        Image.fromarray(soft).save(cub / "segmentations" / f"{name}.png")
    texts = {
        "images": "1 1.A/x.jpg\n2 1.A/y.jpg\n3 2.B/z.jpg",
        "train_test_split": "1 1\n2 0\n3 0",
        "bounding_boxes": "1 3 4 10 6\n2 1 1 2 2\n3 2 2 0 0",
        "parts/parts": "1 beak\n2 left eye",
        "parts/part_locs": "1 1 5.5 6 1\n1 2 0 0 0",
    }
    (cub / "parts").mkdir()
    for name, text in texts.items():
        (cub / f"{name}.txt").write_text(text)
    _, problems = prepare_cub(cub, tmp_path / "out")
    assert [(p.severity, p.message) for p in problems] == [
        ("repaired", "image 3: no box with an area; used without a box")
    ]
    dataset = load_dataset_file(tmp_path / "out/cub.yaml")
    records, problems, _ = read_dataset(dataset)
    assert errors(problems) == [] and [(r.name, r.split) for r in records] == [
        ("1.A/x", "train"),
        ("1.A/y", "test"),
        ("2.B/z", "test"),
    ]
    assert [set(r.has) for r in records] == [{"keypoints", "mask", "box"}, {"mask", "box"}, {"mask"}]
    sample, _ = records[0].load()
    np.testing.assert_array_equal(sample.labels["mask"], soft)
    np.testing.assert_array_equal(sample.labels["keypoints"], [[5.5, 6, 2], [0, 0, 0]])
    np.testing.assert_allclose(sample.crop, [3.2, 3.4, 12.8, 10.6], rtol=1e-6)
    (tmp_path / "out/mine.txt").write_text("1.A/x.jpg\n2.B/z.jpg\n")
    text = dataset.path.read_text().replace("lists/train.txt", "mine.txt")
    (tmp_path / "out/cub.yaml").write_text(text)
    records, _, _ = read_dataset(
        load_dataset_file(tmp_path / "out/cub.yaml").model_copy(update={"across_splits": "keep"})
    )
    assert [r.name for r in records if r.split == "train"] == ["1.A/x", "s0/2.B/z"], "whatever the official split"


def run(monkeypatch, capsys, *words) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["coarseparts", "prepare", "cub", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out + said.err


def test_the_command(archive, tmp_path, monkeypatch, capsys):
    status, said = run(monkeypatch, capsys, archive.parent, "--out", tmp_path / "out")
    assert status == 0 and "dataset file:" in said and "cub.yaml" in said
    status, said = run(monkeypatch, capsys, archive, "--out", tmp_path / "out")
    assert status == 0 and "nothing to do" in said
    status, said = run(monkeypatch, capsys, archive, "--out", tmp_path / "new", "--segmentations", tmp_path / "none")
    assert status == 2 and "none: is no folder; name the folder of segmentations.tgz" in said
    shutil.rmtree(tmp_path / "segmentations")
    assert prepare_cub(archive, tmp_path / "new")[0]
    assert "masks:" not in (tmp_path / "new/cub.yaml").read_text()
    (tmp_path / "new/cub.yaml").rename(tmp_path / "new/pascub.yaml")
    with pytest.raises(BadInput, match=r"holds another data set, pascub\.yaml"):
        prepare_cub(archive, tmp_path / "new")


def test_damage_is_told_and_no_dataset_file_written(archive, tmp_path):
    (archive / "images" / CUB[0][1]).unlink()
    (archive / "images" / CUB[1][1]).write_bytes(b"")
    with pytest.raises(BadInput) as caught:
        prepare_cub(archive, tmp_path / "out")
    assert [p.file for p in caught.value.problems] == [str(archive / "images" / CUB[i][1]) for i in (0, 1)]
    assert not list((tmp_path / "out").glob("*.yaml"))


@needs_shared
def test_the_real_tables_come_back_to_the_bit(tmp_path):
    annotations, _ = read_annotations(LAYOUT, SHARED / "data" / "cub_annotations", None)
    (tmp_path / "c.json").write_text(coco_text(annotations, {}, "bird"))
    found, problems = read_coco(tmp_path / "c.json")
    assert errors(problems) == [] and len(found) == len(annotations) == 11_788
    for one, other in zip(found, annotations, strict=True):
        assert (one.image, one.alone, one.keypoint_names) == (other.image, True, other.keypoint_names)
        for got, wanted in ((one.keypoints, other.keypoints), (one.label("box"), other.label("box"))):
            assert (got is None) == (wanted is None)
            assert got is None or np.array_equal(got, wanted)
    assert json.loads((tmp_path / "c.json").read_text())["categories"][0]["keypoints"][0] == "back"
