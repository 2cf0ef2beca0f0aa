"""A packed store on disk: which arrays there are, what stands beside them, and how rows are appended."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Collection
from pathlib import Path

import numpy as np

from coarseparts.labels import STYLES
from coarseparts.labels.schema import Schema
from coarseparts.system.documents import load_json

LABELS = ("parts", *STYLES)
"""What a row may carry: the part mask and each coarse style."""

FORMAT = 4
"""Version of the folder's layout; a store of another version is built anew."""


def layout(size: int, schema: Schema, styles: Collection[str]) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Name, type and shape per row of each array of a store of S x S pixels (S = ``size``) that has labels of some
    styles; the columns of "present" are "parts" and those, in the order of LABELS."""
    u8, f32, i32 = np.dtype(np.uint8), np.dtype(np.float32), np.dtype(np.int32)
    return {
        "image": (u8, (size, size, 3)),
        "parts": (u8, (size, size)),
        **{name: style.layout(schema, size) for name, style in STYLES.items() if name in styles},
        "crops": (f32, (4,)),
        "native": (i32, (2,)),
        "present": (np.dtype(bool), (1 + len(styles),)),
    }


Meta = tuple[Schema, int, list[str], tuple[list[str], list[str], list[str]], str]


def read_meta(folder: Path) -> Meta:
    """Schema, size, label styles, (names, splits, sources) and key. Raises ValueError naming ``store.json`` and the
    remedy."""
    file, remedy = folder / "store.json", f"delete the store folder {folder}, it is made anew"
    try:
        meta = load_json(file)
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: cannot be read ({error}); {remedy}") from None
    if not isinstance(meta, dict):
        raise ValueError(f"{file}: is damaged (a {type(meta).__name__}, expected an object); {remedy}")
    if meta.get("format") != FORMAT:
        raise ValueError(f"{file}: store of format {meta.get('format')}, expected {FORMAT}; {remedy}")
    keys = ("schema", "size", "styles", "names", "splits", "sources", "key")
    lacking = [key for key in keys if key not in meta]
    if lacking:
        raise ValueError(f"{file}: is damaged (lacks {', '.join(lacking)}); {remedy}")
    try:
        schema = Schema.model_validate(meta["schema"])
    except ValueError:
        raise ValueError(f"{file}: is damaged (schema); {remedy}") from None
    size, styles, texts = meta["size"], meta["styles"], (meta["names"], meta["splits"], meta["sources"])
    if type(size) is not int or size < 1:
        raise ValueError(f"{file}: is damaged (size {size!r}); {remedy}")
    if not isinstance(styles, list) or styles != [style for style in STYLES if style in styles]:
        raise ValueError(f"{file}: is damaged (styles); {remedy}")
    if not all(isinstance(t, list) and len(t) == len(texts[0]) and all(isinstance(v, str) for v in t) for t in texts):
        raise ValueError(f"{file}: is damaged (names, splits and sources, expected a text per row each); {remedy}")
    return schema, size, styles, texts, str(meta["key"])


class Writer:
    """Appends rows to a new store, in a temporary folder beside ``folder`` that is moved there when all went well.

    Used as a context manager: an exception inside removes the temporary folder; a killed process leaves it, named
    ``.<folder>.tmp-*``. With ``resumable`` it is named ``.<folder>.part``, an interruption leaves it, too, and the next
    writer goes on after the rows of the last ``keep``. Rows are appended to plain files rather than written into maps
    of the final size, because a full disk is then an OSError and not a killed process, and rows may be left out as they
    come.
    """

    def __init__(self, folder: Path, schema: Schema, size: int, styles: Collection[str], resumable: bool = False):
        self.folder, self.schema, self.size, self.resumable = folder, schema, size, resumable
        self.styles = [style for style in STYLES if style in styles]
        self.names: list[str] = []
        self.splits: list[str] = []
        self.sources: list[str] = []
        self.notes: dict = {}  # anything that json can hold; kept in store.json for whoever wrote it

    def __enter__(self) -> Writer:
        if self.folder.exists() and not (self.folder / "store.json").is_file() and any(self.folder.iterdir()):
            raise FileExistsError(f"{self.folder}: exists and is no store; name another folder or remove it")
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        end = "part" if self.resumable else f"tmp-{uuid.uuid4().hex[:8]}"
        self.temporary = self.folder.parent / f".{self.folder.name}.{end}"
        self._layout = layout(self.size, self.schema, self.styles)
        begun = self._kept() if self.resumable else None
        if begun is None:
            shutil.rmtree(self.temporary, ignore_errors=True)
            self.temporary.mkdir()
        else:
            self.names, self.splits, self.sources, self.notes = (
                begun[key] for key in ("names", "splits", "sources", "notes")
            )
        mode = "w+b" if begun is None else "r+b"
        self._files = {name: (self.temporary / f"{name}.npy").open(mode) for name in self._layout}
        try:
            for name, file in self._files.items():
                self._header(name)
                file.truncate(file.tell() + len(self.names) * self._bytes(name))
                file.seek(0, os.SEEK_END)
        except BaseException:
            self._abandon()
            raise
        return self

    def append(self, arrays: dict[str, np.ndarray], names: list[str], splits: list[str], sources: list[str]) -> None:
        """Add n rows: each array of ``layout`` with a leading n. Raises OSError, e.g. when the disk is full."""
        for name, (dtype, shape) in self._layout.items():
            array = np.ascontiguousarray(arrays[name], dtype)
            if array.shape != (len(names), *shape):
                raise ValueError(f"{name}: rows of shape {array.shape}, expected {(len(names), *shape)}")
            self._files[name].write(array.tobytes())
        self.names += names
        self.splits += splits
        self.sources += sources

    def keep(self) -> None:
        """Everything so far, ``notes`` included, outlives a kill. Raises OSError, e.g. when the disk is full."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        kept = {"names": self.names, "splits": self.splits, "sources": self.sources, "notes": self.notes}
        beside = self.temporary / "kept.json.new"
        beside.write_text(json.dumps(kept), encoding="utf-8")
        os.replace(beside, self.temporary / "kept.json")

    def _kept(self) -> dict | None:
        """What a stopped writer of the same store kept; None if there is nothing to go on from."""
        try:
            kept = json.loads((self.temporary / "kept.json").read_text(encoding="utf-8"))
            rows = len(kept["names"])
            if not len(kept["splits"]) == len(kept["sources"]) == rows:
                return None
            sizes = {name: (self.temporary / f"{name}.npy").stat().st_size for name in self._layout}
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return kept if all(size >= rows * self._bytes(name) for name, size in sizes.items()) else None

    def _bytes(self, name: str) -> int:
        dtype, shape = self._layout[name]
        return dtype.itemsize * int(np.prod(shape))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is KeyboardInterrupt and self.resumable:
            self.keep()
            for file in self._files.values():
                file.close()
            return
        if kind is not None:
            self._abandon()
            return
        try:
            self._finish()
        except BaseException:
            self._abandon()
            raise

    def _header(self, name: str) -> None:
        """numpy pads the header so that the first axis can grow in place: the same length, whatever the count."""
        dtype, shape = self._layout[name]
        described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(self._files[name], {**described, "shape": (len(self.names), *shape)})

    def _finish(self) -> None:
        for name, file in self._files.items():
            file.seek(0)
            self._header(name)
            file.flush()
            os.fsync(file.fileno())
            file.close()
        meta = {"format": FORMAT, "size": self.size, "styles": self.styles}
        meta |= {"schema": self.schema.model_dump(mode="json")}
        meta |= {"names": self.names, "splits": self.splits, "sources": self.sources}
        meta |= {"key": self._key(meta), "notes": self.notes}
        (self.temporary / "store.json").write_text(json.dumps(meta), encoding="utf-8")
        (self.temporary / "kept.json").unlink(missing_ok=True)
        if self.folder.exists():  # a folder with content cannot be replaced in one step: set it aside first
            old = self.temporary.with_name(self.temporary.name + "-old")
            os.replace(self.folder, old)
            os.replace(self.temporary, self.folder)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(self.temporary, self.folder)

    def _key(self, meta: dict) -> str:
        """Of what the files and ``meta`` say: a data set keeps it when it is copied to another place or machine."""
        digest = hashlib.sha256(json.dumps(meta).encode())
        for name in self._layout:
            with (self.temporary / f"{name}.npy").open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:24]

    def _abandon(self) -> None:
        for file in self._files.values():
            try:
                file.close()
            except OSError:
                pass  # closing flushes, and the disk may be full: the files go anyway
        shutil.rmtree(self.temporary, ignore_errors=True)
