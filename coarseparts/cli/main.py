"""The command line: verbs, and what becomes of everything that goes wrong in one.

Exit status 0 done, 1 failed while running, 2 bad input or usage, 130 stopped by Ctrl-C or SIGTERM. Errors go to
standard error, one a line; no traceback does.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import traceback
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from coarseparts.cli import completion, help
from coarseparts.cli.options import nearest_of
from coarseparts.cli.terminal import be_quiet, end_bars
from coarseparts.system import limits
from coarseparts.system.errors import CoarsepartsError
from coarseparts.system.interrupts import INTERRUPTS, STATUS, in_threads
from coarseparts.system.memory import keep_freed_memory
from coarseparts.system.text import readable, short

VERBS = {
    "init": "A dataset file from folders and exports: says what it recognised and assumed, and checks it.",
    "check": "What is in my data, and what is wrong with it.",
    "train": "Train on a dataset file and measure on its validation split; ends with a table and report.html.",
    "compare": "Several methods and seeds on the same data, in one table.",
    "demo": "The whole method on the built-in synthetic birds: a table of methods and a report to look at.",
    "benchmark": "Methods x beginnings x labels x part masks x seeds: results.csv, table.md and report.html.",
    "sweep": "Choose settings on the validation images (Appendix C): a table of trials and the best ones.",
    "evaluate": "Part IoU of a trained model on part-labelled images, and PCK of its keypoints, in percent.",
    "predict": "The parts of photographs; what this model has predicted into the folder already is not done again.",
    "measure": "Traits of the parts of photographs, with units and intervals, as a CSV table.",
    "next": "Which images to label next, and with what: a table of names and minutes.",
    "app": "Look at parts, give labels, correct: a page on this machine, for photographs and a trained model.",
    "serve": "A trained model for the tools where people work: Label Studio, X-AnyLabeling, or a plain call.",
    "convert": "The labels of one annotation tool in the format of another.",
    "export": "A trained model for other programs: ONNX or TorchScript files, or a folder for a hub of models.",
    "doctor": "Versions, extras, devices, folders, and a self-test of 20 seconds, to be sent along with a question.",
    "networks": "Multiply-accumulates and parameters of the paper's networks (Fig. 6) for one 256 x 256 image.",
    "settings": "Every setting with its default, for --set KEY=VALUE.",
    "schema": "The keys of the dataset file as a JSON schema, by which editors complete them and mark mistakes.",
    "example": "Made-up photographs with labels as an annotation tool writes them, to try everything on.",
    "prepare": "Public data sets into dataset files, from their unpacked archives.",
}
"""Each is the file of its name in this folder, with a typer ``app``; imported when it is asked for."""

EXAMPLES = (
    "coarseparts demo",
    "coarseparts train --help",
    "coarseparts train ants.yaml --out runs/ants",
)

TRAINS = ("train", "compare", "demo", "benchmark", "sweep")


class Verbs(help.Verbs):
    """A group whose verbs are listed from ``VERBS`` and imported when one of them is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return TyperCommand(cmd_name, help=VERBS[cmd_name]) if cmd_name in VERBS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name = args[0]
        if name not in VERBS and not name.startswith("-"):
            ctx.fail(f"no such command {readable(name)!r}; {nearest_of(name, VERBS)}")
        if name not in VERBS:
            return super().resolve_command(ctx, args)
        return name, self.verb(name), args[1:]

    def verb(self, name: str) -> Any:
        command = typer.main.get_command(import_module(f"coarseparts.cli.{name}").app)
        command.name = name
        return command


app = help.app(cls=Verbs, no_args_is_help=True, pretty_exceptions_enable=False, epilog="\n".join(EXAMPLES))


def _print_version(asked: bool) -> None:
    if asked:
        print(f"coarseparts {version('coarseparts')}, torch {version('torch')}, timm {version('timm')}")
        raise typer.Exit


def _install_completion(asked: bool) -> None:
    if asked:
        print(f"{readable(completion.install())}: written; new terminals complete with TAB")
        raise typer.Exit


def _show_completion(asked: bool) -> None:
    if asked:
        completion.show()
        raise typer.Exit


@app.callback()
def start(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="print the version and exit")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="results and errors only; may stand behind a verb")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="what libraries do, too, and tracebacks; may stand behind a verb")
    ] = False,
    _install: Annotated[
        bool,
        typer.Option(
            "--install-completion", is_eager=True, callback=_install_completion, help="completion by TAB for your SHELL"
        ),
    ] = False,
    _show: Annotated[
        bool,
        typer.Option("--show-completion", is_eager=True, callback=_show_completion, help="print its script instead"),
    ] = False,
) -> None:
    """Segment the parts of objects from a few part masks and the coarse labels that you already have.

    Exit status: 0 done, 1 failed while running, 2 bad input or usage, 130 stopped; errors go to standard error, one a
    line.
    """
    if quiet:
        be_quiet()
    if verbose:
        help.be_verbose()


def main() -> None:
    """Runs the command of ``sys.argv`` and leaves the process with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without a letter gets \\u... and not an error
            stream.reconfigure(errors="backslashreplace")
    keep_freed_memory()
    in_threads(_log)
    INTERRUPTS.running()
    try:
        code = _flushed(_run())
        INTERRUPTS.finishing(code)  # from here on nothing is raised any more
    except KeyboardInterrupt:  # between two lines of the above
        code = STATUS
    if code == STATUS and INTERRUPTS.count:
        INTERRUPTS.say()
    INTERRUPTS.finishing(code)
    sys.exit(code)


def _run() -> int:
    """The status of the command; what went wrong is said."""
    try:
        if (shell := os.environ.pop(completion.VARIABLE, "")) in completion.SCRIPTS:
            completion.answer(shell, sys.argv[1:], typer.main.get_command(app))
            return 0
        return app(standalone_mode=False, prog_name="coarseparts") or 0
    except BaseException as error:
        end_bars()
        if INTERRUPTS.count:  # whatever it became on its way here
            return STATUS
        return _status_of(error)


def _status_of(error: BaseException) -> int:
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    if isinstance(error, typer.Exit):
        return error.exit_code
    if hasattr(error, "format_message"):  # usage errors, typer's own or click's, know their text
        return _say(2, *_usage(error).split("\n"))
    if isinstance(error, BrokenPipeError):  # whoever read our output has had enough
        return 1
    pydantic = sys.modules.get("pydantic")  # whose import takes a while; no error of its comes before that
    if pydantic and isinstance(error, pydantic.ValidationError):
        told = error.errors(include_url=False)
        keys = [".".join(str(p) for p in each["loc"]) for each in told]
        lines = (f"--set {key}={short(e['input'])}: {e['msg']}" for key, e in zip(keys, told, strict=True))
        return _say(2, *lines)
    if isinstance(error, CoarsepartsError):
        return _say(error.exit_code, *str(error).split("\n"))
    verb = next((word for word in sys.argv[1:] if word in VERBS), "")
    if said := limits.in_words(error, limits.LOWER if verb in TRAINS else limits.SMALLER):
        return _say(1, said)
    if isinstance(error, ValueError):
        return _say(2, *str(error).split("\n"))
    if isinstance(error, OSError) and error.errno is not None:
        named = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "a file"
        return _say(1, f"{named}: {error.strerror or error}; see that it is there and may be read or written")
    if help.VERBOSE:
        _say(1, *traceback.format_exc().splitlines())
    what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    where = _log(error)
    return _say(1, f"unforeseen error ({what}); {f'{where} holds the details' if where else 'no log could be written'}")


def _usage(error: Any) -> str:
    """What was typed wrong: of what is missing what it is, and where all options are told, unless a remedy is there."""
    text = str(error.format_message())
    context, told = getattr(error, "ctx", None), getattr(getattr(error, "param", None), "help", None)
    if context is None or "\n" in text:  # help itself, of a command that was given nothing
        return text
    if type(error).__name__ == "MissingParameter" and told:
        text = f"{text.removesuffix('.')}: {told}"
    if "; " in text or text.endswith("?"):
        return text
    return f"{text.removesuffix('.')}; see {context.command_path} --help"


def _say(code: int, *lines: str) -> int:
    with suppress(OSError):  # nobody listens, or the disk under standard error is full
        for line in lines:
            print(readable(line), file=sys.stderr)
    return code


_logged: list[str] = []


def _log(error: BaseException | None) -> str:
    """Writes what only we can make use of into a file that the user may send us; returns its path, "" without one."""
    if error is None or INTERRUPTS.count:
        return ""
    text = "".join(traceback.format_exception(error))
    try:
        if not _logged:
            handle, path = tempfile.mkstemp(prefix="coarseparts-", suffix=".log")
            os.close(handle)
            _logged.append(path)
        with open(_logged[0], "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{sys.argv}\n{text}\n")
    except OSError:
        return ""
    return _logged[0]


def _flushed(code: int) -> int:
    """The status after what is still in standard output has been written: a closed pipe ends quietly."""
    try:
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        failed = 1
    except OSError as error:
        failed = _say(1, f"standard output: {error.strerror or error}")
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python would try once more on its way out
    return code or failed
