"""``coarseparts.train``: one method with one seed on a dataset file, from Python."""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from rich.console import Console

from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.experiments.compare import compare
from coarseparts.experiments.data import from_file
from coarseparts.inference.model import Model, load
from coarseparts.labels import STYLES
from coarseparts.report.results import Result
from coarseparts.system import device as devices
from coarseparts.system.errors import CoarsepartsError, Failed, WrongArgument
from coarseparts.system.files import path_of
from coarseparts.system.locks import silent
from coarseparts.system.text import nearest, short
from coarseparts.training import settings as presets
from coarseparts.training.methods import METHODS
from coarseparts.training.networks import resolve


@dataclass(frozen=True)
class Run:
    """A training that came to its end: its folder, and ``results`` (the method's own last; before it, of EM, its
    posterior's)."""

    folder: Path
    results: list[Result]

    @property
    def result(self) -> Result:
        """The method's own: ``part_miou`` and ``miou`` in percent on the validation images, ``ci95_low`` and
        ``ci95_high`` of the first, ``seconds`` of training."""
        return self.results[-1]

    @property
    def report(self) -> Path:
        """The page with tables, curves and pictures."""
        return self.folder / "report.html"

    def model(self, device: str = "auto") -> Model:
        """The trained model, read from the folder; ``device`` as of ``load``."""
        return load(self.folder, device)


def train(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    method: str = "em",
    *,
    preset: str = "default",
    effort: str = "standard",
    minutes: float | None = None,
    labels: Sequence[str] | None = None,
    parts_limit: int | None = None,
    seed: int = 0,
    device: str = "auto",
    skip_bad: bool = False,
    progress: Callable[[str], None] | None = None,
    **settings: Any,
) -> Run:
    """Trains on a dataset file and measures on its validation split; what ``coarseparts train`` does.

    ``effort``: how long, "quick", "standard" or "best"; or ``minutes``, at most, planned from measured steps.
    ``out``: the run folder; the same call again goes on where it was stopped. ``labels``: the coarse label styles to
    use, by default all that there are; ``parts_limit``: only the first so many part masks, at least 1. ``device`` as of
    ``load``.
    ``skip_bad``: images that cannot be used are left out; otherwise they raise. ``progress`` gets a line of text after
    each of several epochs and for whatever else is noteworthy. ``settings``: any of `coarseparts settings`; those with
    a dot as ``**{"em.alpha": 0.2}``. torch's random state is afterwards as it was before.

    Raises WrongArgument; BadInput naming everything that is wrong with the data; RunError where the folder is another
    run's, Failed where the training diverges or the disk is full.

        run = coarseparts.train("ants.yaml", out="runs/ants", weights="imagenet", em_epochs=20)
        print(run.result.part_miou)
    """
    choices = (("method", method, METHODS), ("preset", preset, presets.PRESETS), ("effort", effort, presets.EFFORTS))
    for argument, value, known in choices:
        if value not in tuple(known):
            raise WrongArgument(f"{argument}: is {short(value)}; {nearest(str(value), known)}")
    if isinstance(labels, str) or not isinstance(() if labels is None else labels, Sequence):
        raise WrongArgument(f"labels: is {short(labels)}, expected a list of label styles")
    if labels is not None and not len(labels):
        raise WrongArgument("labels: names none; leave it out for all that there are, or take method fine-tuning")
    for name in labels or ():
        if name not in tuple(STYLES):
            raise WrongArgument(f"labels: {short(name)} is no label style; {nearest(str(name), STYLES)}")
    seed = _whole("seed", seed, 0)
    if parts_limit is not None:
        parts_limit = _whole("parts_limit", parts_limit, 1)
    if minutes is not None and not (isinstance(minutes, Real) and 0 < minutes < math.inf):
        raise WrongArgument(f"minutes: is {short(minutes)}, expected a number above 0")
    if progress is not None and not callable(progress):
        raise WrongArgument(f"progress: is {short(progress)}, expected a function that takes a line of text")
    file, folder, where = path_of("data", data), path_of("out", out), devices.resolve(device)
    tell = progress or silent
    with _arguments_told(), _random_state_kept(where):
        chosen = resolve(presets.settings(preset, settings, effort), where)
        dataset = load_dataset_file(file)
        done = compare(
            partial(from_file, dataset, file, folder / "store", skip_bad=skip_bad, tell=tell),
            chosen,
            [method],
            [seed],
            folder,
            title=file.stem,
            device=where,
            labels="+".join(labels) if labels else "all",
            parts=parts_limit,
            minutes=None if minutes is None else float(minutes),
            tell=tell,
            console=None if progress is None else Console(file=_Lines(progress), width=200, highlight=False),
            preset=preset,
        )
    if done.failed:
        raise Failed("\n".join([f"{folder}: the training did not come to an end", *done.failed]))
    return Run(folder, done.results)


def _whole(argument: str, value: Any, least: int) -> int:
    """The number as Python's own, which a run folder can write down."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= int(value) < 2**31:
        raise WrongArgument(f"{argument}: is {short(value)}, expected a whole number from {least} to {2**31 - 1}")
    return int(value)


class _Lines(io.StringIO):
    """A stream that hands each line on."""

    def __init__(self, to: Callable[[str], None]) -> None:
        super().__init__()
        self._to, self._begun = to, ""

    def write(self, text: str) -> int:
        *whole, self._begun = (self._begun + text).split("\n")
        for line in whole:
            self._to(line.rstrip())
        return len(text)


@contextmanager
def _arguments_told() -> Iterator[None]:
    """What settings or data do not allow, as a WrongArgument with the text that the command line prints, but for the
    dashes of its options."""
    try:
        yield
    except CoarsepartsError:
        raise
    except ValidationError as error:
        told = error.errors(include_url=False)
        keys = (".".join(str(part) for part in each["loc"]) for each in told)
        lines = [f"{key}: is {short(each['input'])}; {each['msg']}" for key, each in zip(keys, told, strict=True)]
        raise WrongArgument("\n".join(lines)) from error
    except ValueError as error:
        raise WrongArgument(re.sub(r"^--(set )?", "", str(error))) from error


@contextmanager
def _random_state_kept(device: str) -> Iterator[None]:
    """Inside, torch's random numbers may be drawn and seeded, on the CPU and on ``device``."""
    with torch.random.fork_rng([torch.device(device).index or 0] if device.startswith("cuda") else []):
        yield
