"""Every image that is found is used or left out for a reason, and whatever is printed about them adds up."""

import json
import re
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from coarseparts.data import accounts
from coarseparts.data.accounts import Account
from coarseparts.data.build import build_store
from coarseparts.data.check import check
from coarseparts.data.dataset_file import DatasetFile
from coarseparts.data.namesakes import Namesakes
from coarseparts.data.records import read_contents, read_dataset
from coarseparts.data.roles import split_rows
from coarseparts.data.store import Store
from coarseparts.labels.schema import Schema
from coarseparts.system.problems import BadInput

W, H = 16, 12
SPLITS = ("train", "val", "test")
SCHEMA = Schema(parts=("p",))


def photo(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (H, W, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path, "PNG")


def part_mask(path: Path, size=(W, H)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros(size[::-1], np.uint8)
    values[2:6, 2:8], values[6:10, 2:8] = 1, 2
    Image.fromarray(values).save(path)


LABELS = {
    "good": {"bbox": [2, 2, 8, 8], "keypoints": [4, 4, 2, 0, 0, 0]},
    "broken": {"bbox": [float("nan")] * 4},
    "outside": {"keypoints": [400, 4, 2, 0, 0, 0]},
    "unused": {"segmentation": [[2, 2, 8, 2, 8, 8]]},
}


def write(folder: Path, images: list[dict], **source) -> dict:
    """A source: each of ``images`` has a name and, as a test wants, labels (of LABELS), mask ("good", "small"), seed
    (None: no such file) and listed (in ``only``)."""
    coco: dict = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "a", "keypoints": ["k", "l"]}]}
    (folder / "images").mkdir(parents=True)
    for i, image in enumerate(images, 1):
        name, seed = image["name"], image.get("seed", i)
        if seed is not None:
            photo(folder / "images" / name, seed)
        if image.get("damaged"):
            (folder / "images" / name).write_bytes(b"no image")
        if image.get("mask"):
            size = (W, H) if image["mask"] == "good" else (W, H - 1)
            part_mask(folder / "masks" / f"{Path(name).stem}.png", size)
        labels = image.get("labels", ["good"])
        if labels:
            coco["images"].append({"id": i, "file_name": name, "width": W, "height": H})
        for label in labels:
            entry = {"id": len(coco["annotations"]) + 1, "image_id": i, "category_id": 1}
            coco["annotations"].append(entry | LABELS[label])
    (folder / "c.json").write_text(json.dumps(coco))
    found = {"split": "train", "images": folder / "images", "coco": folder / "c.json"}
    if any(image.get("mask") for image in images):
        found["part_masks"] = folder / "masks"
    if any("listed" in image for image in images):
        (folder / "only.txt").write_text("".join(f"{i['name']}\n" for i in images if i.get("listed")))
        found["only"] = folder / "only.txt"
    return found | source


def dataset(*sources, **more) -> DatasetFile:
    known = {"parts": ("head", "body"), "size": 16, "mirror": (), "keypoint_mirror": (), "sources": sources}
    return DatasetFile(**known | more)


def lines(*sources, **more) -> list[str]:
    return accounts.lines(read_contents(dataset(*sources, **more)).accounts)


def notes(problems) -> list[str]:
    return [str(p) for p in problems if p.severity == "note"]


def test_every_reason_has_its_number(tmp_path):
    first = [
        {"name": "a.png", "labels": ["good", "unused"], "listed": True},
        {"name": "b.png", "labels": ["broken"], "listed": False},
        {"name": "c.png", "labels": [], "listed": False},
        {"name": "d.png", "labels": ["unused"], "listed": True},
        {"name": "e.png", "listed": False},
        {"name": "f.jpg", "listed": True},
        {"name": "f.png", "listed": True},
        {"name": "g.png", "seed": 90, "listed": True},
        {"name": "gone.png", "seed": None, "listed": True},
        {"name": "h.png", "listed": True},
        {"name": "i.png", "listed": True},
    ]
    sources = (
        write(tmp_path / "0", first, use=("keypoints",), limit=4, join="none"),
        write(tmp_path / "1", [{"name": "g.png", "seed": 90}], split="val"),
        {"split": "test", "synthetic": "birds", "count": 5, "limit": 2, "parts": False},
    )
    assert lines(*sources) == [
        "sources[0] train: 10 images = 1 used + 9 left out (2 without labels that can be used, 1 not in `only`, "
        "2 of the same stem as another, 2 beyond `limit`, 1 with none of the labels that are used, 1 also in split val)"
        "; of the images used, 1 object left out (1 with none of the labels that are used); "
        "1 more image with labels not found",
        "sources[1] val: 1 image = 1 used",
        "sources[2] test: 5 images = 2 used + 3 left out (3 beyond `limit`)",
        "all sources: 16 images = 4 used + 12 left out (2 without labels that can be used, 1 not in `only`, "
        "2 of the same stem as another, 5 beyond `limit`, 1 with none of the labels that are used, 1 also in split val)"
        "; of the images used, 1 object left out (1 with none of the labels that are used); "
        "1 more image with labels not found",
    ]


def test_labels_of_a_file_that_does_not_look_like_an_image(tmp_path):
    images = [{"name": "a.png"}, {"name": "b.dat"}, {"name": "c.dat", "listed": False}, {"name": "d.txt", "labels": []}]
    images[0]["listed"] = images[1]["listed"] = True
    assert lines(write(tmp_path / "0", images)) == [
        "sources[0] train: 3 images = 2 used + 1 left out (1 not in `only`)"
    ]


def test_an_image_with_one_bad_object_is_used_and_the_object_counted_apart(tmp_path):
    images = [{"name": "a.png", "labels": ["good", "outside", "good"]}, {"name": "b.png", "labels": ["outside"] * 2}]
    source = write(tmp_path / "0", images)
    reason = accounts.UNREADABLE
    expected = (
        f"sources[0] train: 2 images = 1 used (2 samples) + 1 left out (1 {reason}); "
        f"of the images used, 1 object left out (1 {reason})"
    )
    store, problems = build_store(dataset(source), tmp_path / "cache", skip_bad=True)
    assert len(store) == 2 and notes(problems)[-1] == f"dataset: {expected}"
    report = check(dataset(source | {"split": "test"}))
    assert (
        report.sources["sources[0] test"] | {"images": 1, "samples": 2, "unreadable": 3}
        == report.sources["sources[0] test"]
    )
    assert str(report.accounts[0]) == expected.replace("train", "test")


def test_images_of_a_source_with_part_masks_that_have_none_are_named(tmp_path):
    images = [{"name": f"ant_{i}.png", "mask": "good" if i < 2 else ""} for i in range(5)]
    source = write(tmp_path / "0", images)
    (tmp_path / "0" / "images" / "ant_4.png").rename(tmp_path / "0" / "images" / "Ant-04.png")
    coco = (tmp_path / "0" / "c.json").read_text().replace("ant_4.png", "Ant-04.png")
    (tmp_path / "0" / "c.json").write_text(coco)
    (told,) = [p for p in read_dataset(dataset(source))[1] if "no part mask" in p.message]
    folder = tmp_path / "0"
    assert told.severity == "note" and told.file == str(folder / "images")
    assert told.message == (
        f"3 of 5 images have no part mask in {folder / 'masks'} and count as coarse images: "
        "Ant-04.png, ant_2.png, ant_3.png"
    )
    part_mask(folder / "masks" / "ANT 4_mask.png")
    problems = read_dataset(dataset(source))[1]
    assert any("Ant-04.png (there is a mask ANT 4_mask), ant_2.png" in line for line in notes(problems))
    (error,) = [str(p) for p in problems if p.severity == "error"]
    assert error.startswith(f"{folder / 'masks' / 'ANT 4_mask.png'}: no image of this stem")
    assert "(there is Ant-04.png)" in error
    problems = read_dataset(dataset(source | {"split": "val"}))[1]
    assert any("3 of 5 images have no part mask" in line and "are not measured on" in line for line in notes(problems))


def test_unreadable_images_are_not_said_to_be_coarse_ones(tmp_path):
    images = [{"name": f"{i}.png", "mask": "good" if i < 3 else "", "damaged": i in (0, 4)} for i in range(6)]
    whole = dataset(write(tmp_path / "0", images))
    for problems in (build_store(whole, tmp_path / "cache", skip_bad=True)[1], check(whole).problems):
        (line,) = [line for line in notes(problems) if "no part mask" in line]
        assert "2 of 4 images have no part mask" in line and "coarse images: 3.png, 5.png;" in line


def test_part_coco_that_lacks_an_image_is_told_alike(tmp_path):
    source = write(tmp_path / "0", [{"name": "a.png"}, {"name": "b.png"}])
    parts = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[2, 2, 8, 2, 8, 8]]}],
        "categories": [{"id": 1, "name": "head"}, {"id": 2, "name": "body"}],
    }
    (tmp_path / "parts.json").write_text(json.dumps(parts))
    said = notes(read_dataset(dataset(source | {"part_coco": tmp_path / "parts.json"}))[1])
    assert any("1 of 2 images have no part mask in " in line and "parts.json and count as" in line for line in said)


@pytest.mark.parametrize(
    "stem, stems, near",
    [
        ("a/ant_07", ["ant_08", "b/Ant7"], "b/Ant7"),
        ("img3", ["img3_mask", "img30"], "img3_mask"),
        ("007", ["7-parts", "70"], "7-parts"),
        ("ant", ["ant_mask", "an"], "ant_mask"),
        ("thorax", ["torax", "abdomen"], "torax"),
        ("img3", ["img4", "img33"], None),
        ("a", ["b", "abc"], None),
        ("a", [], None),
        ("x7", [f"z{i}" for i in range(9)], None),
        ("needle", [*(f"{a}{b}hay" for a in "pqrstuvw" for b in "abcdefgh"), "Needle"], "Needle"),
    ],
)
def test_the_nearest_name_has_the_same_numbers(stem, stems, near):
    assert Namesakes(stems).near(stem) == near


def test_a_source_that_gives_no_image_is_an_error(tmp_path):
    good = write(tmp_path / "0", [{"name": "a.png"}])
    for i, images in enumerate(([], [{"name": "x.png", "labels": []}], [{"name": "x.png", "labels": ["unused"]}])):
        source = write(tmp_path / f"s{i}", images, split="test", use=("keypoints",))
        (error,) = [p for p in read_dataset(dataset(good, source))[1] if p.severity == "error"]
        assert error.message == f"sources[1]: no image of {tmp_path / f's{i}' / 'images'} is used" and error.remedy
        assert build_store(dataset(good, source), tmp_path / "cache", skip_bad=True)[0].names == ["a"]
    (error,) = [p for p in read_dataset(dataset(source))[1] if p.severity == "error"]
    assert "no images with labels were found (sources[0] test: 1 image = 0 used + 1 left out" in error.message


def test_a_list_that_names_no_image_of_the_source(tmp_path):
    source = write(tmp_path / "0", [{"name": "ant_07.png", "listed": True}, {"name": "b.png", "listed": False}])
    source["only"].write_text("Ant-7.png\n")
    records, problems, _ = read_dataset(dataset(source))
    (error,) = [str(p) for p in problems if p.severity == "error"]
    assert records == [] and "'Ant-7.png' is no image with labels" in error and "(there is ant_07.png)" in error
    assert lines(source) == ["sources[0] train: 2 images = 0 used + 2 left out (2 not in `only`)"]


def test_a_source_whose_errors_are_told_is_not_told_twice(tmp_path):
    good = write(tmp_path / "0", [{"name": "a.png"}])
    other = write(tmp_path / "1", [{"name": "b.png", "seed": None}])
    (error,) = [p for p in read_dataset(dataset(good, other))[1] if p.severity == "error"]
    assert "b.png: does not exist" in str(error)


def test_splits_that_nothing_is_left_of(tmp_path):
    train = write(tmp_path / "0", [{"name": f"{i}.png", "mask": "good"} for i in range(5)])
    val = write(tmp_path / "1", [{"name": "v.png", "mask": "small", "seed": 50}], split="val")
    test = write(tmp_path / "2", [{"name": "t.png", "seed": 60}], split="test", part_masks=tmp_path / "0" / "masks")
    whole = dataset(train, val, test)
    for _ in range(2):  # built, and found
        _, problems = build_store(whole, tmp_path / "cache", skip_bad=True, for_training=True)
        told = "\n".join(notes(problems))
        assert "split val: none of its images can be used; the best epoch is chosen by every fifth" in told
        assert "split test: none of its images has a part mask that can be used" in told and "split train" not in told
    assert "split val: none of its images can be used" in "\n".join(notes(check(whole).problems))


def test_keypoints_that_no_image_shows(tmp_path):
    source = write(tmp_path / "0", [{"name": f"{i}.png", "mask": "good"} for i in range(3)])
    for training in (True, False):
        said = notes(build_store(dataset(source), tmp_path / "cache", for_training=training)[1])
        assert any("keypoints never labelled: l;" in line for line in said) == training
    assert any("keypoints never labelled: l;" in line for line in notes(check(dataset(source)).problems))
    boxes = dataset(source | {"use": ("box",)})
    assert not any("never labelled" in line for line in notes(check(boxes).problems)), "nobody asked for keypoints"


def test_notes_are_those_of_the_first_time(tmp_path):
    images = [{"name": "a.png", "mask": "good"}, {"name": "b.png", "damaged": True}, {"name": "c.png", "labels": []}]
    whole = dataset(write(tmp_path / "0", [*images, {"name": "d.png", "mask": "good", "labels": ["outside", "good"]}]))
    built = build_store(whole, tmp_path / "cache", skip_bad=True, for_training=True)[1]
    found = build_store(whole, tmp_path / "cache", skip_bad=True, for_training=True)[1]
    assert built == found and "4 images = 2 used + 2 left out" in str(found[-1])


def test_check_prints_a_line_for_each_source_and_its_json_says_the_same(tmp_path, capsys):
    images = [{"name": "a.png", "mask": "good"}, {"name": "b.png", "damaged": True}, {"name": "c.png", "labels": []}]
    sources = [write(tmp_path / "0", images, split="test"), write(tmp_path / "1", [{"name": "v.png", "seed": 9}])]
    report = check(dataset(*sources))
    Console(width=200).print(report.to_text())
    printed = capsys.readouterr().out
    for line in accounts.lines(report.accounts):
        assert line in printed
    facts = json.loads(report.to_json())["accounts"]
    left = {accounts.NO_LABELS: 1, accounts.UNREADABLE: 1}
    assert facts["sources[0] test"] == {
        "images": 3, "used": 1, "samples": 1, "left_out": left, "objects_left_out": {}, "absent": 0
    }  # fmt: skip


def test_images_of_two_sources_of_a_split_are_told_to_be_the_same(tmp_path, capsys):
    source = write(tmp_path / "0", [{"name": "a.png"}, {"name": "b.png"}])
    Console(width=200).print(check(dataset(source, source | {"limit": 1, "visible": 1})).to_text())
    assert "split train: 3 images of its sources are 2: 1 stand twice" in capsys.readouterr().out


def test_an_account_counts_an_image_once():
    account = Account("s")
    for image, reason in (("a", ""), ("a", "x"), ("b", "x"), ("b", "y"), ("c", ""), ("c", "")):
        account.add(image, reason)
    account.take_out("c", "z")
    assert (account.images, account.used, account.samples) == (3, 2, 2)
    assert account.left_out == {"x": 1} and account.objects_left_out == {"x": 1, "z": 1}
    account.take_out("c", "z")
    assert str(account) == "s: 3 images = 1 used + 2 left out (1 x, 1 z); of the images used, 1 object left out (1 x)"
    assert str(Account("s")) == "s: 0 images"


# ---- what training says ----------------------------------------------------------------------------------------------


def summed(line: str) -> None:
    """ "T samples = A ... + B ... (m x, n y)": checks every sum."""
    total, terms = re.match(r"(\d+) samples? = (.*)", line).groups()
    outside = re.sub(r"\([^()]*\)", "", terms)
    assert sum(int(re.match(r"\d+", term)[0]) for term in outside.split(" + ")) == int(total), line
    for number, inside in re.findall(r"(\d+) not trained on \(([^()]*)\)", terms):
        assert sum(int(re.match(r"\d+", term)[0]) for term in inside.split(", ")) == int(number), line


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(SPLITS), st.booleans()), min_size=2, max_size=30),
    st.none() | st.integers(1, 12),
    st.booleans(),
)
def test_what_training_says_of_the_samples_adds_up(rows, limit, drop_rest):
    splits = [split for split, _ in rows]
    present = np.array([has for _, has in rows])
    parts = np.where(present[:, None, None], 1, 255).astype(np.uint8) * np.ones((1, 16, 16), np.uint8)
    store = Store.from_arrays(SCHEMA, np.zeros((len(rows), 16, 16, 3), np.uint8), parts, splits=splits)
    try:
        roles = split_rows(store, limit, drop_rest)
    except ValueError:
        return
    together = np.concatenate([roles.part, roles.coarse, roles.val])
    assert len(set(together.tolist())) == len(together) and set(roles.hidden.tolist()) <= set(roles.coarse.tolist())
    assert len(together) + sum(roles.unused.values()) == len(store)
    counts = Counter(rows)
    assert roles.unused["of split test"] == counts["test", True]
    assert roles.unused["of split test without part mask"] == counts["test", False]
    assert roles.unused["of split val without part mask"] == counts["val", False]
    more = max(0, counts["train", True] - (limit or len(rows)))
    assert roles.unused["more part masks than asked for"] == (more if drop_rest else 0)
    assert len(roles.hidden) == (0 if drop_rest else more)
    line = accounts.in_training(roles, ["mask"])
    assert line.startswith(f"{len(store)} sample")
    summed(line)


def test_what_training_says():
    splits = ["train"] * 8 + ["val"] * 2 + ["test"]
    parts = np.ones((11, 16, 16), np.uint8)
    parts[[5, 6, 7, 9]] = 255
    store = Store.from_arrays(SCHEMA, np.zeros((11, 16, 16, 3), np.uint8), parts, splits=splits)
    assert accounts.in_training(split_rows(store, 3), ["mask", "box"]) == (
        "11 samples = 3 with part masks + 5 coarse (mask, box; the part masks of 2 not shown) + 1 for validation "
        "+ 2 not trained on (1 of split val without part mask, 1 of split test)"
    )
    alone = accounts.in_training(split_rows(store.subset(np.arange(5)), 4, drop_rest=True), [])
    assert alone == (
        "5 samples = 3 with part masks + 0 coarse + 1 for validation, held out from those with part masks "
        "+ 1 not trained on (1 more part masks than asked for)"
    )


# ---- every fault at once ---------------------------------------------------------------------------------------------

image = st.fixed_dictionaries(
    {
        "there": st.booleans() | st.just(True),
        "seed": st.integers(0, 6),  # few, so that sources share images
        "labels": st.lists(st.sampled_from(sorted(LABELS)), max_size=3),
        "mask": st.sampled_from(["", "good", "small"]),
        "damaged": st.sampled_from([False, False, False, True]),
        "listed": st.booleans() | st.just(True),
        "suffix": st.sampled_from([".png", ".png", ".jpg"]),
        "twin": st.sampled_from([False, False, False, True]),
    }
)
source = st.fixed_dictionaries(
    {
        "split": st.sampled_from(SPLITS),
        "images": st.lists(image, min_size=1, max_size=6),
        "only": st.booleans(),
        "limit": st.none() | st.integers(1, 6),
        "use": st.sampled_from([None, ("box",), ("keypoints", "mask")]),
    }
)


def drawn(folder: Path, plan: dict) -> dict:
    """The files of a source as Hypothesis planned it."""
    images = []
    for i, one in enumerate(plan["images"]):
        told = {"name": f"i{i}{one['suffix']}", "labels": one["labels"], "mask": one["mask"]}
        told |= {"seed": one["seed"] if one["there"] else None, "damaged": one["damaged"] and one["there"]}
        told |= {"listed": one["listed"]} if plan["only"] else {}
        images.append(told)
        if one["twin"]:
            images.append({**told, "name": f"i{i}.bmp", "mask": ""})
    more = {key: plan[key] for key in ("split", "limit", "use")}
    return write(folder, images, **more)


@settings(max_examples=30, deadline=None)
@given(st.lists(source, min_size=1, max_size=3), st.sampled_from(["refuse", "keep"]))
def test_images_found_are_images_used_and_left_out(plans, across):
    folder = Path(tempfile.mkdtemp(prefix="accounts-"))
    try:
        whole = dataset(*(drawn(folder / str(i), plan) for i, plan in enumerate(plans)), across_splits=across)
        report = check(whole, samples=0)
        for i, account in enumerate(report.accounts):
            name = f"sources[{i}] {plans[i]['split']}"
            assert account.name == name
            files = list((folder / str(i) / "images").iterdir())
            assert account.images == len(files) == account.used + sum(account.left_out.values())
            assert min([0, *account.left_out.values(), *account.objects_left_out.values()]) == 0
            counts = report.sources.get(name, Counter())
            assert (account.used, account.samples) == (counts["images"], counts["samples"])
            unread = account.left_out[accounts.UNREADABLE] + account.objects_left_out[accounts.UNREADABLE]
            assert unread <= counts["unreadable"] and bool(unread) == bool(counts["unreadable"])
        for line in accounts.lines(report.accounts):
            numbers = re.match(
                r".*: (\d+) images?(?: = (\d+) used(?: \(\d+ samples?\))?(?: \+ (\d+) left out)?)?", line
            )
            images, used, left = (int(n or 0) for n in numbers.groups())
            assert images == used + left, line
        stored(whole, folder / "cache", report)
    finally:
        shutil.rmtree(folder)


def stored(whole: DatasetFile, cache: Path, report) -> None:
    """Building the store says what ``check`` says, and says it again when the store is found."""
    expected = [f"dataset: {line}" for line in accounts.lines(report.accounts)]
    try:
        store, built = build_store(whole, cache, skip_bad=True)
    except BadInput as error:
        assert not sum(a.used for a in report.accounts) and error.problems
        return
    assert notes(built)[-len(expected) :] == expected
    assert built == build_store(whole, cache, skip_bad=True)[1]
    assert Counter(store.sources) == {f"sources[{i}]": a.samples for i, a in enumerate(report.accounts) if a.samples}
    try:
        line = accounts.in_training(split_rows(store), [])
    except ValueError:
        return  # too few part masks
    assert line.startswith(f"{sum(a.samples for a in report.accounts)} samples = ")
    summed(line)
