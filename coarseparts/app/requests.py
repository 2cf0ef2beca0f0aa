"""What clients send, as it may be used: JSON of a given shape, PNG planes of a given size. Everything is untrusted."""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import Request

from coarseparts.app.errors import Refused
from coarseparts.labels.schema import LONGEST, Schema
from coarseparts.system.limits import is_machines
from coarseparts.system.text import nearest, short

Number = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=LONGEST)]
Id = Annotated[str, Field(max_length=64)]
Window = Annotated[str, Field(pattern=r"^[0-9a-zA-Z-]{1,64}$")]
Point = Annotated[list[Number], Field(min_length=2, max_length=3)]
Plane = Annotated[str, Field(max_length=200_000_000)]
"""A PNG in base64."""

MOST_LABELS = 32 * 2**20
"""Bytes of a form's labels."""

Body = TypeVar("Body", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Labels(_Strict):
    """Of one object, in pixels of the upright photograph."""

    keypoints: Annotated[dict[Name, tuple[Number, Number]], Field(max_length=1000)] = {}
    box: tuple[Number, Number, Number, Number] | None = None
    mask: Plane | None = None


class Correction(_Strict):
    """Parts that a person stands for."""

    parts: Plane | Annotated[dict[Name, Plane], Field(max_length=8)]
    labels: Labels = Labels()
    status: Annotated[str, Field(pattern="^(corrected|accepted)$")]
    revision: int = Field(ge=0, le=10**9)
    seconds: float = Field(default=0, ge=0, le=10**7, allow_inf_nan=False)
    author: Name = ""
    window: Window = ""
    pixels: Annotated[str, Field(max_length=64)] = Field(default="", description="of the photograph, as it was told")


class Status(_Strict):
    """What becomes of an image without parts being saved."""

    status: Annotated[str, Field(pattern="^(skipped|new)$")]
    revision: int = Field(ge=0, le=10**9)
    window: Window = ""


class Hold(_Strict):
    """A window has an image open, or (``release``) no longer."""

    window: Window
    release: bool = False


class Photograph(_Strict):
    """A picture with the labels that its object has; all but the picture may be left out. Coordinates are pixels of the
    upright picture, x to the right, y down."""

    image: Plane = Field(description="JPEG, PNG, WebP, BMP or TIFF in base64")
    keypoints: Annotated[dict[Name, Point], Field(max_length=1000)] = Field(
        default={}, description="[x, y] or [x, y, v] by name; v: 2 visible, 1 hidden, 0 known not to be seen"
    )
    box: tuple[Number, Number, Number, Number] | None = Field(default=None, description="[x0, y0, x1, y1]")
    mask: Plane | None = Field(default=None, description="8-bit grey PNG of the picture's size in base64, 0 or 255")


class Found(BaseModel):
    """The parts of a picture."""

    width: int = Field(description="of the upright picture")
    height: int
    parts: str | dict[str, str] = Field(
        description="index map as PNG in base64, 0 is background; of overlapping parts a PNG of 0 and 255 each, by name"
    )
    names: list[str] = Field(description="the parts; index 1 is the first")
    scores: dict[str, float] = Field(description="of each part, 0 to 1")
    confidence: float = Field(description="the mean score of the parts that are seen")
    seconds: float = Field(description="what it took")


class Wrong(BaseModel):
    """What could not be done, and what to do, in a line."""

    error: str


class Shapes(BaseModel):
    """What X-AnyLabeling asks: a picture in base64, of a model by name."""

    model: Name = ""
    image: Plane
    params: dict[str, Any] | None = None


class Tasks(BaseModel):
    """What Label Studio asks: tasks with what is known of them, and the labelling interface; in ``params.context``
    the regions that somebody is drawing."""

    tasks: Annotated[list[dict[str, Any]], Field(max_length=100)]
    label_config: Annotated[str, Field(max_length=1_000_000)] | None = None
    params: dict[str, Any] | None = None

    def drawn(self) -> list[Any]:
        """The regions that somebody is drawing on a task that was sent alone."""
        context = (self.params or {}).get("context")
        drawn = context.get("result") if isinstance(context, dict) else None
        return drawn if isinstance(drawn, list) and len(self.tasks) == 1 else []

    def known(self) -> list[dict[str, Any]]:
        """The tasks; what somebody is drawing is the one annotation of a task."""
        drawn = self.drawn()
        return [self.tasks[0] | {"annotations": [{"result": drawn}]}] if drawn else self.tasks


class Ruler(_Strict):
    """A length that was measured on an image between two points; ``others``: that is the scale of all that have
    none, too."""

    image: Id
    points: tuple[tuple[Number, Number], tuple[Number, Number]]
    length: float = Field(gt=0, le=1e9, allow_inf_nan=False)
    unit: Annotated[str, Field(pattern=r"^(m|cm|mm|um|µm|nm|in|px)$")]
    others: bool = False


def labels_of(given: Labels | Photograph, size: tuple[int, int]) -> dict[str, Any]:
    """Labels as ``Model.predict`` takes them, None where one is not given. Raises Refused."""
    mask = None if given.mask is None else plane(given.mask, size)
    return {"keypoints": given.keypoints or None, "box": given.box, "mask": mask}


async def read(request: Request, kind: type[Body]) -> Body:
    """A request's body as ``kind``. Raises Refused in a line that says what is wrong."""
    return _checked(parsed(await request.body()), kind)


async def read_photograph(request: Request) -> Photograph:
    """A picture with labels: all in JSON, or as a form sends it, a file ``image`` and a text ``labels``. Raises
    Refused."""
    kind = request.headers.get("content-type", "").lower()
    if kind.startswith(("image/", "application/octet-stream")):
        raise Refused(415, "A picture is sent in a form, as its file image, or in JSON, in base64 as image.")
    if not kind.startswith("multipart/form-data"):
        return await read(request, Photograph)
    async with request.form(max_files=1, max_fields=20, max_part_size=MOST_LABELS) as form:
        if others := sorted(form.keys() - {"image", "labels"}):
            name = short(others[0])
            raise Refused(422, f"The form has {name}: labels go into its text labels, in JSON; its file is image.")
        picture, labels = form.get("image"), form.get("labels", "{}")
        if not isinstance(picture, UploadFile) or not isinstance(labels, str):
            raise Refused(422, "The form must have a file image, and may have a text labels.")
        value = parsed(labels.encode("utf-8", "replace"), "the text labels")
        if not isinstance(value, dict):
            raise Refused(422, "The form's labels must be an object of JSON.")
        return _checked(value | {"image": base64.b64encode(await picture.read()).decode()}, Photograph)


def _checked(value: Any, kind: type[Body]) -> Body:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part)[:40] for part in first["loc"])
        said = first["msg"].replace("dictionary", "object").replace("Tuple", "List").replace("tuple", "list")
        if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
            said = f"{said}; {nearest(str(first['loc'][0]), kind.model_fields)}"
        said = said if said.endswith("?") else f"{said[:300]}."
        raise Refused(422, f"The request is not understood: {where or 'its body'}: {said}") from None


def parsed(raw: bytes, what: str = "its body") -> Any:
    """What a body of JSON, or ``what`` else of a request, says. Raises Refused."""
    try:
        return json.loads(raw.decode(json.detect_encoding(raw)))
    except (ValueError, RecursionError):
        raise Refused(400, f"The request is not understood: {what} is no JSON.") from None


def plane(text: str, size: tuple[int, int], largest: int = 255) -> np.ndarray:
    """(H, W) uint8 of an 8-bit grey PNG in base64 of ``size`` (width, height), values at most ``largest``. Raises
    Refused."""
    picture = picture_of(text, ("PNG",), size[0] * size[1])
    if picture.size != size or picture.mode not in ("L", "1", "P"):
        came = f"{picture.mode} of {picture.size[0]}x{picture.size[1]}"
        raise Refused(422, f"A map must be an 8-bit grey PNG of {size[0]}x{size[1]} pixels; it is {came}.")
    found = np.asarray(picture.convert("L") if picture.mode == "1" else picture)
    if found.max(initial=0) > largest:
        raise Refused(422, f"A map has the value {found.max()}, at most {largest} is one.")
    return found


def picture_of(text: str, formats: tuple[str, ...], most_pixels: int) -> Image.Image:
    """The decoded picture in base64, with or without a data URL's head. Raises Refused; nothing is decoded that has
    more pixels."""
    code = text.partition(",")[2] if text.startswith("data:") else text
    try:
        raw = base64.b64decode(re.sub("[\r\n]", "", code), validate=True)  # programs write it in lines of 76
        picture = Image.open(io.BytesIO(raw), formats=formats)
        if picture.size[0] * picture.size[1] > most_pixels:
            raise Refused(413, f"A picture has {picture.size[0]}x{picture.size[1]} pixels, more than {most_pixels:,}.")
        picture.load()
        return picture
    except binascii.Error:
        raise Refused(422, "A picture is not in base64.") from None
    except Image.DecompressionBombError:  # from its header alone, as below
        raise Refused(413, f"A picture has more pixels than {most_pixels:,}.") from None
    except Refused:
        raise
    except Exception as error:  # whatever Pillow's decoders raise on damage
        if is_machines(error):
            raise
        raise Refused(422, f"A picture cannot be read; expected {' or '.join(formats)}.") from None


def encoded(schema: Schema, maps: Sequence[np.ndarray]) -> str | dict[str, str]:
    """Maps as clients get them: one of indices, or of overlapping parts one each, by name."""
    return dict(zip(schema.parts, map(png, maps), strict=True)) if schema.overlapping else png(maps[0])


def png(array: np.ndarray) -> str:
    """An (H, W) uint8 array as an 8-bit grey PNG in base64."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG", compress_level=1)
    return base64.b64encode(file.getvalue()).decode()
