"""The server behind the page: HTTP in, a workspace and a model behind it."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Route

from coarseparts.app.answers import Answer, Answers
from coarseparts.app.entries import fingerprint
from coarseparts.app.errors import MISTAKE, Refused
from coarseparts.app.requests import Correction, Hold, Labels, Ruler, Status, encoded, labels_of, plane, read
from coarseparts.app.workspace import Workspace
from coarseparts.report.palette import colours
from coarseparts.system.text import readable

STATIC = Path(__file__).parent / "static"
MOST_BYTES = 64 * 2**20
THUMBNAIL = 160


def page_app(workspace: Workspace, answers: Answers, title: str = "", retrain: str = "") -> FastAPI:
    """The application, without its ``guard.Guard``. ``title``: what is looked at; ``retrain``: the command that learns
    from the corrections."""
    schema, model = workspace.schema, answers.model
    keypoints = list(schema.keypoints) if "keypoints" in model.styles else []
    app = application()

    def number_of(image: str) -> int:
        return workspace.number(image)

    @app.get("/api/session")
    def session() -> dict[str, Any]:
        hues = colours(len(schema.parts)).tolist()
        parts = [
            {"index": i, "name": name, "color": "#{:02x}{:02x}{:02x}".format(*hue)}
            for i, (name, hue) in enumerate(zip(schema.parts, hues, strict=True), start=1)
        ]
        return {
            "title": readable(title),
            "key": workspace.key,
            "version": version("coarseparts"),
            "parts": parts,
            "overlapping": schema.overlapping,
            "keypoints": keypoints,
            "posterior": model.has_posterior,
            "author": workspace.author,
            "writable": workspace.writable,
            "limits": {"upload_bytes": MOST_BYTES},
        }

    @app.get("/api/images")
    def images(
        status: str = Query("", max_length=20),
        sort: Literal["name", "confidence", "status", "queue"] = "name",
        order: Literal["asc", "desc"] = "asc",
        query: str = Query("", max_length=200),
        offset: int = Query(0, ge=0, le=10**7),
        limit: int = Query(100, ge=1, le=500),
    ) -> dict[str, Any]:
        return workspace.listed(status, sort, order == "desc", query, offset, limit)

    @app.get("/api/images/{image}")
    def described(number: int = Depends(number_of)) -> dict[str, Any]:
        pixels = ""
        with suppress(Refused):  # what is wrong with it is told as its reason
            pixels = fingerprint(opened(workspace, answers, number))
        about = workspace.described(number, pixels)
        about["labels"]["keypoints"] = {k: v for k, v in about["labels"]["keypoints"].items() if k in keypoints}
        return about

    @app.get("/api/images/{image}/photo")
    def photo(number: int = Depends(number_of), max: int = Query(2048, ge=64, le=4096)) -> Response:
        return _jpeg(opened(workspace, answers, number), max, 90)

    @app.get("/api/images/{image}/thumbnail")
    def thumbnail(number: int = Depends(number_of)) -> Response:
        return _jpeg(opened(workspace, answers, number), THUMBNAIL, 80)

    @app.get("/api/images/{image}/mask")
    def mask(number: int = Depends(number_of)) -> Response:
        found = workspace.mask(number)
        file = io.BytesIO()
        Image.fromarray(found).save(file, "PNG")
        return Response(file.getvalue(), media_type="image/png")

    @app.post("/api/images/{image}/parts")
    async def predict(request: Request, number: int = Depends(number_of)) -> dict[str, Any]:
        given = await read(request, Labels)
        begin = time.perf_counter()
        answer = await run_in_threadpool(look, workspace, answers, number, given)
        return {
            "parts": encoded(schema, answer.maps),
            "scores": answer.scores,
            "confidence": answer.confidence,
            "seconds": round(time.perf_counter() - begin, 3),
        }

    @app.get("/api/images/{image}/parts")
    def saved(number: int = Depends(number_of)) -> dict[str, Any]:
        return {"parts": encoded(schema, workspace.parts(number))}

    @app.put("/api/images/{image}/parts")
    async def save(request: Request, number: int = Depends(number_of)) -> dict[str, Any]:
        given = await read(request, Correction)
        return await run_in_threadpool(_save, workspace, answers, number, given)

    @app.put("/api/images/{image}/status")
    async def set_status(request: Request, number: int = Depends(number_of)) -> dict[str, Any]:
        given = await read(request, Status)
        entry = await run_in_threadpool(workspace.set_status, number, given)
        return {"revision": entry.revision, "status": entry.status}

    @app.post("/api/images/{image}/hold")
    async def hold(request: Request, number: int = Depends(number_of)) -> dict[str, Any]:
        given = await read(request, Hold)
        (workspace.release if given.release else workspace.hold)(number, given.window)
        return {"held": not given.release}

    @app.get("/api/retrain")
    def how_to_retrain() -> dict[str, Any]:
        lines = workspace.source_lines() if workspace.saved else []
        return {"command": readable(retrain), "new_masks": len(workspace.saved), "data_file_lines": lines}

    @app.put("/api/scale")
    async def scale(request: Request) -> dict[str, Any]:
        given = await read(request, Ruler)
        return {"pixels_per_unit": await run_in_threadpool(workspace.measure, given)}

    @app.get("/")
    def index() -> FileResponse:
        return FileResponse(STATIC / "index.html", media_type="text/html")

    app.mount("/static", StaticFiles(directory=STATIC))
    return app


def application(**described: Any) -> FastAPI:
    """An application that answers everything that goes wrong with a line of JSON, and serves no documentation unless
    ``described`` says where."""
    app = FastAPI(**({"openapi_url": None, "docs_url": None, "redoc_url": None} | described))

    def refused(_: Request, refusal: Exception) -> Response:
        assert isinstance(refusal, Refused)
        return JSONResponse(refusal.content, refusal.status, refusal.headers)

    def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path, listed = readable(request.url.path)[:200], "; /docs lists the calls" if app.openapi_url else ""
        here = (each for each in app.routes if isinstance(each, Route) and each.matches(request.scope)[0] != Match.NONE)
        methods = ", ".join(sorted({method for each in here for method in each.methods or ()}))
        if error.status_code == 405 and methods:
            said = f"{path} is asked by {methods}, not by {request.method[:20]}{listed}."
            return JSONResponse({"error": said}, 405, {"Allow": methods})
        said = f"There is nothing at {path}{listed}." if error.status_code == 404 else str(error.detail)
        return JSONResponse({"error": said}, error.status_code)

    def misread(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part)[:40] for part in first["loc"][1:])
        return JSONResponse({"error": f"The request is not understood: {where}: {first['msg'][:200]}."}, 422)

    def mistaken(_: Request, __: Exception) -> Response:
        return JSONResponse({"error": MISTAKE}, 500)  # the guard writes what it was to the terminal

    app.add_exception_handler(Exception, mistaken)
    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(ClientDisconnect, lambda *_: Response(status_code=400))  # nobody is there to read it
    app.add_exception_handler(HTTPException, unknown)
    app.add_exception_handler(RequestValidationError, misread)
    return app


def opened(workspace: Workspace, answers: Answers, number: int) -> np.ndarray:
    """(H, W, 3) uint8: an image, whose size is known afterwards. Raises Refused, and notes why, where it is damaged."""
    entry = workspace.entry(number)
    try:
        workspace.usable(entry)
        photograph = answers.photograph(entry.path)
    except Refused as refusal:
        entry.reason = str(refusal)
        raise
    entry.size, entry.reason = photograph.size, None
    return photograph.array


def look(workspace: Workspace, answers: Answers, number: int, given: Labels) -> Answer:
    """What the model says of an image with labels. Raises Refused."""
    opened(workspace, answers, number)
    entry = workspace.entry(number)
    assert entry.size is not None
    usable = answers.model.styles if answers.model.has_posterior else []
    labels = labels_of(given, entry.size)
    answer = answers.of_file(entry.path, {name: value for name, value in labels.items() if name in usable})
    if not any(value is not None for value in labels.values()):
        entry.confidence = answer.confidence
    return answer


def _save(workspace: Workspace, answers: Answers, number: int, given: Correction) -> dict[str, Any]:
    schema, entry = workspace.schema, workspace.entry(number)
    workspace.usable(entry)
    pixels = given.pixels
    try:
        pixels = fingerprint(opened(workspace, answers, number))
    except Refused:  # the photograph went while it was worked on; the work need not
        if entry.size is None:
            raise
    if given.pixels not in ("", pixels):
        raise Refused(412, "The photograph is not the one that was opened any more; open it again and look.")
    assert entry.size is not None
    if unknown := given.labels.keypoints.keys() - set(schema.keypoints):
        raise Refused(422, f"There is no keypoint {min(unknown)!r}.")
    # Those that this model has no word for stay as they were saved with another one.
    placed = set(schema.keypoints) if "keypoints" in answers.model.styles else set()
    if entry.fits:
        kept = {name: at for name, at in entry.labels.get("keypoints", {}).items() if name not in placed}
        given.labels.keypoints = kept | given.labels.keypoints
    if schema.overlapping:
        if not isinstance(given.parts, dict) or given.parts.keys() != set(schema.parts):
            raise Refused(422, f"The parts must be one map each of {', '.join(schema.parts)}.")
        maps = [np.where(plane(given.parts[name], entry.size) > 127, 255, 0).astype(np.uint8) for name in schema.parts]
    else:
        if not isinstance(given.parts, str):
            raise Refused(422, "The parts must be one map of indices.")
        maps = [plane(given.parts, entry.size, largest=len(schema.parts))]
    mask = None if given.labels.mask is None else plane(given.labels.mask, entry.size)
    workspace.save(number, maps, mask, given, pixels)
    name = workspace.saved_name(number)
    return {"revision": entry.revision, "status": entry.status, "path_name": name}


def _jpeg(array: np.ndarray, longest: int, quality: int) -> Response:
    picture = Image.fromarray(array)
    picture.thumbnail((longest, longest))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Response(file.getvalue(), media_type="image/jpeg")


def looks_ahead(workspace: Workspace, answers: Answers) -> Callable[[int], object]:
    """What ``answers.Ahead`` does with an image."""
    return partial(look, workspace, answers, given=Labels())
