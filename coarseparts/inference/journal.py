"""Who has predicted what into a folder: a line per image as it is done, and a lock for each shard.

A folder of any size may be divided among processes and machines, and goes on where it was stopped.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TextIO

from coarseparts.data.formats.registry import SUFFIXES
from coarseparts.data.images import MAX_PIXELS, allowed, list_images
from coarseparts.inference.model import Model
from coarseparts.labels.given import fingerprint
from coarseparts.system.errors import Busy
from coarseparts.system.locks import Tell, hold, holder
from coarseparts.system.text import csv_cell
from coarseparts.training.claims import explained


class Journal:
    """What has been predicted into a folder: ``.predicted-I-of-N.csv`` there, a line per image, written as it is done.

    Every shard has its own and reads all of them. An image counts as done if its size and time of change are as they
    were, everything that it gives is there, and model, labels and options (``digest``) are the same.
    """

    def __init__(self, out: Path, digest: str, shard: tuple[int, int]):
        self.path = out / f".predicted-{shard[0] + 1}-of-{shard[1]}.csv"
        self.digest = digest
        self._known: dict[str, tuple[str, str]] = {}
        self._file: TextIO | None = None
        for path in sorted(out.glob(".predicted-*.csv")) if out.is_dir() else []:
            with suppress(OSError, csv.Error), open(path, encoding="utf-8", errors="replace", newline="") as file:
                for row in csv.reader(file):
                    if len(row) == 4 and row[0] == digest:  # a line that was cut off is not done
                        self._known[row[1]] = (row[2], row[3])

    def has(self, name: str, path: Path, files: Iterable[Path]) -> bool:
        """Whether this image needs no prediction."""
        known = self._known.get(csv_cell(name))
        return known is not None and known == _state(path) and all(file.is_file() for file in files)

    def add(self, name: str, path: Path) -> None:
        """Everything of this image is written."""
        assert self._file is not None
        state = _state(path)
        if state is None:  # removed meanwhile
            return
        try:
            csv.writer(self._file, lineterminator="\n").writerow([self.digest, csv_cell(name), *state])
            self._file.flush()
        except OSError as error:
            raise explained(self.path, error) from error

    def __enter__(self) -> Journal:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "a", encoding="utf-8", newline="")
            if self._file.tell():
                self._file.write("\n")  # ends a line that was cut off
        except OSError as error:
            raise explained(self.path, error) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            try:
                self._file.close()  # writes what is left
            except OSError as error:
                raise explained(self.path, error) from error


def _state(path: Path) -> tuple[str, str] | None:
    """Size and time of change; None where there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return str(found.st_size), str(found.st_mtime_ns)


def digest(model: Model, labels: Iterable[Path], with_overlay: bool) -> str:
    """Tells whether a part map would come out the same: of the model's weights, settings and names, and the labels."""
    about = model.schema, model.settings, model.styles, model.size, model.crop, model.shares, model.flip
    found = hashlib.sha256(repr(about).encode())
    modules = [model.networks.part_model, *([model.networks.posterior] if model.has_posterior else [])]
    for module in modules:
        for tensor in module.state_dict().values():
            found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    for path in labels:
        if path.is_dir():  # of an export, else of maps
            texts = sorted(file for file in path.rglob("*") if file.name.lower().endswith((*SUFFIXES, ".txt")))
            each = texts or [file for _, file in list_images(path)]
            found.update(fingerprint(each).encode(errors="surrogatepass"))
        else:
            found.update(path.read_bytes())
    found.update(bytes([with_overlay]))
    if allowed() != MAX_PIXELS:
        found.update(str(allowed()).encode())
    return found.hexdigest()[:16]


def _lock(out: Path, shard: tuple[int, int]) -> Path:
    return out / f".predicted-{shard[0] + 1}-of-{shard[1]}.lock"


def refuse_company(out: Path, shard: tuple[int, int]) -> None:
    """Raises Busy where another process writes what this one is going to write."""
    for lock in sorted(out.glob(".predicted-*.lock")) if out.is_dir() else []:
        same_division = lock.name.endswith(f"-of-{shard[1]}.lock")
        if (lock == _lock(out, shard) or not same_division) and (by := holder(lock)):
            raise Busy(f"{by}; wait for it, or take another --out")


@contextmanager
def held(out: Path, shard: tuple[int, int], tell: Tell) -> Iterator[None]:
    """The folder, made if need be, with this shard in it ours alone."""
    with ExitStack() as stack:
        try:
            out.mkdir(parents=True, exist_ok=True)
            stack.enter_context(hold(_lock(out, shard), tell=tell))
        except OSError as error:
            raise explained(out, error) from error
        yield
