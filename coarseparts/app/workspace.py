"""The photographs that are looked at, by number, what became of each, and the corrections that are kept.

OUT/parts/<stem>.png         index maps, as a dataset file reads ``part_masks`` (overlapping: parts/<part>/<stem>.png)
OUT/coco.json                the keypoints, masks and boxes that were given
OUT/journal.jsonl            a line whenever something was saved: when, by whom, what became of the image, its labels
OUT/older/<stem>.<n>.png     what was there before, never written over
OUT/scale.csv                lengths measured with the ruler, as ``coarseparts measure --scale`` reads them

What became of an image is what its last line in the journal says; a line that was cut off counts for nothing. A map is
written before its line, so a stop between the two leaves a map that the next save moves to ``older``.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from coarseparts.app.entries import JOURNAL, STATUSES, Entry, add_line, coco_of, lines_of
from coarseparts.app.errors import Refused
from coarseparts.app.requests import Correction, Labels, Ruler, Status
from coarseparts.data.formats.document_builder import rle, write_json
from coarseparts.data.images import stem
from coarseparts.labels.schema import Schema
from coarseparts.report.palette import colours
from coarseparts.system.files import write_whole
from coarseparts.system.text import csv_cell, readable

HELD = 60.0
"""Seconds after which an image that a window has open counts as closed, where the window says nothing more."""


class Workspace:
    """``images`` (name, path), sorted by name, of the folder ``place``; ``out``: where corrections are kept;
    ``author``: who saves where a request does not say; ``queue``: names in the order in which they are worth a look;
    ``data``: the dataset file that the corrections are to go into."""

    def __init__(
        self,
        place: Path,
        images: Sequence[tuple[str, Path]],
        out: Path,
        schema: Schema,
        author: str = "",
        queue: Sequence[str] = (),
        data: Path | None = None,
    ) -> None:
        self.images = place
        self.entries = [Entry(name, path) for name, path in images]
        self.out, self.schema, self.author, self.data = out, schema, author, data
        self._colours = colours(len(schema.parts))
        self._lock = threading.RLock()
        self._holders: dict[int, tuple[str, float]] = {}
        numbers = {entry.name: number for number, entry in enumerate(self.entries)}
        for rank, name in enumerate(queue, start=1):
            if name in numbers:
                self.entries[numbers[name]].rank = rank
        self._by_name = numbers
        for line in lines_of(self.out / JOURNAL):
            self._take(line)

    # ---- what there is ----------------------------------------------------------------------------------------------

    def entry(self, number: int) -> Entry:
        """Raises Refused."""
        if not 0 <= number < len(self.entries):
            raise Refused(404, "There is no such image.")
        return self.entries[number]

    def listed(self, status: str, sort: str, descending: bool, query: str, offset: int, limit: int) -> dict[str, Any]:
        """The images of a page of the grid, how many there are of each status, and in all that match."""
        counts = dict.fromkeys(STATUSES, 0)
        chosen = []
        wanted = query.casefold()
        for number, entry in enumerate(self.entries):
            counts[entry.status] += 1
            if status in ("", entry.status) and wanted in entry.name.casefold():
                chosen.append((number, entry))
        keys = {
            "name": lambda entry: entry.name,
            "confidence": lambda entry: entry.confidence,
            "status": lambda entry: STATUSES.index(entry.status),
            "queue": lambda entry: entry.rank,
        }
        key = keys.get(sort, keys["name"])
        known = sorted(
            (pair for pair in chosen if key(pair[1]) is not None), key=lambda p: key(p[1]), reverse=descending
        )
        known += [pair for pair in chosen if key(pair[1]) is None]  # unknown ones last, in either order
        images = [
            {
                "id": number,
                "name": readable(entry.name),
                "status": entry.status,
                "confidence": entry.confidence,
                "reason": entry.reason,
                "queue_rank": entry.rank,
            }
            for number, entry in known[offset : offset + limit]
        ]
        return {"total": len(known), "counts": {k: v for k, v in counts.items() if v}, "images": images}

    def described(self, number: int) -> dict[str, Any]:
        """An image as the page opens it."""
        entry, labels = self.entry(number), self.entry(number).labels
        width, height = entry.size or (0, 0)
        shown = {
            "keypoints": labels.get("keypoints", {}),
            "box": labels.get("box"),
            "mask": labels.get("mask") is not None,
        }
        return {
            "id": number,
            "name": readable(entry.name),
            "width": width,
            "height": height,
            "status": entry.status,
            "revision": entry.revision,
            "reason": entry.reason,
            "labels": shown,
            "corrected": self._maps(entry)[0].is_file(),
            "held_by": self._holder(number),
        }

    def damaged(self, number: int, reason: str) -> None:
        """An image turned out to be damaged."""
        entry = self.entry(number)
        entry.status, entry.reason = "damaged", reason

    def parts(self, number: int) -> list[np.ndarray]:
        """The maps that were saved for an image: one of indices, or of overlapping parts one of 0 and 255 each. Raises
        Refused where there are none."""
        found = []
        for file in self._maps(self.entry(number)):
            try:
                with Image.open(file, formats=["PNG"]) as picture:
                    found.append(np.asarray(picture))
            except FileNotFoundError:
                raise Refused(404, "Nothing has been saved for this image.") from None
            except (OSError, ValueError, SyntaxError):
                raise Refused(410, "What was saved for this image cannot be read any more.") from None
        return found

    def mask(self, number: int) -> np.ndarray:
        """(H, W) uint8, 0 or 255: the object's mask that was given for an image. Raises Refused where there is none."""
        code = self.entry(number).labels.get("mask")
        try:
            if code:
                size = [int(v) for v in code["size"]]
                found = coco_mask.decode({"size": size, "counts": str(code["counts"]).encode()})
                return 255 * np.ascontiguousarray(found, np.uint8)
        except (KeyError, TypeError, ValueError):
            pass  # somebody wrote in the journal
        raise Refused(404, "No mask was given for this image.")

    # ---- who has what open ------------------------------------------------------------------------------------------

    def hold(self, number: int, window: str) -> None:
        """A window has an image open. Raises Refused (423) while another one has."""
        self.entry(number)
        with self._lock:
            holder = self._holders.get(number)
            if holder is not None and holder[0] != window and time.monotonic() - holder[1] < HELD:
                since = time.time() - (time.monotonic() - holder[1])
                raise Refused(423, "This image is open in another window.", since=since)
            self._holders[number] = window, time.monotonic()

    def release(self, number: int, window: str) -> None:
        """A window has closed an image."""
        with self._lock:
            if self._holder(number) == window:
                del self._holders[number]

    def _holder(self, number: int) -> str | None:
        window, since = self._holders.get(number, ("", -math.inf))
        return window if time.monotonic() - since < HELD else None

    # ---- what is saved ----------------------------------------------------------------------------------------------

    def save(self, number: int, maps: Sequence[np.ndarray], mask: np.ndarray | None, given: Correction) -> Entry:
        """Keeps corrected parts and the labels that were given: all of it or nothing.

        Raises Refused: 409 where somebody saved since ``given.revision``, 507 or 403 where the disk does not take it.
        """
        entry = self.entry(number)
        with self._lock, _told():
            self._current(entry, given.revision)
            labels: dict[str, Any] = {"keypoints": given.labels.keypoints, "box": given.labels.box, "mask": None}
            if mask is not None and mask.any():
                labels["mask"] = rle(mask > 127)
            files = self._maps(entry)
            pictures = [Image.fromarray(each) for each in maps]
            if not self.schema.overlapping:
                pictures[0].putpalette([0, 0, 0, *self._colours.astype(np.uint8).ravel().tolist()])
            for file in files:
                self._put_aside(file, entry.revision)
            for file, picture in zip(files, pictures, strict=True):
                _write(file, lambda target, picture=picture: picture.save(target, "PNG"))
            about = {"seconds": round(given.seconds, 1), "size": [maps[0].shape[1], maps[0].shape[0]], "labels": labels}
            self._note(entry, given.status, given.author, about)
            write_json(coco_of(self.saved, self.schema.keypoints), self.out / "coco.json")
        return entry

    def settle(self) -> None:
        """Writes the labels again, which a stop while saving may have left out. Raises Refused."""
        if self.saved:
            with self._lock, _told():
                write_json(coco_of(self.saved, self.schema.keypoints), self.out / "coco.json")

    def set_status(self, number: int, given: Status) -> Entry:
        """Notes what becomes of an image. Raises Refused as ``save`` does."""
        entry = self.entry(number)
        with self._lock, _told():
            self._current(entry, given.revision)
            self._note(entry, given.status, "", {})
        return entry

    def measure(self, given: Ruler) -> float:
        """Keeps the scale of an image, in pixels per unit. Raises Refused."""
        entry = self.entry(given.image)
        (ax, ay), (bx, by) = given.points
        per_unit = math.hypot(ax - bx, ay - by) / given.length
        if not 1e-6 <= per_unit <= 1e6:
            raise Refused(422, "The two points are too near to each other for that length.")
        with self._lock, _told():
            file, rows = self.out / "scale.csv", {}
            if file.is_file():
                with file.open(newline="", encoding="utf-8") as text:
                    rows = {row[0]: row for row in csv.reader(text) if len(row) == 3 and row[0] != "image"}
            rows[csv_cell(entry.name)] = [csv_cell(entry.name), f"{per_unit:.8g}", given.unit]
            out = io.StringIO()
            csv.writer(out, lineterminator="\n").writerows([["image", "pixels_per_unit", "unit"], *rows.values()])
            _write(file, lambda target: target.write(out.getvalue().encode("utf-8", "surrogatepass")))
        return per_unit

    @property
    def saved(self) -> list[Entry]:
        """Images whose parts a person stands for."""
        return [entry for entry in self.entries if entry.status in ("corrected", "accepted")]

    @property
    def key(self) -> str:
        """What names these corrections, whatever images are added: a browser keeps unsaved work under it."""
        named = json.dumps([os.path.realpath(self.out), *self.schema.parts])
        return hashlib.sha256(named.encode()).hexdigest()[:16]

    def saved_name(self, number: int) -> str:
        """Where an image's parts are kept, relative to the folder of the corrections."""
        return self._maps(self.entry(number))[0].relative_to(self.out).as_posix()

    def source_lines(self) -> list[str]:
        """A source of the dataset file ``data`` that reads what was saved: paths are relative to its folder where they
        lie in it, so that the folder can be moved."""
        images, out = self._named(self.images), self._named(self.out)
        where = {"images": images, "part_masks": f"{out}/parts", "coco": f"{out}/coco.json"}
        return [
            "- split: train",
            *(f"  {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in where.items()),
        ]

    def _named(self, folder: Path) -> str:
        path, base = Path(os.path.realpath(folder)), self.data and Path(os.path.realpath(self.data.parent))
        return path.relative_to(base).as_posix() if base and path.is_relative_to(base) else str(path)

    @property
    def writable(self) -> bool:
        """Whether corrections can be kept."""
        place = self.out
        while not place.exists() and place != place.parent:
            place = place.parent
        return os.access(place, os.W_OK)

    def _maps(self, entry: Entry) -> list[Path]:
        folders = self.schema.maps.folders(self.schema.parts) or ("",)
        return [self.out / "parts" / folder / f"{stem(entry.name)}.png" for folder in folders]

    def _put_aside(self, file: Path, revision: int) -> None:
        if not file.is_file():
            return
        name = stem(file.relative_to(self.out / "parts").as_posix())
        number = revision
        while (older := self.out / "older" / f"{name}.{number}.png").exists():
            number += 1
        write_whole(older, file.read_bytes())

    def _current(self, entry: Entry, revision: int) -> None:
        if entry.revision != revision:
            raise Refused(409, "Somebody has saved this image meanwhile.", revision=entry.revision)

    def _note(self, entry: Entry, status: str, author: str, about: dict[str, Any]) -> None:
        line = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "author": author or self.author,
            "image": entry.name,
            "status": status,
            "revision": entry.revision + 1,
            **about,
        }
        add_line(self.out / JOURNAL, line)
        self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        number = self._by_name.get(line["image"])
        if number is None:
            return
        entry = self.entries[number]
        entry.status, entry.revision = line["status"], line["revision"]
        try:
            if "labels" in line:
                labels = dict(line["labels"])
                mask = labels.pop("mask", None)
                entry.labels = Labels.model_validate(labels).model_dump() | {"mask": mask}
            if "size" in line:
                width, height = map(int, line["size"])
                entry.size = width, height
        except (ValueError, TypeError):
            entry.labels = {}


def _write(file: Path, write: Any) -> None:
    data = io.BytesIO()
    write(data)
    write_whole(file, data.getvalue())


@contextmanager
def _told() -> Iterator[None]:
    """What a disk does not take, as a Refused without paths."""
    try:
        yield
    except PermissionError:
        raise Refused(403, "The folder of the corrections is read-only; nothing was saved.") from None
    except OSError as error:
        why = error.strerror or "the disk does not take it"
        raise Refused(507, f"Saving failed: {why}; nothing was saved.") from None
