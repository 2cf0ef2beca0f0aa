"""``coarseparts benchmark``: methods x beginnings x labels x part masks x seeds, a resumable table (Tables 2 and 3).

A cell is one method under one set of conditions with one seed. Its result is kept as soon as it is known, so a
benchmark that was stopped goes on with the next cell, and several processes share the work under torchrun. Cells of
the same conditions share a run folder and with it the stages that methods have in common.
"""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.text import Text

from coarseparts.data.accounts import in_training
from coarseparts.data.build import build_store
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.problems import Problem
from coarseparts.data.roles import Rows, split_rows
from coarseparts.data.store import Store
from coarseparts.experiments import demo
from coarseparts.labels import STYLES
from coarseparts.report import comparison
from coarseparts.report.comparison import HEADER, Result
from coarseparts.report.published import Table as Published
from coarseparts.report.tables import duration, write_text
from coarseparts.system import limits
from coarseparts.system.documents import load_json
from coarseparts.system.errors import DamagedRun
from coarseparts.system.locks import Tell, silent
from coarseparts.training import methods
from coarseparts.training.claims import claimed, in_turn, write
from coarseparts.training.experiment import Experiment
from coarseparts.training.run_folder import PeakMemory, machine
from coarseparts.training.settings import Settings
from coarseparts.updates import TrainingDiverged

if TYPE_CHECKING:  # matplotlib takes a second to import and is not needed before there is a report
    from coarseparts.report.pages import Gallery

STARTS = {
    "random": {"weights": "random", "start": "weights"},
    "keypoints": {"weights": "random", "start": "keypoints"},
    "weights": {"start": "weights"},
    "weights+keypoints": {"start": "keypoints"},
}
"""Where encoders begin (Table 2's rows), and the settings that say so; "weights" are those of --weights."""


@dataclass(frozen=True)
class Conditions:
    """``parts``: number of part masks; ``labels``: coarse styles, joined by "+", or "all"; ``start``: of STARTS."""

    parts: int
    labels: str
    start: str
    seed: int

    @property
    def folder(self) -> str:
        return f"{self.parts}-{self.labels}-{self.start}/seed{self.seed}"


@dataclass(frozen=True)
class Cell:
    """One method under some conditions. ``preset``: its own, where cells differ in it (``presets.published``)."""

    conditions: Conditions
    method: str
    preset: str = ""

    @property
    def folder(self) -> str:
        return f"{self.conditions.folder}/{self.preset}" if self.preset else self.conditions.folder


Open = Callable[[Cell, Path], Experiment]
"""A cell and a run folder -> the experiment; called once for all cells that differ in nothing but the method, and only
where one is still to be done."""

SHOWN = 12
"""Measured images whose predictions are kept for the report."""

Progress = Callable[[int, int], None] | None


@dataclass
class Data:
    """A benchmark's data: ``parts``, the customary number of part masks, ``most``, how many there are, and what builds
    an experiment (``build`` with conditions, folder, settings, device, console)."""

    parts: int
    most: int
    build: Callable[[Conditions, Path, Settings, str, Console], Experiment]
    rows: Rows
    styles: list[str]
    overlapping: bool = False
    key: str = ""  # of the store, where it was built from files

    def experiment(
        self, conditions: Conditions, folder: Path, settings: Settings, device: str, console: Console
    ) -> Experiment:
        """The experiment of a cell's conditions. Raises ValueError for labels that the data have not."""
        wanted = [] if conditions.labels == "all" else conditions.labels.split("+")
        lacking = [style for style in wanted if style not in self.styles]
        if lacking:
            raise ValueError(f"--labels {conditions.labels}: no training image has {', '.join(lacking)}")
        return self.build(conditions, folder, settings, device, console)

    def check(self, limits: Sequence[int]) -> None:
        """Raises ValueError where more part masks are asked for than there are."""
        for n in limits:
            if n > self.most:
                raise ValueError(f"--parts {n}: there are {self.most} images with part masks to train on")

    def fitting(self) -> list[str]:
        """The names of all methods that these data allow."""

        def fits(asks: Sequence[str]) -> bool:
            return not any(methods.lack(self.rows, self.styles, ask, self.overlapping) for ask in asks)

        return [name for name, method in methods.METHODS.items() if fits(method.asks)]


def synthetic_birds(cache: Path, split: str = "test") -> Data:
    """The built-in birds of ``demo``, others for every seed: epochs chosen on 80 of them, measured on 200 others."""
    return _synthetic("synthetic-birds", demo.PART, demo.store, cache, split)


def synthetic_aircraft(cache: Path, split: str = "test") -> Data:
    """The built-in aircraft of ``demo``, whose parts overlap and whose coarse label is the mask; likewise (Table 4)."""
    return _synthetic("synthetic-aircraft", demo.AIRCRAFT_PART, demo.aircraft_store, cache, split)


def _synthetic(name: str, parts: int, draw: Callable[[Path, int], Store], cache: Path, split: str) -> Data:
    def store(seed: int) -> Store:
        with in_turn(cache):
            return draw(cache / f"seed{seed}", seed)

    def build(c: Conditions, own: Path, settings: Settings, device: str, console: Console) -> Experiment:
        return Experiment(
            store(c.seed),
            settings,
            own,
            c.seed,
            device,
            _styles(c),
            c.parts,
            measure=split,
            config={"data": name},
            console=console,
        )

    drawn = store(0)
    rows = split_rows(drawn, parts)
    train = np.concatenate([rows.part, rows.coarse])
    styles = [s for s in STYLES if drawn.present[s][train].any()]
    return Data(parts, len(train) - 1, build, rows, styles, drawn.schema.overlapping)


def dataset_file(
    file: Path, cache: Path, progress: Progress, skip_bad: bool, split: str = "val", tell: Tell = silent
) -> tuple[Data, list[Problem]]:
    """A data set of one's own, measured on its validation images or on ``split``, and what is wrong with it.

    With fewer part masks than there are, the rest of the part-labelled images is not used at all.
    """
    dataset = load_dataset_file(file)
    store, problems = build_store(dataset, cache, skip_bad, progress, for_training=True, tell=tell)
    rows = split_rows(store)
    train = np.concatenate([rows.part, rows.coarse])
    styles = [s for s in STYLES if store.present[s][train].any()]

    def build(c: Conditions, own: Path, settings: Settings, device: str, console: Console) -> Experiment:
        return Experiment(
            store,
            settings,
            own,
            c.seed,
            device,
            _styles(c),
            c.parts,
            dataset.crop.model_dump(),
            measure=split,
            config={"data": os.path.realpath(file)},
            keypoint_parts=dataset.keypoint_parts,
            console=console,
            drop_rest=True,
        )

    return Data(len(rows.part), len(rows.part), build, rows, styles, store.schema.overlapping, store.key), problems


WORLDS = {"synthetic-birds": synthetic_birds, "synthetic-aircraft": synthetic_aircraft}
"""The built-in data by the name that the command line takes."""


def _styles(c: Conditions) -> list[str] | None:
    return None if c.labels == "all" else c.labels.split("+")


def plan(
    names: Sequence[str],
    parts: Sequence[int],
    labels: Sequence[str],
    starts: Sequence[str],
    seeds: Sequence[int],
    preset: Callable[[str, str], str] = lambda method, start: "",
) -> list[Cell]:
    """All cells, seed by seed. A method that looks at no coarse label is done under the first ``labels`` only.

    ``preset`` (method, start) gives each cell's own.
    """
    return [
        Cell(Conditions(n, style, start, seed), name, preset(name, start))
        for seed in seeds
        for n in parts
        for start in starts
        for style in labels
        for name in names
        if style == labels[0] or methods.METHODS[name].labels
    ]


def run(
    cells: Sequence[Cell],
    folder: Path,
    open_experiment: Open,
    console: Console,
    failed: list[str] | None = None,
    tell: Tell = silent,
) -> list[Result]:
    """Does what is left of ``cells``, and returns all their results. Under torchrun this process does its share.

    A cell whose training diverges is left out and told in ``failed``, and the others go on; without that list
    TrainingDiverged is raised. Raises ValueError, before anything is trained, where the data do not allow a method, and
    DamagedRun naming the file where a kept result is damaged.
    """
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.folder, []).append(cell)
    for place, together in list(groups.items())[rank::world]:
        own = folder / place
        left = [cell for cell in together if not os.path.lexists(_file(own, cell.method))]
        if not left:
            continue
        with claimed(own, tell):
            experiment = open_experiment(left[0], own)
            methods.check(experiment, [cell.method for cell in left])
            console.print(Text(in_training(experiment.rows, experiment.styles)), soft_wrap=True)
            for cell in left:
                console.print(Text.assemble((cell.method, "bold"), f" ({_words(cell.conditions)})"))
                try:
                    with PeakMemory(experiment.device) as peak:
                        row = methods.train(experiment, cell.method)[-1]
                except TrainingDiverged as error:
                    if failed is None:
                        raise
                    failed.append(f"{cell.method} ({_words(cell.conditions)}): {error}")
                    experiment = open_experiment(cell, own)  # with networks of its own again
                    continue
                _keep(own, _result(cell.conditions, cell.method, row, peak.mib), experiment.pictures(SHOWN))
    return collect(cells, folder)


def collect(cells: Sequence[Cell], folder: Path) -> list[Result]:
    """The results that are there, in the cells' order; those without coarse labels again under every other labels."""
    found = []
    styles = list(dict.fromkeys(cell.conditions.labels for cell in cells))
    for cell in cells:
        own = folder / cell.folder
        if os.path.lexists(_file(own, cell.method)):
            result = _read(own, cell.method)
            found.append(result)
            if not methods.METHODS[cell.method].labels:
                found += [_under(result, style) for style in styles if style != result.labels]
    return sorted(found, key=lambda r: (r.parts, styles.index(r.labels)))


def write_results(
    folder: Path,
    results: Sequence[Result],
    name: str,
    facts: dict[str, str],
    published: Published | None = None,
    pictures: Sequence[Gallery] = (),
) -> None:
    """``results.csv``, ``margins.csv``, ``by_part.csv``, ``table.md`` and ``report.html`` in ``folder``.

    ``published`` adds a column to the tables, ``pictures`` (``galleries``) go into the report.
    """
    from coarseparts.report.pages import write_benchmark_report

    comparison.write_csv(folder / "results.csv", results)
    comparison.write_margins(folder / "margins.csv", comparison.margins(results))
    comparison.write_parts(folder / "by_part.csv", comparison.by_part(results))
    write_text(folder / "table.md", comparison.to_markdown(results, name, published=published))
    write_benchmark_report(folder / "report.html", name, results, {"machine": machine(), **facts}, published, pictures)


def estimate(
    cells: Sequence[Cell], folder: Path, probe: Callable[[Cell], float] | None = None
) -> list[tuple[Cell, str, float]]:
    """(cell, "done" or "open", seconds) of each; open ones take as long as that method took elsewhere.

    A method of which no cell is done takes its usual share (``Method.cost``) of EM's time, which follows from the cells
    that are done, or else from ``probe``: a cell -> seconds of EM. Without either, seconds are nan.
    """
    done = {cell: _read(folder / cell.folder, cell.method).seconds for cell in cells if _there(folder, cell)}
    em = [seconds / methods.METHODS[cell.method].cost for cell, seconds in done.items()]
    if not em and probe is not None and cells:
        em = [probe(cells[0])]
    rows = []
    for cell in cells:
        alike = [s for c, s in done.items() if c.method == cell.method]
        usual = float(np.mean(em)) * methods.METHODS[cell.method].cost if em else math.nan
        rows.append(
            (cell, "done" if cell in done else "open", done.get(cell, float(np.mean(alike)) if alike else usual))
        )
    return rows


def print_plan(rows: Sequence[tuple[Cell, str, float]], console: Console) -> None:
    """The cells with their state, and the time that is left where it can be told."""
    for cell, state, seconds in rows:
        time = "" if seconds != seconds else f", {duration(seconds)}"
        console.print(f"{state:5s} {cell.method:16s} {_words(cell.conditions)}{time}", highlight=False)
    left = [seconds for _, state, seconds in rows if state == "open"]
    known = [s for s in left if s == s]
    time = f"about {duration(sum(known))} on a machine with nothing else to do" if known else "nothing"
    console.print(f"{len(rows)} cells, {len(left)} to do: {time}", highlight=False)


def _words(c: Conditions) -> str:
    return f"{comparison.title((c.parts, c.labels, c.start))}, seed {c.seed}"


def _there(folder: Path, cell: Cell) -> bool:
    return os.path.lexists(_file(folder / cell.folder, cell.method))


def _file(own: Path, method: str) -> Path:
    return own / "results" / f"{method}.json"


def _result(c: Conditions, method: str, row: dict[str, Any], peak: float) -> Result:
    measures = {k: row[k] for k in ("part_miou", "miou", "ci95_low", "ci95_high", "seconds", "counts")}
    return Result(
        parts=c.parts,
        labels=c.labels,
        start=c.start,
        role=methods.METHODS[method].role,
        method=method,
        seed=c.seed,
        peak_mib=peak,
        **measures,
    )


def _under(result: Result, labels: str) -> Result:
    return Result(**{**{n: getattr(result, n) for n in (*HEADER, "counts", "names")}, "labels": labels})


def _keep(own: Path, result: Result, pictures: dict[str, np.ndarray]) -> None:
    """Counts and pictures first: where the JSON file is, all is."""
    counts = result.counts
    assert counts is not None
    file = _file(own, result.method)
    arrays = {"counts": counts, **pictures}
    write(file.with_suffix(".npz"), lambda out: np.savez_compressed(out, **arrays))  # type: ignore[arg-type]
    write(file, json.dumps(comparison.plain(result), indent=1))


def galleries(cells: Sequence[Cell], folder: Path) -> list[Gallery]:
    """What the methods made of the same images, under each set of conditions, of the first seed that is done (Fig. 8,
    9); the images that the first method does worst on come first and are marked as failures."""
    from coarseparts.report.pages import Gallery

    found: dict[tuple[int, str, str], tuple[int, dict[str, dict[str, np.ndarray]]]] = {}
    for cell in cells:
        c = cell.conditions
        seed, methods_ = found.setdefault((c.parts, c.labels, c.start), (c.seed, {}))
        if seed == c.seed and _there(folder, cell):
            arrays = _arrays(_file(folder / cell.folder, cell.method).with_suffix(".npz"))
            if "shown" in arrays:  # not in those of earlier versions
                methods_[cell.method] = arrays
    return [
        Gallery(comparison.title(conditions), {m: a["shown"] for m, a in methods_.items()}, **_common(methods_))
        for conditions, (_, methods_) in found.items()
        if methods_
    ]


_PICTURES = {"images": 4, "truth": 3, "shown": 3, "names": 1}
"""Arrays with the pictures of a cell, and how many dimensions they have; the first one counts images."""


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
        if limits.is_machines(error):
            raise
        raise DamagedRun(f"{file}: cannot be read ({error}); delete it, and the cell is done again") from error


def _common(methods_: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    arrays = next(iter(methods_.values()))
    texts = {name: tuple(str(text) for text in arrays[name]) for name in ("names", "parts")}
    return {"images": arrays["images"], "truth": arrays["truth"], "overlapping": bool(arrays["overlapping"]), **texts}


def _read(own: Path, method: str) -> Result:
    file = _file(own, method)
    arrays = _arrays(file.with_suffix(".npz"))
    try:
        found = load_json(file)
        names = tuple(map(str, arrays["parts"])) if "parts" in arrays else ()  # not in those of earlier versions
        values = {name: found[name] for name in HEADER}
        whole = all(type(values[name]) is int for name in ("parts", "seed"))
        numbers = [values[n] for n in ("part_miou", "miou", "ci95_low", "ci95_high", "seconds", "peak_mib")]
        if not whole or not all(isinstance(v, int | float) for v in numbers) or values["method"] != method:
            raise ValueError(f"it is no result of {method}")
        if arrays["counts"].shape[1] != len(names) + 1 and names:
            raise ValueError(f"it has {len(names)} part names for {arrays['counts'].shape[1] - 1} parts")
        return Result(**values, counts=arrays["counts"], names=names)
    except Exception as error:
        if limits.is_machines(error):
            raise
        raise DamagedRun(f"{file}: cannot be read ({error}); delete it, and the cell is done again") from error
