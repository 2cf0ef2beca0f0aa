"""Whose a folder of results is, and whether what lies there may be used and written over.

A run folder may come from anybody: nothing in it is followed out of it, and what is no file where a file is to be (or
no folder) is told before anything is done, not after an hour of training.
"""

from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from coarseparts.system import parallel
from coarseparts.system.documents import DocumentError, dump_yaml, load_yaml, parse_yaml
from coarseparts.system.errors import DamagedRun, Failed, RunError
from coarseparts.system.files import remove_unfinished, write_whole
from coarseparts.system.locks import LONGEST_WAIT, Tell, hold, silent
from coarseparts.system.text import short

FOLDERS = ("stages", "model", "progress", "tensorboard", "store", "data", "results")
"""What is a folder in a run folder, or in a cell's of a benchmark; a name with one of ``SUFFIXES`` is a file."""

SUFFIXES = (".yaml", ".json", ".csv", ".html", ".md", ".pt", ".safetensors", ".npz", ".log")

CACHES = ("store", "data")
"""Made anew from the images where they are damaged; they may be links to another disk."""


def write(path: Path, data: bytes | str | Callable[[io.BufferedWriter], None]) -> None:
    """Writes a file whole or not at all: beside its place first, then moved there.

    Of several processes that train together the first one writes, the others go on. Raises RunError naming the file and
    the remedy when the disk is full, the folder read-only, or what is there no file (``files.write_whole``) or a link.
    """
    if not parallel.is_main():
        return
    if path.is_symlink():
        raise DamagedRun(f"{path}: is a link, and what it leads to would be written over; remove the link")
    try:
        write_whole(path, data.encode() if isinstance(data, str) else data, several=True, sync=True)
    except (OSError, RuntimeError) as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # torch.save hides it behind an error of its own
            raise KeyboardInterrupt from error
        raise explained(path, error) from error


def explained(path: Path, error: BaseException) -> RunError:
    """What to say and do when ``path`` could not be written."""
    code = getattr(error, "errno", None)
    text = str(error)
    if code == errno.ENOSPC or "No space left" in text or "file write failed" in text or "unexpected pos" in text:
        return Failed(f"{path}: the disk is full; free some space and run the same command again, it goes on")
    if code in (errno.EACCES, errno.EROFS, errno.EPERM):
        return Failed(f"{path}: cannot be written (read-only); choose a folder of your own with --out")
    if code in (errno.EISDIR, errno.EEXIST, errno.ENOTDIR):
        said = getattr(error, "strerror", None) or error
        return DamagedRun(f"{path}: cannot be written ({said}); remove what is there, or take another --out")
    said = getattr(error, "strerror", None) or error
    return Failed(f"{path}: cannot be written ({said}); choose another place for it")


@contextmanager
def claimed(path: Path, tell: Tell = silent) -> Iterator[None]:
    """A folder for a run, or for the runs of several seeds, that nobody else writes into meanwhile.

    Raises RunError when it holds other things than runs, another process is training in it, or it cannot be made;
    DamagedRun when something in it leads out of it, or is no file where one is to be.
    """
    if not parallel.is_main():
        yield
        return
    found = [p.name for p in path.iterdir() if not p.name.startswith(".")] if path.is_dir() else []
    known = os.path.lexists(path / "config.yaml") or any(path.glob("seed*/config.yaml"))
    if set(found) - {"store"} and not known and not all(name.startswith("seed") for name in found):
        raise RunError(f"{path}: is not empty and holds no run; take another --out")
    with _locked(path, tell):
        yield


@contextmanager
def benchmark_folder(path: Path, tell: Tell = silent) -> Iterator[None]:
    """A benchmark's folder, which no other benchmark writes into meanwhile. Under torchrun the first process claims it
    for all of them. Raises RunError when it holds other things, else as ``claimed``."""
    own = re.compile(
        r"\d+-.+|seed\d+|data|benchmark\.yaml|results\.csv|margins\.csv|by_part\.csv|table\.md|report\.html|\..*"
    )
    strange = [p.name for p in path.iterdir() if not own.fullmatch(p.name)] if path.is_dir() else []
    if strange:
        raise RunError(f"{path}: holds {short(strange[0])}, which is no part of a benchmark; take another --out")
    with nullcontext() if int(os.environ.get("RANK", "0")) else _locked(path, tell, whole="RANK" not in os.environ):
        yield


@contextmanager
def in_turn(path: Path, tell: Tell = silent) -> Iterator[None]:
    """Inside, of several processes that work in this folder only one reads its data; the others wait for it."""
    with _locked(path, tell, ".turn", LONGEST_WAIT, whole=False):
        yield


@contextmanager
def alone(path: Path, tell: Tell = silent) -> Iterator[None]:
    """A folder that no other process writes into meanwhile; RunError where one does, or where it cannot be made."""
    with _locked(path, tell):
        yield


@contextmanager
def _locked(path: Path, tell: Tell, name: str = ".lock", wait: float = 0.0, whole: bool = True) -> Iterator[None]:
    """A folder, made if need be, looked through, that this process alone has; all that is in it, too, if ``whole``:
    what a process that was killed has left half written is then taken away."""
    if path.is_file():
        raise RunError(f"{path}: is a file; name a folder, or one that is to be made, with --out")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explained(path, error) from error
    look_through(path)
    with ExitStack() as held:
        try:
            held.enter_context(hold(path / name, wait, tell))
        except OSError as error:
            raise explained(path / name, error) from error
        if whole:
            remove_unfinished(path, CACHES)
        yield


def look_through(root: Path) -> None:
    """Raises DamagedRun, naming everything, where something in a run folder (also of several seeds, a benchmark's or
    a sweep's) leads out of it or is no file, or no folder, where one is to be. Caches are not looked into."""
    inside, wrong = Path(os.path.realpath(root)), []
    for parent, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(parent, name)
            if name in CACHES and name in folders:
                continue
            if path.is_symlink() and not (path.exists() and Path(os.path.realpath(path)).is_relative_to(inside)):
                wrong.append(f"{path}: is a link that leads out of the run folder, or nowhere; put a copy there")
            elif name in folders and name.endswith(SUFFIXES):
                wrong.append(f"{path}: is a folder, expected a file; remove it")
            elif name in files and name in FOLDERS:
                wrong.append(f"{path}: is a file, expected a folder; remove it")
            elif name in files and not path.is_symlink() and not path.is_file():
                wrong.append(f"{path}: is a device or a pipe, expected a file; remove it")
        folders[:] = [f for f in folders if f not in CACHES and not os.path.islink(os.path.join(parent, f))]
    if wrong:
        raise DamagedRun("\n".join(wrong))


def read_config(path: Path) -> dict[str, Any]:
    """What a run's config.yaml says. Raises DamagedRun naming the file when it cannot be read."""
    try:
        found = load_yaml(path)
        if isinstance(found, dict):
            return found
        error: object = "it is no mapping"
    except OSError as problem:
        error = problem.strerror or problem
    except DocumentError as problem:
        error = problem
    raise DamagedRun(f"{path}: cannot be read ({error}); take another --out, or delete the folder")


def same_as_before(file: Path, said: Mapping[str, Any], what: str, begun: bool = True) -> None:
    """Writes down in ``file`` what all results of ``what`` (a benchmark, a sweep) have in common, or compares.

    The same data in another place (equal ``data_hash``) is no difference, and where nothing is ``begun`` what is said
    now counts. Raises RunError naming all others: kept
    results would stand for what they are not.
    """
    text = dump_yaml(dict(said))
    there, changed = differences(file, text) if file.is_file() else ({}, {})
    if begun and not set(changed) <= ({"data"} if there.get("data_hash") else set()):
        told = "; ".join(f"{key}: {short(was)} there, {short(now)} now" for key, (was, now) in changed.items())
        there_is = f"holds a {what} with other settings ({told}), as {file.name} says"
        raise RunError(f"{file.parent}: {there_is}; take another --out")
    if changed or not there:
        write(file, text)


def differences(file: Path, text: str) -> tuple[dict[str, Any], dict[str, tuple[Any, Any]]]:
    """What a file of settings says, and where ``text``, which would be written there now, says something else: dotted
    key -> (there, now). Raises DamagedRun."""
    there, now = _leaves(read_config(file)), _leaves(parse_yaml(text))
    keys = sorted(key for key in {*there, *now} if there.get(key) != now.get(key) or (key in there) != (key in now))
    return there, {key: (there.get(key), now.get(key)) for key in keys}


def _leaves(tree: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """{"settings.em.alpha": 0.1, ...} of nested mappings."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        nested = isinstance(value, Mapping) and value
        found |= _leaves(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return found
