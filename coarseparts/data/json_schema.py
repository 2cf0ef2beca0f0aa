"""The dataset file as a JSON schema, by which editors complete its keys and mark what is wrong while it is written."""

from __future__ import annotations

from typing import Any

from coarseparts.data.dataset_file import DatasetFile
from coarseparts.data.source_paths import OF_STYLES
from coarseparts.labels import STYLES

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_KEYWORDS = {"ge": "minimum", "le": "maximum"}
"""What pydantic calls a limit that stands around a union."""


def dataset_schema() -> dict[str, Any]:
    """A JSON schema (draft 2020-12) of the keys, types, limits and texts of ``DatasetFile``.

    What depends on several keys at once, or on the files, is left to ``coarseparts check``.
    """
    schema: dict[str, Any] = DatasetFile.model_json_schema()
    source = schema["$defs"]["Source"]["properties"]
    collected = next(key for key in source if key.startswith(":"))  # a dictionary in Python, keys of their own in YAML
    del source[collected]
    source |= {key: _labels_of(key) for key in OF_STYLES}
    schema["description"] = "Which images and labels there are, and what their names mean; paths are relative to it."
    return {"$schema": DIALECT, **_plain(schema)}


def _labels_of(key: str) -> dict[str, Any]:
    style = STYLES[OF_STYLES[key]]
    return {"type": ["string", "null"], "description": style.described or f"labels of the style {style.name}"}


def _plain(schema: Any) -> Any:
    """Without titles, which repeat the keys, and formats that no editor knows; limits in the dialect's words."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {"properties", "$defs"}
    kept = {k: v for k, v in schema.items() if k not in ("title", "format") or isinstance(v, dict)}
    return {
        _KEYWORDS.get(k, k): {name: _plain(each) for name, each in v.items()} if k in inner else _plain(v)
        for k, v in kept.items()
    }
