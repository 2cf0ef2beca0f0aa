"""The part masks that were saved for photographs, and what was there before.

OUT/parts/<stem>.png         index maps, as a dataset file reads ``part_masks`` (overlapping: parts/<part>/<stem>.png)
OUT/skipped/<stem>.png       likewise, of images that were skipped after they had been saved
OUT/older/<stem>.<n>.png     what was there before, never written over
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image

from coarseparts.app.errors import Refused
from coarseparts.data.images import stem
from coarseparts.labels.schema import Schema
from coarseparts.report.palette import colours
from coarseparts.system.files import write_whole

PARTS, SKIPPED, OLDER = "parts", "skipped", "older"

LONGEST = 200
"""Bytes of a name in ``older``, which stands before a number, at most: a longer one is hashed."""


class PartFiles:
    """``out``: the folder of the corrections; ``schema``: whose parts they show. ``name``: a photograph's."""

    def __init__(self, out: Path, schema: Schema) -> None:
        self.out, self.schema = out, schema
        self._colours = colours(len(schema.parts))

    def of(self, name: str, folder: str = PARTS) -> list[Path]:
        """Where the maps of a photograph are kept: one, or of overlapping parts one each."""
        below = self.schema.maps.folders(self.schema.parts) or ("",)
        return [self.out / folder / part / f"{stem(name)}.png" for part in below]

    def read(self, name: str, size: tuple[int, int]) -> list[np.ndarray]:
        """The maps that were saved for a photograph of ``size`` (width, height): one of indices, or of overlapping
        parts one of 0 and 255 each. Raises Refused where there are none, or none that can be shown."""
        largest = 255 if self.schema.overlapping else len(self.schema.parts)
        found = []
        for file in self.of(name):
            try:
                with Image.open(file, formats=["PNG"]) as picture:
                    mode, each = picture.mode, np.asarray(picture)
            except FileNotFoundError:
                raise Refused(404, "Nothing has been saved for this image.") from None
            except (OSError, ValueError, SyntaxError):
                raise Refused(410, "What was saved for this image cannot be read any more.") from None
            if mode not in ("L", "P") or each.max(initial=0) > largest:
                raise Refused(410, "What was saved for this image is no map of these parts any more.")
            if each.shape[::-1] != size:
                came, now = (f"{width} x {height}" for width, height in (each.shape[::-1], size))
                raise Refused(410, f"It was saved at {came} pixels, and the photograph has {now} now.")
            found.append(each)
        return found

    @contextmanager
    def written(self, name: str, maps: Sequence[np.ndarray], revision: int) -> Iterator[None]:
        """Writes maps, and takes them back where what is done inside fails. Raises OSError."""
        files, skipped = self.of(name), self.of(name, SKIPPED)
        before = [self._put_aside(file, revision) for file in files]
        try:
            for file, each in zip(files, maps, strict=True):
                self._write(file, each)
            yield
        except BaseException:
            for file, older in zip(files, before, strict=True):
                with suppress(OSError):
                    os.replace(older, file) if older else file.unlink(missing_ok=True)
            raise
        for file in skipped:
            if self._put_aside(file, revision):
                file.unlink()

    @contextmanager
    def moved(self, name: str, aside: bool, revision: int) -> Iterator[bool]:
        """Moves a photograph's maps to ``skipped``, or back from there where not ``aside``, and back again where what
        is done inside fails; gives whether there are any. Raises OSError."""
        folders = (PARTS, SKIPPED) if aside else (SKIPPED, PARTS)
        moved = []
        try:
            for here, there in zip(*(self.of(name, folder) for folder in folders), strict=True):
                if here.is_file():
                    self._put_aside(there, revision)
                    there.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(here, there)
                    moved.append((here, there))
            yield bool(moved)
        except BaseException:
            for here, there in moved:
                with suppress(OSError):
                    os.replace(there, here)
            raise

    def _write(self, file: Path, each: np.ndarray) -> None:
        picture, data = Image.fromarray(each), io.BytesIO()
        if not self.schema.overlapping:
            picture.putpalette([0, 0, 0, *self._colours.astype(np.uint8).ravel().tolist()])
        picture.save(data, "PNG")
        write_whole(file, data.getvalue(), sync=True)

    def _put_aside(self, file: Path, revision: int) -> Path | None:
        """Where a copy of a file is now, None where there is no file."""
        if not file.is_file():
            return None
        path = file.relative_to(self.out / file.relative_to(self.out).parts[0]).with_suffix("")
        name = path.with_name(path.name if len(os.fsencode(path.name)) <= LONGEST else _hashed(path.name))
        number = revision
        while (older := self.out / OLDER / f"{name}.{number}.png").exists():
            number += 1
        write_whole(older, file.read_bytes(), sync=True)
        return older


def _hashed(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
