"""Signals at random moments of every command: one line, status 130, nothing half-written, and then the same table."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from fuzzing import run_folder, world
from fuzzing.judge import Finding, Values, check_values, maps, of_files, of_outcome, printed, snapshot, table
from fuzzing.process import Outcome, Real, limit_of

STOPPED = 130
BEFORE = 25.0
"""Seconds within which the demonstration, which lasts minutes, is stopped."""

ARCHIVE = "archive"


def _nothing(place: Path, outcomes: Sequence[Outcome]) -> None:
    return None


VERBS: dict[str, tuple[tuple[str, ...], Values, str]] = {
    "check": (world.CHECK, check_values, ""),
    "train": (world.TRAIN, table("run/results.csv"), ""),
    "predict": (world.PREDICT, maps, "predict"),
    "evaluate": (world.EVALUATE, printed, "evaluate"),
    "benchmark": (world.BENCHMARK, table("run/results.csv"), ""),
    "sweep": (world.SWEEP, table("run/sweep.csv"), ""),
    "prepare": (("prepare", "nabirds", ARCHIVE, "--out", "made"), _nothing, ""),
    "demo": (("demo", "--out", "run"), _nothing, ""),
}
"""A verb's command, what it comes to, and the run that it needs."""

PIPES = [("check", "data/birds.yaml"), ("settings",), ("--help",), ("train", "--help"), ("networks",)]


def findings(
    place: Path, base: Path, number: int, rng: Random, explain: bool
) -> tuple[str, list[tuple[str, ...]], list[Finding]]:
    """Case ``number``: a verb in turn, stopped once or twice; every ninth a reader that has had enough."""
    if number % 9 == 8:
        return _closed_pipe(place, base, rng)
    verb = list(VERBS)[number % 9]
    command, values, _ = VERBS[verb]
    lasts, expected = undisturbed(base, verb)
    prepared(place, base, verb)
    before = snapshot(place)
    signals = [rng.choice([signal.SIGINT, signal.SIGTERM]) for _ in range(rng.choice([1, 1, 2]))]
    moment, pause = rng.uniform(0.05, lasts * 1.05), rng.choice([0.0, rng.uniform(0, 0.5)])
    process = Real(command, place)
    reached, started = _stop(process, signals, moment, pause)
    outcome = process.wait(limit_of(command))
    what = f"{verb}, {' and '.join(s.name for s in signals)} after {moment:.2f} s of {lasts:.1f} s"
    found = of_outcome(outcome, (STOPPED, 0)) if started else []
    lines = outcome.err.split("\n")
    if outcome.status == STOPPED and sum(line.startswith("stopped") for line in lines) != 1:
        found.append(Finding("exit status", f"not one line says that it was stopped: {' | '.join(lines)[-200:]}"))
    if reached and outcome.status not in (0, STOPPED) and started:
        found.append(Finding("exit status", f"{outcome.status} and not {STOPPED}: {' | '.join(lines)[-200:]}"))
    found += [f for f in of_files(place, before) if not _kept_for_later(place, f)]
    if verb != "demo":
        again = Real(command, place).wait(limit_of(command))
        found += of_outcome(again, (0,))
        found += of_files(place, before)
        if not found and values(place, [again]) != expected:
            found.append(Finding("wrong value", "the same command afterwards has another table than undisturbed"))
    if explain:
        print(what, outcome, sep="\n")
    return what, [command], list({(f.kind, f.text): f for f in found}.values())


def _stop(process: Real, signals: Sequence[int], moment: float, pause: float) -> tuple[bool, bool]:
    """Sends them; whether the first reached it, and whether the program had begun to catch signals by then."""
    until, started = time.monotonic() + moment, False
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.02))
        started = started or process.caught()
    reached = process.send(signals[0])
    for number in signals[1:]:
        time.sleep(pause)
        process.send(number)
    return reached, started


def _kept_for_later(place: Path, finding: Finding) -> bool:
    """A store's folder ``.NAME.part`` is what the next call goes on with."""
    return (finding.kind == "half-written" and ".part/" in finding.text) or (place / finding.text).is_dir()


def prepared(place: Path, base: Path, verb: str) -> None:
    if VERBS[verb][2]:
        run_folder.undamaged(place, base, VERBS[verb][2])
    else:
        shutil.copytree(world.dataset(base), place)
    if verb == "prepare":
        _write_archive(place / ARCHIVE)


def undisturbed(base: Path, verb: str) -> tuple[float, object]:
    """Seconds that a verb takes undisturbed, and what it comes to; measured once a process."""
    if verb not in _known:
        command, values, _ = VERBS[verb]
        if verb == "demo":
            _known[verb] = BEFORE, None
        else:
            place = base / f"undisturbed-{verb}-{os.getpid()}"
            prepared(place, base, verb)
            done = Real(command, place).wait(10 * limit_of(command))
            if done.status:
                raise RuntimeError(f"undisturbed, {verb} ends with {done.status}: {done.err[-2000:]}")
            _known[verb] = done.seconds, values(place, [done])
            shutil.rmtree(place)
            shutil.rmtree(place.with_name(f"{place.name}.said"))
    return _known[verb]


_known: dict[str, tuple[float, object]] = {}


def _write_archive(folder: Path) -> None:
    """NABirds in miniature, in its own layout."""
    source = folder.parent / "data" / "many" / "images"
    (folder / "parts").mkdir(parents=True)
    lines: dict[str, list[str]] = {}
    for n, photograph in enumerate(sorted(source.iterdir())):
        identity = f"00000000-0000-0000-0000-{n:012d}"
        path = f"0001/{identity.replace('-', '')}.jpg"
        (folder / "images" / "0001").mkdir(parents=True, exist_ok=True)
        shutil.copy(photograph, folder / "images" / path)
        for file, line in (
            ("images.txt", f"{identity} {path}"),
            ("sizes.txt", f"{identity} {world.SIDE} {world.SIDE}"),
            ("bounding_boxes.txt", f"{identity} 2 2 20 20"),
            ("train_test_split.txt", f"{identity} 1"),
            ("image_class_labels.txt", f"{identity} 1"),
        ):
            lines.setdefault(file, []).append(line)
        for k in range(1, 12):
            lines.setdefault("parts/part_locs.txt", []).append(f"{identity} {k} {k + 3} {k + 4} 1")
    names = "bill crown nape left_eye right_eye belly breast back tail left_wing right_wing".split()
    lines["parts/parts.txt"] = [f"{k} {name.replace('_', ' ')}" for k, name in enumerate(names, 1)]
    lines["classes.txt"] = ["1 Bird"]
    for file, content in lines.items():
        (folder / file).write_text("\n".join(content) + "\n")


def _closed_pipe(place: Path, base: Path, rng: Random) -> tuple[str, list[tuple[str, ...]], list[Finding]]:
    shutil.copytree(world.dataset(base), place)
    command, reader = rng.choice(PIPES), rng.choice(["head -1", "head -c 1", "true", "head -c 0"])
    start = [sys.executable, "-m", "coarseparts", *command]
    script = f'"$@" 2> said | {reader} > /dev/null; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *start], cwd=place, env=world.environment(), capture_output=True, text=True
    )
    said = (place / "said").read_text()
    outcome = Outcome(command, int(done.stdout.strip().split("\n")[-1]), "", said, 0.0)
    found = of_outcome(Outcome(command, 0, "", said, 0.0))
    if outcome.status not in (0, 1, 141, 130) or "roken" in said:
        found.append(Finding("exit status", f"{outcome.status} with a closed pipe: {said.strip()[-200:]}"))
    return f"{' '.join(command)} | {reader}", [command], found
