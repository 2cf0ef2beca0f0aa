"""Which image files a Label Studio task is of, and which of them its results were drawn on."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from coarseparts.data.formats.document_builder import plain_path
from coarseparts.system.text import abridged, listed

_UPLOADED = re.compile(r"^data/upload/(\d+/)?")
_STORED = re.compile(r"^upload/(\d+/)?")
_IMAGE = re.compile(r"\.(jpe?g|png|tiff?|bmp|webp|gif|heic|heif|avif|jp2)$", re.IGNORECASE)
_NAMES = ("image", "img", "photo", "picture")


def drawn_on(data: Any, results: Any) -> list[tuple[str, Any]]:
    """(address, results drawn on it) for each image of a task: a list of them is of pages, which results name by
    ``item_index``; several values are images of one interface, which results name by the control's name (``to_name``)
    or its value (``source``). Raises ValueError where it is not said which image is meant."""
    if pages := _pages(data):
        return [(page, _of_page(results, i)) for i, page in enumerate(pages)]
    urls = addresses(data)
    if len(urls) < 2 or len({image_path(url)[0].rpartition("/")[2] for url in urls.values()}) < 2:
        return [(url, results) for url in [*urls.values()][:1]]
    entries = [one for one in results if isinstance(one, dict)] if isinstance(results, list) else []
    places = dict.fromkeys(_place(one) for one in entries if "original_width" in one)
    if not places:
        return [(next(iter(urls.values())), results)]
    named = {place: key for place in places if (key := _key(place, urls))}
    if len(places) == 1 and not named and (first := next(iter(urls))).lower() in _NAMES:
        named = {place: first for place in places}
    if len(named) < len(places):
        told = listed(abridged(f"{key}: {url}", 80) for key, url in urls.items())
        drawn = listed(abridged(name) or "no name" for name, _ in places if not _key((name, ""), urls))
        raise ValueError(f"has several images ({told}), and nothing says which one the regions of {drawn} are of")
    of = {key: [one for one in entries if named.get(_place(one), key) == key] for key in named.values()}
    return [(urls[key], own) for key, own in of.items()]


def _pages(data: Any) -> list[str]:
    """The images of a task of several pages; none where it is no such task."""
    lists = [value for value in data.values() if isinstance(value, list)] if isinstance(data, dict) else []
    return next((each for each in lists if each and all(isinstance(one, str) and _is_image(one) for one in each)), [])


def _of_page(results: Any, page: int) -> Any:
    """The results of a page, with all relations: those of other pages tie nothing here."""
    if not isinstance(results, list):
        return results if page == 0 else []
    return [
        one
        for one in results
        if (
            one.get("type") == "relation" or (one.get("item_index") or 0) == page if isinstance(one, dict) else not page
        )
    ]


def _place(entry: dict) -> tuple[str, str]:
    return str(entry.get("to_name", "")), str(entry.get("source", ""))


def _key(place: tuple[str, str], keys: Iterable[str]) -> str:
    """The task's value that a result's control shows; "" where neither its name nor its source is one."""
    name, source = place
    own = source.removeprefix("$")
    return own if own in keys else next((key for key in keys if key.casefold() == name.casefold()), "")


def addresses(data: Any) -> dict[str, str]:
    """The values of a task's data that are images, those first that are called so."""
    texts = {str(key): value for key, value in data.items() if isinstance(value, str)} if isinstance(data, dict) else {}
    like = [key for key in texts if key.lower() in _NAMES]
    like += [key for key, value in texts.items() if key not in like and _is_image(value)]
    return {key: texts[key] for key in like}


def _is_image(url: str) -> bool:
    return bool(_IMAGE.search(image_path(url)[0]))


def image_path(url: str) -> tuple[str, bool]:
    """The relative path that an address of Label Studio's means, "" where it means none, and whether it begins on a
    server or another machine: /data/upload/2/ab12-ant.jpg, /data/local-files/?d=ants/ant.jpg, s3://bucket/ant.jpg."""
    if re.match(r"^[A-Za-z]:[\\/]|^\\\\", url):
        return plain_path(url)
    try:
        parts = urlsplit(url)
        queries = parse_qs(parts.query)
        local = queries.get("d", []) if "local-files" in parts.path else []
        if stored := queries.get("fileuri"):  # /tasks/1/resolve/?fileuri=..., an address of a cloud's in base64
            return image_path(base64.b64decode(stored[0]).decode())
    except ValueError:
        return "", False
    if local:
        return local[0].replace("\\", "/").strip("/"), local[0].startswith("/")
    if parts.scheme == "data":
        return "", False
    if (not parts.scheme or "://" not in url) and not url.startswith("/"):
        return _UPLOADED.sub("", url.replace("\\", "/")), url.startswith("data/upload/")
    path = unquote(parts.path).strip("/")
    named = [one for values in queries.values() for one in values if _IMAGE.search(one)]
    if len(named) == 1 and not _IMAGE.search(path):
        path = _STORED.sub("", named[0].replace("\\", "/").strip("/"))
    return _UPLOADED.sub("", path), True
