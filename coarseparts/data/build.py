"""From a data set to its packed store: decode once, keep on disk, find again by a hash of what went in."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from coarseparts.data import accounts
from coarseparts.data.crops import crop_and_resize
from coarseparts.data.dataset_file import DatasetFile
from coarseparts.data.record import drawn
from coarseparts.data.records import Contents, Record, read_contents, without_part_masks
from coarseparts.data.sample import Sample
from coarseparts.data.store import Store
from coarseparts.data.store_files import FORMAT, Writer, layout
from coarseparts.labels import STYLES
from coarseparts.labels.schema import IGNORE, Schema
from coarseparts.system import limits
from coarseparts.system.documents import load_json
from coarseparts.system.locks import LONGEST_WAIT, Tell, hold, silent
from coarseparts.system.problems import BadInput, Problem, capped, errors, require_room, unwritable

CHUNK = 64
"""Synthetic images rendered at a time."""

READING = 2
"""Version of what files are read as; raised whenever some are read as something else, so that no store of before is
taken for what they say now."""

KEEP_EVERY = 20.0
"""Seconds of work that a killed build may lose."""


def build_store(
    dataset: DatasetFile,
    cache_dir: str | Path,
    skip_bad: bool = False,
    progress: Callable[[int, int], None] | None = None,
    for_training: bool = False,
    tell: Tell = silent,
) -> tuple[Store, list[Problem]]:
    """The data set's packed store, made in ``cache_dir`` or found there, and all problems.

    The store's folder is named by a hash of the schema, the size and every record's fingerprint, so nothing is
    decoded twice and nothing stale is used. Building holds a few images in memory, however many there are, is the
    same for any number of cores, and either ends with a whole store or leaves none (what a killed build leaves
    behind, the next one removes). ``progress(done, total)`` is called after each image.

    Raises BadInput listing all errors of all images; with ``skip_bad`` their images are left out instead, and the
    errors are among the problems returned. The last of these are notes on where the images of each source went: they
    add up. Raises BadInput also if no image is left, the disk is full or the folder
    cannot be written. ``for_training`` as in ``records.read_dataset``. ``tell`` hears at once
    that another process is building there, and is waited for; Busy after an hour.
    """
    cache_dir = Path(cache_dir)
    contents = read_contents(dataset, for_training)
    records, problems, schema = contents.records, contents.problems, contents.schema
    folder = cache_dir / _key(records, schema, dataset.size)
    found = _cached(folder, records)
    if found is None:
        with _locked(cache_dir, tell):
            found = _cached(folder, records)  # somebody else may have built it while we waited
            if found is None:
                _clear(cache_dir, folder)
                _check_room(cache_dir, records, schema, dataset.size)
                found = _build(folder, records, problems, schema, dataset.size, skip_bad, progress)
    store, of_images = found
    problems = problems + of_images
    _raise_errors(problems, skip_bad)
    if not len(store):
        raise BadInput(
            [*errors(problems), Problem(str(dataset.path), "no image is left", "correct the problems above")]
        )
    return store, problems + _of_all(dataset, contents, store, for_training)


def _of_all(dataset: DatasetFile, contents: Contents, store: Store, for_training: bool) -> list[Problem]:
    """Notes on the data set as a whole: where the images went, and what nothing is left of. They follow from what is in
    the store, whether it was built now or found."""
    there = set(store.names)
    for record in contents.records:
        if record.name not in there:
            contents.leave_out(record)
    samples = Counter(store.splits)
    masks = Counter(store.splits[row] for row in np.flatnonzero(store.present["parts"]))
    notes = without_part_masks(dataset, contents) + accounts.empty_splits(dataset, samples, masks)
    if for_training and store.schema.keypoints:
        notes += accounts.unseen_keypoints(dataset, store.schema, np.any(store.label("keypoints")[..., 2] > 0, 0))
    return notes + accounts.notes(dataset, contents.accounts)


@dataclass
class _Loaded:
    """A record at store size (``arrays`` as ``crops.crop_and_resize`` gives them, and "native"), None if it is bad."""

    record: Record
    arrays: dict[str, np.ndarray | None] | None
    problems: list[Problem]


def load_all(records: list[Record], size: int) -> Iterator[_Loaded]:
    """Decode, crop and resize, in the order of ``records``, on all cores, a few images at a time."""
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:  # threads: decoding and resizing release Python's lock
        waiting: deque[Future[_Loaded] | list[Record]] = deque()
        jobs = iter(_jobs(records))

        def add(count: int) -> None:
            for job in islice(jobs, count):
                waiting.append(pool.submit(_load, job, size) if isinstance(job, Record) else job)

        add(3 * workers)
        try:
            while waiting:
                job = waiting.popleft()
                if isinstance(job, Future):
                    yield job.result()
                else:  # here and not in a worker: the renderer uses all cores by itself
                    yield from _render(job, size)
                add(1)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _jobs(records: list[Record]) -> Iterator[Record | list[Record]]:
    """Records of files one by one, synthetic ones in runs of consecutive numbers."""
    run: list[Record] = []
    for record in records:
        follows = bool(run) and record.synthetic is not None and len(run) < CHUNK and _next(run[-1]) == record.synthetic
        if run and not follows:
            yield run
            run = []
        if record.synthetic is None:
            yield record
        else:
            run.append(record)
    if run:
        yield run


def _next(record: Record) -> tuple[str, int, int]:
    assert record.synthetic is not None
    world, seed, number = record.synthetic
    return world, seed, number + 1


def _load(record: Record, size: int) -> _Loaded:
    try:
        sample, problems = record.load()
        return _Loaded(record, _at_size(sample, size, record.schema), problems)
    except BadInput as bad:
        return _Loaded(record, None, bad.problems)
    except ValueError as error:
        remedy = "correct the box, mask or keypoints that it is cropped to"
        return _Loaded(record, None, [Problem(str(record.image), str(error), remedy)])
    except (OSError, MemoryError) as error:
        if limits.is_machines(error):
            raise
        message = f"cannot be read ({' '.join(str(error).split()) or type(error).__name__})"
        return _Loaded(record, None, [Problem(str(record.image), message, "check the file, or remove it")])
    except Exception as error:
        error.add_note(f"while reading {record.image}")
        raise


def _render(records: list[Record], size: int) -> Iterator[_Loaded]:
    for record, sample in zip(records, drawn(records, size), strict=True):
        yield _Loaded(record, _at_size(sample, size, record.schema), [])


def _at_size(sample: Sample, size: int, schema: Schema) -> dict[str, np.ndarray | None]:
    height, width = sample.image.shape[:2]
    return crop_and_resize(sample, size, schema.maps) | {"native": np.array([width, height], np.int32)}


def _build(
    folder: Path,
    records: list[Record],
    before: list[Problem],
    schema: Schema,
    size: int,
    skip_bad: bool,
    progress: Callable[[int, int], None] | None,
) -> tuple[Store, list[Problem]]:
    """Write the store, from where a stopped build was. Problems come from the images alone; ``before`` are those found
    before, told with them."""
    with Writer(folder, schema, size, _styles(records), resumable=True) as writer:
        writer.notes = writer.notes or {"dropped": [], "problems": []}
        dropped: list[str] = writer.notes["dropped"]
        problems = [Problem(**problem) for problem in writer.notes["problems"]]
        begun, since = len(writer.names) + len(dropped), time.monotonic()
        for done, loaded in enumerate(load_all(records[begun:], size), begun + 1):
            problems += loaded.problems
            writer.notes["problems"] += [asdict(problem) for problem in loaded.problems]
            if loaded.arrays is None:
                dropped.append(loaded.record.name)
            else:
                record = loaded.record
                rows = _row(loaded.arrays, schema, size, writer.styles)
                writer.append(rows, [record.name], [record.split], [f"sources[{record.source}]"])
            if time.monotonic() - since > KEEP_EVERY:
                writer.keep()
                since = time.monotonic()
            if progress is not None:
                progress(done, len(records))
        _raise_errors(before + problems, skip_bad)  # inside: nothing is kept of a store that is not to be used
    return Store.open(folder), problems


def _row(arrays: dict[str, np.ndarray | None], schema: Schema, size: int, styles: list[str]) -> dict[str, np.ndarray]:
    """One row of every array of the store, blank where a label is absent."""
    values = dict(arrays)
    values["crops"] = values.pop("crop")
    values["present"] = np.array([values[label] is not None for label in ("parts", *styles)])
    row = {}
    for name, (dtype, shape) in layout(size, schema, styles).items():
        value = values[name]
        blank = IGNORE if name == "parts" else 0
        row[name] = (np.full(shape, blank, dtype) if value is None else np.asarray(value, dtype))[None]
    return row


def _raise_errors(problems: list[Problem], skip_bad: bool) -> None:
    if errors(problems) and not skip_bad:
        raise BadInput(capped(errors(problems)))


def _key(records: list[Record], schema: Schema, size: int) -> str:
    digest = hashlib.sha256(f"{FORMAT}.{READING}|{size}|{schema.model_dump_json()}\n".encode())
    for r in records:
        digest.update(f"{r.name}|{r.source}|{r.split}|{sorted(r.has)}|{r.fingerprint}\n".encode())
    return digest.hexdigest()[:24]


def _cached(folder: Path, records: list[Record]) -> tuple[Store, list[Problem]] | None:
    """The store that lies there and the problems of its images; None if it has to be built."""
    try:
        store = Store.open(folder)
        notes = load_json(folder / "store.json")["notes"]
        problems = [Problem(**problem) for problem in notes["problems"]]
        dropped = set(notes["dropped"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        if limits.is_machines(error):
            raise
        return None  # none, or a damaged one
    for record in records:
        # A file's permissions are not in its fingerprint: what could not be used then is tried once more.
        if record.name in dropped and _load(record, store.size).arrays is not None:
            return None
    return store, problems


def _clear(cache_dir: Path, folder: Path) -> None:
    """Remove what killed builds of other stores left, and a store that could not be opened. Only called by who holds
    the lock."""
    for left in [*cache_dir.glob(".*.tmp-*"), *cache_dir.glob(".*.part")]:
        if left.name != f".{folder.name}.part":
            shutil.rmtree(left, ignore_errors=True)
    if folder.exists() and not (folder / "store.json").is_file():
        shutil.rmtree(folder)


def _styles(records: list[Record]) -> set[str]:
    """Those of which there is a label."""
    return {label for record in records for label in record.has} & STYLES.keys()


def _check_room(cache_dir: Path, records: list[Record], schema: Schema, size: int) -> None:
    arrays = layout(size, schema, _styles(records))
    per_row = sum(dtype.itemsize * int(np.prod(shape)) for dtype, shape in arrays.values())
    require_room(cache_dir, len(records) * per_row, f"the packed store of {len(records)} images needs")


@contextmanager
def _locked(cache_dir: Path, tell: Tell) -> Iterator[None]:
    """One build at a time in a cache folder; another process waits here. What the disk refuses is a problem of that
    folder; errors of reading do not get here: see ``_load``."""
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with hold(cache_dir / ".lock", LONGEST_WAIT, tell):
            yield
    except OSError as error:
        raise unwritable(cache_dir, error, "name another cache folder", "the packed store") from error
