"""Kills of a sweep and a benchmark at random moments, each followed by the same command: the table is undisturbed."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from random import Random

from fuzzing.judge import Finding, of_files, of_outcome, snapshot
from fuzzing.process import Real, limit_of
from fuzzing.stopped import VERBS, prepared, undisturbed


def findings(
    place: Path, base: Path, number: int, rng: Random, explain: bool
) -> tuple[str, list[tuple[str, ...]], list[Finding]]:
    """Case ``number``: sweep and benchmark in turn, killed once."""
    verb = ("sweep", "benchmark")[number % 2]
    command, values, _ = VERBS[verb]
    lasts, expected = undisturbed(base, verb)
    prepared(place, base, verb)
    before = snapshot(place)
    moment = rng.uniform(0.1, lasts)
    process = Real(command, place)
    time.sleep(moment)
    reached = process.send(signal.SIGKILL)
    process.wait(limit_of(command))
    again = Real(command, place).wait(limit_of(command))
    found = of_outcome(again, (0,)) + of_files(place, before)
    if not found and values(place, [again]) != expected:
        found.append(Finding("wrong value", "the same command afterwards has another table than undisturbed"))
    if explain:
        print(again)
    ended = "" if reached else ", after its end"
    return f"{verb} killed after {moment:.2f} s of {lasts:.1f} s{ended}", [command, command], found
