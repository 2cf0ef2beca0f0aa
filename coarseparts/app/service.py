"""The server behind other tools: Label Studio's ML backend, X-AnyLabeling's remote server, and a plain call of ours."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from coarseparts.app import label_studio
from coarseparts.app.answers import Answers, without_paths
from coarseparts.app.described import page
from coarseparts.app.errors import Refused
from coarseparts.app.label_studio import Controls, asked_of, regions
from coarseparts.app.page import application
from coarseparts.app.requests import (
    Found,
    Photograph,
    Shapes,
    Tasks,
    Wrong,
    encoded,
    labels_of,
    picture_of,
    read,
    read_photograph,
)
from coarseparts.data import images as files
from coarseparts.data.formats.outlines import outer_rings, simplified
from coarseparts.data.images import list_images, pixels
from coarseparts.inference.predict import Prediction
from coarseparts.system.problems import BadInput

FORM = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["image"],
            "properties": {
                "image": {"type": "string", "format": "binary"},
                "labels": {"type": "string", "description": "the other keys of the JSON body, as JSON"},
            },
        }
    }
}
"""How a photograph is sent as a file."""

TOKEN = "Where a token is needed, it is sent as Authorization: Bearer TOKEN."

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
MOST_BYTES = 128 * 2**20
TOLERANCE = 1.0
"""Pixels by which X-AnyLabeling's polygons may differ from a part's outline."""


def service_app(answers: Answers, name: str, folders: Sequence[Path] = ()) -> FastAPI:
    """The application, without its ``guard.Guard``. ``name``: what the model is called in the tools; ``folders``: of
    the photographs that tasks name."""
    model, photographs = answers.model, _by_name(folders)
    about = {
        "display_name": f"coarseparts: {', '.join(model.schema.parts)}"[:200],
        "widgets": [
            {"name": "button_run", "value": None},
            {"name": "toggle_preserve_existing_annotations", "value": False},
        ],
        "params": {},
        "batch_processing_mode": "default",
    }
    schemas = {kind.__name__: kind.model_json_schema() for kind in (Photograph, Shapes, Tasks)}
    app = application(
        openapi_url="/openapi.json",
        title="coarseparts",
        version=version("coarseparts"),
        description=f"A model of {', '.join(model.schema.parts)} answers. {TOKEN}",
        responses={"4XX": {"model": Wrong, "description": "What could not be done, in a line"}},
    )

    def takes(kind: type, **others: dict[str, Any]) -> dict[str, Any]:
        content = {"application/json": {"schema": schemas[kind.__name__]}} | others
        return {"requestBody": {"required": True, "content": content}}

    @app.get("/docs")
    def docs() -> HTMLResponse:
        """This page."""
        return HTMLResponse(page(app.openapi()))

    @app.head("/health", include_in_schema=False)  # as load balancers ask
    @app.head("/", include_in_schema=False)
    @app.get("/health")
    @app.get("/")
    def health() -> dict[str, Any]:
        """Whether the model is there."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        return {"status": "UP", "model_class": "coarseparts", "models_loaded": 1, "timestamp": now}

    @app.post("/v1/parts", openapi_extra=takes(Photograph, **FORM), response_model=Found)
    async def parts(request: Request) -> dict[str, Any]:
        """The parts of a picture: index map (or a mask each) as PNG in base64, scores, confidence. Besides JSON, a form
        (multipart) with a file ``image`` and a text ``labels``, of the other keys in JSON, is taken."""
        given = await read_photograph(request)
        begin = time.perf_counter()
        return (await run_in_threadpool(_parts, answers, given)) | {"seconds": round(time.perf_counter() - begin, 3)}

    # ---- Label Studio ------------------------------------------------------------------------------------------------

    @app.post("/setup")
    def setup() -> dict[str, str]:
        """Label Studio has connected a project."""
        return {"model_version": name}

    @app.post("/validate")
    def validate() -> dict[str, str]:
        """Label Studio asks whether a labelling interface will do: any that has the parts."""
        return {"status": "ok"}

    @app.post("/webhook", status_code=201)
    @app.post("/train", status_code=201)
    def event() -> dict[str, str]:
        """Somebody annotated something in Label Studio; nothing is learned here."""
        return {"status": "ignored"}

    @app.post("/predict", openapi_extra=takes(Tasks))
    async def predict(request: Request) -> dict[str, Any]:
        """The parts of Label Studio's tasks as regions, from their images and the labels that they have."""
        given = await read(request, Tasks)
        interface = asked_of(Controls.of(given.label_config or "", model.schema.parts), given.drawn())
        tasks = given.known()
        results = [await run_in_threadpool(_task, answers, photographs, interface, task, name) for task in tasks]
        return {"results": results, "model_version": name}

    # ---- X-AnyLabeling -----------------------------------------------------------------------------------------------

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        """The one model."""
        return {"success": True, "data": {name: about}}

    @app.get("/v1/models/{model_id}/info", response_model=None)
    def info(model_id: str) -> dict[str, Any]:
        """What X-AnyLabeling shows of it."""
        return {"success": True, "data": {"model_id": name} | about} if model_id == name else _unknown()

    @app.post("/v1/predict", openapi_extra=takes(Shapes), response_model=None)
    async def shapes(request: Request) -> dict[str, Any] | Response:
        """The parts of a picture as polygons."""
        given = await read(request, Shapes)
        if given.model not in ("", name):
            return _unknown()
        try:
            return {"success": True, "data": await run_in_threadpool(_shapes, answers, given)}
        except Refused as refusal:
            if refusal.status == 503:
                raise
            return _not_done("INVALID_IMAGE", str(refusal))

    return app


def _unknown() -> dict[str, Any]:
    return _not_done("MODEL_NOT_FOUND", "There is no such model here.")


def _not_done(code: str, message: str) -> dict[str, Any]:
    """X-AnyLabeling takes the data whatever ``success`` says, and would take none for an image without shapes."""
    kept = {"shapes": [], "description": "", "replace": False}
    return {"success": False, "error": {"code": code, "message": message}, "data": kept}


def _by_name(folders: Sequence[Path]) -> dict[str, Path]:
    """Photographs by their path relative to the folder that they lie in; in several folders, the first one's."""
    found: dict[str, Path] = {}
    for folder in folders:
        found = dict(list_images(folder)) | found
    return found


def _picture(text: str) -> np.ndarray:
    """(H, W, 3) uint8, upright. Raises Refused."""
    try:
        return pixels(picture_of(text, FORMATS, files.allowed()), "the picture")[0]
    except BadInput as error:
        raise Refused(422, f"The picture {without_paths(error)}") from None


def _parts(answers: Answers, given: Photograph) -> dict[str, Any]:
    array = _picture(given.image)
    size = array.shape[1], array.shape[0]
    labels = labels_of(given, size)
    if unusable := [n for n, value in labels.items() if value is not None and n not in answers.model.styles]:
        raise Refused(422, f"This model does not know {', '.join(unusable)}.")
    answer = answers.of_photograph(files.Photograph(array, size, []), labels)
    schema = answers.model.schema
    about = {"names": list(schema.parts), "scores": answer.scores, "confidence": answer.confidence}
    return {"width": size[0], "height": size[1], "parts": encoded(schema, answer.maps)} | about


def _shapes(answers: Answers, given: Shapes) -> dict[str, Any]:
    array = _picture(given.image)
    answer = answers.of_photograph(files.Photograph(array, (array.shape[1], array.shape[0]), []), {})
    schema, shapes = answers.model.schema, []
    parts = schema.maps.of_pictures(answer.maps)
    for index, part in enumerate(schema.parts, start=1):
        for ring in outer_rings(schema.maps.shows(parts, index)):
            about = {"label": part, "shape_type": "polygon", "score": answer.scores[part], "group_id": 1}
            rest: dict[str, Any] = {
                "attributes": {},
                "description": None,
                "difficult": False,
                "direction": 0,
                "flags": None,
            }
            shapes.append(about | rest | {"kie_linking": [], "points": simplified(ring, TOLERANCE)})
    return {"shapes": shapes, "description": ""}  # whether shapes that are there stay, the person says there


def _task(
    answers: Answers, photographs: Mapping[str, Path], interface: Sequence[Controls], task: dict[str, Any], name: str
) -> dict[str, Any]:
    """A prediction for a task, of each image with controls for parts; without regions, and with the reason, where it
    cannot be made."""
    found, scores = [], []
    try:
        for controls in interface:
            predictions = answers.of_samples(label_studio.samples_of(answers.model, task, photographs, controls))
            for number, prediction in enumerate(predictions):
                parts = _named(answers, prediction)
                scores += [score for _, score in parts.values()]
                group = f"coarseparts-{number}" if len(interface) == 1 else f"coarseparts-{controls.image}-{number}"
                found += regions(controls, parts, group)
    except Refused as refusal:
        if refusal.status == 503:
            raise
        return {"model_version": name, "score": 0.0, "result": [], "error": str(refusal)}
    return {"model_version": name, "score": float(np.mean(scores)) if scores else 0.0, "result": found}


def _named(answers: Answers, prediction: Prediction) -> dict[str, tuple[np.ndarray, float]]:
    """(mask, score) of each part that is seen."""
    schema, parts, scores = answers.model.schema, prediction.part_map(), prediction.scores()
    masks = {name: schema.maps.shows(parts, index) for index, name in enumerate(schema.parts, start=1)}
    return {
        n: (mask, round(float(score), 4)) for (n, mask), score in zip(masks.items(), scores, strict=True) if mask.any()
    }
