"""What people expect of any command line: --quiet, --verbose, NO_COLOR, --version, what was meant, 80 columns."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from toy import toy

from coarseparts.cli import help, terminal
from coarseparts.cli.main import VERBS, app
from coarseparts.system.problems import BadInput, Problem
from coarseparts.training import methods

SCRIPT = "from coarseparts.cli.__main__ import main; main()"


def run(*words: str, code: str = SCRIPT, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {**os.environ, "COLUMNS": "80", **environment}
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120, env=given)


def test_quiet_leaves_errors_and_results_alone(monkeypatch, capsys) -> None:
    monkeypatch.setattr(terminal.err, "quiet", False)
    assert help.loudness_apart(["a.yaml", "--quiet", "--out", "r"]) == ["a.yaml", "--out", "r"]
    terminal.note("reading images")
    terminal.notes([Problem("a.jpg", "is small", severity="note"), Problem("b.jpg", "is empty", "remove it")])
    terminal.say("part mIoU 50.0 %")
    printed = capsys.readouterr()
    assert printed.err == "b.jpg: is empty; remove it\n" and printed.out == "part mIoU 50.0 %\n"


def test_a_word_behind_two_dashes_is_no_option() -> None:
    assert help.loudness_apart(["--", "--quiet"]) == ["--", "--quiet"]


def test_quiet_and_verbose_may_stand_before_a_verb_or_behind_it() -> None:
    assert run("--quiet", "schema").stdout == run("schema", "--quiet").stdout == run("schema").stdout != ""


def test_verbose_tells_the_traceback_of_what_nobody_has_foreseen(tmp_path: Path) -> None:
    fault = "from coarseparts.training import settings\nsettings.describe = lambda: 1 / 0\n" + SCRIPT
    short, long = run("settings", code=fault), run("settings", "--verbose", code=fault)
    assert short.returncode == long.returncode == 1
    assert "Traceback" not in short.stderr and "unforeseen error (ZeroDivisionError" in short.stderr
    assert "Traceback" in long.stderr and "unforeseen error (ZeroDivisionError" in long.stderr


def test_a_line_of_check_is_not_broken_where_no_terminal_is(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    (tmp_path / "d.yaml").write_text("parts: [a]\nsources: [{split: train, images: .}]\n")
    done = run("check", str(tmp_path / "d.yaml"))
    (line,) = (line for line in done.stdout.split("\n") if "no source of split val" in line)
    assert len(line) > 120 and line.endswith("with part masks")
    assert (tmp_path / ".d-check.png").is_file() and not (tmp_path / "d-check.png").exists(), "it is no photograph"


def test_a_contact_sheet_takes_no_photographs_place(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    file = tmp_path / "d.yaml"
    file.write_text("parts: [a]\nsources: [{split: train, images: .}]\n")
    for name, told in (("a.png", "is there, is nothing that this command wrote"), ("b.png", "would be taken for one")):
        with pytest.raises(BadInput, match=told):
            app(["check", str(file), "--sheet", str(tmp_path / name)], standalone_mode=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "d.yaml"]


def test_no_color_turns_colours_off() -> None:
    done = run("check", "nowhere.yaml", NO_COLOR="1", FORCE_COLOR="1")
    assert done.stderr and not re.search(r"\x1b\[[0-9;]*[3-9][0-9]*m", done.stderr)


def test_the_version_is_that_of_the_package() -> None:
    done = run("--version")
    assert done.returncode == 0 and done.stdout.startswith(f"coarseparts {version('coarseparts')}, torch ")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("trian", "x.yaml"), "did you mean train?"),
        (("train", "x.yaml", "--out", "r", "--method", "distilation"), "did you mean distillation?"),
        (("train", "x.yaml", "--out", "r", "--preset", "papr"), "--preset: is 'papr'; did you mean paper?"),
        (
            ("sweep", "synthetic-birds", "--out", "r", "--over", "em_epoch=3,4"),
            "--over em_epoch: no such setting; ",
        ),
    ],
)
def test_what_was_meant_is_told(words: tuple[str, ...], meant: str) -> None:
    done = run(*words)
    assert done.returncode == 2 and meant in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("train",), "Missing argument 'data': dataset file (YAML); see coarseparts train --help"),
        (("train", "--no-such"), "No such option: --no-such; see coarseparts train --help"),
        (("prepare", "all"), "No such command 'all'; see coarseparts prepare --help"),
        (("settings", "em.alpha"), "Got unexpected extra argument(s) (em.alpha); see coarseparts settings --help"),
    ],
)
def test_who_types_something_wrong_is_told_where_to_look(words: tuple[str, ...], told: str) -> None:
    done = run(*words)
    assert (done.returncode, done.stderr) == (2, f"{told}\n")


def test_the_list_of_verbs_cuts_no_sentence_off_and_a_short_option_asks_for_it() -> None:
    text = run("-h").stdout
    assert text == run("--help").stdout and "..." not in text.split("Commands:")[1]
    assert all(" ".join(told.split()) in " ".join(text.split()) for told in VERBS.values())


def test_help_fits_into_eighty_columns() -> None:
    for words in ((), ("train",), ("benchmark",), ("predict",)):
        examples = run(*words, "--help").stdout
        text = examples.split("\nExamples:")[0]  # command lines are not broken
        assert all(len(line) <= 80 for line in text.split("\n")), words


MISSING = "import sys; sys.modules['{}'] = None\n"


def test_sweep_without_optuna_names_it_and_the_command(tmp_path: Path) -> None:
    words = ("sweep", "synthetic-birds", "--out", str(tmp_path / "out"), "--over", "batch=4,8")
    done = run(*words, code=MISSING.format("optuna") + SCRIPT)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "optuna is not installed, which keeps the trials; run: pip install 'coarseparts[sweep]'"
    )


def test_a_training_without_tensorboard_says_where_the_curves_are(tmp_path: Path, monkeypatch) -> None:
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    heard = io.StringIO()
    task, run = toy(tmp_path / "store", tmp_path / "run", part_epochs=1, em_epochs=1)
    run.console = Console(file=heard, width=200)
    methods.train(task, run, "fine-tuning")
    assert heard.getvalue().count("pip install 'coarseparts[tensorboard]'") == 1
    assert (tmp_path / "run" / "metrics.csv").is_file() and not (tmp_path / "run" / "tensorboard").exists()
