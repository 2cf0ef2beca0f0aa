"""A campaign: cases by number, workers that share them, a journal that a stopped one goes on from, a table."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

from fuzzing import world
from fuzzing.judge import FINDINGS, Case, Finding, judged, said_and_found, snapshot
from fuzzing.process import Outcome, forks

KINDS = {
    "coco": "coco",
    "exports": "exports",
    "sleap": "sleap",
    "dataset-file": "dataset_file",
    "run-folder": "run_folder",
    "images": "images",
    "json": "edges",
    "terminal": "terminal",
    "signals": "stopped",
    "kills": "killed",
    "sizes": "sizes",
}
"""Each is a file of this folder with ``make(place, base, number, rng) -> Case``; those of whole processes have
``findings(place, base, number, rng, explain) -> (what, commands, findings)`` instead."""

EVERY = 200
"""Cases after which a line says how far it is."""


class Campaign:
    """Cases of one kind in a folder ``out``; ``seed`` and a case's number decide everything about it."""

    def __init__(self, kind: str, seed: int, out: Path) -> None:
        self.kind, self.seed, self.out = kind, seed, out.resolve()
        self.base = self.out / "base"
        self.base.mkdir(parents=True, exist_ok=True)
        self._module = import_module(f"fuzzing.{KINDS[kind]}")
        package = Path(find_spec("coarseparts").origin).parent  # type: ignore[union-attr, arg-type]
        sources = sorted(package.rglob("*.py"))
        self._version = hashlib.md5(b"".join(file.read_bytes() for file in sources)).hexdigest()[:8]

    def one(self, number: int, explain: bool = False) -> tuple[str, list[Finding], float]:
        """What was damaged, what was found and the seconds that it took; failing cases stay under ``failures``."""
        rng = Random(f"{self.seed}/{self.kind}/{number}")
        place = self.out / "work" / f"{self.kind}-{number}"
        for old in (place, place.with_name(f"{place.name}.said")):
            shutil.rmtree(old, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        since = time.monotonic()
        commands: Sequence[Sequence[str]] = []
        if hasattr(self._module, "findings"):
            what, commands, found = self._module.findings(place, self.base, number, rng, explain)
        else:
            case = self._module.make(place, self.base, number, rng)
            what, commands = case.what, case.commands
            found = self._of(case, place, explain)
        seconds = time.monotonic() - since
        self._keep(place, number, what, commands, found)
        return what, found, seconds

    def _of(self, case: Case, place: Path, explain: bool) -> list[Finding]:
        before = snapshot(place)
        outcomes = self._run(case, place)
        if explain:
            for outcome in outcomes:
                _explain(outcome)
        return judged(case, place, before, outcomes, self._twin(case))

    def _run(self, case: Case, place: Path) -> list[Outcome]:
        outcomes = []
        for command in case.commands:
            outcomes.append(forks().run(command, place))
            if outcomes[-1].status:
                break
        return outcomes

    def _twin(self, case: Case) -> Any:
        """What the same commands say and give undamaged, kept for all cases."""
        if case.twin is None:
            return None
        file = self.base / f"twin-{case.twin}-{self._version}.json"
        if not file.exists():
            place = self.out / "work" / f"twin-{case.twin}-{os.getpid()}"
            shutil.rmtree(place, ignore_errors=True)
            make = getattr(self._module, "undamaged", world.undamaged)
            own = replace(case, commands=make(place, self.base, case.twin) or case.commands)
            outcomes = self._run(own, place)
            if any(outcome.status for outcome in outcomes):
                raise RuntimeError(f"the undamaged twin {case.twin} fails: {outcomes[-1].err[-2000:]}")
            part = file.with_name(f"{file.name}.{os.getpid()}")
            part.write_text(json.dumps(said_and_found(own, place, outcomes)))
            part.rename(file)
            shutil.rmtree(place)
        return json.loads(file.read_text())

    def _keep(
        self, place: Path, number: int, what: str, commands: Sequence[Sequence[str]], found: list[Finding]
    ) -> None:
        said = place.with_name(f"{place.name}.said")
        if not found:
            shutil.rmtree(place, ignore_errors=True)
            shutil.rmtree(said, ignore_errors=True)
            return
        kept = self.out / "failures" / f"{self.kind}-{number}"
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        for folder in (place, said):
            if folder.exists():
                shutil.move(folder, kept / ("said" if folder == said else "files"))
        again = f"{shlex.quote(sys.executable)} benchmarks/fuzz.py --kind {self.kind} --seed {self.seed}"
        lines = [f"# {what}", *(f"# {f.kind}: {f.text}" for f in found)]
        lines += [f"{again} --out {shlex.quote(str(self.out))} --case {number}"]
        lines += [f"# cd files && python -m coarseparts {shlex.join(command)}" for command in commands]
        (kept / "command.txt").write_text("\n".join(map(ascii_line, lines)) + "\n", encoding="utf-8")


def ascii_line(text: str) -> str:
    """One line that no terminal obeys."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def _explain(outcome: Outcome) -> None:
    print(f"$ coarseparts {ascii_line(shlex.join(outcome.command))}")
    for line in (outcome.out + outcome.err).split("\n"):
        print(f"  {ascii_line(line)}")
    print(f"  status {outcome.status}, {outcome.seconds:.1f} s")


def run(asked: Sequence[tuple[str, int]], seed: int, out: Path, jobs: int) -> list[dict[str, Any]]:
    """All cases of each kind up to its count, those that the journal has left out; a line each in OUT/cases.jsonl."""
    out.mkdir(parents=True, exist_ok=True)
    known = {(row["kind"], row["number"]) for row in rows(out, seed)}
    wanted = [(kind, number) for kind, count in asked for number in range(count)]
    left = [case for case in wanted if case not in known]
    since, told = time.monotonic(), 0
    children = []
    for job in range(min(max(1, jobs), len(left))):
        sys.stdout.flush()
        if not (child := os.fork()):
            _work(seed, out, left[job::jobs])
        children.append(child)
    while children:
        done, status = os.waitpid(-1, os.WNOHANG)
        if done:
            children.remove(done)
            if status:
                raise SystemExit(f"a worker ended with {os.waitstatus_to_exitcode(status)}; the same command goes on")
        time.sleep(0.2)
        now = [row for row in rows(out, seed) if (row["kind"], row["number"]) not in known]
        if now and (len(now) // EVERY > told or not children):
            told = len(now) // EVERY
            bad = sum(bool(row["findings"]) for row in now)
            spent = time.monotonic() - since
            print(
                f"{now[-1]['kind']}: {len(now)} of {len(left)} cases in {spent:.0f} s, {bad} with findings", flush=True
            )
    return [row for row in rows(out, seed) if (row["kind"], row["number"]) in set(wanted)]


def _work(seed: int, out: Path, cases: Sequence[tuple[str, int]]) -> None:
    """A worker: leaves the process at its end."""
    status = 1
    try:
        campaigns = {kind: Campaign(kind, seed, out) for kind in dict(cases)}
        for kind, number in cases:
            what, found, seconds = campaigns[kind].one(number)
            row = {"kind": kind, "seed": seed, "number": number, "what": what, "seconds": round(seconds, 3)}
            line = json.dumps(row | {"findings": [asdict(f) for f in found]}) + "\n"
            with open(out / "cases.jsonl", "ab", buffering=0) as journal:  # one write a line: workers share the file
                journal.write(line.encode())
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def rows(out: Path, seed: int) -> list[dict[str, Any]]:
    """The journal's whole lines of a seed; of a case that stands there twice the last."""
    try:
        lines = (out / "cases.jsonl").read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    found = [json.loads(line) for line in lines if line.endswith(b"}")]
    return list({(row["kind"], row["number"]): row for row in found if row["seed"] == seed}.values())


def table(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Counts of cases by kind and finding, in columns."""
    yield "  ".join(["kind".ljust(13), "cases".rjust(7), "s/case".rjust(7), *(f.rjust(len(f)) for f in FINDINGS)])
    for kind in dict.fromkeys(row["kind"] for row in found):
        own = [row for row in found if row["kind"] == kind]
        each = Counter(name for row in own for name in {f["kind"] for f in row["findings"]})
        mean = sum(row["seconds"] for row in own) / len(own)
        cells = [str(each[name]).rjust(len(name)) for name in FINDINGS]
        yield "  ".join([kind.ljust(13), str(len(own)).rjust(7), f"{mean:.3f}".rjust(7), *cells])
