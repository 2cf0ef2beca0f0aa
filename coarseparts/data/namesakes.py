"""Files that were probably meant to have one name: the same numbers in it, and nearly the same letters; or the same
name in another folder, with another suffix, with accents encoded otherwise. What is written otherwise for one
file alone is that file."""

from __future__ import annotations

import difflib
import re
import unicodedata
import urllib.parse
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence

from coarseparts.data.images import stem as without_suffix
from coarseparts.data.suffixes import IMAGES
from coarseparts.system.problems import SHOWN, Problem
from coarseparts.system.text import listed, short

_UPLOAD = re.compile("^[0-9a-f]{8}-")
"""What annotation tools put before the name of a file that is uploaded to them."""

_VERSION = re.compile(r"_([0-9a-z]{2,4})[.]rf[.][0-9a-zA-Z]{8,40}[.][0-9a-z]{2,4}$")
"""How tools that make versions of a data set call the file a.png: a_png.rf.0123abcd.jpg."""

CHANNEL = "_0000"
"""How photographs' names end beside masks without it, where a tool numbers channels."""

_OF_CHANNEL = re.compile(f"{CHANNEL}(?=[.][^.]*$)")

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

    def hint(self, name: str) -> str:
        """ " (there is b.png)", to be put behind a message that ``name`` is missing; "" where none is alike."""
        alike = self._alike.get(without_suffix(name)) or self._alike.get(name.rpartition("/")[2])
        return f" (there is {alike})" if alike else ""


def _parts(stem: str) -> tuple[tuple[str, ...], str]:
    """(its numbers, its letters) of the last component, without case and leading zeros."""
    name = stem.rpartition("/")[2].casefold()
    numbers = tuple(number.lstrip("0") for number in re.findall(r"\d+", name))
    return numbers, re.sub(r"[\W\d_]+", "", name)


def meant(names: Iterable[str], files: Collection[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Which of the ``files`` (relative paths) each of the ``names``, which are none of them, was written for; and those
    for which several files might be meant.

    Names are alike that differ in how they are encoded: composed accents, %20, backslashes; else in their folders; else
    in capitals; else in what a tool puts before the names of uploaded files, or behind those of versions of a data set
    and of addresses. Where several names fit one file, or the file has its own name among ``names``, none is meant.
    """
    names = list(names)
    return _paired([name for name in names if name not in files], set(files) - {*names}, _written, _written)


def meant_by_masks(masks: Iterable[str], photographs: Collection[str]) -> dict[str, str]:
    """The stem of the photograph for which each mask's stem, which is none, was written: that of the photograph
    ``a.jpg`` for ``a.jpg`` (``a.jpg.png``), that of ``a.jpg.png`` for ``a``, that of ``a_0000.png`` for ``a``."""
    by_stem = {without_suffix(name): name for name in photographs}
    masks = dict.fromkeys(masks)  # in their order
    left = {name for stem, name in by_stem.items() if stem not in masks}
    pairs, _ = _paired([mask for mask in masks if mask not in by_stem], left, _of_mask, _of_photograph)
    return {mask: without_suffix(name) for mask, name in pairs.items()}


def taken_for(pairs: dict[str, str], file: str, what: str) -> list[Problem]:
    """A note on names that were not written as their files are, if there are any."""
    if not pairs:
        return []
    told = listed((f"{short(name, 80)} for {short(other, 80)}" for name, other in pairs.items()), SHOWN)
    message = f"{len(pairs):,} {what} are not named as their photographs are, and taken for the one that fits: {told}"
    return [Problem(file, message, "correct the names if they are others", "note")]


def _paired(
    names: Iterable[str],
    files: Collection[str],
    of_name: Callable[[str], Sequence[str]],
    of_file: Callable[[str], Sequence[str]],
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The file that has the first of a name's forms that any file has, at the same place of its own; those of which
    several have it."""
    indices: list[dict[str, list[str]]] = []
    for file in sorted(files):
        for place, form in enumerate(of_file(file)):
            if place == len(indices):
                indices.append(defaultdict(list))
            indices[place][form].append(file)
    pairs: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    for name in names:
        fitting = (index[form] for index, form in zip(indices, of_name(name), strict=False) if form in index)
        if len(those := next(fitting, [])) == 1:
            pairs[name] = those[0]
        elif those:
            several[name] = those
    claims = Counter(pairs.values())
    return {name: file for name, file in pairs.items() if claims[file] == 1}, several


def _written(name: str) -> tuple[str, ...]:
    """A path in the forms in which it may have been written, the surest first."""
    plain = unicodedata.normalize("NFC", name.replace("\\", "/"))
    decoded = unicodedata.normalize("NFC", urllib.parse.unquote(plain))
    base = decoded.rpartition("/")[2]
    plainest = _VERSION.sub(r".\1", _UPLOAD.sub("", base.casefold().partition("?")[0]))
    return plain, decoded, base, base.casefold(), plainest, _OF_CHANNEL.sub("", plainest)


def _of_mask(stem: str) -> tuple[str, ...]:
    return (unicodedata.normalize("NFC", stem),) * 4


def _of_photograph(name: str) -> tuple[str, ...]:
    whole = unicodedata.normalize("NFC", name)
    stem = without_suffix(whole)
    inner = without_suffix(stem) if stem.lower().endswith(IMAGES) else stem
    return stem, whole, inner, stem.removesuffix(CHANNEL)
