"""``--help`` of every verb: soon printed, under headings, with examples that can be typed; its names are true."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer

from coarseparts.cli import help, names, options
from coarseparts.cli.main import VERBS, app
from coarseparts.data.dataset_file import DatasetFile
from coarseparts.data.formats import registry
from coarseparts.data.prepare import oid_aircraft
from coarseparts.data.synthetic import examples
from coarseparts.experiments import cells, sweep, worlds
from coarseparts.export import files
from coarseparts.labels import STYLES
from coarseparts.selection import orders
from coarseparts.training import methods
from coarseparts.training import settings as presets

HEAVY = {"torch", "numpy", "pydantic", "scipy", "PIL", "timm", "matplotlib", "optuna", "yaml"}

COST = f"""
import atexit, sys, time
def told():
    print(time.process_time(), *sorted({HEAVY} & set(sys.modules)), file=sys.stderr)
atexit.register(told)
from coarseparts.cli.__main__ import main
main()
"""

COMMANDS = ["", *VERBS, *(f"prepare {name}" for name in ("pascub", "cub", "oid-aircraft", "nabirds"))]


def helped(*words: str) -> tuple[str, float, list[str]]:
    """What a fresh process prints, its CPU seconds, and which heavy modules it has loaded."""
    done = subprocess.run([sys.executable, "-c", COST, *words, "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    took, *loaded = done.stderr.split()
    return done.stdout, float(took), loaded


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_soon_there_and_loads_nothing_large(command: str) -> None:
    text, took, loaded = helped(*command.split())
    assert not loaded
    if took >= 0.6:  # another process was in the way
        took = min(took, helped(*command.split())[1])
    assert took < 0.6
    assert text.startswith(f"Usage: coarseparts {command}".rstrip()) and "\nExamples:\n  coarseparts " in text
    assert all(len(line) <= 100 for line in text.split("\n"))


def commands() -> Iterator[tuple[str, typer.Context]]:
    """Every command with its context, the groups included."""
    top = typer.main.get_command(app)
    root = typer.Context(top, info_name="coarseparts")
    yield "", root
    for name in VERBS:
        _, verb, _ = top.resolve_command(root, [name])  # type: ignore[attr-defined]
        inside = typer.Context(verb, info_name=name, parent=root)
        yield name, inside
        for sub in getattr(verb, "commands", {}):
            yield f"{name} {sub}", typer.Context(verb.commands[sub], info_name=sub, parent=inside)


def test_these_are_all_commands() -> None:
    assert [name for name, _ in commands()] == COMMANDS


def test_every_option_stands_under_a_heading() -> None:
    allowed = help.HEADINGS[1:5]
    for command, context in commands():
        for option in context.command.params:
            if option.param_type_name == "option" and command:
                assert option.rich_help_panel in allowed, f"{command} {option.opts}"


def parsed(words: list[str]) -> None:
    """Raises click's usage error where the parser would."""
    context = typer.main.get_command(app).make_context("coarseparts", list(words))
    while rest := [*getattr(context, "_protected_args", []), *context.args]:
        name, command, rest = context.command.resolve_command(context, rest)  # type: ignore[attr-defined]
        context = command.make_context(name, rest, parent=context)
        for option, allowed in (("method", names.METHODS), ("preset", names.PRESETS), ("sampler", names.SAMPLERS)):
            assert context.params.get(option, allowed[0]) in allowed
        for several, all_ in (("methods", names.METHODS), ("labels", ("all", *names.STYLES))):
            given = context.params.get(several)
            assert not isinstance(given, str) or set(filter(None, given.split(","))) <= set(all_)
        if changes := context.params.get("changes"):
            presets.settings(changes=options.changes(changes))


def test_every_example_is_a_command_line() -> None:
    for command, context in commands():
        examples = (context.command.epilog or "").split("\n")
        assert 1 <= len(examples) <= 3
        for example in examples:
            program, *words = shlex.split(example)
            assert program == "coarseparts"
            if command:
                assert example.startswith(f"coarseparts {command}")
            try:
                parsed(words)
            except typer.Exit:
                assert words[-1] == "--help"


def test_an_example_that_is_wrong_would_be_told() -> None:
    with pytest.raises(Exception, match="--ouut"):
        parsed(["train", "ants.yaml", "--ouut", "runs/ants"])


def test_the_names_are_those_of_the_registries() -> None:
    assert names.METHODS == tuple(methods.METHODS)
    assert names.PRESETS == tuple(presets.PRESETS)
    assert names.EFFORTS == tuple(presets.EFFORTS)
    assert names.PUBLISHED == presets.PUBLISHED
    assert names.TARGETS == files.TARGETS
    assert names.STARTS == tuple(cells.STARTS)
    assert names.EACH == tuple(cells.EACH)
    assert names.WORLDS == tuple(worlds.WORLDS)
    assert names.STYLES == tuple(STYLES)
    assert names.SAMPLERS == sweep.SAMPLERS
    assert names.EXPORTS == tuple(registry.WRITERS)
    assert names.SETTINGS == tuple(key for key, _, _ in presets.describe())
    assert names.EXAMPLES == tuple(examples.KINDS)
    assert names.ORDERS == tuple(orders.ORDERS)
    assert names.BANNER == oid_aircraft.BANNER


def test_a_key_of_the_dataset_file_is_no_setting() -> None:
    assert not set(DatasetFile.model_fields) & set(names.SETTINGS)
    with pytest.raises(ValueError, match="--set size: is of the dataset file, and no setting; write size"):
        presets.settings("default", {"batch": 4, "size": 64})


def test_the_program_is_named_by_itself_and_not_by_its_caller() -> None:
    code = "import sys; sys.argv = ['\\x1b]0;owned\\x07', '--help']; from coarseparts.cli import main; main.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "\x1b" not in done.stdout + done.stderr
    assert done.stdout.startswith("Usage: coarseparts [OPTIONS]")


def test_brackets_in_a_help_text_are_no_markup() -> None:
    assert "[all there are" in helped("train")[0].replace("\n", " ")
    for _, context in commands():
        assert context.command.rich_markup_mode is None


@pytest.mark.parametrize(
    "words",
    [
        ("check", ""),
        ("predict", "runs/x", "", "--out", "y"),
        ("prepare", "cub", "", "--out", "x"),
        ("train", "d.yaml", "--out="),
    ],
)
def test_an_empty_path_is_not_the_folder_one_is_in(words: tuple[str, ...]) -> None:
    with pytest.raises(typer.BadParameter, match="is empty; name a file or a folder"):
        app(list(words), standalone_mode=False)
