"""The server behind other tools: what Label Studio and X-AnyLabeling ask, and a plain call."""

from __future__ import annotations

import base64
import gzip
import io
import json
import shutil
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from judges import asked
from PIL import Image

pytest.importorskip("fastapi", reason="fastapi is not installed: pip install 'coarseparts[app]'")
from server import TOKEN, ask, photographs, read_png, serving, speak, toy_model

from coarseparts.app.answers import Answers
from coarseparts.app.label_studio import Controls, regions
from coarseparts.app.requests import png
from coarseparts.app.service import MOST_BYTES, service_app
from coarseparts.data.formats import label_studio_rle
from coarseparts.data.formats.drawing import draw
from coarseparts.data.synthetic import birds

CONFIG = """<View><Image name="img" value="$photo"/>
  <RectangleLabels name="where" toName="img"><Label value="bird"/></RectangleLabels>
  <BrushLabels name="parts" toName="img"><Label value="beak"/><Label value="head"/><Label value="torso"/></BrushLabels>
  <PolygonLabels name="outlines" toName="img"><Label value="beak"/><Label value="head"/></PolygonLabels>
  <KeyPointLabels name="points" toName="img"><Label value="beak"/><Label value="tail"/></KeyPointLabels></View>"""


@pytest.fixture(scope="module")
def model():
    return toy_model()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photographs(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def client(model, images: Path) -> Iterator[Callable[..., Any]]:
    with serving(service_app(Answers(model), "birds", [images]), token=None, page=False) as port:
        yield lambda *args, **more: ask(port, *args, **more)


def task(url: str, *results: dict[str, Any], key: int = 7) -> dict[str, Any]:
    annotations = [{"id": 1, "result": list(results)}] if results else []
    return {"id": key, "data": {"photo": url}, "annotations": annotations}


def region(kind: str, name: str, label: str, key: str = "a", **value: Any) -> dict[str, Any]:
    about = {"id": key, "type": kind, "from_name": name, "to_name": "img", "original_width": 64, "original_height": 64}
    return about | {"image_rotation": 0, "value": value | {kind: [label]}}


def predicted(client: Callable[..., Any], *tasks: dict[str, Any], config: str = CONFIG) -> list[dict[str, Any]]:
    status, answer = client("POST", "/predict", {"tasks": list(tasks), "label_config": config, "project": "1.2"})
    assert status == 200 and answer["model_version"] == "birds"
    return answer["results"]


def of_results(results: list[dict[str, Any]]) -> np.ndarray:
    """The index map that brush regions draw."""
    parts = np.zeros((64, 64), np.uint8)
    for result in results:
        mask = label_studio_rle.decode(result["value"]["rle"], (64, 64))
        parts[mask > 0] = birds.SCHEMA.parts.index(result["value"]["brushlabels"][0]) + 1
    return parts


def test_the_tools_find_the_model(client) -> None:
    assert client("GET", "/health")[1]["status"] == "UP"
    assert client("HEAD", "/health")[0] == 200
    assert client("POST", "/setup", {"project": "1", "schema": CONFIG}) == (200, {"model_version": "birds"})
    _, models = client("GET", "/v1/models")
    assert models["success"] and list(models["data"]) == ["birds"]
    assert client("GET", "/v1/models/birds/info")[1]["data"]["model_id"] == "birds"
    assert client("GET", "/v1/models/cats/info")[1]["error"]["code"] == "MODEL_NOT_FOUND"
    paths = client("GET", "/openapi.json")[1]["paths"]
    body = paths["/v1/parts"]["post"]["requestBody"]["content"]
    assert "keypoints" in str(body["application/json"]) and "image" in str(body["multipart/form-data"])


def test_its_calls_are_described_to_people_too(client) -> None:
    status, answer = client("GET", "/docs")
    page = answer.decode()
    assert status == 200 and "<script" not in page
    for path, methods in client("GET", "/openapi.json")[1]["paths"].items():
        for method, call in methods.items():
            assert "4XX" in call["responses"] and "422" not in call["responses"]
            assert f"{method.upper()} {path}</code>" in page and escape(call["description"].replace("``", "")) in page
    assert "What it answers" in page and "index map as PNG" in page
    assert "multipart/form-data" in page and "&quot;keypoints&quot;" in page


def test_label_studio_gets_the_parts_in_the_controls_of_its_interface(client, model, images: Path) -> None:
    (answer,) = predicted(client, task("/data/local-files/?d=bird_1.png"))
    assert np.array_equal(of_results(answer["result"]), model.predict(images / "bird_1.png").index)
    one = answer["result"][0]
    assert (one["from_name"], one["to_name"], one["type"]) == ("parts", "img", "brushlabels")
    assert (one["original_width"], one["original_height"]) == (64, 64)
    assert 0 < answer["score"] <= 1 and len({r["id"] for r in answer["result"]}) == len(answer["result"])
    assert {r.get("parentID") for r in answer["result"][1:]} == {one["id"]}


def test_label_studios_own_validators_find_nothing_wrong_with_an_answer(client, tmp_path: Path) -> None:
    def wrong(config: str) -> object:
        (answer,) = predicted(client, task("bird_1.png"), config=config)
        (tmp_path / "answer.json").write_text(json.dumps(answer))
        return asked("label_studio_sdk", script, tmp_path / "answer.json", config)

    script = """
import json, sys
from label_studio_sdk.label_interface import LabelInterface
from label_studio_sdk.label_interface.objects import PredictionValue
answer = json.load(open(sys.argv[1]))
assert answer["result"] and PredictionValue(**answer).score == answer["score"]
print(json.dumps(LabelInterface(sys.argv[2]).validate_prediction(answer, return_errors=True)))
"""
    config = '<View><Image name="img" value="$photo"/>'
    brush = '<BrushLabels name="parts" toName="img">' + "".join(f'<Label value="{p}"/>' for p in birds.SCHEMA.parts)
    assert wrong(f"{config}{brush}</BrushLabels></View>") == []
    assert wrong(f"{config}{brush}</BrushLabels></View>".replace("BrushLabels", "PolygonLabels")) == []


def test_the_labels_that_a_task_has_are_used(client, model, images: Path) -> None:
    box = region("rectanglelabels", "where", "bird", x=10, y=20, width=50, height=60, rotation=0)
    (answer,) = predicted(client, task("/data/upload/3/0123abcd-bird_2.png", box))
    expected = model.predict(images / "bird_2.png", box=(6.4, 12.8, 38.4, 51.2)).index
    assert np.array_equal(of_results(answer["result"]), expected)
    assert not np.array_equal(expected, model.predict(images / "bird_2.png").index)
    # While somebody draws, the region comes beside the task.
    body = {"tasks": [task("bird_2.png")], "label_config": CONFIG, "params": {"context": {"result": [box]}}}
    (drawing,) = client("POST", "/predict", body)[1]["results"]
    assert np.array_equal(of_results(drawing["result"]), expected)


TWO = (
    CONFIG.replace("</View>", "")
    + """<Image name="side" value="$second"/>
  <BrushLabels name="more" toName="side"><Label value="beak"/></BrushLabels></View>"""
)


def test_each_image_of_a_task_gets_its_own_regions(client, model, images: Path) -> None:
    box = region("rectanglelabels", "where", "bird", x=10, y=20, width=50, height=60, rotation=0)
    of_two = task("bird_0.png", box | {"to_name": "side"})
    of_two["data"]["second"] = "bird_1.png"
    expected = {
        "img": model.predict(images / "bird_0.png").index,
        "side": model.predict(images / "bird_1.png", box=(6.4, 12.8, 38.4, 51.2)).index,
    }
    (answer,) = predicted(client, of_two, config=TWO)
    assert len({one["id"] for one in answer["result"]}) == len(answer["result"])
    for name, control in (("img", "parts"), ("side", "more")):
        own = [one for one in answer["result"] if one["to_name"] == name]
        assert {one["from_name"] for one in own} == {control}
        assert np.array_equal(of_results(own), expected[name])
    drawn = {"context": {"result": [box | {"to_name": "side"}]}}
    (answer,) = client("POST", "/predict", {"tasks": [of_two], "label_config": TWO, "params": drawn})[1]["results"]
    assert {one["to_name"] for one in answer["result"]} == {"side"}, "the one that somebody draws on"


def test_a_task_of_several_images_is_not_guessed_about(client) -> None:
    def error(config: str, data: dict[str, Any], *results: dict[str, Any]) -> str:
        (answer,) = predicted(client, task("", *results) | {"data": data}, config=config)
        assert answer["result"] == []
        return answer["error"]

    several = {"left": "bird_0.png", "right": "bird_1.png"}
    assert "does not say which one is meant" in error(CONFIG, several)
    assert "does not say which one is meant" in error("", several)
    thumb = {"image": "bird_0.png", "thumb": "bird_1.png"}
    assert {one["to_name"] for one in predicted(client, task("") | {"data": thumb}, config="")[0]["result"]} == {
        "image"
    }
    pages = CONFIG.replace('value="$photo"', 'valueList="$photo"')
    assert "several pages" in error(pages, {"photo": ["bird_0.png", "bird_1.png"]})
    box = region("rectanglelabels", "where", "bird", x=10, y=20, width=50, height=60, rotation=0)
    elsewhere = box | {"to_name": "back"}
    assert "no Image of the labelling" in error(TWO, {"photo": "bird_0.png", "second": "bird_1.png"}, elsewhere)


def test_a_picture_in_the_task_needs_no_folder(client, model, images: Path) -> None:
    url = "data:image/png;base64," + base64.b64encode((images / "bird_0.png").read_bytes()).decode()
    (answer,) = predicted(client, task(url) | {"data": {"image": url}})
    assert np.array_equal(of_results(answer["result"]), model.predict(images / "bird_0.png").index)


@pytest.mark.parametrize(
    "url",
    ["http://evil.example/other.png", "/data/local-files/?d=../../etc/passwd", "file:///etc/passwd", "/etc/passwd.png",
     "../bird_9.png", "data:image/png;base64,xx", "", "\x00.png"],
)  # fmt: skip
def test_nothing_but_the_given_folders_is_read(client, url: str) -> None:
    first, second = predicted(client, task(url), task("bird_1.png"))
    assert first["result"] == [] and first["error"] and "etc" not in first["error"]
    assert second["result"], "the others go on"


def test_a_name_that_several_photographs_have_is_not_guessed(model, images: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        shutil.copy(images / "bird_0.png", tmp_path / folder)
    with serving(service_app(Answers(model), "birds", [tmp_path]), token=None, page=False) as port:
        body = {"tasks": [task("/data/upload/1/0123abcd-bird_0.png"), task("one/bird_0.png")], "label_config": CONFIG}
        twice, once = ask(port, "POST", "/predict", body)[1]["results"]
    assert twice["result"] == [] and "may be any of 'one/bird_0.png', 'two/bird_0.png'" in twice["error"]
    assert once["result"]


def test_polygons_go_where_an_interface_has_no_brush() -> None:
    only = CONFIG.replace("BrushLabels", "Brush")
    (controls,) = Controls.of(only, birds.SCHEMA.parts)
    assert (controls.name, controls.kind) == ("outlines", "polygonlabels")
    mask = np.zeros((64, 32), bool)
    mask[8:24, 4:20] = True
    (result,) = regions(controls, {"head": (mask, 0.5)}, "g")
    polygon = np.array(result["value"]["points"]) / 100 * (32, 64)
    assert np.array_equal(draw([polygon.ravel().tolist()], (32, 64)), mask)


@pytest.mark.parametrize(
    "config", ["", "<View", "<View/>", '<!DOCTYPE x [<!ENTITY a "b">]><View>&a;</View>', "<a>" * 99]
)
def test_an_interface_that_says_nothing_gets_the_names_of_our_own_export(config: str) -> None:
    assert Controls.of(config, birds.SCHEMA.parts) == [Controls()]


def test_x_anylabeling_gets_polygons(client, model, images: Path) -> None:
    url = "data:image/png;base64," + base64.b64encode((images / "bird_0.png").read_bytes()).decode()
    _, answer = client("POST", "/v1/predict", {"model": "birds", "image": url, "params": {"conf_threshold": 0.0}})
    assert answer["success"]
    shapes, parts = answer["data"]["shapes"], model.predict(images / "bird_0.png")
    assert "replace" not in answer["data"], "whether shapes that are there stay is the person's choice there"
    assert {shape["label"] for shape in shapes} == {name for name, mask in parts.masks.items() if mask.any()}
    assert all(shape["shape_type"] == "polygon" and len(shape["points"]) > 2 for shape in shapes)
    for wrong, code in (({"model": "cats"}, "MODEL_NOT_FOUND"), ({"image": "xx"}, "INVALID_IMAGE")):
        _, answer = client("POST", "/v1/predict", {"model": "birds", "image": url} | wrong)
        assert (answer["success"], answer["error"]["code"]) == (False, code)
        assert answer["data"] == {"shapes": [], "description": "", "replace": False}, "shapes that are there stay"


def test_a_plain_call_says_what_the_library_says(client, model, images: Path) -> None:
    code = base64.b64encode((images / "bird_0.png").read_bytes()).decode()
    mask = np.zeros((64, 64), np.uint8)
    mask[10:50, 20:40] = 255
    labels = {"keypoints": {"beak": [20.0, 30.0]}, "box": [5, 6, 60, 61]}
    status, answer = client("POST", "/v1/parts", {"image": code, "mask": png(mask)} | labels)
    assert status == 200 and (answer["width"], answer["height"]) == (64, 64)
    expected = model.predict(images / "bird_0.png", mask=mask > 0, **labels)
    assert np.array_equal(read_png(answer["parts"]), expected.index)
    assert client("POST", "/v1/parts", {"image": code, "keypoints": {"nose": [1, 2]}})[0] == 422


def test_a_plain_call_takes_what_is_known_of_a_keypoint(client, model, images: Path) -> None:
    code = base64.b64encode((images / "bird_0.png").read_bytes()).decode()
    points = {"beak": [20.0, 30.0, 1], "tail": [0, 0, 0]}
    _, answer = client("POST", "/v1/parts", {"image": code, "keypoints": points})
    expected = model.predict(images / "bird_0.png", keypoints=points)
    assert np.array_equal(read_png(answer["parts"]), expected.index)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("GET", "/v1/parts", None, 405, "/v1/parts is asked by POST, not by GET; /docs lists the calls."),
        ("POST", "/health", {}, 405, "/health is asked by GET"),
        ("GET", "/v1/part\x1b", None, 404, "There is nothing at /v1/part"),
        ("POST", "/v1/parts", {}, 422, "image: Field required."),
        ("POST", "/v1/parts", {"image": "", "boxes": []}, 422, "did you mean 'box'?"),
        ("POST", "/v1/parts", {"image": "", "keypoints": []}, 422, "keypoints: Input should be a valid object."),
        ("POST", "/v1/parts", {"image": "", "keypoints": {"beak": [1]}}, 422, "at least 2 items"),
    ],
)
def test_a_call_that_is_made_otherwise_is_told_how_to_make_it(
    client, method: str, path: str, body: Any, status: int, said: str
) -> None:
    came, answer = client(method, quote(path), body)
    assert (came, list(answer)) == (status, ["error"]) and said in answer["error"]


def test_a_picture_as_it_is_and_labels_beside_it_in_a_form_are_not_passed_over(client, images: Path) -> None:
    raw = (images / "bird_0.png").read_bytes()
    status, answer = client("POST", "/v1/parts", raw, Content_Type="image/png")
    assert (status, "in a form" in answer["error"]) == (415, True)
    kind = {"Content_Type": "multipart/form-data; boundary=x"}
    status, answer = client("POST", "/v1/parts", form(image=raw, box=b"[5, 6, 60, 61]"), **kind)
    assert (status, "The form has 'box': labels go into its text labels" in answer["error"]) == (422, True)


def form(**parts: bytes) -> bytes:
    """As curl -F sends it."""
    head = 'Content-Disposition: form-data; name="{}"'
    pieces = [
        f"--x\r\n{head.format(name)}{'; filename=a.png' if name == 'image' else ''}\r\n\r\n".encode() + value + b"\r\n"
        for name, value in parts.items()
    ]
    return b"".join(pieces) + b"--x--\r\n"


def test_a_form_with_a_file_is_a_plain_call_too(client, model, images: Path) -> None:
    kind = {"Content_Type": "Multipart/Form-Data; boundary=x"}
    raw = (images / "bird_0.png").read_bytes()
    status, answer = client("POST", "/v1/parts", form(image=raw, labels=b'{"box": [5, 6, 60, 61]}'), **kind)
    assert status == 200
    expected = model.predict(images / "bird_0.png", box=[5, 6, 60, 61])
    assert np.array_equal(read_png(answer["parts"]), expected.index)
    for wrong in (form(labels=b"{}"), form(image=raw, labels=b"[]"), form(image=b"no picture"), b"--x", b""):
        status, answer = client("POST", "/v1/parts", wrong, **kind)
        assert status in (400, 422) and answer["error"]
    status, answer = client("POST", "/v1/parts", form(image=raw, labels=b"foo"), **kind)
    assert (status, "the text labels is no JSON" in answer["error"]) == (400, True)


def code_of(picture: Image.Image, kind: str) -> str:
    file = io.BytesIO()
    picture.save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize(
    ("picture", "kind", "status", "said"),
    [
        (Image.new("F", (8, 8)), "TIFF", 422, "floating-point pixels"),
        (Image.fromarray(np.full((8, 8), -5, np.int32)), "TIFF", 422, "expected 0..65535"),
        (Image.new("1", (16_000, 16_000)), "PNG", 413, "more pixels than 100,000,000"),
        (Image.new("RGB", (8, 8)), "GIF", 422, "expected JPEG or PNG"),
    ],
)
def test_a_picture_that_is_not_taken_is_told_in_a_line(
    client, picture: Image.Image, kind: str, status: int, said: str
) -> None:
    came, answer = client("POST", "/v1/parts", {"image": code_of(picture, kind)})
    assert came == status and said in answer["error"]
    _, answer = client("POST", "/v1/predict", {"image": code_of(picture, kind)})
    assert answer["error"]["code"] == "INVALID_IMAGE" and said in answer["error"]["message"]


def test_a_task_of_a_program_of_ones_own_needs_no_list_of_annotations(client, model, images: Path) -> None:
    for more in ({}, {"annotations": None}, {"annotations": [], "predictions": []}):
        (answer,) = predicted(client, {"data": {"photo": "bird_1.png"}} | more)
        assert np.array_equal(of_results(answer["result"]), model.predict(images / "bird_1.png").index)


def test_a_mistake_of_ours_is_json_too(model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coarseparts.app.service.read_photograph", lambda request: 1 // 0)
    with serving(service_app(Answers(model), "birds"), token=None, page=False) as port:
        status, answer = ask(port, "POST", "/v1/parts", {})
    assert status == 500 and answer == {"error": "Something went wrong here; the terminal says what."}


def test_an_upright_picture_is_looked_at(client, model) -> None:
    picture = Image.fromarray(birds.render(1, size=64, seed=9)["image"][0][:48])
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    picture.save(file, "PNG", exif=exif)
    _, answer = client("POST", "/v1/parts", {"image": base64.b64encode(file.getvalue()).decode()})
    assert (answer["width"], answer["height"]) == (48, 64)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_programs_do_to_json_and_base64_is_seen_through(client, images: Path, encoding: str) -> None:
    raw = (images / "bird_0.png").read_bytes()
    _, plain = client("POST", "/v1/parts", {"image": base64.b64encode(raw).decode()})
    body = json.dumps({"image": base64.encodebytes(raw).decode()}).encode(encoding)
    status, answer = client("POST", "/v1/parts", body)
    assert (status, answer["parts"]) == (200, plain["parts"])


def test_a_request_that_is_compressed_or_goes_elsewhere_is_told_the_remedy(client) -> None:
    status, answer = client("POST", "/v1/parts", gzip.compress(b"{}"), Content_Encoding="gzip")
    assert status == 415 and "encoded as 'gzip'; send it as it is" in answer["error"]
    status, answer = client("GET", "/health", Host="labels.example:9090")
    assert status == 421 and "the name 'labels.example'; ask it by one that --name gives it" in answer["error"]
    status, answer = client("POST", "/v1/parts", b"\x89PNG", Content_Type="application/octet-stream")
    assert status == 415 and "in a form" in answer["error"]


def test_with_a_token_every_tools_way_to_say_it_is_known(model) -> None:
    basic = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
    with serving(service_app(Answers(model), "birds"), page=False, most_bytes=MOST_BYTES) as port:
        for headers in ({"Token": TOKEN}, {"Authorization": f"Basic {basic}"}, {"Authorization": f"Bearer {TOKEN}"}):
            assert speak(port, "GET", "/health", headers=headers)[0] == 200
        for headers in ({}, {"Token": "x"}, {"Authorization": "Basic !!"}, {"Authorization": "Basic YTpi"}):
            status, answered, said = speak(port, "GET", "/health", headers=headers)
            assert (status, answered["www-authenticate"][:5]) == (401, "Basic") and b"Bearer TOKEN" in said


def test_boxes_of_parts_that_a_model_does_not_know_are_passed_over(client, model, images: Path) -> None:
    box = region("rectanglelabels", "where", "head", x=10, y=20, width=50, height=60, rotation=0)
    (answer,) = predicted(client, task("bird_2.png", box))
    assert np.array_equal(of_results(answer["result"]), model.predict(images / "bird_2.png").index)
