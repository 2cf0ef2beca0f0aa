"""What ``--help`` looks like: options under headings, and examples that can be typed as they stand.

The headings are typer's ``rich_help_panel``, written by click's plain formatter: with rich's markup, which stays off,
brackets in a text would be commands.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from coarseparts.cli.terminal import be_quiet

HEADINGS = ("Arguments", "Data", "Training", "Output", "Where it runs", "Other")
"""In the order in which they stand."""

DataOption, TrainingOption, OutputOption, PlaceOption = (
    partial(typer.Option, rich_help_panel=heading) for heading in HEADINGS[1:5]
)
"""``typer.Option`` under a heading."""


class Verb(TyperCommand):
    """A command with its options under headings; the lines of ``epilog`` are its examples."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Raises BadParameter for an empty path as well, which Python takes for the folder one is in."""
        args = loudness_apart(args)
        empty = any(arg == "" or (arg.startswith("--") and arg.endswith("=")) for arg in args)
        rest = super().parse_args(ctx, args)
        own: Any = self.params  # typer's own kind of them
        for param in own if empty else ():
            if isinstance(ctx.params.get(param.name), Path) and ctx.params[param.name] == Path():
                raise typer.BadParameter("is empty; name a file or a folder", ctx=ctx, param=param)
        return rest

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_options(self, ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _write_examples(self, formatter)


def loudness_apart(args: list[str]) -> list[str]:
    """``args`` without --quiet and --verbose, which may stand behind any verb and are heeded."""
    options = args[: args.index("--")] if "--" in args else args
    if "--quiet" in options:
        be_quiet()
    if "--verbose" in options:
        be_verbose()
    return [arg for arg in options if arg not in ("--quiet", "--verbose")] + args[len(options) :]


def be_verbose() -> None:
    """From now on libraries tell what they do, and what nobody has foreseen is told with its traceback."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    VERBOSE.append(True)


VERBOSE: list[bool] = []
"""Holds something where --verbose was given."""


class Verbs(TyperGroup):
    """A group of commands whose help is written as that of ``Verb``."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False  # of None typer makes a bool by pydantic, which takes a while to import
        return option

    def verb(self, name: str) -> Any:
        """The command of that name, which ``list_commands`` has, with its options."""
        return self.commands[name]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """A verb and its whole sentence each; click would cut them off at the line's end."""
        commands: dict[str, Any] = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help.split("\n")[0]) for name, command in commands.items()])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _write_examples(self, formatter)


def app(**more: Any) -> typer.Typer:
    """A typer app without markup, and without options for completion of its own; -h is --help."""
    context = {"help_option_names": ["--help", "-h"]}
    return typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=context, **more)


def verb(to: typer.Typer, name: str | None = None, *, examples: tuple[str, ...]) -> Callable[[Any], Any]:
    """The decorator that makes a function a verb ``name`` of ``to``; ``examples`` are whole command lines."""
    return to.command(name, cls=Verb, epilog="\n".join(examples))


def _write_options(command: Any, ctx: Any, formatter: Any) -> None:
    lines: dict[str, list[tuple[str, str]]] = {heading: [] for heading in HEADINGS}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None:
            argument = param.param_type_name == "argument"
            lines["Arguments" if argument else getattr(param, "rich_help_panel", None) or "Other"].append(record)
    for heading in filter(lines.get, lines):
        with formatter.section(heading):
            formatter.write_dl(lines[heading])


def _write_examples(command: Any, formatter: Any) -> None:
    if command.epilog:
        with formatter.section("Examples"):
            for line in command.epilog.split("\n"):
                formatter.write(f"  {line}\n")
