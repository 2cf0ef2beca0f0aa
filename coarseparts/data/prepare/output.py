"""What all preparations share: a folder that is written piece by piece, in parallel, whole or to be gone on with.

A preparation reads what it is given, makes ``Item``s of it, and ends with the dataset file::

    with Output(out, "birds.yaml", progress) as output:
        facts = output.make(items)  # {item's name: what it returned}; files are written meanwhile
        output.problems += whatever_else_is_wrong
        output.write("lists/train.txt", text)  # small text files; written by finish
        changed = output.finish(yaml_text)  # raises BadInput with all problems, else writes the dataset file, last

An item's function takes nothing and returns ``Made``: its files' bytes, facts (JSON) and problems; or raises BadInput.
It runs in a thread, so what takes long should release Python's lock (decoding, encoding, hashing does). An item that
was made before from the same inputs (size and time of change) with the same settings is not made again, whether the
run before ended, failed or was killed; ``finish`` says whether anything changed at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from coarseparts.system import limits
from coarseparts.system.files import write_whole
from coarseparts.system.locks import hold
from coarseparts.system.problems import BadInput, Problem, capped, errors, require_room, unwritable

MANIFEST = ".prepared.jsonl"
"""In the output folder: a line per finished item, so that a killed run loses at most the items it was making."""

FORMAT = 1
"""Version of the manifest; items of another version are made anew."""

_ANOTHER = "take another folder; the same command goes on where it was"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Made:
    """What an item gave: ``files`` (path below the output folder: content), ``facts`` (anything JSON can hold) and
    ``problems``; with an error among them nothing of it is written."""

    files: dict[str, bytes] = field(default_factory=dict)
    facts: Any = None
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class Item:
    """One piece of work: ``name`` is unique in a run; ``inputs``: the files that it is made from; ``settings``: what
    else its result depends on (JSON); ``room``: bytes that its files may take, for the check of the free space."""

    name: str
    inputs: tuple[Path, ...]
    make: Callable[[], Made]
    settings: Any = None
    room: int = 0

    def fingerprint(self) -> str:
        """Changes with the settings and with path, size and time of change of any input."""
        digest = hashlib.sha256(json.dumps([FORMAT, self.settings]).encode())
        for path in self.inputs:
            try:
                stat = path.stat()
                state = f"{stat.st_size}|{stat.st_mtime_ns}"
            except OSError:
                state = "not there"  # told by ``make``
            digest.update(os.fsencode(path.absolute()) + f"|{state}\n".encode())
        return digest.hexdigest()


class Output:
    """A folder that a data set is prepared in; nobody else writes there meanwhile. Raises BadInput on entering where
    that cannot be: it holds other things or cannot be written; Busy where another process prepares there."""

    def __init__(self, folder: Path, dataset: str, progress: Progress | None = None):
        self.folder, self.dataset, self.progress = folder, folder / dataset, progress
        self.problems: list[Problem] = []
        self._texts: dict[str, str] = {}
        self._done: dict[str, dict[str, Any]] = {}  # the manifest: by item's name
        self._used: set[str] = set()  # names of this run's items
        self._changed = False

    def __enter__(self) -> Output:
        try:
            found = [p.name for p in self.folder.iterdir()] if self.folder.is_dir() else []
            if found and MANIFEST not in found:
                message = f"is not empty and was not made by a preparation: it holds {sorted(found)[0]}"
                raise BadInput(Problem(str(self.folder), message, "take another folder"))
            own, stem = self.dataset.name, self.dataset.stem  # pascub.yaml, pascub-pascal.yaml; beside-nabirds.yaml
            files = (name for name in found if name.endswith(".yaml") and name != own)
            others = sorted(name for name in files if not (name.endswith(f"-{own}") or name.startswith(f"{stem}-")))
            if others:  # whose files this run would take for left-overs of its own
                message = f"holds another data set, {others[0]}"
                raise BadInput(Problem(str(self.folder), message, "take another folder"))
            self.folder.mkdir(parents=True, exist_ok=True)
            with ExitStack() as opening:
                opening.enter_context(hold(self.folder / MANIFEST))
                manifest = open(self.folder / MANIFEST, "a+", encoding="utf-8")
                self._manifest: IO[str] = opening.enter_context(manifest)
                self._read_manifest()
                self._held = opening.pop_all()
        except OSError as error:
            raise unwritable(self.folder, error, _ANOTHER) from error
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._held.close()

    def make(self, items: Sequence[Item]) -> dict[str, Any]:
        """The facts of all items that have no error, by name, in the order of ``items``; their files are written.

        On all cores; ``progress(done, total)`` is called as they come. What is wrong goes to ``problems``. Raises
        BadInput where the disk is full or cannot be written; everything finished until then is kept.
        """
        prints = {item.name: item.fingerprint() for item in items}
        self._used |= prints.keys()
        pending = [item for item in items if not self._is_done(item.name, prints[item.name])]
        require_room(self.folder, sum(item.room for item in pending), "what is left to be written may take")
        failed: dict[str, list[Problem]] = {}
        done = len(items) - len(pending)
        if pending:
            self._changed = True
            self.dataset.unlink(missing_ok=True)  # what it describes is about to change
        elif self.progress is not None:
            self.progress(done, len(items))
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            try:
                for future in as_completed([pool.submit(self._make, item, prints[item.name]) for item in pending]):
                    name, entry, wrong = future.result()
                    if entry is None:
                        failed[name] = wrong
                    else:
                        self._record(entry)
                    done += 1
                    if self.progress is not None:
                        self.progress(done, len(items))
            except OSError as error:
                raise unwritable(self.folder, error, _ANOTHER) from error
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        facts = {}
        for item in items:
            if item.name in failed:
                self.problems += failed[item.name]
            else:
                entry = self._done[item.name]
                facts[item.name] = entry["facts"]
                self.problems += [Problem(**problem) for problem in entry["problems"]]
        return facts

    def write(self, name: str, text: str) -> Path:
        """A text file below the folder, written by ``finish``. Returns where it will be."""
        self._texts[name] = text
        return self.folder / name

    def finish(self, text: str) -> bool:
        """Write the text files, remove what earlier runs made and this one did not, and write the dataset file: last.

        Returns False where all of it was there already. Raises BadInput with all errors among ``problems``, and writes
        no dataset file then.
        """
        if errors(self.problems):
            raise BadInput(capped(errors(self.problems)))
        try:
            for name, content in self._texts.items():
                self._changed |= write_file(self.folder / name, content.encode())
            self._forget([name for name in self._done if name not in self._used])
            self._changed |= write_file(self.dataset, text.encode())
        except OSError as error:
            raise unwritable(self.folder, error, _ANOTHER) from error
        return self._changed

    def _make(self, item: Item, fingerprint: str) -> tuple[str, dict[str, Any] | None, list[Problem]]:
        """Make and write one item: its name and line of the manifest, or None and its errors. Raises OSError where it
        cannot be written."""
        try:
            made = item.make()
        except BadInput as bad:
            return item.name, None, bad.problems
        except (OSError, MemoryError) as error:
            if limits.is_machines(error):
                raise
            message = f"cannot be read ({' '.join(str(error).split()) or type(error).__name__})"
            named = getattr(error, "filename", None) or (item.inputs[0] if item.inputs else item.name)
            return item.name, None, [Problem(str(named), message, "check the file, or remove it")]
        except Exception as error:
            error.add_note(f"while preparing {item.name}")
            raise
        if errors(made.problems):
            return item.name, None, made.problems
        for name, content in made.files.items():
            write_file(self.folder / name, content)
        entry = {
            "item": item.name,
            "fingerprint": fingerprint,
            "files": {name: len(content) for name, content in made.files.items()},
            "facts": made.facts,
            "problems": [asdict(problem) for problem in made.problems],
        }
        return item.name, entry, []

    def _record(self, entry: dict[str, Any]) -> None:
        line = json.dumps(entry)
        for gone in self._done.get(entry["item"], {"files": {}})["files"].keys() - entry["files"].keys():
            (self.folder / gone).unlink(missing_ok=True)
        self._done[entry["item"]] = json.loads(line)  # as a later run will read it
        self._manifest.write(line + "\n")
        self._manifest.flush()

    def _is_done(self, name: str, fingerprint: str) -> bool:
        entry = self._done.get(name)
        if entry is None or entry["fingerprint"] != fingerprint:
            return False
        try:
            return all((self.folder / file).stat().st_size == size for file, size in entry["files"].items())
        except OSError:
            return False

    def _read_manifest(self) -> None:
        self._manifest.seek(0)
        for line in self._manifest:
            with suppress(ValueError, KeyError, TypeError):  # a line cut off when the run was killed
                entry = json.loads(line)
                _ = entry["fingerprint"], entry["files"].items(), entry["facts"], entry["problems"]
                self._done[entry["item"]] = entry
        self._manifest.seek(0)
        if (content := self._manifest.read()) and not content.endswith("\n"):
            self._manifest.write("\n")

    def _forget(self, names: list[str]) -> None:
        """Remove items of earlier runs with their files, and write the manifest anew without them."""
        gone = [self._done.pop(name) for name in names]
        if not gone:
            return
        self._changed = True
        kept = {file for entry in self._done.values() for file in entry["files"]}
        for file in {file for entry in gone for file in entry["files"]} - kept:
            (self.folder / file).unlink(missing_ok=True)
        self._manifest.seek(0)
        self._manifest.truncate()  # killed here, the next run makes its items anew
        self._manifest.writelines(json.dumps(entry) + "\n" for entry in self._done.values())
        self._manifest.flush()


_WRITING = threading.Lock()
"""Two items may name one file, which is told later: neither takes away what the other is writing."""


def write_file(path: Path, content: bytes) -> bool:
    """Write a file whole or not at all: beside its place first, then moved there. False, and nothing is done, where it
    has that content already. Raises OSError."""
    with suppress(OSError):
        if path.stat().st_size == len(content) and path.read_bytes() == content:
            return False
    with _WRITING:
        write_whole(path, content)
    return True
