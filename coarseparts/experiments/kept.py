"""What a benchmark keeps of a cell: its result as JSON, its counts and pictures beside it; read back with suspicion."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coarseparts.experiments.cells import Cell, Done
from coarseparts.labels.part_maps import maps_of
from coarseparts.report.pictures import Gallery, Legend
from coarseparts.report.results import COLUMNS, Result, title
from coarseparts.system import limits
from coarseparts.system.documents import load_json
from coarseparts.system.errors import DamagedRun
from coarseparts.training.claims import write

SHOWN = 12
"""Measured images whose predictions are kept for the report."""

_PICTURES = {"images": 4, "truth": 3, "shown": 3, "names": 1}
"""Arrays with the pictures of a cell, and how many dimensions they have; the first one counts images."""


def is_kept(folder: Path, cell: Cell) -> bool:
    """Whether a cell of the benchmark in ``folder`` has been done."""
    return os.path.lexists(_file(folder, cell))


def keep(folder: Path, done: Done) -> None:
    """Writes a cell's result and what its part model says of some evenly chosen measured images; the JSON file last:
    where it is, all is."""
    task, result = done.task, done.results[-1]
    rows = task.measured[np.unique(np.linspace(0, len(task.measured) - 1, SHOWN).astype(int))]
    view = task.store.subset(rows)
    assert result.counts is not None
    arrays = {
        "counts": result.counts,
        "images": np.asarray(view.image),
        "truth": np.asarray(view.parts),
        "shown": done.maps(rows),
        "names": np.array(view.names),
        "parts": np.array(task.schema.parts),
        "overlapping": np.array(task.schema.overlapping),
    }
    file = _file(folder, done.cell)
    write(file.with_suffix(".npz"), lambda out: np.savez_compressed(out, **arrays))  # type: ignore[arg-type]
    write(file, json.dumps({name: getattr(result, name) for name in COLUMNS}, indent=1))


def read(folder: Path, cell: Cell) -> Result:
    """The result of a cell that has been done. Raises DamagedRun naming the file."""
    file = _file(folder, cell)
    arrays = _arrays(file.with_suffix(".npz"))
    try:
        found = load_json(file)
        names = tuple(map(str, arrays["parts"])) if "parts" in arrays else ()  # not in those of earlier versions
        values = {name: found[name] for name in COLUMNS}
        whole = all(type(values[name]) is int for name in ("parts", "seed"))
        numbers = [values[n] for n in ("part_miou", "miou", "ci95_low", "ci95_high", "seconds", "peak_mib")]
        if not whole or not all(isinstance(v, int | float) for v in numbers) or values["method"] != cell.method:
            raise ValueError(f"it is no result of {cell.method}")
        c = cell.conditions
        if (values["labels"], values["start"], values["seed"]) != (c.labels, c.start, c.seed):
            raise ValueError("it was measured under other conditions")
        if arrays["counts"].shape[1] != len(names) + 1 and names:
            raise ValueError(f"it has {len(names)} part names for {arrays['counts'].shape[1] - 1} parts")
        return Result(**values, counts=arrays["counts"], names=names)
    except Exception as error:
        raise _damaged(file, error) from error


def galleries(cells: Sequence[Cell], folder: Path) -> list[Gallery]:
    """What the methods made of the same images, under each set of conditions, of the first seed that is done (Fig. 8,
    9); the images that the first method does worst on come first and are marked as the worst cases."""
    found: dict[str, tuple[int, dict[str, dict[str, np.ndarray]]]] = {}
    for cell in cells:
        c = cell.conditions
        if not is_kept(folder, cell) or c.parts is None:
            continue
        seed, by_method = found.setdefault(title((c.parts, c.labels, c.start)), (c.seed, {}))
        if seed == c.seed:
            arrays = _arrays(_file(folder, cell).with_suffix(".npz"))
            if "shown" in arrays:  # not in those of earlier versions
                by_method[cell.method] = arrays
    return [_gallery(name, by_method).ranked(6) for name, (_, by_method) in found.items() if by_method]


def _gallery(name: str, by_method: dict[str, dict[str, np.ndarray]]) -> Gallery:
    first = next(iter(by_method.values()))
    names, parts = (tuple(str(text) for text in first[key]) for key in ("names", "parts"))
    shown = {method: arrays["shown"] for method, arrays in by_method.items()}
    legend = Legend(parts, maps_of(bool(first["overlapping"]), len(parts)))
    return Gallery(name, first["images"], first["truth"], shown, names, legend)


def _file(folder: Path, cell: Cell) -> Path:
    return folder / cell.folder / "results" / f"{cell.method}.json"


def _arrays(file: Path) -> dict[str, np.ndarray]:
    """What is kept of a cell besides its numbers. Raises DamagedRun."""
    try:
        with np.load(io.BytesIO(file.read_bytes())) as found:
            arrays = {name: found[name] for name in found.files}
        counts = arrays["counts"]
        if counts.ndim != 3 or counts.shape[1] != counts.shape[2] or counts.dtype.kind not in "iu" or counts.min() < 0:
            raise ValueError(f"counts are {counts.dtype} {counts.shape}")
        sizes = {(len(arrays[n]), arrays[n].ndim == d) for n, d in _PICTURES.items()} if "shown" in arrays else set()
        if len(sizes) > 1 or (sizes and not next(iter(sizes))[1]):
            raise ValueError("its pictures do not belong together")
        if sizes and not arrays["truth"].shape == arrays["shown"].shape == arrays["images"].shape[:3]:
            raise ValueError("its pictures are of several sizes")
        return arrays
    except Exception as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> Exception:
    if limits.is_machines(error):
        return error
    return DamagedRun(f"{file}: cannot be read ({error}); delete it, and the cell is done again")
