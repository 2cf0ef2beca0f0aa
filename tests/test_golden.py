"""Trainings give, to the bit, what they gave when tests/golden.json was written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from golden_runs import REFERENCE, RUNS, machine, run

GOLDEN = json.loads(REFERENCE.read_text())


@pytest.mark.parametrize("name", RUNS)
def test_no_number_has_changed(name: str, tmp_path: Path) -> None:
    if GOLDEN["machine"] != machine():
        pytest.skip(f"the reference is of {GOLDEN['machine']}, this is {machine()}")
    assert run(name, tmp_path) == GOLDEN["runs"][name]
