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
    begin = 0
    while begin < words:
        next_bits = bits.ahead()  # all that a repeated word takes: 1 + 2 + at most 16 + 8
        size_of = sizes[next_bits >> 29 & 3]
        end = begin + 1 + (next_bits >> (29 - size_of) & ((1 << size_of) - 1))
        if end > words:
            raise ValueError(f"the brush mask is broken: its runs are longer than {words:,}")
        bits.skip(3 + size_of)
        if next_bits >> 31:
            bits.skip(8)
            alpha[begin // CHANNELS : end // CHANNELS] = next_bits >> (21 - size_of) & 255  # those in begin..end
        else:
            values = bits.bytes(end - begin)
            first = (ALPHA - begin) % CHANNELS
            alpha[begin // CHANNELS : end // CHANNELS] = values[first::CHANNELS]
        begin = end
    return (alpha >= max(int(alpha.max(initial=0)), 1) / 2).reshape(height, width)


class _Bits:
    """The bits of a list of bytes, one after the other."""

    def __init__(self, code: Any):
        if not isinstance(code, list) or len(code) > MOST_BYTES:
            came = f"{len(code):,} bytes" if isinstance(code, list) else f"a {type(code).__name__}"
            raise ValueError(f"the brush mask is {came}, expected a list of at most {MOST_BYTES:,} bytes")
        try:
            self._bytes = bytes(code)
        except (TypeError, ValueError):
            raise ValueError("the brush mask is no list of bytes 0..255") from None
        self._at, self._end = 0, 8 * len(self._bytes)
        self._bytes += b"\0" * 5  # so that there is always something ahead

    def ahead(self) -> int:
        """The next 32 bits, zeros behind the end."""
        first, shift = divmod(self._at, 8)
        return int.from_bytes(self._bytes[first : first + 5]) >> (8 - shift) & 0xFFFFFFFF

    def skip(self, size: int) -> None:
        """Passes over bits. Raises ValueError where there are not so many."""
        self._at += size
        if self._at > self._end:
            raise ValueError("the brush mask is broken: it ends too early")

    def read(self, size: int) -> int:
        """The number in the next bits, at most 32."""
        value = self.ahead() >> (32 - size)
        self.skip(size)
        return value

    def bytes(self, number: int) -> np.ndarray:
        """The next ``number`` bytes, wherever in a byte they begin."""
        first, shift = divmod(self._at, 8)
        self.skip(8 * number)
        raw = np.frombuffer(self._bytes[first : first + number + 1], np.uint8).astype(np.uint16)
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
