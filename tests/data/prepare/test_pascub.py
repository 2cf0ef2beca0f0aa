"""PASCUB from miniature archives in the official layouts: what comes out, what stays, what is told."""

import csv
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from replica import ARCHIVE_ORDER, BIRD, CELL, CUB, CUB_SIZE, cell, write_archives, write_pair
from rich.console import Console
from scipy.io import savemat

from coarseparts.cli import main as cli
from coarseparts.data.build import build_store
from coarseparts.data.check import check
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.images import decode
from coarseparts.data.prepare.archives import Archives
from coarseparts.data.prepare.output import MANIFEST
from coarseparts.data.prepare.pascal_birds import Rules
from coarseparts.data.prepare.pascub import Choices, prepare_pascub
from coarseparts.data.records import read_dataset
from coarseparts.data.synthetic import birds
from coarseparts.data.synthetic.anatomy import PARTS
from coarseparts.system.problems import BadInput, errors

NAMES = {number: name for number, name, _, _ in CUB}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archives")
    return folder, write_archives(folder)


@pytest.fixture
def archives(pristine, tmp_path):
    """A copy that a test may damage."""
    folder, found = pristine
    shutil.copytree(folder, tmp_path / "in")
    return Archives(*(tmp_path / "in" / path.name for path in vars(found).values() if path is not None))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def lines(made, name: str) -> list[str]:
    path = made.dataset.parent / "lists" / f"{name}.txt"
    return path.read_text().split() if path.exists() else []


def told(problems) -> str:
    return "\n".join(map(str, problems))


def command(archives: Archives, out: Path, *more: str) -> list[str]:
    given = ["--cub", archives.cub, "--parts", archives.parts, "--voc", archives.voc, "--out", out]
    given += ["--pascal-parts", archives.pascal_parts, "--segmentations", archives.segmentations]
    return ["prepare", "pascub", *map(str, given), *more]


def run(words: list[str], capsys, monkeypatch) -> tuple[int, str, str]:
    """Exit status, standard output and errors of the command line."""
    monkeypatch.setattr("sys.argv", ["coarseparts", *words])
    monkeypatch.setattr("coarseparts.cli.prepare.out", Console(width=200))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_the_parts_are_those_of_the_built_in_birds():
    assert birds.SCHEMA.parts == PARTS


def test_from_the_archives_to_a_store(archives, tmp_path):
    before = contents(tmp_path / "in")
    made = prepare_pascub(archives, tmp_path / "out")
    assert contents(tmp_path / "in") == before, "the archives are not touched"
    assert made.changed and errors(made.problems) == []
    assert [row[1:] for row in made.funnel] == [(0, 10), (2, 8), (1, 7), (1, 6), (1, 5), (1, 4)]
    found = {(name, split): (found, used) for name, split, _, found, used in made.sizes}
    assert [found["PASCAL", split][0] for split in ("train", "val", "test")] == [1, 1, 2]
    assert found["CUB Parts", "train"] == (2, 2) and found["CUB coarse", "train"] == (4, 2)

    dataset = load_dataset_file(made.dataset)
    assert dataset.parts == PARTS and dataset.size == 256
    assert dataset.mirror == birds.SCHEMA.mirror and dataset.keypoint_mirror == birds.SCHEMA.keypoint_mirror
    assert set(dataset.keypoints or ()) == set(birds.SCHEMA.keypoints)
    report = check(dataset)
    assert report.errors == []
    assert not any("other side" in str(p) or "lies on part" in str(p) for p in report.problems)
    store, problems = build_store(dataset, tmp_path / "cache")
    assert errors(problems) == []
    assert len(store.rows("train", has="parts")) == 3 and len(store.rows("val", has="parts")) == 2
    assert len(store.rows("test", has="parts")) == 1, "those of CUB"
    pascal, _ = build_store(load_dataset_file(made.dataset.with_name("pascub-pascal.yaml")), tmp_path / "cache")
    assert [len(pascal.rows(split, has="parts")) for split in ("train", "val", "test")] == [3, 1, 2]
    train = store.rows("train")
    coarse = train[~store.present["parts"][train]]
    assert [store.names[row].split("/")[-1] for row in coarse] == [
        Path(NAMES[1]).stem,
        Path(NAMES[4]).stem,
    ], "2 and 3 have part masks in val and test"
    for row in store.rows("train", has="parts"):
        if store.present["keypoints"][row]:  # of CUB: every keypoint lies on its part at training size
            for name, (x, y, v) in zip(store.schema.keypoints, np.asarray(store.label("keypoints")[row]), strict=True):
                part = name.replace(" ", "_")
                if v == 2 and part in PARTS:
                    assert store.parts[row][int(y), int(x)] == PARTS.index(part) + 1


def test_crops_and_masks_are_those_of_the_archives_pixel_by_pixel(archives, tmp_path):
    made = prepare_pascub(archives, tmp_path / "out")
    out = made.dataset.parent
    assert sorted(p.stem for p in (out / "pascal" / "images").iterdir()) == [
        "2008_000001-1",
        "2008_000006-1",
        "2008_000007-1",
        "2008_000007-2",
    ]
    photograph, _ = decode(archives.voc / "JPEGImages" / "2008_000001.jpg")
    x0, y0, x1, y1 = 10, 10, 30 + BIRD[0] + 20, 30 + BIRD[1] + 20
    np.testing.assert_array_equal(decode(out / "pascal" / "images" / "2008_000001-1.png")[0], photograph[y0:y1, x0:x1])
    parts = np.array(Image.open(out / "pascal" / "part_masks" / "2008_000001-1.png"))
    expected = np.zeros_like(parts)
    for i, part in enumerate(PARTS, 1):
        expected[cell(part, (20, 20))] = i
    rows, columns = cell("torso", (20, 20))
    expected[rows.start : rows.start + 4, columns] = PARTS.index("head") + 1  # the neck
    rows, columns = cell("left_leg", (20, 20))
    expected[rows.stop : rows.stop + 2, columns] = PARTS.index("left_leg") + 1  # the foot, on the tail below
    np.testing.assert_array_equal(parts, expected)

    masks = sorted(p.relative_to(out / "cub_part_masks") for p in (out / "cub_part_masks").rglob("*.png"))
    assert masks == sorted(Path(name).with_suffix(".png") for _, name, _, split in CUB if split)
    values = np.array(Image.open(out / "cub_part_masks" / Path(NAMES[5]).with_suffix(".png")))
    expected = np.zeros(CUB_SIZE[::-1], np.uint8)
    for i, part in enumerate(PARTS, 1):
        expected[cell(part, (15, 20))] = i
    np.testing.assert_array_equal(values, expected)

    with (out / "funnel.csv").open() as file:
        table = list(csv.DictReader(file))
    assert table[0] == {"step": "objects", "dropped": "0", "left": "10"} and table[-1]["left"] == "4"
    assert "drawn with seed 0" in made.dataset.read_text()


def test_the_second_run_does_nothing_and_says_so(archives, tmp_path, capsys, monkeypatch):
    status, said, _ = run(command(archives, tmp_path / "out"), capsys, monkeypatch)
    assert status == 0 and "dataset file: " in said and "536" in said and "5994" in said
    before = contents(tmp_path / "out")
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")}
    status, said, _ = run(command(archives, tmp_path / "out"), capsys, monkeypatch)
    assert status == 0 and "nothing to do, all of it was there" in said and "found in CUB: 5 by name" in said
    assert contents(tmp_path / "out") == before
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")} == times
    status, said, _ = run(["check", str(tmp_path / "out" / "pascub.yaml")], capsys, monkeypatch)
    assert status == 0


@pytest.mark.parametrize("stop", [1, 5, 9, 17, 22])
def test_killed_and_started_again_it_ends_the_same(archives, tmp_path, stop):
    steps = []
    child = os.fork()
    if child == 0:
        try:
            prepare_pascub(
                archives,
                tmp_path / "out",
                progress=lambda *at: steps.append(at) or (os._exit(9) if len(steps) == stop else None),
            )
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert not (tmp_path / "out" / "pascub.yaml").exists()
    assert prepare_pascub(archives, tmp_path / "out").changed
    assert prepare_pascub(archives, tmp_path / "fresh").changed
    resumed, fresh = contents(tmp_path / "out"), contents(tmp_path / "fresh")
    assert resumed.pop(MANIFEST) and fresh.pop(MANIFEST) and resumed == fresh


def edit(name: str, old: str, new: str):
    def damage(folder: Path) -> Path:
        path = folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))
        return path

    return damage


def truncate(name: str, share: float = 0.5):
    def damage(folder: Path) -> Path:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(share * len(content))])
        return folder / name

    return damage


def remove(name: str, told_as: str = ""):
    def damage(folder: Path) -> Path:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return folder / (told_as or name)

    return damage


def picture(name: str, values: np.ndarray):
    def damage(folder: Path) -> Path:
        Image.fromarray(values).save(folder / name)
        return folder / name

    return damage


def matrix(name: str, content: dict):
    def damage(folder: Path) -> Path:
        savemat(folder / name, content)
        return folder / name

    return damage


ANNOTATION, PHOTO = "Annotations_Part/2008_000001.mat", "VOC2010/JPEGImages/2008_000001.jpg"
FIRST = Path(NAMES[1]).stem
MASK = f"CUB_Parts/parts_train/{FIRST}.png"
WRONG_INDEX = np.full(CUB_SIZE[::-1], 11, np.uint8)
DAMAGES = {
    "truncated annotation": (truncate(ANNOTATION), "is no whole .mat file"),
    "annotation without objects": (matrix(ANNOTATION, {"x": np.zeros(3)}), "holds no `anno.objects`"),
    "photograph missing": (remove(PHOTO), "does not exist; unpack all of VOC 2010's JPEGImages"),
    "photograph truncated": (truncate(PHOTO), "is damaged"),
    "photograph of another size": (picture(PHOTO, np.zeros((9, 8, 3), np.uint8)), "is 8x9 pixels, the masks of"),
    "image set missing": (remove("VOC2010/ImageSets/Main/train.txt"), "cannot be read (No such file"),
    "no annotations": (remove("Annotations_Part"), "does not exist; name PASCAL-Part's folder"),
    "images.txt missing": (remove("CUB_200_2011/images.txt", "CUB_200_2011"), "holds no images.txt"),
    "keypoints malformed": (edit("CUB_200_2011/parts/part_locs.txt", "1 1 ", "1 one "), "line 1 is"),
    "split missing": (edit("CUB_200_2011/train_test_split.txt", "4 1\n", ""), "image 4: no 0 or 1 for it"),
    "image of CUB missing": (remove(f"CUB_200_2011/images/{NAMES[7]}"), "does not exist"),
    "image of CUB empty": (truncate(f"CUB_200_2011/images/{NAMES[7]}", 0), "is empty (0 bytes)"),
    "segmentation of another size": (
        picture(f"segmentations/{Path(NAMES[7]).with_suffix('.png')}", np.zeros((9, 8), np.uint8)),
        "is 8x9 pixels, its image is 160x100",
    ),
    "segmentation in colour": (
        picture(f"segmentations/{Path(NAMES[7]).with_suffix('.png')}", np.zeros((*CUB_SIZE[::-1], 3), np.uint8)),
        "is of mode RGB",
    ),
    "split of CUB Parts missing": (remove("CUB_Parts/parts_val"), "is not there; unpack all of PASCUB's archive"),
    "part mask missing": (remove(MASK, f"CUB_Parts/images_train/{FIRST}.jpg"), "has no part mask in"),
    "image of a part mask missing": (remove(f"CUB_Parts/images_train/{FIRST}.jpg", MASK), "has no image in"),
    "part mask damaged": (truncate(MASK), "is damaged"),
    "part mask of another size": (picture(MASK, np.ones((9, 8), np.uint8)), "is 8x9 pixels, its image is 160x100"),
    "unknown index": (picture(MASK, WRONG_INDEX), "unknown part index 11"),
    "coloured part mask": (picture(MASK, np.dstack([WRONG_INDEX, WRONG_INDEX * 2, WRONG_INDEX])), "coloured picture"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_told_with_its_file(archives, tmp_path, name, capsys, monkeypatch):
    damage, expected = DAMAGES[name]
    file = damage(tmp_path / "in")
    status, _, said = run(command(archives, tmp_path / "out"), capsys, monkeypatch)
    assert status == 2 and any(line.startswith(f"{file}: ") and expected in line for line in said.splitlines()), said
    left = contents(tmp_path / "out") if (tmp_path / "out").exists() else {}
    assert "pascub.yaml" not in left and not any(name.endswith(".part") or "lists" in name for name in left)
    for path, content in left.items():
        if path.endswith(".png"):
            Image.open(io.BytesIO(content)).load()  # whole


def test_all_damage_is_told_at_once_and_what_was_made_is_kept(archives, tmp_path):
    chosen = ["truncated annotation", "image of CUB empty", "part mask of another size", "segmentation in colour"]
    files = [str(DAMAGES[name][0](tmp_path / "in")) for name in chosen]
    with pytest.raises(BadInput) as bad:
        prepare_pascub(archives, tmp_path / "out")
    assert {p.file for p in bad.value.problems} >= set(files)
    assert (tmp_path / "out" / "pascal" / "images" / "2008_000007-1.png").exists()


def test_as_in_the_paper_or_without_overlap(archives, tmp_path):
    clean = prepare_pascub(archives, tmp_path / "clean")
    assert lines(clean, "cub_coarse_train") == [NAMES[1], NAMES[4]]
    assert "the coarse train images include images with part masks: 1 of test and 1 of val; taken out" in told(
        clean.problems
    )
    both = [*lines(clean, "cub_coarse_val"), *lines(clean, "cub_coarse_test")]
    assert NAMES[5] not in both, "it has a part mask in train"
    paper = prepare_pascub(archives, tmp_path / "paper", Choices(as_paper=True))
    assert lines(paper, "cub_coarse_train") == [NAMES[i] for i in (1, 2, 3, 4)]
    assert "kept, as the paper's data are" in told(paper.problems)
    records, problems, _ = read_dataset(load_dataset_file(paper.dataset), for_training=True)
    assert errors(problems) == [] and sum("parts" not in r.has for r in records if r.split == "train") == 4


def test_other_numbers_than_the_papers(archives, tmp_path):
    made = prepare_pascub(archives, tmp_path / "out")
    assert "PASCAL, train: 1 images, 271 in the paper's Table 1" in told(made.problems)
    assert "4 crops with a bird, 536 in the paper" in told(made.problems)
    assert "7 photographs with a bird, 625 in the paper" in told(made.problems)
    with pytest.raises(BadInput) as bad:
        prepare_pascub(archives, tmp_path / "strict", Choices(strict=True))
    assert len(bad.value.problems) == 11 and not (tmp_path / "strict" / "pascub.yaml").exists()


def test_a_list_of_splits(archives, tmp_path):
    listed = tmp_path / "splits.txt"
    listed.write_text(f"2008_000007-2.png val\n2008_000006 test\n\n2008_000007-1 val\n{NAMES[7]} val\n{NAMES[8]} val\n")
    made = prepare_pascub(archives, tmp_path / "out", Choices(split_file=listed))
    assert lines(made, "pascal_val") == ["2008_000007-1.png", "2008_000007-2.png"]
    assert lines(made, "pascal_test") == ["2008_000006-1.png"] and lines(made, "pascal_train") == ["2008_000001-1.png"]
    assert {NAMES[7], NAMES[8]} <= set(lines(made, "cub_coarse_val"))
    for text, expected in (
        ("2008_000099 val", "is no bird of PASCAL with a crop"),
        ("2008_000007-1 dev", "expected a name and train, val or test"),
        ("a/b.jpg val\na/b.jpg test", "is in val and in test"),
    ):
        listed.write_text(text)
        with pytest.raises(BadInput, match=expected):
            prepare_pascub(archives, tmp_path / "bad", Choices(split_file=listed))
    with pytest.raises(BadInput, match="cannot be read"):
        prepare_pascub(archives, tmp_path / "bad", Choices(split_file=tmp_path / "none.txt"))


def test_another_seed_deals_the_photographs_otherwise(archives, tmp_path):
    dealt = {
        tuple(lines(prepare_pascub(archives, tmp_path / "out", Choices(seed=s)), "cub_coarse_val")) for s in range(5)
    }
    assert len(dealt) > 1
    split = [
        {f"{n[:11]}": which for which in ("val", "test") for n in lines(made, f"pascal_{which}")}
        for made in (prepare_pascub(archives, tmp_path / "out", Choices(seed=s)) for s in range(3))
    ]
    assert all(len(one) == 2 for one in split), "the crops of a photograph stay together"


def test_the_neck_and_the_body_are_choices(archives, tmp_path):
    def torso(made):
        values = np.array(Image.open(made.dataset.parent / "pascal" / "part_masks" / "2008_000001-1.png"))
        return int((values == PARTS.index("torso") + 1).sum())

    head = prepare_pascub(archives, tmp_path / "out")
    assert torso(head) == CELL * (CELL - 4)
    drop = prepare_pascub(archives, tmp_path / "out", Choices(Rules(neck="drop")))
    assert drop.changed and torso(drop) == CELL * CELL and drop.funnel == head.funnel, "the same birds"
    rest = prepare_pascub(archives, tmp_path / "out", Choices(Rules(body="rest")))
    assert rest.funnel[-1][1:] == (0, 5), "wings and tail weigh, too"


def test_the_order_of_parts(archives, tmp_path):
    made = prepare_pascub(archives, tmp_path / "out")
    assert f"indices 1 to 10 are {', '.join(ARCHIVE_ORDER)}: 100.0% of 59 keypoints agree" in told(made.problems)
    given = prepare_pascub(archives, tmp_path / "out", Choices(order=ARCHIVE_ORDER))
    assert "by the keypoints" not in told(given.problems)
    wrong = prepare_pascub(archives, tmp_path / "out", Choices(order=PARTS))
    assert "by the keypoints, its indices would be head, torso, beak" in told(wrong.problems)
    table = archives.cub / "parts" / "part_locs.txt"
    table.write_text("".join(f"{line[:-1]}0\n" for line in table.read_text().splitlines()))
    with pytest.raises(BadInput, match=r"the 0 keypoints that lie on its masks do not tell .*say it with --part-order"):
        prepare_pascub(archives, tmp_path / "out")


def test_options_of_the_command_line(archives, tmp_path, capsys, monkeypatch):
    for more, expected in (
        (["--neck", "long"], "--neck: is 'long'; choose one of head, drop"),
        (["--part-order", "head,torso"], "--part-order: names 2 parts, expected 10"),
        (["--part-order", "hed"], "--part-order: is 'hed'"),
    ):
        status, _, said = run(command(archives, tmp_path / "out", *more), capsys, monkeypatch)
        assert status == 2 and expected in said
    status, said, _ = run(
        command(archives, tmp_path / "out", "--part-order", ",".join(ARCHIVE_ORDER)), capsys, monkeypatch
    )
    assert status == 0


def test_folders_one_level_up_and_missing_ones(archives, tmp_path):
    (tmp_path / "in" / "VOCdevkit").mkdir()
    (tmp_path / "in" / "VOC2010").rename(tmp_path / "in" / "VOCdevkit" / "VOC2010")
    above = Archives(*[tmp_path / "in"] * 4)
    made = prepare_pascub(above, tmp_path / "out")
    source = yaml.safe_load(made.dataset.read_text())["sources"][0]
    assert source["masks"] == str(tmp_path / "in" / "segmentations"), "found beside CUB_200_2011"
    nowhere = tmp_path / "nowhere"
    with pytest.raises(BadInput) as bad:
        prepare_pascub(Archives(*[nowhere] * 5), tmp_path / "none")
    assert len(bad.value.problems) == 5 and not (tmp_path / "none").exists()


def test_without_segmentations(archives, tmp_path):
    shutil.rmtree(archives.segmentations)
    made = prepare_pascub(Archives(archives.cub, archives.parts, archives.voc, archives.pascal_parts), tmp_path / "out")
    assert "8 of 8 images of CUB have no figure-ground mask there" in told(made.problems)
    records, problems, _ = read_dataset(load_dataset_file(made.dataset))
    assert errors(problems) == [] and not any("mask" in r.has for r in records)


def test_images_of_cub_parts_are_found_whatever_became_of_them(archives, tmp_path):
    images = archives.parts / "images_val"
    two, six = (images / Path(NAMES[i]).name for i in (2, 6))
    Image.open(two).save(two, quality=60)  # compressed once more
    renamed = six.with_name("renamed.jpg")
    six.rename(renamed)
    (archives.parts / "parts_val" / f"{six.stem}.png").rename(archives.parts / "parts_val" / "renamed.png")
    three = archives.parts / "images_test" / Path(NAMES[3]).name
    pixels = Image.open(three)
    pixels.load()
    three.unlink()
    pixels.save(three.with_name("other.png"))
    (archives.parts / "parts_test" / f"{three.stem}.png").rename(archives.parts / "parts_test" / "other.png")
    made = prepare_pascub(archives, tmp_path / "out")
    said = told(made.problems)
    assert "2 by name and the same bytes; 1 by name and nearly the same pixels; 2 under another name" in said
    assert lines(made, "cub_parts_val") == [NAMES[2], NAMES[6]] and lines(made, "cub_parts_test") == [NAMES[3]]
    assert lines(made, "cub_coarse_train") == [NAMES[1], NAMES[4]]


def test_images_that_are_not_in_cub_are_used_in_place(archives, tmp_path):
    stranger = tmp_path / "Stranger_0001_9.jpg"
    rng = np.random.default_rng(9)
    Image.fromarray(rng.integers(0, 256, (*CUB_SIZE[::-1], 3)).astype(np.uint8)).save(stranger)
    write_pair(archives.parts, "train", stranger, (12, 20))
    other = archives.parts / "images_val" / Path(NAMES[2]).name
    Image.fromarray(rng.integers(0, 256, (*CUB_SIZE[::-1], 3)).astype(np.uint8)).save(other)
    made = prepare_pascub(archives, tmp_path / "out")
    said = told(made.problems)
    assert "1 by name alone" in said and "1 not at all" in said
    assert NAMES[2] not in lines(made, "cub_coarse_train"), "its name is reason enough"
    records, problems, _ = read_dataset(load_dataset_file(made.dataset))
    assert errors(problems) == []
    in_place = [r for r in records if r.image is not None and r.image.is_relative_to(archives.parts)]
    assert sorted((r.split, r.image.name) for r in in_place) == [("train", stranger.name), ("val", other.name)]
    assert all(r.has == {"parts"} for r in in_place)
    mask = np.array(Image.open(tmp_path / "out" / "cub_parts_in_place" / "train" / "Stranger_0001_9.png"))
    assert mask[cell("beak", (12, 20))].min() == 1


def test_an_image_with_two_part_masks(archives, tmp_path):
    write_pair(archives.parts, "test", archives.cub / "images" / NAMES[1], (11, 20))
    with pytest.raises(BadInput, match=r"_1\.jpg: is .* of CUB, which has another part mask in train"):
        prepare_pascub(archives, tmp_path / "out")


def test_the_crops_of_the_papers_authors(archives, tmp_path, capsys, monkeypatch):
    crops = tmp_path / "in" / "PASCAL_Parts"
    rng = np.random.default_rng(5)
    for split, count in (("train", 2), ("val", 1), ("test", 1)):
        for i in range(count):
            image = tmp_path / f"2008_00{split}{i}.jpg"
            Image.fromarray(rng.integers(0, 256, (*CUB_SIZE[::-1], 3)).astype(np.uint8)).save(image)
            write_pair(crops, split, image, (10, 20))
    given = Archives(archives.cub, archives.parts, pascal_crops=tmp_path / "in")
    made = prepare_pascub(given, tmp_path / "out")
    assert [row[3] for row in made.sizes[:3]] == [2, 1, 1] and made.funnel == []
    for name, count in (("pascub.yaml", 2), ("pascub-pascal.yaml", 4)):
        records, problems, _ = read_dataset(load_dataset_file(made.dataset.with_name(name)))
        assert errors(problems) == []
        assert sum(r.image is not None and r.image.is_relative_to(crops) for r in records) == count
    mask = np.array(Image.open(tmp_path / "out" / "pascal_in_place" / "val" / "2008_00val0.png"))
    assert all((mask[cell(part, (10, 20))] == i).all() for i, part in enumerate(PARTS, 1)), "CUB Parts' order"
    assert prepare_pascub(given, tmp_path / "out").changed is False
    status, _, said = run([*command(archives, tmp_path / "x"), "--pascal-crops", str(crops)], capsys, monkeypatch)
    assert status == 2 and "give --voc and --pascal-parts, or --pascal-crops" in said
    (crops / "parts_test" / "2008_00test0.png").write_bytes(b"x")
    with pytest.raises(BadInput, match=r"2008_00test0\.png: is no image"):
        prepare_pascub(given, tmp_path / "out")
