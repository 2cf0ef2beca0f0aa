"""Building the packed store: once, whole or not at all, and every problem told."""

import errno
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from coarseparts.data import build
from coarseparts.data.build import build_store
from coarseparts.data.crops import crop_and_resize
from coarseparts.data.dataset_file import DatasetFile
from coarseparts.data.records import Record, read_dataset
from coarseparts.data.store import Store
from coarseparts.data.store_files import Writer
from coarseparts.data.synthetic import birds
from coarseparts.labels import STYLES
from coarseparts.system.problems import BadInput, Problem

W, H, COUNT = 40, 30, 7


def array(store: Store, name: str) -> np.ndarray:
    return store.label(name) if name in STYLES else getattr(store, name)


@pytest.fixture
def folder(tmp_path):
    """COUNT photographs, the first three with part masks, all with keypoints, box and mask."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    coco = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "ant", "keypoints": ["nose", "sting"]}]}
    for i in range(COUNT):
        rng = np.random.default_rng(i)
        Image.fromarray(rng.integers(0, 256, (H, W, 3)).astype(np.uint8)).save(tmp_path / "images" / f"{i}.png")
        coco["images"].append({"id": i, "file_name": f"{i}.png", "width": W, "height": H})
        label = {"id": i, "image_id": i, "category_id": 1, "bbox": [5 + i, 6, 20, 12]}
        label["keypoints"] = [8 + i, 10, 2, 0, 0, 0]
        label["segmentation"] = [[5 + i, 6, 25 + i, 6, 25 + i, 16, 23 + i, 18, 5 + i, 18]]  # no box
        coco["annotations"].append(label)
        if i < 3:
            parts = np.zeros((H, W), np.uint8)
            parts[6:18, 5 + i : 15 + i], parts[6:18, 15 + i : 25 + i] = 1, 2
            Image.fromarray(parts).save(tmp_path / "masks" / f"{i}.png")
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    return tmp_path


def dataset(folder, *more, **settings):
    source = {"split": "train", "images": folder / "images", "coco": folder / "coco.json"}
    source["part_masks"] = folder / "masks"
    return DatasetFile(**{"parts": ("front", "back"), "size": 16, "sources": [source, *more]} | settings)


def no_decoding(monkeypatch):
    monkeypatch.setattr(Record, "load", lambda self: pytest.fail(f"{self.name} was decoded once more"))


@pytest.mark.parametrize("cores", [1, 3])
def test_rows_are_the_records_cropped(folder, monkeypatch, cores):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    done = []
    store, problems = build_store(dataset(folder), folder / "cache", progress=lambda *at: done.append(at))
    assert done == [(i, COUNT) for i in range(1, COUNT + 1)]
    assert [p for p in problems if p.severity == "error"] == []
    records = read_dataset(dataset(folder))[0]
    assert store.names == [r.name for r in records] == [str(i) for i in range(COUNT)]
    for i, record in enumerate(records):
        sample, _ = record.load()
        expected = crop_and_resize(sample, 16, record.schema.maps)
        for label in ("image", "mask", "keypoints", "box"):
            np.testing.assert_array_equal(array(store, label)[i], expected[label])
        np.testing.assert_array_equal(store.crops[i], expected["crop"])
        np.testing.assert_array_equal(store.native[i], (W, H))
        if i < 3:
            np.testing.assert_array_equal(store.parts[i], expected["parts"])
    assert store.rows(has="parts").tolist() == [0, 1, 2]
    assert store.present["keypoints"].all() and store.present["box"].all() and store.present["mask"].all()
    assert set(store.splits) == {"train"} and set(store.sources) == {"sources[0]"}


def test_nothing_is_decoded_twice_and_nothing_stale_is_used(folder, monkeypatch):
    first, problems = build_store(dataset(folder), folder / "cache")
    with monkeypatch.context() as patch:
        no_decoding(patch)
        again, told = build_store(dataset(folder), folder / "cache")
    assert told == problems
    np.testing.assert_array_equal(again.image, first.image)
    for change in ({"size": 32}, {"crop": {"margin": 0.3}}):
        store, _ = build_store(dataset(folder, **change), folder / "cache")
        assert store.image.shape != first.image.shape or (store.image != first.image).any()
    Image.new("RGB", (W, H), "red").save(folder / "images" / "4.png")
    store, _ = build_store(dataset(folder), folder / "cache")
    assert (store.image[4] == (255, 0, 0)).all() and (store.image[3] == first.image[3]).all()


def test_the_key_names_what_is_in_the_store_and_not_where_it_came_from(folder, tmp_path):
    first, _ = build_store(dataset(folder), folder / "cache")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("cache", "copy"), copy_function=shutil.copyfile)
    assert build_store(dataset(copy), copy / "cache")[0].key == first.key != ""
    pixels = np.array(Image.open(copy / "masks" / "2.png"))
    pixels[6:12] = 0
    Image.fromarray(pixels).save(copy / "masks" / "2.png")
    assert build_store(dataset(copy), copy / "cache")[0].key != first.key


def test_all_bad_images_are_told_and_none_is_kept(folder):
    (folder / "images" / "1.png").write_bytes(b"")
    (folder / "images" / "5.png").write_bytes((folder / "images" / "5.png").read_bytes()[:300])
    with pytest.raises(BadInput) as bad:
        build_store(dataset(folder), folder / "cache")
    assert [os.path.basename(p.file) for p in bad.value.problems] == ["1.png", "5.png"]
    assert os.listdir(folder / "cache") == [".lock"]


def test_bad_images_can_be_skipped(folder):
    (folder / "images" / "1.png").write_bytes(b"")
    for _ in range(2):  # the second time from the cache
        store, problems = build_store(dataset(folder), folder / "cache", skip_bad=True)
        assert store.names == ["0", "2", "3", "4", "5", "6"]
        assert [p.file for p in problems if p.severity == "error"] == [str(folder / "images" / "1.png")]
    with pytest.raises(BadInput, match=r"1\.png"):
        build_store(dataset(folder), folder / "cache")


def test_what_could_not_be_read_is_tried_again(folder, monkeypatch):
    """The right to read a file is not part of its fingerprint."""
    load = Record.load

    def forbidden(record):
        if record.name == "1":
            raise BadInput(Problem(str(record.image), "may not be read"))
        return load(record)

    with monkeypatch.context() as patch:
        patch.setattr(Record, "load", forbidden)
        assert len(build_store(dataset(folder), folder / "cache", skip_bad=True)[0]) == COUNT - 1
    store, problems = build_store(dataset(folder), folder / "cache", skip_bad=True)
    assert len(store) == COUNT and [p for p in problems if p.severity == "error"] == []


def test_no_image_left(folder):
    for path in (folder / "images").iterdir():
        path.write_bytes(b"")
    with pytest.raises(BadInput) as bad:
        build_store(dataset(folder), folder / "cache", skip_bad=True)
    assert len(bad.value.problems) == COUNT + 1 and "no image is left" in str(bad.value)


def killed_build(folder, cache, at, **options):
    """A build in a process of its own that dies once ``at`` images are done."""
    child = os.fork()
    if child == 0:
        try:
            build_store(dataset(folder), cache, progress=lambda done, _: os._exit(9) if done == at else None, **options)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_a_killed_build_leaves_a_temporary_folder_that_the_next_one_removes(folder):
    cache = folder / "cache"
    killed_build(folder, cache, 3)
    (cache / ".other.part").mkdir()
    assert sorted(name.rpartition(".")[2] for name in os.listdir(cache)) == ["json", "lock", "part", "part"]
    store, _ = build_store(dataset(folder), cache)
    assert len(store) == COUNT
    assert len(os.listdir(cache)) == 2, "the lock and the store"


@pytest.mark.parametrize("bad", [False, True])
def test_a_killed_build_goes_on_where_it_was(folder, monkeypatch, bad):
    if bad:
        sorted((folder / "images").iterdir())[1].write_bytes(b"")
    whole, told = build_store(dataset(folder), folder / "whole", skip_bad=bad)
    monkeypatch.setattr("coarseparts.data.build.KEEP_EVERY", 0.0)
    killed_build(folder, folder / "cache", 3, skip_bad=bad)
    (part,) = (folder / "cache").glob(".*.part")
    with open(part / "image.npy", "ab") as file:
        file.write(b"half a row")
    seen = []
    store, problems = build_store(dataset(folder), folder / "cache", bad, progress=lambda done, _: seen.append(done))
    assert seen == list(range(4, COUNT + 1))
    assert store.names == whole.names and [str(p) for p in problems] == [str(p) for p in told]
    for name in ("image", "parts", "mask", "keypoints", "box", "crops", "native"):
        assert np.array_equal(array(store, name), array(whole, name)), name
    assert not any(store.splits.count(s) != whole.splits.count(s) for s in set(whole.splits))


@pytest.mark.parametrize("damage", ["kept.json", "image.npy"])
def test_what_a_killed_build_left_may_be_damaged(folder, monkeypatch, damage):
    monkeypatch.setattr("coarseparts.data.build.KEEP_EVERY", 0.0)
    killed_build(folder, folder / "cache", 3)
    (part,) = (folder / "cache").glob(".*.part")
    (part / damage).write_bytes(b"{")
    store, _ = build_store(dataset(folder), folder / "cache")
    assert len(store) == COUNT and (store.image[COUNT - 1] > 0).any()


def test_a_damaged_store_is_built_anew(folder):
    build_store(dataset(folder), folder / "cache")
    (made,) = (p for p in (folder / "cache").iterdir() if p.name != ".lock")
    for damage in (lambda: (made / "mask.npy").write_bytes(b""), lambda: (made / "store.json").unlink()):
        damage()
        store, _ = build_store(dataset(folder), folder / "cache")
        assert len(store) == COUNT and (store.label("mask")[0] > 0).any()


def test_a_full_disk(folder, monkeypatch):
    def full(self, *_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "append", full)
        with pytest.raises(BadInput, match=r"cache: the disk is full.*free some space, or name another cache folder"):
            build_store(dataset(folder), folder / "cache")
    assert os.listdir(folder / "cache") == [".lock"]
    monkeypatch.setattr(build.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(BadInput, match="the packed store of 7 images needs"):
        build_store(dataset(folder), folder / "cache")


def test_a_folder_that_cannot_be_written(folder, monkeypatch):
    (folder / "file").write_text("in the way")
    with pytest.raises(BadInput, match=r"file/cache: the packed store cannot be written"):
        build_store(dataset(folder), folder / "file" / "cache")

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(BadInput, match="cannot be written to; give yourself permission"):
        build_store(dataset(folder), folder / "cache")


def test_synthetic_images_among_photographs(folder, monkeypatch):
    monkeypatch.setattr(build, "CHUNK", 2)
    ours = {"split": "val", "synthetic": "birds", "count": 5, "first": 3, "seed": 1, "parts": False, "use": ["mask"]}
    names = ("sting", "beak", *(k for k in birds.SCHEMA.keypoints if k != "beak"), "nose")
    settings = dataset(folder, ours | {"parts": False}, ours | {"first": 20, "count": 1, "use": ["keypoints"]})
    store, _ = build_store(settings.model_copy(update={"keypoints": names}), folder / "cache")
    assert len(store) == COUNT + 6 and store.rows("val", has="mask").tolist() == list(range(COUNT, COUNT + 5))
    np.testing.assert_array_equal(store.image[COUNT : COUNT + 5], birds.render(5, size=16, seed=1, first=3)["image"])
    assert store.rows("val", has="parts").size == 0 and store.rows("val", has="keypoints").tolist() == [COUNT + 5]
    drawn = birds.render(1, size=16, seed=1, first=20)["keypoints"][0]
    np.testing.assert_array_equal(store.label("keypoints")[-1, 1], drawn[birds.SCHEMA.keypoints.index("beak")])
    assert (store.label("keypoints")[-1, [0, -1], 2] == -1).all(), "nobody annotates a bird's sting"
