"""A server that keeps to the page's contract and has no model: it answers with true parts. For the page's own tests."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import sleep
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image

from coarseparts.data.synthetic import birds
from coarseparts.report.palette import colours

STATIC = Path(__file__).parents[2] / "coarseparts" / "app" / "static"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "object-src 'none'"
)
DRAWN = 6
"""How many different birds there are; further images show them again."""


class FakeApp:
    """``count`` images in memory; what is saved goes to ``folder`` as index maps. ``asked``: every POST's labels."""

    def __init__(self, folder: Path, count: int = DRAWN, size: int = 192, overlapping: bool = False) -> None:
        self.folder, self.size, self.overlapping = folder, size, overlapping
        self.birds = birds.render(DRAWN, size=size, seed=7)
        self.parts = list(birds.SCHEMA.parts[: 7 if overlapping else None])
        self.state = [{"status": "new", "revision": 0, "saved": None} for _ in range(count)]
        self.holder: dict[int, str] = {}
        self.asked: list[dict] = []
        self.url = ""
        self.delays: list[float] = []  # seconds that the next answers take
        self.scales: list[dict] = []
        self.pixels = "those"  # what tells the photographs from others

    def session(self) -> dict:
        hues = colours(len(self.parts)).tolist()
        listed = [
            {"index": i + 1, "name": name, "color": "#{:02x}{:02x}{:02x}".format(*hues[i])}
            for i, name in enumerate(self.parts)
        ]
        return {
            "title": "birds",
            "key": "birds",
            "version": "0",
            "parts": listed,
            "overlapping": self.overlapping,
            "keypoints": list(birds.SCHEMA.keypoints),
            "posterior": True,
            "author": "Ada",
            "writable": True,
            "limits": {"upload_bytes": 2**25},
        }

    def listed(self, i: int) -> dict:
        ranked = i + 1 if i < 3 else None
        confidence = None if i % 5 == 4 else round(0.4 + 0.09 * (i % 6), 2)
        name = f"bird_{i:05d}.png"
        reason = "cut short" if self.state[i]["status"] == "damaged" else None
        return {"id": i, "name": name, "status": self.state[i]["status"], "confidence": confidence, "reason": reason,
                "queue_rank": ranked}  # fmt: skip

    def images(self, query: dict[str, str]) -> dict:
        everything = [self.listed(i) for i in range(len(self.state))]
        wanted = [
            im for im in everything if query.get("status", "") in ("", im["status"]) and query["query"] in im["name"]
        ]
        keys = {"name": "name", "confidence": "confidence", "status": "status", "queue": "queue_rank"}
        key = keys[query.get("sort", "name")]
        wanted.sort(key=lambda im: (im[key] is None, im[key] or 0) if key != "name" else im["name"])
        if query.get("order") == "desc":
            wanted.reverse()
        counts: dict[str, int] = {}
        for image in everything:
            counts[image["status"]] = counts.get(image["status"], 0) + 1
        first = int(query["offset"])
        return {"total": len(wanted), "counts": counts, "images": wanted[first : first + int(query["limit"])]}

    def image(self, i: int) -> dict:
        state = self.state[i]
        labels = {"keypoints": {}, "box": None, "mask": i % DRAWN == 1}
        corrected, held_by = state["status"] == "corrected", self.holder.get(i)
        known = {"revision": state["revision"], "labels": labels, "corrected": corrected, "held_by": held_by}
        return {**self.listed(i), "width": self.size, "height": self.size, "pixels": self.pixels, **known}

    def answer(self, i: int, labels: dict) -> dict:
        """The true parts; without labels the first part is missed, so that a label shows."""
        self.asked.append(labels)
        sleep(self.delays.pop(0) if self.delays else 0)
        parts = self.birds["parts"][i % DRAWN].copy()
        if not labels["keypoints"] and not labels["box"] and not labels["mask"]:
            parts[parts == 1] = 0
        shown = (
            {name: png(255 * (parts == k + 1)) for k, name in enumerate(self.parts)} if self.overlapping else png(parts)
        )
        return {"parts": shown, "scores": dict.fromkeys(self.parts, 0.8), "confidence": 0.77, "seconds": 0.1}

    def save(self, i: int, body: dict) -> tuple[int, dict]:
        state = self.state[i]
        if body.get("pixels", self.pixels) != self.pixels:
            return 412, {"error": "It is another photograph."}
        if body["revision"] != state["revision"]:
            return 409, {"error": "Somebody saved this image.", "revision": state["revision"]}
        state.update(status=body["status"], revision=state["revision"] + 1)
        if "parts" in body:
            state["saved"] = {"parts": body["parts"]}
            parts = body["parts"] if isinstance(body["parts"], dict) else {"": body["parts"]}
            for part, text in parts.items():
                path = self.folder / part / f"bird_{i:05d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(base64.b64decode(text))
        return 200, {"revision": state["revision"], "status": state["status"]}

    def hold(self, i: int, body: dict) -> tuple[int, dict]:
        if body.get("release"):
            if self.holder.get(i) == body["window"]:
                del self.holder[i]
            return 200, {"held": False}
        if self.holder.setdefault(i, body["window"]) != body["window"]:
            return 423, {"error": "Open in another window.", "since": 0}
        return 200, {"held": True}


def png(plane: np.ndarray) -> str:
    out = io.BytesIO()
    Image.fromarray(plane.astype(np.uint8)).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


class Handler(BaseHTTPRequestHandler):
    app: FakeApp
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path == "/" or url.path.startswith("/static/"):
            file = STATIC / (url.path[8:] or "index.html")
            return self.reply(200, file.read_bytes(), TYPES[file.suffix])
        if url.path == "/api/session":
            return self.reply(200, self.app.session())
        if url.path == "/api/images":
            return self.reply(200, self.app.images({"query": "", **query}))
        if url.path == "/api/retrain":
            lines = ["- split: train", "  images: birds", "  part_masks: birds_corrected/parts"]
            count = sum(s["saved"] is not None for s in self.app.state)
            return self.reply(
                200, {"command": "coarseparts train birds.yaml", "new_masks": count, "data_file_lines": lines}
            )
        _, i, what = self.image_path(url.path)
        self.reply(*self.of_image(i, what))

    def of_image(self, i: int, what: str) -> tuple:
        made = self.app.birds
        if not what:
            return 200, self.app.image(i)
        if what == "parts":
            saved = self.app.state[i]["saved"]
            return (200, saved) if saved else (404, {"error": "Nothing is saved."})
        if what == "mask":
            return 200, base64.b64decode(png(255 * (made["parts"][i % DRAWN] > 0))), "image/png"
        out = io.BytesIO()
        shown = Image.fromarray(made["image"][i % DRAWN])
        if what == "thumbnail":
            shown.thumbnail((160, 160))
        shown.save(out, "JPEG")
        return 200, out.getvalue(), "image/jpeg"

    def do_POST(self) -> None:
        _, i, what = self.image_path(self.path)
        self.reply(*(self.app.hold(i, self.body()) if what == "hold" else (200, self.app.answer(i, self.body()))))

    def do_PUT(self) -> None:
        if self.path == "/api/scale":
            body = self.body()
            self.app.scales.append(body)
            (ax, ay), (bx, by) = body["points"]
            return self.reply(200, {"pixels_per_unit": float(np.hypot(ax - bx, ay - by)) / body["length"]})
        _, i, _ = self.image_path(self.path)
        self.reply(*self.app.save(i, self.body()))

    def body(self) -> dict:
        assert self.headers["X-Coarseparts"] == "1"
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    @staticmethod
    def image_path(path: str) -> tuple[str, int, str]:
        match = re.fullmatch(r"(/api/images/)(\d+)/?(\w*)", path)
        assert match, path
        return match[1], int(match[2]), match[3]

    def reply(self, status: int, content: object, kind: str = "application/json") -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(data))),
            ("Content-Security-Policy", POLICY),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving(app: FakeApp) -> Iterator[str]:
    """The address at which ``app`` answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"app": app}))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
