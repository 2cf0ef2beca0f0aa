"""How `coarseparts app`'s server bears many clients, requests that nobody understands, and a sudden end.

    python benchmarks/app.py [--seconds 120] [--requests 1000] [--kills 50]

All of it against a real server in a process of its own, with photographs of 500x375 pixels and an untrained model of
`--size` pixels (the default preset, random weights: as fast as a trained one).

kills     a client saves one correction after another until the server gets SIGKILL: every correction that was
          acknowledged must be there afterwards, every file whole, and the next server must read them
malformed random bodies, paths, headers and sizes: no answer of 500 or more but 503, no word from a file that was not
          given, nothing changed outside the folder of the corrections
load      `--clients` at once, each asking for parts with some keypoints as soon as it has its answer, every tenth
          time saving: times, errors, the server's memory
Exit status 1 when any of it fails, or when 95 % of the answers take more than `--target` seconds.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import http.client
import json
import multiprocessing
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rates import machine

from coarseparts.app import running
from coarseparts.app.answers import Answers
from coarseparts.app.entries import Entry
from coarseparts.app.page import MOST_BYTES, page_app
from coarseparts.app.requests import png
from coarseparts.app.workspace import Workspace
from coarseparts.data.images import list_images
from coarseparts.data.synthetic import birds
from coarseparts.inference.model import Model
from coarseparts.training.networks import build, resolve
from coarseparts.training.settings import settings

TOKEN = "a-key-of-the-benchmark"
SIZE = 500, 375
CANARY = "nobody-may-read-this"


def model_of(size: int) -> Model:
    """Untrained, as ``coarseparts.load`` would hand it out."""
    chosen, styles = resolve(settings("default", {"weights": "random"}), "cpu"), ["keypoints", "mask", "box"]
    networks = build(birds.SCHEMA, chosen, styles, weights=False)
    for network in networks.trained:
        network.eval()
    return Model(networks, birds.SCHEMA, chosen, styles, size, {"to": "none", "margin": 0.0}, False)


@contextmanager
def server(images: Path, out: Path, size: int) -> Iterator[tuple[Any, int]]:
    """(process, port) of a server, which is killed in the end."""
    bound = running.listening("127.0.0.1", 0)
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(bound, images, out, size), daemon=True)
    process.start()
    port = bound.getsockname()[1]
    bound.close()
    try:
        while ask(port, "GET", "/api/session")[0] != 200:
            time.sleep(0.02)
        yield process, port
    finally:
        process.kill()
        process.join()


def _serve(bound: socket.socket, images: Path, out: Path, size: int) -> None:
    workspace = Workspace(images, list_images(images), out, birds.SCHEMA)
    app = page_app(workspace, Answers(model_of(size)))
    running.run(app, bound, "127.0.0.1", MOST_BYTES, page=True, token=TOKEN)


def ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """(status, answer); status 0 where there was none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {"Authorization": f"Bearer {TOKEN}", "X-Coarseparts": "1"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or "null")
    except (OSError, http.client.HTTPException, ValueError):
        return 0, None
    finally:
        connection.close()


def photographs(folder: Path, count: int = 16) -> Path:
    """A folder of birds."""
    folder.mkdir()
    for i, image in enumerate(birds.render(count, size=256, seed=4)["image"]):
        Image.fromarray(image).resize(SIZE).save(folder / f"bird_{i:02}.jpg")
    return folder


def image_path(number: int, rest: str = "") -> str:
    """The address of a bird, or of what is asked of it."""
    return f"/api/images/{Entry(f'bird_{number:02}.jpg', Path()).id}{rest}"


# ---- a sudden end ----------------------------------------------------------------------------------------------------


def kills(images: Path, out: Path, times: int, rng: random.Random) -> int:
    """Prints and returns how often something was lost or half-written."""
    kept: set[bytes] = set()
    acknowledged, wrong = 0, 0
    for number in range(times):
        with server(images, out, 32) as (process, port):
            stop = threading.Timer(rng.uniform(0.02, 1), os.kill, (process.pid, signal.SIGKILL))
            _, described = ask(port, "GET", image_path(0))
            stop.start()
            revision = described["revision"]
            while True:
                maps = np.random.default_rng(rng.getrandbits(60)).integers(0, 6, SIZE[::-1]).astype(np.uint8)
                body = {"parts": png(maps), "labels": {"box": [1, 2, 30, 40]}, "status": "corrected"}
                status, answer = ask(port, "PUT", image_path(0, "/parts"), body | {"revision": revision})
                if status != 200:
                    break
                revision = answer["revision"]
                kept.add(_digest(maps))
                acknowledged += 1
            stop.join()
        wrong += _lost(images, out, kept, revision, number)
    print(f"kills      {times} times SIGKILL while saving, {acknowledged} saves acknowledged, {wrong} times a loss")
    return wrong


def _lost(images: Path, out: Path, kept: set[bytes], revision: int, number: int) -> bool:
    try:
        files = [*out.glob("parts/*.png"), *out.glob("older/*.png")]
        there = {_digest(np.asarray(Image.open(file))) for file in files}
        if (out / "coco.json").exists():
            json.loads((out / "coco.json").read_bytes())
        after = Workspace(images, list_images(images), out, birds.SCHEMA).entries[0].revision
    except (OSError, ValueError) as error:
        print(f"           kill {number}: {error}")
        return True
    if kept <= there and after >= revision:
        return False
    print(f"           kill {number}: {len(kept - there)} corrections are not there, revision {after} of {revision}")
    return True


def _digest(array: np.ndarray) -> bytes:
    return hashlib.sha256(array.tobytes()).digest()


# ---- requests that nobody understands --------------------------------------------------------------------------------

PATHS = (
    "/", "/api/session", "/api/images", image_path(0), image_path(0, "/parts"), image_path(1, "/status"),
    image_path(2, "/hold"), "/api/scale", image_path(3, "/photo"), image_path(0, "/mask"), "/static/main.js",
    "/api/retrain",
)  # fmt: skip
CLIMBING = ("/../secret.txt", "/..%2fsecret.txt", "/static/../../secret.txt", "/static/%2e%2e/%2e%2e/secret.txt",
            "//secret.txt", "/static//etc/passwd", "/api/images/..%2f..%2fsecret.txt/photo", "/%00", "/api/images/-1",
            "/api/images/1e9/photo", "/api/images/99999999999999999999/parts", "/api/images?limit=-1",
            image_path(0, "/photo?max=1000000000"), "/api/images?sort=__class__&query=%ff")  # fmt: skip
VALUES = (None, True, -1, 1e308, float("nan"), 10**400, "", "x" * 5000, "../../secret.txt", "\x00", "\ud800", [], {},
          [[]] * 500, {"a": {"b": [1, 2]}}, "data:image/png;base64,AAAA", "file:///etc/passwd")  # fmt: skip
KEYS = ("parts", "labels", "keypoints", "box", "mask", "status", "revision", "seconds", "author", "window", "points",
        "length", "unit", "image", "release", "__class__", "")  # fmt: skip
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "get", "G T")


def malformed(images: Path, out: Path, size: int, requests: int, rng: random.Random) -> int:
    """Prints the answers by status; returns how many of them should not have been."""
    root = images.parent
    (root / "secret.txt").write_text(CANARY)
    before, seen, wrong = _state(root, out), Counter[int](), 0
    with server(images, out, size) as (process, port):
        for _ in range(requests):
            raw = _request(rng, port)
            status, answer = _sent(port, raw)
            seen[status] += 1
            if (status >= 500 and status != 503) or CANARY.encode() in answer or b"Traceback" in answer:
                wrong += 1
                print(f"           {raw[:200]!r}: {answer[:200]!r}")
        wrong += ask(port, "POST", image_path(0, "/parts"), {})[0] != 200 or not process.is_alive()
    changed = _state(root, out) != before
    counts = ", ".join(f"{seen[status]} {status or 'closed'}" for status in sorted(seen))
    print(f"malformed  {requests} requests: {counts}; {wrong} wrong; outside {'CHANGED' if changed else 'unchanged'}")
    return wrong + changed


def _request(rng: random.Random, port: int) -> bytes:
    path = rng.choice(CLIMBING) if rng.random() < 0.3 else rng.choice(PATHS)
    headers = {"Host": f"127.0.0.1:{port}", "Authorization": f"Bearer {TOKEN}", "X-Coarseparts": "1"}
    headers["Connection"], body = "close", b""
    kind = rng.random()
    if kind < 0.5:
        body = json.dumps({rng.choice(KEYS): rng.choice(VALUES) for _ in range(rng.randint(0, 8))}).encode()
    elif kind < 0.6:
        body = rng.choice((b"[" * 50_000, b'{"a":' * 20_000, b"\xff\xfe{}", b"{", b"null", b"NaN", b'"\\ud800"'))
    elif kind < 0.7:
        body = json.dumps({"parts": _picture(rng), "status": "corrected", "revision": 0, "labels": {}}).encode()
    elif kind < 0.8:
        body = json.dumps({"mask": _picture(rng), "box": [rng.choice((1e6, -5, 0)) for _ in range(4)]}).encode()
    elif kind < 0.9:
        body = rng.randbytes(rng.randint(0, 5000))
    headers["Content-Length"] = str(len(body))
    if rng.random() < 0.2:
        name = rng.choice((*headers, "Cookie", "Origin", "Transfer-Encoding", "Content-Type", "Range", "Expect"))
        headers[name] = rng.choice(("", "-1", "9" * 30, "x" * 9000, "chunked", "evil.example", "bytes=0-", "é;=\x01"))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    raw = f"{rng.choice(METHODS)} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body
    return rng.randbytes(200) if rng.random() < 0.02 else raw


def _picture(rng: random.Random) -> str:
    """A map that does not fit, or is damaged, or claims to be huge."""
    width, height = rng.choice(((1, 1), SIZE[::-1], SIZE, (40_000, 1)))
    raw = bytearray(base64.b64decode(png(np.full((height, width), rng.choice((0, 7, 255)), np.uint8))))
    for _ in range(rng.choice((0, 1, 10))):
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    return base64.b64encode(raw[: rng.choice((None, 30, 60))]).decode()


def _sent(port: int, raw: bytes) -> tuple[int, bytes]:
    """(status, answer); 0 where the connection was closed without one, or the server waits for more."""
    found = b""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        with suppress(OSError):  # it may answer, and close, before it has everything
            connection.sendall(raw)
        while piece := connection.recv(1 << 16):
            found += piece
    words = found[:20].split()
    return (int(words[1]) if len(words) > 1 and words[1].isdigit() else 0), found


def _state(root: Path, out: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file() and out not in path.parents)
    return {str(path): hashlib.sha256(path.read_bytes()).digest() for path in files}


# ---- many clients ----------------------------------------------------------------------------------------------------


def load(images: Path, out: Path, size: int, clients: int, duration: float, target: float) -> bool:
    """Prints times, errors and memory; whether they are as they should be."""
    took: list[float] = []
    seen: Counter[int] = Counter()
    with server(images, out, size) as (process, port):
        alone = sorted(_answer(port, random.Random(i), took, seen) for i in range(12))[6]
        took.clear()
        end, memory = time.monotonic() + duration, [_resident(process.pid)]
        threads = [threading.Thread(target=_client, args=(port, i, end, took, seen)) for i in range(clients)]
        for thread in threads:
            thread.start()
        while time.monotonic() < end:
            time.sleep(duration / 8)
            memory.append(_resident(process.pid))
        for thread in threads:
            thread.join()
    middle, late = (float(np.quantile(took, q)) for q in (0.5, 0.95))
    errors = sum(count for status, count in seen.items() if status != 200)
    print(f"load       one client: {alone:.3f} s an answer (median) at {size} px")
    print(
        f"           {clients} clients, {duration:g} s: {len(took)} answers, median {middle:.2f} s, 95 % {late:.2f} s"
    )
    print(f"           errors {errors}; memory, MB: {' '.join(f'{value:.0f}' for value in memory)}")
    return errors == 0 and late <= target


def _client(port: int, number: int, end: float, took: list[float], seen: Counter[int]) -> None:
    rng, count = random.Random(number), 0
    while time.monotonic() < end:
        _answer(port, rng, took, seen)
        count += 1
        if count % 10 == 0:  # each client its own image, so that nobody is told to be second
            revision = ask(port, "GET", image_path(number))[1]["revision"]
            body = {"parts": png(np.zeros(SIZE[::-1], np.uint8)), "status": "accepted", "revision": revision}
            seen[ask(port, "PUT", image_path(number, "/parts"), body)[0]] += 1


def _answer(port: int, rng: random.Random, took: list[float], seen: Counter[int]) -> float:
    chosen = rng.sample(list(birds.SCHEMA.keypoints), rng.randint(0, 4))
    body = {"keypoints": {name: [rng.uniform(0, SIZE[0]), rng.uniform(0, SIZE[1])] for name in chosen}}
    begin = time.perf_counter()
    status, _ = ask(port, "POST", image_path(rng.randrange(16), "/parts"), body)
    took.append(time.perf_counter() - begin)
    seen[status] += 1
    return took[-1]


def _resident(process: int) -> float:
    """Memory of a process, MB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1000


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--target", type=float, default=2.5)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    print(f"processes that wanted the machine before: {os.getloadavg()[0]:.1f}", flush=True)
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        images = photographs(Path(folder, "photos"))
        wrong = kills(images, Path(folder, "killed"), given.kills, rng)
        sys.stdout.flush()
        wrong += malformed(images, Path(folder, "fuzzed"), 32, given.requests, rng)
        sys.stdout.flush()
        good = load(images, Path(folder, "loaded"), given.size, given.clients, given.seconds, given.target)
    print(machine("cpu"))  # last: it starts torch's threads, and the servers are forks of this process
    return 0 if good and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
