"""What VIA's attributes say of a region; people choose their names. Which of them holds what the region is called,
which one is the same in regions of one object, and which ones say that a point cannot be seen."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from coarseparts.data.formats.document_builder import DocumentBuilder
from coarseparts.data.formats.shapes import NAMELESS
from coarseparts.data.formats.spelling import plain
from coarseparts.data.formats.visibility import WORDS, is_hidden, says_hidden
from coarseparts.labels.schema import unfit
from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import abridged, listed

PART = "part"
"""The attribute that holds what a region is called, where there are several and it is there."""

_PARTS = {PART, "parts", "partname", "bodypart", "keypoint", "landmark", "structure", "organ"}
_LABELS = {"label", "labels", "class", "classname", "category", "name", "type"}
"""Attributes that mostly hold what a region is called, without case and separators."""

_IDS = {"group", "instance", "track", "individual"}
_IDS |= {f"{word}id" for word in (*_IDS, "object", "animal", "specimen")}
_OBJECTS = {"id", "number", "object", "animal", "specimen"}
"""Attributes that are the same in regions of one object; the latter may as well be something else."""

_SEEN = {"visible", "visibility", "state", *WORDS}
_ASIDE = {"comment", "comments", "note", "notes", "remark", "remarks", "description", "quality", "imagequality"}
_ASIDE |= {"confidence", "score", "difficult", "truncated", "annotator", "date", *_SEEN}
"""Attributes that are no names."""

_UNDEFINED = {"", "notdefined", "undefined"}
"""Values that are none: VIA puts not_defined where nobody has said anything."""

Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class Naming:
    """How regions are named: by the ``called`` attributes, all of them nameless where there are none; ``grouped``: the
    attribute of objects, "" for none; ``options``: what an attribute's numbers stand for."""

    called: tuple[str, ...] = ()
    grouped: str = ""
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def names(self, attributes: Attributes) -> list[str]:
        """What a region is called. Raises ValueError where it has no name, and others have."""
        if not self.called:
            return [NAMELESS]
        found = [name for key in self.called for name in _values(attributes.get(key), self.options.get(key, {}))]
        if not found:
            raise ValueError(f"has no {listed(map(abridged, self.called))}, which the others are called by")
        if bad := [why for name in found if (why := unfit(name))]:
            raise ValueError(f"its name {bad[0]}")
        return list(dict.fromkeys(found))

    def group(self, attributes: Attributes) -> str:
        """The object that a region is of, "" for none."""
        return " ".join(_values(attributes.get(self.grouped), {})) if self.grouped else ""

    def hidden(self, attributes: Attributes) -> bool:
        """Whether a point cannot be seen: an attribute says so, or is called so."""
        for key, value in attributes.items():
            own = [text for text in _values(value, {}) if plain(key) not in _PARTS | _LABELS or not is_hidden(text)]
            if says_hidden(key, own):
                return True
        return False


def naming_of(images: Sequence[Sequence[Attributes]], defined: Any, builder: DocumentBuilder) -> Naming:
    """How the regions of ``images`` are named, whose attributes they are. The attribute that holds names is the only
    one that has values or, where regions have values of several, the one called ``part`` or the like, else ``label``,
    ``class``, ``category``, ``name`` or ``type``, else the only one whose values differ; attributes of which no region
    has two are all taken. ``defined``: what a project says of them. Raises BadInput where it cannot be told."""
    options = _numbered(defined)
    regions = [own for image in images for own in image]
    values: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for own in regions:
        for key, value in own.items():
            if told := _values(value, options.get(key, {})):
                values[key].add(tuple(told))
    ids = [key for key in values if plain(key) in _IDS | _OBJECTS]
    candidates = [key for key in values if key not in ids and plain(key) not in _ASIDE]
    if not candidates:  # an attribute called "object" may well be the one
        candidates = [key for key in ids if plain(key) in _OBJECTS and not all(map(_is_number, values[key]))][:1]
    called = _called(candidates, values, regions, builder)
    naming = Naming(tuple(called), options=options)
    if not called and regions:
        builder.pass_over(f"regions have no name: each is called {NAMELESS!r}", "", len(regions))
    if called and (left := [key for key in candidates if key not in called]):
        message = f"regions are called by their {abridged(called[0])}; not by their {listed(map(abridged, left))}"
        builder.say(message, f"write {PART!r} in the place of the one that names them, if not so", "note")
    grouped = [key for key in ids if key not in called and _groups(key, images, values[key], naming)]
    if grouped:
        message = f"regions of an image with the same {abridged(grouped[0])} are taken for one object"
        builder.say(message, "", "note")
        naming = Naming(naming.called, grouped[0], options)
    return naming


def _called(
    candidates: list[str],
    values: Mapping[str, Collection[tuple[str, ...]]],
    regions: Sequence[Attributes],
    builder: DocumentBuilder,
) -> list[str]:
    if not any(sum(bool(_values(own.get(key), {})) for key in candidates) > 1 for own in regions):
        return candidates
    differing = [key for key in candidates if len(values[key]) > 1]
    ways: tuple[Callable[[], list[str]], ...] = (
        lambda: [key for key in candidates if plain(key) in _PARTS],
        lambda: [key for key in differing if plain(key) in _LABELS],
        lambda: differing,
    )
    found = next((own for way in ways if (own := way())), candidates)
    if len(found) == 1:
        return found
    message = "regions have several attributes, and nothing says which one they are called by: "
    told = message + listed(
        f"{abridged(key)} ({listed(sorted(' '.join(own) for own in values[key]), 3)})" for key in found
    )
    remedy = f'write "{PART}" in the place of the one that names them, all through a copy of the file'
    raise BadInput(Problem(str(builder.file), told, remedy))


def _groups(
    key: str, images: Sequence[Sequence[Attributes]], values: Collection[tuple[str, ...]], naming: Naming
) -> bool:
    """Whether an attribute says which regions of an image are one object: several regions have the same, and it is
    called so; or it is no number of what they are called, and has numbers or letters, or tells regions of one name
    apart."""
    of: dict[tuple[str, ...], set[str]] = defaultdict(set)  # the values of each name
    shared = twice = apart = False
    for image in images:
        pairs = [(_names(naming, own), told) for own in image if (told := " ".join(_values(own.get(key), {})))]
        for names, told in pairs:
            of[names].add(told)
        shared |= max(Counter(told for _, told in pairs).values(), default=0) > 1
        if max(Counter(names for names, _ in pairs).values(), default=0) > 1:
            apart = True
            twice |= max(Counter(pairs).values()) > 1
    if not shared or plain(key) in _IDS:
        return shared
    numbers_names = len(values) > 1 and len(of) > 1 and all(len(own) == 1 for own in of.values())
    numbered = all(_is_number(own) or len(" ".join(own)) == 1 for own in values)
    return not numbers_names and (numbered or (apart and not twice))


def _names(naming: Naming, own: Attributes) -> tuple[str, ...]:
    try:
        return tuple(naming.names(own))
    except ValueError:
        return ()


def _is_number(values: tuple[str, ...]) -> bool:
    return any(character.isdigit() for value in values for character in value)


def _values(value: Any, options: Mapping[str, str]) -> list[str]:
    """What an attribute of a region says: a text or number; of a checkbox the options that are ticked."""
    if isinstance(value, dict):
        found = [key for key, ticked in value.items() if ticked is True or ticked in (1, "true", "True", "1")]
    elif isinstance(value, list):
        found = [one for one in value if isinstance(one, str)]
    elif type(value) in (int, float):
        found = [f"{value:.15g}"]
    else:
        found = [value] if isinstance(value, str) else []
    return [options.get(one.strip(), one.strip()) for one in found if plain(one.strip()) not in _UNDEFINED]


def _numbered(defined: Any) -> dict[str, dict[str, str]]:
    """By attribute what its options are called that are numbers: as a project describes them, each otherwise."""
    found = {}
    for key, about in defined.items() if isinstance(defined, dict) else ():
        options = about.get("options") if isinstance(about, dict) else None
        if not isinstance(options, dict) or not all(
            isinstance(text, str) and text.strip() for text in options.values()
        ):
            continue
        names = {number: text.strip() for number, text in options.items()}
        if names and all(number.strip().isdigit() for number in names) and len(set(names.values())) == len(names):
            found[key] = names
    return found
