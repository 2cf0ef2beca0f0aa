"""Files that were probably meant to have one name: the same numbers in it, and nearly the same letters; or the same
name in another folder, with another suffix, with accents encoded otherwise."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable

from coarseparts.data.images import stem as without_suffix

MOST = 50
"""Names of the same numbers that one is compared with: names without numbers may be many."""


class Namesakes:
    """Names among which the nearest to another one is sought; "b/Ant_07-mask" is near "ant7"."""

    def __init__(self, stems: Iterable[str]):
        self._by_numbers: dict[tuple[str, ...], list[tuple[str, str]]] = defaultdict(list)
        for stem in stems:
            numbers, letters = _parts(stem)
            self._by_numbers[numbers].append((letters, stem))

    def near(self, stem: str) -> str | None:
        """The nearest name, None where none is near."""
        numbers, letters = _parts(stem)
        found = self._by_numbers.get(numbers, [])
        if len(found) > MOST:
            found = [pair for pair in found if pair[0] == letters] or found[:MOST]
        for other, name in sorted(found, key=lambda pair: pair[0] != letters):
            begins = letters.startswith(other) or other.startswith(letters)
            if other == letters or (begins and (numbers or min(len(letters), len(other)) > 2)):
                return name
        close = difflib.get_close_matches(letters, [other for other, _ in found], n=1, cutoff=0.7)
        return next((name for other, name in found if close and other == close[0]), None)


class Spellings:
    """Relative paths of files, among which the one is sought that another path was probably meant to be."""

    def __init__(self, names: Collection[str]):
        self._alike = {without_suffix(name): name for name in names} | {name: name for name in names}
        self._encoded = {unicodedata.normalize("NFC", name) for name in names}

    def hint(self, name: str) -> str:
        """ " (there is b.png)", to be put behind a message that ``name`` is missing; "" where none is alike."""
        if alike := self._alike.get(without_suffix(name)) or self._alike.get(name.rpartition("/")[2]):
            return f" (there is {alike})"
        if unicodedata.normalize("NFC", name) in self._encoded:
            return " (there is a file of the same letters, accents encoded apart from them in one of the two)"
        return ""


def _parts(stem: str) -> tuple[tuple[str, ...], str]:
    """(its numbers, its letters) of the last component, without case and leading zeros."""
    name = stem.rpartition("/")[2].casefold()
    numbers = tuple(number.lstrip("0") for number in re.findall(r"\d+", name))
    return numbers, re.sub(r"[\W\d_]+", "", name)
