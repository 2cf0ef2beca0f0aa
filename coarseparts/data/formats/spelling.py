"""Names of parts as folders and files spell them: in capitals, with spaces, hyphens or underscores."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

from coarseparts.system.text import abridged, listed

_SEPARATORS = re.compile(r"[\s_.-]+")


def plain(name: str) -> str:
    """A name without case and without what separates its words."""
    return _SEPARATORS.sub("", unicodedata.normalize("NFC", name).casefold())


class Spelling:
    """The one of ``parts`` that a name spells: itself, or the only one that is the same but for case and separators."""

    def __init__(self, parts: Sequence[str]):
        count = Counter(map(plain, parts))
        self._plain = {plain(part): i for i, part in enumerate(parts, 1) if count[plain(part)] == 1}
        self._exact = {part: i for i, part in enumerate(parts, 1)}

    def index(self, name: str) -> int | None:
        """The part's index 1..P, None where the name spells none."""
        return self._exact.get(name) or self._plain.get(plain(name))


def spelt_otherwise(categories: Mapping[str, bool], parts: Sequence[str]) -> tuple[dict[str, str], str]:
    """The part that the name of each of some categories spells which is none itself; and a note on them, "" for none.
    ``categories``: by their names, whether they have keypoints; such is an object where another one has the part's
    name."""
    spelling = Spelling(parts)
    found = {name: parts[i - 1] for name in sorted(categories) if name not in parts and (i := spelling.index(name))}
    meant = {name: part for name, part in found.items() if not (categories[name] and part in categories)}
    told = listed(f"{abridged(name)} for {abridged(part)}" for name, part in meant.items())
    return meant, f"categories that are spelt otherwise than `parts` are taken for them: {told}" if meant else ""
