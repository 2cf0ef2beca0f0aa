"""The pages of docs/tools: their commands run as they stand, and the dataset file on each is the one that comes out."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from documents import rle
from PIL import Image

from coarseparts.cli.main import app
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.registry import write_export

PAGES = sorted((Path(__file__).resolve().parent.parent / "docs" / "tools").glob("*.md"))

SIZE, COUNT = (80, 60), 6

RUN = ("init", "check", "convert")
"""Verbs that are run; the others need a training and are parsed."""


def photographs(folder: Path, name: str = "{}.png") -> None:
    folder.mkdir(parents=True)
    for i in range(1, COUNT + 1):
        pixels = np.random.default_rng([i, *str(folder).encode()]).integers(0, 255, (*SIZE[::-1], 3), np.uint8)
        Image.fromarray(pixels).save(folder / name.format(i))


def part_masks(folder: Path, name: str = "{}.png") -> None:
    folder.mkdir(parents=True)
    for i in range(1, COUNT + 1):
        mask = square(4, 6, 12).astype(np.uint8) + 2 * square(18, 14, 14).astype(np.uint8)
        Image.fromarray(mask).save(folder / name.format(i))


def square(x: int, y: int, side: int) -> np.ndarray:
    mask = np.zeros(SIZE[::-1], bool)
    mask[y : y + side, x : x + side] = True
    return mask


def ants(only: tuple[int, ...] = (1, 2, 3, 4)) -> Document:
    """An ant in each photograph, of some categories: its skeleton, body, and two parts of it."""
    images = [{"id": i, "file_name": f"{i}.png", "width": SIZE[0], "height": SIZE[1]} for i in range(1, COUNT + 1)]
    names = ["left eye", "right eye"]
    categories = [{"id": 1, "name": "ant", "keypoints": names}, {"id": 2, "name": "body"}]
    categories += [{"id": 3, "name": "head"}, {"id": 4, "name": "rump"}]
    entries = []
    for image in range(1, COUNT + 1):
        of = {"image_id": image, "group": f"ant {image}"}
        entries.append(of | {"category_id": 1, "keypoints": [8, 12, 2, 20, 16, 1]})
        for category, mask in ((2, square(4, 6, 30)), (3, square(4, 6, 12)), (4, square(18, 14, 14))):
            entries.append(of | {"category_id": category, "segmentation": rle(mask)})
    entries = [entry | {"id": i} for i, entry in enumerate(entries, 1) if entry["category_id"] in only]
    mirror = [(names[0], names[1])]
    return Document(images, [one for one in categories if one["id"] in only], entries, [], mirror)


def of_cvat() -> None:
    photographs(Path("photos"))
    write_export("cvat", ants(), Path())


def of_label_studio() -> None:
    photographs(Path("photos"))
    write_export("label-studio", ants(), Path())


def of_labelme() -> None:
    for file in (write_export("labelme", ants(), Path())).rename("photos").iterdir():
        assert file.suffix == ".json"
    Path("photos").rename("labels")
    photographs(Path("photos"))
    for file in Path("labels").iterdir():
        file.rename(Path("photos") / file.name)


def of_via() -> None:
    photographs(Path("photos"))
    write_export("via", ants(), Path())


def of_coco() -> None:
    photographs(Path("photos"))
    for name, only in (("keypoints", (1,)), ("masks", (2, 3, 4))):
        write_export("coco", ants(only), Path()).rename(f"{name}.json")


def of_yolo() -> None:
    write_export("yolo", ants((1,)), Path())
    photographs(Path("yolo/images"))
    part_masks(Path("part_masks"))


def of_deeplabcut() -> None:
    for film in ("film1", "film2"):
        photographs(Path("project/labeled-data") / film, "img{}.png")
        part_masks(Path("part_masks") / film, "img{}.png")
        with open(Path("project/labeled-data") / film / "CollectedData_Ann.csv", "w", newline="") as file:
            rows = [["scorer", *["Ann"] * 4], ["bodyparts", *["left eye"] * 2, *["right eye"] * 2]]
            rows += [["coords", *["x", "y"] * 2]]
            rows += [[f"labeled-data/{film}/img{i}.png", 8, 12, 70, 50] for i in range(1, COUNT + 1)]
            csv.writer(file).writerows(rows)


def of_sleap() -> None:
    sio = pytest.importorskip("sleap_io", reason="sleap-io is not installed: nothing to write projects with")
    photographs(Path("frames"), "film_frame_{:06d}.png")
    part_masks(Path("part_masks"), "film_frame_{:06d}.png")
    skeleton = sio.Skeleton(["left eye", "right eye"], symmetries=[("left eye", "right eye")], name="ant")
    video = sio.Video.from_filename(sorted(map(str, Path("frames").iterdir())))
    instance = sio.Instance.from_numpy(np.array([[8, 12], [70, 50]], float), skeleton=skeleton)
    frames = [sio.LabeledFrame(video=video, frame_idx=i, instances=[instance]) for i in range(COUNT)]
    sio.Labels(frames).save("ants.slp")


WRITTEN = {
    "cvat": of_cvat,
    "label-studio": of_label_studio,
    "labelme": of_labelme,
    "via": of_via,
    "coco": of_coco,
    "yolo": of_yolo,
    "deeplabcut": of_deeplabcut,
    "sleap": of_sleap,
}
"""What lies in the folder in which the commands of a page are typed."""


def test_every_page_has_its_example():
    assert {page.stem for page in PAGES} == WRITTEN.keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run_and_its_dataset_file_comes_out(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    WRITTEN[page.stem]()
    text = page.read_text()
    commands = re.findall(r"^coarseparts .*$", text, re.MULTILINE)
    assert len(commands) >= 5 and {shlex.split(one)[1] for one in commands} == {*RUN, "train", "predict"}
    for command in commands:
        words = shlex.split(command)[1:]
        if words[0] in RUN:
            assert app(words, standalone_mode=False, prog_name="coarseparts") in (0, None), command
        else:
            parse(words)
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert yaml.safe_load(block) == yaml.safe_load(Path("ants.yaml").read_text())


def parse(words: list[str]) -> None:
    """Raises click's usage error where the parser would."""
    top = typer.main.get_command(app)
    command = top.verb(words[0])  # type: ignore[attr-defined]
    command.make_context(words[0], words[1:])
