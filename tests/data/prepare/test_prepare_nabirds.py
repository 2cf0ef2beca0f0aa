"""NABirds on a miniature in exactly the archive's layout: end to end, resumed, damaged, and beside CUB."""

import os
import uuid
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from replica import assert_same, write_archives
from rich.console import Console

from coarseparts.cli import main as cli
from coarseparts.data.build import build_store
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.prepare import nabirds as preparation
from coarseparts.data.prepare.bird_tables import NABIRDS, NABIRDS_KEYPOINTS, read_annotations
from coarseparts.data.prepare.cub import prepare_cub
from coarseparts.data.prepare.nabirds import prepare_nabirds
from coarseparts.data.prepare.pascub import prepare_pascub
from coarseparts.data.records import read_dataset
from coarseparts.data.synthetic.anatomy import PARTS
from coarseparts.system.problems import BadInput, errors

CUB_POINTS = (
    *("back", "beak", "belly", "breast", "crown", "forehead", "left eye", "left leg", "left wing", "nape", "right eye"),
    *("right leg", "right wing", "tail", "throat"),
)
IDS = [str(uuid.UUID(int=n * 7919 + 2**100)) for n in range(6)]


def path_of(identity: str) -> str:
    return f"{int(identity[-2:], 16):04d}/{identity.replace('-', '')}.jpg"


def place(n: int, part: int) -> tuple[int, int]:
    return 12 + 7 * part + n, 20 + 5 * part


def picture(n: int, points: list[tuple[int, int]]) -> Image.Image:
    pixels = np.full((90, 120, 3), 40 * n + 30, np.uint8)
    for x, y in points:
        pixels[y - 1 : y + 2, x - 1 : x + 2] = (250, 30, 30)
    return Image.fromarray(pixels)


@pytest.fixture
def archive(tmp_path):
    """Six birds, the last two for testing; the bird with number n does not show the keypoint with number n."""
    folder = tmp_path / "nabirds"
    (folder / "parts").mkdir(parents=True)
    lines: dict[str, list[str]] = {}
    for n, i in enumerate(IDS):
        points = [place(n, part) for part in range(11)]
        file = folder / "images" / path_of(i)
        file.parent.mkdir(parents=True, exist_ok=True)
        picture(n, [p for part, p in enumerate(points) if part != n]).save(file, quality=95)
        lines.setdefault("images.txt", []).append(f"{i} {path_of(i)}")
        lines.setdefault("sizes.txt", []).append(f"{i} 120 90")
        lines.setdefault("bounding_boxes.txt", []).append(f"{i} {5 + n} 10 100 70")
        lines.setdefault("train_test_split.txt", []).append(f"{i} {int(n < 4)}")
        lines.setdefault("image_class_labels.txt", []).append(f"{i} 817")
        for part, (x, y) in enumerate(points):
            seen = f"{x} {y} 1" if part != n else "-1 -1 0"
            lines.setdefault("parts/part_locs.txt", []).append(f"{i} {part} {seen}")
    lines["parts/parts.txt"] = [f"{number} {name}" for number, name in enumerate(NABIRDS_KEYPOINTS)]
    lines["classes.txt"] = ["817 Oak Titmouse"]
    for name, text in lines.items():
        (folder / name).write_text("\n".join(text) + "\n")
    return folder


@pytest.fixture
def pascub(tmp_path):
    """A dataset file of two birds of CUB, one of them with a part mask, as ``prepare pascub`` might write it."""
    folder = tmp_path / "birds"
    (folder / "CUB/parts").mkdir(parents=True)
    (folder / "CUB/images").mkdir()
    (folder / "masks").mkdir()
    for n in (1, 2):
        Image.new("RGB", (60, 50), (90, 20 * n, 70)).save(folder / f"CUB/images/{n}.jpg")
        mask = np.zeros((50, 60), np.uint8)
        mask[10:30, 15:40] = 2
        Image.fromarray(mask).save(folder / f"masks/{n}.png")
    texts = {
        "images.txt": "1 1.jpg\n2 2.jpg\n",
        "train_test_split.txt": "1 1\n2 1\n",
        "bounding_boxes.txt": "1 10 8 35 30\n2 10 8 35 30\n",
        "parts/parts.txt": "".join(f"{n} {name}\n" for n, name in enumerate(CUB_POINTS, 1)),
        "parts/part_locs.txt": "".join(
            f"{i} {n} {20 + n} {30 - n} {int(n != 3)}\n" for i in (1, 2) for n in range(1, 16)
        ),
    }
    for name, text in texts.items():
        (folder / "CUB" / name).write_text(text)
    prepare_cub(folder / "CUB", folder / "cub")
    content = {
        "parts": list(PARTS),
        "keypoints": list(CUB_POINTS),
        "keypoint_mirror": [["left eye", "right eye"], ["left leg", "right leg"], ["left wing", "right wing"]],
        "keypoint_parts": {"beak": "beak", "crown": "head"},
        "size": 64,
        "sources": [{"split": "train", "images": "CUB/images", "coco": "cub/cub.json", "part_masks": "masks"}],
    }
    (folder / "pascub.yaml").write_text(yaml.safe_dump(content))
    return folder / "pascub.yaml"


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()
    }


def test_end_to_end(archive, tmp_path):
    changed, problems = prepare_nabirds(archive, tmp_path / "out")
    assert changed and problems == []
    made = [".prepared.jsonl", "lists/test.txt", "lists/train.txt", "nabirds.json", "nabirds.yaml"]
    assert sorted(files(tmp_path / "out")) == made, "images stay where they are"
    dataset = load_dataset_file(tmp_path / "out/nabirds.yaml")
    records, problems, schema = read_dataset(dataset)
    assert not errors(problems) and schema.keypoints == NABIRDS_KEYPOINTS
    assert [r.split for r in records] == ["train"] * 4 + ["test"] * 2
    assert set(schema.keypoint_mirror) == {("left eye", "right eye"), ("left wing", "right wing")}
    for record in records:
        sample, wrong = record.load()
        n = next(n for n, i in enumerate(IDS) if record.name.endswith(i.replace("-", "")))
        assert wrong == [] and record.has == {"keypoints", "box"}
        np.testing.assert_array_equal(sample.labels["box"], [5 + n, 10, 105 + n, 80])
        for part, (x, y, v) in enumerate(sample.labels["keypoints"]):
            assert (v == 0) == (part == n), "what cannot be seen is absent, and the data set has all its names"
            if v:
                assert (int(x), int(y)) == place(n, part) and sample.image[int(y), int(x), 0] > 200


def test_the_same_samples_as_from_the_text_files(archive, tmp_path):
    name = "parts/part_locs.txt"
    place = f"{IDS[1]} 0 {12 + 1} 20 1"
    assert place in (archive / name).read_text()
    (archive / name).write_text((archive / name).read_text().replace(place, f"{IDS[1]} 0 13.7 20.1 1"))
    prepare_nabirds(archive, tmp_path / "out")
    records, problems, _ = read_dataset(load_dataset_file(tmp_path / "out/nabirds.yaml"))
    assert errors(problems) == []
    for split, count in (("train", 4), ("test", 2)):
        annotations, _ = read_annotations(NABIRDS, archive, split)
        chosen = [record for record in records if record.split == split]
        assert len(chosen) == count
        assert_same(chosen, annotations, archive / "images")


def test_again_nothing_is_done(archive, pascub, tmp_path, monkeypatch):
    assert prepare_nabirds(archive, tmp_path / "out", pascub)[0]
    before = files(tmp_path / "out")
    monkeypatch.setattr(preparation, "_checked", lambda *_: pytest.fail("checked again"))
    assert prepare_nabirds(archive, tmp_path / "out", pascub) == (False, [])
    assert files(tmp_path / "out") == before


def test_interrupted_and_resumed(archive, tmp_path, monkeypatch):
    real, seen = preparation._checked, []

    def stops(path, size):
        if len(seen) >= 3:
            raise KeyboardInterrupt
        seen.append(path)
        return real(path, size)

    monkeypatch.setattr(preparation, "_checked", stops)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        prepare_nabirds(archive, tmp_path / "out")
    assert not (tmp_path / "out/nabirds.yaml").exists()
    rest: list[Path] = []
    monkeypatch.setattr(preparation, "_checked", lambda path, size: (rest.append(path), real(path, size))[1])
    assert prepare_nabirds(archive, tmp_path / "out")[0]
    assert 3 <= len(rest) <= 4 and {*seen, *rest} == {archive / "images" / path_of(i) for i in IDS}


def text_damage(name: str, old: str, new: str, blamed: str = ""):
    def damage(archive: Path) -> str:
        text = (archive / name).read_text()
        assert old in text
        (archive / name).write_text(text.replace(old, new, 1))
        return blamed or name

    return damage


def image_damage(change):
    def damage(archive: Path) -> str:
        path = archive / "images" / path_of(IDS[2])
        change(path)
        return path.name

    return damage


def removed(name: str):
    def damage(archive: Path) -> str:
        (archive / name).unlink()
        return name

    return damage


@pytest.mark.parametrize(
    "damage, expected",
    [
        (image_damage(Path.unlink), "does not exist"),
        (image_damage(lambda p: p.write_bytes(p.read_bytes()[:400])), "is damaged"),
        (image_damage(lambda p: p.write_bytes(b"")), "is empty"),
        (image_damage(lambda p: p.write_text("<html>not found</html>")), "is no image"),
        (image_damage(lambda p: Image.open(p).resize((90, 120)).save(p)), "is 90x120 pixels, sizes.txt says 120x90"),
        (removed("sizes.txt"), "cannot be read: No such file"),
        (removed("parts/part_locs.txt"), "cannot be read: No such file"),
        (text_damage("images.txt", IDS[3], IDS[2]), "stands twice"),
        (text_damage("parts/part_locs.txt", " 1\n", " 1 1\n"), "line 2"),
        (text_damage("bounding_boxes.txt", " 70\n", " x\n"), "expected a UUID and 4 finite numbers"),
        (text_damage("train_test_split.txt", f"{IDS[0]} 1\n", ""), "so its split is unknown"),
        (text_damage("images.txt", path_of(IDS[1]), "/etc/x.jpg"), "leads out of the image folder"),
        (text_damage("parts/parts.txt", "10 right wing\n", "", "part_locs.txt"), "6 lines of parts not listed"),
    ],
)
def test_damage_is_named_and_no_dataset_file_written(archive, pascub, tmp_path, damage, expected):
    name = damage(archive)
    with pytest.raises(BadInput) as caught:
        prepare_nabirds(archive, tmp_path / "out", pascub)
    assert all(p.file.endswith(name) and p.remedy for p in caught.value.problems)
    assert len(caught.value.problems) == 1 and expected in str(caught.value)
    assert set(files(tmp_path / "out")) == {".prepared.jsonl"}


def test_all_damage_is_told_at_once(archive, tmp_path):
    for identity in IDS[1:4]:
        (archive / "images" / path_of(identity)).unlink()
    text_damage("train_test_split.txt", f"{IDS[0]} 1\n", "")(archive)
    with pytest.raises(BadInput) as caught:
        prepare_nabirds(archive, tmp_path / "out")
    assert len(caught.value.problems) == 4


def test_beside_cub_names_are_united_and_what_a_source_lacks_is_unknown(archive, pascub, tmp_path):
    assert prepare_nabirds(archive, tmp_path / "out", pascub)[0]
    joint = load_dataset_file(tmp_path / "out/pascub-nabirds.yaml")
    assert joint.keypoint_parts == {"bill": "beak", "beak": "beak", "crown": "head"} and joint.size == 64
    records, problems, schema = read_dataset(joint, for_training=True)
    assert not errors(problems)
    assert schema.keypoints == (*CUB_POINTS, "bill") and len(schema.keypoint_mirror) == 3
    only_cub = {"beak", "forehead", "left leg", "right leg", "throat"}
    for record in records:
        sample, _ = record.load()
        from_cub = sample.parts is not None
        visibility = dict(zip(schema.keypoints, sample.labels["keypoints"][:, 2].tolist(), strict=True))
        unknown = {name for name, v in visibility.items() if v == -1}
        assert unknown == ({"bill"} if from_cub else only_cub)
        number = next(n for n in range(6) if from_cub or sample.name.endswith(f"{n * 7919:x}"))
        hidden = "belly" if from_cub else NABIRDS_KEYPOINTS[number]
        assert {name for name, v in visibility.items() if v == 0} == {hidden}
    assert [r.split for r in records] == ["train"] * 6, "the official training images"
    store, problems = build_store(joint, tmp_path / "store", for_training=True)
    bill = schema.keypoints.index("bill")
    kept = np.asarray(store.label("keypoints"))[:, [bill, schema.keypoints.index("throat")], 2]
    assert sorted(kept.tolist()) == [[-1, 2]] * 2 + [[0, -1]] + [[2, -1]] * 3


def test_files_beside_that_cannot_be(archive, pascub, tmp_path):
    prepare_nabirds(archive, tmp_path / "out", pascub)
    for beside, expected in (
        (tmp_path / "out/pascub-nabirds.yaml", "has a source with NABirds already"),
        (tmp_path / "none.yaml", "none.yaml: cannot be read"),
    ):
        with pytest.raises(BadInput, match=expected):
            prepare_nabirds(archive, tmp_path / "other", beside)
        assert not (tmp_path / "other").exists()


def test_the_command(archive, pascub, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("coarseparts.cli.prepare.out", Console(width=300))

    def run(*words) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["coarseparts", "prepare", "nabirds", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    status, said, _ = run(archive, "--out", tmp_path / "out", "--with", pascub)
    assert status == 0 and said.startswith(f"dataset file: {tmp_path / 'out/pascub-nabirds.yaml'}\n")
    status, said, _ = run(archive, "--out", tmp_path / "out", "--with", pascub)
    assert status == 0 and "nothing to do" in said
    (archive / "images" / path_of(IDS[0])).unlink()
    (archive / "images" / path_of(IDS[5])).write_bytes(b"")
    status, _, said = run(archive, "--out", tmp_path / "out")
    assert status == 2 and len(said.splitlines()) == 2 and path_of(IDS[0]) in said and "is empty (0 bytes)" in said


def test_beside_what_prepare_pascub_writes(archive, tmp_path):
    made = prepare_pascub(write_archives(tmp_path / "archives"), tmp_path / "pascub")
    before = files(tmp_path / "pascub")
    prepare_nabirds(archive, tmp_path / "out", made.dataset)
    with pytest.raises(BadInput, match=r"pascub: holds another data set, pascub-pascal\.yaml"):
        prepare_nabirds(archive, tmp_path / "pascub", made.dataset)
    assert files(tmp_path / "pascub") == before
    alone, problems, _ = read_dataset(load_dataset_file(made.dataset))
    joint, more, schema = read_dataset(load_dataset_file(tmp_path / "out/pascub-nabirds.yaml"))
    assert not errors(problems) and not errors(more)
    assert len(joint) == len(alone) + 4 and schema.parts == PARTS
    assert set(schema.keypoints) == {*CUB_POINTS, "bill"} and len(schema.keypoint_mirror) == 3
    assert [(r.split, r.has) for r in joint[: len(alone)]] == [(r.split, r.has) for r in alone]
    points = [r.load()[0].labels["keypoints"] for r in joint if "keypoints" in r.has]
    unknown = {tuple(n for n, v in zip(schema.keypoints, p[:, 2], strict=True) if v == -1) for p in points}
    assert unknown == {("bill",), ("beak", "forehead", "left leg", "right leg", "throat")}
