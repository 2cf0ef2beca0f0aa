"""Doctor: what it says of a machine, that it tries the program in bounded time, and what it must not tell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from coarseparts.doctor import environment, self_test
from coarseparts.doctor.diagnosis import diagnose


def well() -> dict[str, object]:
    return {"works": True, "told": "done"}


def test_the_command_tries_a_training_and_says_so_in_json(tmp_path: Path) -> None:
    environ = os.environ | {"HOME": str(tmp_path)}
    command = [sys.executable, "-m", "coarseparts", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=tmp_path, timeout=170)
    found = json.loads(done.stdout)
    assert found["problems"] == [] and done.returncode == 0
    assert found["facts"]["self-test"]["works"].startswith("trained and predicted on ")
    assert {"python", "coarseparts", "torch", "timm"} <= set(found["facts"]["versions"])
    assert {"cpu", "threads", "gpu"} <= set(found["facts"]["devices"])
    assert str(tmp_path) not in done.stdout and "~" in found["facts"]["folders"]["downloaded weights"]
    assert not list(tmp_path.rglob("*.safetensors")), "it leaves something behind"


def test_an_extra_that_is_missing_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["numpy>=1", "coarseparts-nowhere>=2; extra == 'onnx'", 'numpy; extra == "measure"']
    lines.append("coarseparts[measure,onnx]; extra == 'all'")
    monkeypatch.setattr(environment, "requires", lambda name: lines)
    found = environment.extras()
    assert found["onnx"] == "pip install 'coarseparts[onnx]'  (lacks coarseparts-nowhere)"
    assert found["measure"] == "installed" and "all" not in found  # which only names the others


def test_what_is_wrong_is_a_problem_and_the_rest_is_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(environment, "versions", lambda: {"torch": "missing"})
    monkeypatch.setattr(environment, "folders", lambda: {"here": (". NOT writable", False)})

    def broken() -> dict[str, str]:
        raise OSError(f"{Path.home()}/lib/libtorch.so: cut off")

    monkeypatch.setattr(environment, "devices", broken)
    found = diagnose(lambda: {"works": False, "told": f"{Path.home()}/x: it crashed"})
    assert [line.split(" ")[0] for line in found.problems] == ["torch", "here:", "torch", "self-test:"]
    assert str(Path.home()) not in found.to_text() or str(Path.home()) == "/"
    assert "extras" in found.to_text()


def test_a_machine_that_is_well_is_told_within_80_columns_but_for_commands() -> None:
    found = diagnose(well)
    lines = found.to_text().split("\n")
    assert lines[-1] == "nothing is wrong" or found.problems
    assert all(len(line) <= 80 or "pip install" in line for line in lines)


def test_a_self_test_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_test, "LOADING", 0.1)
    monkeypatch.setattr(self_test, "SECONDS", 0.1)
    assert self_test.self_test() == {"works": False, "told": "torch was not loaded within 0.1 seconds"}


def test_a_training_that_takes_too_long_is_ended_and_told() -> None:
    code = "from coarseparts.doctor import self_test; self_test.SECONDS = 0.05; self_test.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "took longer than 0.05 seconds" in json.loads(done.stdout.splitlines()[-1])["told"]


def test_a_self_test_that_crashes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_test.sys, "executable", "/bin/false")
    assert "it ended with status 1" in str(self_test.self_test()["told"])
    monkeypatch.setattr(self_test.sys, "executable", "/nowhere/python")
    assert "no process could be started" in str(self_test.self_test()["told"])
