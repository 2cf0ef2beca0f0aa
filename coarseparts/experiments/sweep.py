"""``coarseparts sweep``: settings tried on validation images, over a grid or at random (Appendix C), resumable.

A trial is a run in a folder named by its settings, so a trial that was stopped goes on where it was. The study is a
journal of Optuna's beside them. Only validation images are looked at; the test split stays unseen.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from coarseparts.report.csv_files import write_csv, write_text
from coarseparts.system import limits
from coarseparts.system.documents import DocumentError, dump_yaml, parse_yaml
from coarseparts.system.errors import DamagedRun, Failed, RunError
from coarseparts.system.text import reason, short
from coarseparts.training.claims import read_config, same_as_before
from coarseparts.updates import TrainingDiverged

try:
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
    from optuna.storages.journal import JournalFileBackend, JournalStorage
    from optuna.trial import FrozenTrial, TrialState
except ImportError:
    raise Failed("optuna is not installed, which keeps the trials; run: pip install 'coarseparts[sweep]'") from None

Sampler = Literal["grid", "random", "tpe"]
SAMPLERS: tuple[Sampler, ...] = ("grid", "random", "tpe")

Measure = Callable[[dict[str, Any], Path], float]
"""Settings by dotted key, and a run folder -> part mIoU on the validation images, percent."""


@dataclass(frozen=True)
class Axis:
    """One setting and what is tried of it; ``values`` of a list, else a range that has no grid."""

    key: str
    distribution: BaseDistribution
    values: tuple[Any, ...] = ()

    @property
    def example(self) -> Any:
        """One value that may be tried."""
        return self.values[0] if self.values else getattr(self.distribution, "low", None)


def axis(text: str) -> Axis:
    """ "key=a,b,c" is a list; "key=low:high" a range, "key=low:high:log" one on a logarithmic scale.

    A range of whole numbers gives whole numbers. Raises ValueError saying what was expected.
    """
    key, equals, value = text.partition("=")
    wrong = ValueError(f"--over {text}: expected KEY=A,B,... or KEY=LOW:HIGH[:log], e.g. em.alpha=0.01:1:log")
    if not equals or not key.strip() or not value.strip():
        raise wrong
    if ":" not in value:
        try:
            values = tuple(parse_yaml(word) for word in value.split(","))
        except DocumentError as error:
            raise wrong from error
        if len(set(map(str, values))) < len(values):
            raise wrong
        return Axis(key.strip(), CategoricalDistribution(values), values)
    try:
        low, high, *scale = value.split(":")
        if scale not in ([], ["log"]):
            raise wrong
        if not all(math.isfinite(float(bound)) for bound in (low, high)) or float(low) >= float(high):
            raise wrong
        whole = all(bound.strip().lstrip("-").isdigit() for bound in (low, high))
        if whole:
            return Axis(key.strip(), IntDistribution(int(low), int(high), log=bool(scale)))
        return Axis(key.strip(), FloatDistribution(float(low), float(high), log=bool(scale)))
    except ValueError as error:
        raise wrong from error


def refuse_grid(sampler: str, axes: Sequence[Axis]) -> None:
    """Raises ValueError for a grid over a range."""
    if sampler == "grid" and not all(a.values for a in axes):
        raise ValueError("a grid needs lists: write --over KEY=A,B,..., or take --sampler random")


def run(
    axes: Sequence[Axis],
    sampler: Sampler,
    trials: int,
    folder: Path,
    measure: Measure,
    seed: int,
    facts: Mapping[str, Any] | None = None,
) -> list[FrozenTrial]:
    """Tries settings until ``trials`` of them are done (a grid: until all are), those of earlier calls included.

    Returns the finished trials, best first. A trial that failed (its loss left the finite numbers, say) is kept as a
    failure and not tried again. ``facts``: what else all trials have in common (data, method). Raises RunError when the
    folder belongs to another sweep.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    refuse_grid(sampler, axes)
    journal = folder / "journal.log"
    _claim(folder, {"sampler": sampler, "over": {a.key: str(a.distribution) for a in axes}, **(facts or {})})
    _end_at_a_line(journal)
    study = _study(journal, axes)
    for stale in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):  # of a process that was stopped
        waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if not any(_fixed(trial) == stale.params for trial in waiting):
            study.enqueue_trial(stale.params)
        study.tell(stale.number, state=TrialState.FAIL)  # second: killed between the two, it is found once more
    points = math.prod(len(a.values) or math.inf for a in axes)  # a range has no end of them
    total = points if sampler == "grid" else min(trials, points)
    if sampler == "grid":
        for values in product(*(a.values for a in axes)):
            study.enqueue_trial(dict(zip((a.key for a in axes), values, strict=True)), skip_if_exists=True)
    while len(_outcomes(study)) < total:
        study.sampler = _sampler(sampler, seed + 10_007 * _drawn(study))
        trial = study.ask({a.key: a.distribution for a in axes})
        if _name(trial.params) in _outcomes(study):  # a list draws the same point again and again
            study.tell(trial, state=TrialState.PRUNED)
            continue
        place = folder / f"trial-{_name(trial.params)}"
        try:
            value = measure(dict(trial.params), place)
        except TrainingDiverged as error:
            trial.set_user_attr("error", str(error))
            study.tell(trial, state=TrialState.FAIL)
            continue
        study.tell(trial, value)
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(done, key=lambda t: (-float(t.value or 0), _name(t.params)))


class _Ours:
    """Optuna's lock of its journal, which here nobody else writes: the folder is claimed. Optuna's own is a file that
    stays when the process is killed."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _study(journal: Path, axes: Sequence[Axis]) -> optuna.Study:
    """The study in a journal, begun or gone on with. Raises DamagedRun where the journal is no such thing."""
    try:
        study = optuna.create_study(
            study_name="sweep",
            storage=JournalStorage(JournalFileBackend(str(journal), _Ours())),  # type: ignore[arg-type]
            direction="maximize",
            load_if_exists=True,
        )
        for trial in study.get_trials(deepcopy=False):
            strange = set(_fixed(trial) or trial.params) - {a.key for a in axes}
            if strange:
                raise ValueError(f"it tries {short(sorted(strange)[0])}, which is not varied here")
            if trial.state is TrialState.COMPLETE and not math.isfinite(trial.value or 0.0):
                raise ValueError(f"trial {trial.number} has the value {trial.value}")
        return study
    except Exception as error:
        if limits.is_machines(error):
            raise
        remedy = "delete it: trials that came to an end are found in their folders, and not trained again"
        raise DamagedRun(f"{journal}: cannot be read ({reason(error, 200)}); {remedy}") from error


def _fixed(trial: FrozenTrial) -> dict[str, Any]:
    """The settings that a trial which has not begun is going to try."""
    return dict(trial.system_attrs.get("fixed_params", {}))


def _drawn(study: optuna.Study) -> int:
    """How many trials have been drawn: one that was stopped and is tried again counts once, so that a sweep that was
    stopped draws what it would have drawn."""
    return sum(
        trial.state is not TrialState.FAIL or "error" in trial.user_attrs for trial in study.get_trials(deepcopy=False)
    )


def write_results(folder: Path, done: Sequence[FrozenTrial]) -> list[str]:
    """``sweep.csv``, every trial from the best on, and ``best.yaml``; returns the options that choose the best."""
    keys = sorted({key for trial in done for key in trial.params})
    rows = ([round(float(t.value or 0), 4), *(t.params.get(k, "") for k in keys)] for t in done)
    write_csv(folder / "sweep.csv", ("part_miou", *keys), rows)
    best = done[0].params if done else {}
    write_text(folder / "best.yaml", dump_yaml(best))
    return [f"--set {key}={value}" for key, value in best.items()]


def in_words(done: Sequence[FrozenTrial]) -> list[str]:
    """The trials from the best on, a line each."""
    return [f"{t.value:6.2f} %  {', '.join(f'{key} {_short(value)}' for key, value in t.params.items())}" for t in done]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _outcomes(study: optuna.Study) -> set[str]:
    """The settings that have an outcome, good or bad."""
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))
    return {_name(t.params) for t in ended if t.state is TrialState.COMPLETE or "error" in t.user_attrs}


def _name(params: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode()).hexdigest()[:10]


def _sampler(name: Sampler, seed: int) -> optuna.samplers.BaseSampler:
    """Made anew for each trial, so that a sweep that was stopped draws what it would have drawn."""
    return optuna.samplers.TPESampler(seed=seed) if name == "tpe" else optuna.samplers.RandomSampler(seed)


def _end_at_a_line(journal: Path) -> None:
    """Takes away the last line of Optuna's journal where a kill or a full disk has cut it off."""
    if not journal.is_file():
        return
    text = journal.read_bytes()
    whole = text.rfind(b"\n") + 1
    if whole < len(text):
        os.truncate(journal, whole)


def _claim(folder: Path, content: dict[str, Any]) -> None:
    """Writes down what is swept, or compares with what is there."""
    file = folder / "sweep.yaml"
    others = (p.name for p in folder.iterdir()) if folder.is_dir() else ()
    if not file.is_file() and any(name != "data" and not name.startswith(".") for name in others):
        raise RunError(f"{folder}: is not empty and holds no sweep; take another --out")
    folder.mkdir(parents=True, exist_ok=True)
    there, now = read_config(file).get("over") if file.is_file() else None, content["over"]
    if isinstance(there, dict) and there != now:
        was, new = (", ".join(sorted(map(str, over))) for over in (there, now))
        told = f"over other values of {new}" if was == new else f"over {was} there, {new} now"
        raise RunError(f"{folder}: holds a sweep with other settings ({told}), as {file.name} says; take another --out")
    same_as_before(file, content, "sweep")
