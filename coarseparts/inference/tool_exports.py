"""What ``predict --export`` writes for a tool: replaced when it is written again, but for what somebody changed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from coarseparts.data.formats.document import Document
from coarseparts.data.formats.registry import WRITERS, refuse_export
from coarseparts.system.documents import DocumentError, load_json
from coarseparts.system.problems import BadInput, Problem, capped
from coarseparts.training.claims import explained, write

REMEDY = "move it away, or choose another folder with --out"

_KNOWN: TypeAdapter[dict[str, list[str]]] = TypeAdapter(dict[str, list[str]])


class ToolExport:
    """An export in ``folder`` with a ``name`` of ``WRITERS``. ``.exported-NAME.json`` there keeps what was written, by
    which it is told from what somebody corrected or put beside it.

    Raises BadInput for a name that there is not, and where a file of the export was not written so."""

    def __init__(self, name: str, folder: Path) -> None:
        self._record = folder / f".exported-{name}.json"
        self._known = self._read() if name in WRITERS else {}
        if not self._known:
            refuse_export(name, folder)
        self._write, file = WRITERS[name]
        self.path, self._draft = folder / file, folder / f".{file}.draft"
        changed = [file for file in self._known if self._state(file) not in (None, *self._known[file])]
        self._refuse(changed, "was changed since it was written, and would be written over")

    def write(self, document: Document) -> Path:
        """Writes all of it or nothing; files that somebody put beside it stay. Returns ``path``. Raises BadInput where
        one of them has the name of a file to write, Failed where it cannot be written."""
        try:
            self._remove_draft()
            target = self._draft if os.path.lexists(self.path) else self.path
            self._write(document, target)
            made = {file: [_digest(target / file)] for file in _files(target)}
            if target == self._draft:
                others = [file for file in made if self._state(file) is not None and file not in self._known]
                self._refuse(others, "is there, was not written by predict, and would be written over")
                self._keep({file: self._known.get(file, []) + made.get(file, []) for file in self._known | made})
                self._replace(made)
            self._keep(made)
        except OSError as error:
            raise explained(self.path, error) from error
        finally:
            self._remove_draft()
        return self.path

    def _replace(self, made: Iterable[str]) -> None:
        for file in made:
            place = self.path / file
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self._draft / file, place)
        for file in self._known.keys() - set(made):
            (self.path / file).unlink(missing_ok=True)

    def _state(self, file: str) -> str | None:
        """What tells a file's content from another one's, None where it is not there."""
        place = self.path / file
        if not os.path.lexists(place):
            return None
        return _digest(place) if place.is_file() and not place.is_symlink() else ""

    def _refuse(self, files: Iterable[str], message: str) -> None:
        if problems := [Problem(str(self.path / file), message, REMEDY) for file in files]:
            raise BadInput(capped(problems))

    def _read(self) -> dict[str, list[str]]:
        """What stands in the record; nothing in one that names files elsewhere or is damaged."""
        try:
            found = _KNOWN.validate_python(load_json(self._record))
        except (OSError, DocumentError, ValidationError):
            return {}
        inside = all(not os.path.isabs(file) and ".." not in Path(file).parts for file in found)
        return found if inside else {}

    def _keep(self, files: dict[str, list[str]]) -> None:
        write(self._record, json.dumps(files))

    def _remove_draft(self) -> None:
        if self._draft.is_dir() and not self._draft.is_symlink():
            shutil.rmtree(self._draft)
        else:
            self._draft.unlink(missing_ok=True)


def _files(export: Path) -> list[str]:
    """The files of an export, relative to it; "" is the export itself where it is a file."""
    if export.is_file():
        return [""]
    return sorted(file.relative_to(export).as_posix() for file in export.rglob("*") if file.is_file())


def _digest(file: Path) -> str:
    return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
