"""Completion: what the shells are answered, that they can read the scripts, and that nothing hostile is printed."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from coarseparts.cli import completion, names
from coarseparts.cli.main import VERBS, app

PROGRAM = f'#!/bin/sh\nexec {sys.executable} -m coarseparts "$@"\n'


def values(*words: str, shell: str = "fish") -> list[str]:
    words_ = completion._joined(words) if shell == "bash" else list(words)
    return [value for value, _ in completion._candidates(typer.main.get_command(app), words_)]


def program(*words: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "coarseparts", *words]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=60)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([""], list(VERBS)),
        (["pre"], ["predict", "prepare"]),
        (["--in"], ["--install-completion"]),
        (["train", "--me"], ["--method"]),
        (["train", "ants.yaml", "--method", "multi"], ["multi-task"]),
        (["train", "--method=e"], ["--method=em"]),
        (["train", "--labels", "mask,b"], ["mask,box"]),
        (["train", "--labels", "mask,m"], []),
        (["train", "--labels", "nothing,b"], []),
        (["train", "--preset", "as"], []),
        (["benchmark", "--preset", "as"], ["as-published"]),
        (["train", "--set", "em.al"], ["em.alpha="]),
        (["sweep", "--over", "em.ga"], ["em.gamma="]),
        (["predict", "runs/ants", "--labels", ""], []),
        (["predict", ""], []),
        (["benchmark", ""], []),
        (["benchmark", "syn"], list(names.WORLDS)),
        (["prepare", "n"], ["nabirds"]),
        (["prepare", "pascub", "--neck", ""], ["head", "drop"]),
        (["train", "--out", "check", "--meth"], ["--method"]),
        (["nowhere", "--method", "e"], []),
    ],
)
def test_what_may_stand_in_place_of_the_last_word(words: list[str], expected: list[str]) -> None:
    assert values(*words) == expected


@pytest.mark.parametrize("words", [["--set", "=", "em.al"], ["--set=em.al"], ["--set", "em.al"]])
def test_bash_parts_words_at_equals_signs(words: list[str]) -> None:
    (only,) = values("train", *words, shell="bash")
    assert only.removeprefix("--set=") == "em.alpha="
    assert values("train", "--set", "=", shell="bash")[0] == "encoder="
    assert values("train", "--set", "em.alpha", "=", "0", shell="bash") == []


def test_every_option_that_has_known_values_is_one() -> None:
    top = typer.main.get_command(app)
    for key in (*completion._ONE_OF, *completion._SEVERAL_OF):
        *of_verb, option = key.split()
        commands = [top.verb(name) for name in of_verb or VERBS]  # type: ignore[attr-defined]
        commands += [each for command in commands for each in getattr(command, "commands", {}).values()]
        assert any(option in completion._valued(command) for command in commands), key


def test_an_answer_costs_little_and_loads_no_torch() -> None:
    code = "import atexit, sys, time\n"
    code += "atexit.register(lambda: print(time.process_time(), 'torch' in sys.modules, file=sys.stderr))\n"
    code += "from coarseparts.cli.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "--method", ""],
        capture_output=True,
        text=True,
        env={**os.environ, completion.VARIABLE: "bash"},
    )
    took, torch = done.stderr.split()
    assert done.stdout.split() == list(names.METHODS) and float(took) < 0.6 and torch == "False"


def test_nothing_that_is_typed_or_in_the_environment_is_printed() -> None:
    hostile = "\x1b]0;owned\x07$(touch owned)"
    for words in (
        [hostile],
        [hostile, hostile],
        ["train", f"--method={hostile}"],
        ["train", "--labels", f"{hostile},m"],
    ):
        done = program(*words, **{completion.VARIABLE: "zsh"})
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for value in (f"complete_{hostile}", "source_bash", "complete_bash", hostile):  # click's and typer's own protocol
        done = program("--version", **{completion.VARIABLE: value})
        assert done.returncode == 0 and done.stdout.startswith("coarseparts ") and "\x1b" not in done.stderr
    done = program("--show-completion", SHELL=f"/bin/{hostile}")
    assert done.returncode == 2 and "\x1b" not in done.stderr and "SHELL=bash coarseparts" in done.stderr


@pytest.mark.parametrize("shell", completion.SCRIPTS)
def test_the_script_is_installed_once_and_what_was_there_stays(shell: str, tmp_path: Path) -> None:
    place, start, _ = completion._PLACES[shell]
    environment = {"HOME": str(tmp_path / "h"), "SHELL": f"/usr/bin/{shell}"}
    (tmp_path / "h").mkdir()
    if start:
        (tmp_path / "real").write_bytes(b"# caf\xe9, without a line's end")
        (tmp_path / "real").chmod(0o600)
        (tmp_path / "h" / start).symlink_to(tmp_path / "real")
    for _ in range(2):
        done = program("--install-completion", **environment)
        assert done.returncode == 0 and str(tmp_path / "h" / place) in done.stdout, done.stderr
    script = (tmp_path / "h" / place).read_text()
    assert script == completion.SCRIPTS[shell] == program("--show-completion", **environment).stdout
    if start:
        kept, *lines = (tmp_path / "real").read_bytes().splitlines()
        assert kept == b"# caf\xe9, without a line's end" and len(lines) == 1 and place.encode() in lines[0]
        assert (tmp_path / "h" / start).is_symlink() and stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o600


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which ``coarseparts`` is this checkout's."""
    (tmp_path / "coarseparts").write_text(PROGRAM)
    (tmp_path / "coarseparts").chmod(0o755)
    return f"{tmp_path}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes(path: str) -> None:
    code = completion.SCRIPTS["bash"] + "compopt() { echo nospace; }\n"
    for words in ("coarseparts ch", "coarseparts train --set em.al"):
        code += f"COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _coarseparts_completion coarseparts\n"
        code += 'printf "%s\\n" "${COMPREPLY[@]}"\n'
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert done.stdout.split() == ["check", "nospace", "em.alpha="] and not done.stderr


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
def test_zsh_completes(path: str) -> None:
    code = (
        "compdef() { :; }; _files() { echo files; }; _describe() { print -l $lines; }; compadd() { print -l $lines; }\n"
    )
    code += completion.SCRIPTS["zsh"]
    for words in ("coarseparts ch", "coarseparts train --set em.al", "coarseparts predict ''"):
        code += f"words=({words}); CURRENT=$#words; _coarseparts_completion\n"
    done = subprocess.run(["zsh", "-fc", code], capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert done.stdout.splitlines() == [f"check:{VERBS['check']}", "em.alpha=", "files"] and not done.stderr


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_fish_completes(path: str) -> None:
    code = completion.SCRIPTS["fish"] + "complete -C 'coarseparts ch'; complete -C 'coarseparts train --set em.al'"
    done = subprocess.run(["fish", "-Nc", code], capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert done.stdout.splitlines() == [f"check\t{VERBS['check']}", "em.alpha="] and not done.stderr
