"""The calls of a server as a page to read: its ``/openapi.json``, without scripts, styles or anything of a network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
</head>
<body><main>
<h1>{title}</h1>
<p>{about} For programs: <a href="openapi.json">openapi.json</a>.</p>
{calls}
</main></body>
</html>
"""


def page(spec: dict[str, Any], about: str) -> str:
    """HTML of an OpenAPI document; ``about``: a sentence on the whole."""
    title = escape(f"{spec['info']['title']} {spec['info']['version']}")
    return PAGE.format(title=title, about=escape(about), calls="\n".join(_calls(spec["paths"])))


def _calls(paths: dict[str, dict[str, Any]]) -> Iterator[str]:
    for path, methods in paths.items():
        for method, call in methods.items():
            yield f"<section><h2><code>{method.upper()} {escape(path)}</code></h2>"
            if text := call.get("description"):
                yield f"<p>{escape(text.replace('``', ''))}</p>"
            for kind, body in call.get("requestBody", {}).get("content", {}).items():
                schema = json.dumps(body["schema"], indent=1)
                yield f"<details><summary>What it takes, {escape(kind)}</summary><pre>{escape(schema)}</pre></details>"
            yield "</section>"
