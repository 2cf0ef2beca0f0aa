"""A real Label Studio server with `coarseparts serve` behind it: a project, predictions, a correction, an export.

    python benchmarks/label_studio.py RUN IMAGES LABEL_STUDIO [--figure FILE.png]

RUN has keypoints among its labels; LABEL_STUDIO is that program (`label-studio`, installed in an environment of its
own). Both servers listen on this machine alone, with folders that are removed in the end. Everything goes through
Label Studio's HTTP interface, as its page does it: make a project with the interface of docs/serve.md, connect the
model, import photographs from local storage, retrieve predictions; place keypoints in one task and ask again;
correct one by hand, export JSON. Then `coarseparts init` and `check` read the export, whose part masks must be the ones
that were sent. `--figure`: a picture of Label Studio's page with the predictions (needs playwright and a Chromium).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.formats import label_studio_rle
from coarseparts.data.records import read_contents
from coarseparts.inference.model import load

USER, PASSWORD, TOKEN = "ada@example.org", "a-password-of-the-benchmark", "0123456789abcdef0123456789abcdef01234567"
"""Of a server that is thrown away."""

COUNT = 6
"""Photographs that are imported."""


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@contextmanager
def running(command: list[str], address: str, log: Path, **environment: str) -> Iterator[None]:
    """A server, until it answers at ``address``; ended with its children."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=os.environ | environment, start_new_session=True
        )
        try:
            for _ in range(2400):
                try:
                    with urllib.request.urlopen(address, timeout=5):
                        break
                except (OSError, urllib.error.URLError):
                    if process.poll() is not None:
                        sys.exit(f"{command[0]} ended: {log.read_text(errors='replace')[-2000:]}")
                    time.sleep(0.5)
            yield
        finally:
            os.killpg(process.pid, 15)
            process.wait(30)


class LabelStudio:
    """Its HTTP interface."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                raw = answer.read()
        except urllib.error.HTTPError as error:
            sys.exit(f"{method} {path}: {error.code} {error.read()[:1000]!r}")
        return json.loads(raw) if raw else None


def interface(parts: tuple[str, ...], keypoints: tuple[str, ...]) -> str:
    """That of docs/serve.md."""
    labels = "".join(f'<Label value="{part}"/>' for part in parts)
    points = "".join(f'<Label value="{name}"/>' for name in keypoints)
    return (
        '<View><Image name="image" value="$image" zoom="true"/>'
        f'<BrushLabels name="parts" toName="image">{labels}</BrushLabels>'
        f'<KeyPointLabels name="keypoints" toName="image">{points}</KeyPointLabels></View>'
    )


def part_masks(results: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """(H, W) bool by the part's name, of brush regions."""
    return {
        result["value"]["brushlabels"][0]: label_studio_rle.decode(
            result["value"]["rle"], (result["original_width"], result["original_height"])
        )
        for result in results
        if result["type"] == "brushlabels"
    }


def keypoint(name: str, x: float, y: float, size: tuple[int, int]) -> dict[str, Any]:
    value = {"x": 100 * x / size[0], "y": 100 * y / size[1], "width": 0.5, "keypointlabels": [name]}
    about = {"original_width": size[0], "original_height": size[1], "image_rotation": 0, "value": value}
    return about | {"id": f"k-{name}", "type": "keypointlabels", "from_name": "keypoints", "to_name": "image"}


def walk(studio: LabelStudio, run: Path, images: Path, model_at: str, work: Path, figure: Path | None) -> None:
    """Everything, from the project to the part masks that are read back; stops at what is not as it should be."""
    model = load(run, "cpu")
    schema = model.schema
    print(f"Label Studio {studio.ask('GET', '/api/version')['label-studio-os-package']['version']}")
    config = interface(schema.parts, schema.keypoints)
    project = studio.ask("POST", "/api/projects/", {"title": "parts", "label_config": config})["id"]
    storage = {"project": project, "path": str(images), "use_blob_urls": True, "regex_filter": ".*"}
    storage = studio.ask("POST", "/api/storages/localfiles", storage)
    studio.ask("POST", f"/api/storages/localfiles/{storage['id']}/sync", {"project": project})
    tasks = studio.ask("GET", f"/api/tasks/?project={project}&fields=all&page_size=100")["tasks"]
    print(f"{len(tasks)} tasks from local storage, such as {tasks[0]['data']['image']}")
    given = {"project": project, "url": model_at, "title": "coarseparts", "is_interactive": True}
    backend = studio.ask("POST", "/api/ml/", given)
    print(f"connected: {backend['readable_state']}, model version {backend['model_version']}")

    begin = time.perf_counter()
    everything = {"selectedItems": {"all": True, "excluded": []}}
    studio.ask("POST", f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}", everything)
    tasks = [studio.ask("GET", f"/api/tasks/{task['id']}/") for task in tasks]
    print(f"predictions of {len(tasks)} tasks in {time.perf_counter() - begin:.1f} s")
    answers = {name_of(task): task["predictions"][0]["result"] for task in tasks}
    for name, results in answers.items():
        same(part_masks(results), model.predict(images / name).masks, name)
    print("they are what coarseparts predicts, pixel by pixel")
    if figure:
        screenshot(studio.address, project, tasks[0]["id"], figure)
        print(f"{figure.name}: Label Studio's page with the first of them")

    first, name = tasks[0], name_of(tasks[0])
    places = points_in(answers[name], schema.keypoints)
    with Image.open(images / name) as picture:
        drawn = [keypoint(point, *place, picture.size) for point, place in places.items()]
    asked = {"task": first["id"], "context": {"result": drawn}}
    answer = studio.ask("POST", f"/api/ml/{backend['id']}/interactive-annotating", asked)["data"]["result"]
    same(part_masks(answer), model.predict(images / name, keypoints=places).masks, name)
    print(f"with {len(places)} keypoints placed in {name}, the answer is the posterior's")

    answers[name] = [erased(result) if result["type"] == "brushlabels" else result for result in answer] + drawn
    for task in tasks:
        body = {"result": answers[name_of(task)], "lead_time": 5.0}
        studio.ask("POST", f"/api/tasks/{task['id']}/annotations/", body)
    export = work / "export.json"
    export.write_text(json.dumps(studio.ask("GET", f"/api/projects/{project}/export?exportType=JSON")))
    print(f"{len(tasks)} annotations, one of them corrected, exported as JSON")
    read_back(export, images, {name: part_masks(results) for name, results in answers.items()})
    print("coarseparts init and check take the export; its part masks are the annotations, pixel by pixel")


def name_of(task: dict[str, Any]) -> str:
    return str(task["data"]["image"]).rpartition("/")[2]


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], name: str) -> None:
    for part, mask in expected.items():
        if not np.array_equal(found.get(part, np.zeros_like(mask)), mask):
            sys.exit(f"{name}: {part} differs")


def points_in(results: list[dict[str, Any]], names: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """Keypoints at the middles of regions: where they are does not matter here."""
    middles = [np.argwhere(mask).mean(0)[::-1] + 0.5 for mask in part_masks(results).values()]
    return {name: (float(x), float(y)) for name, (x, y) in zip(names, middles, strict=False)}


def erased(result: dict[str, Any]) -> dict[str, Any]:
    """A region without its left half."""
    [mask] = part_masks([result]).values()
    columns = np.flatnonzero(mask.any(0))
    mask[:, : int(columns.mean())] = False
    return result | {"value": result["value"] | {"rle": label_studio_rle.encode(mask)}}


def read_back(export: Path, images: Path, expected: dict[str, dict[str, np.ndarray]]) -> None:
    data = export.with_suffix(".yaml")
    for words in (["init", images, export, "--out", data], ["check", data]):
        command = [sys.executable, "-m", "coarseparts", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{words[0]}: {done.stdout}{done.stderr}")
    dataset = load_dataset_file(data)
    records = [record for record in read_contents(dataset).records if "parts" in record.has]
    assert len(records) == len(expected), f"{len(records)} of {len(expected)} have part masks"
    for record in records:
        sample, _ = record.load()
        assert record.image is not None and sample.parts is not None
        found = {part: sample.parts == index for index, part in enumerate(dataset.parts, 1)}
        same(found, expected[record.image.name], record.name)


def screenshot(address: str, project: int, task: int, file: Path) -> None:
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(180_000)
        page.goto(f"{address}/user/login/")
        page.fill("input[name=email]", USER)
        page.fill("input[name=password]", PASSWORD)
        page.press("input[name=password]", "Enter")
        page.wait_for_load_state("networkidle")
        page.goto(f"{address}/projects/{project}/data?task={task}")
        page.wait_for_timeout(20_000)
        page.screenshot(path=file)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("run", "images", "label_studio"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--figure", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work, photos = Path(folder), Path(folder, "files", "photos")
        photos.mkdir(parents=True)
        for image in sorted(chosen.images.iterdir())[:COUNT]:
            shutil.copy(image, photos)
        ports = free_port(), free_port()
        address, model_at = (f"http://127.0.0.1:{port}" for port in ports)
        serve = [sys.executable, "-m", "coarseparts", "serve", str(chosen.run), "--images", str(photos)]
        studio = [str(chosen.label_studio), "start", "--no-browser", "--internal-host", "127.0.0.1"]
        studio += ["--port", str(ports[0]), "--data-dir", str(work / "studio"), "--username", USER]
        studio += ["--password", PASSWORD, "--user-token", TOKEN, "--enable-legacy-api-token"]
        environment = {
            "LOCAL_FILES_SERVING_ENABLED": "true",
            "LOCAL_FILES_DOCUMENT_ROOT": str(photos.parent),
            "ML_BLOCK_LOCAL_IP": "false",  # else it refuses every model on this machine
            "USE_DEFAULT_BANNED_SUBNETS": "false",
            "ML_TIMEOUT_HEALTH": "30",
            "ML_TIMEOUT_SETUP": "30",
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
        }
        with (
            running([*serve, "--port", str(ports[1])], f"{model_at}/health", work / "serve.log"),
            running(studio, f"{address}/health", work / "studio.log", **environment),
        ):
            walk(LabelStudio(address), chosen.run, photos, model_at, work, chosen.figure)


if __name__ == "__main__":
    main()
