"""How long a training takes, from measured steps; and how many epochs so many minutes allow (``--minutes``)."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from coarseparts import em
from coarseparts.initialise import part_model_loss
from coarseparts.system import parallel
from coarseparts.system.documents import load_json
from coarseparts.system.errors import DamagedRun, Failed
from coarseparts.system.locks import Tell, silent
from coarseparts.system.text import short
from coarseparts.training import teaching
from coarseparts.training.claims import write
from coarseparts.training.measure import measured
from coarseparts.training.networks import optimizer_of
from coarseparts.training.settings import EFFORTS, EPOCHS, Settings, epochs, shares
from coarseparts.training.stages import untrained
from coarseparts.training.task import Task
from coarseparts.updates import update

MOST = 10.0
"""Times the epochs of the settings: more gain nothing (docs/results.md)."""

RESERVE = 0.15
"""Share of the minutes that is left to reading, the last measures and the report, and to steps that take longer."""

STAGES = 4
"""Epochs of EM, at least, that a short training has: the best of them is kept, and the report shows them."""


REDUCED = (0.75, 0.5)
"""The zooms that a plan comes down to, where few minutes allow few steps."""


Plan = dict[str, int | float]
"""Settings by key: every stage's epochs, "em_epoch_steps" and, where it is not the task's, "zoom"."""


class Pace(NamedTuple):
    """Seconds on this machine: a step of the part model alone, a step of EM (nan without coarse images), and to measure
    the validation images once."""

    supervised: float
    em: float
    measured: float

    @classmethod
    def of(cls, task: Task, steps: int = 2) -> Pace:
        """The mean of ``steps`` steps of networks that no run keeps; the first step of each kind warms up."""
        s, joint = task.settings, untrained(task)
        o = s.em.where(labels_differ=task.subsets is not None)
        learned = any(style.learned for style in joint.styles.values())
        part_model, posterior = (optimizer_of(s, [(m, 1e-6)]) for m in (joint.part_model, joint.posterior))
        styles = optimizer_of(s, [(joint.theta_k, 1e-6)], False) if learned else None
        optimizers = em.Optimizers(part_model, posterior, styles)
        loss, generator = part_model_loss(joint.part_model, joint.y, s.em.dice), torch.Generator()

        def seconds(work: Callable[[Any], object], data: Any) -> float:
            took = []
            for _, item in zip(range(steps + 1), data, strict=False):
                begin = time.perf_counter()
                work(item)
                if task.device != "cpu":
                    torch.cuda.synchronize()
                took.append(time.perf_counter() - begin)
            return sum(took[1:]) / max(1, len(took) - 1)

        for module in joint.trained:
            module.train()
        supervised = seconds(
            lambda batch: update(part_model, loss(batch, generator), s.em.clip), task.part_feed.epoch(0, steps + 1)
        )
        of_em = math.nan
        if len(task.rows.coarse):
            of_em = seconds(lambda pair: em.em_step(joint, optimizers, pair[1], pair[0], o), task.pairs(0))
        validation = seconds(lambda feed: measured(joint, task.schema, "part", feed, False), [task.val_feed] * 2)
        means = parallel.means({"supervised": supervised, "em": of_em, "measured": validation})
        return cls(**means)


def seconds_of_em(task: Task, pace: Pace | None = None, settings: Settings | None = None) -> float:
    """About how many seconds EM and the stages before it take with ``settings``, by default the task's; nan without
    coarse images. No other method takes more optimizer steps of the part model."""
    if not len(task.rows.coarse):
        return math.nan
    pace, s = pace or Pace.of(task), settings or task.settings
    # The posterior is a little larger than the part model, and a label model's step infers before it learns.
    before = s.part_epochs * (task.part_steps * pace.supervised + pace.measured)
    before += 1.1 * s.posterior_epochs * (task.part_steps * pace.supervised + pace.measured)
    before += s.label_epochs * (s.label_steps * 0.5 * pace.supervised + pace.measured)
    steps = max(len(task.coarse_feed), s.em_epoch_steps)
    asked = teaching.passes(task) if s.em.teach != "all" else 0.0
    return before + s.em_epochs * (steps * pace.em + (3 + asked) * pace.measured)


def planned(task: Task, minutes: float, pace: Callable[[Task], Pace] = Pace.of) -> Plan:
    """The settings that make EM with the stages before it last ``minutes`` at most, by key: every stage's epochs scaled
    as ``shares`` says, up to MOST times. Where that leaves few epochs of EM, they have fewer steps instead, but see
    each coarse image; where it leaves less than ``--effort quick`` has, the networks see images reduced. Raises Failed
    where not even that is short enough."""
    if not len(task.rows.coarse):
        raise Failed(
            "--minutes: plans the steps of EM, and all training images have part masks; use some of these alone, "
            "--parts-limit N, or take --effort"
        )
    zooms, begun, least = _zooms(task.settings, task.size), time.perf_counter(), math.inf
    for zoom in zooms:
        shown = replace(task, settings=task.settings.model_copy(update={"zoom": zoom}))
        found = pace(shown)  # takes its time, too
        wanted = 60 * minutes * (1 - RESERVE) - parallel.means({"taken": time.perf_counter() - begun})["taken"]
        factor, least = _fitting(shown, wanted, found)
        if factor >= EFFORTS["quick"].factor or (zoom == zooms[-1] and factor >= 0):
            return _scaled(shown, factor) | ({"zoom": zoom} if zoom != task.settings.zoom else {})
    raise Failed(
        f"--minutes {minutes:g}: one epoch of every stage alone takes about {least / 60 / (1 - RESERVE):.1f} "
        "minutes on this machine; take more minutes, fewer images or a smaller size"
    )


def _zooms(s: Settings, size: int) -> list[float]:
    """Those that a plan may take, the settings' first, which is the only one where it is not the usual 1."""
    smaller = [s.model_copy(update={"zoom": zoom}).shown(size).zoom for zoom in REDUCED] if s.zoom == 1 else []
    return list(dict.fromkeys([s.zoom, *smaller]))


def _scaled(task: Task, factor: float) -> Plan:
    s = task.settings
    passes = epochs(s, factor)
    each = max(len(task.coarse_feed), s.em_epoch_steps)
    steps = shares(s, factor)[1] * s.em_epochs * each
    count = max(1, min(max(passes["em_epochs"], STAGES), round(steps / len(task.coarse_feed))))
    return {**passes, "em_epochs": count, "em_epoch_steps": max(1, min(each, round(steps / count)))}


def _fitting(task: Task, wanted: float, pace: Pace) -> tuple[float, float]:
    """The largest factor with which EM takes ``wanted`` seconds at most, -1 for none; and the seconds of the least."""

    def seconds(factor: float) -> float:
        return seconds_of_em(task, pace, task.settings.model_copy(update=_scaled(task, factor)))

    low, high = 0.0, MOST
    if (least := seconds(low)) > wanted:
        return -1, least
    if seconds(high) <= wanted:
        return high, least
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if seconds(middle) <= wanted else (low, middle)
    return low, least


def within(minutes: float, folder: Path, task: Task, tell: Tell = silent) -> Plan:
    """The settings ``planned`` for a task when what is in ``folder`` began, which goes on with the epochs that it began
    with: they are kept there. Raises DamagedRun, and Failed as ``planned`` does."""
    file = folder / "plan.json"
    changes = _kept(file, minutes)
    if changes is None:
        changes = planned(task, minutes)
        write(file, json.dumps({"minutes": minutes, "settings": changes}, indent=1))
    tell(f"planned for {minutes:g} minutes: " + ", ".join(f"{key} {value:g}" for key, value in changes.items()))
    return changes


def _kept(file: Path, minutes: float) -> Plan | None:
    if not file.is_file():
        return None
    try:
        found = load_json(file)
        settings: Plan = dict(found["settings"])
        if strangers := settings.keys() - {*EPOCHS, "em_epoch_steps", "zoom"}:
            raise ValueError(f"{short(min(strangers))} is nothing that is planned")
        Settings.model_validate(settings)
        return settings if found["minutes"] == minutes else None
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedRun(
            f"{file}: cannot be read ({short(str(error))}); delete it, and the training is planned anew"
        ) from error
