"""What people write of a keypoint that cannot be seen, in flags, attributes, choices and notes, whatever the tool."""

from __future__ import annotations

from collections.abc import Iterable

from coarseparts.data.formats.spelling import plain

WORDS = {"hidden", "occluded", "invisible", "notvisible"}
"""Of a keypoint that cannot be seen, without case and separators."""

_YES, _NO = {"yes", "true", "1"}, {"no", "false", "0"}


def is_hidden(text: object) -> bool:
    """Whether a text is one of ``WORDS``, however it is spelt."""
    return isinstance(text, str) and plain(text.strip()) in WORDS


def says_hidden(key: str, values: Iterable[object]) -> bool:
    """Whether a flag or attribute says so by its values: it is called ``hidden`` and is true, ``visible`` and is not,
    or has such a word."""
    word, said = plain(key), {plain(str(value).strip()) for value in values}
    return bool(said & WORDS or (word in WORDS and said & _YES) or (word == "visible" and said & _NO))
