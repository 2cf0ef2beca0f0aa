"""Damaged photographs and part masks."""

from __future__ import annotations

import io
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from fuzzing import damage, world
from fuzzing.judge import ANY, SAME, SAME_OR_TOLD, TOLD, Case, check_rest, check_values


def make(place: Path, base: Path, number: int, rng: Random) -> Case:
    """Case ``number``: the data set with one damaged image, in any format that photographs come in."""
    shutil.copytree(world.dataset(base), place)
    masks = rng.random() < 0.4
    folder = place / "data" / ("val/masks" if masks else rng.choice(["few/images", "many/images", "val/images"]))
    file = rng.choice(sorted(folder.iterdir()))
    original = file.read_bytes()
    source = 2 if "val" in str(folder.relative_to(place)) else 1 if "many" in str(folder) else 0
    way = rng.choice(["bytes", "bytes", "header", "header", "whole", "format"])
    name, expect = file.name, ANY
    if way == "bytes":
        content, what = damage.bytewise(original, rng)
        expect = SAME_OR_TOLD if masks else ANY
    elif way == "header":
        content, what = _header(original, rng)
    elif way == "whole":
        what, content, expect = rng.choice(_WHOLE)(original, rng)
    else:
        content, what = _format(original, masks, rng)
    file.write_bytes(content)

    def rest(found: Any) -> Any:
        """What the other sources say; of a photograph's own source the labels, too, which it has no say in."""
        other = check_rest(source)(found)
        return other["sources"] if source == 2 else other

    return Case(
        f"{file.relative_to(place)}: {what}", [world.CHECK], expect, (name, file.stem), check_values, rest, "check"
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _header(content: bytes, rng: Random) -> tuple[bytes, str]:
    """A PNG whose header, with a right checksum, promises something else; or with chunks that it should not have."""
    fields = list(struct.unpack(">IIBBBBB", content[16:29]))
    at = rng.randrange(9)
    if at < 7:
        values = [0, 1, 2**31 - 1, 100_000, 31, 33] if at < 2 else [0, 1, 2, 3, 4, 6, 7, 8, 16, 255]
        fields[at] = rng.choice(values)
        return content[:8] + _chunk(b"IHDR", struct.pack(">IIBBBBB", *fields)) + content[33:], f"header {fields}"
    kind = rng.choice(
        [b"tRNS", b"PLTE", b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"acTL", b"gAMA", b"sRGB", b"IEND", b"abcd"]
    )
    inner = rng.choice([b"", b"\0", rng.randbytes(64), b"x" * 100_000, b"a\0\0" + zlib.compress(bytes(50_000_000))])
    return content[:33] + _chunk(kind, inner) + content[33:], f"chunk {kind!r} of {len(inner)} bytes"


def _text(name: str, content: bytes, expect: str) -> Callable[[bytes, Random], tuple[str, bytes, str]]:
    return lambda original, rng: (name, content, expect)


_WHOLE: list[Callable[[bytes, Random], tuple[str, bytes, str]]] = [
    _text("empty", b"", TOLD),
    _text("text", b"not an image", TOLD),
    _text("zeros", bytes(1000), TOLD),
    _text("a start alone", b"\x89PNG\r\n\x1a\n", TOLD),
    _text("HTML", b"<!DOCTYPE html><html>404</html>", TOLD),
    _text("SVG", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', TOLD),
    _text("EPS", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", TOLD),
    _text("a pixel map of 10^10", b"P6 100000 100000 255\n" + bytes(10), TOLD),
    lambda original, rng: ("more at the end", original + b"appended", SAME),
    lambda original, rng: ("half", original[: len(original) // 2], TOLD),
    lambda original, rng: ("noise", rng.randbytes(len(original)), TOLD),
]


def _format(content: bytes, mask: bool, rng: Random) -> tuple[bytes, str]:
    """The picture in another format or mode, then, mostly, damaged."""
    from PIL import Image

    kind = rng.choice(["PNG"] if mask else ["JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "ICO", "JPEG2000"])
    mode = rng.choice(["RGB", "L", "P", "RGBA", "LA", "1", "I;16", "I", "F", "CMYK"])
    written = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        try:
            picture.convert(mode).save(written, kind)
        except (OSError, ValueError, KeyError):
            picture.convert("L").save(written, "PNG")
    damaged, what = damage.bytewise(written.getvalue(), rng) if rng.random() < 0.7 else (written.getvalue(), "whole")
    return damaged, f"{kind} {mode}, {what}"
