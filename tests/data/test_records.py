"""From a dataset file to samples: names, labels, crops, checks across sources, and every problem at once."""

import errno
import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from real_data import SHARED, needs_shared

from coarseparts.data.dataset_file import DatasetFile
from coarseparts.data.loading import object_crop
from coarseparts.data.naming import mirror_pairs
from coarseparts.data.records import read_dataset
from coarseparts.data.synthetic import birds
from coarseparts.labels.keypoints import in_schema
from coarseparts.labels.schema import Schema
from coarseparts.system.problems import BadInput

W, H = 20, 16
NAMES = ["head", "left eye", "right eye"]
POINTS = [6, 5, 2, 8, 6, 1, 0, 0, 0]
LIST = "give yourself permission to list the folder"
POLYGON = [[4, 4, 12, 4, 12, 10, 4, 10]]  # box 4, 4, 12, 10


class World:
    """A folder with photographs, part masks and a COCO file that grow as a test asks."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.images, self.masks = folder / "images", folder / "masks"
        self.images.mkdir(parents=True)
        self.masks.mkdir()
        self.coco = {
            "images": [],
            "annotations": [],
            "categories": [{"id": 1, "name": "ant", "keypoints": NAMES}],
        }

    def photo(self, name: str, seed: int | None = None) -> Path:
        seed = sum(name.encode()) if seed is None else seed
        path = self.images / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (H, W, 3)).astype(np.uint8)).save(path, "PNG")
        return path

    def mask(self, name: str) -> Path:
        values = np.zeros((H, W), np.uint8)
        values[4:7, 4:12], values[7:10, 4:12] = 1, 2
        path = self.masks / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(values).save(path)
        return path

    def label(self, name: str, **changes) -> None:
        entries = {e["file_name"]: e["id"] for e in self.coco["images"]}
        if name not in entries:
            entries[name] = len(entries) + 1
            self.coco["images"].append({"id": entries[name], "file_name": name, "width": W, "height": H})
        annotation = {"id": len(self.coco["annotations"]) + 1, "image_id": entries[name], "category_id": 1}
        annotation |= {"keypoints": POINTS, "bbox": [3, 4, 10, 6], "segmentation": POLYGON}
        self.coco["annotations"].append(annotation | changes)

    def source(self, split="train", masks=True, **more) -> dict:
        (self.folder / "c.json").write_text(json.dumps(self.coco))
        found = {"split": split, "images": self.images, "coco": self.folder / "c.json"}
        return found | ({"part_masks": self.masks} if masks else {}) | more


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "w")


def dataset(*sources, **more) -> DatasetFile:
    return DatasetFile(**{"parts": ("head", "body"), "sources": sources, "mirror": (), "keypoint_mirror": ()} | more)


def lines(problems, severity="error") -> list[str]:
    return [str(p) for p in problems if p.severity == severity]


def test_a_sample_with_everything(world):
    world.photo("a.jpg")
    world.mask("a.png")
    world.label("a.jpg")
    (record,), problems, schema = read_dataset(dataset(world.source()))
    assert problems == [] and schema == Schema(parts=("head", "body"), keypoints=tuple(NAMES))
    assert (record.name, record.source, record.split) == ("a", 0, "train")
    assert record.image == world.images / "a.jpg" and record.has == {"parts", "keypoints", "mask", "box"}
    sample, repaired = record.load()
    assert repaired == [] and sample.name == "a" and sample.image.shape == (H, W, 3)
    np.testing.assert_array_equal(sample.labels["keypoints"], np.array(POINTS).reshape(3, 3))
    np.testing.assert_array_equal(sample.labels["box"], [3, 4, 13, 10])
    assert (
        sample.labels["mask"].dtype == np.uint8
        and (sample.labels["mask"][4:10, 4:12] == 255).all()
        and sample.labels["mask"].sum() == 255 * 48
    )
    assert np.bincount(sample.parts.ravel()).tolist() == [W * H - 48, 24, 24]
    np.testing.assert_allclose(sample.crop, [4 - 0.8, 4 - 0.6, 12 + 0.8, 10 + 0.6], rtol=1e-6)


def test_use_limits_the_labels_but_not_the_crop(world):
    world.photo("a.jpg")
    world.label("a.jpg")
    (record,), _, _ = read_dataset(dataset(world.source(masks=False, use=("keypoints",))))
    sample, _ = record.load()
    assert record.has == {"keypoints"} and sample.labels.keys() == {"keypoints"}
    np.testing.assert_allclose(sample.crop, [3.2, 3.4, 12.8, 10.6], rtol=1e-6)
    (record,), _, _ = read_dataset(dataset(world.source(masks=False), crop={"to": "none"}))
    assert record.load()[0].crop is None


def test_the_crop_goes_by_what_is_there():
    mask, parts = np.zeros((H, W), np.uint8), np.zeros((H, W), np.uint8)
    mask[4:8, 5:15], parts[2:4, 3:5], parts[0, 0] = 255, 1, 255
    box, points = np.array([1, 2, 11, 12.0]), np.array([[8, 8, 2], [10, 8, 1], [9, 10, 2], [1, 1, 0]])
    size = (W, H)
    np.testing.assert_allclose(object_crop(size, 0.1, mask, box, points, parts), [4, 3.6, 16, 8.4])
    np.testing.assert_allclose(object_crop(size, 0, np.minimum(mask, 127), box, points, parts), box)
    np.testing.assert_allclose(object_crop(size, 0, None, None, points, parts), [7.5, 7.5, 10.5, 10.5])
    np.testing.assert_allclose(object_crop(size, 0, None, None, points[:2], parts), [3, 2, 5, 4])
    np.testing.assert_allclose(object_crop(size, 1, parts=parts), [1, 0, 7, 6])
    assert object_crop(size, 0.1) is None
    assert object_crop(size, 0.1, box=np.array([0, 0.5, W, H])) is None, "cropped already"


def test_limit_takes_the_first_by_file_name(world):
    for name in ("c.jpg", "a.jpg", "b.jpg"):
        world.photo(name)
        world.label(name, segmentation=None)
    world.label("d.jpg", segmentation=None)  # beyond the limit: not missed
    records, problems, _ = read_dataset(dataset(world.source(masks=False, limit=2)))
    assert [r.name for r in records] == ["a", "b"]
    assert [p.message for p in problems] == ["sources[0]: limit: 2 leaves out 1 of 3 images"]


def test_several_objects_of_an_image(world):
    world.photo("a.jpg")
    world.mask("a.png")
    world.label("a.jpg", segmentation=[[4, 4, 8, 4, 8, 10, 4, 10]])
    world.label("a.jpg", segmentation=None, bbox=[8, 4, 4, 6], id="x7")
    records, _, _ = read_dataset(dataset(world.source()))
    assert [r.name for r in records] == ["a-1", "a-x7"]
    left, right = (r.load()[0].parts for r in records)
    assert (left[4:10, 4:8] < 3).all() and (left[4:10, 8:12] == 255).all() and (left[:4] == 0).all()
    assert (right[4:10, 4:8] == 255).all() and (right[4:10, 8:12] < 3).all()


@pytest.mark.parametrize("wrong", ["bird.jpg ", "bird.tng", "bird.jp"])
def test_labels_of_a_file_that_is_not_there_are_told_as_such_beside_one_of_its_stem(world, wrong):
    world.photo("bird.jpg")
    world.photo("other.jpg")
    for name in ("other.jpg", wrong):
        world.label(name)
    _, problems, _ = read_dataset(dataset(world.source(masks=False)))
    told = lines(problems)
    assert len(told) == 1 and "does not exist, but" in told[0] and "c.json" in told[0], told


def test_one_name_in_two_sources(tmp_path):
    one, two = World(tmp_path / "1"), World(tmp_path / "2")
    for i, here in enumerate((one, two)):
        here.photo("x/a.jpg", seed=i)
        here.label("x/a.jpg")
    two.photo("b.jpg")
    two.label("b.jpg")
    records, problems, _ = read_dataset(dataset(one.source(masks=False), two.source("val", masks=False)))
    assert [r.name for r in records] == ["s0/x/a", "b", "s1/x/a"] and problems == []


def test_keypoints_of_several_categories_and_sources(tmp_path):
    one, two = World(tmp_path / "1"), World(tmp_path / "2")
    one.photo("a.jpg")
    one.label("a.jpg")
    two.coco["categories"] = [{"id": 1, "name": "bee", "keypoints": ["wing", "head"]}]
    two.photo("b.jpg")
    two.label("b.jpg", keypoints=[1, 2, 2, 0, 0, 0])
    sources = (one.source(masks=False), two.source(masks=False, unlabelled_keypoints="unknown"))
    records, _, schema = read_dataset(dataset(*sources))
    assert schema.keypoints == (*NAMES, "wing")
    first, second = (r.load()[0].labels["keypoints"] for r in records)
    assert first[:, 2].tolist() == [2, 1, 0, -1] and second[:, 2].tolist() == [-1, -1, -1, 2]
    np.testing.assert_array_equal(second[3], [1, 2, 2])
    chosen, problems, schema = read_dataset(dataset(*sources, keypoints=("wing", "left eye")))
    assert schema.keypoints == ("wing", "left eye") and chosen[0].load()[0].labels["keypoints"][:, 2].tolist() == [
        -1,
        1,
    ]
    assert lines(problems) == [] and "head, right eye" in lines(problems, "note")[0]


def test_keypoints_stand_in_the_order_of_the_objects_in_the_file(world):
    world.coco["categories"] = [{"id": i, "name": name, "keypoints": [name]} for i, name in enumerate("abc", 1)]
    for i, image in enumerate(("2.jpg", "1.jpg", "2.jpg"), 1):
        world.photo(image)
        world.label(image, category_id=4 - i, keypoints=[5, 5, 2])
    assert read_dataset(dataset(world.source(masks=False)))[2].keypoints == ("c", "b", "a")


def test_misspelt_keypoints(world):
    world.photo("a.jpg")
    world.label("a.jpg")
    said = lines(read_dataset(dataset(world.source(masks=False), keypoints=("haed", "left eye", "right eye")))[1])
    assert len(said) == 1 and "no source annotates 'haed'; did you mean 'head'?" in said[0]
    with pytest.raises(BadInput, match=r"keypoint_mirror: 'left wing' is not among"):
        read_dataset(dataset(world.source(masks=False), keypoint_mirror=(("left wing", "right eye"),)))


def test_mirror_pairs_come_from_the_names_unless_given(world):
    assert mirror_pairs(("left eye", "x", "right eye")) == (("left eye", "right eye"),)
    assert mirror_pairs(("Left_Wing", "right_wing", "cleft", "left leg")) == (("Left_Wing", "right_wing"),)
    world.photo("a.jpg")
    world.label("a.jpg")
    _, problems, schema = read_dataset(dataset(world.source(masks=False), keypoint_mirror=None))
    assert schema.keypoint_mirror == (("left eye", "right eye"),) and "left eye - right eye" in str(problems[0])
    assert read_dataset(dataset(world.source(masks=False)))[2].keypoint_mirror == ()


def test_everything_wrong_with_the_files_is_found_at_once(world):
    for name in ("a.jpg", "twin.jpg", "twin.png", "plain.jpg"):
        world.photo(name)
    world.label("a.jpg")
    world.label("twin.jpg")
    world.label("gone.jpg")
    world.label("../up.jpg")
    world.label("a.jpeg")
    world.label("sub/plain.jpg", bbox=[float("nan")] * 4)
    for name in ("a.png", "twin.png", "alone.png"):
        world.mask(name)
    records, problems, _ = read_dataset(dataset(world.source()), for_training=True)
    assert [record.name for record in records] == ["a"], "what a.jpeg would be is not there"
    said = "\n".join(lines(problems))
    for part in (
        "gone.jpg: does not exist, but",
        "'../up.jpg' leads out",
        "a.jpeg: does not exist, but",
        "twin.jpg: has the same stem",
        "twin.png: has the same stem",
        "alone.png: no image of this stem",
        "bbox holds nan",
    ):
        assert part in said
    notes = "\n".join(lines(problems, "note"))
    assert "1 of 4 images have no labels" in notes and "plain.jpg" in notes and "no source of split val" in notes


def test_missing_images_are_listed_and_then_counted(world):
    world.photo("img/77.jpg")
    for i in range(30):
        world.label(f"{i}.jpg")
    records, problems, _ = read_dataset(dataset(world.source(masks=False)))
    said = lines(problems)
    assert records == [] and len(said) == 21 and "and 10 more" in said[20]
    assert any("7.jpg: does not exist" in line for line in said)


def test_a_missing_image_with_a_likely_name(world):
    world.photo("a.png")
    world.label("a.jpg")
    _, problems, _ = read_dataset(dataset(world.source(masks=False)))
    (line,) = lines(problems)
    assert "(there is a.png)" in line


def test_an_image_whose_accents_are_encoded_otherwise_is_the_one_that_is_meant(world):
    world.photo("ame\u0301lie.jpg")  # as macOS writes it
    world.label("am\u00e9lie.jpg")
    records, problems, _ = read_dataset(dataset(world.source(masks=False)))
    assert len(records) == 1 and lines(problems) == []
    assert any("taken for the one that fits" in line for line in lines(problems, "note"))


def test_the_same_image_in_two_splits(tmp_path):
    one, two, three = (World(tmp_path / str(i)) for i in range(3))
    for i, here in enumerate((one, two, three)):
        here.photo("same as.jpg", seed=0).rename(here.images / f"{i}.jpg")
        here.label(f"{i}.jpg")
        here.photo("own.jpg", seed=i + 1).rename(here.images / f"own{i}.jpg")
        here.label(f"own{i}.jpg")
    sources = [h.source(s, masks=False) for h, s in ((one, "train"), (two, "val"), (three, "train"))]
    records, problems, _ = read_dataset(dataset(*sources))
    assert [r.name for r in records] == ["own0", "1", "own1", "own2"], "kept where it is measured"
    said = lines(problems)
    assert len(said) == 2 and "0.jpg: is in split train and, as" in said[0] and "1.jpg, in split val" in said[0]
    assert read_dataset(dataset(sources[0], sources[2]))[1] == [], "twice in one split is allowed"


@pytest.mark.parametrize("name", ["with space.jpg", "ümläut.jpg", os.fsdecode(b"latin\xe9.jpg")])
def test_odd_file_names(world, name):
    try:
        world.photo("a.jpg").rename(world.images / name)
    except OSError:
        pytest.skip("this file system does not take such a name")
    world.label(name)
    Path(world.mask("a.png")).rename(world.masks / name.replace(".jpg", ".png"))
    (record,), problems, _ = read_dataset(dataset(world.source()))
    assert problems == [] and record.has == {"parts", "keypoints", "mask", "box"}
    assert record.load()[0].parts.max() == 2
    record.name.encode("utf-8")  # raises if it could not be printed or saved


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"keypoints": [25, 5, 2, 0, 0, 0, 0, 0, 0]}, "keypoint 'head' at (25, 5) lies outside the image of 20x16"),
        ({"keypoints": [5, -3, 1, 0, 0, 0, 0, 0, 0]}, "keypoint 'head' at (5, -3) lies outside"),
        ({"bbox": [30, 4, 5, 5]}, "lies outside the image of 20x16 pixels"),
        ({"segmentation": {"size": [H, W], "counts": [5]}}, "runs add up to 5 of 320"),
        ({"segmentation": {"size": [W, H], "counts": [5, 315]}}, "the RLE mask is 16x20 pixels, the image is 20x16"),
        ({"segmentation": [[1e5, 1, 2, 1, 2, 2]]}, "far outside"),
        ({"segmentation": [[1, 1, 1, 1, 1, 1]]}, "empty"),
    ],
)
def test_labels_that_do_not_fit_the_pixels(world, changes, expected):
    world.photo("a.jpg")
    world.label("a.jpg", **changes)
    (record,), problems, _ = read_dataset(dataset(world.source(masks=False)))
    assert problems == []
    with pytest.raises(BadInput) as caught:
        record.load()
    (problem,) = caught.value.problems
    assert expected in problem.message and "annotation 1 (a.jpg)" in problem.message and problem.remedy
    assert problem.file == str(world.folder / "c.json")


def test_all_that_is_wrong_with_a_sample_is_said_at_once(world):
    world.photo("a.jpg")
    world.label("a.jpg", keypoints=[25, 5, 2, 0, 40, 2, 0, 0, 0], segmentation={"size": [H, W], "counts": [5]})
    Image.fromarray(np.full((3, 3), 7, np.uint8)).save(world.masks / "a.png")
    (record,), _, _ = read_dataset(dataset(world.source()))
    with pytest.raises(BadInput) as caught:
        record.load()
    assert len(caught.value.problems) == 5


def test_a_little_outside_is_repaired(world):
    world.photo("a.jpg")
    world.label("a.jpg", keypoints=[20, 15.5, 2, -1.2, 17.4, 2, 0, 0, 0], bbox=[-5, -1, 40, 10], segmentation=[])
    sample, repaired = read_dataset(dataset(world.source(masks=False)))[0][0].load()
    np.testing.assert_allclose(sample.labels["keypoints"], [[19.5, 15.5, 2], [0.5, 15.5, 2], [0, 0, 0]])
    np.testing.assert_array_equal(sample.labels["box"], [0, 0, 20, 9])
    assert [p.severity for p in repaired] == ["repaired"] * 3
    assert "'head' at (20, 15.5) moved" in repaired[0].message and "cut off" in repaired[2].message


def test_annotations_made_at_another_size(world):
    world.photo("a.jpg")
    world.label("a.jpg", keypoints=[100, 100, 2] * 3)
    world.coco["images"][0] |= {"width": 200, "height": 160}
    (record,), _, _ = read_dataset(dataset(world.source(masks=False)))
    with pytest.raises(BadInput) as caught:
        record.load()
    (problem,) = caught.value.problems
    assert "made on 200x160 pixels" in problem.message and "20x16" in problem.message


def test_an_exif_rotated_photograph_has_labels_in_its_upright_frame(world):
    upright = np.zeros((H, W, 3), np.uint8)
    upright[4:10, 4:12] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.ascontiguousarray(upright.swapaxes(0, 1)[::-1])
    Image.fromarray(stored).save(world.images / "a.jpg", "JPEG", quality=100, exif=exif)
    world.label("a.jpg")
    sample, repaired = read_dataset(dataset(world.source(masks=False)))[0][0].load()
    np.testing.assert_array_equal(sample.image[..., 0] > 127, sample.labels["mask"] > 127)
    assert "EXIF" in repaired[0].message


def test_a_damaged_photograph_is_found_when_loaded(world):
    world.photo("a.jpg").write_bytes(b"not an image")
    world.label("a.jpg")
    (record,), _, _ = read_dataset(dataset(world.source(masks=False)))
    with pytest.raises(BadInput, match=r"a\.jpg: is no image"):
        record.load()


def test_part_coco(world):
    world.photo("a.jpg")
    world.photo("b.jpg")
    world.coco["categories"] = [{"id": 1, "name": "head"}, {"id": 2, "name": "body"}]
    world.label("a.jpg", keypoints=None)
    world.label("a.jpg", keypoints=None, category_id=2, segmentation=[[6, 6, 8, 6, 8, 8, 6, 8]])
    world.source()
    source = {"split": "train", "images": world.images, "part_coco": world.folder / "c.json"}
    (record,), problems, _ = read_dataset(dataset(source))
    sample, _ = record.load()
    assert record.has == {"parts"} and np.bincount(sample.parts.ravel())[1:].tolist() == [44, 4]
    assert lines(problems, "note") and "b.jpg" in lines(problems, "note")[0]


def test_fingerprints_change_with_what_load_returns(world):
    image = world.photo("a.jpg")
    mask = world.mask("a.png")
    world.label("a.jpg")

    def mark(**more) -> str:
        return read_dataset(
            dataset(world.source(**{k: v for k, v in more.items() if k == "use"}), **more.get("top", {}))
        )[0][0].fingerprint

    seen = [mark()]
    assert mark() == seen[0]
    seen += [mark(use=("mask",)), mark(top={"crop": {"margin": 0.2}}), mark(top={"parts": ("head", "torso")})]
    world.coco["annotations"][0]["keypoints"] = [7, 5, 2, 8, 6, 1, 0, 0, 0]
    seen.append(mark())
    world.coco["annotations"][0]["segmentation"] = [[4, 4, 12, 4, 12, 9, 4, 10]]
    seen.append(mark())
    for path in (image, mask):
        os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
        seen.append(mark())
    assert len(set(seen)) == len(seen)


def test_synthetic_birds():
    source = {"split": "train", "synthetic": "birds", "count": 3, "first": 5, "seed": 2}
    coarse = source | {"first": 50, "count": 2, "parts": False, "use": ("keypoints",), "split": "val"}
    whole = dataset(source, coarse, parts=birds.SCHEMA.parts, size=32, mirror=None, keypoint_mirror=None)
    records, problems, schema = read_dataset(whole)
    assert lines(problems) == []
    assert set(schema.mirror) == set(birds.SCHEMA.mirror) and schema.keypoints == birds.SCHEMA.keypoints
    assert [r.name for r in records] == [f"birds-2-{n:06d}" for n in (5, 6, 7, 50, 51)]
    assert records[1].synthetic == ("birds", 2, 6) and records[1].image is None
    assert records[0].has == {"parts", "keypoints", "mask", "box"} and records[4].has == {"keypoints"}
    rendered = birds.render(3, size=32, seed=2, first=5)
    sample, _ = records[1].load()
    for name, value in ({"image": sample.image, "parts": sample.parts} | sample.labels).items():
        np.testing.assert_array_equal(value, rendered[name][1])
    assert sample.labels.keys() == {"mask", "keypoints", "box"}
    assert records[4].load()[0].parts is None and len({r.fingerprint for r in records}) == 5


def test_synthetic_birds_beside_others(world):
    world.photo("a.jpg")
    world.label("a.jpg")
    source = {"split": "train", "synthetic": "birds", "count": 2}
    wrong, problems, _ = read_dataset(dataset(source, world.source(masks=False)))
    assert [r.name for r in wrong] == ["a"] and "sources[0]: the parts of the synthetic birds are" in lines(problems)[0]
    mixed = dataset(world.source(masks=False), source, source | {"split": "test"}, parts=birds.SCHEMA.parts, size=32)
    records, problems, schema = read_dataset(mixed)
    assert [(r.name, r.split) for r in records if r.image is None] == [(f"birds-0-00000{n}", "test") for n in (0, 1)]
    assert len(lines(problems)) == 2 and "in split test" in lines(problems)[0]
    assert schema.keypoints[0] == "head" and records[1].load()[0].labels["keypoints"][0].tolist() == [0, 0, -1]


def test_in_schema_maps_many_at_once():
    schema = Schema(parts=("p",), keypoints=("b", "c", "a"))
    points = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    mapped = in_schema(points, ("a", "b"), schema)
    np.testing.assert_array_equal(mapped[:, 0], points[:, 1])
    np.testing.assert_array_equal(mapped[:, 2], points[:, 0])
    assert mapped[:, 1].tolist() == [[0, 0, -1]] * 2


def test_a_name_that_no_file_can_have(world):
    world.label("\ud83d.jpg")
    records, problems, _ = read_dataset(dataset(world.source(masks=False)))
    assert records == [] and "'\\ud83d.jpg' is not a file name" in lines(problems)[0]


def test_a_name_longer_than_a_file_can_have(world):
    world.label("x" * 300 + ".jpg")
    records, problems, _ = read_dataset(dataset(world.source(masks=False)))
    assert records == [] and "x.jpg: cannot be read: File name too long; correct its name" in lines(problems)[0]


def refuse(monkeypatch, call: str, folder: Path) -> None:
    """``os.<call>`` of anything in ``folder``, or of itself, is denied from now on: root may look everywhere."""
    known = getattr(os, call)

    def denied(path=".", *rest, **more):
        if str(path).startswith(str(folder)):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return known(path, *rest, **more)

    monkeypatch.setattr(os, call, denied)


def test_folders_that_cannot_be_listed(world, monkeypatch):
    world.photo("a.jpg")
    world.mask("a.png")
    world.label("a.jpg")
    source = world.source()
    with monkeypatch.context() as patch:
        refuse(patch, "scandir", world.masks)
        records, problems, _ = read_dataset(dataset(source))
    assert lines(problems) == [f"{world.masks}: cannot be read: Permission denied; {LIST}"]
    assert [sorted(r.has) for r in records] == [["box", "keypoints", "mask"]]
    refuse(monkeypatch, "scandir", world.images)
    records, problems, _ = read_dataset(dataset(source))
    assert records == [] and lines(problems) == [f"{world.images}: cannot be read: Permission denied; {LIST}"]


def test_a_folder_below_that_cannot_be_listed(world, monkeypatch):
    world.photo("a.jpg")
    world.photo("sub/b.jpg")
    world.label("a.jpg")
    refuse(monkeypatch, "scandir", world.images / "sub")
    records, problems, _ = read_dataset(dataset(world.source(masks=False)))
    assert len(records) == 1 and lines(problems) == [
        f"{world.images / 'sub'}: cannot be read: Permission denied; {LIST}"
    ]


def test_an_image_that_may_not_be_looked_at(world, monkeypatch):
    world.photo("a.jpg")
    world.label("a.jpg")
    refuse(monkeypatch, "stat", world.images / "a.jpg")
    records, problems, _ = read_dataset(dataset(world.source(masks=False)))
    assert records == [] and "a.jpg: cannot be read: Permission denied" in lines(problems)[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_real_folder_without_permission(world):
    world.photo("a.jpg")
    world.label("a.jpg")
    source = world.source(masks=False)
    world.images.chmod(0)
    try:
        _, problems, _ = read_dataset(dataset(source))
    finally:
        world.images.chmod(0o755)
    assert lines(problems) == [f"{world.images}: cannot be read: Permission denied; {LIST}"]


@pytest.mark.parametrize(
    "masks, says", [(0, "no training image has a part mask"), (1, "1 training image has"), (2, "")]
)
def test_too_few_part_masks_to_train_and_choose_by(world, masks, says):
    (world.folder / "parts.json").write_text(json.dumps(world.coco | {"categories": [{"id": 1, "name": "head"}]}))
    for i in range(3):
        world.photo(f"{i}.jpg")
        world.label(f"{i}.jpg")
    for i in range(masks):
        world.mask(f"{i}.png")
    source = world.source() if masks else world.source(masks=False, part_coco=world.folder / "parts.json")
    said = "\n".join(lines(read_dataset(dataset(source), for_training=True)[1]))
    assert ("at least two are needed" in said and says in said) if says else not said
    assert lines(read_dataset(dataset(source))[1]) == [], "good enough to measure on"


def test_a_link_that_leads_nowhere(world):
    (world.images / "a.jpg").symlink_to(world.folder / "gone.jpg")
    (world.masks / "a.png").symlink_to(world.folder / "gone.png")
    world.photo("b.jpg")
    (world.masks / "b.png").symlink_to(world.folder / "gone.png")
    world.label("a.jpg")
    (record,), problems, _ = read_dataset(dataset(world.source()))
    assert "a.jpg: does not exist" in lines(problems)[0]
    with pytest.raises(BadInput, match=r"b\.png: does not exist"):
        record.load()


def test_records_go_to_other_processes(world):
    world.photo("a.jpg")
    world.label("a.jpg")
    (record,), _, _ = read_dataset(dataset(world.source(masks=False)))
    there = pickle.loads(pickle.dumps(record))
    assert (there.name, there.fingerprint) == (record.name, record.fingerprint)
    np.testing.assert_array_equal(there.load()[0].image, record.load()[0].image)


@needs_shared
def test_ants():
    ants = SHARED / "data" / "ants"
    part = {"part_masks": ants / "train_parts/part_masks", "coco": ants / "train_parts/coarse.json", "limit": 3}
    sources = (
        {"split": "train", "images": ants / "train_parts/images"} | part,
        {"split": "train", "images": ants / "train_coarse/images", "coco": ants / "train_coarse/coarse.json"},
    )
    records, problems, schema = read_dataset(dataset(*sources, parts=("head", "thorax", "abdomen", "eye")))
    assert lines(problems) == [] and len(records) == 3 + 407 and len(schema.keypoints) == 8
    everything = {"keypoints", "mask", "box"}
    assert all(r.has == everything | ({"parts"} if i < 3 else set()) for i, r in enumerate(records))
    for record in records[:3]:
        sample, repaired = record.load()
        assert (
            repaired == [] and sample.image.shape == (256, 256, 3) and set(np.unique(sample.parts)) <= {0, 1, 2, 3, 4}
        )
        agree = ((sample.parts > 0) == (sample.labels["mask"] > 127)).mean()
        assert agree > 0.99, "the mask was derived from the parts"
        x, y, _ = sample.labels["keypoints"][schema.keypoints.index("abdomen_center")]
        assert sample.parts[int(y), int(x)] == 3


@needs_shared
def test_bird_photographs_copied_elsewhere(tmp_path):
    source = SHARED / "data" / "birds" / "train_coarse"
    whole = json.loads((source / "coarse.json").read_text())
    whole["images"] = whole["images"][:4]
    kept = {entry["id"] for entry in whole["images"]}
    whole["annotations"] = [a for a in whole["annotations"] if a["image_id"] in kept]
    (tmp_path / "my birds").mkdir()
    for entry in whole["images"]:
        shutil.copyfile(source / "images" / entry["file_name"], tmp_path / "my birds" / entry["file_name"])
    (tmp_path / "c.json").write_text(json.dumps(whole))
    here = {"split": "train", "images": tmp_path / "my birds", "coco": tmp_path / "c.json", "use": ("keypoints",)}
    records, problems, schema = read_dataset(dataset(here))
    assert lines(problems) == [] and len(records) == 4 and len(schema.keypoints) == 15
    for record in records:
        sample, _ = record.load()
        assert sample.crop is None and sample.labels["keypoints"].shape == (15, 3), (
            "its box is the image: cropped already"
        )


def test_only_the_images_of_a_list(world):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        world.photo(name)
        world.mask(name.replace("jpg", "png"))
        world.label(name)
    only = world.folder / "only.txt"
    only.write_text("c.jpg\n\n ./a.jpg \nc.jpg\n")
    records, problems, _ = read_dataset(dataset(world.source(only=only)))
    assert [r.name for r in records] == ["a", "c"]
    assert [str(p) for p in problems] == [f"{only}: line 4: 'c.jpg' stands twice, used once"]
    records, _, _ = read_dataset(dataset(world.source(only=only, limit=1)))
    assert [r.name for r in records] == ["a"], "the limit counts what the list has left"


def test_what_is_wrong_with_a_list(world):
    world.photo("a.jpg")
    world.label("a.jpg")
    only = world.folder / "only.txt"
    for content, expected in (
        (b"a.jpg\na.png\n../a.jpg\nz.jpg\n", ["'a.png' is no image with labels", "line 3", "'z.jpg' is no image"]),
        (b"\n", ["names no image"]),
        (b"\xff", ["is not text in UTF-8"]),
    ):
        only.write_bytes(content)
        _, problems, _ = read_dataset(dataset(world.source(masks=False, only=only)))
        said = lines(problems)
        assert len(said) == len(expected) and all(line.startswith(str(only)) for line in said)
        assert all(any(text in line for line in said) for text in expected)
    assert "there is a.jpg" in lines(read_with(world, only, b"a.png"))[0]


def read_with(world, only, content):
    only.write_bytes(content)
    return read_dataset(dataset(world.source(masks=False, only=only)))[1]


def test_an_image_may_be_kept_in_two_splits(world):
    world.photo("a.jpg")
    world.label("a.jpg")
    both = [world.source(split, masks=False) for split in ("train", "val")]
    assert len(read_dataset(dataset(*both))[0]) == 1
    records, problems, _ = read_dataset(dataset(*both, across_splits="keep"))
    assert [(r.name, r.split) for r in records] == [("s0/a", "train"), ("s1/a", "val")] and lines(problems) == []
    assert "is in split train and" in lines(problems, "note")[0]


def test_keypoint_names_that_differ_in_spelling_alone_are_told(world):
    problems = read_dataset(dataset(world.source(), keypoints=("left eye", "Left_Eye", "wing")))[1]
    assert any("keypoints: 'left eye' and 'Left_Eye' are taken for two" in str(p) for p in problems)


def test_masks_whose_names_have_one_ending_are_told_once_and_read_with_it(world):
    for name in ("a", "b", "c"):
        world.photo(f"{name}.jpg")
        world.label(f"{name}.jpg")
        Path(world.mask(f"{name}.png")).rename(world.masks / f"{name}_mask.png")
    _, problems, _ = read_dataset(dataset(world.source()))
    (told,) = [p for p in problems if p.severity == "error"]
    assert "3 part masks like this one end in '_mask', which the photographs' names do not" in told.message
    assert told.remedy == "write `suffix: _mask` in this source"
    records, problems, _ = read_dataset(dataset(world.source(suffix="_mask")))
    assert [r.name for r in records] == ["a", "b", "c"] and all("parts" in r.has for r in records)
    assert not [p for p in problems if p.severity == "error"]
    for name in ("a", "b", "c"):
        (world.masks / f"{name}_mask.png").rename(world.masks / f"{name}.png")
        (world.images / f"{name}.jpg").rename(world.images / f"{name}_0000.jpg")
    (world.masks / "b.png").rename(world.masks / "d.png")
    source = {"split": "train", "images": world.images, "part_masks": world.masks}
    told = [p.message for p in read_dataset(dataset(source))[1] if p.severity == "error"]
    assert not any("_0000" in message and "lack" in message for message in told), "not all of them do"
    (world.masks / "d.png").rename(world.masks / "b.png")
    records, problems, _ = read_dataset(dataset(source))
    assert [r.name for r in records] == ["a_0000", "b_0000", "c_0000"] and all("parts" in r.has for r in records)
    assert any("3 files of part masks are not named as their photographs are" in p.message for p in problems)
    for name in ("a", "b", "c"):
        (world.images / f"{name}_0000.jpg").rename(world.images / f"{name}_x.jpg")
    records, problems, _ = read_dataset(dataset(source))
    assert [r.name for r in records] == ["a_x", "b_x", "c_x"] and all("parts" in r.has for r in records)
    for name in ("a", "b", "c"):
        (world.images / f"{name}_x.jpg").rename(world.images / f"{name}x.jpg")
    told = [p.message for p in read_dataset(dataset(source))[1] if p.severity == "error"]
    assert "3 part masks like this one lack 'x', in which the photographs' names end" in told[0]


def test_a_size_that_is_the_stored_ones_names_the_exif_orientation(world):
    path = world.photo("a.jpg")
    world.label("a.jpg", keypoints=[5, 5, 2, 0, 0, 0, 0, 0, 0])
    with Image.open(path) as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(path, exif=exif)  # 20x16 as stored, 16x20 upright
    (record,), _, _ = read_dataset(dataset(world.source(masks=False)))
    with pytest.raises(
        BadInput, match=r"before EXIF orientation 6 turns it upright: export again with the upright size.*exiftool"
    ):
        record.load()
