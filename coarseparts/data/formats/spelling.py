"""Names of parts as folders and files spell them: in capitals, with spaces, hyphens or underscores."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

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
