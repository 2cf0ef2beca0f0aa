"""The server behind the page: what is looked at, what is saved, and who may ask."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="fastapi is not installed: pip install 'coarseparts[app]'")
from server import OWN, TOKEN, ask, page_of, photographs, read_png, serving, speak, toy_model

from coarseparts.app.answers import WAITING, Answers
from coarseparts.app.entries import Entry
from coarseparts.app.errors import Refused
from coarseparts.app.guard import POLICY
from coarseparts.app.page import page_app
from coarseparts.app.requests import png
from coarseparts.app.workspace import Workspace
from coarseparts.data.build import build_store
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.images import list_images
from coarseparts.data.synthetic import birds
from coarseparts.labels.schema import Schema

LABELS = {"keypoints": {"beak": [20.0, 30.0], "tail": [50.0, 40.0]}, "box": [5.0, 6.0, 60.0, 61.0], "mask": None}
NONE = {"keypoints": {}, "box": None, "mask": None}


@pytest.fixture(scope="module")
def model():
    return toy_model()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return photographs(tmp_path / "photos")


@pytest.fixture
def served(model, images: Path, tmp_path: Path) -> Iterator[tuple[Workspace, Callable[..., Any]]]:
    with page_of(model, images, tmp_path / "corrected", author="Ada") as found:
        yield found


def correction(parts: np.ndarray, revision: int = 0, **changes: Any) -> dict[str, Any]:
    return {"parts": png(parts), "labels": NONE, "status": "corrected", "revision": revision} | changes


def test_what_there_is_to_look_at(served) -> None:
    _, ask = served
    status, session = ask("GET", "/api/session")
    assert status == 200 and [part["name"] for part in session["parts"]] == list(birds.SCHEMA.parts)
    assert session["posterior"] and session["author"] == "Ada" and session["writable"]
    _, listed = ask("GET", "/api/images?limit=2")
    assert listed["total"] == 3 and listed["counts"] == {"new": 3}
    assert [image["name"] for image in listed["images"]] == ["bird_0.png", "bird_1.png"]
    _, image = ask("GET", "/api/images/1")
    assert (image["width"], image["height"], image["revision"], image["corrected"]) == (64, 64, 0, False)
    assert ask("GET", "/api/images/1/photo")[1][:2] == b"\xff\xd8"
    assert ask("GET", "/")[0] == 200 and ask("GET", "/static/main.js")[0] == 200


def test_the_model_answers_with_and_without_labels_as_the_library_does(served, model, images: Path) -> None:
    _, ask = served
    for labels in (NONE, LABELS):
        status, answer = ask("POST", "/api/images/0/parts", labels)
        given = {key: value for key, value in labels.items() if value}
        expected = model.predict(images / "bird_0.png", **given)
        assert status == 200 and np.array_equal(read_png(answer["parts"]), expected.index)
        assert set(answer["scores"]) == set(birds.SCHEMA.parts) and 0 <= answer["confidence"] <= 1
    _, listed = ask("GET", "/api/images?sort=confidence")
    assert [image["confidence"] is None for image in listed["images"]] == [False, True, True], "unknown ones last"


def test_a_mask_is_given_as_a_picture(served, model, images: Path) -> None:
    _, ask = served
    mask = np.zeros((64, 64), np.uint8)
    mask[10:50, 20:40] = 255
    _, answer = ask("POST", "/api/images/0/parts", NONE | {"mask": png(mask)})
    assert np.array_equal(read_png(answer["parts"]), model.predict(images / "bird_0.png", mask=mask > 0).index)


def test_what_is_saved_is_read_as_part_masks_and_labels(served, images: Path, tmp_path: Path) -> None:
    _, ask = served
    parts = np.zeros((64, 64), np.uint8)
    parts[8:20, 10:30] = 2
    mask = np.where(parts > 0, 255, 0).astype(np.uint8)
    labels = LABELS | {"mask": png(mask)}
    status, kept = ask("PUT", "/api/images/1/parts", correction(parts, labels=labels, seconds=12.5))
    assert (status, kept) == (200, {"revision": 1, "status": "corrected", "path_name": "parts/bird_1.png"})
    _, again = ask("GET", "/api/images/1/parts")
    assert np.array_equal(read_png(again["parts"]), parts)
    assert np.array_equal(read_mask(ask("GET", "/api/images/1/mask")[1]), mask)

    _, told = ask("GET", "/api/retrain")
    assert told["new_masks"] == 1
    schema = "parts: [" + ", ".join(birds.SCHEMA.parts) + "]\nsize: 32\nsources:\n"
    file = tmp_path / "again.yaml"
    file.write_text(schema + "\n".join(told["data_file_lines"]) + "\n")
    store, problems = build_store(load_dataset_file(file), tmp_path / "store")
    assert not [p for p in problems if p.severity == "error"]
    assert list(store.names) == ["bird_1"], "the others have no labels"
    assert [store.present[style][0] for style in ("keypoints", "mask", "box")] == [True] * 3
    assert sorted(np.unique(store.parts[0])) == [0, 2]


def test_the_lines_for_a_dataset_file_name_what_lies_in_its_folder_relative_to_it(tmp_path: Path) -> None:
    images, out = tmp_path / "ants" / "photos", tmp_path / "ants" / "photos_corrected"
    inside, elsewhere = (
        Workspace(images, [], out, birds.SCHEMA, data=tmp_path / folder / "ants.yaml").source_lines()
        for folder in ("ants", "others")
    )
    assert inside[1:3] == ['  images: "photos"', '  part_masks: "photos_corrected/parts"']
    assert elsewhere[1] == f'  images: "{images}"'


def read_mask(raw: bytes) -> np.ndarray:
    import io

    return np.asarray(Image.open(io.BytesIO(raw)))


def test_what_was_saved_is_there_after_a_restart_and_nothing_older_is_lost(model, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "corrected"
    first, second = (np.full((64, 64), value, np.uint8) for value in (1, 3))
    with page_of(model, images, out) as (_, ask):
        ask("PUT", "/api/images/0/parts", correction(first))
        ask("PUT", "/api/images/0/parts", correction(second, revision=1, author="Bea", labels=LABELS))
        ask("PUT", "/api/images/2/status", {"status": "skipped", "revision": 0})
    with (out / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"image": "bird_1.png", "status": "corr')  # the stop came here
    (out / "coco.json").unlink()  # or here, in another one
    with page_of(model, images, out) as (space, ask):
        space.settle()
        (label,) = json.loads((out / "coco.json").read_text())["annotations"]
        assert label["bbox"] and label["keypoints"]
        _, image = ask("GET", "/api/images/0")
        assert (image["status"], image["revision"], image["corrected"]) == ("corrected", 2, True)
        assert image["labels"] == {"keypoints": LABELS["keypoints"], "box": LABELS["box"], "mask": False}
        assert ask("GET", "/api/images?status=skipped")[1]["images"][0]["name"] == "bird_2.png"
        assert ask("PUT", "/api/images/1/parts", correction(first))[0] == 200
    older = np.asarray(Image.open(out / "older" / "bird_0.1.png"))
    assert (older == 1).all()
    lines = (out / "journal.jsonl").read_text().splitlines()
    assert json.loads(lines[1])["author"] == "Bea" and json.loads(lines[-1])["image"] == "bird_1.png"


def test_keypoints_that_nobody_placed_are_unknown(served, tmp_path: Path) -> None:
    space, ask = served
    ask("PUT", "/api/images/0/parts", correction(np.ones((64, 64), np.uint8), labels=LABELS))
    both = {"keypoints": {"crown": [1.0, 2.0]}, "box": None, "mask": None}
    ask("PUT", "/api/images/1/parts", correction(np.ones((64, 64), np.uint8), labels=both))
    coco = json.loads((space.out / "coco.json").read_text())
    assert [category["keypoints"] for category in coco["categories"]] == [["beak", "tail"], ["crown"]]


def test_who_comes_second_is_told_and_nothing_is_lost(served) -> None:
    space, ask = served
    assert ask("PUT", "/api/images/0/parts", correction(np.ones((64, 64), np.uint8)))[0] == 200
    status, answer = ask("PUT", "/api/images/0/parts", correction(np.zeros((64, 64), np.uint8)))
    assert status == 409 and answer["revision"] == 1
    assert (space.parts(0)[0] == 1).all()
    assert ask("POST", "/api/images/0/hold", {"window": "aa"}) == (200, {"held": True})
    status, answer = ask("POST", "/api/images/0/hold", {"window": "bb"})
    assert status == 423 and abs(answer["since"] - time.time()) < 5
    assert ask("POST", "/api/images/0/hold", {"window": "aa", "release": True})[0] == 200
    assert ask("POST", "/api/images/0/hold", {"window": "bb"})[0] == 200


def test_a_damaged_image_is_told_without_its_place_and_the_others_go_on(model, images: Path, tmp_path: Path) -> None:
    (images / "bird_1.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    with page_of(model, images, tmp_path / "out") as (_, ask):
        status, answer = ask("GET", "/api/images/1/photo")
        assert status == 410 and str(tmp_path) not in answer["error"]
        damaged = ask("GET", "/api/images?status=damaged")[1]["images"]
        assert [(image["name"], image["reason"]) for image in damaged] == [("bird_1.png", answer["error"])]
        assert ask("GET", "/api/images/1")[1]["status"] == "damaged"
        assert ask("POST", "/api/images/2/parts", NONE)[0] == 200


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_is_said(served, tmp_path: Path) -> None:
    space, ask = served
    space.out.mkdir()
    space.out.chmod(0o500)
    status, answer = ask("PUT", "/api/images/0/parts", correction(np.ones((64, 64), np.uint8)))
    assert status == 403 and "read-only" in answer["error"]


def test_a_full_disk_is_said_and_what_was_there_stays(served, monkeypatch: pytest.MonkeyPatch) -> None:
    space, ask = served
    ask("PUT", "/api/images/0/parts", correction(np.ones((64, 64), np.uint8)))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("coarseparts.app.part_files.write_whole", full)
    status, answer = ask("PUT", "/api/images/0/parts", correction(np.zeros((64, 64), np.uint8), revision=1))
    assert status == 507 and "No space left" in answer["error"]
    assert (space.parts(0)[0] == 1).all() and space.entry(0).revision == 1


def test_the_ruler_writes_what_measure_reads(served) -> None:
    from coarseparts.measurement.scale import read_scale

    space, ask = served
    for image, length in ((0, 4.0), (1, 2.0), (0, 5.0)):
        body = {"image": image, "points": [[0, 0], [30, 40]], "length": length, "unit": "mm"}
        assert ask("PUT", "/api/scale", body) == (200, {"pixels_per_unit": 50 / length})
    assert ask("PUT", "/api/scale", body | {"image": 1, "length": 2.5, "others": True})[0] == 200
    scale, _ = read_scale(space.out / "scale.csv", [(e.name, e.path) for e in space.entries])
    assert (scale.unit, *(scale.of(e.name) for e in space.entries)) == ("mm", 10.0, 20.0, 20.0)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"\xff\xfe", "is no JSON"),
        (b"null", "Input should be"),
        (b'{"box": [0, 0, NaN, 1]}', "box.2"),
        (b'{"box": [0, 0, 1e300, 1]}', "box.2"),
        (b'{"keypoints": {"nose": [1, 2]}}', "'nose' is no keypoint of this model"),
        (b'{"mask": "no base64"}', "not in base64"),
        (b'{"mask": "aGFsbG8="}', "cannot be read"),
        (json.dumps({"mask": png(np.zeros((3, 3), np.uint8))}).encode(), "of 64x64 pixels; it is L of 3x3"),
        (b'{"keypoints": {}, "path": "/etc/passwd"}', "Extra inputs"),
    ],
)
def test_requests_that_are_not_understood_are_told_in_a_line(served, body: bytes, message: str) -> None:
    _, ask = served
    status, answer = ask("POST", "/api/images/0/parts", body)
    assert status in (400, 413, 422) and message in answer["error"] and "\n" not in answer["error"]


def test_parts_that_do_not_fit_are_not_saved(served) -> None:
    space, ask = served
    for parts in (np.full((64, 64), 11, np.uint8), np.zeros((63, 64), np.uint8)):
        assert ask("PUT", "/api/images/0/parts", correction(parts))[0] == 422
    assert ask("PUT", "/api/images/0/parts", correction(parts) | {"parts": {"head": png(parts)}})[0] == 422
    assert not space.out.exists()


def test_overlapping_parts_are_a_map_each(images: Path, tmp_path: Path) -> None:
    schema = Schema(parts=("body", "wing"), keypoints=("tip",), overlapping=True)
    with page_of(toy_model(schema), images, tmp_path / "out") as (_, ask):
        _, answer = ask("POST", "/api/images/0/parts", NONE)
        assert set(answer["parts"]) == {"body", "wing"}
        body = correction(np.zeros((64, 64), np.uint8)) | {"parts": answer["parts"]}
        assert ask("PUT", "/api/images/0/parts", body)[1]["path_name"] == "parts/body/bird_0.png"
        assert ask("GET", "/api/images/0/parts")[1]["parts"] == answer["parts"]


# ---- who may ask -----------------------------------------------------------------------------------------------------


BIRD = f"/api/images/{Entry('bird_0.png', Path()).id}"


@pytest.fixture
def port(model, images: Path, tmp_path: Path) -> Iterator[int]:
    space = Workspace(images, list_images(images), tmp_path / "out", model.schema)
    with serving(page_app(space, Answers(model)), most_bytes=100_000) as port:
        yield port


def test_the_link_puts_the_key_into_a_cookie_and_out_of_the_address(port: int) -> None:
    host = f"127.0.0.1:{port}"
    status, headers, _ = speak(port, "GET", f"/?token={TOKEN}")
    assert status == 303 and headers["location"] == "/"
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(headers["set-cookie"].split("; "))
    cookie = headers["set-cookie"].partition(";")[0]
    status, headers, page = speak(port, "GET", "/", headers={"Cookie": cookie, "Host": host})
    assert status == 200 and b"<html" in page
    assert headers["content-security-policy"] == POLICY and "unsafe" not in POLICY
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Cookie": "coarseparts-test=wrong"}, 401),
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
        ({"Authorization": f"Bearer {TOKEN}", "Host": "evil.example"}, 421),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "http://evil.example"}, 403),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "null"}, 403),
    ],
)
def test_nobody_else_is_answered(port: int, headers: dict[str, str], status: int) -> None:
    assert speak(port, "GET", "/api/session", headers=headers)[0] == status


def test_a_form_of_another_site_can_write_nothing(port: int) -> None:
    known = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "text/plain"}
    body = json.dumps({"status": "skipped", "revision": 0}).encode()
    assert speak(port, "PUT", f"{BIRD}/status", body, known)[0] == 403
    assert speak(port, "PUT", f"{BIRD}/status", body, known | OWN)[0] == 200


def test_large_requests_are_refused_said_or_not(port: int) -> None:
    assert ask(port, "POST", f"{BIRD}/parts", b" " * 100_001)[0] == 413

    def in_chunks():
        yield from [b" " * 50_000] * 3

    known = {"Authorization": f"Bearer {TOKEN}", **OWN}
    assert speak(port, "POST", f"{BIRD}/parts", in_chunks(), known)[0] == 413


@pytest.mark.parametrize(
    "path",
    ["/static/../page.py", "/static/%2e%2e/page.py", "/static/..%2fpage.py", "/api/images/..%2f..", "/api/images/-1",
     "/api/images/99", "/docs", "/openapi.json", "/static//etc/passwd"],
)  # fmt: skip
def test_there_is_no_way_to_other_files(port: int, path: str) -> None:
    status, answer = ask(port, "GET", path)
    assert status in (404, 405, 422) and "import" not in str(answer)


def test_a_queue_that_is_full_asks_to_come_again(model, images: Path) -> None:
    answers = Answers(model)
    photograph = answers.photograph(images / "bird_0.png")
    with answers._model_lock:
        waiting = [threading.Thread(target=answers.of_photograph, args=(photograph, {})) for _ in range(WAITING)]
        for thread in waiting:
            thread.start()
        while answers._waiting._value:
            time.sleep(0.01)
        with pytest.raises(Refused, match="busy") as refused:
            answers.of_photograph(photograph, {})
    assert refused.value.status == 503 and refused.value.headers == {"Retry-After": "2"}
    for thread in waiting:
        thread.join()


def test_ten_thousand_images_are_listed_at_once(model, tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for i in range(10_000):
        (tmp_path / "many" / f"{i:05d}.jpg").touch()
    begin = time.process_time()
    space = Workspace(tmp_path / "many", list_images(tmp_path / "many"), tmp_path / "out", model.schema)
    listed = space.listed("", "name", False, "", 9_990, 100)
    assert time.process_time() - begin < 2
    assert listed["total"] == 10_000 and len(listed["images"]) == 10
