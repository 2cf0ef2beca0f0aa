"""The photographs that are looked at, by number, what became of each, and the corrections that are kept.

OUT/parts, skipped, older    the part masks (``part_files``)
OUT/coco.json                the keypoints, masks and boxes that were given
OUT/journal.jsonl            a line whenever something was saved: when, by whom, what became of the image, its labels
OUT/scale.csv                lengths measured with the ruler, as ``coarseparts measure --scale`` reads them

What became of an image is what its last line in the journal says; a line that was cut off counts for nothing. A map is
written before its line, so a stop between the two leaves a map that the next save moves to ``older``.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from coarseparts.app.entries import JOURNAL, SAVED, STATUSES, Entry, add_line, coco_of, lines_of
from coarseparts.app.errors import Refused
from coarseparts.app.part_files import PartFiles
from coarseparts.app.requests import Correction, Ruler, Status
from coarseparts.app.retraining import indent
from coarseparts.data.formats.document_builder import rle, write_json
from coarseparts.data.images import stem
from coarseparts.labels.schema import Schema
from coarseparts.measurement.scale import OTHERS, with_line
from coarseparts.system.files import write_whole
from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import listed, readable, short

HELD = 60.0
"""Seconds after which an image that a window has open counts as closed, where the window says nothing more."""

ALIKE = "Another image has this name but for its ending, and both would have one part mask; rename one and start again."
AGAIN = "correct it or move it away; nothing was saved"


class Workspace:
    """``images`` (name, path), sorted by name, of the folder ``place``; ``out``: where corrections are kept;
    ``author``: who saves where a request does not say; ``queue``: names in the order in which they are worth a look;
    ``data``: the dataset file that the corrections are to go into. Raises BadInput where ``out`` holds corrections of
    other parts than those of ``schema``."""

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
        self.files = PartFiles(out, schema)
        self._lock = threading.RLock()
        self._holders: dict[int, tuple[str, float]] = {}
        numbers = {entry.name: number for number, entry in enumerate(self.entries)}
        self._numbers = {entry.id: number for number, entry in enumerate(self.entries)}
        for rank, name in enumerate(queue, start=1):
            if name in numbers:
                self.entries[numbers[name]].rank = rank
        stems = Counter(stem(entry.name) for entry in self.entries)
        self._alike = {entry.name for entry in self.entries if stems[stem(entry.name)] > 1}
        for entry in self.entries:
            entry.reason = ALIKE if entry.name in self._alike else None
        known = {entry.name: entry for entry in self.entries}
        for line in lines_of(self.out / JOURNAL):
            self._of_these_parts(line)
            known.setdefault(line["image"], Entry(line["image"], place / line["image"])).take(line)
        self._others = [entry for name, entry in known.items() if name not in numbers]

    # ---- what there is ----------------------------------------------------------------------------------------------

    def number(self, image: str) -> int:
        """The place among ``entries`` of the image with an id. Raises Refused."""
        if image not in self._numbers:
            raise Refused(404, "There is no such image in this folder, or no longer.")
        return self._numbers[image]

    def entry(self, number: int) -> Entry:
        return self.entries[number]

    def listed(self, status: str, sort: str, descending: bool, query: str, offset: int, limit: int) -> dict[str, Any]:
        """The images of a page of the grid, how many there are of each status, and in all that match."""
        counts = dict.fromkeys(STATUSES, 0)
        chosen = []
        wanted = _plain(query)
        for number, entry in enumerate(self.entries):
            counts[entry.shown] += 1
            if status in ("", entry.shown) and (not wanted or wanted in _plain(entry.name)):
                chosen.append((number, entry))
        keys = {
            "name": lambda entry: entry.name,
            "confidence": lambda entry: entry.confidence,
            "status": lambda entry: STATUSES.index(entry.shown),
            "queue": lambda entry: entry.rank,
        }
        key = keys.get(sort, keys["name"])
        known = sorted(
            (pair for pair in chosen if key(pair[1]) is not None), key=lambda p: key(p[1]), reverse=descending
        )
        known += [pair for pair in chosen if key(pair[1]) is None]  # unknown ones last, in either order
        images = [
            {
                "id": entry.id,
                "name": readable(entry.name),
                "status": entry.shown,
                "confidence": entry.confidence,
                "reason": entry.reason,
                "queue_rank": entry.rank,
            }
            for number, entry in known[offset : offset + limit]
        ]
        return {"total": len(known), "counts": {k: v for k, v in counts.items() if v}, "images": images}

    def described(self, number: int, pixels: str = "") -> dict[str, Any]:
        """An image as the page opens it; ``pixels``: its ``fingerprint`` now."""
        entry = self.entry(number)
        labels = entry.labels if entry.fits else {}
        width, height = entry.size or (0, 0)
        shown = {
            "keypoints": labels.get("keypoints", {}),
            "box": labels.get("box"),
            "mask": labels.get("mask") is not None,
        }
        return {
            "id": entry.id,
            "name": readable(entry.name),
            "width": width,
            "height": height,
            "status": entry.shown,
            "revision": entry.revision,
            "reason": entry.reason,
            "labels": shown,
            "corrected": self.files.of(entry.name)[0].is_file(),
            "pixels": pixels,
            "another": bool(pixels and entry.pixels) and pixels != entry.pixels,
            "held_by": self._holder(number),
        }

    def usable(self, entry: Entry) -> None:
        """Raises Refused where an image cannot be worked on whatever its file holds."""
        if entry.name in self._alike:
            raise Refused(410, ALIKE)

    def parts(self, number: int) -> list[np.ndarray]:
        """The maps that were saved for an image (``PartFiles.read``). Raises Refused."""
        entry = self.entry(number)
        return self.files.read(entry.name, entry.size or entry.saved_size or (0, 0))

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

    def save(
        self, number: int, maps: Sequence[np.ndarray], mask: np.ndarray | None, given: Correction, pixels: str = ""
    ) -> Entry:
        """Keeps corrected parts and the labels that were given: all of it or nothing. ``pixels``: the photograph's
        ``fingerprint``.

        Raises Refused: 409 where somebody saved since ``given.revision``, 507 or 403 where the disk does not take it.
        """
        entry = self.entry(number)
        with self._lock, _told():
            self._current(entry, given.revision)
            labels: dict[str, Any] = {"keypoints": given.labels.keypoints, "box": given.labels.box, "mask": None}
            if mask is not None and mask.any():
                labels["mask"] = rle(mask > 127)
            about = {
                "seconds": round(given.seconds, 1),
                "size": [maps[0].shape[1], maps[0].shape[0]],
                "pixels": pixels,
                "parts": list(self.schema.parts),
                "overlapping": self.schema.overlapping,
                "labels": labels,
            }
            with self.files.written(entry.name, maps, entry.revision):
                self._note(entry, given.status, given.author, about)
        return entry

    def settle(self) -> None:
        """Writes the labels again, which a stop while saving may have left out. Raises Refused."""
        if self.saved:
            with self._lock, _told():
                self._write_labels()

    def set_status(self, number: int, given: Status) -> Entry:
        """Notes what becomes of an image: parts that were saved are set aside where it is skipped, and brought back
        where it is taken up again. Raises Refused as ``save`` does."""
        entry, skip = self.entry(number), given.status == "skipped"
        with self._lock, _told():
            self._current(entry, given.revision)
            with self.files.moved(entry.name, skip, entry.revision) as moved:
                self._note(entry, entry.saved_as if moved and not skip else given.status, "", {})
        return entry

    def measure(self, given: Ruler) -> float:
        """Keeps the scale of an image, or of ``others`` that have none, too, in pixels per unit. Raises Refused."""
        entry = self.entry(self.number(given.image))
        (ax, ay), (bx, by) = given.points
        per_unit = math.hypot(ax - bx, ay - by) / given.length
        if not 1e-6 <= per_unit <= 1e6:
            raise Refused(422, "The two points are too near to each other, or too far apart, for that length.")
        with self._lock, _told():
            file = self.out / "scale.csv"
            try:
                for name in (entry.name, OTHERS) if given.others else (entry.name,):
                    write_whole(file, with_line(file, name, per_unit, given.unit).encode("utf-8"), sync=True)
            except BadInput as error:
                raise Refused(422, f"scale.csv among the corrections {error.problems[0].message}; {AGAIN}") from None
        return per_unit

    @property
    def saved(self) -> list[Entry]:
        """Images whose parts a person stands for, those in the folder that are not looked at now, too."""
        there = (entry for entry in self._others if entry.status in SAVED and entry.path.is_file())
        return [*(entry for entry in self.entries if entry.status in SAVED), *there]

    @property
    def key(self) -> str:
        """What names these corrections, whatever images are added: a browser keeps unsaved work under it."""
        named = json.dumps([os.path.realpath(self.out), *self.schema.parts])
        return hashlib.sha256(named.encode()).hexdigest()[:16]

    def saved_name(self, number: int) -> str:
        """Where an image's parts are kept, relative to the folder of the corrections."""
        return readable(self.files.of(self.entry(number).name)[0].relative_to(self.out).as_posix())

    def source_lines(self) -> list[str]:
        """A source of the dataset file ``data`` that reads what was saved, as far from the left as its others;
        paths are relative to its folder where they lie in it, so that the folder can be moved."""
        images, out, left = self._named(self.images), self._named(self.out), indent(self.data)
        where = {"images": images, "part_masks": f"{out}/parts", "coco": f"{out}/coco.json"}
        return [
            f"{left}- split: train",
            # What no UTF-8 can hold, as escapes.
            *(f"{left}  {key}: {json.dumps(value, ensure_ascii=not _is_text(value))}" for key, value in where.items()),
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
        after = replace(entry)
        after.take(line)
        self._write_labels(after)
        try:
            add_line(self.out / JOURNAL, line)
        except OSError:
            with suppress(OSError):
                self._write_labels()
            raise
        entry.take(line)

    def _write_labels(self, after: Entry | None = None) -> None:
        """Writes the COCO file of what is saved; ``after``: an image as it will be."""
        saved = {entry.name: entry for entry in self.saved}
        if after is not None:
            saved.pop(after.name, None)
            saved |= {after.name: after} if after.status in SAVED else {}
        if saved or (self.out / "coco.json").exists():
            entries = [saved[name] for name in sorted(saved)]
            write_json(coco_of(entries, self.schema.keypoints), self.out / "coco.json")

    def _of_these_parts(self, line: dict[str, Any]) -> None:
        theirs = line.get("parts", list(self.schema.parts)), line.get("overlapping", self.schema.overlapping)
        if theirs != (list(self.schema.parts), self.schema.overlapping):
            ours = listed(map(short, self.schema.parts))
            message = f"holds corrections of other parts, {short(theirs[0], 200)}; this model has {ours}"
            raise BadInput(Problem(str(self.out), message, "take another folder with --out"))


def _is_text(value: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _plain(text: str) -> str:
    """A name as it is searched for, however its accents are encoded."""
    return unicodedata.normalize("NFC", readable(text)).casefold()


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
