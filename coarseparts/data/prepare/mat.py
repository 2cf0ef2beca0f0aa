"""Matlab's .mat files, version 5 to 7: numbers, texts, cells and structs, read without trusting a byte of them.

The format is that of MathWorks' "MAT-File Format" document. Every length is checked against what is there, so a damaged
or hostile file ends in a ValueError; decompressing, most of the work, releases Python's lock.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LARGEST = 2**30
"""Bytes that a variable may take when decompressed; PASCAL-Part's take up to about 50 million."""

DEEPEST = 16
"""Structs and cells within one another."""

_HEADER = 128  # bytes: a text, the version, the byte order
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMERIC = range(6, 16)


def read_mat(path: Path) -> dict[str, Any]:
    """The variables by name: numbers as arrays in Matlab's shape, texts as str, cells as lists, structs as lists of
    dicts (both flat, in Matlab's order); sparse matrices, objects and functions as None. Raises OSError, and ValueError
    where it is no such file or not a whole one."""
    data = path.read_bytes()
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise ValueError("no Matlab file of version 5 to 7")
    variables = {}
    reader = _Reader(memoryview(data), order)
    at = _HEADER
    while at < len(data):
        kind, body, at = reader.element(at, len(data), padded=False)
        if kind == _COMPRESSED:
            inner = _Reader(memoryview(_decompressed(body)), order)
            kind, body, _ = inner.element(0, len(inner.data))
        else:
            inner = reader
        if kind == _MATRIX:
            name, value = _Reader(body, order).matrix(0)
            variables[name] = value
    return variables


@dataclass(frozen=True)
class _Reader:
    """Bytes in one byte order, "<" or ">"; places are counted from their start."""

    data: memoryview
    order: str

    def element(self, at: int, end: int, padded: bool = True) -> tuple[int, memoryview, int]:
        """Kind and content of the element at a place, and the place after it."""
        if at + 8 > end:
            raise ValueError("ends in the middle of an element")
        kind, length = (int(n) for n in np.frombuffer(self.data[at : at + 8], f"{self.order}u4"))
        if kind >> 16:  # up to four bytes stand beside the tag
            kind, length, start, after = kind & 0xFFFF, kind >> 16, at + 4, at + 8
            if length > 4:
                raise ValueError("has a short element of more than four bytes")
        else:
            start = at + 8
            after = start + (length if kind == _COMPRESSED or not padded else length + -length % 8)
        if start + length > end:
            raise ValueError("ends in the middle of an element")
        return kind, self.data[start : start + length], after

    def matrix(self, depth: int) -> tuple[str, Any]:
        """Name and value of the array whose content these bytes are."""
        if not len(self.data):
            return "", np.zeros((0, 0))
        if depth > DEEPEST:
            raise ValueError("is nested too deeply")
        end, at = len(self.data), 0
        head = []
        for _ in range(3):  # flags, dimensions, name
            kind, body, at = self.element(at, end)
            head.append((kind, body))
        flags, shape = self._integers(*head[0]), tuple(self._integers(*head[1]))
        if not flags or len(shape) < 2 or min(shape) < 0:
            raise ValueError("has an array without a size")
        name, kind, count = bytes(head[2][1]).decode("latin-1"), flags[0] & 0xFF, math.prod(shape)
        if kind in _NUMERIC:
            number_kind, body, _ = self.element(at, end)
            numbers = self._numbers(number_kind, body)
            if len(numbers) != count:
                raise ValueError(f"has {len(numbers)} numbers in an array of {count}")
            return name, numbers.reshape(shape, order="F")
        if kind == _CHAR:
            text_kind, body, _ = self.element(at, end) if at < end else (16, memoryview(b""), at)
            return name, self._text(text_kind, body)
        if kind == _STRUCT:
            return name, self._structs(at, count, depth)
        if kind == _CELL:
            return name, self._arrays(at, count, depth)
        return name, None

    def _structs(self, at: int, count: int, depth: int) -> list[dict[str, Any]]:
        kind, body, at = self.element(at, len(self.data))
        width = (self._integers(kind, body) or [0])[0]
        _, names, at = self.element(at, len(self.data))
        if width < 1 or not len(names) or len(names) % width:
            raise ValueError("has a struct without names")
        fields = [bytes(names[i : i + width]).split(b"\0")[0].decode("latin-1") for i in range(0, len(names), width)]
        values = self._arrays(at, count * len(fields), depth)
        return [dict(zip(fields, values[i : i + len(fields)], strict=True)) for i in range(0, len(values), len(fields))]

    def _arrays(self, at: int, count: int, depth: int) -> list[Any]:
        if count * 8 > len(self.data) - at:  # eight bytes each, at least
            raise ValueError("ends in the middle of a struct")
        values = []
        for _ in range(count):
            kind, body, at = self.element(at, len(self.data))
            if kind != _MATRIX:
                raise ValueError("has something else where an array should be")
            values.append(_Reader(body, self.order).matrix(depth + 1)[1])
        return values

    def _numbers(self, kind: int, body: memoryview) -> np.ndarray:
        if kind not in _NUMBERS:
            raise ValueError(f"has numbers of the unknown kind {kind}")
        return np.frombuffer(body, self.order + _NUMBERS[kind])

    def _integers(self, kind: int, body: memoryview) -> list[int]:
        if kind not in (5, 6):
            raise ValueError("has an array without a size")
        return [int(n) for n in self._numbers(kind, body)]

    def _text(self, kind: int, body: memoryview) -> str:
        if kind not in _TEXTS:
            raise ValueError(f"has a text of the unknown kind {kind}")
        encoding = _TEXTS[kind]
        if encoding.startswith(("utf-16", "utf-32")):
            encoding += "-le" if self.order == "<" else "-be"
        return bytes(body).decode(encoding)


def _decompressed(body: memoryview) -> bytes:
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(body, LARGEST)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if stream.unconsumed_tail:
        raise ValueError(f"takes more than {LARGEST:,} bytes when decompressed")
    if not stream.eof:
        raise ValueError("ends in the middle of a compressed element")
    return content
