"""OID Aircraft on a miniature in exactly the archive's layout: end to end, resumed, and damaged in many ways."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw
from rich.console import Console
from scipy.io import loadmat, savemat
from scipy.sparse import csc_matrix

from coarseparts.cli import main as cli
from coarseparts.data.build import build_store
from coarseparts.data.check import check
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.formats.coco import read_coco, read_part_coco
from coarseparts.data.formats.drawing import draw
from coarseparts.data.prepare import oid_aircraft as preparation
from coarseparts.data.prepare import polygons
from coarseparts.data.prepare.oid_aircraft import prepare_oid_aircraft, propose_clean, read_clean_list
from coarseparts.data.prepare.oid_annotations import read_oid_aircraft
from coarseparts.data.prepare.oid_quality import quality
from coarseparts.data.records import read_dataset
from coarseparts.system.problems import BadInput, errors

WIDTH, HEIGHT, BANNER = 400, 300, 20
DECODER = 1_000_000
COLOURS = {
    "aeroplane": (200, 200, 205),
    "nose": (200, 60, 60),
    "wing": (60, 110, 200),
    "wheel": (30, 30, 30),
    "verticalStabilizer": (60, 170, 80),
}


def aeroplane(x: float, y: float, scale: float = 1.0) -> dict[str, list[np.ndarray]]:
    """Polygons of an aeroplane that flies to the left, its nose at (x, y), in pixels with centres at +0.5."""
    shapes = {
        "aeroplane": [
            [
                (0, 0),
                (30, -14),
                (210, -14),
                (232, -60),
                (262, -60),
                (250, 6),
                (230, 14),
                (148, 14),
                (148, 22),
                (140, 22),
                (140, 14),
            ]
        ],
        "nose": [[(0, 0), (30, -14), (30, 14)]],
        "wing": [[(95, -8), (140, -8), (175, 10), (150, 12)], [(110, -10), (140, -13), (135, -14), (120, -14)]],
        "wheel": [[(60, 12), (68, 12), (68, 22), (60, 22)], [(140, 12), (148, 12), (148, 22), (140, 22)]],
        "verticalStabilizer": [[(210, -14), (232, -60), (262, -60), (252, -10)]],
    }
    shapes["aeroplane"][0] += [(68, 14), (68, 22), (60, 22), (60, 14), (30, 14)]
    return {kind: [np.array(p, float) * scale + (x, y) for p in drawn] for kind, drawn in shapes.items()}


def photograph(planes: list[dict[str, list[np.ndarray]]], seed: int) -> Image.Image:
    """Drawn four times as large and scaled down, by Pillow alone; at the bottom a banner with a name."""
    k = 4
    image = Image.new("RGB", (WIDTH * k, HEIGHT * k), (110, 150, 110 + seed * 10))
    pen = ImageDraw.Draw(image)
    for plane in planes:
        for kind in COLOURS:
            for polygon in plane[kind]:
                pen.polygon([tuple(p) for p in polygon * k], fill=COLOURS[kind])
    image = image.resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    grain = np.random.default_rng(seed).normal(0, 6, (HEIGHT, WIDTH, 1))
    image = Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, HEIGHT - BANNER, WIDTH, HEIGHT), fill="black")
    pen.text((5, HEIGHT - BANNER + 4), f"(c) somebody {seed}", fill="white")
    return image


def photographs() -> dict[str, tuple[int, list[dict[str, list[np.ndarray]]]]]:
    """Name: set and aeroplanes. The third has two, the fourth reaches into the banner, the fifth lacks labels."""
    low = aeroplane(60, 270)
    poor = aeroplane(50, 160)
    poor["nose"], poor["wheel"] = [], []
    twice = aeroplane(30, 120)
    twice["wing"].append(twice["wing"][0] + 1)
    return {
        "0000001.jpg": (1, [aeroplane(60, 150, 1.05)]),
        "0000002.jpg": (1, [aeroplane(80, 120)]),
        "0000003.jpg": (1, [aeroplane(20, 90, 0.7), aeroplane(180, 220, 0.7)]),
        "0000004.jpg": (2, [low]),
        "0000005.jpg": (2, [poor]),
        "0000006.jpg": (2, [aeroplane(70, 140)]),
        "0000007.jpg": (3, [twice]),
        "0000008.jpg": (3, [aeroplane(90, 170)]),
    }


def annotations(content: dict) -> dict:
    """``anno`` as the archive has it: ids by type, parents, polygons in MATLAB's pixels, which start at 1."""

    def cells(values: list) -> np.ndarray:
        out = np.empty((1, len(values)), object)
        out[0, :] = values
        return out

    objects = {kind: {"id": [], "parentId": [], "polygon": []} for kind in COLOURS}

    def add(kind: str, parent: int, polygon: np.ndarray) -> int:
        found = objects[kind]
        found["id"].append((list(COLOURS).index(kind) + 1) * DECODER + len(found["id"]) + 1)
        found["parentId"].append(parent)
        found["polygon"].append(polygon.T + 0.5)
        return found["id"][-1]

    for number, (_, planes) in enumerate(content.values(), 1):
        for plane in planes:
            parent = add("aeroplane", number, plane["aeroplane"][0])
            for kind in list(COLOURS)[1:]:
                for polygon in plane[kind]:
                    add(kind, parent, polygon)
    n = len(content)
    image = {
        "id": np.arange(1, n + 1)[None],
        "name": cells(list(content)),
        "size": np.array([[HEIGHT] * n, [WIDTH] * n], float),
        "set": np.array([[s for s, _ in content.values()]], float),
        "typical": np.ones((1, n)),
    }
    made = {
        kind: {
            "id": np.array([found["id"]], np.int32),
            "parentId": np.array([found["parentId"]], np.int32),
            "polygon": cells(found["polygon"]),
            "attribute": {"facingDirection": np.zeros((8, len(found["id"])))},
        }
        for kind, found in objects.items()
    }
    meta = {
        "objTypes": cells(["image", *COLOURS]),
        "decoder": DECODER,
        "image": {"set": cells(["train", "val", "test"])},
    }
    return {"meta": meta, "image": image, "votes": csc_matrix(np.eye(3))} | made  # some may hold what is not needed


def write_archive(folder: Path, anno: dict | None = None) -> Path:
    archive = folder / "oid-aircraft-beta-1"
    (archive / "data/images/aeroplane").mkdir(parents=True)
    (archive / "data/annotations").mkdir()
    content = photographs()
    for seed, (name, (_, planes)) in enumerate(content.items()):
        photograph(planes, seed).save(archive / "data/images/aeroplane" / name, quality=88)
    save(archive, annotations(content) if anno is None else anno)
    return archive


def save(archive: Path, anno: dict) -> None:
    savemat(archive / "data/annotations/anno.mat", {"anno": anno}, do_compression=True)


CLEAN = "# chosen\ntrain 0000001  # good\ntrain 0000002.jpg\n\nval 0000006\ntest 0000008\n"


@pytest.fixture
def archive(tmp_path):
    return write_archive(tmp_path)


@pytest.fixture
def clean(tmp_path):
    (tmp_path / "clean.txt").write_text(CLEAN)
    return tmp_path / "clean.txt"


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        p.relative_to(folder).as_posix(): (p.read_bytes(), p.stat().st_mtime_ns)
        for p in folder.rglob("*")
        if p.is_file()
    }


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def seen_kinds(image: np.ndarray) -> np.ndarray:
    """(H, W) which of the drawn colours is nearest: 0 the sky, 1 the aeroplane, ... as in COLOURS."""
    palette = np.array([np.median(image[:20], (0, 1)), *COLOURS.values()])
    return np.abs(image[:, :, None].astype(float) - palette).sum(-1).argmin(-1)


def fits(region: np.ndarray, seen: np.ndarray) -> bool:
    """Whether a label lies on what is seen, and would not with a shift of one pixel."""
    shifted = [np.roll(region, step, axis) for step in (-1, 1) for axis in (0, 1)]
    return iou(region, seen) > 0.9 and all(iou(one, seen) < iou(region, seen) for one in shifted)


def test_end_to_end(archive, clean, tmp_path):
    out = tmp_path / "out"
    changed, problems = prepare_oid_aircraft(archive, out, clean)
    assert changed and [p.severity for p in problems] == ["repaired", "repaired"]
    assert all("0000004.jpg: a polygon of wheels lies in the banner" in p.message for p in problems)
    dataset = yaml.safe_load((out / "oid-aircraft.yaml").read_text())
    assert dataset["parts"] == ["nose", "wings", "wheels", "vertical stabilizer"]
    assert dataset["overlapping"] is True and dataset["crop"] == {"to": "none"}
    lists = {
        (s["split"], "part_coco" in s): (out / s["only"]).read_text().split() for s in dataset["sources"]
    }  # outlines for all, parts for the chosen
    assert lists == {
        ("train", True): ["0000001.jpg", "0000002.jpg"],
        ("val", True): ["0000006.jpg"],
        ("test", True): ["0000008.jpg"],
        ("train", False): ["0000003.jpg"],
        ("val", False): ["0000004.jpg", "0000005.jpg"],
        ("test", False): ["0000007.jpg"],
    }
    assert all(
        s["coco"] == "coarse.json" and s["images"] == "images" and s["use"] == ["mask"] for s in dataset["sources"]
    )
    for source in dataset["sources"]:
        assert all((out / source["images"] / name).is_file() for name in (out / source["only"]).read_text().split())


def test_labels_lie_on_the_photographs(archive, tmp_path):
    """Against what Pillow drew from the same polygons: a shift of a pixel would show."""
    out = tmp_path / "out"
    prepare_oid_aircraft(archive, out)
    objects, problems = read_coco(out / "coarse.json")
    assert problems == [] and len(objects) == 8 and all(o.alone for o in objects)
    drawings, problems = read_part_coco(out / "parts.json", ("nose", "wings", "wheels", "vertical stabilizer"))
    assert [p.message for p in problems] == ["1 outlines of parts are drawn twice, and the later ones are used"]
    parts = {found.image: found.part_segments for found in drawings}
    for found in objects:
        image = np.asarray(Image.open(out / "images" / found.image))
        assert found.size == (WIDTH, HEIGHT - BANNER) == image.shape[1::-1]
        mask = draw(found.label("mask").segmentation, found.size)
        assert fits(mask, seen_kinds(image) > 0), found.image
        y, x = np.nonzero(mask)
        np.testing.assert_allclose(found.label("box"), [x.min(), y.min(), x.max() + 1, y.max() + 1], atol=1)
    for name in ("0000001.jpg", "0000008.jpg"):
        image = np.asarray(Image.open(out / "images" / name))
        for index, kind in ((1, "nose"), (4, "verticalStabilizer"), (2, "wing")):
            drawn = [draw(s.segmentation, (WIDTH, HEIGHT - BANNER)) for s in parts[name] if s.index == index]
            assert fits(np.any(drawn, axis=0), seen_kinds(image) == list(COLOURS).index(kind) + 1), (name, kind)
    assert len([s for s in parts["0000003.jpg"] if s.index == 2]) == 4, "two wings of two aeroplanes"
    assert {s.index for s in parts["0000005.jpg"]} == {2, 4}
    (first,) = (s.segmentation[0] for s in parts["0000002.jpg"] if s.index == 1)
    np.testing.assert_allclose(np.reshape(first, (-1, 2)), [[80, 120], [110, 106], [110, 134]])


def test_the_banner_goes_and_nothing_else_changes(archive, tmp_path):
    out = tmp_path / "out"
    prepare_oid_aircraft(archive, out)
    for path in sorted((archive / "data/images/aeroplane").iterdir()):
        before = Image.open(path)
        kept = np.asarray(before)[:-BANNER].astype(int)
        after = Image.open(out / "images" / path.name)
        assert after.quantization == before.quantization
        change = np.abs(np.asarray(after).astype(int) - kept).mean()
        encoded = io.BytesIO()
        Image.fromarray(kept.astype(np.uint8)).save(encoded, "JPEG", quality=95)
        other = np.abs(np.asarray(Image.open(encoded)).astype(int) - kept).mean()
        assert change < 0.2 and change < other / 2


def test_grey_and_foreign_colour_spaces(archive, tmp_path):
    folder = archive / "data/images/aeroplane"
    for name, mode in (("0000001.jpg", "L"), ("0000002.jpg", "CMYK")):
        Image.open(folder / name).convert(mode).save(folder / name, quality=90)
    prepare_oid_aircraft(archive, tmp_path / "out")
    assert [Image.open(tmp_path / "out/images" / n).mode for n in ("0000001.jpg", "0000002.jpg")] == ["L", "RGB"]


def test_an_exif_rotation_is_not_applied(archive, tmp_path):
    path = archive / "data/images/aeroplane/0000001.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).save(path, quality=88, exif=exif)
    prepare_oid_aircraft(archive, tmp_path / "out")
    made = Image.open(tmp_path / "out/images/0000001.jpg")
    assert made.size == (WIDTH, HEIGHT - BANNER) and not made.getexif()


def test_again_nothing_is_done(archive, clean, tmp_path, monkeypatch):
    assert prepare_oid_aircraft(archive, tmp_path / "out", clean)[0]
    before = files(tmp_path / "out")
    monkeypatch.setattr(preparation, "_without_banner", lambda *_: pytest.fail("made again"))
    changed, problems = prepare_oid_aircraft(archive, tmp_path / "out", clean)
    assert not changed and len(problems) == 2 and files(tmp_path / "out") == before


def test_another_choice_leaves_the_photographs_alone(archive, clean, tmp_path):
    prepare_oid_aircraft(archive, tmp_path / "out", clean)
    before = files(tmp_path / "out")
    clean.write_text(CLEAN.replace("train 0000002.jpg", "train 3"))
    with pytest.raises(BadInput, match=r"clean.txt: line 3 names 3, which has no aeroplane's outline"):
        prepare_oid_aircraft(archive, tmp_path / "out", clean)
    clean.write_text(CLEAN.replace("0000002.jpg", "0000003"))
    assert prepare_oid_aircraft(archive, tmp_path / "out", clean)[0]
    after = files(tmp_path / "out")
    assert {n for n in after if after[n] != before.get(n)} == {"lists/parts-train.txt", "lists/coarse-train.txt"}


def test_interrupted_and_resumed(archive, tmp_path, monkeypatch):
    whole = tmp_path / "whole"
    prepare_oid_aircraft(archive, whole)
    real, made = preparation._without_banner, []

    def stops(path, *rest):
        if len(made) >= 3:
            raise KeyboardInterrupt
        made.append(path.name)
        return real(path, *rest)

    monkeypatch.setattr(preparation, "_without_banner", stops)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        prepare_oid_aircraft(archive, tmp_path / "out")
    assert not (tmp_path / "out/oid-aircraft.yaml").exists()
    first = set(made)
    made.clear()
    monkeypatch.setattr(
        preparation, "_without_banner", lambda path, *rest: (made.append(path.name), real(path, *rest))[1]
    )
    prepare_oid_aircraft(archive, tmp_path / "out")
    assert len(first) == 3 and len(made) in (5, 6) and not (set(made) & set(sorted(first)[:2]))
    ours, theirs = (
        {n: c for n, (c, _) in files(f).items() if not n.startswith(".")} for f in (tmp_path / "out", whole)
    )
    assert ours == theirs


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def resized(path: Path) -> None:
    Image.open(path).resize((200, 150)).save(path)


def as_png(path: Path) -> None:
    Image.open(path).save(path, "PNG")


@pytest.mark.parametrize(
    "damage, expected",
    [
        (Path.unlink, "does not exist"),
        (cut_off, "is damaged"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (as_png, "is no image, expected one of JPEG"),
        (resized, "is 200x150 pixels, annotated at 400x300"),
    ],
)
def test_damaged_photographs(archive, tmp_path, damage, expected):
    folder = archive / "data/images/aeroplane"
    for name in ("0000002.jpg", "0000006.jpg"):
        damage(folder / name)
    with pytest.raises(BadInput) as caught:
        prepare_oid_aircraft(archive, tmp_path / "out")
    assert [Path(p.file).name for p in caught.value.problems] == ["0000002.jpg", "0000006.jpg"]
    assert all(expected in p.message and p.remedy for p in caught.value.problems)
    left = files(tmp_path / "out")
    assert "oid-aircraft.yaml" not in left and "coarse.json" not in left
    assert len([n for n in left if n.startswith("images/")]) == 6 and not [n for n in left if n.endswith(".part")]


def change(*keys, value):
    def apply(anno):
        *path, last = keys
        for key in path:
            anno = anno[key]
        if value is None:
            del anno[last]
        else:
            anno[last] = value(anno[last])

    return apply


@pytest.mark.parametrize(
    "damage, expected",
    [
        (change("wheel", value=None), "has no anno.wheel.id, anno.wheel.parentId, anno.wheel.polygon"),
        (change("image", "set", value=None), "has no anno.image.set"),
        (change("image", "size", value=lambda v: v[:, 1:]), "8 ids, 8 names, 8 sets and sizes of shape (2, 7)"),
        (change("nose", "polygon", value=lambda v: v[:, 1:]), "9 polygons do not fit".replace("9", "7")),
        (change("image", "set", value=lambda v: v + 1), "anno.image 7: set 4, expected 1 (train)"),
        (change("aeroplane", "parentId", value=lambda v: v + 100), "anno.aeroplane: 9 belong to no listed image"),
        (change("wing", "parentId", value=lambda v: v + (v == v[0, 0]) * 500), "anno.wing: 2 belong to no listed aero"),
        (
            change("image", "name", value=lambda v: np.where(v == "0000002.jpg", "../x.jpg", v)),
            "leads out of the image",
        ),
        (change("image", "name", value=lambda v: np.where(v == "0000002.jpg", "0000001.jpg", v)), "stands twice"),
        (change("image", "size", value=lambda v: v * np.array([[0], [1]])), "size 0 x 400, expected height and width"),
    ],
)
def test_damaged_annotations(archive, tmp_path, damage, expected):
    anno = annotations(photographs())
    damage(anno)
    save(archive, anno)
    with pytest.raises(BadInput) as caught:
        prepare_oid_aircraft(archive, tmp_path / "out")
    assert {Path(p.file).name for p in caught.value.problems} == {"anno.mat"}
    assert any(expected in p.message for p in caught.value.problems), str(caught.value)
    assert not (tmp_path / "out/oid-aircraft.yaml").exists()


@pytest.mark.parametrize(
    "content, expected",
    [
        (None, "does not exist"),
        (b"", "is no readable MATLAB file"),
        (b"hello", "is no readable MATLAB file"),
        ("half", "is no readable MATLAB file"),
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n", "of version 7.3"),
    ],
)
def test_files_that_are_no_annotations(archive, tmp_path, content, expected):
    path = archive / "data/annotations/anno.mat"
    whole = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(BadInput, match=expected) as caught:
        prepare_oid_aircraft(archive, tmp_path / "out")
    assert caught.value.problems[0].file == str(path) and not (tmp_path / "out").exists()


def test_no_damage_of_the_annotations_does_harm(archive):
    """Bytes changed at random: read, or refused with a reason; scipy's reader crashes the process."""
    path, rng = archive / "data/annotations/anno.mat", np.random.default_rng(0)
    savemat(path, {"anno": annotations(photographs())}, do_compression=False)
    whole, refused = path.read_bytes(), 0
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(rng.integers(1, 6)):
            content[rng.integers(0, len(content))] = rng.integers(0, 256)
        path.write_bytes(content)
        try:
            read_oid_aircraft(archive)
        except BadInput as bad:
            assert all(p.file == str(path) and p.message for p in bad.problems)
            refused += 1
    assert refused > 100


def test_polygons_that_enclose_nothing(archive, clean, tmp_path):
    anno = annotations(photographs())
    for i, bad in enumerate(([[1, 2], [3, 4]], [[1, np.nan, 3], [4, 5, 6]], [[1, 1, 1], [4, 5, 6]])):
        anno["nose"]["polygon"][0, i] = np.array(bad, float)
    save(archive, anno)
    images, problems = read_oid_aircraft(archive)
    assert [i.complete for i in images] == [False, False, False, *[True] * 5]
    assert [p.severity for p in problems] == ["repaired"] * 3
    assert all(f"anno.nose {2 * DECODER + n + 1}: the polygon" in p.message for n, p in enumerate(problems))
    prepare_oid_aircraft(archive, tmp_path / "out")
    assert "0000001.jpg" in (tmp_path / "out/lists/coarse-train.txt").read_text()
    left, _ = read_part_coco(tmp_path / "out/parts.json", tuple(preparation.PARTS))
    assert "0000001.jpg" not in [found.image for found in left]
    with pytest.raises(BadInput, match=r"names 0000001\.jpg, which has a polygon that encloses nothing"):
        prepare_oid_aircraft(archive, tmp_path / "out", clean)


def test_photographs_without_an_aeroplane(archive, tmp_path):
    content = photographs()
    content["0000002.jpg"] = (1, [])
    save(archive, annotations(content))
    images, (note,) = read_oid_aircraft(archive)
    assert len(images) == 7 and note.severity == "note" and "1 of 8 photographs" in note.message


def test_one_object_of_a_kind_is_read_as_several_are(archive):
    """MATLAB's arrays of one element must not be unpacked to the element."""
    content = {"0000001.jpg": photographs()["0000001.jpg"]}
    content["0000001.jpg"][1][0]["wing"].pop()
    save(archive, annotations(content))
    (image,), problems = read_oid_aircraft(archive)
    assert problems == [] and [len(p) for p in image.parts.values()] == [1, 1, 2, 1] and image.size == (WIDTH, HEIGHT)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("train\n", "line 1 is 'train'"),
        ("0000001 train\n", "line 1 is '0000001 train'"),
        ("train 0000001 x\n", "line 1 is 'train 0000001 x'"),
        ("train 0000001\nval 0000001.jpg\n", "line 2 names 0000001.jpg again"),
        ("train 9999999\n", "line 1 names 9999999, which has no aeroplane's outline"),
        ("# nothing\n", "lists no photograph"),
    ],
)
def test_lists_with_mistakes(archive, tmp_path, text, expected):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(BadInput, match=r"list\.txt") as caught:
        read_clean_list(tmp_path / "list.txt", read_oid_aircraft(archive)[0])
    assert expected in str(caught.value)


def test_the_proposal_prefers_labels_that_fit_together(archive, tmp_path, monkeypatch):
    monkeypatch.setattr("coarseparts.data.prepare.oid_quality.WANTED", {"train": 1, "val": 1, "test": 1})
    target = tmp_path / "clean.txt"
    assert propose_clean(archive, target) and not propose_clean(archive, target)
    lines = [line for line in target.read_text().splitlines() if not line.startswith("# ")]
    assert [line.split()[:2] for line in lines] == [
        ["train", "0000001.jpg"],
        ["val", "0000006.jpg"],
        ["test", "0000008.jpg"],
    ]
    reserves = [line for line in target.read_text().splitlines() if line.startswith("# reserve: ")]
    assert [line.split()[2:4] for line in reserves] == [
        ["train", "0000002.jpg"],
        ["val", "0000005.jpg"],
        ["test", "0000007.jpg"],
    ]
    assert "0000003" not in target.read_text(), "two aeroplanes"
    assert prepare_oid_aircraft(archive, tmp_path / "out", target)[0]
    target.write_text(target.read_text().replace("train 0000001", "# train 0000001"))
    with pytest.raises(BadInput, match="perhaps your changes"):
        propose_clean(archive, target)


@pytest.mark.parametrize(
    "spoil, what",
    [
        (lambda plane: plane["nose"].clear(), "counts"),
        (lambda plane: plane["wing"].append(plane["wing"][0] + 2), "apart"),
        (lambda plane: plane.update(nose=[plane["nose"][0] + (0, 80)]), "inside"),
        (lambda plane: plane.update(nose=[plane["verticalStabilizer"][0]]), "apart"),
        (lambda plane: plane.update(wheel=[plane["aeroplane"][0]]), "sizes"),
        (lambda plane: plane.update(wing=[plane["wing"][0][[0, 2, 1, 3]]]), "simple"),
    ],
)
def test_each_mistake_of_labels_lowers_the_score(archive, spoil, what):
    def score(plane):
        save(archive, annotations({"0000001.jpg": (1, [plane])}))
        found = quality(read_oid_aircraft(archive)[0][0], BANNER)
        return float(np.prod(list(found.values()))), found

    good, found = score(aeroplane(60, 150))
    plane = aeroplane(60, 150)
    spoil(plane)
    spoilt, lowered = score(plane)
    assert spoilt < 0.8 * good and lowered[what] < found[what]


def test_polygons_are_cut_as_pixels_are():
    rng = np.random.default_rng(0)
    for _ in range(50):
        polygon = rng.uniform(-30, 80, (rng.integers(3, 9), 2))
        wide = polygons.run_lengths([polygon + 100], 300, 300)
        from pycocotools import mask as coco_mask

        expected = coco_mask.decode(wide)[100:140, 100:150].astype(bool)
        inside = polygons.cut(polygon, 50, 40)
        if inside is None:
            assert not expected.any()
            continue
        assert inside.min() >= 0 and (inside.max(0) <= (50, 40)).all()
        got = coco_mask.decode(polygons.run_lengths([inside], 50, 40)).astype(bool)
        assert (got != expected).sum() <= 0.06 * max(expected.sum(), 1) + 12, "all but pixels on the border of shapes"


def test_the_layout_is_the_one_that_others_read(archive):
    """As public code reads the official archive: squeezed structures, set numbers, parents of 1-based images."""
    anno = loadmat(archive / "data/annotations/anno.mat", struct_as_record=False, squeeze_me=True)["anno"]
    assert anno.image.name[anno.aeroplane.parentId[2] - 1] == "0000003.jpg"
    assert anno.wing.polygon[0].shape[0] == 2 and anno.image.size.shape == (2, 8)
    assert list(anno.meta.image.set) == ["train", "val", "test"]
    assert json.loads(json.dumps(anno.image.set.tolist())) == [1, 1, 1, 2, 2, 2, 3, 3]


def test_the_command(archive, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("coarseparts.cli.prepare.out", Console(width=300))

    def run(*words) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["coarseparts", "prepare", "oid-aircraft", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    listed, out = tmp_path / "clean.txt", tmp_path / "out"
    for words in ([], ["--propose", listed, "--out", out], ["--propose", listed, "--clean", listed]):
        status, _, said = run(archive, *words)
        assert status == 2 and "--propose FILE writes a list" in said and not listed.exists() and not out.exists()
    assert run(archive, "--propose", listed)[:2] == (0, f"{listed}: look through it, then give it to --clean\n")
    assert run(archive, "--propose", listed)[:2] == (0, f"{listed}: was there already\n")
    status, said, _ = run(archive, "--out", out, "--clean", listed)
    assert status == 0 and f"dataset file: {out / 'oid-aircraft.yaml'}\n" in said
    status, said, _ = run(archive, "--out", out, "--clean", listed, "--banner", 0)
    assert status == 0 and Image.open(out / "images/0000001.jpg").size == (WIDTH, HEIGHT)
    (archive / "data/images/aeroplane/0000001.jpg").unlink()
    status, _, said = run(archive, "--out", out)
    assert status == 2 and "0000001.jpg: does not exist" in said and not (out / "oid-aircraft.yaml").exists()


def test_the_dataset_file_is_read_and_packed(archive, clean, tmp_path):
    prepare_oid_aircraft(archive, tmp_path / "out", clean)
    dataset = load_dataset_file(tmp_path / "out/oid-aircraft.yaml")
    assert dataset.overlapping and check(dataset).errors == []
    records, problems, schema = read_dataset(dataset, for_training=True)
    assert not errors(problems) and schema.parts == tuple(preparation.PARTS)
    assert [(r.split, r.name, "parts" in r.has) for r in records if r.split == "train"] == [
        ("train", "0000001", True),
        ("train", "0000002", True),
        ("train", "0000003", False),
    ]
    assert all("mask" in r.has and "box" not in r.has for r in records)
    sample, _ = records[0].load()
    assert sample.parts is not None and sample.labels["mask"] is not None and sample.crop is None
    seen = seen_kinds(sample.image)
    for index, kind in ((1, "nose"), (2, "wing"), (4, "verticalStabilizer")):
        assert fits((sample.parts >> (index - 1) & 1) == 1, seen == list(COLOURS).index(kind) + 1)
    store, problems = build_store(dataset, tmp_path / "store", for_training=True)
    assert not errors(problems) and len(store.rows("train", has="parts")) == 2 and len(store.rows("test")) == 2
