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


def page(spec: dict[str, Any]) -> str:
    """HTML of an OpenAPI document."""
    title = escape(f"{spec['info']['title']} {spec['info']['version']}")
    about = escape(spec["info"]["description"])
    return PAGE.format(title=title, about=about, calls="\n".join(_calls(spec["paths"], spec["components"]["schemas"])))


def _calls(paths: dict[str, dict[str, Any]], schemas: dict[str, Any]) -> Iterator[str]:
    for path, methods in paths.items():
        for method, call in methods.items():
            yield f"<section><h2><code>{method.upper()} {escape(path)}</code></h2>"
            if text := call.get("description"):
                yield f"<p>{escape(text.replace('``', ''))}</p>"
            for kind, body in call.get("requestBody", {}).get("content", {}).items():
                yield _details(f"What it takes, {kind}", body["schema"])
            answers = call["responses"]["200"]["content"] if "200" in call["responses"] else {}
            for kind, body in answers.items():
                if known := schemas.get(body["schema"].get("$ref", "").rpartition("/")[2]):
                    yield _details(f"What it answers, {kind}", known)
            yield "</section>"


def _details(head: str, schema: Any) -> str:
    text = json.dumps(schema, indent=1)
    return f"<details><summary>{escape(head)}</summary><pre>{escape(text)}</pre></details>"
