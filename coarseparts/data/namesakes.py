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
from typing import Any

from coarseparts.data.formats.annotation import leads_out
from coarseparts.data.images import stem as without_suffix
from coarseparts.data.suffixes import IMAGES
from coarseparts.system.problems import SHOWN, Problem
from coarseparts.system.text import listed, short

_UPLOAD = re.compile("^[0-9a-f]{8}-")
"""What annotation tools put before the name of a file that is uploaded to them."""

_SERVED = re.compile(r"^(.*/)?\?d=")
"""What Label Studio puts before the names of the files of its local storage."""

_VERSION = re.compile(r"_([0-9a-z]{2,4})[.]rf[.][0-9a-zA-Z]{8,40}[.][0-9a-z]{2,4}$")
"""How tools that make versions of a data set call the file a.png: a_png.rf.0123abcd.jpg."""

CHANNEL = "_0000"
"""How photographs' names end beside masks without it, where a tool numbers channels."""

_OF_CHANNEL = re.compile(f"{CHANNEL}(?=[.][^.]*$)")

_SAYS_MASK = frozenset(
    "mask masks maskof seg segm segmentation semantic label labels lbl gt groundtruth annotation annotations anno part "
    "parts silhouette matte id ids index".split()
)
"""Words, their letters alone, before the names of masks that say so and name no part."""

Forms = tuple[str, ...]
"""Forms of a name that are as sure as each other, of a name that is sought the best first."""

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

    Names are alike that differ in how they are encoded: composed accents, %20, backslashes; else in the folders or the
    machine before the end that they have in common, of which the longest counts; else in capitals; else in what a tool
    puts before the names of uploaded files, or behind those of versions of a data set and of addresses; else in spaces
    and signs for which tools write others or none; else in the suffix, where the name has none. Where several
    names fit one file, or the file has its own name among ``names``, none is meant.
    """
    names = list(names)
    there = {*files}
    return _paired([name for name in names if name not in there], there - {*names}, _written, _there)


def renamed(
    images: list[Any], photographs: Collection[str], file: str, outside_alone: bool = False
) -> tuple[list[Any], list[Problem]]:
    """The entries of a label ``file``'s images under the names of the photographs that are ``meant``; and a note on
    them. ``outside_alone``: those alone whose names lead out of the folder, as another machine's paths do."""
    written = [name for one in images if isinstance(one, dict) and isinstance(name := one.get("file_name"), str)]
    if not photographs or (outside_alone and not any(map(leads_out, written))):
        return images, []
    pairs, _ = meant(dict.fromkeys(written), photographs)
    pairs = {name: photograph for name, photograph in pairs.items() if not outside_alone or leads_out(name)}
    names = [one.get("file_name") if isinstance(one, dict) else None for one in images]
    found = [
        one | {"file_name": pairs[name]} if isinstance(name, str) and name in pairs else one
        for one, name in zip(images, names, strict=True)
    ]
    return found, taken_for(pairs, file, "images")


def meant_by_masks(masks: Iterable[str], photographs: Collection[str]) -> dict[str, str]:
    """The stem of the photograph for which each mask's stem, which is none, was written: that of the photograph
    ``a.jpg`` for ``a.jpg`` (``a.jpg.png``), that of ``a.jpg.png`` for ``a``, that of ``a_0000.png`` for ``a``; else one
    that differs in capitals, or in that one of both has what tools put before the names of uploaded files; that of
    ``a_left.png`` for ``a`` where all photographs, two at least, end so; and as ``by_beginning`` says."""
    by_stem = {without_suffix(name): name for name in photographs}
    masks = dict.fromkeys(masks)  # in their order
    left = {name for stem, name in by_stem.items() if stem not in masks}
    pairs, _ = _paired([mask for mask in masks if mask not in by_stem], left, _of_mask, _of_photograph)
    found = {mask: without_suffix(name) for mask, name in pairs.items()}
    rest = [mask for mask in masks if mask not in by_stem and mask not in found]
    end = ending_of(by_stem, rest)
    found |= {mask: mask + end for mask in rest if end and mask + end in by_stem}
    return found or by_beginning(rest, by_stem.keys() - {*masks})


def by_beginning(masks: Collection[str], stems: Collection[str]) -> dict[str, str]:
    """The photograph's stem for each mask's where all masks, two at least, begin with a word that says so, and behind
    it are called as photographs are, which may all begin with another word: ``mask_7`` for ``7`` or ``rgb_7``; {} where
    one has none."""
    bare = [stem.rpartition("/")[2] for stem in stems]
    of_photographs = ("", *_beginnings(bare))
    for begin in _beginnings([mask.rpartition("/")[2] for mask in masks]):
        if not says_mask(begin):
            continue
        for other in of_photographs:
            found = {}
            for mask in masks:
                folder, slash, name = mask.rpartition("/")
                found[mask] = f"{folder}{slash}{other}{name.removeprefix(begin)}"
            if all(stem in stems for stem in found.values()):
                return found
    return {}


def says_mask(begin: str) -> bool:
    """Whether what stands before the names of files says that they are masks, and not which part."""
    return re.sub(r"[\W\d_]+", "", begin.casefold()) in _SAYS_MASK


def _beginnings(names: Collection[str]) -> list[str]:
    """What all names, two at least, begin with, up to a "_", "-", "." or space; the longest first."""
    first = min(names, default="")
    ends = [i + 1 for i in range(len(first) - 2, 0, -1) if first[i] in "_-. "] if len(names) > 1 else []
    return [first[:end] for end in ends if all(name.startswith(first[:end]) for name in names)]


def ending_of(stems: Collection[str], names: Collection[str]) -> str:
    """The shortest ending, from "_", "-" or "." on, that all ``stems`` of photographs, two at least, have in common and
    without which one of the ``names`` is or begins one of them; "" where there is none."""
    first = min(stems, default="")
    ends = [first[i:] for i in range(len(first) - 1, 0, -1) if first[i] in "_-."] if len(stems) > 1 and names else []
    for end in ends:
        if not all(stem.endswith(end) for stem in stems):
            break
        bare = {stem.removesuffix(end) for stem in stems}
        if any(behind(name, bare) is not None for name in names):
            return end
    return ""


def behind(name: str, stems: Collection[str], longer: bool = False) -> str | None:
    """What a mask's stem has behind the photograph's; None where no photograph's stem begins it so that "_", "-" or "."
    follows. ``longer``: than the photograph's."""
    if name in stems and not longer:
        return ""
    return next((name[i:] for i in range(len(name) - 1, 0, -1) if name[i] in "_-." and name[:i] in stems), None)


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
    of_name: Callable[[str], Sequence[Forms]],
    of_file: Callable[[str], Sequence[Forms]],
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The file that has the first of a name's forms that any file has, among those at the same place of its own; those
    of which several have it."""
    names = list(names)
    if not names:
        return {}, {}
    indices: list[dict[str, list[str]]] = []
    for file in sorted(files):
        for place, forms in enumerate(of_file(file)):
            if place == len(indices):
                indices.append(defaultdict(list))
            for form in forms:
                indices[place][form].append(file)
    pairs: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    for name in names:
        pair = zip(indices, of_name(name), strict=False)
        fitting = (index[form] for index, forms in pair for form in forms if form in index)
        if len(those := next(fitting, [])) == 1:
            pairs[name] = those[0]
        elif those:
            several[name] = those
    claims = Counter(pairs.values())
    return {name: file for name, file in pairs.items() if claims[file] == 1}, several


def _written(name: str) -> tuple[Forms, ...]:
    """A path in the forms in which it may have been written, the surest first."""
    plain = unicodedata.normalize("NFC", _SERVED.sub("", name.replace("\\", "/")))
    decoded = unicodedata.normalize("NFC", urllib.parse.unquote(plain))
    pieces = decoded.split("/")
    ends = tuple("/".join(pieces[i:]) for i in range(len(pieces)))
    base = pieces[-1].casefold()
    plainest = _VERSION.sub(r".\1", _UPLOAD.sub("", base.partition("?")[0]))
    bare = () if base.endswith(IMAGES) else (base,)  # frames of a video in CVAT: frame_000001
    first = (plain,), (decoded,), ends, ends, (base,), (plainest,)
    return *first, (_OF_CHANNEL.sub("", plainest),), _cleaned(plainest), bare


def _there(file: str) -> tuple[Forms, ...]:
    """A photograph's path in the forms in which it may have been written."""
    plain, decoded, ends, _, *forms, _ = _written(file)
    return plain, decoded, ends[:1], ends, *forms, (without_suffix(forms[0][0]),)


def _cleaned(name: str) -> Forms:
    """A file's name as tools write it that keep letters, digits and few other characters: for those that they put in
    the place of others, and for those that they leave out."""
    stem, dot, suffix = name.rpartition(".")
    kept = re.sub(r"[^-\w.]", "", stem.strip().replace(" ", "_"))
    forms = dict.fromkeys((re.sub(r"[\W_]+", "_", stem).strip("_"), kept))
    return tuple(each + dot + suffix for each in forms if each)


def _of_mask(stem: str) -> tuple[Forms, ...]:
    whole = unicodedata.normalize("NFC", stem)
    plain = whole.casefold()
    return *(((whole,),) * 4), (plain,), (without_upload(plain),), (plain,)


def _of_photograph(name: str) -> tuple[Forms, ...]:
    whole = unicodedata.normalize("NFC", name)
    stem = without_suffix(whole)
    inner = without_suffix(stem) if stem.lower().endswith(IMAGES) else stem
    plain = stem.casefold()
    return (stem,), (whole,), (inner,), (stem.removesuffix(CHANNEL),), (plain,), (plain,), (without_upload(plain),)


def without_upload(name: str) -> str:
    """A path without what annotation tools put before the name of a file that is uploaded to them."""
    folder, slash, base = name.rpartition("/")
    return folder + slash + _UPLOAD.sub("", base)
