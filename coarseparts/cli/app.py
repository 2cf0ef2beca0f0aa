"""``coarseparts app``."""

from __future__ import annotations

import getpass
import webbrowser
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated

import typer

from coarseparts.cli import help, options
from coarseparts.cli.choices import Device, MaxPixels, Run
from coarseparts.cli.help import DataOption, OutputOption, PlaceOption, verb
from coarseparts.cli.terminal import note, say
from coarseparts.system.text import from_csv_cell

app = help.app()


@verb(
    app,
    examples=(
        "coarseparts app runs/ants photos",
        "coarseparts app runs/ants photos --out corrected --author 'Ada L.' --port 0 --no-browser",
    ),
)
def page(
    run: Run,
    images: Annotated[
        list[Path] | None, typer.Argument(help="folders of photographs, or single ones [the run's training images]")
    ] = None,
    out: Annotated[
        Path | None, OutputOption(help="folder of the corrections [beside the photographs: <folder>_corrected]")
    ] = None,
    author: Annotated[str, OutputOption(help="who saves [your name on this machine]")] = "",
    queue: Annotated[
        Path | None, DataOption(help="CSV file with a column image: in which order they are worth a look")
    ] = None,
    max_pixels: MaxPixels = None,
    host: Annotated[str, PlaceOption(help="where to listen; others than this machine see it elsewhere")] = "127.0.0.1",
    port: Annotated[int, PlaceOption(min=0, max=65535, help="0: a free one")] = 8765,
    names: Annotated[
        list[str], PlaceOption("--name", help="a name under which this machine is called, with another --host")
    ] = [],  # noqa: B006
    browser: Annotated[bool, PlaceOption("--browser/--no-browser", help="open the page")] = True,
    device: Device = "auto",
) -> None:
    """Look at parts, give labels, correct: a page on this machine, for photographs and a trained model."""
    options.extra("app", "fastapi", "uvicorn")

    from coarseparts.app import running
    from coarseparts.app.answers import Ahead, Answers
    from coarseparts.app.errors import Refused
    from coarseparts.app.page import MOST_BYTES, looks_ahead, page_app
    from coarseparts.app.places import alone_in, beside, photographs, refuse_inside
    from coarseparts.app.retraining import command
    from coarseparts.app.workspace import Workspace
    from coarseparts.inference.model import load
    from coarseparts.training.claims import read_config

    # A click is to be answered at once: one look, not two.
    model = load(run, where := options.device(device), flip=False)
    place, found = photographs(run, images or [])
    folder = out or beside(place)
    refuse_inside(run, images or [], folder)
    if not model.has_posterior:
        note(f"{run}: has no posterior (em and distillation train one): labels that you give do not change the parts")
    config = run / "config.yaml"
    data = str(read_config(config).get("data")) if config.is_file() else ""
    data = data if data.endswith((".yaml", ".yml")) else "DATA.yaml"  # built-in data have a name alone
    with ExitStack() as stack:
        order, file = _order(queue, found), Path(data) if Path(data).is_file() else None
        workspace = Workspace(place, found, folder, model.schema, author or _user(), order, file)
        if workspace.writable:
            stack.enter_context(alone_in(folder, note))
            with suppress(Refused):  # a full disk is said when something is saved
                workspace.settle()
        else:
            note(f"{folder}: cannot be written to: nothing can be saved; name another folder with --out")
        answers = Answers(model)
        ahead = Ahead(answers, list(range(len(found))), looks_ahead(workspace, answers))
        stack.callback(ahead.stop)
        bound = running.listening(host, port)
        title = f"{place.name}: {len(found)} images"
        application = page_app(workspace, answers, title, command(run, data, where))

        def ready(link: str) -> None:
            say(f"{len(found)} images; open {link}")
            say(f"corrections are kept in {folder}; stop with Ctrl-C")
            ahead.start()
            if browser:
                webbrowser.open(link)

        running.run(application, bound, host, MOST_BYTES, page=True, names=tuple(names), ready=ready)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def _order(file: Path | None, found: list[tuple[str, Path]]) -> list[str]:
    """The names of the photographs ``found`` in the order of a queue, if there is one."""
    from coarseparts.app.places import queued

    names = list(dict.fromkeys(_queue(file)))
    order = queued(names, found)
    if left := len(names) - len(order):
        note(f"{file}: {left:,} of its {len(names):,} images are none of these, or might be several, and have no place")
    return order


def _queue(file: Path | None) -> list[str]:
    if file is None:
        return []
    from coarseparts.report.sheets import read_sheet

    sheet = read_sheet(file, ["image"], "name a CSV file with a column image", "write it with `coarseparts next`")
    return [from_csv_cell(cells["image"]) for _, cells in sheet.lines]
