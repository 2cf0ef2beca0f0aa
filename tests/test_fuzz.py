"""The campaign of ``benchmarks/fuzz.py`` in short: nothing that is read may crash, hang, mislead or speak to the
terminal. And the campaign itself: it sees what it is there to see, and goes on where it was stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
SHORT = "coco:24,dataset-file:16,json:16,images:8,terminal:6,run-folder:6"


def fuzz(*arguments: object, **extra: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(BENCHMARKS / "fuzz.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **extra}, timeout=600)


def test_damaged_data_runs_and_arguments_are_read_as_meant_or_told_in_a_line(tmp_path: Path) -> None:
    done = fuzz("--kind", SHORT, "--out", tmp_path)
    assert done.returncode == 0 and "76 cases, 0 with findings" in done.stdout, done.stdout + done.stderr


def test_a_stopped_campaign_goes_on_and_a_case_is_decided_by_its_number(tmp_path: Path) -> None:
    assert "2 of 2 cases" in fuzz("--kind", "coco", "--count", 2, "--out", tmp_path).stdout
    assert "1 of 1 cases" in fuzz("--kind", "coco", "--count", 3, "--out", tmp_path).stdout
    rows = [json.loads(line) for line in (tmp_path / "cases.jsonl").read_text().splitlines()]
    assert [row["number"] for row in rows] == [0, 1, 2]
    assert rows[1]["what"] in fuzz("--kind", "coco", "--case", 1, "--out", tmp_path).stdout


PROGRAM = """
import json, sys
def main():
    said = {said!r}
    if said == "wrong file":
        sys.exit("some/other.json: is wrong; correct it")
    if said == "traceback":
        raise ValueError
    if said == "control":
        print("\\x1b[31m")
    if said == "changes":
        open("data/few/coarse.json", "w").close()
    if said == "leaves":
        open("data/../coarse.part", "w").close()
    if said == "status":
        sys.exit(3)
    counts = {{"few": 1, "sources[2] val": {{"samples": len(open("data/few/coarse.json", "rb").read())}}}}
    nothing = {{key: {{}} for key in ("splits", "part_share", "part_samples", "keypoints")}}
    print(json.dumps({{"sources": counts, **nothing}}))
"""
"""A command line that gets one thing wrong; the last lines let a damaged file change what is said of another."""


@pytest.mark.parametrize(
    ("said", "finding"),
    [
        ("wrong file", "exit status"),
        ("traceback", "traceback"),
        ("control", "control characters"),
        ("changes", "user file changed"),
        ("leaves", "half-written"),
        ("status", "exit status"),
        ("values", "wrong value"),
    ],
)
def test_the_judge_sees_what_a_command_gets_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, finding: str
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from fuzzing.judge import Case, check_rest, check_values, judged, snapshot
    from fuzzing.process import Outcome

    place = tmp_path / "place"
    (place / "data" / "few").mkdir(parents=True)
    (place / "data" / "few" / "coarse.json").write_text("{}")
    before = snapshot(place)
    program = PROGRAM.format(said=said) + "\nmain()"
    done = subprocess.run([sys.executable, "-c", program], cwd=place, capture_output=True, text=True)
    outcome = Outcome(("check", "--json"), done.returncode, done.stdout, done.stderr, 0.1)
    case = Case("damage", [("check", "--json")], "any", ("coarse.json",), check_values, check_rest(), "check")
    counts = {"sources": {"sources[2] val": {"samples": 99}}}
    twin = {**{key: {} for key in ("splits", "part_share", "part_samples", "keypoints")}, **counts}
    assert finding in {f.kind for f in judged(case, place, before, [outcome], [[], twin])}
