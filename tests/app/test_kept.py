"""What was saved stays what it was: photographs that change, other models, other lists, disks that are full."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="fastapi is not installed: pip install 'coarseparts[app]'")
from server import page_of, photographs, read_png, toy_model

from coarseparts.app.places import beside, refuse_inside
from coarseparts.app.requests import png
from coarseparts.app.workspace import Workspace
from coarseparts.data.images import list_images
from coarseparts.data.synthetic import birds
from coarseparts.labels.schema import Schema
from coarseparts.measurement.scale import read_scale
from coarseparts.system.problems import BadInput

ONES, TWOS = (np.full((64, 64), value, np.uint8) for value in (1, 2))
LABELS = {"keypoints": {"beak": [20.0, 30.0]}, "box": [5.0, 6.0, 60.0, 61.0], "mask": None}


@pytest.fixture(scope="module")
def model():
    return toy_model()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return photographs(tmp_path / "photos")


@pytest.fixture
def served(model, images: Path, tmp_path: Path) -> Iterator[tuple[Workspace, Callable[..., Any]]]:
    with page_of(model, images, tmp_path / "out") as found:
        yield found


def put(ask: Callable[..., Any], number: int, parts: np.ndarray = ONES, revision: int = 0, labels: Any = LABELS) -> int:
    body = {"parts": png(parts), "labels": labels, "status": "corrected", "revision": revision}
    return ask("PUT", f"/api/images/{number}/parts", body)[0]


def labelled(out: Path) -> list[str]:
    """The images of the COCO file."""
    return [image["file_name"] for image in json.loads((out / "coco.json").read_text("utf-8"))["images"]]


def test_labels_of_photographs_that_are_not_looked_at_now_stay(model, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with page_of(model, images, out) as (_, ask):
        assert [put(ask, number) for number in (0, 1, 2)] == [200] * 3
    (images / "bird_2.png").unlink()
    alone = Workspace(images, [("bird_1.png", images / "bird_1.png")], out, model.schema)
    alone.settle()
    assert labelled(out) == ["bird_0.png", "bird_1.png"], "the one that is gone from the folder, and no other, goes"
    assert len(alone.saved) == 2


@pytest.mark.parametrize("changes", [{"parts": birds.SCHEMA.parts[::-1]}, {"parts": birds.SCHEMA.parts[:3]}])
def test_corrections_of_other_parts_are_not_taken_for_these(
    served, images: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    _, ask = served
    put(ask, 0)
    other = Schema(**changes, keypoints=birds.SCHEMA.keypoints)
    with pytest.raises(BadInput, match=r"out: holds corrections of other parts.*take another folder with --out"):
        Workspace(images, list_images(images), tmp_path / "out", other)


def test_a_photograph_of_another_size_gets_none_of_what_was_saved(served, images: Path) -> None:
    space, ask = served
    put(ask, 0)
    Image.new("RGB", (32, 48)).save(images / "bird_0.png")
    _, about = ask("GET", "/api/images/0")
    assert (about["width"], about["height"]) == (32, 48)
    assert about["labels"] == {"keypoints": {}, "box": None, "mask": False}
    status, answer = ask("GET", "/api/images/0/parts")
    assert status == 410 and "saved at 64 x 64 pixels, and the photograph has 32 x 48 now" in answer["error"]
    (saved,) = json.loads((space.out / "coco.json").read_text())["images"]
    put(ask, 1)
    assert (saved["width"], saved["height"]) == (64, 64), "labels are told in the size in which they were given"
    assert put(ask, 0, ONES, 1) in (413, 422)
    assert put(ask, 0, np.ones((48, 32), np.uint8), 1, LABELS | {"keypoints": {}}) == 200
    assert (np.asarray(Image.open(space.out / "older" / "bird_0.1.png")) == 1).all()


def test_another_photograph_under_a_name_is_told_and_other_bytes_of_the_same_are_not(served, images: Path) -> None:
    _, ask = served
    put(ask, 0)
    Image.open(images / "bird_0.png").save(images / "bird_0.png", compress_level=0)
    assert ask("GET", "/api/images/0")[1]["another"] is False
    Image.open(images / "bird_1.png").save(images / "bird_0.png")
    assert ask("GET", "/api/images/0")[1]["another"] is True
    assert ask("GET", "/api/images/1")[1]["another"] is False


def test_work_on_a_photograph_is_not_saved_for_another_one_that_took_its_place(served, images: Path) -> None:
    space, ask = served
    body = {"parts": png(ONES), "status": "corrected", "revision": 0}
    body["pixels"] = ask("GET", "/api/images/0")[1]["pixels"]
    whole = (images / "bird_0.png").read_bytes()
    Image.open(images / "bird_1.png").save(images / "bird_0.png")
    status, answer = ask("PUT", "/api/images/0/parts", body)
    assert (status, "not the one that was opened" in answer["error"]) == (412, True)
    assert not space.out.exists()
    (images / "bird_0.png").unlink()  # it is gone: that the parts are its own is still known
    assert ask("PUT", "/api/images/0/parts", body)[0] == 200
    (images / "bird_0.png").write_bytes(whole)
    assert ask("GET", "/api/images/0")[1]["another"] is False


def test_a_photograph_that_is_written_anew_is_seen_anew(served, images: Path) -> None:
    _, ask = served
    whole = (images / "bird_1.png").read_bytes()
    (images / "bird_1.png").write_bytes(whole[:1000])
    assert ask("GET", "/api/images/1")[1]["status"] == "damaged"
    (images / "bird_1.png").write_bytes(whole)
    assert ask("GET", "/api/images/1")[1]["status"] == "new"
    before = ask("GET", "/api/images/1/photo")[1]
    Image.new("RGB", (64, 64), "red").save(images / "bird_1.png")
    assert ask("GET", "/api/images/1/photo")[1] != before


def test_an_image_that_cannot_be_read_any_more_keeps_its_labels_and_its_work_is_saved(served, images: Path) -> None:
    space, ask = served
    put(ask, 0)
    (images / "bird_0.png").write_bytes(b"gone")
    assert ask("GET", "/api/images/0")[1]["status"] == "damaged"
    put(ask, 1)
    assert labelled(space.out) == ["bird_0.png", "bird_1.png"]
    assert put(ask, 0, TWOS, 1) == 200 and (space.parts(0)[0] == 2).all()


def test_a_skipped_image_is_no_part_mask_until_it_is_taken_up_again(served) -> None:
    space, ask = served
    put(ask, 0)
    put(ask, 1)
    assert ask("PUT", "/api/images/0/status", {"status": "skipped", "revision": 1})[1]["status"] == "skipped"
    assert [file.name for file in (space.out / "parts").iterdir()] == ["bird_1.png"]
    assert labelled(space.out) == ["bird_1.png"]
    again = Workspace(space.images, list_images(space.images), space.out, space.schema)
    assert again.entry(0).status == "skipped" and again.entry(0).saved_as == "corrected"
    answer = ask("PUT", "/api/images/0/status", {"status": "new", "revision": 2})[1]
    assert answer == {"revision": 3, "status": "corrected"}
    assert (space.parts(0)[0] == 1).all() and labelled(space.out) == ["bird_0.png", "bird_1.png"]
    ask("PUT", "/api/images/0/status", {"status": "skipped", "revision": 3})
    assert put(ask, 0, TWOS, 4) == 200 and (space.parts(0)[0] == 2).all()
    assert not (space.out / "skipped" / "bird_0.png").exists()
    assert (np.asarray(Image.open(space.out / "older" / "bird_0.4.png")) == 1).all()


def test_two_photographs_that_would_share_a_part_mask_are_left_alone(model, images: Path, tmp_path: Path) -> None:
    Image.open(images / "bird_0.png").save(images / "bird_0.jpg")
    with page_of(model, images, tmp_path / "out") as (space, ask):
        told = ask("GET", "/api/images?status=damaged")[1]["images"]
        assert [image["name"] for image in told] == ["bird_0.jpg", "bird_0.png"]
        assert "rename one" in told[0]["reason"]
        assert ask("GET", "/api/images/0")[1]["status"] == "damaged"
        assert put(ask, 0) == put(ask, 1) == 410 and put(ask, 2) == 200
        assert [file.name for file in (space.out / "parts").iterdir()] == ["bird_1.png"]


@pytest.mark.parametrize("file", ["journal.jsonl", "coco.json"])
def test_saving_that_fails_at_any_file_saves_nothing_and_can_be_repeated(
    served, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    space, ask = served
    put(ask, 0)
    before = (space.out / "coco.json").read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(f"coarseparts.app.workspace.{'add_line' if file == 'journal.jsonl' else 'write_json'}", full)
        assert put(ask, 0, TWOS, 1) == put(ask, 1) == 507
        assert ask("PUT", "/api/images/0/status", {"status": "skipped", "revision": 1})[0] == 507
    assert (space.parts(0)[0] == 1).all() and not (space.out / "parts" / "bird_1.png").exists()
    assert (space.out / "coco.json").read_bytes() == before
    assert put(ask, 0, TWOS, 1) == put(ask, 1) == 200


def test_names_as_long_as_a_disk_takes_are_saved_again_and_again(model, tmp_path: Path) -> None:
    name = "ä" * 124 + "ab.jpg"
    folder = photographs(tmp_path / "photos", 1)
    (folder / "bird_0.png").rename(folder / name)
    with page_of(model, folder, tmp_path / "out") as (space, ask):
        assert [put(ask, 0, revision=n) for n in range(3)] == [200] * 3
        assert ask("PUT", "/api/images/0/status", {"status": "skipped", "revision": 3})[0] == 200
    assert len(list((space.out / "older").iterdir())) == 2


def test_an_address_means_the_same_image_when_others_come_and_go(model, images: Path, tmp_path: Path) -> None:
    with page_of(model, images, tmp_path / "out") as (space, ask):
        put(ask, 1)
        before = ask("GET", "/api/images")[1]["images"][1]
        assert before["name"] == "bird_1.png" and not {"bird", "png"} & set(re.split(r"\W|_", before["id"]))
    (images / "bird_0.png").rename(images / "zebra.png")
    with page_of(model, images, tmp_path / "out") as (space, ask):
        assert space.entries[0].name == "bird_1.png"
        _, about = ask("GET", f"/api/images/{before['id']}")
        assert (about["name"], about["status"], about["id"]) == ("bird_1.png", "corrected", before["id"])
    (images / "bird_1.png").unlink()
    with page_of(model, images, tmp_path / "out") as (_, ask):
        status, answer = ask("GET", f"/api/images/{before['id']}/parts")
        assert status == 404 and "no longer" in answer["error"]


def test_names_that_are_no_text_are_shown_and_saved(model, tmp_path: Path) -> None:
    folder = photographs(tmp_path / os.fsdecode(b"\xff photos"), 1)
    (folder / "bird_0.png").rename(folder / os.fsdecode(b"b\xe4r #1%20'\".png"))
    with page_of(model, folder, tmp_path / "out") as (space, ask):
        space.author = "Ada"
        assert ask("GET", "/api/session")[0] == 200
        assert ask("GET", "/api/images")[1]["images"][0]["name"] == "b\\xe4r #1%20'\".png"
        assert put(ask, 0) == put(ask, 0, revision=1) == 200
        assert labelled(space.out) == [space.entries[0].name], (
            "the file is JSON in UTF-8, and names it as the disk does"
        )
        body = {"image": 0, "points": [[0, 0], [30, 40]], "length": 1, "unit": "mm"}
        assert ask("PUT", "/api/scale", body)[0] == ask("PUT", "/api/scale", body)[0] == 200
        assert ask("GET", "/api/retrain")[0] == 200


def test_keypoints_that_a_model_does_not_know_stay_as_they_were_saved(model, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fewer = toy_model(Schema(parts=birds.SCHEMA.parts, keypoints=("tail", "crown")))
    with page_of(model, images, out) as (_, ask):
        put(ask, 0)
    with page_of(fewer, images, out) as (_, ask):
        assert ask("GET", "/api/images/0")[1]["labels"]["keypoints"] == {}
        placed = {"keypoints": {"tail": [1.0, 2.0]}, "box": None, "mask": None}
        assert put(ask, 0, TWOS, 1, placed) == 200
    (category,) = json.loads((out / "coco.json").read_text())["categories"]
    assert category["keypoints"] == ["tail", "beak"]


def test_names_are_found_however_their_accents_are_encoded(model, tmp_path: Path) -> None:
    folder = photographs(tmp_path / "photos", 1)
    (folder / "bird_0.png").rename(folder / unicodedata.normalize("NFD", "Käfer.png"))
    with page_of(model, folder, tmp_path / "out") as (space, _):
        assert [space.listed("", "name", False, query, 0, 9)["total"] for query in ("käf", "KÄF", "kaf")] == [1, 1, 0]


@pytest.mark.parametrize("value", ["colours", "another index", "cut off"])
def test_a_part_mask_that_somebody_changed_beyond_reading_is_told(served, value: str) -> None:
    space, ask = served
    put(ask, 0)
    file = space.out / "parts" / "bird_0.png"
    assert np.array_equal(read_png(ask("GET", "/api/images/0/parts")[1]["parts"]), ONES)
    if value == "cut off":
        file.write_bytes(file.read_bytes()[:60])
    else:
        Image.fromarray(np.full((64, 64), 200, np.uint8)).convert("RGB" if value == "colours" else "L").save(file)
    status, answer = ask("GET", "/api/images/0/parts")
    assert status == 410 and "any more" in answer["error"]


def test_a_scale_file_keeps_what_others_wrote_there(model, images: Path, tmp_path: Path) -> None:
    (images / "bird_1.png").rename(images / "=1,bird.png")
    body = {"image": 0, "points": [[0, 0], [30, 40]], "length": 5, "unit": "mm"}
    with page_of(model, images, tmp_path / "out") as (space, ask):
        file = space.out / "scale.csv"
        space.out.mkdir()
        file.write_text("\ufeffimage,pixels_per_unit,unit,by\nbird_0.png,3,mm,Ada\nelsewhere.png,4,mm,Bea\n")
        names = [entry.name for entry in space.entries[:2]]
        assert names == ["=1,bird.png", "bird_0.png"]
        for image in (0, 1, 0):
            assert ask("PUT", "/api/scale", body | {"image": image})[0] == 200
        assert file.read_text().splitlines() == [
            "image,pixels_per_unit,unit,by",
            "bird_0.png,10,mm,Ada",
            "elsewhere.png,4,mm,Bea",
            '"\'=1,bird.png",10,mm,',
        ]
        scale, _ = read_scale(file, [(entry.name, entry.path) for entry in space.entries[:2]])
        assert [scale.of(name) for name in names] == [10, 10]
        file.write_text("image;scale\nbird_0.png;3\n")
        status, answer = ask("PUT", "/api/scale", body)
        assert status == 422 and "scale.csv" in answer["error"] and str(tmp_path) not in answer["error"]
        assert "bird_0.png;3" in file.read_text()


def test_corrections_do_not_lie_among_the_photographs(images: Path) -> None:
    for out in (images, images / "corrected"):
        with pytest.raises(BadInput, match="taken for photographs; choose a folder elsewhere"):
            refuse_inside(images, [images], out)
    refuse_inside(images, [images], images / ".corrected")
    refuse_inside(images, [images / "bird_0.png"], images / "corrected")
    assert beside(Path("/")) == Path("/images_corrected")
