"""A real server of the page, or of the tools, in a thread of this process; and a client of it."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import uvicorn
from PIL import Image
from starlette.types import ASGIApp

from coarseparts.app.answers import Answers
from coarseparts.app.guard import LOOPBACK, Guard
from coarseparts.app.page import MOST_BYTES, page_app
from coarseparts.app.running import listening
from coarseparts.app.workspace import Workspace
from coarseparts.data.images import list_images
from coarseparts.data.synthetic import birds
from coarseparts.inference.model import Model
from coarseparts.labels.schema import Schema
from coarseparts.training.networks import build, resolve
from coarseparts.training.settings import settings

TOKEN = "a-key-for-tests"
OWN = {"X-Coarseparts": "1"}


def toy_model(schema: Schema = birds.SCHEMA) -> Model:
    """Untrained, of 32 px, whose parts lie all over an image."""
    torch.manual_seed(0)
    chosen, styles = resolve(settings(), "cpu"), ["keypoints", "mask", "box"]
    networks = build(schema, chosen, styles)
    for module in networks.trained:
        module.eval()
    return Model(networks, schema, chosen, styles, 32, {"to": "none", "margin": 0.0}, True)


def photographs(folder: Path, count: int = 3, size: int = 64) -> Path:
    """A folder of birds."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(birds.render(count, size=size, seed=4)["image"]):
        Image.fromarray(image).save(folder / f"bird_{i}.png")
    return folder


@contextmanager
def serving(app: ASGIApp, token: str | None = TOKEN, page: bool = True, most_bytes: int = MOST_BYTES) -> Iterator[int]:
    """Its port."""
    bound = listening("127.0.0.1", 0)
    guarded = Guard(app, token, LOOPBACK, most_bytes, cookie="coarseparts-test", page=page)
    server = uvicorn.Server(uvicorn.Config(guarded, log_level="critical", access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield bound.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def page_of(model: Model, images: Path, out: Path, **workspace: Any) -> Iterator[tuple[Workspace, Callable[..., Any]]]:
    """The page's server for a folder of photographs, and ``ask`` of a client that has the token."""
    space = Workspace(images, list_images(images), out, model.schema, **workspace)
    with serving(page_app(space, Answers(model), "birds", "coarseparts train birds.yaml")) as port:

        def asked(method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
            """As ``ask``; an image may be named by its number among those of the folder."""
            return ask(port, method, _with_id(path, space), _with_id(body, space), **headers)

        yield space, asked


def _with_id(told: Any, space: Workspace) -> Any:
    if isinstance(told, str):
        return re.sub(r"(?<=/api/images/)\d+(?=/|$)", lambda found: id_of(space, int(found[0])), told)
    if isinstance(told, dict) and isinstance(told.get("image"), int):
        return told | {"image": id_of(space, told["image"])}
    return told


def id_of(space: Workspace, number: int) -> str:
    """What names an image in addresses, by its number."""
    return space.entries[number].id if number < len(space.entries) else str(number)


def ask(port: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """(status, JSON or bytes of the answer)."""
    known = {"Authorization": f"Bearer {TOKEN}", **OWN} | {
        key.replace("_", "-"): value for key, value in headers.items()
    }
    raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    status, _, data = speak(port, method, path, raw, known)
    return status, json.loads(data) if data[:1] in b"{[" and data else data


def speak(
    port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """What a server answers to a request as it stands."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def read_png(text: str) -> np.ndarray:
    """The array of a PNG in base64."""
    import base64
    import io

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
