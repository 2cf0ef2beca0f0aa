"""What is a finding: the rules that every command has to keep, whatever it was given."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzzing.process import Outcome

FINDINGS = (
    "traceback",
    "hang",
    "exit status",
    "wrong blame",
    "half-written",
    "user file changed",
    "control characters",
    "wrong value",
    "slow",
)
SAME, TOLD, SAME_OR_TOLD, REFUSED, ANY = "same", "told", "same or told", "same or refused", "any"
"""What must come of a damage: the undamaged twin's values; a message that names the file; either; the twin's values or
an exit with a message; any exit of 0 or 2 as long as what was not damaged keeps its values, or is told of."""

TEXTS = (".csv", ".html", ".md", ".yaml", ".svg", ".json", ".txt")
MARKUP = re.compile(r"(?<!\\)<(script|img src=x|svg onload|b>hostile)", re.I)
REMEDY = re.compile(r"; .|delete|remove|another --out|again|anew")
PYTHONS = re.compile(
    r"codec can't|NoneType|has no attribute|unexpected keyword|subscriptable|index out of range|invalid literal"
    r"|could not convert|unhashable|object is not|not supported between|has no len|positional argument|KeyError"
)
"""What Python says to programmers: an error that was let through to the user."""

FORMULA = re.compile(r"[=@\t\r]|[+-](?![\d.]|inf|nan|$)")


@dataclass
class Finding:
    """``kind``: of ``FINDINGS``; ``text``: one line."""

    kind: str
    text: str


Values = Callable[[Path, Sequence[Outcome]], Any]


@dataclass
class Case:
    """A damage and what is to come of it.

    ``commands`` run in turn in the case's folder. ``damaged``: names of which a message has to hold one. ``values``:
    what the commands came to, compared with the twin's; of it ``rest`` is what the damage does not touch. ``twin``
    names the undamaged folder's commands; None: nothing is compared. ``statuses``: those that are right at all.
    """

    what: str
    commands: list[tuple[str, ...]]
    expect: str = ANY
    damaged: tuple[str, ...] = ()
    values: Values | None = None
    rest: Callable[[Any], Any] = field(default=lambda found: found)
    twin: str | None = None
    statuses: tuple[int, ...] = (0, 2)
    user: tuple[str, ...] = ("data", "outside")


def snapshot(place: Path) -> dict[str, tuple[int, int, str]]:
    """Every file below a folder: size, time of change, content; links are not followed."""
    found = {}
    for path in sorted(place.rglob("*")):
        if path.is_file() and not path.is_symlink():
            try:
                state = path.stat()
                digest = hashlib.md5(path.read_bytes()).hexdigest() if state.st_size < 2**20 else ""
            except OSError:
                continue
            found[str(path.relative_to(place))] = state.st_size, state.st_mtime_ns, digest
    return found


def judged(
    case: Case, place: Path, before: dict[str, tuple[int, int, str]], outcomes: Sequence[Outcome], twin: Any
) -> list[Finding]:
    """All findings of a case; ``twin``: what ``said_and_found`` gives of the undamaged one, or None."""
    found = [finding for outcome in outcomes for finding in of_outcome(outcome, case.statuses)]
    found += of_files(place, before, case.user, "".join(word for outcome in outcomes for word in outcome.command))
    if any(f.kind in ("traceback", "hang", "exit status") for f in found):
        return found
    lines, values = said_and_found(case, place, outcomes)
    known = set(twin[0]) if twin else set()
    failed = any(outcome.status for outcome in outcomes)
    blamed = _lines(outcomes[-1], place, errors=True) if failed else lines
    told = any(name in line for line in blamed if line not in known for name in case.damaged)
    if failed and case.damaged and not told:
        found.append(Finding("wrong blame", f"{case.damaged[0]} is not named: {_end(outcomes)}"))
    elif failed and case.expect == REFUSED and not any(REMEDY.search(line) for line in lines):
        found.append(Finding("wrong blame", f"no remedy: {_end(outcomes)}"))
    elif failed and case.expect == SAME:
        found.append(Finding("wrong value", f"is refused, though it means the same: {_end(outcomes)}"))
    elif not failed and case.expect == TOLD and not told:
        found.append(Finding("wrong value", "is taken without a word"))
    if not failed and twin and case.values is not None:
        if isinstance(values, str) and values.startswith("cannot be read: "):
            found.append(Finding("wrong value", f"what it gave {values}"))
        elif case.expect in (SAME, REFUSED) or (case.expect == SAME_OR_TOLD and not told):
            found += _different(values, twin[1])
        elif not told:
            found += _different(case.rest(values), case.rest(twin[1]))
    return found


def said_and_found(case: Case, place: Path, outcomes: Sequence[Outcome]) -> tuple[list[str], Any]:
    """The lines that were said, less the place, and the values of a case whose commands all ended well."""
    lines = [line for outcome in outcomes for line in _lines(outcome, place)]
    if case.values is None or any(outcome.status for outcome in outcomes):
        return lines, None
    try:
        return lines, case.values(place, outcomes)
    except (OSError, ValueError, KeyError) as error:  # no JSON, no table
        return lines, f"cannot be read: {type(error).__name__}: {error}"


def _lines(outcome: Outcome, place: Path, errors: bool = False) -> list[str]:
    """What was said, a line each, less the place; of JSON its problems, with ``errors`` those that are errors."""
    said = outcome.err.replace(str(place), "@").split("\n")
    if "--json" not in outcome.command:
        return said + outcome.out.replace(str(place), "@").split("\n")
    try:
        problems = json.loads(outcome.out).get("problems", [])
    except ValueError:
        return said
    told = [p for p in problems if p["severity"] == "error" or not errors]
    return said + [f"{p['file']}: {p['message']}".replace(str(place), "@") for p in told]


def _end(outcomes: Sequence[Outcome]) -> str:
    bad = next(outcome for outcome in outcomes if outcome.status)
    lines = [line for line in _lines(bad, Path("/nowhere")) if line]
    return f"status {bad.status}, {' | '.join(lines)[:300]}"


def _different(values: Any, twin: Any) -> list[Finding]:
    if values == twin:
        return []
    at, one, other = _difference(values, twin)
    return [Finding("wrong value", f"{at}: {one!r:.100}, the undamaged twin's is {other!r:.100}")]


def _difference(one: Any, other: Any, at: str = "") -> tuple[str, Any, Any]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*other, *(k for k in one if k not in other)]:
            if one.get(key) != other.get(key):
                return _difference(one.get(key), other.get(key), f"{at}.{key}")
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            if a != b:
                return _difference(a, b, f"{at}[{i}]")
    return at, one, other


def of_outcome(outcome: Outcome, statuses: Sequence[int] = (0, 2)) -> list[Finding]:
    """Findings of one command's end and of what it printed."""
    found = []
    said = outcome.out + outcome.err
    if outcome.hung:
        found.append(Finding("hang", f"{' '.join(outcome.command)[:80]}: no end after {outcome.seconds:.0f} s"))
    elif "Traceback (most recent call last)" in said or "unforeseen" in outcome.err:
        lines = [line for line in outcome.err.strip().split("\n") if line]
        found.append(Finding("traceback", next((x for x in lines if "unforeseen" in x), lines[-1])[:300]))
    elif outcome.status and (words := PYTHONS.search(outcome.err)):
        found.append(Finding("traceback", f"it speaks Python, {words[0]!r}: {outcome.err.strip()[-300:]}"))
    elif outcome.status < 0:
        found.append(Finding("traceback", f"it ended by signal {-outcome.status}"))
    elif outcome.status not in statuses:
        found.append(Finding("exit status", f"{outcome.status}: {outcome.err.strip()[-300:]}"))
    elif outcome.status and not said.strip():
        found.append(Finding("exit status", f"{outcome.status} without a word"))
    return found + [Finding("control characters", f"output: {spot}") for spot in hidden(said)[:1]]


def hidden(text: str) -> list[str]:
    """Characters that a terminal would obey or that turn the direction of writing, with what is around them."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return []
    odd = [i for i, c in enumerate(text) if c != "\n" and not c.isprintable()]
    return [ascii(text[max(0, i - 30) : i + 10]) for i in odd]


def of_files(
    place: Path, before: dict[str, tuple[int, int, str]], user: Sequence[str] = ("data",), asked: str = ""
) -> list[Finding]:
    """Findings of what a case left on disk; ``asked``: the commands' words, which may name a file as they like."""
    after = snapshot(place)
    found = []
    for name, (size, _, digest) in before.items():
        kept = after.get(name)
        if name.split("/")[0] in user and (kept is None or (kept[0], kept[2]) != (size, digest)):
            found.append(Finding("user file changed", name))
    for name in after:
        path = place / name
        if after[name] == before.get(name):
            continue
        if name not in before and name.split("/")[0] in user:
            found.append(Finding("user file changed", f"{name} is new"))
        if name.endswith(".part") or ".tmp-" in name:
            found.append(Finding("half-written", name))
        elif wrong := cut_off(path):
            found.append(Finding("half-written", f"{name}: {wrong}"))
        if path.suffix in TEXTS and not path.name.startswith(".") and after[name][0] < 2**24:
            found += _of_text(name, path)
        if not {c for c in name if not c.isprintable()} <= {*asked, *"".join(before)}:
            found.append(Finding("control characters", f"file name {name!r}"))
    return found


def cut_off(path: Path) -> str:
    """What is wrong with a file by its kind; "" if it is whole."""
    try:
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix == ".npz" and (bad := zipfile.ZipFile(path).testzip()):
            return f"{bad} is damaged"
        elif path.suffix == ".png" and not path.read_bytes().endswith(b"IEND\xaeB`\x82"):
            return "has no end"
        elif path.suffix == ".safetensors":
            size = int.from_bytes(path.read_bytes()[:8], "little")
            return "" if size < path.stat().st_size else "its header is longer than itself"
        elif path.suffix == ".html" and not path.read_bytes().rstrip().endswith(b"</html>"):
            return "has no end"
        elif path.suffix == ".csv" and not path.name.startswith(".") and not path.read_bytes().endswith(b"\n"):
            return "has no end"
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        return f"{type(error).__name__}: {error}"[:100]
    return ""


def _of_text(name: str, path: Path) -> list[Finding]:
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    found = [Finding("control characters", f"{name}: {spot}") for spot in hidden(text.replace("\r\n", "\n"))[:1]]
    if path.suffix in (".html", ".svg", ".md") and (markup := MARKUP.search(text)):
        found.append(Finding("control characters", f"{name}: markup {markup[0]!r}"))
    if path.suffix == ".csv":
        cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row if FORMULA.match(cell)]
        found += [Finding("control characters", f"{name}: a formula, {cells[0]!r:.60}")] if cells else []
    return found


def check_values(place: Path, outcomes: Sequence[Outcome]) -> Any:
    """What ``check --json`` counts, less paths and problems."""
    said = json.loads(outcomes[-1].out)
    return {key: value for key, value in said.items() if key not in ("file", "problems")}


def check_rest(first: int = 0) -> Callable[[Any], Any]:
    """Of ``check_values`` what belongs to the sources from ``first + 1`` on, and to the validation images."""

    def rest(found: Any) -> Any:
        kept = {name: counts for name, counts in found["sources"].items() if name != f"sources[{first}] train"}
        names = (f"{k}.val" for k in ("splits", "part_share", "part_samples", "keypoints"))
        val = {name: found[name.split(".")[0]].get("val") for name in names}
        val["keypoints.val"] = {  # a name that is new stands there as not annotated
            name: counts for name, counts in (val["keypoints.val"] or {}).items() if any(list(counts.values())[:3])
        }
        return {"sources": kept, **val}

    return rest


def table(file: str) -> Values:
    """The rows of a table of results, less times, memory and what depends on the machine."""

    def values(place: Path, outcomes: Sequence[Outcome]) -> Any:
        with open(place / file, encoding="utf-8", newline="") as text:
            rows = list(csv.DictReader(text))
        return [
            {k: v for k, v in row.items() if not re.search("second|time|memory|mib|peak|done|state", k)} for row in rows
        ]

    return values


def printed(place: Path, outcomes: Sequence[Outcome]) -> Any:
    """What a command printed to standard output."""
    return outcomes[-1].out.replace(str(place), "@")


def maps(place: Path, outcomes: Sequence[Outcome]) -> Any:
    """Part maps, by name."""
    from PIL import Image

    found = {}
    for path in sorted((place / "maps").rglob("*.png")):
        with Image.open(path) as picture:
            found[str(path.relative_to(place))] = hashlib.md5(picture.tobytes()).hexdigest()
    return found
