"""The packed store: arrays in, batches out, the same from memory and from disk."""

import json

import numpy as np
import pytest
import torch

from coarseparts.data.store import Store
from coarseparts.data.store_files import FORMAT, LABELS, Writer
from coarseparts.labels import STYLES
from coarseparts.labels.schema import IGNORE, Schema

N, S = 7, 8
BIRD = Schema(parts=("head", "body"), keypoints=("beak", "tail", "crown"))


def array(store: Store, name: str) -> np.ndarray:
    return store.label(name) if name in STYLES else getattr(store, name)


def arrays(schema=BIRD, seed=0):
    rng = np.random.default_rng(seed)
    k = len(schema.keypoints)
    parts = rng.integers(0, 3, (N, S, S)).astype(np.uint8)
    parts[4:] = IGNORE
    box = np.tile(np.array([1, 2, 5, 7], np.float32), (N, 1))
    box[2] = 0
    keypoints = rng.uniform(0, S, (N, k, 3)).astype(np.float32)
    keypoints[:, :, 2] = 2
    if k:
        keypoints[3] = 0  # none of them labelled
    return {
        "image": rng.integers(0, 256, (N, S, S, 3)).astype(np.uint8),
        "parts": parts,
        "mask": rng.integers(0, 256, (N, S, S)).astype(np.uint8),
        "keypoints": keypoints,
        "box": box,
        "splits": ["train"] * 5 + ["val"] * 2,
    }


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    made = Store.from_arrays(BIRD, **arrays())
    if request.param == "memory":
        return made
    made.save(tmp_path / "store")
    return Store.open(tmp_path / "store")


def test_arrays_come_back_as_given(store):
    given = arrays()
    for name in ("image", "parts", "mask", "keypoints", "box"):
        np.testing.assert_array_equal(array(store, name), given[name])
    assert (len(store), store.size, store.schema, store.splits) == (N, S, BIRD, given["splits"])
    assert store.names[3] == "000003"
    np.testing.assert_array_equal(store.native, np.full((N, 2), S))
    np.testing.assert_array_equal(store.crops[0], [0, 0, S, S])


def test_presence_follows_from_the_labels(store):
    assert store.present["parts"].tolist() == [True] * 4 + [False] * 3
    assert store.present["keypoints"].tolist() == [True] * 3 + [False] + [True] * 3
    assert store.present["box"].tolist() == [True, True, False, True, True, True, True]
    assert store.present["mask"].all()


def test_presence_can_be_said(store):
    given = arrays()
    told = Store.from_arrays(BIRD, **given, present={"mask": np.arange(N) == 1, "keypoints": np.ones(N, bool)})
    assert told.rows(has="mask").tolist() == [1] and told.present["keypoints"].all()
    assert not told.label("mask")[0].any() and given["mask"][0].any(), "blank here, untouched there"


def test_rows_by_split_and_label(store):
    assert store.rows().dtype == np.int64
    assert store.rows("train", has="parts").tolist() == [0, 1, 2, 3]
    assert store.rows("val", has="parts").tolist() == []
    assert store.rows("val").tolist() == [5, 6]
    with pytest.raises(ValueError, match="expected one of"):
        store.rows(has="outlines")


def test_batch_has_the_rows_asked_for(store):
    given, rows = arrays(), [6, 0, 0, 2]
    for form in (rows, np.array(rows), torch.tensor(rows)):
        batch = store.batch(form)
        assert batch.image.shape == (4, 3, S, S) and batch.image.dtype == torch.uint8
        np.testing.assert_array_equal(batch.image.permute(0, 2, 3, 1), given["image"][rows])
        np.testing.assert_array_equal(batch.labels["mask"][:, 0], given["mask"][rows])
        np.testing.assert_array_equal(batch.labels["keypoints"], given["keypoints"][rows])
        assert batch.present["parts"].tolist() == [False, True, True, True]
        assert batch.index.tolist() == rows and set(batch.present) == set(LABELS)
    assert (store.batch([6]).parts == IGNORE).all()
    assert not store.batch([3]).labels["keypoints"].any(), "an absent label is zeros"


def test_a_batch_can_be_changed_without_harm(store):
    store.batch([0]).image.zero_()
    store.subset([0]).image[:] = 0
    np.testing.assert_array_equal(store.batch([0]).image[0].permute(1, 2, 0), arrays()["image"][0])


def test_views_nest_and_share(store):
    view = store.subset([5, 3, 1]).subset([2, 0])
    assert view.names == ["000001", "000005"] and view.splits == ["train", "val"]
    np.testing.assert_array_equal(view.image, arrays()["image"][[1, 5]])
    np.testing.assert_array_equal(view.batch([1]).labels["box"], arrays()["box"][[5]])
    assert view._arrays is store._arrays


def test_hidden_labels_are_absent_and_blank(store):
    view = store.labels_limited({"mask"})
    assert view.present["mask"].all() and not view.present["keypoints"].any() and not view.present["box"].any()
    assert view.present["parts"].sum() == 4, "part masks are not a coarse style: they stay"
    assert not view.label("keypoints").any() and list(view.batch([0]).labels) == ["mask"]
    coarse = store.without_parts([0, 2])
    assert coarse.rows(has="parts").tolist() == [1, 3]
    assert (coarse.parts[[0, 2]] == IGNORE).all() and (coarse.batch([2]).parts == IGNORE).all()
    assert not store.without_parts().present["parts"].any()
    assert store.present["parts"].sum() == 4 and store.label("keypoints").any(), "the store itself is as it was"
    with pytest.raises(ValueError, match="feathers"):
        store.labels_limited({"feathers"})


def test_some_of_an_images_labels_are_kept_at_random():
    image, mask = np.zeros((40, S, S, 3), np.uint8), np.full((40, S, S), 255, np.uint8)
    boxes = np.tile(np.array([0, 0, 4, 4], np.float32), (40, 1))
    present = {"mask": np.arange(40) != 7}
    store = Store.from_arrays(BIRD, image, mask=mask, box=boxes, present=present)
    rows = np.arange(5, 40)
    one = store.labels_sampled(rows, 1, seed=3)
    count = one.present["mask"].astype(int) + one.present["box"]
    assert (count[rows] == 1).all() and (count[:5] == 2).all(), "of these rows each has one, and the others all"
    assert one.present["box"][7] and 5 < one.present["box"][rows].sum() < 30
    assert not one.label("mask")[~one.present["mask"]].any()
    again, other = store.labels_sampled(rows, 1, seed=3), store.labels_sampled(rows, 1, seed=4)
    assert (again.present["box"] == one.present["box"]).all() and (other.present["box"] != one.present["box"]).any()
    assert store.labels_sampled(rows, 2, seed=3).present["mask"].sum() == 39


def test_a_style_that_a_store_lacks_takes_no_room_and_comes_as_absent(tmp_path):
    image, mask = np.zeros((2, S, S, 3), np.uint8), np.full((2, S, S), 255, np.uint8)
    made = Store.from_arrays(BIRD, image, mask=mask)
    made.save(tmp_path / "s")
    assert {p.stem for p in (tmp_path / "s").glob("*.npy")} == {"image", "parts", "mask", "crops", "native", "present"}
    kept = Store.open(tmp_path / "s")
    assert kept.styles == ("mask",) and list(kept.batch([1]).labels) == ["mask"]
    asked = kept.labels_limited(["box", "mask"]).batch([1, 0])
    assert asked.labels["box"].shape == (2, 4) and not asked.labels["box"].any() and not asked.present["box"].any()
    assert asked.present["mask"].all()


def test_swapped_labels_are_anothers_and_images_stay(store, tmp_path):
    rows = np.array([1, 2, 4, 5])
    swapped = store.labels_swapped(rows, seed=3)
    np.testing.assert_array_equal(swapped.image, store.image)
    np.testing.assert_array_equal(swapped.parts, store.parts)
    mine = [store.label("keypoints")[r].tobytes() for r in rows]
    theirs = [swapped.label("keypoints")[r].tobytes() for r in rows]
    assert sorted(mine) == sorted(theirs), "nobody's labels are lost"
    assert all(a != b for a, b in zip(mine, theirs, strict=True)), "nobody keeps their own"
    for r, was in zip(rows, theirs, strict=True):  # all of an image's labels go together, and their presence
        donor = rows[mine.index(was)]
        for label in ("mask", "box", "keypoints"):
            np.testing.assert_array_equal(array(swapped, label)[r], array(store, label)[donor])
            assert swapped.present[label][r] == store.present[label][donor]
    others = np.setdiff1d(np.arange(len(store)), rows)
    np.testing.assert_array_equal(swapped.label("keypoints")[others], store.label("keypoints")[others])
    np.testing.assert_array_equal(swapped.subset([4, 0]).label("mask"), swapped.label("mask")[[4, 0]])
    np.testing.assert_array_equal(swapped.labels_limited(["box"]).label("box"), swapped.label("box"))
    swapped.save(tmp_path / "swapped")
    np.testing.assert_array_equal(Store.open(tmp_path / "swapped").label("keypoints"), swapped.label("keypoints"))
    assert np.array_equal(store.labels_swapped(rows, seed=3).label("keypoints"), swapped.label("keypoints"))
    with pytest.raises(ValueError, match="two images"):
        store.labels_swapped(np.array([1]), seed=0)


def test_a_saved_view_holds_its_rows_only(store, tmp_path):
    store.subset([6, 1]).labels_limited({"box"}).save(tmp_path / "view")
    saved = Store.open(tmp_path / "view")
    assert saved.names == ["000006", "000001"] and not saved.present["mask"].any()
    np.testing.assert_array_equal(saved.image, arrays()["image"][[6, 1]])
    store.save(tmp_path / "view")
    assert len(Store.open(tmp_path / "view")) == N, "a store is replaced by a newer one"
    assert [p.name for p in tmp_path.iterdir() if "tmp" in p.name] == []


def test_a_store_in_memory_outlives_its_folder(store, tmp_path):
    store.subset([6, 1]).without_parts([1]).save(tmp_path / "view")
    kept = Store.open(tmp_path / "view").in_memory()
    for file in (tmp_path / "view").iterdir():
        file.unlink()
    assert kept.names == ["000006", "000001"] and not kept.present["parts"].any()
    np.testing.assert_array_equal(kept.batch([1]).image[0].permute(1, 2, 0), arrays()["image"][1])
    assert not any(isinstance(array, np.memmap) for array in kept._arrays.values())


def test_no_keypoints_in_the_schema(tmp_path):
    schema = Schema(parts=("head",))
    given = arrays(schema)
    given["parts"] = np.minimum(given["parts"], 1)
    Store.from_arrays(schema, **given).save(tmp_path / "s")
    store = Store.open(tmp_path / "s")
    assert store.label("keypoints").shape == (N, 0, 3) and not store.present["keypoints"].any()
    assert store.batch([1, 2]).labels["keypoints"].shape == (2, 0, 3)


def test_an_empty_store(tmp_path):
    Store.from_arrays(BIRD, **arrays()).subset([]).save(tmp_path / "s")
    store = Store.open(tmp_path / "s")
    assert len(store) == 0 and store.image.shape == (0, S, S, 3) and store.rows("train").size == 0
    assert store.batch([]).image.shape == (0, 3, S, S)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"image": np.zeros((N, S, S + 1, 3), np.uint8)}, "square"),
        ({"parts": np.zeros((N, S, S - 1), np.uint8)}, "parts has shape"),
        ({"mask": np.ones((N, S, S), np.float32)}, "expected uint8"),
        ({"keypoints": np.zeros((N, 2, 3), np.float32)}, "keypoints has shape"),
        ({"splits": ["train"]}, "1 splits for 7 images"),
        ({"present": {"mask": np.ones(3, bool)}}, "present"),
    ],
)
def test_wrong_arrays_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        Store.from_arrays(BIRD, **(arrays() | change))


def test_open_says_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"store\.json"):
        Store.open(tmp_path)
    Store.from_arrays(BIRD, **arrays()).save(tmp_path / "s")
    np.save(tmp_path / "s" / "mask.npy", np.zeros((2, S, S), np.uint8))
    with pytest.raises(ValueError, match=r"mask\.npy"):
        Store.open(tmp_path / "s")


def changed(**values):
    def change(text):
        meta = json.loads(text) | values
        return json.dumps({key: value for key, value in meta.items() if value is not None})

    return change


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda text: "[]", "a list, expected an object"),
        (lambda text: text[:50], "cannot be read"),
        (lambda text: "", "cannot be read"),
        (lambda text: "[" * 100_000, "cannot be read"),
        (lambda text: f'{{"format": {FORMAT}}}', "lacks schema, size, styles, names, splits, sources"),
        (changed(format=99), "store of format 99, expected"),
        (changed(splits=None), "lacks splits"),
        (changed(schema=[]), "schema"),
        (changed(schema={"parts": []}), "schema"),
        (changed(size="8"), "size '8'"),
        (changed(names=5), "expected a text per row"),
        (changed(names=["a"]), "expected a text per row"),
        (changed(sources=[1] * N), "expected a text per row"),
    ],
)
def test_a_damaged_store_is_named_with_the_remedy(tmp_path, change, says):
    Store.from_arrays(BIRD, **arrays()).save(tmp_path / "s")
    file = tmp_path / "s" / "store.json"
    file.write_text(change(file.read_text()))
    with pytest.raises(ValueError, match=r"s/store\.json: ") as caught:
        Store.open(tmp_path / "s")
    assert says in str(caught.value) and f"delete the store folder {tmp_path / 's'}" in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"some text", b"\x93NUMPY\x01\x00"])
def test_a_damaged_array_is_named_with_the_remedy(tmp_path, content):
    Store.from_arrays(BIRD, **arrays()).save(tmp_path / "s")
    file = tmp_path / "s" / "box.npy"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=r"box\.npy: cannot be read.*delete the store folder"):
        Store.open(tmp_path / "s")


def test_a_failed_writer_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), Writer(tmp_path / "s", BIRD, S, STYLES):
        raise RuntimeError("stopped")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match="is no store"):
        Store.from_arrays(BIRD, **arrays()).save(tmp_path)
    assert (tmp_path / "thesis.tex").exists()
