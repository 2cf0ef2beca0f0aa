"""Label Studio's run-length code of brush masks: a stream of bits that packs the image's bytes red, green, blue, alpha.

It is the packing of thi.ng/umbrella's rle-pack: 32 bits say how many words there are, 5 their size less one, four times
4 bits the sizes, less one, in which a length may be written. Then, until there are enough words: one bit whether one
word is repeated, two bits which of the four sizes the length is written in, the length less one, and the word, or so
many words. Sizes are in bits, numbers begin with their highest bit. The mask is the alpha.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from coarseparts.data.images import MAX_PIXELS

SIZES = (3, 4, 8, 16)
"""Bits in which a length may be written, as Label Studio itself chooses them."""

MOST_BYTES = 50_000_000
"""A code of more bytes is refused."""

CHANNELS = 4
ALPHA = 3


def decode(code: Any, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool mask of an image of ``size`` (width, height): where the alpha is at least half of its largest.

    Raises ValueError for what is no such code, and for a code of an image of another size.
    """
    width, height = size
    if width * height > MAX_PIXELS:
        raise ValueError(f"the brush mask is of {width}x{height} pixels, expected at most {MAX_PIXELS:,}")
    bits = _Bits(code)
    words, word = bits.read(32), bits.read(5) + 1
    sizes = [bits.read(4) + 1 for _ in range(4)]
    if word != 8 or words != CHANNELS * width * height:
        came = f"{words:,} words of {word} bits"
        raise ValueError(f"the brush mask has {came}, expected {CHANNELS * width * height:,} of 8 for {width}x{height}")
    alpha = np.zeros(width * height, np.uint8)
    data, at, last, begin = bits.data, bits.at, bits.last, 0
    while begin < words:
        first, shift = at >> 3, at & 7
        ahead = int.from_bytes(data[first : first + 5]) >> (8 - shift) & 0xFFFFFFFF  # a repeated word takes 27 at most
        size_of = sizes[ahead >> 29 & 3]
        end = begin + 1 + (ahead >> (29 - size_of) & ((1 << size_of) - 1))
        if end > words:
            raise ValueError(f"the brush mask is broken: its runs are longer than {words:,}")
        at += 3 + size_of
        if ahead >> 31:
            at += 8
            if value := ahead >> (21 - size_of) & 255:
                alpha[begin // CHANNELS : end // CHANNELS] = value  # those in begin..end
        else:
            first, at = at, at + 8 * (end - begin)
            if at <= last:
                values = _bytes(data, first, end - begin)
                alpha[begin // CHANNELS : end // CHANNELS] = values[(ALPHA - begin) % CHANNELS :: CHANNELS]
        if at > last:
            raise ValueError("the brush mask is broken: it ends too early")
        begin = end
    return (alpha >= max(int(alpha.max(initial=0)), 1) / 2).reshape(height, width)


class _Bits:
    """The bits of a list of bytes, one after the other: ``data`` with some zeros behind it, the bit ``at`` which it is,
    and behind the ``last`` one."""

    def __init__(self, code: Any):
        if not isinstance(code, list) or len(code) > MOST_BYTES:
            came = f"{len(code):,} bytes" if isinstance(code, list) else f"a {type(code).__name__}"
            raise ValueError(f"the brush mask is {came}, expected a list of at most {MOST_BYTES:,} bytes")
        try:
            self.data = bytes(code)
        except (TypeError, ValueError):
            raise ValueError("the brush mask is no list of bytes 0..255") from None
        self.at, self.last = 0, 8 * len(self.data)
        self.data += b"\0" * 5  # so that there is always something ahead

    def read(self, size: int) -> int:
        """The number in the next bits, at most 32. Raises ValueError where there are not so many."""
        first, shift = divmod(self.at, 8)
        self.at += size
        if self.at > self.last:
            raise ValueError("the brush mask is broken: it ends too early")
        return int.from_bytes(self.data[first : first + 5]) >> (40 - shift - size) & ((1 << size) - 1)


def _bytes(data: bytes, at: int, number: int) -> np.ndarray:
    """``number`` bytes from a bit on, wherever in a byte that is."""
    first, shift = divmod(at, 8)
    raw = np.frombuffer(data[first : first + number + 1], np.uint8).astype(np.uint16)
    if not shift:
        return raw[:number].astype(np.uint8)
    return ((raw[:-1] << shift | raw[1:] >> (8 - shift)) & 255).astype(np.uint8)


def encode(mask: np.ndarray) -> list[int]:
    """The code of an (H, W) bool mask, whose pixels become 255 in all four channels."""
    flat = mask.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    begins = np.concatenate([[0], edges])
    lengths = CHANNELS * np.diff(np.concatenate([begins, [flat.size]]))
    bits = [f"{CHANNELS * flat.size:032b}", f"{7:05b}", *(f"{size - 1:04b}" for size in SIZES)]
    for value, length in zip(flat[begins].tolist(), lengths.tolist(), strict=True):
        while length > 0:
            index, size = next((i, s) for i, s in enumerate(SIZES) if length <= 1 << s or s == SIZES[-1])
            run = min(length, 1 << size)
            bits.append(f"1{index:02b}{run - 1:0{size}b}{255 * value:08b}")
            length -= run
    stream = "".join(bits)
    stream += "0" * (-len(stream) % 8)
    return list(int(stream, 2).to_bytes(len(stream) // 8))
